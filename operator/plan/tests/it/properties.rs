//! What holds for every plan, whatever is wanted and whatever is there.

use proptest::prelude::*;
use ticket_core::{Adjustment, Epoch, StockSource};
use ticket_crds::{Isolation, TicketEvent};
use ticket_plan::{Desired, Observed, ObservedAdjustment, ObservedShard, Plan, Step, plan};

use crate::fixture::{citus, desired_at, event, take};

/// An Event with some fields varied.
fn events() -> impl Strategy<Value = TicketEvent> {
    let category = (0_i64..3, 0_i64..400, 1_i32..6);
    (
        prop::collection::vec(category, 1..4),
        prop::option::of(1_i32..9),
        prop::option::of(1_i32..3),
        any::<bool>(),
        1_i32..3,
        any::<bool>(),
    )
        .prop_map(
            |(categories, partitions, copies, paused, retention_h, is_dedicated)| {
                let mut event = event();
                if is_dedicated {
                    event.spec.placement.isolation = Isolation::Dedicated;
                }
                let template = event.spec.categories[0].clone();
                event.spec.categories.clear();
                for (name, quantity, stock_shards) in categories {
                    let name = format!("c{name}");
                    if event.spec.categories.iter().any(|other| other.name == name) {
                        continue;
                    }
                    let template = template.clone();
                    event.spec.categories.push(ticket_crds::Category {
                        name,
                        quantity,
                        stock_shards,
                        ..template
                    });
                }
                event.spec.queue.partitions = partitions;
                event.spec.queue.replication_factor = copies;
                event.spec.queue.retention = format!("{retention_h}h").as_str().into();
                event.spec.sales.paused = paused;
                event
            },
        )
}

fn desires() -> impl Strategy<Value = Desired> {
    let hours = prop::sample::select(vec!["10", "12", "14"]);
    (events(), hours)
        .prop_map(|(event, hour)| desired_at(&event, &format!("2026-03-01T{hour}:00:00Z")))
}

/// Nothing is there yet, on either kind of ledger; a pool may have too few lanes.
fn grounds() -> impl Strategy<Value = Observed> {
    prop_oneof![Just(Observed::default()), (0_usize..24).prop_map(citus)]
}

/// What an earlier spec left, cut off after some steps, and what happened to it since.
fn situations() -> impl Strategy<Value = Observed> {
    let happened = (
        any::<bool>(),
        any::<bool>(),
        prop::option::of(0_i64..400),
        any::<bool>(),
        1_i64..3,
        prop::option::of((0_u32..400, any::<bool>(), any::<bool>())),
    );
    (desires(), grounds(), 0_usize..14, happened).prop_map(|(earlier, ground, steps, happened)| {
        let (lost_topic, lost_store, sold, fenced, epoch, adjusted) = happened;
        let mut todo = plan(&earlier, &ground);
        todo.steps.truncate(steps);
        let mut observed = ground.after(&todo);
        if lost_topic {
            observed.topic = None;
        }
        if lost_store {
            observed.armed = None;
        }
        if let Some(units) = sold {
            if let Some(topic) = &mut observed.topic {
                topic.is_empty = false;
            }
            for shard in &mut observed.shards {
                take(shard, units);
            }
        }
        // Somebody asked for another number of tickets, and perhaps nobody has met it yet.
        if let (Some((wanted, has_reseller_spoken, is_met)), Some(shard)) =
            (adjusted, observed.shards.first())
        {
            let category = shard.category.clone();
            if is_met {
                for shard in &mut observed.shards {
                    shard.adjustment = Adjustment(1);
                }
            }
            observed.adjustments.push(ObservedAdjustment {
                category,
                number: Adjustment(1),
                wanted,
                source: StockSource::Spec,
                has_reseller_spoken,
            });
        }
        observed.is_fenced = fenced;
        if let Some(row) = &mut observed.row {
            row.epoch = Epoch(epoch);
        }
        observed
    })
}

