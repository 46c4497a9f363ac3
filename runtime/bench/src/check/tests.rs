//! The judge against doctored books: each lie must be found by the verdict that is there for it, and by no accident.

use std::time::Duration;

use ticket_core::{Currency, Money, OrderId, Reason, State, StockShardId};
use ticket_testkit::Book as ResellerBook;
use uuid::Uuid;

use super::*;
use crate::crowd::book::{Acknowledged, Deed, Story};
use crate::crowd::script::{ENDINGS, Ending, Script};
use crate::outside::{AuditCheck, Webhooks};
use crate::partner::Told;
use crate::sale::Faults;

const PRICE: i64 = 1_000;

fn category() -> CategoryName {
    CategoryName::new("standing").unwrap()
}

fn id(number: u128) -> OrderRef {
    OrderRef {
        order: OrderId(Uuid::from_u128(number)),
        shard: StockShardId::new(1).unwrap(),
    }
}

fn stock(available: i64, held: i64, sold: i64) -> CategoryStock {
    CategoryStock {
        name: category(),
        capacity: 10,
        available,
        held,
        sold,
        store_available: Some(available),
    }
}

fn story(number: u32, end: Option<(State, Option<Reason>)>) -> Story {
    let acknowledged = end.map(|(last_state, last_reason)| Acknowledged {
        id: id(u128::from(number) + 1),
        quantity: 2,
        after: Duration::ZERO,
        last_state,
        last_reason,
        deed: [
            (State::Paid, Deed::Paid),
            (State::PaymentFailed, Deed::Blocked),
            (State::Cancelled, Deed::Cancelled),
        ]
        .into_iter()
        .find_map(|(state, deed)| (state == last_state).then_some(deed))
        .unwrap_or(Deed::Nothing),
        was_in_time: true,
    });
    Story {
        script: Script {
            ending: Ending::Pays,
            ..Script::new(1, number, &[10])
        },
        buyer: format!("buyer-{number}"),
        acknowledged,
        faults: Vec::new(),
    }
}

/// A small sale in which everything is as it should be: four orders of two tickets, two of them paid.
fn honest() -> Evidence {
    let stories = vec![
        story(0, Some((State::Paid, None))),
        story(1, Some((State::Paid, None))),
        story(2, Some((State::Expired, Some(Reason::HoldExpired)))),
        story(3, Some((State::PaymentFailed, Some(Reason::Fraud)))),
        story(4, Some((State::Cancelled, Some(Reason::BuyerRequest)))),
        story(5, None),
    ];
    let book = Book {
        stories,
        ..Book::default()
    };
    let price = Money {
        currency: Currency::new("IDR").unwrap(),
        amount_minor: PRICE,
    };
    let read = |order: &Acknowledged| Order {
        id: order.id,
        category: category(),
        quantity: order.quantity,
        state: order.last_state,
        reason: order.last_reason,
        amount: price.times(order.quantity).unwrap(),
        hold_expires_at: None,
        payment: None,
    };
    let managed = |story: &Story, order: &Acknowledged| ManagedOrder {
        id: order.id,
        buyer: story.buyer.clone(),
        quantity: order.quantity,
        state: order.last_state,
        flags: Vec::new(),
    };
    let checks = ["conservation", "states", "store", "facts", "payments"].map(|name| AuditCheck {
        name: name.to_owned(),
        ok: true,
        detail: String::new(),
        skipped: false,
    });
    Evidence {
        categories: vec![category()],
        quantity_max: 4,
        is_news_sure: true,
        before: vec![stock(10, 0, 0)],
        after: vec![stock(6, 0, 4)],
        read_again: book
            .acknowledged()
            .map(|(_, order)| (order.id, Ok(read(order))))
            .collect(),
        orders_before: BTreeSet::new(),
        orders: book
            .acknowledged()
            .map(|(story, order)| managed(story, order))
            .collect(),
        money: book
            .acknowledged()
            .map(|(_, order)| (order.id, money(order.last_state, order.quantity)))
            .collect(),
        audit: Audit {
            ok: true,
            checks: checks.to_vec(),
        },
        memory: vec![memory("runtime", 120_000), memory("operator", 30_000)],
        misbehaviour: None,
        partner: None,
        book,
    }
}

