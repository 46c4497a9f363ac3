//! Refunds of the sandbox. The money is back at once, as it is with cards.

use std::sync::Arc;
use std::time::Duration;

use crate::sandbox::archive::{Identified, PageWish, page_of};
use crate::sandbox::fault::Fault;
use crate::sandbox::idempotency::Done;
use crate::sandbox::intents::amount;
use crate::sandbox::params::Params;
use crate::sandbox::{FakeStripe, now_s, random_id};
use crate::stripe::objects::{Expandable, IntentStatus, Metadata, RefundObject};
use crate::stripe::{ALREADY_REFUNDED, CHARGE_DISPUTED};

/// Webhooks that one refund causes.
const REFUND_EVENTS: u32 = 2;

const REASONS: [&str; 3] = ["duplicate", "fraudulent", "requested_by_customer"];

/// Money given back. It never changes.
#[derive(Debug)]
pub(super) struct Refund {
    id: Arc<str>,
    amount: i64,
    /// Lower case.
    currency: String,
    intent: Arc<str>,
    charge: Option<Arc<str>>,
    reason: Option<&'static str>,
    metadata: Metadata,
    created_s: i64,
}

/// A refund that is asked for.
#[derive(Debug)]
pub(super) struct NewRefund {
    intent: String,
    /// All that is left, if not said.
    amount: Option<i64>,
    reason: Option<&'static str>,
    metadata: Metadata,
}

impl NewRefund {
    pub(super) fn read(params: &mut Params) -> Result<Self, Fault> {
        let intent = params.require("payment_intent")?;
        let amount = params
            .take("amount")
            .map(|text| amount("amount", &text))
            .transpose()?;
        let reason = match params.take("reason").filter(|text| !text.is_empty()) {
            None => None,
            Some(reason) => {
                let known = REASONS.into_iter().find(|known| *known == reason);
                let message = || format!("Expected one of {}.", REASONS.join(", "));
                Some(known.ok_or_else(|| Fault::parameter("reason", message()))?)
            }
        };
        let metadata = params.take_metadata()?;
        Ok(Self {
            intent,
            amount,
            reason,
            metadata,
        })
    }
}

impl FakeStripe {
    pub(super) fn create_refund(&self, wish: NewRefund) -> Result<Done, Fault> {
        let intent = self.intents.find(&wish.intent, "payment_intent")?;
        let mut slots = self.outbox.reserve(REFUND_EVENTS)?;
        let mut state = intent.state();
        if state.status != IntentStatus::Succeeded {
            let message = "This PaymentIntent has no successful charge to refund.".to_owned();
            return Err(Fault::parameter("payment_intent", message));
        }
        if state.dispute.is_some() {
            let message = "The charge of this PaymentIntent has been charged back.".to_owned();
            return Err(Fault::coded(CHARGE_DISPUTED, None, message));
        }
        let left = intent.amount - state.refunded;
        if left == 0 {
            let message = "The charge of this PaymentIntent has already been refunded.".to_owned();
            return Err(Fault::coded(ALREADY_REFUNDED, None, message));
        }
        let amount = wish.amount.unwrap_or(left);
        if amount > left {
            let message = format!("The refund ({amount}) is greater than what is left ({left}).");
            return Err(Fault::parameter("amount", message));
        }
        let refund = self.refunds.add(Refund {
            id: random_id("re_").into(),
            amount,
            currency: intent.currency.clone(),
            intent: Arc::clone(intent.id()),
            charge: state.charge.clone(),
            reason: wish.reason,
            metadata: wish.metadata,
            created_s: now_s(),
        })?;
        state.refunded += amount;
        state.refunds.push(Arc::clone(&refund));
        self.outbox.send(
            &mut slots,
            "refund.created",
            &refund.object(),
            Duration::ZERO,
        );
        let charge = intent.charge(&state);
        self.outbox
            .send(&mut slots, "charge.refunded", &charge, Duration::ZERO);
        Ok(Done::Refund(refund))
    }

    pub(super) fn read_refund(&self, id: &str) -> Result<RefundObject, Fault> {
        Ok(self.refunds.find(id, "id")?.object())
    }

    /// All refunds, or those of one payment.
    pub(super) fn list_refunds(
        &self,
        intent: Option<&str>,
        wish: &PageWish,
    ) -> Result<(Vec<RefundObject>, bool), Fault> {
        let (refunds, has_more) = match intent {
            None => self.refunds.page(wish)?,
            Some(id) => {
                let intent = self.intents.find(id, "payment_intent")?;
                let refunds = intent.state().refunds.clone();
                page_of(&refunds, wish)?
            }
        };
        Ok((
            refunds.iter().map(|refund| refund.object()).collect(),
            has_more,
        ))
    }
}

impl Refund {
    /// As Stripe shows it.
    pub(super) fn object(&self) -> RefundObject {
        RefundObject {
            id: self.id.to_string(),
            object: "refund".to_owned(),
            amount: self.amount,
            charge: self
                .charge
                .as_deref()
                .map(|id| Expandable::Id(id.to_owned())),
            created: self.created_s,
            currency: self.currency.clone(),
            metadata: self.metadata.clone(),
            payment_intent: Some(Expandable::Id(self.intent.to_string())),
            reason: self.reason.map(str::to_owned),
            status: Some("succeeded".to_owned()),
        }
    }
}

impl Identified for Refund {
    const KIND: &'static str = "refund";

    fn id(&self) -> &Arc<str> {
        &self.id
    }
}
