//! What the buyers themselves can tell: answers against the contract, orders that two of them own, ends that do not follow
//! from what was done.

use std::collections::BTreeMap;

use ticket_core::{Reason, State};

use super::{Evidence, Verdict};
use crate::crowd::book::{Acknowledged, Deed};

/// No answer was against the contract: statuses, codes, repeats, prices.
pub(super) fn answers(evidence: &Evidence) -> Verdict {
    let stories = &evidence.book.stories;
    let findings = stories
        .iter()
        .flat_map(|story| {
            story
                .faults
                .iter()
                .map(|fault| format!("{}: {fault}", story.buyer))
        })
        .collect();
    let requests: u64 = evidence.book.tally.answers.values().sum();
    let detail = format!("{} buyers got {requests} answers", stories.len());
    Verdict::new("every answer was as promised", detail, findings)
}

/// No order belongs to two buyers.
pub(super) fn one_owner(evidence: &Evidence) -> Verdict {
    let mut owners = BTreeMap::new();
    let mut findings = Vec::new();
    for (story, order) in evidence.book.acknowledged() {
        if let Some(first) = owners.insert(order.id, &story.buyer) {
            findings.push(format!(
                "{} was given to {first} and to {}",
                order.id, story.buyer
            ));
        }
    }
    Verdict::new(
        "every order has one buyer",
        format!("{} orders", owners.len()),
        findings,
    )
}

/// The end of each order follows from what its buyer did: who paid has tickets or the money back, and nobody else has.
pub(super) fn endings(evidence: &Evidence) -> Verdict {
    let mut findings = Vec::new();
    let mut paid = 0;
    for (_, order) in evidence.book.acknowledged() {
        let has_paid = matches!(order.deed, Deed::Paid | Deed::PaidThenCancelled);
        paid += usize::from(has_paid);
        if let Some(wrong) = wrong_end(order, evidence.is_news_sure) {
            findings.push(format!(
                "{} ended as {}: {wrong}",
                order.id, order.last_state
            ));
        }
    }
    Verdict::new(
        "money and tickets agree",
        format!("{paid} payments succeeded"),
        findings,
    )
}

fn wrong_end(order: &Acknowledged, is_news_sure: bool) -> Option<&'static str> {
    let end = order.last_state;
    if !end.is_final() {
        // Another check says so.
        return None;
    }
    // What was done late may lose against the end of the hold: the order expires, and money that comes then claims the
    // tickets again if there are any, or goes back.
    let is_late = !order.was_in_time || !is_news_sure;
    let is_expired = is_late && end == State::Expired;
    let (fits, why) = match order.deed {
        Deed::Paid => {
            let is_refunded = is_late && end == State::Refunded;
            (
                end == State::Paid || is_refunded,
                "the provider has the money",
            )
        }
        Deed::Blocked => {
            let is_failed = (end, order.last_reason) == (State::PaymentFailed, Some(Reason::Fraud));
            (is_failed || is_expired, "its payment was blocked as fraud")
        }
        Deed::PaidThenCancelled => {
            // The news of the money was there first: before the wish, or before an order that had expired was cancelled.
            let is_paid = is_late && end == State::Paid;
            (
                end == State::Refunded || is_paid,
                "it was cancelled while its money was on the way",
            )
        }
        Deed::Cancelled => (end == State::Cancelled || is_expired, "it was cancelled"),
        Deed::Nothing => (
            matches!(end, State::Expired | State::Rejected),
            "nobody paid, so it expires",
        ),
    };
    (!fits).then_some(why)
}
