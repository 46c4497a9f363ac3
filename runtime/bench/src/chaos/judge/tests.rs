//! The checker against doctored evidence: an honest sale passes, and each lie is found by the question that is there for it.

use ticket_core::{Currency, Epoch, EventId, EventName, StockCounts, StockMove, clock};
use uuid::Uuid;

use super::*;

const PRICE: i64 = 1_000;

fn category() -> CategoryName {
    CategoryName::new("seat").unwrap()
}

fn shard() -> StockShardId {
    StockShardId::new(7).unwrap()
}

fn id(number: u128) -> OrderRef {
    OrderRef {
        order: OrderId(Uuid::from_u128(number)),
        shard: shard(),
    }
}

fn buyer(number: u128) -> BuyerId {
    BuyerId::new(format!("buyer-{number}")).unwrap()
}

fn record(number: u128, version: i64, states: &[State]) -> OrderRecord {
    let now = clock::now();
    let passed = states.iter().copied().fold(Passed::default(), Passed::with);
    OrderRecord {
        order: id(number).order,
        version,
        state: *states.last().unwrap(),
        reason: None,
        passed,
        buyer: buyer(number),
        quantity: 2,
        amount_minor: 2 * PRICE,
        created_at: now,
        updated_at: now,
        hold_expires_at: None,
        payment: None,
    }
}

fn fact(version: i64, held: i64, sold: i64, orders: Vec<OrderRecord>) -> FactBatch {
    FactBatch {
        event: EventId(Uuid::from_u128(1)),
        event_name: EventName::new("default", "judged").unwrap(),
        category: category(),
        currency: Currency::new("IDR").unwrap(),
        shard: shard(),
        epoch: Epoch::FIRST,
        version,
        stock: StockCounts {
            capacity: 4,
            available: 4 - held - sold,
            held,
            sold,
        },
        orders,
        moves: Vec::new(),
        adjustment: None,
    }
}

fn row(number: u128, version: i64, state: State) -> Row {
    Row {
        id: id(number),
        version,
        quantity: 2,
        amount_minor: 2 * PRICE,
        state,
        buyer: buyer(number).to_string(),
    }
}

const PAID: [State; 3] = [State::Reserved, State::AwaitingPayment, State::Paid];
const EXPIRED: [State; 3] = [State::Reserved, State::AwaitingPayment, State::Expired];

/// Four tickets, three orders of two: the first is paid, the second expires, the third gets its tickets and is paid. The
/// fact of version 2 was repeated after a crash.
fn honest() -> Evidence {
    let places = (1..=3).map(|number| {
        let place = Place {
            order: id(number).order,
            shard: shard(),
            epoch: Epoch::FIRST,
            buyer: buyer(number),
            quantity: 2,
            amount_minor: 2 * PRICE,
            accepted_at: clock::now(),
        };
        (3, place)
    });
    let told = |(number, last_state)| Told {
        id: id(number),
        buyer: buyer(number).to_string(),
        quantity: 2,
        last_state,
    };
    let second = || {
        let orders = vec![record(1, 2, &PAID[..2]), record(2, 2, &PAID[..2])];
        fact(2, 4, 0, orders)
    };
    let charged = Charged {
        payments: 1,
        received: 2 * PRICE,
        given_back: 0,
    };
    Evidence {
        told: [(1, State::Paid), (2, State::Expired), (3, State::Paid)]
            .map(told)
            .to_vec(),
        places: places.collect(),
        facts: vec![
            fact(
                1,
                4,
                0,
                vec![record(1, 1, &PAID[..1]), record(2, 1, &PAID[..1])],
            ),
            second(),
            fact(3, 0, 2, vec![record(1, 3, &PAID), record(2, 3, &EXPIRED)]),
            second(),
            fact(5, 0, 4, vec![record(3, 5, &PAID)]),
        ],
        rows: vec![
            row(1, 3, State::Paid),
            row(2, 3, State::Expired),
            row(3, 5, State::Paid),
        ],
        shards: vec![ShardRow {
            shard: shard(),
            category: category(),
            partition: 3,
            capacity: 4,
            available: 0,
            held: 0,
            sold: 4,
            version: 5,
        }],
        capacities: [(category(), 4)].into(),
        prices: [(category(), PRICE)].into(),
        money: [(id(1), charged), (id(3), charged)].into(),
        unreadable: 0,
    }
}

