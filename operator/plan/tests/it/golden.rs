//! One promise per test; the file beside shows the whole plan.

use ticket_core::{Adjustment, CategoryName, Epoch, StockSource};
use ticket_plan::{Observed, ObservedAdjustment, Plan, Removal, Step, plan, plan_removal};

use crate::fixture::{
    TAKEN, citus, dedicated, desired, desired_at, event, price, selling, settled,
};

#[test]
fn a_new_event_gets_everything_and_opens_last() {
    let desired = desired(&event());
    let todo = plan(&desired, &Observed::default());
    insta::assert_yaml_snapshot!(todo);
    assert!(plan(&desired, &Observed::default().after(&todo)).is_empty());
}

#[test]
fn an_event_that_is_as_wanted_needs_nothing() {
    let desired = desired(&event());
    assert!(plan(&desired, &settled(&desired)).is_empty());
    assert!(plan(&desired, &selling(&desired)).is_empty());
}

#[test]
fn an_event_that_was_never_set_up_in_its_window_is_not_opened() {
    let desired = desired_at(&event(), "2026-03-01T14:00:00Z");
    let todo = plan(&desired, &Observed::default());
    let observed = Observed::default().after(&todo);
    assert!(
        observed
            .row
            .as_ref()
            .is_some_and(|row| row.is_closed && !row.is_open)
    );
    assert!(plan(&desired, &observed).is_empty());
}

#[test]
fn a_sale_whose_window_is_over_is_closed_before_anything_else() {
    let observed = selling(&desired(&event()));
    let mut later = event();
    later.spec.title = "Coldplay (sold)".to_owned();
    let todo = plan(&desired_at(&later, "2026-03-01T14:00:00Z"), &observed);
    insta::assert_yaml_snapshot!(todo);
}

#[test]
fn a_window_that_was_moved_opens_the_sale_again() {
    let mut event = event();
    let closed = desired_at(&event, "2026-03-01T14:00:00Z");
    let observed = selling(&desired(&event));
    let observed = observed.after(&plan(&closed, &observed));
    event.spec.sales.closes_at = crate::fixture::at("2026-03-01T16:00:00Z");
    let todo = plan(&desired_at(&event, "2026-03-01T14:00:00Z"), &observed);
    insta::assert_yaml_snapshot!(todo);
}

#[test]
fn a_pause_is_only_written() {
    let mut event = event();
    let observed = selling(&desired(&event));
    event.spec.sales.paused = true;
    insta::assert_yaml_snapshot!(plan(&desired(&event), &observed));
}

#[test]
fn a_new_price_is_only_written() {
    let mut event = event();
    let observed = selling(&desired(&event));
    event.spec.categories[0].price.amount_minor = 300;
    let after = observed.after(&plan(&desired(&event), &observed));
    assert_eq!(price(&after).amount_minor, 300);
    assert_eq!(after.shards, observed.shards);
}

#[test]
fn a_topic_that_vanished_during_the_sale_comes_back_as_it_was() {
    let mut event = event();
    let mut observed = selling(&desired(&event));
    observed.topic = None;
    // The number in the spec is ignored while people buy.
    event.spec.queue.partitions = Some(64);
    let desired = desired(&event);
    let todo = plan(&desired, &observed);
    insta::assert_yaml_snapshot!(todo);
    let after = observed.after(&todo);
    let left = plan(&desired, &after);
    assert_eq!(left.next(), None);
    // The number, and the warm-up that is needed now: the keeper's.
    assert_eq!(left.blocked().count(), 2);
    assert_eq!(after.epoch(), Epoch(2));
}

