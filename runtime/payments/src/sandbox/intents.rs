//! Payments of the sandbox: what may happen to one, and how it looks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::sandbox::archive::{Identified, PageWish};
use crate::sandbox::complaints::Dispute;
use crate::sandbox::fault::Fault;
use crate::sandbox::idempotency::Done;
use crate::sandbox::methods::{self, Decline, Fortune};
use crate::sandbox::params::{Params, integer};
use crate::sandbox::refunds::Refund;
use crate::sandbox::webhooks::Slots;
use crate::sandbox::{FakeStripe, now_s, random_id};
use crate::stripe::objects::{
    AutomaticPaymentMethods, Charge, ErrorObject, Expandable, IntentStatus, Metadata, PaymentIntent,
};

/// Largest amount, minor units: Stripe takes twelve digits for the rupiah.
const AMOUNT_MINOR_MAX: i64 = 999_999_999_999;

/// How long a bank transfer is on its way. Source: CONTRACT section 2.
pub const BANK_TRANSFER: Duration = Duration::from_secs(2);

/// Webhooks that one confirmation may cause.
const CONFIRM_EVENTS: u32 = 2;

/// Longest description, characters.
const DESCRIPTION_CHARS_MAX: usize = 1000;

const CANCELLATION_REASONS: [&str; 4] = [
    "duplicate",
    "fraudulent",
    "requested_by_customer",
    "abandoned",
];

/// A payment.
#[derive(Debug)]
pub(super) struct Intent {
    id: Arc<str>,
    /// The part of the client secret after `_secret_`.
    secret: String,
    pub(super) amount: i64,
    /// Lower case.
    pub(super) currency: String,
    description: Option<String>,
    metadata: Metadata,
    created_s: i64,
    is_automatic: bool,
    state: Mutex<IntentState>,
}

/// What changes about a payment.
#[derive(Debug, Clone)]
pub(super) struct IntentState {
    pub(super) status: IntentStatus,
    /// The last try to take the money.
    pub(super) charge: Option<Arc<str>>,
    /// The payment method of that try.
    method: Option<&'static str>,
    decline: Option<Decline>,
    canceled_at_s: Option<i64>,
    cancellation_reason: Option<&'static str>,
    pub(super) refunds: Vec<Arc<Refund>>,
    /// The buyer's bank takes the money back.
    pub(super) dispute: Option<Arc<Dispute>>,
    /// Minor units given back.
    pub(super) refunded: i64,
}

/// A payment that is asked for.
#[derive(Debug)]
pub(super) struct NewIntent {
    amount: i64,
    currency: String,
    description: Option<String>,
    metadata: Metadata,
    is_automatic: bool,
}

impl NewIntent {
    pub(super) fn read(params: &mut Params) -> Result<Self, Fault> {
        let amount = amount("amount", &params.require("amount")?)?;
        let currency = params.require("currency")?.to_ascii_lowercase();
        let is_currency = currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_lowercase());
        if !is_currency {
            let message = format!("Invalid currency: {}", currency.escape_default());
            return Err(Fault::parameter("currency", message));
        }
        let is_automatic = params
            .take_bool("automatic_payment_methods[enabled]")?
            .unwrap_or(false);
        match params
            .take("automatic_payment_methods[allow_redirects]")
            .as_deref()
        {
            None | Some("always" | "never") => {}
            Some(_) => {
                let param = "automatic_payment_methods[allow_redirects]";
                let message = "This value must be always or never.".to_owned();
                return Err(Fault::parameter(param, message));
            }
        }
        let description = params.take("description").filter(|text| !text.is_empty());
        if description
            .as_ref()
            .is_some_and(|text| text.chars().count() > DESCRIPTION_CHARS_MAX)
        {
            let message = format!("A description has at most {DESCRIPTION_CHARS_MAX} characters.");
            return Err(Fault::parameter("description", message));
        }
        let metadata = params.take_metadata()?;
        Ok(Self {
            amount,
            currency,
            description,
            metadata,
            is_automatic,
        })
    }
}

/// How a payment is confirmed.
#[derive(Debug)]
pub(super) struct Confirmation {
    client_secret: String,
    method: &'static str,
    fortune: Fortune,
}

impl Confirmation {
    pub(super) fn read(params: &mut Params) -> Result<Self, Fault> {
        let client_secret = params.require("client_secret")?;
        let name = params.require("payment_method")?;
        // A browser says where to go after a bank's own page; there is no such page here.
        params.take("return_url");
        let (method, fortune) = methods::find(&name).ok_or_else(|| {
            Fault::resource_missing("PaymentMethod", &name, "payment_method").with_status_400()
        })?;
        Ok(Self {
            client_secret,
            method,
            fortune,
        })
    }
}