/// Exactly these questions are answered with no.
fn says_no(evidence: &Evidence, expected: &[&str]) {
    let verdicts = judge(evidence);
    let broken: Vec<_> = verdicts.iter().filter(|verdict| !verdict.holds()).collect();
    let names: Vec<_> = broken
        .iter()
        .map(|verdict| verdict.name.trim_start_matches("independent: "))
        .collect();
    assert_eq!(names, expected, "{broken:#?}");
}

const LOST: &str = "no acknowledged order is lost";
const DECIDED: &str = "every place is decided";
const OVERSOLD: &str = "nothing is oversold at any fact";
const COUNTERS: &str = "rows add up to the counters";
const TWICE: &str = "nothing is decided twice";
const PROMISED: &str = "nothing is promised twice";
const MONEY: &str = "money is tickets";

#[test]
fn an_honest_sale_passes_in_whatever_order_its_facts_come() {
    says_no(&honest(), &[]);
    let mut evidence = honest();
    evidence.facts.reverse();
    says_no(&evidence, &[]);
}

#[test]
fn an_acknowledged_order_that_is_nowhere_is_lost() {
    let mut evidence = honest();
    evidence.told[1].id = id(9);
    says_no(&evidence, &[LOST]);
}

#[test]
fn an_order_on_the_log_without_a_row_is_lost_and_not_decided() {
    let mut evidence = honest();
    evidence.rows.remove(1);
    says_no(&evidence, &[LOST, DECIDED]);
}

#[test]
fn an_order_without_an_end_is_lost() {
    let mut evidence = honest();
    evidence.rows[1].state = State::Refunding;
    evidence.facts[2].orders[1].state = State::Refunding;
    evidence.told[1].last_state = State::Refunding;
    says_no(&evidence, &[LOST]);
}

#[test]
fn a_row_that_its_last_fact_contradicts_is_found() {
    let mut evidence = honest();
    evidence.rows[2].version = 4;
    says_no(&evidence, &[LOST]);
    let mut evidence = honest();
    evidence.facts.pop();
    says_no(&evidence, &[LOST]);
}

#[test]
fn an_end_that_was_told_and_changed_is_found() {
    let mut evidence = honest();
    evidence.told[0].last_state = State::Expired;
    // Money came late and claimed the tickets: that may be.
    says_no(&evidence, &[]);
    evidence.told[0].last_state = State::Rejected;
    says_no(&evidence, &[LOST]);
}

#[test]
fn an_order_of_another_buyer_or_size_is_found() {
    let mut evidence = honest();
    evidence.rows[0].buyer = "somebody".to_owned();
    says_no(&evidence, &[LOST]);
    let mut evidence = honest();
    evidence.told[0].quantity = 1;
    says_no(&evidence, &[LOST]);
}

#[test]
fn a_place_on_a_foreign_partition_or_without_meaning_is_found() {
    let mut evidence = honest();
    evidence.places[0].0 = 1;
    says_no(&evidence, &[DECIDED]);
    let mut evidence = honest();
    evidence.unreadable = 1;
    says_no(&evidence, &[DECIDED]);
}

#[test]
fn a_fact_that_sells_more_than_there_is_is_found() {
    let mut evidence = honest();
    evidence.facts[2].stock.sold = 6;
    says_no(&evidence, &[OVERSOLD]);
    let mut evidence = honest();
    evidence.facts[3].stock = StockCounts {
        capacity: 4,
        available: 2,
        held: 2,
        sold: 0,
    };
    says_no(&evidence, &[OVERSOLD]);
}

