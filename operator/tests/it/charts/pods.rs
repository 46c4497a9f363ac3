//! Every pod of the chart is admitted where only restricted pods are.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::cluster::cluster;
use super::helm::{EVERYTHING, MINIMAL, Release, name, of_kind};

fn pods(namespace: &str, values: &str) -> Vec<(String, Value)> {
    let objects = Release {
        namespace,
        values,
        // The server here has no such class.
        set: &["pod.priorityClassName="],
    }
    .objects();
    let templates = objects
        .iter()
        .filter(|object| object["spec"]["template"].is_object());
    templates
        .map(|object| {
            let mut pod = object["spec"]["template"].clone();
            pod["metadata"]["name"] = json!(name(object));
            (name(object).to_owned(), pod)
        })
        .collect()
}

#[tokio::test]
async fn every_pod_is_admitted_where_only_restricted_ones_are() {
    let cluster = cluster().await;
    let namespace = cluster.namespace().await;
    let api: Api<Pod> = Api::namespaced(cluster.client().await, &namespace);
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    for (values, at_least) in [(MINIMAL, 9), (EVERYTHING, 10)] {
        let pods = pods(&namespace, values);
        assert!(pods.len() >= at_least, "{} pods in {values}", pods.len());
        for (name, pod) in pods {
            let pod: Pod = serde_json::from_value(pod).unwrap();
            let admitted = api.create(&params, &pod).await;
            admitted.unwrap_or_else(|error| panic!("{values}, {name}: {error}"));
        }
    }
    // The server does look.
    let (_, mut pod) = pods(&namespace, MINIMAL).remove(0);
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let refused = api.create(&params, &pod).await.unwrap_err().to_string();
    assert!(refused.contains("violates PodSecurity"), "{refused}");
}

#[test]
fn every_deployment_has_probes_a_budget_and_a_policy_and_only_who_is_named_comes_in() {
    let objects = Release {
        namespace: "ticketing",
        values: MINIMAL,
        set: &[],
    }
    .objects();
    let named = |kind: &str, wanted: &str| {
        let found = of_kind(&objects, kind).into_iter();
        found.filter(|object| name(object) == wanted).count()
    };
    let deployments = of_kind(&objects, "Deployment");
    assert_eq!(deployments.len(), 8);
    for deployment in deployments {
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        for probe in ["livenessProbe", "readinessProbe"] {
            assert!(
                container[probe]["httpGet"].is_object(),
                "{probe} of {container}"
            );
        }
        for kind in [
            "PodDisruptionBudget",
            "NetworkPolicy",
            "ServiceAccount",
            "ConfigMap",
        ] {
            assert_eq!(
                named(kind, name(deployment)),
                1,
                "{kind} of {}",
                name(deployment)
            );
        }
    }
    let doors = |component: &str| {
        let policies = of_kind(&objects, "NetworkPolicy");
        let mut found = policies
            .iter()
            .filter(|policy| name(policy).ends_with(component));
        found.next().unwrap()["spec"]["ingress"].clone()
    };
    assert_eq!(
        doors("-api"),
        json!([{ "ports": [{ "port": "http", "protocol": "TCP" }] }])
    );
    for closed in ["-admin", "-processor", "-operator", "-migrate"] {
        assert_eq!(doors(closed), json!([]), "{closed}");
    }
}