/// The reason of a cancellation, if one is given.
pub(super) fn read_cancellation(params: &mut Params) -> Result<Option<&'static str>, Fault> {
    let Some(reason) = params
        .take("cancellation_reason")
        .filter(|text| !text.is_empty())
    else {
        return Ok(None);
    };
    let known = CANCELLATION_REASONS
        .into_iter()
        .find(|known| *known == reason);
    let expected = || format!("Expected one of {}.", CANCELLATION_REASONS.join(", "));
    known
        .map(Some)
        .ok_or_else(|| Fault::parameter("cancellation_reason", expected()))
}

/// An amount of money, at least 1 minor unit.
pub(super) fn amount(param: &str, text: &str) -> Result<i64, Fault> {
    let amount = integer(param, text)?;
    if amount < 1 {
        let message = "This value must be greater than or equal to 1.".to_owned();
        return Err(Fault::parameter_integer(param, message));
    }
    if amount > AMOUNT_MINOR_MAX {
        let message = format!("The amount must be no more than {AMOUNT_MINOR_MAX}.");
        return Err(Fault::coded("amount_too_large", Some(param), message));
    }
    Ok(amount)
}

impl FakeStripe {
    pub(super) fn create_intent(&self, wish: NewIntent) -> Result<Done, Fault> {
        let NewIntent {
            amount,
            currency,
            description,
            metadata,
            is_automatic,
        } = wish;
        let state = IntentState::new();
        let intent = self.intents.add(Intent {
            id: random_id("pi_").into(),
            secret: random_id(""),
            amount,
            currency,
            description,
            metadata,
            created_s: now_s(),
            is_automatic,
            state: Mutex::new(state.clone()),
        })?;
        Ok(Done::Intent(intent, Box::new(state)))
    }

    pub(super) fn confirm_intent(
        &self,
        id: &str,
        confirmation: &Confirmation,
    ) -> Result<Done, Fault> {
        let intent = self.intents.find(id, "intent")?;
        intent.check_secret(&confirmation.client_secret)?;
        // Room for the webhooks first: a payment that succeeded and never says so would be worse than a refusal.
        let mut slots = self.outbox.reserve(CONFIRM_EVENTS)?;
        let mut state = intent.state();
        if state.status != IntentStatus::RequiresPaymentMethod {
            return Err(intent.unexpected_state(&state, "confirm"));
        }
        state.method = Some(confirmation.method);
        state.charge = Some(random_id("ch_").into());
        match confirmation.fortune {
            Fortune::Succeeds { then } => {
                // First what may be refused: the archive may be full.
                if let Some(then) = then {
                    self.complain(then, &intent, &mut state, &mut slots)?;
                }
                self.succeed(&intent, &mut state, &mut slots);
            }
            Fortune::Settles { failure } => {
                state.status = IntentStatus::Processing;
                state.decline = None;
                let object = intent.object(&state);
                self.outbox.send(
                    &mut slots,
                    "payment_intent.processing",
                    &object,
                    Duration::ZERO,
                );
                self.settle_later(&intent, failure, slots);
            }
            Fortune::Declines(decline) => {
                state.decline = Some(decline);
                let object = intent.object(&state);
                let kind = "payment_intent.payment_failed";
                self.outbox.send(&mut slots, kind, &object, Duration::ZERO);
                return Err(intent.declined(&state, &decline));
            }
        }
        let after = Box::new(state.clone());
        drop(state);
        Ok(Done::Intent(intent, after))
    }

    fn succeed(&self, intent: &Intent, state: &mut IntentState, slots: &mut Slots) {
        state.status = IntentStatus::Succeeded;
        state.decline = None;
        let object = intent.object(state);
        self.outbox
            .send(slots, "payment_intent.succeeded", &object, Duration::ZERO);
    }

    fn settle_later(&self, intent: &Arc<Intent>, failure: Option<Decline>, mut slots: Slots) {
        let intent = Arc::clone(intent);
        let outbox = self.outbox.clone();
        self.outbox.after(BANK_TRANSFER, move || {
            let mut state = intent.state();
            if state.status != IntentStatus::Processing {
                return;
            }
            let kind = if failure.is_some() {
                state.status = IntentStatus::RequiresPaymentMethod;
                "payment_intent.payment_failed"
            } else {
                state.status = IntentStatus::Succeeded;
                "payment_intent.succeeded"
            };
            state.decline = failure;
            let object = intent.object(&state);
            outbox.send(&mut slots, kind, &object, Duration::ZERO);
        });
    }

    pub(super) fn cancel_intent(
        &self,
        id: &str,
        reason: Option<&'static str>,
    ) -> Result<Done, Fault> {
        let intent = self.intents.find(id, "intent")?;
        let mut slots = self.outbox.reserve(1)?;
        let mut state = intent.state();
        if state.status != IntentStatus::RequiresPaymentMethod {
            return Err(intent.unexpected_state(&state, "cancel"));
        }
        state.status = IntentStatus::Canceled;
        state.canceled_at_s = Some(now_s());
        state.cancellation_reason = reason;
        let object = intent.object(&state);
        self.outbox.send(
            &mut slots,
            "payment_intent.canceled",
            &object,
            Duration::ZERO,
        );
        let after = Box::new(state.clone());
        drop(state);
        Ok(Done::Intent(intent, after))
    }

