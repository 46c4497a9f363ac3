//! The definition in a real API server: every rule refuses with words that help.

use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject};
use serde_json::{Value, json};
use ticket_crds::{ShardRebalance, TicketEvent};

use crate::world::World;

fn raw(world: &World) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<TicketEvent>(&());
    Api::namespaced_with(world.client.clone(), &world.namespace, &resource)
}

fn raw_rebalances(world: &World) -> Api<DynamicObject> {
    Api::all_with(
        world.client.clone(),
        &ApiResource::erase::<ShardRebalance>(&()),
    )
}

fn set(object: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match object.pointer_mut(parent).unwrap() {
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
        parent => parent[key] = value,
    }
}

/// What the server says to an object with one value replaced.
async fn refusal(world: &World, pointer: &str, value: Value) -> String {
    let mut object = world.event("wrong");
    set(&mut object, pointer, value);
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    raw(world)
        .create(&params, &object)
        .await
        .unwrap_err()
        .to_string()
}

/// Where, what, and a part of the answer.
#[expect(clippy::too_many_lines, reason = "a table")]
fn impossible() -> Vec<(&'static str, Value, &'static str)> {
    let category = |name: &str, shards: i32| json!({ "name": name, "price": { "currency": "IDR", "amountMinor": 1 }, "quantity": 1, "stockShards": shards });
    let many: Vec<Value> = (0..3).map(|n| category(&format!("c{n}"), 200)).collect();
    vec![
        ("/spec/title", json!(""), "spec.title"),
        (
            "/spec/sales/closesAt",
            json!("2025-01-01T00:00:00Z"),
            "closesAt must be later than opensAt",
        ),
        (
            "/spec/sales/opensAt",
            json!("tomorrow"),
            "spec.sales.opensAt",
        ),
        ("/spec/sales/holdFor", json!("10 min"), "spec.sales.holdFor"),
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
        ("/spec/categories", json!(many), "at most 512 stock shards"),
        (
            "/spec/categories",
            json!([category("vip", 1), category("vip", 1)]),
            "Duplicate value",
        ),
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
            "/spec/categories/0/quantity",
            json!(-1),
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
            "retention must be at least 1h",
        ),
        (
            "/spec/placement",
            json!({ "isolation": "Private" }),
            "spec.placement.isolation",
        ),
        ("/spec/stockSource", json!("Nobody"), "spec.stockSource"),
        (
            "/spec/deletionPolicy",
            json!("Forget"),
            "spec.deletionPolicy",
        ),
        (
            "/metadata/name",
            json!("x".repeat(64)),
            "the name may have at most 63 characters",
        ),
    ]
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_a_message_worth_reading() {
    let world = World::new().await;
    for (pointer, value, message) in impossible() {
        let said = refusal(&world, pointer, value.clone()).await;
        assert!(said.contains(message), "{pointer} = {value}: {said}");
    }
}

#[tokio::test]
async fn what_was_promised_cannot_be_taken_back() {
    let world = World::new().await;
    let mut object = world.event("promise");
    object["spec"]["queue"] = json!({ "partitions": 4 });
    world.create(object.clone()).await;
    let change = async |patch: Value| {
        let params = PatchParams {
            dry_run: true,
            ..PatchParams::default()
        };
        raw(&world)
            .patch("promise", &params, &Patch::Merge(patch))
            .await
    };
    let refused = async |patch: Value| change(patch).await.unwrap_err().to_string();

    let mut fewer = object["spec"]["categories"].clone();
    fewer.as_array_mut().unwrap().remove(1);
    let said = refused(json!({ "spec": { "categories": fewer } })).await;
    assert!(
        said.contains("a category can be neither removed nor renamed"),
        "{said}"
    );
    let mut thinner = object["spec"]["categories"].clone();
    thinner[0]["stockShards"] = json!(1);
    let said = refused(json!({ "spec": { "categories": thinner } })).await;
    assert!(
        said.contains("stockShards can grow, but not shrink"),
        "{said}"
    );
    let said = refused(json!({ "spec": { "queue": { "partitions": 3 } } })).await;
    assert!(
        said.contains("queue.partitions can grow, but neither shrink nor be removed"),
        "{said}"
    );
    let said = refused(json!({ "spec": { "queue": { "partitions": null } } })).await;
    assert!(
        said.contains("queue.partitions can grow, but neither shrink nor be removed"),
        "{said}"
    );

    change(json!({ "spec": { "queue": { "partitions": 8 } } }))
        .await
        .unwrap();
    let on_sale = json!({ "status": { "phase": "OnSale" } });
    let params = PatchParams::default();
    raw(&world)
        .patch_status("promise", &params, &Patch::Merge(on_sale))
        .await
        .unwrap();
    let said = refused(json!({ "spec": { "queue": { "partitions": 8 } } })).await;
    assert!(
        said.contains("queue.partitions is fixed once the sale is open"),
        "{said}"
    );
    change(json!({ "spec": { "sales": { "paused": true } } }))
        .await
        .unwrap();
}