/// What the provider has of an honest order.
fn money(state: State, quantity: u32) -> Charged {
    let amount = PRICE * i64::from(quantity);
    let is_paid = matches!(state, State::Paid | State::Refunded);
    Charged {
        payments: u32::from(is_paid),
        received: if is_paid { amount } else { 0 },
        given_back: if state == State::Refunded { amount } else { 0 },
    }
}

fn memory(name: &str, peak_kib: u64) -> Memory {
    Memory {
        name: name.to_owned(),
        resident_kib: 1_000,
        peak_kib,
    }
}

/// The names of the verdicts that do not hold.
fn broken(evidence: &Evidence) -> Vec<&'static str> {
    check(evidence)
        .iter()
        .filter(|verdict| !verdict.holds())
        .map(|verdict| verdict.name)
        .collect()
}

/// What is broken after `lie` was told.
fn after(lie: impl FnOnce(&mut Evidence)) -> Vec<&'static str> {
    let mut evidence = honest();
    lie(&mut evidence);
    broken(&evidence)
}

fn order_of(evidence: &mut Evidence, buyer: usize) -> &mut Acknowledged {
    evidence.book.stories[buyer].acknowledged.as_mut().unwrap()
}

/// Everybody who reads the order is told `state`.
fn everywhere(evidence: &mut Evidence, buyer: usize, state: State) {
    let order = order_of(evidence, buyer);
    order.last_state = state;
    let (id, quantity) = (order.id, order.quantity);
    evidence.money.insert(id, money(state, quantity));
    let read = evidence.read_again.get_mut(&id).unwrap();
    let read = read.as_mut().unwrap();
    read.state = state;
    read.reason = (state == State::Refunded).then_some(Reason::LateMoney);
    evidence
        .orders
        .iter_mut()
        .find(|order| order.id == id)
        .unwrap()
        .state = state;
}

#[test]
fn an_honest_sale_holds() {
    assert_eq!(broken(&honest()), [""; 0]);
}

#[test]
fn a_ticket_that_was_sold_and_not_paid_is_found() {
    let lie = |evidence: &mut Evidence| evidence.after = vec![stock(5, 0, 5)];
    assert_eq!(after(lie), ["sold is what buyers paid for"]);
}

#[test]
fn an_oversold_category_is_found() {
    let lie = |evidence: &mut Evidence| {
        evidence.after[0].sold = 11;
        evidence.after[0].available = -1;
        evidence.after[0].store_available = Some(-1);
    };
    assert_eq!(
        after(lie),
        ["sold is what buyers paid for", "no ticket was made or lost"]
    );
}

#[test]
fn stock_from_before_the_sale_is_not_counted_as_sold_by_it() {
    let fine = |evidence: &mut Evidence| {
        evidence.before = vec![stock(7, 0, 3)];
        evidence.after = vec![stock(3, 0, 7)];
        evidence.orders_before.insert(id(99));
        evidence.orders.push(ManagedOrder {
            id: id(99),
            buyer: "earlier".to_owned(),
            quantity: 3,
            state: State::Paid,
            flags: Vec::new(),
        });
    };
    assert_eq!(after(fine), [""; 0]);
}

#[test]
fn a_hold_that_stays_is_found() {
    let lie = |evidence: &mut Evidence| evidence.after = vec![stock(4, 2, 4)];
    assert_eq!(after(lie), ["nothing is held any more"]);
}

#[test]
fn a_changed_capacity_is_found() {
    let lie = |evidence: &mut Evidence| {
        evidence.after[0].capacity = 12;
        evidence.after[0].available = 8;
        evidence.after[0].store_available = Some(8);
    };
    assert_eq!(after(lie), ["no ticket was made or lost"]);
}

