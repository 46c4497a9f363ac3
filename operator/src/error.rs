//! What can go wrong while an Event is looked after. It is written to the status once, and decides how long to wait.

use std::time::Duration;

use ticket_bus::BusError;
use ticket_core::{Code, ErrorClass, InvalidId};
use ticket_crds::Invalid;
use ticket_ledger::LedgerError;
use ticket_stock::StockError;
use ticket_warmup::WarmupError;

pub(crate) type Result<T> = std::result::Result<T, OperatorError>;

/// One of the three servers behind an Event said no.
#[derive(Debug, thiserror::Error)]
pub enum Dependency {
    /// `PostgreSQL`.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Redis.
    #[error(transparent)]
    Stock(#[from] StockError),
    /// Kafka.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// Several of them, for the first seed.
    #[error(transparent)]
    Warmup(#[from] WarmupError),
}

impl Dependency {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Ledger(cause) => cause.class(),
            Self::Stock(cause) => cause.class(),
            Self::Bus(cause) => cause.class(),
            Self::Warmup(cause) => cause.class(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Ledger(cause) => cause.code(),
            Self::Stock(cause) => cause.code(),
            Self::Bus(cause) => cause.code(),
            Self::Warmup(cause) => cause.code(),
        }
    }
}

/// An action for an Event that failed.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The spec breaks a rule.
    #[error("the Event is not valid")]
    Invalid {
        /// Field and rule.
        #[source]
        cause: Invalid,
    },
    /// The object cannot even be read.
    #[error("the Event cannot be read: {why}")]
    Malformed {
        /// What the parser said.
        why: String,
    },
    /// A name that the services do not accept.
    #[error("the Event's names are not valid")]
    Name {
        /// Which and why.
        #[source]
        cause: InvalidId,
    },
    /// The ledger's event belongs to an older resource.
    #[error("the ledger's event of this name belongs to the older resource with uid {owner}")]
    Owned {
        /// Its uid.
        owner: String,
    },
    /// The ledger no longer has the event that this resource has sold.
    #[error(
        "the ledger does not have event {known} any more, which this resource has sold: restore the ledger, or delete the resource and apply it again to start anew"
    )]
    Forgotten {
        /// Identity that the status names.
        known: String,
    },
    /// The API server refused or broke off a call.
    #[error("could not {action}")]
    Kubernetes {
        /// What was tried.
        action: &'static str,
        /// Why.
        #[source]
        cause: Box<kube::Error>,
    },
    /// The API server did not answer in time.
    #[error("no answer from the API server within {} ms to: {action}", after.as_millis())]
    KubernetesDeadline {
        /// What was tried.
        action: &'static str,
        /// How long it was waited for.
        after: Duration,
    },
    /// What is there could not be read.
    #[error("could not look at {what}")]
    Observe {
        /// Topic, event row ...
        what: &'static str,
        /// Why.
        #[source]
        cause: Box<Dependency>,
    },
    /// A step failed. The same again is safe.
    #[error("step {step} failed")]
    Step {
        /// Its name.
        step: &'static str,
        /// Why.
        #[source]
        cause: Box<Dependency>,
    },
    /// Others change the same things at the same time, or a server lies about what it did.
    #[error("the plan did not get shorter in {looks} looks, next is {step}")]
    Unsettled {
        /// How often it was planned.
        looks: usize,
        /// What would come next.
        step: &'static str,
    },
}

impl OperatorError {
    /// What may be done about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Invalid { .. }
            | Self::Malformed { .. }
            | Self::Name { .. }
            | Self::Forgotten { .. } => ErrorClass::Permanent,
            Self::Owned { .. } | Self::Unsettled { .. } => ErrorClass::Conflict,
            Self::Kubernetes { cause, .. } => match status_code(cause) {
                // Stale, or gone: the watch brings the newer object.
                Some(404 | 409 | 422) => ErrorClass::Conflict,
                Some(400 | 401 | 403) => ErrorClass::Permanent,
                Some(_) | None => ErrorClass::Retry,
            },
            Self::KubernetesDeadline { .. } => ErrorClass::Retry,
            Self::Observe { cause, .. } | Self::Step { cause, .. } => cause.class(),
        }
    }

    /// Stable code, `kebab-case`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } | Self::Malformed { .. } | Self::Name { .. } => {
                Code::InvalidSpec.as_str()
            }
            Self::Owned { .. } => Code::ResourceConflict.as_str(),
            Self::Forgotten { .. } => Code::StockLost.as_str(),
            Self::Kubernetes { .. } | Self::KubernetesDeadline { .. } => {
                Code::KubernetesFailed.as_str()
            }
            Self::Observe { cause, .. } | Self::Step { cause, .. } => cause.code(),
            Self::Unsettled { .. } => Code::PlanUnsettled.as_str(),
        }
    }

    /// The step that failed, if it was one.
    #[must_use]
    pub const fn step(&self) -> Option<&'static str> {
        match self {
            Self::Step { step, .. } | Self::Unsettled { step, .. } => Some(step),
            Self::Invalid { .. }
            | Self::Malformed { .. }
            | Self::Name { .. }
            | Self::Owned { .. }
            | Self::Forgotten { .. }
            | Self::Kubernetes { .. }
            | Self::KubernetesDeadline { .. }
            | Self::Observe { .. } => None,
        }
    }
}

/// What the API server answered; `None`: it did not.
pub(crate) fn status_code(cause: &kube::Error) -> Option<u16> {
    if let kube::Error::Api(status) = cause {
        Some(status.code)
    } else {
        None
    }
}

/// `kebab-case` as a Kubernetes reason.
pub(crate) fn reason_of(code: &str) -> String {
    code.split('-')
        .flat_map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase());
            first.into_iter().chain(letters)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_the_code_in_its_other_spelling() {
        for code in Code::ALL {
            assert_eq!(reason_of(code.as_str()), code.reason());
        }
    }
}
