//! Plans of moves for situations, as golden files, and what holds for all of them.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use ticket_core::{EventName, StockShardId};
use ticket_plan::{
    Cluster, ClusterNode, Goal, HashRange, Move, PlacedShard, PlacedStock, Refusal, rebalance,
};

fn event(name: &str) -> EventName {
    EventName::new("default", name).unwrap()
}

fn node(name: &str) -> ClusterNode {
    ClusterNode {
        name: name.to_owned(),
        is_alive: true,
        takes_shards: name != "coordinator",
    }
}

/// Citus shards in the order of their hashes: node, and the events whose stock is in it. `live` is on sale.
fn cluster(nodes: &[&str], shards: &[(&str, &[&str])]) -> Cluster {
    let mut ids = 1_i64..;
    let placed = (0..).zip(shards).map(|(at, (node, events))| PlacedShard {
        range: HashRange {
            low: at * 10,
            high: at * 10 + 9,
        },
        node: (*node).to_owned(),
        bytes: Some(i64::from(at) * 1_000),
        stock: events
            .iter()
            .map(|name| PlacedStock {
                id: StockShardId::new(ids.next().unwrap()).unwrap(),
                event: event(name),
                is_on_sale: *name == "live",
            })
            .collect(),
    });
    Cluster {
        nodes: nodes.iter().map(|name| node(name)).collect(),
        shards: placed.collect(),
    }
}

fn drain(node: &str) -> Goal {
    Goal::DrainNode {
        node: node.to_owned(),
    }
}

fn pin(node: &str, events: &[&str]) -> Goal {
    Goal::PinEvents {
        node: node.to_owned(),
        events: events.iter().map(|name| event(name)).collect(),
    }
}

/// Plans, and checks that nothing is left to plan afterwards.
fn planned(goal: &Goal, is_forced: bool, cluster: &Cluster) -> Vec<Move> {
    let moves = rebalance(goal, is_forced, cluster).unwrap();
    let after = cluster.after(&moves);
    assert_eq!(rebalance(goal, is_forced, &after), Ok(Vec::new()));
    moves
}

#[test]
fn a_new_worker_gets_its_share_of_every_event() {
    let skewed = cluster(
        &["coordinator", "a", "b"],
        &[
            ("a", &["one"]),
            ("a", &["one"]),
            ("a", &["one"]),
            ("a", &["one"]),
            ("a", &["two"]),
            ("a", &["two"]),
            ("a", &[]),
        ],
    );
    insta::assert_yaml_snapshot!(planned(&Goal::Balance, false, &skewed));
}

#[test]
fn a_drained_node_keeps_nothing_and_its_lanes_are_spread() {
    let full = cluster(
        &["coordinator", "a", "b", "c"],
        &[
            ("a", &["one"]),
            ("a", &["one"]),
            ("a", &["one", "two"]),
            ("a", &[]),
            ("b", &["one"]),
            ("c", &["two"]),
        ],
    );
    let moves = planned(&drain("a"), false, &full);
    assert!(full.after(&moves).shards.iter().all(|it| it.node != "a"));
    insta::assert_yaml_snapshot!(moves);
}

#[test]
fn pinned_events_come_with_what_shares_their_shards_and_nothing_else_moves() {
    let mixed = cluster(
        &["a", "b"],
        &[
            ("a", &["one"]),
            ("a", &["one", "two"]),
            ("a", &["two"]),
            ("b", &["one"]),
        ],
    );
    insta::assert_yaml_snapshot!(planned(&pin("b", &["one"]), false, &mixed));
}

#[test]
fn what_is_as_wanted_needs_no_move() {
    let even = cluster(&["a", "b"], &[("a", &["one"]), ("b", &["one"]), ("a", &[])]);
    assert_eq!(rebalance(&Goal::Balance, false, &even), Ok(Vec::new()));
    let all_there = pin("a", &["two"]);
    let there = cluster(&["a", "b"], &[("a", &["two"])]);
    assert_eq!(rebalance(&all_there, false, &there), Ok(Vec::new()));
}