#[test]
fn a_store_that_differs_or_is_not_armed_is_found() {
    for store in [Some(7), Some(5), None] {
        let lie = |evidence: &mut Evidence| evidence.after[0].store_available = store;
        assert_eq!(
            after(lie),
            ["the stock store equals the ledger"],
            "{store:?}"
        );
    }
}

#[test]
fn a_missing_category_is_found() {
    let broken = after(|evidence| evidence.after.clear());
    assert!(
        broken.contains(&"sold is what buyers paid for"),
        "{broken:?}"
    );
    assert!(broken.contains(&"no ticket was made or lost"), "{broken:?}");
}

#[test]
fn an_acknowledged_order_that_is_lost_is_found() {
    let lie = |evidence: &mut Evidence| {
        let id = order_of(evidence, 2).id;
        evidence
            .read_again
            .insert(id, Err("answer 404 not-found".to_owned()));
        evidence.orders.retain(|order| order.id != id);
    };
    let both = [
        "every acknowledged order has its end",
        "both books list the same orders",
    ];
    assert_eq!(after(lie), both);
}

#[test]
fn an_acknowledged_order_without_an_end_is_found() {
    let lie = |evidence: &mut Evidence| everywhere(evidence, 2, State::Reserved);
    assert_eq!(after(lie), ["every acknowledged order has its end"]);
}

#[test]
fn an_order_that_was_never_read_again_is_found() {
    let lie = |evidence: &mut Evidence| {
        let id = order_of(evidence, 2).id;
        evidence.read_again.remove(&id);
    };
    assert_eq!(after(lie), ["every acknowledged order has its end"]);
}

#[test]
fn an_end_that_did_not_stay_is_found() {
    let lie = |evidence: &mut Evidence| {
        everywhere(evidence, 2, State::Cancelled);
        order_of(evidence, 2).last_state = State::Expired;
    };
    assert_eq!(after(lie), ["every acknowledged order has its end"]);
}

#[test]
fn one_order_for_two_buyers_is_found() {
    let lie = |evidence: &mut Evidence| {
        let other = order_of(evidence, 0).clone();
        evidence.book.stories[5].acknowledged = Some(other);
    };
    assert_eq!(
        after(lie),
        [
            "every order has one buyer",
            "both books list the same orders"
        ]
    );
}

#[test]
fn an_order_that_nobody_was_told_about_is_found_if_it_has_tickets() {
    let stranger = |state: State| {
        after(|evidence| {
            evidence.orders.push(ManagedOrder {
                id: id(77),
                buyer: "nobody".to_owned(),
                quantity: 1,
                state,
                flags: Vec::new(),
            });
        })
    };
    assert_eq!(stranger(State::Rejected), [""; 0]);
    assert_eq!(stranger(State::Paid), ["both books list the same orders"]);
    assert_eq!(
        stranger(State::Reserved),
        ["both books list the same orders"]
    );
}

#[test]
fn an_order_listed_for_another_buyer_or_state_is_found() {
    let another_buyer = |evidence: &mut Evidence| evidence.orders[0].buyer = "eve".to_owned();
    assert_eq!(after(another_buyer), ["both books list the same orders"]);
    let another_state = |evidence: &mut Evidence| evidence.orders[2].state = State::Cancelled;
    assert_eq!(after(another_state), ["both books list the same orders"]);
    let twice = |evidence: &mut Evidence| evidence.orders.push(evidence.orders[2].clone());
    assert_eq!(after(twice), ["both books list the same orders"]);
}

#[test]
fn a_buyer_with_too_many_tickets_is_found() {
    let lie = |evidence: &mut Evidence| {
        evidence.quantity_max = 1;
    };
    assert_eq!(after(lie), ["nobody has too many"]);
}

#[test]
fn money_without_tickets_is_found() {
    let lie = |evidence: &mut Evidence| order_of(evidence, 2).deed = Deed::Paid;
    assert_eq!(after(lie), ["money and tickets agree"]);
}