/// Takes no ticket from who has it, moves and shrinks nothing, forgets nothing.
fn assert_harmless(before: &Observed, after: &Observed) {
    for (before, after) in before.shards.iter().zip(&after.shards) {
        let taken = |shard: &ObservedShard| (shard.counts.held, shard.counts.sold);
        assert_eq!(taken(before), taken(after));
        assert!(after.counts.is_conserved(), "{after:?}");
        let place = |shard: &ObservedShard| (shard.category.clone(), shard.partition);
        assert_eq!(place(before), place(after), "nothing moves");
    }
    assert!(after.shards.len() >= before.shards.len());
    // Lanes are neither made up nor lost.
    let lanes = |observed: &Observed| observed.lanes.leased + observed.lanes.left;
    assert_eq!(lanes(before), lanes(after));
    assert!(after.lanes.alone <= after.lanes.leased && after.lanes.leased >= before.lanes.leased);
    let partitions = |observed: &Observed| observed.topic.as_ref().map_or(0, |t| t.partitions);
    assert!(partitions(after) >= partitions(before));
    assert!(before.armed.is_none() || after.armed == before.armed);
}

proptest! {
    #[test]
    fn carrying_a_plan_out_leaves_nothing_but_what_is_blocked(
        desired in desires(),
        observed in situations(),
    ) {
        let todo = plan(&desired, &observed);
        let after = observed.after(&todo);
        assert_harmless(&observed, &after);
        let left = plan(&desired, &after);
        prop_assert_eq!(left.next(), None, "{:?}", left);
    }

    #[test]
    fn one_step_at_a_time_ends_where_the_whole_plan_ends(
        desired in desires(),
        observed in situations(),
    ) {
        const STEPS_MAX: usize = 16;
        let whole = observed.after(&plan(&desired, &observed));
        let mut now = observed;
        for _ in 0..STEPS_MAX {
            let Some(step) = plan(&desired, &now).next().cloned() else { break };
            now = now.after(&Plan { steps: vec![step] });
        }
        let left = plan(&desired, &now);
        prop_assert_eq!(left.next(), None);
        prop_assert_eq!(now, whole);
    }

    #[test]
    fn a_stale_plan_does_no_harm(
        old in desires(),
        new in desires(),
        observed in situations(),
    ) {
        // Two operators planned from the same look; the slower one carries its plan out after the faster one.
        let stale = plan(&old, &observed);
        let now = observed.after(&plan(&new, &observed));
        assert_harmless(&now, &now.after(&stale));
    }

    #[test]
    fn tickets_are_as_the_spec_says_or_as_many_as_are_taken(
        desired in desires(),
        observed in situations(),
    ) {
        let after = observed.after(&plan(&desired, &observed));
        for category in &desired.categories {
            let Some(units) = after.units_of(&category.name) else { continue };
            let is_made = observed.units_of(&category.name).is_some();
            prop_assert_eq!(units.capacity, units.taken.max(category.quantity.into()));
            prop_assert!(is_made || units.taken == 0);
        }
    }

    #[test]
    fn all_stock_of_a_dedicated_event_is_made_in_lanes_that_are_there(
        desired in desires(),
        observed in situations(),
    ) {
        let todo = plan(&desired, &observed);
        let is_isolated = desired.is_dedicated && observed.is_distributed && observed.named() == 0;
        let mut now = observed;
        for step in &todo.steps {
            if let Step::CreateStockShards { shards, first_lane, .. } = step {
                prop_assert!(first_lane.is_some() || !is_isolated);
                if let Some(first) = first_lane {
                    prop_assert!(desired.is_dedicated && now.is_distributed);
                    prop_assert_eq!(*first, now.named());
                    prop_assert!(now.lanes.alone >= first + shards.len());
                }
            }
            let is_lane_step = matches!(step, Step::LeaseLanes { .. } | Step::SplitShard { .. });
            prop_assert!(!is_lane_step || is_isolated);
            now = now.after(&Plan { steps: vec![step.clone()] });
        }
    }

    #[test]
    fn the_store_is_filled_only_while_nothing_can_have_been_sold(
        desired in desires(),
        observed in situations(),
    ) {
        let is_seed = |step: &Step| matches!(step, Step::SeedStock { .. });
        if plan(&desired, &observed).steps.iter().any(is_seed) {
            prop_assert!(observed.armed.is_none());
            prop_assert_eq!(observed.epoch(), Epoch::FIRST);
            prop_assert!(observed.topic.as_ref().is_none_or(|topic| topic.is_empty));
            prop_assert!(observed.shards.iter().all(|shard| shard.is_untouched));
        }
    }
}