#[test]
fn orders_that_have_more_than_there_is_are_found_although_every_counter_lies() {
    let mut evidence = honest();
    // The third order has its tickets before the second has given them back.
    evidence.facts[4].orders.insert(0, record(3, 2, &PAID[..1]));
    says_no(&evidence, &[OVERSOLD]);
}

#[test]
fn a_capacity_that_changed_is_found() {
    let mut evidence = honest();
    evidence.capacities.insert(category(), 3);
    says_no(&evidence, &[OVERSOLD]);
}

#[test]
fn counters_that_are_not_the_sum_of_the_orders_are_found() {
    let mut evidence = honest();
    evidence.shards[0].sold = 2;
    evidence.shards[0].available = 2;
    says_no(&evidence, &[COUNTERS]);
}

#[test]
fn two_decisions_of_one_order_are_found() {
    // The same version says two things.
    let mut evidence = honest();
    evidence.facts[3].orders[0].state = State::Rejected;
    says_no(&evidence, &[TWICE]);
    // A transition that does not exist.
    let mut evidence = honest();
    let rejected = record(3, 4, &[State::Rejected]);
    evidence.facts.push(fact(4, 0, 2, vec![rejected]));
    says_no(&evidence, &[TWICE]);
    // A second row elsewhere.
    let mut evidence = honest();
    let mut second = evidence.rows[1].clone();
    second.id.shard = StockShardId::new(8).unwrap();
    evidence.rows.push(second);
    says_no(&evidence, &[TWICE, MONEY]);
}

#[test]
fn a_state_that_was_passed_between_two_facts_is_no_contradiction() {
    let mut evidence = honest();
    // Nobody heard of the payment being made, but the last fact says that it was.
    evidence.facts.remove(3);
    evidence.facts.remove(1);
    says_no(&evidence, &[]);
    // Without that word it is a jump that the machine does not know.
    let claimed = [State::Reserved, State::Paid, State::Refunded];
    assert!(leads_to(
        State::Reserved,
        State::Refunded,
        record(1, 1, &claimed).passed
    ));
    let never_paid = record(1, 1, &[State::Reserved, State::Refunded]).passed;
    assert!(!leads_to(State::Reserved, State::Refunded, never_paid));
}

#[test]
fn a_refusal_after_the_store_had_reserved_needs_late_money() {
    let mut evidence = honest();
    let mut refused = record(2, 1, &[State::Rejected]);
    refused.reason = Some(Reason::SoldOut);
    evidence.facts = vec![
        fact(1, 2, 0, vec![record(1, 1, &PAID[..1]), refused]),
        fact(3, 0, 2, vec![record(1, 3, &PAID)]),
        fact(5, 0, 4, vec![record(3, 5, &PAID)]),
    ];
    evidence.rows[1] = row(2, 1, State::Rejected);
    evidence.told[1].last_state = State::Rejected;
    says_no(&evidence, &[PROMISED]);
    evidence.facts[2].moves.push(StockMove {
        order: id(3).order,
        quantity: 2,
        kind: MoveKind::Claimed,
        version: 5,
    });
    says_no(&evidence, &[]);
}

#[test]
fn money_without_tickets_and_tickets_without_money_are_found() {
    let mut evidence = honest();
    evidence.money.remove(&id(1));
    says_no(&evidence, &[MONEY]);
    let mut evidence = honest();
    evidence.money.entry(id(3)).or_default().payments = 2;
    says_no(&evidence, &[MONEY]);
    let mut evidence = honest();
    let kept = evidence.money[&id(1)];
    evidence.money.insert(id(2), kept);
    says_no(&evidence, &[MONEY]);
    let mut evidence = honest();
    evidence.money.insert(id(99), kept);
    says_no(&evidence, &[MONEY]);
    let mut evidence = honest();
    evidence.prices.insert(category(), PRICE + 1);
    says_no(&evidence, &[MONEY]);
}
