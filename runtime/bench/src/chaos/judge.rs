//! The independent checker: reads nothing but the topics, the tables, the provider's lists and what buyers were answered,
//! and asks no code of the platform whether it is right. Pure, so that doctored evidence proves that it can say no. Of ours
//! it takes the shape of messages and the order machine's table.

use std::collections::{BTreeMap, BTreeSet};

use ticket_core::machine::{self, Next, Units, Verb};
use ticket_core::{
    BuyerId, CategoryName, FactBatch, MoveKind, OrderId, OrderRecord, OrderRef, Passed, Place,
    Reason, State, StockShardId,
};

use crate::check::Verdict;
use crate::provider::Charged;

/// What a buyer was told with 201 or 202, and what was seen last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The order.
    pub id: OrderRef,
    /// Who was told.
    pub buyer: String,
    /// Tickets.
    pub quantity: u32,
    /// The state that the buyer saw last.
    pub last_state: State,
}

/// A row of `orders`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The order.
    pub id: OrderRef,
    /// Version of the stock shard when it last changed.
    pub version: i64,
    /// Tickets.
    pub quantity: u32,
    /// Minor units.
    pub amount_minor: i64,
    /// Its state.
    pub state: State,
    /// Who buys.
    pub buyer: String,
}

/// A row of `stock_shards`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardRow {
    /// The stock shard.
    pub shard: StockShardId,
    /// Its category.
    pub category: CategoryName,
    /// Where its commands are.
    pub partition: i32,
    /// Units there are.
    pub capacity: i64,
    /// Units nobody has.
    pub available: i64,
    /// Units of orders that are not paid.
    pub held: i64,
    /// Units of paid orders.
    pub sold: i64,
    /// Version after the last call.
    pub version: i64,
}

/// Everything of one event.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// What buyers were told.
    pub told: Vec<Told>,
    /// Places on the order log, with the partition that each was on.
    pub places: Vec<(i32, Place)>,
    /// Messages of `order-events`, in any order, repeats included.
    pub facts: Vec<FactBatch>,
    /// Rows of `orders`.
    pub rows: Vec<Row>,
    /// Rows of `stock_shards`.
    pub shards: Vec<ShardRow>,
    /// Tickets of each category, as they were put on sale.
    pub capacities: BTreeMap<CategoryName, i64>,
    /// Price of a ticket of each category, minor units.
    pub prices: BTreeMap<CategoryName, i64>,
    /// The provider's books.
    pub money: BTreeMap<OrderRef, Charged>,
    /// Messages of either topic that could not be read.
    pub unreadable: u64,
}

/// All that the checker knows to ask.
#[must_use]
pub fn judge(evidence: &Evidence) -> Vec<Verdict> {
    let facts = Facts::of(evidence);
    vec![
        no_acknowledged_order_is_lost(evidence, &facts),
        every_place_is_decided(evidence),
        none_is_oversold(evidence, &facts),
        rows_add_up(evidence),
        none_is_decided_twice(evidence, &facts),
        nothing_is_promised_twice(evidence, &facts),
        money_is_tickets(evidence),
    ]
}

/// The facts of each order, by version; one entry per version unless two contradict each other.
struct Facts<'a> {
    orders: BTreeMap<OrderRef, Vec<&'a OrderRecord>>,
    /// Two facts of one order and version that do not say the same.
    contradictions: Vec<String>,
}

impl<'a> Facts<'a> {
    fn of(evidence: &'a Evidence) -> Self {
        let mut orders: BTreeMap<OrderRef, BTreeMap<i64, &OrderRecord>> = BTreeMap::new();
        let mut contradictions = Vec::new();
        for batch in &evidence.facts {
            for record in &batch.orders {
                let id = batch.reference(record);
                let known = orders.entry(id).or_default();
                let Some(before) = known.insert(record.version, record) else {
                    continue;
                };
                if decision(before) != decision(record) {
                    contradictions.push(format!(
                        "{id} is {} and {} in version {}",
                        before.state, record.state, record.version
                    ));
                }
            }
        }
        Self {
            orders: orders
                .into_iter()
                .map(|(id, versions)| (id, versions.into_values().collect()))
                .collect(),
            contradictions,
        }
    }

    fn last(&self, id: &OrderRef) -> Option<&'a OrderRecord> {
        self.orders.get(id)?.last().copied()
    }
}

/// What must be the same in every fact of one version. Flags are added without a new version.
fn decision(record: &OrderRecord) -> (State, Option<Reason>, &BuyerId, u32, i64) {
    let OrderRecord {
        state,
        reason,
        buyer,
        quantity,
        amount_minor,
        ..
    } = record;
    (*state, *reason, buyer, *quantity, *amount_minor)
}