#[test]
fn a_topic_that_vanished_when_nobody_could_order_costs_no_warm_up() {
    let before = desired_at(&event(), "2026-03-01T10:00:00Z");
    let after = desired_at(&event(), "2026-03-01T14:00:00Z");
    let mut early = settled(&before);
    early.topic = None;
    let late = selling(&desired(&event()));
    let mut late = late.after(&plan(&after, &late));
    late.topic = None;
    for (desired, observed) in [(before, early), (after, late)] {
        let todo = plan(&desired, &observed);
        assert!(
            matches!(todo.steps.as_slice(), [Step::CreateTopic { .. }]),
            "{todo:?}"
        );
    }
}

#[test]
fn retention_that_drifted_is_set_back() {
    let desired = desired(&event());
    let mut observed = selling(&desired);
    observed.topic.as_mut().unwrap().retention_ms = Some(604_800_000);
    insta::assert_yaml_snapshot!(plan(&desired, &observed));
}

#[test]
fn partitions_grow_before_the_sale_and_not_after() {
    let mut event = event();
    let before = "2026-03-01T10:00:00Z";
    let early = settled(&desired_at(&event, before));
    event.spec.queue.partitions = Some(8);
    let grown = plan(&desired_at(&event, before), &early);
    insta::assert_yaml_snapshot!("partitions_grow_before_the_sale", grown);
    assert!(plan(&desired_at(&event, before), &early.after(&grown)).is_empty());
    let refused = plan(
        &desired(&event),
        &selling(&desired_at(&self::event(), before)),
    );
    insta::assert_yaml_snapshot!("partitions_stay_once_the_sale_is_open", refused);
}

#[test]
fn other_copies_of_a_topic_are_a_conflict() {
    let mut event = event();
    let observed = settled(&desired(&event));
    event.spec.queue.replication_factor = Some(3);
    insta::assert_yaml_snapshot!(plan(&desired(&event), &observed));
}

#[test]
fn more_and_fewer_tickets_are_commands_and_nothing_is_made_anew() {
    let mut event = event();
    let observed = selling(&desired(&event));
    event.spec.categories[0].quantity = 6_000;
    event.spec.categories[1].quantity = 100;
    let desired = desired(&event);
    let todo = plan(&desired, &observed);
    insta::assert_yaml_snapshot!(todo);
    let after = observed.after(&todo);
    assert_eq!(after.capacity_of(&desired.categories[0].name), Some(6_000));
    assert_eq!(after.capacity_of(&desired.categories[1].name), Some(100));
    assert!(plan(&desired, &after).is_empty());
}

#[test]
fn a_quantity_below_what_is_sold_takes_back_the_rest_and_says_so() {
    let mut event = event();
    let observed = selling(&desired(&event));
    event.spec.categories[1].quantity = 10;
    event.spec.sales.paused = true;
    let desired = desired(&event);
    let todo = plan(&desired, &observed);
    insta::assert_yaml_snapshot!(todo);
    let mut after = observed.after(&todo);
    let standing = &desired.categories[1].name;
    assert_eq!(after.capacity_of(standing), Some(2 * TAKEN));
    let left = plan(&desired, &after);
    assert_eq!((left.next(), left.blocked().count()), (None, 1));
    // An order is cancelled: its tickets are taken back, too.
    let shard = after.shards.iter_mut().rfind(|s| s.category == *standing);
    let counts = &mut shard.unwrap().counts;
    counts.sold -= 4;
    counts.available += 4;
    let more = plan(&desired, &after);
    assert!(matches!(
        more.next(),
        Some(Step::AdjustStock { to: 10, .. })
    ));
    assert_eq!(
        after.after(&more).capacity_of(standing),
        Some(2 * TAKEN - 4)
    );
}