#[tokio::test]
async fn defaults_are_filled_in_and_every_example_is_accepted() {
    let world = World::new().await;
    let spec = world.create(world.event("minimal")).await.spec;
    assert_eq!(spec.sales.hold_for.0, "10m");
    assert_eq!(spec.queue.retention.0, "24h");
    assert_eq!(spec.categories[1].stock_shards, 1);

    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/examples");
    for entry in std::fs::read_dir(examples).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let mut example: DynamicObject = serde_saphyr::from_str(&text).unwrap();
        let params = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        if example.types.as_ref().unwrap().kind == "ShardRebalance" {
            raw_rebalances(&world)
                .create(&params, &example)
                .await
                .unwrap();
            continue;
        }
        example.metadata.namespace = Some(world.namespace.clone());
        raw(&world).create(&params, &example).await.unwrap();
    }
}

#[tokio::test]
async fn a_rebalance_that_contradicts_itself_or_changes_its_goal_is_refused() {
    let world = World::new().await;
    let api = raw_rebalances(&world);
    let name = format!("crd-{}", world.namespace);
    let object = |spec: &Value| -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "ticketctl.io/v1alpha1", "kind": "ShardRebalance",
            "metadata": { "name": name }, "spec": spec,
        }))
        .unwrap()
    };
    let params = PostParams::default();
    for (spec, message) in [
        (json!({ "mode": "Shuffle" }), "spec.mode"),
        (
            json!({ "mode": "Balance", "node": "a:5432" }),
            "Balance has none",
        ),
        (
            json!({ "mode": "DrainNode" }),
            "DrainNode and PinEvents need node",
        ),
        (json!({ "mode": "DrainNode", "node": "a" }), "spec.node"),
        (
            json!({ "mode": "PinEvents", "node": "a:5432" }),
            "PinEvents needs events",
        ),
        (
            json!({ "mode": "PinEvents", "node": "a:5432", "events": ["demo"] }),
            "spec.events[0]",
        ),
        (
            json!({ "mode": "Balance", "timeout": "25h" }),
            "timeout may be at most 24h",
        ),
        (
            json!({ "mode": "Balance", "timeout": "soon" }),
            "spec.timeout",
        ),
        (
            json!({ "mode": "Balance", "transferMode": "Carry" }),
            "spec.transferMode",
        ),
    ] {
        let said = api.create(&params, &object(&spec)).await.unwrap_err();
        let said = said.to_string();
        assert!(said.contains(message), "{spec}: {said}");
    }

    let spec = json!({ "mode": "DrainNode", "node": "a:5432" });
    let made = api.create(&params, &object(&spec)).await.unwrap();
    assert_eq!(made.data["spec"]["timeout"], "5m");
    assert_eq!(made.data["spec"]["approve"], false);
    let change = async |spec: Value| {
        let patch = json!({ "spec": spec });
        let params = PatchParams::default();
        api.patch(&name, &params, &Patch::Merge(&patch)).await
    };
    change(json!({ "approve": true, "stop": true, "timeout": "1h" }))
        .await
        .unwrap();
    for (spec, message) in [
        (
            json!({ "mode": "Balance", "node": null }),
            "mode never changes",
        ),
        (json!({ "node": "b:5432" }), "node never changes"),
        (json!({ "events": ["default/demo"] }), "events never change"),
    ] {
        let said = change(spec).await.unwrap_err().to_string();
        assert!(said.contains(message), "{said}");
    }
    api.delete(&name, &kube::api::DeleteParams::default())
        .await
        .unwrap();
}
