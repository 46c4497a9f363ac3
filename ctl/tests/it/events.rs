//! Commands over Kubernetes, against a real API server. The operator's part (the status) is written by the test.

use std::time::Duration;

use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use ticket_crds::TicketEvent;

use crate::run::{Ran, ticketctl};

/// A namespace of one test.
struct Place {
    api: Api<TicketEvent>,
    namespace: String,
    kubeconfig: String,
}

impl Place {
    async fn new() -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let shared = ticket_testkit::shared().await;
        let namespace = shared.new_namespace().await.unwrap();
        let path = shared.kubeconfig();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(Kubeconfig::read_from(path).unwrap(), &options);
        let client = Client::try_from(config.await.unwrap()).unwrap();
        let api = Api::namespaced(client, &namespace);
        Self {
            api,
            namespace,
            kubeconfig: path.to_str().unwrap().to_owned(),
        }
    }

    async fn create(&self, name: &str) {
        let event: TicketEvent = serde_json::from_value(json!({
            "apiVersion": "ticketctl.io/v1alpha1", "kind": "Event", "metadata": {"name": name},
            "spec": {
                "title": "Demo",
                "sales": {"opensAt": "2025-01-01T00:00:00Z", "closesAt": "2099-01-01T00:00:00Z"},
                "categories": [
                    {"name": "vip", "price": {"currency": "IDR", "amountMinor": 5}, "quantity": 9}
                ],
            },
        }))
        .unwrap();
        self.api
            .create(&PostParams::default(), &event)
            .await
            .unwrap();
    }

    /// What the operator would say.
    async fn say(&self, name: &str, phase: &str, ready: &str) {
        let status = json!({"status": {
            "observedGeneration": 1, "phase": phase,
            "conditions": [{
                "type": "Ready", "status": ready, "reason": "Progressing", "message": "seeding",
                "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1,
            }],
            "stock": [{"category": "vip", "capacity": 9, "available": 7, "held": 0, "sold": 2}],
        }});
        let params = PatchParams::default();
        self.api
            .patch_status(name, &params, &Patch::Merge(&status))
            .await
            .unwrap();
    }

    async fn run(&self, args: &[&str]) -> Ran {
        let flags = ["-n", &self.namespace, "--kubeconfig", &self.kubeconfig];
        ticketctl(&[args, &flags].concat()).await
    }
}

#[tokio::test]
async fn events_are_listed_and_shown() {
    let place = Place::new().await;
    let nothing = place.run(&["events", "list"]).await;
    assert_eq!(
        (nothing.exit, nothing.data.as_str()),
        (0, ""),
        "{nothing:?}"
    );
    assert!(
        nothing.words.contains("no events in namespace"),
        "{nothing:?}"
    );

    place.create("demo").await;
    place.say("demo", "OnSale", "True").await;
    let listed = place.run(&["events", "list"]).await;
    let row: Vec<&str> = listed
        .data
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(
        row[..7],
        ["demo", "OnSale", "True", "9", "7", "0", "2"],
        "{listed:?}"
    );
    let names = place.run(&["events", "list", "-o", "name"]).await;
    assert_eq!(names.data, "event.ticketctl.io/demo\n");
    let objects = place.run(&["events", "list", "-o", "json"]).await;
    let objects: Value = serde_json::from_str(&objects.data).unwrap();
    assert_eq!(objects["items"][0]["spec"]["title"], "Demo");
    assert_eq!(objects["items"][0]["kind"], "Event");
    let everywhere = place.run(&["events", "list", "-A", "-o", "wide"]).await;
    assert!(everywhere.data.contains(&place.namespace), "{everywhere:?}");

    let shown = place.run(&["events", "get", "demo"]).await;
    assert_eq!(shown.exit, 0);
    assert!(shown.data.contains("Phase       OnSale"), "{}", shown.data);
    let missing = place.run(&["events", "get", "nobody"]).await;
    assert_eq!(missing.exit, 3, "{missing:?}");
}

#[tokio::test]
async fn a_wait_ends_with_the_event_and_not_before() {
    let place = Place::new().await;
    let missing = place.run(&["events", "wait", "demo"]).await;
    assert_eq!(missing.exit, 3, "{missing:?}");

    place.create("demo").await;
    place.say("demo", "Pending", "False").await;
    let late = place
        .run(&["events", "wait", "demo", "--timeout", "700ms"])
        .await;
    assert_eq!(late.exit, 5, "{late:?}");
    assert!(
        late.words
            .contains("phase Pending, ready False (Progressing): seeding"),
        "{late:?}"
    );

    let waiting = place.run(&["events", "wait", "demo", "--timeout", "30s"]);
    let operator = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        place.say("demo", "OnSale", "True").await;
    };
    let (reached, ()) = tokio::join!(waiting, operator);
    assert_eq!(reached.exit, 0, "{reached:?}");
    assert_eq!(reached.data, "", "{reached:?}");
    let object = place.run(&["events", "wait", "demo", "-o", "json"]).await;
    let object: Value = serde_json::from_str(&object.data).unwrap();
    assert_eq!(object["status"]["phase"], "OnSale");
    let on_sale = place
        .run(&["events", "wait", "demo", "--for", "on-sale"])
        .await;
    assert_eq!(on_sale.exit, 0, "{on_sale:?}");

    let gone = place.run(&[
        "events",
        "wait",
        "demo",
        "--for",
        "deleted",
        "--timeout",
        "30s",
    ]);
    let deletion = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        place
            .api
            .delete("demo", &DeleteParams::default())
            .await
            .unwrap();
    };
    let (gone, ()) = tokio::join!(gone, deletion);
    assert_eq!(gone.exit, 0, "{gone:?}");
    let again = place
        .run(&["events", "wait", "demo", "--for", "deleted"])
        .await;
    assert_eq!(again.exit, 0, "{again:?}");
}