#[test]
fn a_second_change_while_the_first_is_on_its_way_gets_a_number_of_its_own() {
    let mut event = event();
    let mut observed = selling(&desired(&event));
    // The first one is written down, and no stock shard has met it.
    observed.adjustments.push(ObservedAdjustment {
        category: CategoryName::new("vip").unwrap(),
        number: Adjustment(1),
        wanted: 6_000,
        source: StockSource::Spec,
        has_reseller_spoken: false,
    });
    // Back to what there is, and still not nothing: the commands of the first one may come any time.
    let back = plan(&desired(&event), &observed);
    insta::assert_yaml_snapshot!(back);
    event.spec.categories[0].quantity = 2_000;
    let desired = desired(&event);
    let todo = plan(&desired, &observed);
    let after = observed.after(&todo);
    assert_eq!(after.capacity_of(&desired.categories[0].name), Some(2_000));
    assert!(plan(&desired, &after).is_empty());
    // Who still has the plan from before does nothing.
    assert_eq!(after.after(&back), after);
}

#[test]
fn stock_that_the_ledger_lost_is_neither_made_anew_nor_made_up_for() {
    let desired = desired(&event());
    let mut observed = selling(&desired);
    let gone = observed.shards.remove(0);
    observed.lost.push(gone.category);
    insta::assert_yaml_snapshot!(plan(&desired, &observed));
    // Not even if all of a category is gone.
    while observed.shards[0].category == observed.lost[0] {
        let gone = observed.shards.remove(0);
        observed.lost.push(gone.category);
    }
    let todo = plan(&desired, &observed);
    assert_eq!((todo.next(), todo.blocked().count()), (None, 1));
}

#[test]
fn what_the_reseller_changed_is_noted_and_not_changed_back() {
    let mut event = event();
    event.spec.stock_source = ticket_crds::StockSource::Reseller;
    let desired = desired(&event);
    let mut observed = selling(&desired);
    observed.adjustments.push(ObservedAdjustment {
        category: desired.categories[0].name.clone(),
        number: Adjustment(1),
        wanted: 1_051,
        source: StockSource::Reseller,
        has_reseller_spoken: true,
    });
    observed.shards[0].counts.capacity += 50;
    observed.shards[0].counts.available += 50;
    let todo = plan(&desired, &observed);
    assert!(
        matches!(todo.steps.as_slice(), [Step::WriteEvent { .. }]),
        "{todo:?}"
    );
    assert!(plan(&desired, &observed.after(&todo)).is_empty());
}

#[test]
fn until_the_reseller_speaks_the_spec_says_how_many_tickets_there_are() {
    let mut event = event();
    event.spec.stock_source = ticket_crds::StockSource::Reseller;
    let observed = selling(&desired(&event));
    event.spec.categories[0].quantity = 1_500;
    let desired = desired(&event);
    let todo = plan(&desired, &observed);
    let after = observed.after(&todo);
    assert_eq!(after.capacity_of(&desired.categories[0].name), Some(1_500));
    assert!(plan(&desired, &after).is_empty());
}

#[test]
fn more_stock_shards_for_stock_that_is_made_are_said() {
    let mut event = event();
    let observed = selling(&desired(&event));
    event.spec.categories[0].stock_shards = 5;
    insta::assert_yaml_snapshot!(plan(&desired(&event), &observed));
}

#[test]
fn a_category_that_comes_after_the_store_was_filled_waits_for_a_warm_up() {
    let mut event = event();
    let observed = selling(&desired(&event));
    let mut late = event.spec.categories[0].clone();
    late.name = "late".to_owned();
    event.spec.categories.push(late);
    insta::assert_yaml_snapshot!(plan(&desired(&event), &observed));
}

#[test]
fn adopted_stock_whose_store_is_gone_is_opened_so_that_a_keeper_fills_it() {
    let desired = desired(&event());
    let mut observed = selling(&desired);
    let row = observed.row.as_mut().unwrap();
    (row.is_open, row.is_closed) = (false, true);
    observed.armed = None;
    let todo = plan(&desired, &observed);
    assert_eq!(todo.next(), Some(&Step::OpenSales));
    let left = plan(&desired, &observed.after(&todo));
    assert_eq!((left.next(), left.blocked().count()), (None, 1));
}

