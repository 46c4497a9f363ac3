//! Money equals tickets: every paid order has one succeeded payment of its amount at the provider, and every succeeded
//! payment belongs to an order that is paid or gets its money back. The provider is read first and the ledger second.
//! Money of which the provider has not told us yet is looked at again before it counts.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use ticket_core::{Currency, Money, OrderRecord, OrderRef, State};
use ticket_ledger::LedgerError;
use ticket_payments::{ComplaintKind, PaymentError, PaymentStatus, Provider, RefundStatus};

use super::{Auditor, Findings, ORDERS_MAX, PAGE_ORDERS, Verdict, is_under_way};
use crate::catalog::EventEntry;

/// Pages of payments or refunds that are read; a provider's page has at most 100.
const PAGES_MAX: usize = 10_000;

/// Looks at orders whose money the ledger does not know of yet: a webhook may just be on its way.
const LOOKS_MAX: u32 = 5;

/// Between two looks. All looks together outlast a slow webhook and the batch behind it.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What the provider says of an order.
#[derive(Debug, Default)]
struct Received {
    /// Succeeded payments.
    paid: Vec<Paid>,
    /// Refunds that did not fail, minor units.
    given_back_minor: i64,
    /// What the buyer got back through the bank for good, minor units. A paid order stays paid all the same, and flagged.
    taken_back_minor: i64,
}

impl Received {
    /// What is back at the buyer, minor units.
    const fn back_minor(&self) -> i64 {
        self.given_back_minor + self.taken_back_minor
    }
}

/// A succeeded payment.
#[derive(Debug)]
struct Paid {
    id: String,
    amount: Money,
    received_minor: i64,
}

/// What is to be said of an order.
#[derive(Debug, PartialEq, Eq)]
enum Opinion {
    /// Tickets and money fit. Minor units that are ours.
    Fits(i64),
    /// The buyer has paid, the ledger may not have heard of it yet.
    Suspect,
    /// Something is wrong.
    Wrong(String),
}

