//! Early fraud warnings and disputes of the sandbox. A dispute runs until somebody gives it up: nobody here decides it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::sandbox::archive::{Dated, Identified, PageWish};
use crate::sandbox::fault::Fault;
use crate::sandbox::idempotency::Done;
use crate::sandbox::intents::{Intent, IntentState};
use crate::sandbox::methods::Aftermath;
use crate::sandbox::params::{Params, integer};
use crate::sandbox::webhooks::Slots;
use crate::sandbox::{FakeStripe, now_s, random_id};
use crate::stripe::objects::{self, DISPUTE_LOST, Expandable};

/// How long after a payment the news of its fraud warning or dispute comes.
const AFTERMATH: Duration = Duration::from_millis(500);

/// Webhooks that giving a dispute up causes.
const CLOSE_EVENTS: u32 = 1;

/// What both kinds have.
#[derive(Debug)]
struct About {
    id: Arc<str>,
    charge: Option<Arc<str>>,
    intent: Arc<str>,
    created_s: i64,
}

impl About {
    fn new(prefix: &str, intent: &Intent, state: &IntentState) -> Self {
        Self {
            id: random_id(prefix).into(),
            charge: state.charge.clone(),
            intent: Arc::clone(intent.id()),
            created_s: now_s(),
        }
    }
}

/// The buyer's bank suspects fraud.
#[derive(Debug)]
pub(super) struct Warning(About);

/// The buyer wants the money back through the bank.
#[derive(Debug)]
pub(super) struct Dispute {
    about: About,
    amount: i64,
    currency: String,
    is_given_up: AtomicBool,
}

/// Which complaints a list asks for.
#[derive(Debug)]
pub(super) struct ComplaintWish {
    page: PageWish,
    /// Only of this payment.
    intent: Option<String>,
    /// Only those that were made then or later, unix seconds.
    since_s: i64,
}

impl ComplaintWish {
    pub(super) fn read(params: &mut Params) -> Result<Self, Fault> {
        let since_s = match params.take("created[gte]") {
            None => 0,
            Some(text) => integer("created[gte]", &text)?,
        };
        Ok(Self {
            intent: params.take("payment_intent"),
            since_s,
            page: params.take_page()?,
        })
    }

    /// Does the list have this one, apart from its time?
    fn wants(&self, about: &About) -> bool {
        let is_of = |intent: &String| **intent == *about.intent;
        self.intent.as_ref().is_none_or(is_of)
    }
}

impl FakeStripe {
    /// Makes the complaint that follows a payment, and tells of it a little later.
    pub(super) fn complain(
        &self,
        then: Aftermath,
        intent: &Intent,
        state: &mut IntentState,
        slots: &mut Slots,
    ) -> Result<(), Fault> {
        match then {
            Aftermath::FraudWarning => {
                let warning = self
                    .warnings
                    .add(Warning(About::new("issfr_", intent, state)))?;
                let kind = "radar.early_fraud_warning.created";
                self.outbox.send(slots, kind, &warning.object(), AFTERMATH);
            }
            Aftermath::Dispute => {
                let dispute = self.disputes.add(Dispute {
                    about: About::new("du_", intent, state),
                    amount: intent.amount,
                    currency: intent.currency.clone(),
                    is_given_up: AtomicBool::new(false),
                })?;
                let kind = "charge.dispute.created";
                self.outbox.send(slots, kind, &dispute.object(), AFTERMATH);
                state.dispute = Some(dispute);
            }
        }
        Ok(())
    }

    /// We do not contest it: the buyer keeps the money. Doing so twice changes nothing.
    pub(super) fn close_dispute(&self, id: &str) -> Result<Done, Fault> {
        let dispute = self.disputes.find(id, "dispute")?;
        let mut slots = self.outbox.reserve(CLOSE_EVENTS)?;
        if !dispute.is_given_up.swap(true, Ordering::SeqCst) {
            let kind = "charge.dispute.closed";
            self.outbox
                .send(&mut slots, kind, &dispute.object(), Duration::ZERO);
        }
        Ok(Done::Dispute(dispute))
    }

    pub(super) fn list_disputes(
        &self,
        wish: &ComplaintWish,
    ) -> Result<(Vec<objects::Complaint>, bool), Fault> {
        let is_wanted = |dispute: &Dispute| wish.wants(&dispute.about);
        let (found, has_more) = self
            .disputes
            .page_since(&wish.page, wish.since_s, is_wanted)?;
        Ok((found.iter().map(|one| one.object()).collect(), has_more))
    }

    pub(super) fn list_warnings(
        &self,
        wish: &ComplaintWish,
    ) -> Result<(Vec<objects::Complaint>, bool), Fault> {
        let is_wanted = |warning: &Warning| wish.wants(&warning.0);
        let (found, has_more) = self
            .warnings
            .page_since(&wish.page, wish.since_s, is_wanted)?;
        Ok((found.iter().map(|one| one.object()).collect(), has_more))
    }
}

impl Warning {
    /// As Stripe shows it.
    fn object(&self) -> objects::Complaint {
        let rest = [
            ("actionable", Value::Bool(true)),
            ("fraud_type", "misc".into()),
        ];
        complaint(&self.0, "radar.early_fraud_warning", rest.into())
    }
}

impl Dispute {
    /// As Stripe shows it now.
    pub(super) fn object(&self) -> objects::Complaint {
        let rest = [
            ("currency", self.currency.as_str().into()),
            ("metadata", Value::Object(serde_json::Map::new())),
            ("reason", "fraudulent".into()),
        ];
        let status = if self.is_given_up.load(Ordering::SeqCst) {
            DISPUTE_LOST
        } else {
            "needs_response"
        };
        objects::Complaint {
            amount: Some(self.amount),
            status: Some(status.to_owned()),
            ..complaint(&self.about, "dispute", rest.into())
        }
    }
}

fn complaint(about: &About, object: &str, rest: Vec<(&str, Value)>) -> objects::Complaint {
    let charge = about.charge.as_deref();
    objects::Complaint {
        id: about.id.to_string(),
        object: object.to_owned(),
        amount: None,
        charge: charge.map(|id| Expandable::Id(id.to_owned())),
        created: about.created_s,
        payment_intent: Some(Expandable::Id(about.intent.to_string())),
        status: None,
        rest: rest
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    }
}

impl Identified for Warning {
    const KIND: &'static str = "radar.early_fraud_warning";

    fn id(&self) -> &Arc<str> {
        &self.0.id
    }
}

impl Dated for Warning {
    fn created_s(&self) -> i64 {
        self.0.created_s
    }
}

impl Identified for Dispute {
    const KIND: &'static str = "dispute";

    fn id(&self) -> &Arc<str> {
        &self.about.id
    }
}

impl Dated for Dispute {
    fn created_s(&self) -> i64 {
        self.about.created_s
    }
}