#[test]
fn adopted_stock_of_a_category_that_is_not_named_keeps_the_sale_closed() {
    let mut event = event();
    let mut observed = selling(&desired(&event));
    observed.row.as_mut().unwrap().is_closed = true;
    event.spec.categories.remove(1);
    let todo = plan(&desired(&event), &observed);
    insta::assert_yaml_snapshot!(todo);
    assert!(!todo.steps.contains(&Step::OpenSales) || todo.blocked().count() > 0);
    assert!(observed.after(&todo).row.unwrap().is_closed);
}

#[test]
fn a_store_that_lost_everything_before_the_sale_is_filled_again() {
    let desired = desired_at(&event(), "2026-03-01T10:00:00Z");
    let mut observed = settled(&desired);
    observed.armed = None;
    insta::assert_yaml_snapshot!(plan(&desired, &observed));
}

#[test]
fn a_store_that_lost_everything_during_the_sale_is_never_filled_at_its_old_epoch() {
    let desired = desired(&event());
    let mut observed = selling(&desired);
    observed.armed = None;
    insta::assert_yaml_snapshot!(plan(&desired, &observed));
    // The same if nothing has reached the ledger yet, and if only the log knows of an order.
    let mut observed = settled(&desired);
    observed.armed = None;
    assert_eq!(plan(&desired, &observed).next(), None);
    let early = desired_at(&event(), "2026-03-01T10:00:00Z");
    observed.topic.as_mut().unwrap().is_empty = false;
    assert_eq!(plan(&early, &observed).next(), None);
}

#[test]
fn a_store_that_has_seen_the_epoch_waits_for_a_warm_up() {
    let desired = desired_at(&event(), "2026-03-01T10:00:00Z");
    let mut observed = settled(&desired);
    observed.armed = None;
    observed.is_fenced = true;
    assert_eq!(plan(&desired, &observed).next(), None);
}

#[test]
fn a_warm_up_under_way_is_left_alone() {
    let desired = desired(&event());
    let mut observed = selling(&desired);
    observed.row.as_mut().unwrap().epoch = Epoch(2);
    insta::assert_yaml_snapshot!(plan(&desired, &observed));
    observed.armed = Some(Epoch(2));
    assert!(plan(&desired, &observed).is_empty());
}

#[test]
fn shards_that_were_made_before_a_crash_are_not_made_twice() {
    let desired = desired(&event());
    let todo = plan(&desired, &Observed::default());
    let position = todo
        .steps
        .iter()
        .position(|s| matches!(s, Step::CreateStockShards { .. }));
    let mut half = todo.clone();
    half.steps.truncate(position.unwrap() + 1);
    let observed = Observed::default().after(&half);
    let rest = plan(&desired, &observed);
    insta::assert_yaml_snapshot!(rest);
    assert_eq!(observed.after(&rest), Observed::default().after(&todo));
}

#[test]
fn retain_ends_the_sale_and_keeps_the_rest() {
    let observed = selling(&desired(&event()));
    let todo = plan_removal(
        Removal::Retain,
        "orders.default.coldplay.01234567",
        &observed,
    );
    insta::assert_yaml_snapshot!(todo);
    let after = observed.after(&todo);
    assert_eq!(
        (after.shards, after.topic),
        (observed.shards, observed.topic)
    );
}

#[test]
fn delete_removes_all_and_the_rows_last() {
    let observed = selling(&desired(&event()));
    let topic = "orders.default.coldplay.01234567";
    let todo = plan_removal(Removal::Delete, topic, &observed);
    insta::assert_yaml_snapshot!(todo);
    let after = observed.after(&todo);
    assert_eq!(after, Observed::default());
    assert!(plan_removal(Removal::Delete, topic, &after).is_empty());
}

/// The first steps of a plan, up to the one of this name, carried out.
fn carried_out(observed: &Observed, todo: &Plan, up_to: &str) -> Observed {
    let mut half = todo.clone();
    let at = half.steps.iter().position(|step| step.name() == up_to);
    half.steps.truncate(at.unwrap() + 1);
    observed.after(&half)
}

