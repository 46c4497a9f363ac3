//! That what was to go wrong did go wrong: a campaign in which nothing happened proves nothing.

use ticket_core::State;

use super::{Evidence, Verdict};
use crate::crowd::book::{Acknowledged, Deed};
use crate::crowd::script::{ENDINGS, Ending};
use crate::sale::Misbehaviour;

/// What is expected at least so often must happen: with fewer, none may come by chance. At eight that is one run in 3,000.
const EXPECTED_MIN: usize = 8;

const TOOK_PLACE: &str = "everything that may go wrong did";
const LATE_MONEY: &str = "money came late";

/// Verdicts that are about the sale and not about the platform.
pub(crate) const ABOUT_THE_SALE: [&str; 2] = [TOOK_PLACE, LATE_MONEY];

/// Each fault of the provider and each kind of buyer that was promised took place.
pub(super) fn took_place(evidence: &Evidence, misbehaviour: &Misbehaviour) -> Verdict {
    let Misbehaviour {
        faults,
        webhooks,
        reclaimed: _,
    } = misbehaviour;
    let mut findings = Vec::new();
    let mut counted = vec![format!("{} webhooks", webhooks.caused)];
    for (what, is_promised, times) in [
        ("late", faults.late_ms > 0, webhooks.late),
        ("twice", faults.duplicate > 0.0, webhooks.duplicated),
        ("lost", faults.drop > 0.0, webhooks.dropped),
        ("shuffled", faults.shuffle > 0.0, webhooks.shuffled),
    ] {
        if is_promised && times == 0 {
            findings.push(format!("no webhook was {what}"));
        }
        counted.push(format!("{times} {what}"));
    }
    let orders = evidence.book.acknowledged().count();
    for (ending, percent) in ENDINGS {
        let so = |(story, order): &(&crate::crowd::book::Story, &Acknowledged)| {
            story.script.ending == ending && happened(ending, order)
        };
        let times = evidence.book.acknowledged().filter(so).count();
        let percent = usize::try_from(percent).unwrap_or(0);
        if times == 0 && orders * percent / 100 >= EXPECTED_MIN {
            findings.push(format!("no buyer {}", ending.as_str()));
        }
        counted.push(format!("{times} {}", ending.as_str()));
    }
    Verdict::new(TOOK_PLACE, counted.join(", "), findings)
}

/// Did the buyer get to do what he came for?
fn happened(ending: Ending, order: &Acknowledged) -> bool {
    match ending {
        Ending::Pays
        | Ending::PaysAfterDecline
        | Ending::PaysByTransfer
        | Ending::PaysAtTheLastMoment
        | Ending::PaysAndIsWarnedOf
        | Ending::PaysAndDisputes => order.deed == Deed::Paid,
        Ending::TransfersAndCancels => order.deed == Deed::PaidThenCancelled,
        Ending::Blocked => order.deed == Deed::Blocked,
        Ending::Cancels => order.deed == Deed::Cancelled,
        Ending::DeclinedForGood | Ending::NeverPays => order.last_state == State::Expired,
    }
}

/// Money came after the order had ended, and became tickets again or went back.
pub(super) fn late_money_came(evidence: &Evidence, misbehaviour: &Misbehaviour) -> Verdict {
    let mut findings = Vec::new();
    let returned = super::money::late(evidence).count();
    let reclaimed = misbehaviour.reclaimed;
    let orders = evidence.book.acknowledged().count();
    let percent = |wanted: Ending| {
        let found = ENDINGS.iter().find(|(ending, _)| *ending == wanted);
        found.map_or(0, |(_, percent)| usize::try_from(*percent).unwrap_or(0))
    };
    let expected = orders * percent(Ending::TransfersAndCancels) / 100;
    if returned == 0 && expected >= EXPECTED_MIN {
        findings.push("no money came for an order that had ended".to_owned());
    }
    let detail = format!(
        "for {} orders: {returned} got it back, {reclaimed} got their tickets again",
        returned + reclaimed
    );
    Verdict::new(LATE_MONEY, detail, findings)
}

/// Every warning and every dispute is known, also those of which nobody was told.
pub(super) fn complaints_are_known(evidence: &Evidence) -> Verdict {
    let findings: Vec<_> = unknown_complaints(evidence.book.acknowledged(), &evidence.orders)
        .into_iter()
        .map(|(id, flag)| format!("{id} is not flagged as {flag}"))
        .collect();
    let flagged = evidence
        .orders
        .iter()
        .filter(|order| !order.flags.is_empty());
    let detail = format!("{} orders are flagged", flagged.count());
    Verdict::new("every complaint is known", detail, findings)
}

/// Orders that were paid with a card that is complained of, without the flag that follows.
pub(crate) fn unknown_complaints<'a>(
    acknowledged: impl Iterator<Item = (&'a crate::crowd::book::Story, &'a Acknowledged)>,
    orders: &[crate::outside::ManagedOrder],
) -> Vec<(ticket_core::OrderRef, &'static str)> {
    let flags: std::collections::BTreeMap<_, _> = orders
        .iter()
        .map(|order| (order.id, &order.flags))
        .collect();
    acknowledged
        .filter(|(_, order)| order.deed == Deed::Paid)
        .filter_map(|(story, order)| {
            let flag = match story.script.ending {
                Ending::PaysAndIsWarnedOf => "fraud-warning",
                Ending::PaysAndDisputes => "disputed",
                Ending::Pays
                | Ending::PaysAfterDecline
                | Ending::PaysByTransfer
                | Ending::PaysAtTheLastMoment
                | Ending::TransfersAndCancels
                | Ending::DeclinedForGood
                | Ending::Blocked
                | Ending::NeverPays
                | Ending::Cancels => return None,
            };
            let has = flags.get(&order.id);
            let is_known = has.is_some_and(|flags| flags.iter().any(|known| known == flag));
            (!is_known).then_some((order.id, flag))
        })
        .collect()
}
