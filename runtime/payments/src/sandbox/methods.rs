//! Stripe's test payment methods, and what becomes of a payment that is confirmed with one. Source: Stripe's page on
//! testing, and CONTRACT section 2 for `pm_bank_transfer`, which is ours, as is `pm_bank_transfer_fails`.

use crate::stripe::objects::{ErrorObject, OUTCOME_BLOCKED, Outcome};

/// What becomes of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fortune {
    /// The money is there, and something may follow.
    Succeeds { then: Option<Aftermath> },
    /// On its way for two seconds, then there unless it fails.
    Settles { failure: Option<Decline> },
    /// No money.
    Declines(Decline),
}

/// What follows a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aftermath {
    /// `radar.early_fraud_warning.created`
    FraudWarning,
    /// `charge.dispute.created`
    Dispute,
}

/// Why there is no money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decline {
    /// `code` of the error.
    code: &'static str,
    /// `decline_code` of the error.
    why: &'static str,
    message: &'static str,
    /// Stopped by Radar before the bank was asked.
    is_blocked: bool,
}

const DECLINED: Decline = Decline {
    code: "card_declined",
    why: "generic_decline",
    message: "Your card was declined.",
    is_blocked: false,
};

/// Radar blocks a payment of the highest risk; the buyer is told no more than "declined".
const BLOCKED: Decline = Decline {
    why: "fraudulent",
    is_blocked: true,
    ..DECLINED
};

const NO_FUNDS: Decline = Decline {
    why: "insufficient_funds",
    message: "Your card has insufficient funds.",
    ..DECLINED
};

const EXPIRED: Decline = Decline {
    code: "expired_card",
    why: "expired_card",
    message: "Your card has expired.",
    is_blocked: false,
};

/// A bank transfer that did not come.
const BOUNCED: Decline = Decline {
    code: "payment_intent_payment_attempt_failed",
    why: "generic_decline",
    message: "The payment failed.",
    is_blocked: false,
};

const METHODS: [(&str, Fortune); 10] = [
    ("pm_card_visa", Fortune::Succeeds { then: None }),
    ("pm_card_mastercard", Fortune::Succeeds { then: None }),
    ("pm_card_chargeDeclined", Fortune::Declines(DECLINED)),
    (
        "pm_card_chargeDeclinedInsufficientFunds",
        Fortune::Declines(NO_FUNDS),
    ),
    (
        "pm_card_chargeDeclinedExpiredCard",
        Fortune::Declines(EXPIRED),
    ),
    ("pm_card_radarBlock", Fortune::Declines(BLOCKED)),
    (
        "pm_card_createIssuerFraudRecord",
        Fortune::Succeeds {
            then: Some(Aftermath::FraudWarning),
        },
    ),
    (
        "pm_card_createDispute",
        Fortune::Succeeds {
            then: Some(Aftermath::Dispute),
        },
    ),
    ("pm_bank_transfer", Fortune::Settles { failure: None }),
    (
        "pm_bank_transfer_fails",
        Fortune::Settles {
            failure: Some(BOUNCED),
        },
    ),
];

/// A payment method by name, with the name in static memory.
pub(super) fn find(name: &str) -> Option<(&'static str, Fortune)> {
    METHODS.into_iter().find(|(known, _)| *known == name)
}

impl Decline {
    /// The error object, for the answer and for `last_payment_error`.
    pub(super) fn error(&self, charge: &str) -> ErrorObject {
        ErrorObject {
            kind: Some("card_error".to_owned()),
            code: Some(self.code.to_owned()),
            decline_code: Some(self.why.to_owned()),
            message: Some(self.message.to_owned()),
            charge: Some(charge.to_owned()),
            doc_url: Some(format!(
                "https://stripe.com/docs/error-codes/{}",
                self.code.replace('_', "-")
            )),
            ..ErrorObject::default()
        }
    }
}

/// The `outcome` of a charge.
pub(super) fn outcome(decline: Option<&Decline>) -> Outcome {
    let words = match decline {
        None => ("approved_by_network", None, "normal", "authorized"),
        Some(decline) if decline.is_blocked => (
            "not_sent_to_network",
            Some("highest_risk_level"),
            "highest",
            OUTCOME_BLOCKED,
        ),
        Some(decline) => (
            "declined_by_network",
            Some(decline.why),
            "normal",
            "issuer_declined",
        ),
    };
    let (network_status, reason, risk_level, kind) = words;
    Outcome {
        network_status: Some(network_status.to_owned()),
        reason: reason.map(str::to_owned),
        risk_level: Some(risk_level.to_owned()),
        kind: kind.to_owned(),
    }
}