#[test]
fn what_cannot_be_reached_is_refused_as_a_whole() {
    let mut down = cluster(&["a", "b"], &[("a", &["one"]), ("b", &["two"])]);
    down.nodes[1].is_alive = false;
    let live = cluster(
        &["coordinator", "a", "b"],
        &[("a", &["live"]), ("a", &["live"]), ("b", &[])],
    );
    let refusals = [
        rebalance(&drain("x"), false, &live),
        rebalance(&drain("b"), false, &down),
        rebalance(&drain("a"), false, &down),
        rebalance(&pin("b", &["one"]), false, &down),
        rebalance(&pin("a", &["two"]), false, &down),
        rebalance(&pin("coordinator", &["live"]), true, &live),
        rebalance(&pin("b", &["nobody"]), false, &live),
        rebalance(&pin("b", &["live"]), false, &live),
        rebalance(&drain("a"), false, &live),
        rebalance(&Goal::Balance, false, &live),
    ]
    .map(|planned| {
        let refusal = planned.unwrap_err();
        format!("{}: {refusal}", refusal.code())
    });
    insta::assert_yaml_snapshot!(refusals);
    // Forced, the same are plans.
    assert_eq!(planned(&Goal::Balance, true, &live).len(), 1);
    assert_eq!(planned(&drain("a"), true, &live).len(), 2);
    assert_eq!(planned(&pin("b", &["live"]), true, &live).len(), 2);
}

#[test]
fn what_is_not_on_sale_moves_first_even_when_forced() {
    let live = cluster(
        &["a", "b"],
        &[
            ("a", &["live"]),
            ("a", &["live"]),
            ("a", &["one"]),
            ("a", &["one"]),
        ],
    );
    let moves = planned(&Goal::Balance, true, &live);
    assert_eq!(moves[0].range.low, 20);
}

/// Up to 4 nodes, 40 Citus shards and 5 events, in any skew.
fn clusters() -> impl Strategy<Value = Cluster> {
    let names = ["a", "b", "c", "d"];
    let shard = (0_usize..4, prop::collection::vec(0_usize..5, 0..3));
    (
        1_usize..5,
        prop::collection::vec(shard, 0..40),
        prop::collection::vec(prop::bool::weighted(0.9), 4),
        prop::collection::vec(prop::bool::weighted(0.2), 5),
    )
        .prop_map(move |(nodes, shards, alive, on_sale)| {
            let mut ids = 1_i64..;
            let placed = (0..).zip(shards).map(|(at, (node, events))| PlacedShard {
                range: HashRange { low: at, high: at },
                node: names[node % nodes].to_owned(),
                bytes: None,
                stock: events
                    .iter()
                    .map(|number| PlacedStock {
                        id: StockShardId::new(ids.next().unwrap()).unwrap(),
                        event: event(&format!("e{number}")),
                        is_on_sale: on_sale[*number],
                    })
                    .collect(),
            });
            let mut cluster = Cluster {
                nodes: names[..nodes].iter().map(|name| node(name)).collect(),
                shards: placed.collect(),
            };
            for (node, is_alive) in cluster.nodes.iter_mut().zip(alive) {
                node.is_alive = is_alive;
            }
            cluster
        })
}

fn goals() -> impl Strategy<Value = Goal> {
    let name = prop::sample::select(vec!["a", "b", "c", "d"]);
    let events = prop::collection::btree_set(0_usize..5, 1..3);
    prop_oneof![
        Just(Goal::Balance),
        name.clone().prop_map(drain),
        (name, events).prop_map(|(node, events)| Goal::PinEvents {
            node: node.to_owned(),
            events: events.iter().map(|n| event(&format!("e{n}"))).collect(),
        }),
    ]
}

