//! Rules of `ShardRebalance`, evaluated locally. The real API server is asked in the operator's tests.

use serde_json::{Value, json};
use ticket_crds::{ShardRebalance, TransferMode};

fn object(spec: &Value) -> ShardRebalance {
    serde_json::from_value(json!({
        "apiVersion": "ticketctl.io/v1alpha1",
        "kind": "ShardRebalance",
        "metadata": { "name": "one" },
        "spec": spec,
    }))
    .unwrap()
}

#[test]
fn defaults_move_nothing() {
    let spec = object(&json!({ "mode": "Balance" })).spec;
    assert!(!spec.approve && !spec.stop && !spec.force);
    assert_eq!(spec.timeout.parse().unwrap().as_secs(), 300);
    assert_eq!(spec.transfer_mode, TransferMode::Auto);
}

#[test]
fn each_mode_names_what_it_is_about_and_nothing_else() {
    let possible = [
        json!({ "mode": "Balance" }),
        json!({ "mode": "DrainNode", "node": "worker-1:5432" }),
        json!({ "mode": "PinEvents", "node": "worker-1:5432", "events": ["default/demo"] }),
    ];
    for spec in possible {
        object(&spec).validate_cel().unwrap();
    }
    let impossible = [
        (
            json!({ "mode": "Balance", "node": "worker-1:5432" }),
            "Balance has none",
        ),
        (
            json!({ "mode": "DrainNode" }),
            "DrainNode and PinEvents need node",
        ),
        (
            json!({ "mode": "PinEvents", "events": ["default/demo"] }),
            "need node",
        ),
        (
            json!({ "mode": "PinEvents", "node": "worker-1:5432" }),
            "PinEvents needs events",
        ),
        (
            json!({ "mode": "Balance", "events": ["default/demo"] }),
            "the other modes have none",
        ),
        (
            json!({ "mode": "Balance", "timeout": "25h" }),
            "timeout may be at most 24h",
        ),
    ];
    for (spec, message) in impossible {
        let said = object(&spec).validate_cel().unwrap_err().to_string();
        assert!(said.contains(message), "{spec}: {said}");
    }
}

#[test]
fn what_shall_be_moved_never_changes_and_how_may() {
    let old = json!({ "mode": "PinEvents", "node": "worker-1:5432", "events": ["default/demo"] });
    let change = |key: &str, value: Value| {
        let mut new = old.clone();
        new[key] = value;
        object(&new).validate_cel_update(&object(&old))
    };
    for (key, value) in [
        ("approve", json!(true)),
        ("stop", json!(true)),
        ("force", json!(true)),
        ("timeout", json!("1m")),
        ("transferMode", json!("ForceLogical")),
    ] {
        change(key, value).unwrap();
    }
    for (key, value, message) in [
        ("mode", json!("DrainNode"), "mode never changes"),
        ("node", json!("worker-2:5432"), "node never changes"),
        ("events", json!(["default/other"]), "events never change"),
    ] {
        let said = change(key, value).unwrap_err().to_string();
        assert!(said.contains(message), "{key}: {said}");
    }
}