#[tokio::test]
async fn a_watch_shows_every_change_in_every_format() {
    let place = Place::new().await;
    place.create("demo").await;
    place.say("demo", "Pending", "False").await;
    let watch = async |format: &str| {
        let args = ["events", "list", "-w", "--timeout", "4s", "-o", format];
        let ran = place.run(&args).await;
        assert_eq!(ran.exit, 5, "{ran:?}");
        ran.data
    };
    let operator = async {
        for phase in ["OnSale", "Paused"].iter().cycle().take(600) {
            place.say("demo", phase, "True").await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let (table, json, name) = tokio::select! {
        shown = async { tokio::join!(watch("table"), watch("json"), watch("name")) } => shown,
        () = operator => unreachable!("a watch ends long before"),
    };
    assert_eq!(table.matches("NAME ").count(), 1, "{table}");
    for phase in ["OnSale", "Paused"] {
        let row = format!("demo   {phase}");
        assert!(table.lines().any(|line| line.starts_with(&row)), "{table}");
    }
    let phases: Vec<String> = json
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["status"]["phase"].to_string())
        .collect();
    assert!(phases.len() > 2, "{phases:?}");
    // Nothing is shown twice.
    assert!(
        phases.windows(2).all(|pair| pair[0] != pair[1]),
        "{phases:?}"
    );
    assert!(name.lines().count() > 2, "{name}");
    assert!(name.lines().all(|line| line == "event.ticketctl.io/demo"));
}

#[tokio::test]
async fn a_watch_of_an_event_ends_when_it_is_gone() {
    let place = Place::new().await;
    place.create("demo").await;
    let watch = place.run(&["events", "get", "demo", "-w", "-o", "json"]);
    let operator = async {
        for phase in ["OnSale", "Paused"].iter().cycle().take(20) {
            place.say("demo", phase, "True").await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let params = DeleteParams::default();
        place.api.delete("demo", &params).await.unwrap();
    };
    let (ran, ()) = tokio::join!(watch, operator);
    assert_eq!(ran.exit, 3, "{ran:?}");
    assert!(ran.words.contains("event demo is gone"), "{ran:?}");
    for line in ran.data.lines() {
        let object: Value = serde_json::from_str(line).unwrap();
        assert_eq!(object["metadata"]["name"], "demo");
    }
    assert!(ran.data.contains("OnSale") && ran.data.contains("Paused"));
}

#[tokio::test]
async fn a_shell_completes_names_of_events() {
    let place = Place::new().await;
    for name in ["demo", "demo-late", "opera"] {
        place.create(name).await;
    }
    let line = [
        "ticketctl",
        "-n",
        &place.namespace,
        "--kubeconfig",
        &place.kubeconfig,
        "stock",
    ];
    let names = crate::program::completed(&[&line[..], &["dem"]].concat());
    assert_eq!(names, ["demo", "demo-late"]);
}

#[tokio::test]
async fn doctor_finds_the_way_to_the_api_server() {
    let place = Place::new().await;
    place.create("demo").await;
    let ran = place.run(&["doctor", "--admin-url", ""]).await;
    for fine in [
        "ok    kubeconfig",
        "ok    api-server",
        "ok    event-definition",
    ] {
        assert!(ran.data.contains(fine), "{fine}: {}", ran.data);
    }
    assert!(ran.data.contains("FAIL  admin-api"), "{}", ran.data);
}

#[tokio::test]
async fn an_api_server_that_is_down_is_a_clear_error() {
    let kubeconfig = tempfile::NamedTempFile::new().unwrap();
    let text = "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
        clusters: [{name: c, cluster: {server: 'http://127.0.0.1:9'}}]\n\
        users: [{name: u, user: {token: t}}]\n\
        contexts: [{name: c, context: {cluster: c, user: u}}]\n";
    std::fs::write(kubeconfig.path(), text).unwrap();
    let path = kubeconfig.path().to_str().unwrap();
    let ran = ticketctl(&["events", "list", "--kubeconfig", path]).await;
    assert_eq!(ran.exit, 1, "{ran:?}");
    assert!(
        ran.words.starts_with("error: could not list events"),
        "{ran:?}"
    );
    assert!(ran.words.contains("next: "), "{ran:?}");
}
