//! An upgrade changes nothing that cannot be changed, by Helm and by `kubectl apply`.

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;

use super::cluster::cluster;
use super::helm::{EVERYTHING, MINIMAL, Release, succeed};

/// What differs between the two sets of values and would be another release, or needs what the server here lacks.
const SAME: [&str; 2] = ["fullnameOverride=", "serviceMonitor.enabled=false"];

fn release<'a>(namespace: &'a str, values: &'a str) -> Release<'a> {
    Release {
        namespace,
        values,
        set: &SAME,
    }
}

#[tokio::test]
async fn helm_upgrades_rolls_back_and_uninstalls() {
    let cluster = cluster().await;
    let namespace = cluster.namespace().await;
    let kubeconfig = format!("--kubeconfig={}", cluster.kubeconfig().display());
    let run = |verb: &[&str], values: Option<&str>| {
        let mut arguments = match values {
            Some(values) => release(&namespace, values).arguments(verb),
            None => verb
                .iter()
                .chain(&["tickets"])
                .map(ToString::to_string)
                .collect(),
        };
        arguments.extend([format!("--namespace={namespace}"), kubeconfig.clone()]);
        // Nothing here runs the migration that is waited for.
        arguments.push("--no-hooks".to_owned());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        succeed(&arguments)
    };
    let api: Api<Deployment> = Api::namespaced(cluster.client().await, &namespace);
    let operator = async || {
        let deployment = api.get("tickets-ticket-platform-operator").await.unwrap();
        let spec = deployment.spec;
        let pod = spec.template;
        let image = pod.spec.unwrap().containers.remove(0).image.unwrap();
        let settings = pod
            .metadata
            .unwrap()
            .annotations
            .unwrap()
            .remove("checksum/settings");
        (spec.selector, image, settings.unwrap(), spec.replicas)
    };

    let said = run(&["install"], Some(MINIMAL));
    let (_, notes) = said.split_once("\nNOTES:\n").unwrap();
    for next in [
        "port-forward service/tickets-ticket-platform-admin 8081:80",
        "create token tickets-ticket-platform-admin-manager --audience ticket-admin",
    ] {
        assert!(notes.contains(next), "{next} in {notes}");
    }
    let before = operator().await;
    run(&["upgrade"], Some(EVERYTHING));
    let after = operator().await;
    assert_eq!(before.0, after.0, "the selector");
    assert!(
        after
            .1
            .starts_with("registry.example.com/tickets/ticket-operator@sha256:")
    );
    assert_ne!(before.2, after.2, "other settings are another pod");
    assert_eq!((before.3, after.3), (Some(2), Some(3)));
    run(&["rollback"], None);
    assert_eq!(operator().await, before);
    run(&["uninstall"], None);
    let left = api.list(&kube::api::ListParams::default()).await.unwrap();
    assert!(left.items.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_rendered_release_is_applied_over_an_older_one() {
    let cluster = cluster().await;
    let namespace = cluster.namespace().await;
    // Hooks are objects like all others here: the migration's Job cannot be changed, so another one is another Job.
    for values in [MINIMAL, EVERYTHING, MINIMAL] {
        cluster.apply(&release(&namespace, values).text()).await;
    }
}