#[test]
fn a_dedicated_event_gets_its_lanes_before_its_stock() {
    let desired = desired(&dedicated());
    let todo = plan(&desired, &citus(16));
    insta::assert_yaml_snapshot!(todo);
    let after = citus(16).after(&todo);
    assert!(plan(&desired, &after).is_empty());
    let lanes = after.lanes;
    assert_eq!((lanes.leased, lanes.alone, lanes.left), (5, 5, 11));
}

#[test]
fn lanes_that_were_leased_before_a_crash_are_only_split() {
    let desired = desired(&dedicated());
    let todo = plan(&desired, &citus(16));
    let observed = carried_out(&citus(16), &todo, "LeaseLanes");
    let rest = plan(&desired, &observed);
    insta::assert_yaml_snapshot!(rest);
    assert_eq!(observed.after(&rest), citus(16).after(&todo));
}

#[test]
fn a_category_that_is_missing_after_a_crash_takes_the_lanes_that_are_left() {
    let desired = desired(&dedicated());
    let todo = plan(&desired, &citus(16));
    let observed = carried_out(&citus(16), &todo, "CreateStockShards");
    let rest = plan(&desired, &observed);
    insta::assert_yaml_snapshot!(rest);
    assert_eq!(observed.after(&rest), citus(16).after(&todo));
}

#[test]
fn an_event_that_wants_more_lanes_than_it_has_leases_the_rest() {
    let mut event = dedicated();
    let todo = plan(&desired(&event), &citus(16));
    let observed = carried_out(&citus(16), &todo, "SplitShard");
    event.spec.categories[0].stock_shards = 6;
    let more = plan(&desired(&event), &observed);
    insta::assert_yaml_snapshot!(more);
    assert!(plan(&desired(&event), &observed.after(&more)).is_empty());
    // Who still has the plan from before makes no second set, and takes no lane that is not there.
    let stale = observed.after(&more).after(&todo);
    assert_eq!(stale.shards, observed.after(&more).shards);
}

#[test]
fn a_pool_that_is_used_up_keeps_stock_and_buyers_out() {
    let desired = desired(&dedicated());
    let todo = plan(&desired, &citus(4));
    insta::assert_yaml_snapshot!(todo);
    let after = citus(4).after(&todo);
    assert!(after.shards.is_empty() && after.armed.is_none());
    assert!(after.row.as_ref().is_some_and(|row| !row.is_open));
    let left = plan(&desired, &after);
    assert_eq!((left.next(), left.blocked().count()), (None, 1));
}

#[test]
fn without_citus_a_dedicated_event_is_like_any_other() {
    let nothing = Observed::default();
    assert_eq!(
        plan(&desired(&dedicated()), &nothing),
        plan(&desired(&event()), &nothing)
    );
}

#[test]
fn isolation_does_not_change_once_there_is_stock() {
    let shared = citus(16).after(&plan(&desired(&event()), &citus(16)));
    assert_eq!(shared.lanes.leased, 0);
    assert!(plan(&desired(&dedicated()), &shared).is_empty());
    let isolated = citus(16).after(&plan(&desired(&dedicated()), &citus(16)));
    assert!(plan(&desired(&event()), &isolated).is_empty());
}

#[test]
fn delete_gives_the_lanes_back_after_the_rows() {
    let observed = citus(16).after(&plan(&desired(&dedicated()), &citus(16)));
    let topic = "orders.default.coldplay.01234567";
    let todo = plan_removal(Removal::Delete, topic, &observed);
    insta::assert_yaml_snapshot!(todo);
    assert_eq!(observed.after(&todo), citus(16));
    // What is kept keeps its lanes.
    let kept = plan_removal(Removal::Retain, topic, &observed);
    assert_eq!(observed.after(&kept).lanes, observed.lanes);
}