#[test]
fn a_buyer_who_was_charged_for_nothing_or_twice_is_found() {
    const BROKEN: [&str; 1] = ["every buyer paid for what he has"];
    const REFUNDS: &str = "refunds equal late money";
    let charge = |buyer: usize, charged: Charged| {
        after(|evidence| {
            let id = order_of(evidence, buyer).id;
            evidence.money.insert(id, charged);
        })
    };
    let once = money(State::Paid, 2);
    let back = money(State::Refunded, 2);
    // Buyers 0 and 1 have paid, 2 has not.
    assert_eq!(charge(2, once), BROKEN);
    // It went back, and nobody says that it came late.
    assert_eq!(charge(2, back), [REFUNDS]);
    assert_eq!(charge(0, back), [BROKEN[0], REFUNDS]);
    assert_eq!(charge(0, Charged::default()), BROKEN);
    let twice = Charged {
        payments: 2,
        ..once
    };
    assert_eq!(charge(0, twice), BROKEN);
    let stranger = |evidence: &mut Evidence| {
        evidence.money.insert(id(88), once);
    };
    assert_eq!(after(stranger), BROKEN);
}

#[test]
fn tickets_without_money_are_found() {
    let lie = |evidence: &mut Evidence| order_of(evidence, 0).deed = Deed::Nothing;
    assert_eq!(after(lie), ["money and tickets agree"]);
}

#[test]
fn an_end_that_nobody_caused_is_found() {
    let not_cancelled = |evidence: &mut Evidence| order_of(evidence, 4).deed = Deed::Nothing;
    assert_eq!(after(not_cancelled), ["money and tickets agree"]);
    let not_blocked = |evidence: &mut Evidence| order_of(evidence, 3).deed = Deed::Nothing;
    assert_eq!(after(not_blocked), ["money and tickets agree"]);
    let no_reason = |evidence: &mut Evidence| order_of(evidence, 3).last_reason = None;
    assert_eq!(after(no_reason), ["money and tickets agree"]);
}

#[test]
fn what_was_done_in_time_must_count_and_what_was_done_late_may_lose() {
    // Blocked and cancelled orders that expired all the same.
    for buyer in [3, 4] {
        let expired = |evidence: &mut Evidence| everywhere(evidence, buyer, State::Expired);
        assert_eq!(after(expired), ["money and tickets agree"], "buyer {buyer}");
        let late = |evidence: &mut Evidence| {
            expired(evidence);
            order_of(evidence, buyer).was_in_time = false;
        };
        assert_eq!(after(late), [""; 0], "buyer {buyer}");
    }
    let refunded = |evidence: &mut Evidence| {
        everywhere(evidence, 0, State::Refunded);
        evidence.after = vec![stock(8, 0, 2)];
    };
    assert_eq!(after(refunded), ["money and tickets agree"]);
    let late = |evidence: &mut Evidence| {
        refunded(evidence);
        order_of(evidence, 0).was_in_time = false;
    };
    assert_eq!(after(late), [""; 0]);
    // In time, and nobody was told of it.
    let lost = |evidence: &mut Evidence| {
        refunded(evidence);
        evidence.is_news_sure = false;
    };
    assert_eq!(after(lost), [""; 0]);
}

#[test]
fn late_money_that_did_not_go_back_is_found() {
    let kept = |evidence: &mut Evidence| {
        everywhere(evidence, 0, State::Refunded);
        order_of(evidence, 0).was_in_time = false;
        evidence.after = vec![stock(8, 0, 2)];
        let id = order_of(evidence, 0).id;
        evidence.money.insert(id, money(State::Paid, 2));
    };
    assert_eq!(
        after(kept),
        [
            "every buyer paid for what he has",
            "refunds equal late money"
        ]
    );
}