/// What a buyer was told of stands on the log, in the tables and in a last fact; these agree, and it is over.
fn no_acknowledged_order_is_lost(evidence: &Evidence, facts: &Facts<'_>) -> Verdict {
    let placed: BTreeSet<OrderRef> = evidence
        .places
        .iter()
        .map(|(_, place)| id_of(place))
        .collect();
    let rows: BTreeMap<OrderRef, &Row> = evidence.rows.iter().map(|row| (row.id, row)).collect();
    let mut findings = Vec::new();
    for told in &evidence.told {
        let id = told.id;
        let mut wrong = |what: String| findings.push(format!("{id} of {}: {what}", told.buyer));
        if !placed.contains(&id) {
            wrong("acknowledged, and not on the order log".to_owned());
        }
        let Some(row) = rows.get(&id) else {
            wrong(format!(
                "seen as {}, and not in the ledger",
                told.last_state
            ));
            continue;
        };
        if (row.buyer.as_str(), row.quantity) != (told.buyer.as_str(), told.quantity) {
            wrong(format!(
                "for {} tickets; the ledger has {} of {}",
                told.quantity, row.quantity, row.buyer
            ));
        }
        if !row.state.is_final() {
            wrong(format!("still {}", row.state));
        }
        if told.last_state.is_final() && !can_become(told.last_state, row.state) {
            wrong(format!(
                "was told {}, and is {}",
                told.last_state, row.state
            ));
        }
        match facts.last(&id) {
            None => wrong(format!("{}, and nobody was told by a fact", row.state)),
            Some(fact) if (fact.version, fact.state) != (row.version, row.state) => wrong(format!(
                "{} in version {}, its last fact says {} in version {}",
                row.state, row.version, fact.state, fact.version
            )),
            Some(_) => {}
        }
    }
    let detail = format!("{} acknowledged orders", evidence.told.len());
    Verdict::new(
        "independent: no acknowledged order is lost",
        detail,
        findings,
    )
}

/// Every place that reached the log was decided, on the partition of its stock shard.
fn every_place_is_decided(evidence: &Evidence) -> Verdict {
    let rows: BTreeMap<OrderRef, &Row> = evidence.rows.iter().map(|row| (row.id, row)).collect();
    let partitions: BTreeMap<StockShardId, i32> = evidence
        .shards
        .iter()
        .map(|shard| (shard.shard, shard.partition))
        .collect();
    let mut findings = Vec::new();
    if evidence.unreadable > 0 {
        findings.push(format!("{} messages cannot be read", evidence.unreadable));
    }
    let mut buyers: BTreeMap<OrderId, &BuyerId> = BTreeMap::new();
    for (partition, place) in &evidence.places {
        let id = id_of(place);
        match rows.get(&id) {
            None => findings.push(format!("{id} is on the order log and not in the ledger")),
            Some(row) if row.quantity != place.quantity => findings.push(format!(
                "{id} was placed for {} tickets and has {}",
                place.quantity, row.quantity
            )),
            Some(_) => {}
        }
        if partitions.get(&place.shard) != Some(partition) {
            findings.push(format!(
                "{id} is on partition {partition}, which is not its own"
            ));
        }
        let owner = buyers.entry(place.order).or_insert(&place.buyer);
        if **owner != place.buyer {
            findings.push(format!("{id} was placed by {owner} and by {}", place.buyer));
        }
    }
    let detail = format!("{} places on the order log", evidence.places.len());
    Verdict::new("independent: every place is decided", detail, findings)
}

/// At every fact law 1 holds, and at every version the orders that have their units fit into the stock shard.
fn none_is_oversold(evidence: &Evidence, facts: &Facts<'_>) -> Verdict {
    let mut findings = Vec::new();
    let mut capacities: BTreeMap<&CategoryName, i64> = BTreeMap::new();
    for shard in &evidence.shards {
        *capacities.entry(&shard.category).or_default() += shard.capacity;
    }
    for (category, capacity) in &evidence.capacities {
        let now = capacities.get(category).copied().unwrap_or(0);
        if now != *capacity {
            findings.push(format!(
                "{category}: {capacity} were put on sale, there are {now}"
            ));
        }
    }
    let shards: BTreeMap<StockShardId, &ShardRow> = evidence
        .shards
        .iter()
        .map(|shard| (shard.shard, shard))
        .collect();
    let mut counts = BTreeMap::new();
    for batch in &evidence.facts {
        let (shard, version, stock) = (batch.shard, batch.version, batch.stock);
        let Some(row) = shards.get(&shard) else {
            findings.push(format!(
                "a fact is about stock shard {shard}, which does not exist"
            ));
            continue;
        };
        if !stock.is_conserved() || stock.capacity != row.capacity {
            findings.push(format!("stock shard {shard}, version {version}: {stock:?}"));
        }
        if version > row.version {
            findings.push(format!(
                "stock shard {shard}: a fact of version {version}, the ledger is at {}",
                row.version
            ));
        }
        if *counts.entry((shard, version)).or_insert(stock) != stock {
            findings.push(format!(
                "stock shard {shard}, version {version}: two facts count differently"
            ));
        }
    }
    findings.extend(overfull(&shards, facts));
    let detail = format!("{} facts", evidence.facts.len());
    Verdict::new(
        "independent: nothing is oversold at any fact",
        detail,
        findings,
    )
}

