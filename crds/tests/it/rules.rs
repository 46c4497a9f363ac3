//! Every rule refuses what it should, with its own message, both by the schema's rules (as the API server evaluates them)
//! and by `validate`. The real API server is asked in the operator's tests.

use serde_json::{Value, json};
use ticket_crds::{TicketEvent, validate};

fn minimal() -> Value {
    json!({
        "apiVersion": "ticketctl.io/v1alpha1",
        "kind": "Event",
        "metadata": { "name": "coldplay", "namespace": "default" },
        "spec": {
            "title": "Coldplay, Jakarta",
            "sales": { "opensAt": "2026-01-01T10:00:00Z", "closesAt": "2026-01-02T10:00:00Z" },
            "categories": [
                { "name": "vip", "price": { "currency": "IDR", "amountMinor": 250_000_000 }, "quantity": 5_000, "stockShards": 8 },
            ],
        },
    })
}

/// `minimal()` with one value replaced.
fn with(pointer: &str, value: Value) -> Value {
    let mut object = minimal();
    set(&mut object, pointer, value);
    object
}

fn set(object: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match object
        .pointer_mut(parent)
        .unwrap_or_else(|| panic!("nothing at {parent}"))
    {
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
        parent => parent[key] = value,
    }
}

fn event(object: &Value) -> TicketEvent {
    serde_json::from_value(object.clone()).unwrap()
}

fn category(name: &str, shards: i32) -> Value {
    json!({ "name": name, "price": { "currency": "IDR", "amountMinor": 1 }, "quantity": 1, "stockShards": shards })
}

#[test]
fn defaults_are_what_the_documentation_says() {
    let validated = validate(&event(&minimal())).unwrap();
    assert_eq!(validated.hold_for.as_secs(), 600);
    assert_eq!(validated.processing_for.as_secs(), 86_400);
    assert_eq!(validated.retention.as_secs(), 86_400);
    assert_eq!(
        (validated.max_per_buyer, validated.admission_per_second),
        (4, 0)
    );
    assert_eq!(
        (validated.partitions, validated.replication_factor),
        (None, None)
    );
    assert!(!validated.is_paused);
    event(&minimal()).validate_cel().unwrap();
}

#[test]
fn a_spec_that_cannot_be_is_refused_with_its_field_and_rule() {
    let many: Vec<Value> = (0..3).map(|n| category(&format!("c{n}"), 200)).collect();
    let twins = json!([category("vip", 1), category("vip", 1)]);
    let cases = [
        ("/spec/title", json!(""), "spec.title"),
        (
            "/spec/sales/closesAt",
            json!("2026-01-01T10:00:00Z"),
            "spec.sales.closesAt",
        ),
        ("/spec/sales/holdFor", json!("10 min"), "spec.sales.holdFor"),
        ("/spec/sales/holdFor", json!("25h"), "spec.sales.holdFor"),
        (
            "/spec/sales/processingFor",
            json!("1m"),
            "spec.sales.processingFor",
        ),
        (
            "/spec/sales/processingFor",
            json!("721h"),
            "spec.sales.processingFor",
        ),
        (
            "/spec/sales/maxPerBuyer",
            json!(0),
            "spec.sales.maxPerBuyer",
        ),
        (
            "/spec/sales/admissionPerSecond",
            json!(-1),
            "spec.sales.admissionPerSecond",
        ),
        ("/spec/categories", json!([]), "spec.categories"),
        ("/spec/categories", json!(many), "spec.categories"),
        ("/spec/categories", twins, "spec.categories[1].name"),
        (
            "/spec/categories/0/name",
            json!("VIP"),
            "spec.categories[0].name",
        ),
        (
            "/spec/categories/0/quantity",
            json!(10_000_001),
            "spec.categories[0].quantity",
        ),
        (
            "/spec/categories/0/stockShards",
            json!(257),
            "spec.categories[0].stockShards",
        ),
        (
            "/spec/categories/0/price/currency",
            json!("idr"),
            "spec.categories[0].price.currency",
        ),
        (
            "/spec/categories/0/price/amountMinor",
            json!(0),
            "spec.categories[0].price.amountMinor",
        ),
        (
            "/spec/queue",
            json!({ "partitions": 257 }),
            "spec.queue.partitions",
        ),
        (
            "/spec/queue",
            json!({ "replicationFactor": 0 }),
            "spec.queue.replicationFactor",
        ),
        (
            "/spec/queue",
            json!({ "retention": "59m" }),
            "spec.queue.retention",
        ),
        ("/metadata/name", json!("x".repeat(64)), "metadata.name"),
    ];
    for (pointer, value, field) in cases {
        let refused = validate(&event(&with(pointer, value.clone()))).unwrap_err();
        assert_eq!(refused.field, field, "{pointer} = {value}: {refused}");
    }
}