/// Citus shards with stock, per living node that takes shards.
fn counts(cluster: &Cluster) -> Vec<usize> {
    let nodes = cluster.nodes.iter();
    let nodes = nodes.filter(|node| node.is_alive && node.takes_shards);
    nodes
        .map(|node| {
            let shards = cluster.shards.iter();
            shards
                .filter(|it| it.node == node.name && !it.stock.is_empty())
                .count()
        })
        .collect()
}

/// By how much the shards that hold one event alone differ between living nodes, per event.
fn spreads(cluster: &Cluster) -> BTreeMap<EventName, usize> {
    let names: BTreeSet<&EventName> = cluster
        .shards
        .iter()
        .flat_map(|it| it.stock.iter().map(|stock| &stock.event))
        .collect();
    let of = |name: &EventName| {
        let nodes = cluster.nodes.iter().filter(|node| node.is_alive);
        let counts: Vec<usize> = nodes
            .map(|node| {
                let is_alone = |it: &&PlacedShard| {
                    it.node == node.name
                        && !it.stock.is_empty()
                        && it.stock.iter().all(|stock| stock.event == *name)
                };
                cluster.shards.iter().filter(is_alone).count()
            })
            .collect();
        difference(&counts)
    };
    names
        .into_iter()
        .map(|name| (name.clone(), of(name)))
        .collect()
}

fn difference(counts: &[usize]) -> usize {
    let (max, min) = (counts.iter().max(), counts.iter().min());
    max.copied().unwrap_or_default() - min.copied().unwrap_or_default()
}

proptest! {
    #[test]
    fn a_plan_reaches_its_goal_and_hurts_nobody(
        cluster in clusters(),
        goal in goals(),
        is_forced in any::<bool>(),
    ) {
        let Ok(moves) = rebalance(&goal, is_forced, &cluster) else {
            // A refusal is no plan; which ones there are is shown by the golden file.
            return Ok(());
        };
        let after = cluster.after(&moves);
        prop_assert_eq!(rebalance(&goal, is_forced, &after), Ok(Vec::new()));
        let is_alive = |name: &str| cluster.nodes.iter().any(|it| it.name == name && it.is_alive);
        let mut moved = BTreeSet::new();
        for one in &moves {
            let shard = cluster.shards.iter().find(|it| it.range == one.range).unwrap();
            prop_assert_eq!(&one.from, &shard.node);
            prop_assert!(one.from != one.to && is_alive(&one.to) && is_alive(&one.from));
            prop_assert!(is_forced || shard.stock.iter().all(|stock| !stock.is_on_sale));
            prop_assert!(moved.insert(one.range), "moved twice");
        }
        match &goal {
            Goal::Balance => {
                prop_assert!(difference(&counts(&after)) <= 1, "{:?}", counts(&after));
                let before = spreads(&cluster);
                for (event, spread) in spreads(&after) {
                    // Even stays even.
                    prop_assert!(spread <= before[&event].max(1), "{event}");
                }
                let is_empty = |one: &Move| one.stock_shard_ids.is_empty();
                prop_assert!(!moves.iter().any(is_empty), "an empty shard was moved");
            }
            Goal::DrainNode { node } => {
                prop_assert!(after.shards.iter().all(|it| it.node != *node));
                prop_assert!(moves.iter().all(|one| one.from == *node));
            }
            Goal::PinEvents { node, events } => {
                for shard in &after.shards {
                    let is_pinned = shard.stock.iter().any(|stock| events.contains(&stock.event));
                    prop_assert!(!is_pinned || shard.node == *node);
                    prop_assert!(is_pinned || !moved.contains(&shard.range), "moved for nothing");
                }
            }
        }
    }

    #[test]
    fn without_dead_nodes_and_sales_everything_can_be_balanced(cluster in clusters()) {
        let mut cluster = cluster;
        for node in &mut cluster.nodes {
            node.is_alive = true;
        }
        let planned = rebalance(&Goal::Balance, true, &cluster);
        prop_assert!(!matches!(planned, Err(Refusal::OnSale { .. } | Refusal::NoTarget)), "{planned:?}");
    }
}