    /// The payment as it is now. A browser shows its client secret, which must fit.
    pub(super) fn read_intent(
        &self,
        id: &str,
        secret: Option<&str>,
    ) -> Result<PaymentIntent, Fault> {
        let intent = self.intents.find(id, "intent")?;
        if let Some(secret) = secret {
            intent.check_secret(secret)?;
        }
        let state = intent.state();
        Ok(intent.object(&state))
    }

    pub(super) fn list_intents(
        &self,
        wish: &PageWish,
    ) -> Result<(Vec<PaymentIntent>, bool), Fault> {
        let (intents, has_more) = self.intents.page(wish)?;
        let object = |intent: &Arc<Intent>| {
            let state = intent.state();
            intent.object(&state)
        };
        Ok((intents.iter().map(object).collect(), has_more))
    }
}

impl IntentState {
    fn new() -> Self {
        Self {
            status: IntentStatus::RequiresPaymentMethod,
            charge: None,
            method: None,
            decline: None,
            canceled_at_s: None,
            cancellation_reason: None,
            refunds: Vec::new(),
            dispute: None,
            refunded: 0,
        }
    }
}

impl Intent {
    pub(super) fn state(&self) -> MutexGuard<'_, IntentState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn client_secret(&self) -> String {
        format!("{}_secret_{}", self.id, self.secret)
    }

    fn check_secret(&self, client_secret: &str) -> Result<(), Fault> {
        if client_secret == self.client_secret() {
            return Ok(());
        }
        let message = "The client_secret provided does not match this PaymentIntent.".to_owned();
        Err(Fault::parameter("client_secret", message))
    }

    /// As Stripe shows it.
    pub(super) fn object(&self, state: &IntentState) -> PaymentIntent {
        let charge = state.charge.as_deref();
        let is_paid = state.status == IntentStatus::Succeeded;
        let decline = state.decline.as_ref();
        PaymentIntent {
            id: self.id.to_string(),
            object: "payment_intent".to_owned(),
            amount: self.amount,
            amount_received: if is_paid { self.amount } else { 0 },
            automatic_payment_methods: self
                .is_automatic
                .then_some(AutomaticPaymentMethods { enabled: true }),
            canceled_at: state.canceled_at_s,
            cancellation_reason: state.cancellation_reason.map(str::to_owned),
            client_secret: Some(self.client_secret()),
            created: self.created_s,
            currency: self.currency.clone(),
            description: self.description.clone(),
            last_payment_error: decline.map(|decline| decline.error(charge.unwrap_or_default())),
            latest_charge: charge.map(|id| Expandable::Id(id.to_owned())),
            livemode: false,
            metadata: self.metadata.clone(),
            // After a decline Stripe takes the method off again: the next try names its own.
            payment_method: state
                .method
                .filter(|_| decline.is_none())
                .map(str::to_owned),
            status: state.status,
        }
    }

    /// The last try to take the money, as Stripe shows it.
    pub(super) fn charge(&self, state: &IntentState) -> Charge {
        let is_paid = state.status == IntentStatus::Succeeded;
        let status = if is_paid { "succeeded" } else { "failed" };
        Charge {
            id: state.charge.as_deref().unwrap_or_default().to_owned(),
            object: "charge".to_owned(),
            amount: self.amount,
            amount_refunded: state.refunded,
            created: self.created_s,
            currency: self.currency.clone(),
            livemode: false,
            metadata: self.metadata.clone(),
            outcome: Some(methods::outcome(state.decline.as_ref())),
            paid: is_paid,
            payment_intent: Some(Expandable::Id(self.id.to_string())),
            refunded: state.refunded == self.amount,
            status: status.to_owned(),
        }
    }

    fn declined(&self, state: &IntentState, decline: &Decline) -> Fault {
        let charge = state.charge.as_deref().unwrap_or_default();
        let payment_intent = Some(Box::new(self.object(state)));
        let error = ErrorObject {
            payment_intent,
            ..decline.error(charge)
        };
        Fault::new(axum::http::StatusCode::PAYMENT_REQUIRED, error)
    }

    fn unexpected_state(&self, state: &IntentState, verb: &str) -> Fault {
        let status = state.status.as_str();
        let message =
            format!("You cannot {verb} this PaymentIntent because it has a status of {status}.");
        Fault::coded(crate::stripe::UNEXPECTED_STATE, None, message).about(self.object(state))
    }
}

impl Identified for Intent {
    const KIND: &'static str = "payment_intent";

    fn id(&self) -> &Arc<str> {
        &self.id
    }
}
