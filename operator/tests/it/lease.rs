//! Two replicas: one works, and the other one takes over.

use ticket_crds::Phase;

use crate::world::{World, until};

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;

async fn holder(world: &World) -> Option<String> {
    let api: Api<Lease> = Api::namespaced(world.client.clone(), &world.namespace);
    api.get_opt("operator")
        .await
        .unwrap()?
        .spec?
        .holder_identity
        .filter(|held| !held.is_empty())
}

#[tokio::test]
async fn the_second_replica_takes_over_when_the_first_stops_and_a_robbed_holder_ends() {
    let world = World::new().await;
    let first = world.start_with_lease("first");
    until("the first leads", async || {
        holder(&world).await.filter(|h| h == "first")
    })
    .await;
    let second = world.start_with_lease("second");
    world.create(world.event("one")).await;
    world.ready("one", Phase::OnSale).await;
    assert_eq!(holder(&world).await.as_deref(), Some("first"));

    first.stop().await;
    until("the second leads", async || {
        holder(&world).await.filter(|h| h == "second")
    })
    .await;
    world.create(world.event("two")).await;
    world.ready("two", Phase::OnSale).await;

    // Somebody else has it all of a sudden: the process must end, not go on.
    let api: Api<Lease> = Api::namespaced(world.client.clone(), &world.namespace);
    let robbed = serde_json::json!({ "spec": { "holderIdentity": "robber" } });
    let params = kube::api::PatchParams::default();
    api.patch("operator", &params, &kube::api::Patch::Merge(robbed))
        .await
        .unwrap();
    let ended = second.task.await.unwrap().unwrap_err();
    assert!(format!("{ended:#}").contains("was taken over"), "{ended:#}");
}
