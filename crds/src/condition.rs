//! Conditions: their types in one place, and the one way to set them. Reasons are stable codes in `PascalCase`; whoever
//! sets a condition brings the reason.

use std::fmt;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Longest message of a condition, characters (the API server's own limit is 32,768; nobody reads that).
pub const MESSAGE_CHARS_MAX: usize = 1_024;

/// Type of a condition of an Event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// The order log is there as the spec wants it.
    TopicReady,
    /// The ledger has the stock shards.
    ShardsReady,
    /// The stock store is filled and armed with the ledger's epoch.
    StockSeeded,
    /// Everything is as the spec wants it: buyers can be served as soon as the sale's window is open.
    Ready,
    /// The operator has work left.
    Reconciling,
    /// Something is wrong; `lastError` says what.
    Degraded,
    /// An annotation keeps the operator out.
    Paused,
    /// Whether the last audit of the event, which goes round by itself, found nothing.
    Audited,
}

impl ConditionType {
    /// All, in the order in which a status lists them.
    pub const ALL: [Self; 8] = [
        Self::TopicReady,
        Self::ShardsReady,
        Self::StockSeeded,
        Self::Ready,
        Self::Reconciling,
        Self::Degraded,
        Self::Paused,
        Self::Audited,
    ];

    /// As in `status.conditions[].type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TopicReady => "TopicReady",
            Self::ShardsReady => "ShardsReady",
            Self::StockSeeded => "StockSeeded",
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Degraded => "Degraded",
            Self::Paused => "Paused",
            Self::Audited => "Audited",
        }
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is said about a condition now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// `Some(true)`, `Some(false)`, or `None` for unknown.
    pub is: Option<bool>,
    /// A stable code in `PascalCase`.
    pub reason: String,
    /// For people; cut at [`MESSAGE_CHARS_MAX`].
    pub message: String,
}

/// Sets one condition. The transition time is kept unless the status changes, so that saying the same twice gives
/// the same object and no write.
pub fn set_condition(
    conditions: &mut Vec<Condition>,
    which: ConditionType,
    said: Said,
    observed_generation: Option<i64>,
    now: Timestamp,
) {
    let status = match said.is {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    };
    let known = conditions.iter().position(|c| c.type_ == which.as_str());
    // Kubernetes keeps whole seconds; a finer time would differ from what is read back.
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let last_transition_time = match known.and_then(|at| conditions.get(at)) {
        Some(old) if old.status == status => old.last_transition_time.clone(),
        Some(_) | None => Time(now),
    };
    let condition = Condition {
        type_: which.as_str().to_owned(),
        status: status.to_owned(),
        reason: said.reason,
        message: said.message.chars().take(MESSAGE_CHARS_MAX).collect(),
        last_transition_time,
        observed_generation,
    };
    match known.and_then(|at| conditions.get_mut(at)) {
        Some(slot) => *slot = condition,
        None => conditions.push(condition),
    }
    let rank = |c: &Condition| {
        ConditionType::ALL
            .iter()
            .position(|t| t.as_str() == c.type_)
    };
    // Unknown types (of an older version) have no rank and come first; nothing of theirs is lost.
    conditions.sort_by_key(rank);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(is: bool, reason: &str) -> Said {
        Said {
            is: Some(is),
            reason: reason.to_owned(),
            message: String::new(),
        }
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut all = Vec::new();
        set_condition(
            &mut all,
            ConditionType::Ready,
            said(false, "Progressing"),
            Some(1),
            at(10),
        );
        set_condition(
            &mut all,
            ConditionType::Ready,
            said(false, "TopicConflict"),
            Some(2),
            at(20),
        );
        assert_eq!(all[0].last_transition_time, Time(at(10)));
        assert_eq!(
            (all[0].reason.as_str(), all[0].observed_generation),
            ("TopicConflict", Some(2))
        );
        set_condition(
            &mut all,
            ConditionType::Ready,
            said(true, "Ready"),
            Some(2),
            at(30),
        );
        assert_eq!(all[0].last_transition_time, Time(at(30)));
        assert_eq!(all.len(), 1);
    }

    #[test]
    fn conditions_stand_in_one_order_whatever_was_said_first() {
        let mut all = Vec::new();
        for which in ConditionType::ALL.iter().rev() {
            set_condition(
                &mut all,
                *which,
                said(true, "Ready"),
                None,
                Timestamp::UNIX_EPOCH,
            );
        }
        let types: Vec<&str> = all.iter().map(|c| c.type_.as_str()).collect();
        assert_eq!(types, ConditionType::ALL.map(ConditionType::as_str));
    }
}
