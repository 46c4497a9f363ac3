//! The definitions and the examples. `UPDATE=1 cargo test -p ticket-crds` writes the definitions again.

use std::path::{Path, PathBuf};

use kube::CustomResourceExt;
use serde_json::Value;
use ticket_crds::{ShardRebalance, TicketEvent, validate};

const HEADER: &str = "# Generated: UPDATE=1 cargo test -p ticket-crds\n";

fn beside(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[expect(
    clippy::disallowed_methods,
    reason = "UPDATE is the switch of this one test"
)]
fn assert_is<T: CustomResourceExt>(file: &str) {
    let definition = definition::<T>();
    let yaml = serde_saphyr::to_string(&definition).unwrap();
    let wanted = format!("{HEADER}{}\n", yaml.trim_end());
    if std::env::var("UPDATE").is_ok() {
        std::fs::write(beside(file), &wanted).unwrap();
    }
    let found = std::fs::read_to_string(beside(file)).unwrap_or_default();
    assert!(
        found == wanted,
        "{file} is stale: UPDATE=1 cargo test -p ticket-crds"
    );
    // What is in the file parses back to the same definition.
    let parsed: Value = serde_saphyr::from_str(&found).unwrap();
    assert_eq!(parsed, definition);
}

fn definition<T: CustomResourceExt>() -> Value {
    let mut definition = serde_json::to_value(T::crd()).unwrap();
    flow(&mut definition);
    definition
}

/// Makes each paragraph of a description one line: `kubectl explain` breaks lines itself, after those of our source.
fn flow(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "description" => {
                        let paragraphs = text.split("\n\n").map(|it| it.replace('\n', " "));
                        *text = paragraphs.collect::<Vec<_>>().join("\n\n");
                    }
                    other => flow(other),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(flow),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_files_are_what_the_types_say() {
    assert_is::<TicketEvent>("event.yaml");
    assert_is::<ShardRebalance>("shardrebalance.yaml");
}

#[test]
fn every_example_is_valid() {
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(beside("examples")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let object: Value = serde_saphyr::from_str(&text).unwrap();
        let kind = object["kind"].as_str().unwrap().to_owned();
        match kind.as_str() {
            "Event" => {
                let event: TicketEvent = serde_json::from_value(object).unwrap();
                validate(&event).unwrap();
                event.validate_cel().unwrap();
            }
            "ShardRebalance" => {
                let rebalance: ShardRebalance = serde_json::from_value(object).unwrap();
                rebalance.validate_cel().unwrap();
            }
            other => panic!("an example of {other}, which no definition knows"),
        }
        seen.push(kind);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["Event", "ShardRebalance"]);
}

#[test]
fn the_demo_sells_2000_tickets_and_has_a_partition_for_each_stock_shard() {
    let text = std::fs::read_to_string(beside("examples/demo.yaml")).unwrap();
    let demo = validate(&serde_saphyr::from_str(&text).unwrap()).unwrap();
    assert_eq!(
        demo.categories.iter().map(|c| c.quantity).sum::<u32>(),
        2_000
    );
    let shards: u32 = demo
        .categories
        .iter()
        .map(|c| u32::from(c.stock_shards))
        .sum();
    assert_eq!(demo.partitions, Some(shards));
}
