//! The way to the admin API through Kubernetes, against a real API server. No kubelet runs there, so that a port is asked to be
//! forwarded and cannot be: what is said then is tested here too.

use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::run::{Ran, ticketctl};

/// A namespace with a pod of the admin API, as the chart makes it.
struct Platform {
    client: Client,
    namespace: String,
    kubeconfig: String,
}

impl Platform {
    async fn new() -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let shared = ticket_testkit::shared().await;
        let namespace = shared.new_namespace().await.unwrap();
        let found = Kubeconfig::read_from(shared.kubeconfig()).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(found, &options).await;
        Self {
            client: Client::try_from(config.unwrap()).unwrap(),
            namespace,
            kubeconfig: shared.kubeconfig().to_str().unwrap().to_owned(),
        }
    }

    async fn pod(&self) {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "tickets-admin-0", "labels": {
                "app.kubernetes.io/part-of": "ticket-platform", "app.kubernetes.io/component": "admin",
            }},
            "spec": {
                "serviceAccountName": "tickets-admin", "automountServiceAccountToken": false,
                "containers": [{
                    "name": "admin", "image": "none", "ports": [{"name": "http", "containerPort": 8081}],
                }],
            },
        }))
        .unwrap();
        pods.create(&PostParams::default(), &pod).await.unwrap();
        let ready = json!({"status": {"phase": "Running", "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"},
        ]}});
        let params = PatchParams::default();
        let patch = Patch::Strategic(&ready);
        let patched = pods.patch_status("tickets-admin-0", &params, &patch);
        patched.await.unwrap();
    }

    async fn account(&self, name: &str) {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let account = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        accounts
            .create(&PostParams::default(), &account)
            .await
            .unwrap();
    }

    async fn run(&self, args: &[&str]) -> Ran {
        let place = ["--platform-namespace", &self.namespace];
        let flags = ["--kubeconfig", &self.kubeconfig];
        ticketctl(&[args, &place, &flags].concat()).await
    }
}

/// What a token says, without a look at its signature: the API server made it.
fn claims(header: &str) -> Value {
    let token = header.strip_prefix("Bearer ").unwrap();
    let body = token.split('.').nth(1).unwrap();
    let bytes = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, body).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn a_token_for_the_admin_api_is_asked_for_by_itself_and_of_no_more_power_than_needed() {
    let platform = Platform::new().await;
    platform.pod().await;
    platform.account("tickets-admin-manager").await;
    let server = MockServer::start().await;
    for route in ["/admin/v1/lag", "/admin/v1/events/default.demo/warmup/run"] {
        let warmup = json!({"items": [], "event": "default.demo", "epoch": 1, "history": []});
        let answer = ResponseTemplate::new(200).set_body_json(warmup);
        Mock::given(path(route))
            .respond_with(answer)
            .mount(&server)
            .await;
    }
    let url = server.uri();
    let asked = async |args: &[&str]| {
        let ran = platform.run(&[args, &["--admin-url", &url]].concat()).await;
        assert_eq!(ran.exit, 0, "{ran:?}");
        let last = server.received_requests().await.unwrap().pop().unwrap();
        claims(last.headers["authorization"].to_str().unwrap())
    };
    let account = |name: &str| format!("system:serviceaccount:{}:{name}", platform.namespace);

    // There is no viewer's account here, and the manager's is enough to look.
    let token = asked(&["lag"]).await;
    assert_eq!(token["aud"], json!(["ticket-admin"]));
    assert_eq!(token["sub"], account("tickets-admin-manager"));
    platform.account("tickets-admin-viewer").await;
    assert_eq!(
        asked(&["lag"]).await["sub"],
        account("tickets-admin-viewer")
    );
    let run = asked(&["warmup", "run", "demo", "-n", "default"]).await;
    assert_eq!(run["sub"], account("tickets-admin-manager"));
}

#[tokio::test]
async fn what_hinders_on_the_way_is_named_with_what_to_do() {
    let platform = Platform::new().await;
    let ran = platform.run(&["lag", "--admin-url", ""]).await;
    assert_eq!(ran.exit, 3, "{ran:?}");
    assert!(
        ran.words.contains("no pod of the admin API is ready"),
        "{ran:?}"
    );
    assert!(ran.words.contains("--platform-namespace"), "{ran:?}");

    platform.pod().await;
    let ran = platform.run(&["lag", "--admin-url", ""]).await;
    assert_eq!(ran.exit, 1, "{ran:?}");
    assert!(
        ran.words
            .contains("could not forward a port of the pod tickets-admin-0"),
        "{ran:?}"
    );

    let ran = platform
        .run(&["lag", "--admin-url", "http://127.0.0.1:9"])
        .await;
    assert!(
        ran.words
            .contains("ask for a token of the account tickets-admin-viewer"),
        "{ran:?}"
    );
    assert!(ran.words.contains("access.viewers"), "{ran:?}");
}