/// Adds up, version by version, the units that the orders' own facts say they have.
fn overfull(shards: &BTreeMap<StockShardId, &ShardRow>, facts: &Facts<'_>) -> Vec<String> {
    let mut changes: BTreeMap<(StockShardId, i64), i64> = BTreeMap::new();
    for (id, records) in &facts.orders {
        let mut had = 0;
        for record in records {
            let has = if record.state.units() == Units::Free {
                0
            } else {
                i64::from(record.quantity)
            };
            // A state that was passed between two facts (a crash between ledger and topic) may have freed the units
            // meanwhile: they count again from this fact on and not before.
            *changes.entry((id.shard, record.version)).or_default() += has - had;
            had = has;
        }
    }
    let mut taken: BTreeMap<StockShardId, i64> = BTreeMap::new();
    let mut findings = Vec::new();
    for ((shard, version), change) in changes {
        let taken = taken.entry(shard).or_default();
        *taken += change;
        let capacity = shards.get(&shard).map_or(0, |row| row.capacity);
        if *taken > capacity {
            findings.push(format!(
                "stock shard {shard}, version {version}: orders have {taken} of {capacity} tickets"
            ));
        }
    }
    findings
}

/// The counters of the ledger are what its orders add up to.
fn rows_add_up(evidence: &Evidence) -> Verdict {
    let mut sums: BTreeMap<StockShardId, (i64, i64)> = BTreeMap::new();
    for row in &evidence.rows {
        let (held, sold) = sums.entry(row.id.shard).or_default();
        match row.state.units() {
            Units::Held => *held += i64::from(row.quantity),
            Units::Sold => *sold += i64::from(row.quantity),
            Units::Free => {}
        }
    }
    let mut findings = Vec::new();
    for shard in &evidence.shards {
        let ShardRow {
            shard: id,
            capacity,
            available,
            held,
            sold,
            ..
        } = shard;
        let sum = sums.get(id).copied().unwrap_or_default();
        if (*held, *sold) != sum {
            findings.push(format!(
                "stock shard {id} counts {held} held and {sold} sold, its orders have {} and {}",
                sum.0, sum.1
            ));
        }
        if *capacity != available + held + sold || *available < 0 {
            findings.push(format!(
                "stock shard {id}: {available} available + {held} held + {sold} sold of {capacity}"
            ));
        }
    }
    let detail = format!(
        "{} rows on {} stock shards",
        evidence.rows.len(),
        evidence.shards.len()
    );
    Verdict::new("independent: rows add up to the counters", detail, findings)
}

/// One order, one stock shard, one line of states that the order machine allows.
fn none_is_decided_twice(evidence: &Evidence, facts: &Facts<'_>) -> Verdict {
    let mut findings = facts.contradictions.clone();
    let mut homes: BTreeMap<OrderId, BTreeSet<StockShardId>> = BTreeMap::new();
    let placed = evidence.places.iter().map(|(_, place)| id_of(place));
    let rows = evidence.rows.iter().map(|row| row.id);
    let mut rows_of: BTreeMap<OrderId, u32> = BTreeMap::new();
    for row in &evidence.rows {
        *rows_of.entry(row.id.order).or_default() += 1;
    }
    for id in rows.chain(facts.orders.keys().copied()).chain(placed) {
        homes.entry(id.order).or_default().insert(id.shard);
    }
    for (order, shards) in homes.iter().filter(|(_, shards)| shards.len() > 1) {
        findings.push(format!(
            "order {order} lives on {} stock shards",
            shards.len()
        ));
    }
    for (order, rows) in rows_of.iter().filter(|&(_, rows)| *rows > 1) {
        findings.push(format!("order {order} has {rows} rows"));
    }
    for (id, records) in &facts.orders {
        for pair in records.windows(2) {
            let [before, after] = pair else { continue };
            if !leads_to(before.state, after.state, after.passed) {
                findings.push(format!(
                    "{id} went from {} (version {}) to {} (version {})",
                    before.state, before.version, after.state, after.version
                ));
            }
        }
    }
    let detail = format!("{} orders have facts", facts.orders.len());
    Verdict::new("independent: nothing is decided twice", detail, findings)
}