#[test]
fn the_rules_over_several_fields_are_in_the_schema() {
    let many: Vec<Value> = (0..3).map(|n| category(&format!("c{n}"), 200)).collect();
    let cases = [
        (
            "/spec/sales/closesAt",
            json!("2026-01-01T10:00:00Z"),
            "closesAt must be later",
        ),
        (
            "/spec/sales/holdFor",
            json!("25h"),
            "holdFor may be at most 24h",
        ),
        (
            "/spec/sales/processingFor",
            json!("1m"),
            "processingFor must be at least holdFor",
        ),
        (
            "/spec/sales/processingFor",
            json!("721h"),
            "processingFor may be at most 720h",
        ),
        ("/spec/categories", json!(many), "at most 512 stock shards"),
        (
            "/spec/queue",
            json!({ "retention": "59m" }),
            "retention must be at least 1h",
        ),
        (
            "/metadata/name",
            json!("x".repeat(64)),
            "at most 63 characters",
        ),
    ];
    for (pointer, value, message) in cases {
        let refused = event(&with(pointer, value))
            .validate_cel()
            .unwrap_err()
            .to_string();
        assert!(refused.contains(message), "{pointer}: {refused}");
    }
}

#[test]
fn what_was_promised_to_buyers_and_to_the_log_cannot_be_taken_back() {
    let old = with("/spec/queue", json!({ "partitions": 4 }));
    let change = |pointer: &str, value: Value| {
        let mut new = old.clone();
        set(&mut new, pointer, value);
        event(&new).validate_cel_update(&event(&old))
    };
    change("/spec/categories/0/quantity", json!(4_000)).unwrap();
    change("/spec/categories/0/stockShards", json!(9)).unwrap();
    change("/spec/queue/partitions", json!(5)).unwrap();

    let refused = |pointer: &str, value: Value| change(pointer, value).unwrap_err().to_string();
    let renamed = refused("/spec/categories/0/name", json!("gold"));
    assert!(renamed.contains("neither removed nor renamed"), "{renamed}");
    let fewer = refused("/spec/categories/0/stockShards", json!(7));
    assert!(fewer.contains("can grow, but not shrink"), "{fewer}");
    let fewer = refused("/spec/queue/partitions", json!(3));
    assert!(fewer.contains("neither shrink nor be removed"), "{fewer}");
    let gone = refused("/spec/queue", json!({}));
    assert!(gone.contains("neither shrink nor be removed"), "{gone}");
}

#[test]
fn partitions_are_fixed_once_the_sale_is_open() {
    for (phase, is_fixed) in [
        ("Pending", false),
        ("Scheduled", false),
        ("OnSale", true),
        ("Paused", true),
        ("Closed", true),
    ] {
        let mut old = with("/spec/queue", json!({ "partitions": 4 }));
        set(&mut old, "/status", json!({ "phase": phase }));
        let mut new = old.clone();
        set(&mut new, "/spec/queue/partitions", json!(8));
        let answer = event(&new).validate_cel_update(&event(&old));
        assert_eq!(answer.is_err(), is_fixed, "{phase}: {answer:?}");
        // Anything else may change at any time.
        set(&mut new, "/spec/queue/partitions", json!(4));
        set(&mut new, "/spec/sales/paused", json!(true));
        event(&new).validate_cel_update(&event(&old)).unwrap();
    }
}
