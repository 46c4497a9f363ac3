//! One test's rebalances: resources with a label of their own, because the kind belongs to the whole cluster, and an
//! operator that looks at these only.

use k8s_openapi::api::events::v1::Event as KubernetesEvent;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use ticket_crds::{RebalancePhase, RebalanceStatus, ShardRebalance};
use ticket_operator::{Config, Faults};

use crate::world::{Running, World, until};

/// Label by which the operator of a test knows its resources.
const LABEL: &str = "ticketctl.io/test";

pub(super) struct Stage {
    pub(super) world: World,
    api: Api<ShardRebalance>,
}

impl Stage {
    pub(super) fn over(world: World) -> Self {
        let api = Api::all(world.client.clone());
        Self { world, api }
    }

    /// An operator that dies after `faults`.
    pub(super) fn start_with(&self, faults: Faults) -> Running {
        World::run(Config {
            rebalances: Some(format!("{LABEL}={}", self.world.namespace)),
            faults,
            ..self.world.config()
        })
    }

    pub(super) fn start(&self) -> Running {
        self.start_with(Faults::default())
    }

    /// The name of a resource, its own in each test.
    pub(super) fn name(&self, name: &str) -> String {
        format!("{name}-{}", self.world.namespace)
    }

    pub(super) async fn create(&self, name: &str, spec: Value) -> ShardRebalance {
        let object: ShardRebalance = serde_json::from_value(json!({
            "apiVersion": "ticketctl.io/v1alpha1",
            "kind": "ShardRebalance",
            "metadata": { "name": self.name(name), "labels": { LABEL: self.world.namespace } },
            "spec": spec,
        }))
        .unwrap();
        self.api
            .create(&PostParams::default(), &object)
            .await
            .unwrap()
    }

    pub(super) async fn change(&self, name: &str, spec: Value) {
        let patch = json!({ "spec": spec });
        self.api
            .patch(
                &self.name(name),
                &PatchParams::default(),
                &Patch::Merge(&patch),
            )
            .await
            .unwrap();
    }

    pub(super) async fn get(&self, name: &str) -> ShardRebalance {
        self.api.get(&self.name(name)).await.unwrap()
    }

    /// Waits until the status of the newest generation is as wanted.
    pub(super) async fn status(
        &self,
        name: &str,
        what: &str,
        is_wanted: impl Fn(&RebalanceStatus) -> bool,
    ) -> RebalanceStatus {
        until(what, async || {
            let object = self.get(name).await;
            let generation = object.metadata.generation;
            let status = object.status?;
            (status.observed_generation == generation && is_wanted(&status)).then_some(status)
        })
        .await
    }

    pub(super) async fn phase(&self, name: &str, phase: RebalancePhase) -> RebalanceStatus {
        let what = format!("{name} is {}", phase.as_str());
        self.status(name, &what, |status| status.phase == Some(phase))
            .await
    }

    /// Reasons of the Kubernetes events about it so far. The kind has no namespace, so they are in `default`.
    pub(super) async fn told(&self, name: &str) -> Vec<String> {
        let api: Api<KubernetesEvent> = Api::namespaced(self.world.client.clone(), "default");
        let said = api.list(&ListParams::default()).await.unwrap().items;
        let name = self.name(name);
        let about = |event: &KubernetesEvent| {
            let regarding = event.regarding.as_ref();
            regarding.and_then(|it| it.name.as_ref()) == Some(&name)
        };
        let said = said.into_iter().filter(about);
        said.filter_map(|event| event.reason).collect()
    }

    /// Takes this test's resources away: others list all of them.
    pub(super) async fn clear(&self) {
        let label = format!("{LABEL}={}", self.world.namespace);
        let params = ListParams::default().labels(&label);
        for object in self.api.list(&params).await.unwrap() {
            self.api
                .delete(&object.name_any(), &DeleteParams::default())
                .await
                .unwrap();
        }
    }
}

/// Status and reason of condition `Ready`.
pub(super) fn ready(status: &RebalanceStatus) -> (&str, &str) {
    let found = status.conditions.iter().find(|it| it.type_ == "Ready");
    found.map_or(("", ""), |it| (it.status.as_str(), it.reason.as_str()))
}