/// The store reserves only what there is: an order that was acknowledged is refused for want of tickets only where money
/// came late and claimed tickets that the store had given to others.
fn nothing_is_promised_twice(evidence: &Evidence, facts: &Facts<'_>) -> Verdict {
    let mut claimed: BTreeSet<StockShardId> = BTreeSet::new();
    for batch in &evidence.facts {
        if batch.moves.iter().any(|it| it.kind == MoveKind::Claimed) {
            claimed.insert(batch.shard);
        }
    }
    let mut refused: BTreeMap<StockShardId, u32> = BTreeMap::new();
    for (id, records) in &facts.orders {
        let is_refused = records.last().is_some_and(|last| {
            (last.state, last.reason) == (State::Rejected, Some(Reason::SoldOut))
        });
        if is_refused {
            *refused.entry(id.shard).or_default() += 1;
        }
    }
    let findings = refused
        .iter()
        .filter(|(shard, _)| !claimed.contains(shard))
        .map(|(shard, orders)| {
            format!("stock shard {shard}: {orders} reserved orders were refused as sold out")
        })
        .collect();
    let orders: u32 = refused.values().sum();
    let detail = format!("{orders} reserved orders refused after late money");
    Verdict::new("independent: nothing is promised twice", detail, findings)
}

/// Who has tickets has paid their price once, and nobody else's money is kept.
fn money_is_tickets(evidence: &Evidence) -> Verdict {
    let categories: BTreeMap<StockShardId, &CategoryName> = evidence
        .shards
        .iter()
        .map(|shard| (shard.shard, &shard.category))
        .collect();
    let mut left = evidence.money.clone();
    let mut findings = Vec::new();
    let mut kept_in_all = 0;
    for row in &evidence.rows {
        let id = row.id;
        let price = categories
            .get(&id.shard)
            .and_then(|category| evidence.prices.get(category))
            .map(|price| price * i64::from(row.quantity));
        if price != Some(row.amount_minor) {
            findings.push(format!(
                "{id} costs {}, expected {price:?}",
                row.amount_minor
            ));
        }
        let money = left.remove(&id).unwrap_or_default();
        let kept = money.received - money.given_back;
        kept_in_all += kept;
        let due = if row.state == State::Paid {
            row.amount_minor
        } else {
            0
        };
        if kept != due || money.payments > 1 {
            findings.push(format!(
                "{id} is {}: {} payments, {kept} kept, {due} due",
                row.state, money.payments
            ));
        }
    }
    for (id, money) in left {
        if money.received > 0 {
            findings.push(format!("{id} was paid for and is not in the ledger"));
        }
    }
    let detail = format!("{kept_in_all} minor units kept");
    Verdict::new("independent: money is tickets", detail, findings)
}

fn id_of(place: &Place) -> OrderRef {
    OrderRef {
        order: place.order,
        shard: place.shard,
    }
}

/// Can an order go from one state to another by any commands, over states that it has passed? `Queued` is no row yet.
fn leads_to(from: State, to: State, passed: Passed) -> bool {
    let mut reached = vec![from];
    let mut at = 0;
    while let Some(&state) = reached.get(at) {
        at += 1;
        for next in steps(state) {
            if next == to {
                return true;
            }
            if passed.contains(next) && !reached.contains(&next) {
                reached.push(next);
            }
        }
    }
    // The same state in a newer version: a hold that was extended.
    from == to
}

/// The same over whatever states.
fn can_become(from: State, to: State) -> bool {
    let any = State::ALL.into_iter().fold(Passed::default(), Passed::with);
    leads_to(from, to, any)
}

/// Where one command may lead.
fn steps(state: State) -> impl Iterator<Item = State> {
    Verb::ALL.into_iter().flat_map(move |verb| {
        let (one, other) = match machine::next(state, verb) {
            Next::Move(next) => (Some(next), None),
            Next::ExpireIfDue => (Some(State::Expired), None),
            Next::ClaimOrRefund => (Some(State::Paid), Some(State::Refunding)),
            Next::Stay | Next::Extend | Next::Mark | Next::Illegal => (None, None),
        };
        one.into_iter().chain(other)
    })
}

#[cfg(test)]
mod tests;
