//! `POST /admin/v1/events/{event}/audit`: does everything add up?

use serde::{Deserialize, Serialize};

/// The answer of an audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditReport {
    /// `<namespace>.<name>`.
    pub event: String,
    /// Every check holds or was skipped for a reason that is no fault.
    pub ok: bool,
    /// `conservation`, `states`, `store`, `facts`, `payments`.
    pub checks: Vec<Check>,
}

/// One question and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Check {
    /// Stable, `snake_case`.
    pub name: String,
    /// It holds, or was skipped.
    pub ok: bool,
    /// What was compared, or what differs, or why it was skipped.
    pub detail: String,
    /// The question could not be asked now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
}

impl AuditReport {
    /// The report of `checks`.
    #[must_use]
    pub fn new(event: impl Into<String>, checks: Vec<Check>) -> Self {
        Self {
            event: event.into(),
            ok: checks.iter().all(|check| check.ok),
            checks,
        }
    }
}

impl AuditReport {
    /// Names of the checks that do not hold, in their order.
    #[must_use]
    pub fn failed(&self) -> Vec<String> {
        let failed = self.checks.iter().filter(|check| !check.ok);
        failed.map(|check| check.name.clone()).collect()
    }
}

impl Check {
    /// It holds.
    #[must_use]
    pub fn holds(name: &str, detail: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            ok: true,
            detail: detail.into(),
            skipped: false,
        }
    }

    /// It does not hold.
    #[must_use]
    pub fn fails(name: &str, detail: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            ok: false,
            detail: detail.into(),
            skipped: false,
        }
    }

    /// It could not be asked now, which is no fault.
    #[must_use]
    pub fn skipped(name: &str, reason: impl std::fmt::Display) -> Self {
        let detail = format!("skipped: {reason}");
        Self {
            name: name.to_owned(),
            ok: true,
            detail,
            skipped: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_check_that_fails_fails_the_report_and_a_skipped_one_does_not() {
        let fine = vec![
            Check::holds("conservation", "8 shards"),
            Check::skipped("store", "busy"),
        ];
        let holds = AuditReport::new("default.demo", fine.clone());
        assert!(holds.ok && holds.failed().is_empty());
        let broken = [fine, vec![Check::fails("facts", "1 differs")]].concat();
        let broken = AuditReport::new("default.demo", broken);
        assert!(!broken.ok);
        assert_eq!(broken.failed(), ["facts"]);
    }
}