#[test]
fn an_order_that_was_cancelled_while_its_money_came_must_get_it_back() {
    let cancelled = |evidence: &mut Evidence, state: State| {
        everywhere(evidence, 0, state);
        order_of(evidence, 0).deed = Deed::PaidThenCancelled;
        if state != State::Paid {
            evidence.after = vec![stock(8, 0, 2)];
        }
    };
    let given_back = |evidence: &mut Evidence| cancelled(evidence, State::Refunded);
    assert_eq!(after(given_back), [""; 0]);
    for state in [State::Paid, State::Cancelled] {
        let lie = |evidence: &mut Evidence| cancelled(evidence, state);
        assert_eq!(after(lie), ["money and tickets agree"], "{state}");
    }
    // A wish that came late may stand behind the news of the money.
    let second = |evidence: &mut Evidence| {
        cancelled(evidence, State::Paid);
        order_of(evidence, 0).was_in_time = false;
    };
    assert_eq!(after(second), [""; 0]);
}

#[test]
fn a_complaint_that_nobody_learnt_of_is_found() {
    for (ending, flag) in [
        (Ending::PaysAndIsWarnedOf, "fraud-warning"),
        (Ending::PaysAndDisputes, "disputed"),
    ] {
        let with = |flags: Vec<String>| {
            after(|evidence| {
                evidence.book.stories[0].script.ending = ending;
                evidence.orders[0].flags = flags;
            })
        };
        assert_eq!(with(Vec::new()), ["every complaint is known"]);
        assert_eq!(
            with(vec!["another".to_owned()]),
            ["every complaint is known"]
        );
        assert_eq!(with(vec![flag.to_owned()]), [""; 0]);
    }
}

fn misbehaviour() -> Misbehaviour {
    Misbehaviour {
        faults: Faults {
            late_ms: 200,
            duplicate: 0.2,
            drop: 0.1,
            shuffle: 0.3,
        },
        webhooks: Webhooks {
            caused: 10,
            late: 9,
            duplicated: 2,
            dropped: 1,
            shuffled: 3,
        },
        reclaimed: 0,
    }
}

/// So many orders that everybody is expected: the same one over and over.
fn large(evidence: &mut Evidence, ending: Ending) {
    let mut story = evidence.book.stories[2].clone();
    story.script.ending = ending;
    evidence.book.stories = vec![story; 500];
}

#[test]
fn a_misbehaviour_that_never_happened_is_found() {
    let honest = after(|evidence| evidence.misbehaviour = Some(misbehaviour()));
    assert_eq!(honest, [""; 0]);
    let without = |quiet: fn(&mut Webhooks)| {
        after(|evidence| {
            let mut wanted = misbehaviour();
            quiet(&mut wanted.webhooks);
            evidence.misbehaviour = Some(wanted);
        })
    };
    let found = ["everything that may go wrong did"];
    assert_eq!(without(|webhooks| webhooks.late = 0), found);
    assert_eq!(without(|webhooks| webhooks.duplicated = 0), found);
    assert_eq!(without(|webhooks| webhooks.dropped = 0), found);
    assert_eq!(without(|webhooks| webhooks.shuffled = 0), found);

    // Many came and never paid, and nobody was declined or disputed anything.
    let mut evidence = honest_evidence_of_many();
    let verdicts = check(&evidence);
    let of = |name: &str, verdicts: &[Verdict]| {
        let verdict = verdicts.iter().find(|verdict| verdict.name == name);
        verdict.unwrap().findings.clone()
    };
    let missing = of("everything that may go wrong did", &verdicts);
    assert_eq!(missing.len(), ENDINGS.len() - 1, "{missing:?}");
    assert_eq!(of("money came late", &verdicts).len(), 1);
    evidence.misbehaviour = None;
    assert!(
        check(&evidence)
            .iter()
            .all(|verdict| verdict.name != "money came late")
    );
}

fn honest_evidence_of_many() -> Evidence {
    let mut evidence = honest();
    evidence.misbehaviour = Some(misbehaviour());
    large(&mut evidence, Ending::NeverPays);
    evidence
}

/// The books of a reseller who changed the stock and ended where it began, ten tickets with four of them sold.
fn partner() -> PartnerBooks {
    PartnerBooks {
        category: category(),
        told: Told {
            up: 2,
            down: 2,
            twice: 1,
            overtaken: 1,
        },
        last: (6, 10),
        shortfall_seen: 4,
        book: ResellerBook {
            capacity: 10,
            sold: 4,
            sequence: 9,
            answered: Some((6, 0)),
        },
        refused: None,
    }
}

