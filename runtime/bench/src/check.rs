//! The judge: compares the buyers' own book with what the platform says afterwards. Pure, so that doctored books prove that
//! it can say no. It trusts neither side: whatever the two do not agree on is a finding.

mod audit;
mod buyers;
mod memory;
mod misbehaviour;
mod money;
mod orders;
mod reseller;
mod stock;

use std::collections::{BTreeMap, BTreeSet};

use ticket_core::{CategoryName, OrderRef};

use crate::crowd::book::Book;
use crate::memory::Memory;
use crate::outside::{Audit, CategoryStock, ManagedOrder, Order};
use crate::partner::PartnerBooks;
use crate::provider::Charged;
use crate::sale::Misbehaviour;

pub(crate) use misbehaviour::{ABOUT_THE_SALE, unknown_complaints};

/// Findings of one check that are written out; the rest is counted.
const EXAMPLES_MAX: usize = 5;

/// Everything that is compared.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// What the buyers were told.
    pub book: Book,
    /// The event's categories, as the scripts count them.
    pub categories: Vec<CategoryName>,
    /// Most tickets of one buyer.
    pub quantity_max: u32,
    /// The provider's webhooks come at once and all of them. Else what was paid in time may be learned of late.
    pub is_news_sure: bool,
    /// Stock before the crowd came, by category.
    pub before: Vec<CategoryStock>,
    /// Stock after it had gone.
    pub after: Vec<CategoryStock>,
    /// Every acknowledged order, read once more by its buyer; the text says why it could not be read.
    pub read_again: BTreeMap<OrderRef, Result<Order, String>>,
    /// Orders that the event had before the crowd came.
    pub orders_before: BTreeSet<OrderRef>,
    /// Every order of the event, as an event manager sees it.
    pub orders: Vec<ManagedOrder>,
    /// The provider's own books.
    pub money: BTreeMap<OrderRef, Charged>,
    /// The platform's own audit.
    pub audit: Audit,
    /// Memory of runtime and operator at the end.
    pub memory: Vec<Memory>,
    /// What went wrong on purpose, if anything was to.
    pub misbehaviour: Option<Misbehaviour>,
    /// The reseller's books, if there is one.
    pub partner: Option<PartnerBooks>,
}

/// One thing that was compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What must hold, in a few words.
    pub name: &'static str,
    /// What was counted, if it holds.
    pub detail: String,
    /// What does not add up; empty if it holds.
    pub findings: Vec<String>,
}

impl Verdict {
    /// A verdict from what was counted and what was found.
    pub(crate) const fn new(name: &'static str, detail: String, findings: Vec<String>) -> Self {
        Self {
            name,
            detail,
            findings,
        }
    }

    /// Does it hold?
    #[must_use]
    pub fn holds(&self) -> bool {
        self.findings.is_empty()
    }

    /// The findings as lines: a few examples and how many more there are.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<_> = self.findings.iter().take(EXAMPLES_MAX).cloned().collect();
        let more = self.findings.len().saturating_sub(EXAMPLES_MAX);
        if more > 0 {
            lines.push(format!("... and {more} more"));
        }
        lines
    }
}

/// Compares everything with everything. All must hold.
#[must_use]
pub fn check(evidence: &Evidence) -> Vec<Verdict> {
    let mut verdicts = vec![
        buyers::answers(evidence),
        buyers::one_owner(evidence),
        buyers::endings(evidence),
        orders::every_acknowledged_order_ended(evidence),
        orders::both_books_list_the_same_orders(evidence),
        orders::limit_per_buyer(evidence),
        money::charged_for_what_was_bought(evidence),
        money::refunds_are_late_money(evidence),
        misbehaviour::complaints_are_known(evidence),
        stock::sold_is_what_buyers_paid(evidence),
        stock::nothing_is_held(evidence),
        stock::conserved(evidence),
        stock::store_equals_ledger(evidence),
        memory::within_limits(evidence),
    ];
    if let Some(partner) = &evidence.partner {
        verdicts.push(reseller::both_books_are_equal(evidence, partner));
    }
    if let Some(wanted) = &evidence.misbehaviour {
        verdicts.push(misbehaviour::took_place(evidence, wanted));
        verdicts.push(misbehaviour::late_money_came(evidence, wanted));
    }
    verdicts.extend(audit::checks(evidence));
    verdicts
}

#[cfg(test)]
mod tests;
