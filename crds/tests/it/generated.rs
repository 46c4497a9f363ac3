//! `event.yaml` and the examples. `UPDATE=1 cargo test -p ticket-crds` writes `event.yaml` again.

use std::path::{Path, PathBuf};

use kube::CustomResourceExt;
use ticket_crds::{TicketEvent, validate};

const HEADER: &str = "# Generated: UPDATE=1 cargo test -p ticket-crds\n";

fn beside(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "UPDATE is the switch of this one test"
)]
fn the_file_is_what_the_types_say() {
    let yaml = serde_saphyr::to_string(&TicketEvent::crd()).unwrap();
    let wanted = format!("{HEADER}{}\n", yaml.trim_end());
    if std::env::var("UPDATE").is_ok() {
        std::fs::write(beside("event.yaml"), &wanted).unwrap();
    }
    let found = std::fs::read_to_string(beside("event.yaml")).unwrap_or_default();
    assert!(
        found == wanted,
        "event.yaml is stale: UPDATE=1 cargo test -p ticket-crds"
    );
    // What is in the file parses back to the same definition.
    let parsed: serde_json::Value = serde_saphyr::from_str(&found).unwrap();
    assert_eq!(parsed, serde_json::to_value(TicketEvent::crd()).unwrap());
}

#[test]
fn every_example_is_valid() {
    let mut seen = 0;
    for entry in std::fs::read_dir(beside("examples")).unwrap() {
        let path = entry.unwrap().path();
        let event: TicketEvent =
            serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        validate(&event).unwrap();
        event.validate_cel().unwrap();
        seen += 1;
    }
    assert!(seen >= 1);
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