#[test]
fn books_of_the_reseller_that_differ_are_found() {
    let with = |lie: fn(&mut PartnerBooks)| {
        after(|evidence| {
            let mut books = partner();
            lie(&mut books);
            evidence.partner = Some(books);
        })
    };
    let found = ["both reseller books are equal"];
    assert_eq!(with(|_| {}), [""; 0]);
    assert_eq!(with(|books| books.book.capacity = 9), found);
    assert_eq!(with(|books| books.book.sold = 3), found);
    assert_eq!(with(|books| books.book.answered = Some((5, 0))), found);
    assert_eq!(with(|books| books.book.answered = Some((6, 2))), found);
    assert_eq!(with(|books| books.book.answered = None), found);
    assert_eq!(
        with(|books| books.refused = Some("a gap".to_owned())),
        found
    );
    assert_eq!(with(|books| books.told.up = 0), found);
    assert_eq!(with(|books| books.told.down = 0), found);
    assert_eq!(with(|books| books.told.twice = 0), found);
    assert_eq!(with(|books| books.told.overtaken = 0), found);
    assert_eq!(with(|books| books.shortfall_seen = 0), found);
}

#[test]
fn a_reseller_may_change_the_capacity_and_nobody_else() {
    let grown = |evidence: &mut Evidence| {
        evidence.after = vec![CategoryStock {
            capacity: 12,
            ..stock(8, 0, 4)
        }];
    };
    let mut after_all = after(grown);
    after_all.retain(|name| *name != "the stock store equals the ledger");
    assert_eq!(after_all, ["no ticket was made or lost"]);
    let by_reseller = |evidence: &mut Evidence| {
        grown(evidence);
        let mut books = partner();
        books.last = (6, 12);
        books.book.capacity = 12;
        evidence.partner = Some(books);
    };
    assert_eq!(after(by_reseller), [""; 0]);
}

#[test]
fn an_answer_against_the_contract_is_found() {
    let lie = |evidence: &mut Evidence| {
        evidence.book.stories[5]
            .faults
            .push("order: unexpected answer 500".to_owned());
    };
    assert_eq!(after(lie), ["every answer was as promised"]);
}

#[test]
fn an_audit_that_fails_skips_or_forgets_a_check_is_found() {
    let fails = |evidence: &mut Evidence| {
        evidence.audit.ok = false;
        evidence.audit.checks[3].ok = false;
    };
    assert_eq!(after(fails), ["audit: facts"]);
    let skips = |evidence: &mut Evidence| evidence.audit.checks[2].skipped = true;
    assert_eq!(after(skips), ["audit: store"]);
    let forgets = |evidence: &mut Evidence| {
        evidence.audit.checks.remove(4);
    };
    assert_eq!(after(forgets), ["audit: payments"]);
    let contradicts = |evidence: &mut Evidence| evidence.audit.ok = false;
    assert_eq!(after(contradicts), ["audit: all"]);
}

#[test]
fn a_process_that_grew_too_large_is_found_whatever_it_holds_now() {
    let runtime = |evidence: &mut Evidence| evidence.memory = vec![memory("runtime", 200_000)];
    assert_eq!(after(runtime), ["memory stays small"]);
    let operator = |evidence: &mut Evidence| evidence.memory = vec![memory("operator", 50_000)];
    assert_eq!(after(operator), ["memory stays small"]);
    let one_role = |evidence: &mut Evidence| evidence.memory = vec![memory("runtime-api", 200_000)];
    assert_eq!(after(one_role), [""; 0]);
}

#[test]
fn a_long_list_of_findings_is_cut_and_counted() {
    let findings: Vec<_> = (0..12).map(|number| format!("finding {number}")).collect();
    let lines = Verdict::new("x", String::new(), findings).lines();
    assert_eq!(lines.len(), 6);
    assert_eq!(lines[5], "... and 7 more");
}
