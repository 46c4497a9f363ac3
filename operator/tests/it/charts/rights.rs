//! The operator as the chart runs it: its own settings file, and nothing but the token of its service account.

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::events::v1::Event as KubernetesEvent;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use ticket_crds::Phase;
use ticket_testkit::{Product, ProductOptions, StartOptions, shared};
use tokio::sync::Mutex;

use super::cluster::{Cluster, cluster};
use super::helm::{MINIMAL, Mounted, Release};
use crate::world::World;

/// The operator with scope Cluster sees the Events of all tests here, so they come one after the other.
static ALONE: Mutex<()> = Mutex::const_new(());

const ACCOUNT: &str = "tickets-ticket-platform-operator";

async fn token(client: Client, namespace: &str) -> String {
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: Some(vec!["https://kubernetes.default.svc".to_owned()]),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let api: Api<ServiceAccount> = Api::namespaced(client, namespace);
    let made = api
        .create_token_request(ACCOUNT, &PostParams::default(), &request)
        .await
        .unwrap();
    made.status.unwrap().token.unwrap()
}

/// Whether the API server lets `user` do it.
async fn may(
    client: &Client,
    user: &str,
    namespace: &str,
    verb: &str,
    resource: &str,
    name: Option<&str>,
) -> bool {
    let (group, resource) = resource.rsplit_once("::").unwrap_or(("", resource));
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, sub)) => (resource, Some(sub.to_owned())),
        None => (resource, None),
    };
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.to_owned()),
            resource_attributes: Some(ResourceAttributes {
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                subresource,
                namespace: Some(namespace.to_owned()),
                name: name.map(ToOwned::to_owned),
                verb: Some(verb.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let api: Api<SubjectAccessReview> = Api::all(client.clone());
    let answer = api.create(&PostParams::default(), &review).await.unwrap();
    answer.status.unwrap().allowed
}

/// Installs the chart and runs its operator, which must do all that an Event needs in `namespace_of_events`.
async fn assert_works(cluster: &Cluster, scope: &str, release: &str, of_events: &str) {
    let shared = shared().await;
    let mut world = World::new().await;
    let brokers = shared.kafka_brokers().replace(',', "\\,");
    let set = [
        format!("operator.scope={scope}"),
        format!("settings.kafka-brokers={brokers}"),
        format!("settings.kafka-prefix={}", world.prefix.0),
    ];
    let set: Vec<&str> = set.iter().map(String::as_str).collect();
    let rendered = Release {
        namespace: release,
        values: MINIMAL,
        set: &set,
    };
    cluster.apply(&rendered.text()).await;
    let client = cluster.client().await;
    let secrets = [
        ("database-url", world.database_url.as_str()),
        ("redis-url", shared.redis_url()),
    ];
    let mounted = Mounted::new(&rendered.objects(), &secrets);
    let token = token(client.clone(), release).await;
    let kubeconfig = cluster.kubeconfig_of(&token, mounted.dir());
    let settings = [
        ("KUBECONFIG", kubeconfig),
        ("TICKET_CONFIG", mounted.settings("operator")),
        ("TICKET_IDENTITY", "pod-0".into()),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.display().to_string()));
    let start = StartOptions::own("charts-operator").unwrap();
    let mut operator = Product::start(start, ProductOptions::operator(settings.to_vec()))
        .await
        .unwrap();

    world.client = client.clone();
    of_events.clone_into(&mut world.namespace);
    world.create(world.event("chart")).await;
    let status = world.ready("chart", Phase::OnSale).await;
    world.assert_complete("chart", &status).await;
    let leases: Api<Lease> = Api::namespaced(client.clone(), release);
    let holder = leases
        .get(ACCOUNT)
        .await
        .unwrap()
        .spec
        .unwrap()
        .holder_identity;
    assert!(
        holder.as_deref().unwrap_or_default().starts_with("pod-0-"),
        "{holder:?}"
    );

    world
        .change("chart", json!({ "spec": { "sales": { "paused": true } } }))
        .await;
    world.ready("chart", Phase::Paused).await;
    world.delete("chart").await;
    let told: Api<KubernetesEvent> = Api::namespaced(client, of_events);
    let told = told.list(&ListParams::default()).await.unwrap();
    let told: Vec<String> = told
        .items
        .into_iter()
        .filter_map(|event| event.reason)
        .collect();
    for reason in [
        "TopicCreated",
        "StockSeeded",
        "SalesOpened",
        "EventReleased",
    ] {
        assert!(
            told.iter().any(|found| found == reason),
            "{reason} in {told:?}"
        );
    }
    operator.stop().await.unwrap();
}

#[tokio::test]
async fn with_scope_namespace_the_operator_works_in_its_own_and_may_nothing_elsewhere() {
    let _alone = ALONE.lock().await;
    let cluster = cluster().await;
    let (release, other) = (cluster.namespace().await, cluster.namespace().await);
    assert_works(cluster, "Namespace", &release, &release).await;

    let client = cluster.client().await;
    let user = format!("system:serviceaccount:{release}:{ACCOUNT}");
    let may = async |namespace: &str, verb: &str, resource: &str| {
        may(&client, &user, namespace, verb, resource, None).await
    };
    assert!(may(&release, "patch", "ticketctl.io::events/status").await);
    for (namespace, verb, resource) in [
        (&other, "get", "ticketctl.io::events"),
        (&other, "create", "events.k8s.io::events"),
        (&other, "create", "coordination.k8s.io::leases"),
        (&release, "create", "ticketctl.io::events"),
        (&release, "delete", "ticketctl.io::events"),
        (&release, "update", "ticketctl.io::events"),
        (&release, "get", "secrets"),
        (&release, "create", "pods"),
        (&release, "get", "coordination.k8s.io::leases"),
    ] {
        assert!(
            !may(namespace, verb, resource).await,
            "{verb} {resource} in {namespace}"
        );
    }
}

#[tokio::test]
async fn with_scope_cluster_the_operator_works_in_every_namespace() {
    let _alone = ALONE.lock().await;
    let cluster = cluster().await;
    let (release, other) = (cluster.namespace().await, cluster.namespace().await);
    assert_works(cluster, "Cluster", &release, &other).await;

    let client = cluster.client().await;
    let user = format!("system:serviceaccount:{release}:{ACCOUNT}");
    let identity = may(&client, &user, "", "get", "namespaces", Some("kube-system")).await;
    assert!(identity);
    for (verb, resource, name) in [
        ("get", "namespaces", Some(release.as_str())),
        ("list", "namespaces", None),
        ("list", "secrets", None),
        ("delete", "ticketctl.io::events", None),
    ] {
        let is_allowed = may(&client, &user, &other, verb, resource, name).await;
        assert!(!is_allowed, "{verb} {resource}");
    }
}

#[tokio::test]
async fn people_get_the_token_of_their_own_role_and_the_way_to_the_admin_api() {
    let cluster = cluster().await;
    let namespace = cluster.namespace().await;
    let release = Release {
        namespace: &namespace,
        values: MINIMAL,
        set: &[
            "access.viewers[0].kind=User",
            "access.viewers[0].name=vera",
            "access.managers[0].kind=User",
            "access.managers[0].name=max",
        ],
    };
    cluster.apply(&release.text()).await;
    let client = cluster.client().await;
    let may = async |user: &str, verb: &str, resource: &str, name: Option<&str>| {
        may(&client, user, &namespace, verb, resource, name).await
    };
    let (viewer, manager) = (
        Some("tickets-ticket-platform-admin-viewer"),
        Some("tickets-ticket-platform-admin-manager"),
    );
    assert!(may("vera", "create", "serviceaccounts/token", viewer).await);
    assert!(!may("vera", "create", "serviceaccounts/token", manager).await);
    assert!(may("max", "create", "serviceaccounts/token", manager).await);
    for user in ["vera", "max"] {
        assert!(
            may(
                user,
                "get",
                "services",
                Some("tickets-ticket-platform-admin")
            )
            .await
        );
        assert!(may(user, "list", "pods", None).await);
        assert!(may(user, "create", "pods/portforward", Some("any")).await);
        assert!(!may(user, "create", "pods/exec", Some("any")).await);
        assert!(!may(user, "get", "secrets", None).await);
        assert!(!may(user, "create", "serviceaccounts/token", Some(ACCOUNT)).await);
    }
}