impl<P: Provider> Auditor<'_, P> {
    pub(super) async fn payments(&self, event: &EventEntry, begun: Timestamp) -> Verdict {
        let provider = match self.at_provider(event).await {
            Ok(Some(provider)) => provider,
            Ok(None) => return Verdict::Skipped("the provider has too many payments".to_owned()),
            Err(error) => return Verdict::unknown(&error),
        };
        let mut books = Books::new(event, provider, begun);
        let mut after = None;
        loop {
            let page = match self
                .ledger
                .event_orders(event.id(), after, PAGE_ORDERS)
                .await
            {
                Ok(page) => page,
                Err(error) => return Verdict::unknown(&error),
            };
            let Some((last, _)) = page.last() else {
                break;
            };
            after = Some(*last);
            for (reference, record) in &page {
                books.enter(*reference, record);
            }
            if books.orders > ORDERS_MAX {
                return Verdict::Skipped(format!("more than {ORDERS_MAX} orders"));
            }
        }
        match self.look_again(&mut books).await {
            Ok(()) => books.verdict(),
            Err(error) => Verdict::unknown(&error),
        }
    }

    /// Asks the ledger again about orders that it should have heard of by now.
    async fn look_again(&self, books: &mut Books<'_>) -> Result<(), LedgerError> {
        for _ in 0..LOOKS_MAX {
            if books.suspects.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
            let suspects = std::mem::take(&mut books.suspects);
            for (reference, record) in self.ledger.orders(&suspects).await? {
                books.judge(reference, &record);
            }
        }
        Ok(())
    }

    /// By order; `None` when there is too much to read. Refunds that somebody made at the provider's dashboard name no order,
    /// so what went back is looked up by payment.
    async fn at_provider(
        &self,
        event: &EventEntry,
    ) -> Result<Option<HashMap<OrderRef, Received>>, PaymentError> {
        let (Some(refunded), Some(taken_back)) = (self.refunded().await?, self.taken_back().await?)
        else {
            return Ok(None);
        };
        let minor_of = |by_payment: &HashMap<String, i64>, payment: &str| {
            by_payment.get(payment).copied().unwrap_or(0)
        };
        let is_ours =
            |order: OrderRef| event.row.shards.iter().any(|shard| shard.id == order.shard);
        let mut orders: HashMap<OrderRef, Received> = HashMap::new();
        let mut after = None;
        for _ in 0..PAGES_MAX {
            let page = self.provider.list(after.as_deref()).await?;
            for payment in page.items {
                let Some(order) = payment.order.filter(|order| is_ours(*order)) else {
                    continue;
                };
                if payment.status == PaymentStatus::Succeeded {
                    let received = orders.entry(order).or_default();
                    received.given_back_minor += minor_of(&refunded, &payment.id);
                    received.taken_back_minor += minor_of(&taken_back, &payment.id);
                    received.paid.push(Paid {
                        id: payment.id,
                        amount: payment.amount,
                        received_minor: payment.received_minor,
                    });
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(Some(orders));
            }
        }
        Ok(None)
    }

    /// Money that we gave back, by payment.
    async fn refunded(&self) -> Result<Option<HashMap<String, i64>>, PaymentError> {
        let mut refunded: HashMap<String, i64> = HashMap::new();
        let mut after = None;
        for _ in 0..PAGES_MAX {
            let page = self.provider.list_refunds(after.as_deref()).await?;
            for refund in page.items {
                if let Some(payment) = refund.payment
                    && refund.status != RefundStatus::Failed
                {
                    *refunded.entry(payment).or_default() += refund.amount.amount_minor;
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(Some(refunded));
            }
        }
        Ok(None)
    }

    /// Money that buyers got back through their banks for good, by payment.
    async fn taken_back(&self) -> Result<Option<HashMap<String, i64>>, PaymentError> {
        let mut taken_back: HashMap<String, i64> = HashMap::new();
        let mut after = None;
        for _ in 0..PAGES_MAX {
            let (kind, since) = (ComplaintKind::Dispute, Timestamp::UNIX_EPOCH);
            let page = self.provider.list_complaints(kind, since, after.as_deref());
            let page = page.await?;
            for dispute in page.items {
                if let Some(payment) = dispute.payment {
                    *taken_back.entry(payment).or_default() += dispute.taken_back_minor;
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(Some(taken_back));
            }
        }
        Ok(None)
    }
}

/// Both sides, side by side.
struct Books<'a> {
    event: &'a EventEntry,
    provider: HashMap<OrderRef, Received>,
    begun: Timestamp,
    /// Orders of the ledger that were entered.
    orders: usize,
    /// Orders that the provider knows and the ledger too.
    met: usize,
    suspects: Vec<OrderRef>,
    paid: u64,
    minor: i64,
    findings: Findings,
}

impl<'a> Books<'a> {
    fn new(event: &'a EventEntry, provider: HashMap<OrderRef, Received>, begun: Timestamp) -> Self {
        let findings = Findings::default();
        Self {
            event,
            provider,
            begun,
            orders: 0,
            met: 0,
            suspects: Vec::new(),
            paid: 0,
            minor: 0,
            findings,
        }
    }

    /// An order of the ledger, each once.
    fn enter(&mut self, reference: OrderRef, record: &OrderRecord) {
        self.orders += 1;
        self.met += usize::from(self.provider.contains_key(&reference));
        self.judge(reference, record);
    }

    fn judge(&mut self, reference: OrderRef, record: &OrderRecord) {
        let none = Received::default();
        let received = self.provider.get(&reference).unwrap_or(&none);
        match opinion(record, self.currency(reference), received) {
            Opinion::Fits(minor) => {
                self.paid += u64::from(minor > 0);
                self.minor = self.minor.saturating_add(minor);
            }
            Opinion::Suspect => self.suspects.push(reference),
            // Paid after the provider was read.
            Opinion::Wrong(_) if is_under_way(record.updated_at, self.begun) => {}
            Opinion::Wrong(what) => {
                let state = record.state;
                self.findings
                    .add(|| format!("order {reference} is {state}: {what}"));
            }
        }
    }

    /// What the order's category is sold for.
    fn currency(&self, reference: OrderRef) -> Option<Currency> {
        let shard = self
            .event
            .row
            .shards
            .iter()
            .find(|shard| shard.id == reference.shard)?;
        let category = self
            .event
            .categories
            .iter()
            .find(|it| it.name == shard.category)?;
        Some(category.price.currency)
    }

    fn verdict(mut self) -> Verdict {
        for suspect in &self.suspects {
            self.findings
                .add(|| format!("order {suspect}: there is money that nobody told us of"));
        }
        let strangers = self.provider.len() - self.met;
        if strangers > 0 {
            self.findings
                .add(|| format!("{strangers} orders have payments but are not in the ledger"));
        }
        let Self {
            paid,
            minor,
            findings,
            ..
        } = self;
        findings.verdict(|| format!("{paid} paid orders = {paid} payments, {minor} minor units"))
    }
}

/// Do the order and its money fit? `currency` is the category's.
fn opinion(record: &OrderRecord, currency: Option<Currency>, received: &Received) -> Opinion {
    if let [_, _, ..] = received.paid.as_slice() {
        return Opinion::Wrong(format!("paid {} times", received.paid.len()));
    }
    let paid = received.paid.first();
    match (record.state, paid) {
        (State::Paid, None) => Opinion::Wrong("no payment has succeeded".to_owned()),
        (State::Paid, Some(_)) if received.given_back_minor > 0 => Opinion::Suspect,
        (State::Paid, Some(paid)) => equal(record, currency, paid),
        (State::Refunded, Some(paid)) if received.back_minor() != paid.received_minor => {
            let (got, back) = (paid.received_minor, received.back_minor());
            Opinion::Wrong(format!("received {got}, gave back {back} minor units"))
        }
        // Refunding: on the way; how long that may take is the provider's.
        (State::Refunding | State::Refunded, _)
        | (
            State::Queued
            | State::Reserved
            | State::AwaitingPayment
            | State::Rejected
            | State::PaymentFailed
            | State::Expired
            | State::Cancelled,
            None,
        ) => Opinion::Fits(0),
        (
            State::Queued
            | State::Reserved
            | State::AwaitingPayment
            | State::Rejected
            | State::PaymentFailed
            | State::Expired
            | State::Cancelled,
            Some(_),
        ) => Opinion::Suspect,
    }
}

fn equal(record: &OrderRecord, currency: Option<Currency>, paid: &Paid) -> Opinion {
    let ours = record.amount_minor;
    let is_equal = paid.amount.amount_minor == ours
        && paid.received_minor == ours
        && currency.is_none_or(|currency| currency == paid.amount.currency);
    if !is_equal {
        let Paid {
            amount,
            received_minor,
            ..
        } = paid;
        let asked = amount.amount_minor;
        let currency = amount.currency;
        return Opinion::Wrong(format!(
            "costs {ours}, asked for {asked} and received {received_minor} {currency} minor units"
        ));
    }
    match &record.payment {
        Some(payment) if payment.id != paid.id => Opinion::Wrong(format!(
            "its payment is {}, paid was {}",
            payment.id, paid.id
        )),
        Some(_) | None => Opinion::Fits(ours),
    }
}

#[cfg(test)]
mod tests {
    use ticket_core::{BuyerId, OrderId, Passed};

    use super::*;

    fn record(state: State) -> OrderRecord {
        OrderRecord {
            order: OrderId(uuid::Uuid::from_u128(1)),
            version: 1,
            state,
            reason: None,
            passed: Passed::default(),
            buyer: BuyerId::new("b").unwrap(),
            quantity: 2,
            amount_minor: 500,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            hold_expires_at: None,
            payment: None,
        }
    }

    fn received(amounts: &[i64], given_back_minor: i64) -> Received {
        let paid = |amount: &i64| Paid {
            id: "pi_1".to_owned(),
            amount: Money {
                currency: idr(),
                amount_minor: *amount,
            },
            received_minor: *amount,
        };
        Received {
            paid: amounts.iter().map(paid).collect(),
            given_back_minor,
            taken_back_minor: 0,
        }
    }

    fn idr() -> Currency {
        Currency::new("IDR").unwrap()
    }

    fn of(state: State, received: &Received) -> Opinion {
        opinion(&record(state), Some(idr()), received)
    }

    #[test]
    fn money_and_tickets_must_fit() {
        assert_eq!(of(State::Paid, &received(&[500], 0)), Opinion::Fits(500));
        assert_eq!(
            of(State::Refunded, &received(&[500], 500)),
            Opinion::Fits(0)
        );
        assert_eq!(of(State::Expired, &received(&[], 0)), Opinion::Fits(0));
        for (state, money) in [
            (State::Paid, received(&[], 0)),
            (State::Paid, received(&[400], 0)),
            (State::Paid, received(&[500, 500], 0)),
            (State::Refunded, received(&[500], 400)),
        ] {
            assert!(
                matches!(of(state, &money), Opinion::Wrong(_)),
                "{state} {money:?}"
            );
        }
    }

    #[test]
    fn what_the_bank_gave_back_counts_for_an_order_that_is_refunded() {
        let conceded = Received {
            taken_back_minor: 500,
            ..received(&[500], 0)
        };
        assert_eq!(of(State::Refunded, &conceded), Opinion::Fits(0));
        // The platform's policy may be to keep the order and its flag.
        assert_eq!(of(State::Paid, &conceded), Opinion::Fits(500));
        let twice = Received {
            taken_back_minor: 500,
            ..received(&[500], 500)
        };
        assert!(matches!(of(State::Refunded, &twice), Opinion::Wrong(_)));
    }

    #[test]
    fn money_that_the_ledger_may_not_know_of_yet_is_looked_at_again() {
        for state in [State::AwaitingPayment, State::Expired, State::Rejected] {
            assert_eq!(of(state, &received(&[500], 0)), Opinion::Suspect);
        }
        assert_eq!(of(State::Paid, &received(&[500], 500)), Opinion::Suspect);
    }

    #[test]
    fn another_currency_or_another_payment_is_wrong() {
        let usd = Currency::new("USD").unwrap();
        let paid = received(&[500], 0);
        assert!(matches!(
            opinion(&record(State::Paid), Some(usd), &paid),
            Opinion::Wrong(_)
        ));
        let mut other = record(State::Paid);
        other.payment = Some(ticket_core::Payment {
            provider: "stripe".to_owned(),
            id: "pi_2".to_owned(),
            client_secret: String::new(),
        });
        assert!(matches!(
            opinion(&other, Some(idr()), &paid),
            Opinion::Wrong(_)
        ));
    }
}
