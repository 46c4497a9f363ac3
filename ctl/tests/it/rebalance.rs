//! `ticketctl rebalance` against a real API server. The operator's part (the status) is written by the test.

use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use ticket_crds::ShardRebalance;
use ticket_testkit::unique;

use crate::run::{Ran, ticketctl};

/// One rebalance of one test: the kind belongs to the whole cluster.
struct Stage {
    api: Api<ShardRebalance>,
    name: String,
    kubeconfig: String,
}

impl Stage {
    async fn new() -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let path = ticket_testkit::shared().await.kubeconfig();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(Kubeconfig::read_from(path).unwrap(), &options);
        let client = Client::try_from(config.await.unwrap()).unwrap();
        Self {
            api: Api::all(client),
            name: unique("rebalance"),
            kubeconfig: path.to_str().unwrap().to_owned(),
        }
    }

    async fn run(&self, args: &[&str]) -> Ran {
        let flags = ["-n", "default", "--kubeconfig", &self.kubeconfig];
        ticketctl(&[&["rebalance"], args, &flags].concat()).await
    }

    /// Plans, with a status as the operator would write it as soon as the resource is there.
    async fn plan(&self, flags: &[&str], phase: &str, reason: &str) -> Ran {
        let plan = [&["plan", "--name", &self.name], flags].concat();
        let operator = async {
            while self.api.get_opt(&self.name).await.unwrap().is_none() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            self.say(phase, reason).await;
        };
        let (ran, ()) = tokio::join!(self.run(&plan), operator);
        ran
    }

    /// What the operator would say about the newest spec.
    async fn say(&self, phase: &str, reason: &str) {
        let generation = self.get().await.metadata.generation;
        let moves = json!([{
            "stockShardIds": [7], "range": { "low": 0, "high": 0 }, "from": "a:5432", "to": "b:5432",
            "bytes": 8192, "state": "Pending", "retries": 0,
        }]);
        let has_moves = reason != "NeedsCitus";
        let status = json!({ "status": {
            "observedGeneration": generation, "phase": phase, "expectedStallMs": 400,
            "progress": { "done": 0, "total": 1, "bytes": 8192, "bytesDone": 0 },
            "moves": if has_moves { moves } else { json!([]) },
            "lastError": if has_moves { Value::Null } else {
                json!({ "code": "needs-citus", "message": "the ledger is plain PostgreSQL" })
            },
            "conditions": [{
                "type": "Ready", "status": "False", "reason": reason, "message": "as it is",
                "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": generation,
            }],
        }});
        self.api
            .patch_status(&self.name, &PatchParams::default(), &Patch::Merge(&status))
            .await
            .unwrap();
    }

    async fn get(&self) -> ShardRebalance {
        self.api.get(&self.name).await.unwrap()
    }

    /// A command that is refused and changes nothing.
    async fn refused(&self, args: &[&str], why: &str) {
        let before = self.get().await.metadata.resource_version;
        let ran = self.run(args).await;
        assert_eq!(ran.exit, 4, "{args:?}: {ran:?}");
        assert!(ran.words.contains(why), "{args:?}: {ran:?}");
        assert_eq!(self.get().await.metadata.resource_version, before);
    }

    async fn clear(&self) {
        self.api
            .delete(&self.name, &DeleteParams::default())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_rebalance_is_planned_approved_stopped_and_resumed() {
    let stage = Stage::new().await;
    let name = stage.name.as_str();
    let flags = ["--mode", "drain-node", "--node", "a:5432"];
    let planned = stage.plan(&flags, "Proposed", "AwaitingApproval").await;
    assert_eq!(planned.exit, 0, "{planned:?}");
    for part in [
        "DrainNode",
        "Proposed",
        "400 ms",
        "a:5432",
        "b:5432",
        "8192",
    ] {
        assert!(planned.data.contains(part), "{part}: {}", planned.data);
    }
    let advice = format!("ticketctl rebalance approve {name}");
    assert!(planned.words.contains(&advice), "{planned:?}");
    assert!(!stage.get().await.spec.approve);

    stage.refused(&["stop", name], "nothing to stop").await;
    stage.refused(&["resume", name], "nothing to resume").await;
    let dry = stage.run(&["approve", name, "--dry-run"]).await;
    assert_eq!(dry.exit, 0, "{dry:?}");
    assert!(!stage.get().await.spec.approve);

    let approved = stage.run(&["approve", name]).await;
    assert_eq!(approved.exit, 0, "{approved:?}");
    assert!(stage.get().await.spec.approve);
    stage.refused(&["approve", name], "planned again").await;
    stage.say("Rebalancing", "Progressing").await;
    stage
        .refused(&["approve", name], "is approved already")
        .await;

    let stopped = stage.run(&["stop", name]).await;
    assert_eq!(stopped.exit, 0, "{stopped:?}");
    assert!(stage.get().await.spec.stop);
    stage.say("Stopped", "RebalanceStopped").await;
    stage.refused(&["stop", name], "nothing to stop").await;
    stage.refused(&["approve", name], "is stopped").await;
    let resumed = stage.run(&["resume", name]).await;
    assert_eq!(resumed.exit, 0, "{resumed:?}");
    let spec = stage.get().await.spec;
    assert!(spec.approve && !spec.stop);

    stage.say("Completed", "Ready").await;
    stage.refused(&["approve", name], "is completed").await;
    stage.refused(&["stop", name], "nothing to stop").await;
    let followed = stage.run(&["status", name, "-w"]).await;
    assert_eq!(followed.exit, 0, "{followed:?}");
    stage.clear().await;
}

#[tokio::test]
async fn a_watch_of_one_ends_with_it_and_a_watch_of_all_goes_on() {
    let stage = Stage::new().await;
    let name = stage.name.as_str();
    stage
        .plan(&["--mode", "balance"], "Proposed", "AwaitingApproval")
        .await;
    let operator = async {
        for phase in ["Approved", "Rebalancing"].iter().cycle().take(30) {
            stage.say(phase, "Progressing").await;
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        stage.say("Completed", "Ready").await;
    };
    let one = ["status", name, "-w", "-o", "json"];
    let ((), one, all, lines) = tokio::join!(
        operator,
        stage.run(&one),
        stage.run(&["status", "-w", "-o", "name", "--timeout", "4s"]),
        stage.run(&["status", "-w", "--timeout", "4s"])
    );
    assert_eq!(one.exit, 0, "{one:?}");
    let phases = one.data.lines().map(|line| {
        let object: Value = serde_json::from_str(line).unwrap();
        object["status"]["phase"].as_str().unwrap().to_owned()
    });
    let phases: Vec<String> = phases.collect();
    assert!(phases.len() > 2, "{phases:?}");
    assert_eq!(phases.last().map(String::as_str), Some("Completed"));
    // Others make rebalances at the same time.
    assert_eq!((all.exit, lines.exit), (5, 5), "{all:?} {lines:?}");
    let own = format!("shardrebalance.ticketctl.io/{name}");
    assert!(all.data.lines().filter(|line| *line == own).count() > 2);
    let own = lines.data.lines().filter(|line| line.starts_with(name));
    assert!(own.count() > 2, "{lines:?}");
    assert_eq!(lines.data.matches("NAME ").count(), 1, "{lines:?}");
    stage.clear().await;
}

#[tokio::test]
async fn what_cannot_be_planned_is_refused_with_its_code_and_next_step() {
    let stage = Stage::new().await;
    let failed = stage
        .plan(&["--mode", "balance"], "Failed", "NeedsCitus")
        .await;
    assert_eq!(failed.exit, 4, "{failed:?}");
    assert!(failed.words.contains("[needs-citus]"), "{failed:?}");
    assert!(failed.words.contains("next: Install Citus"), "{failed:?}");
    stage
        .refused(&["resume", &stage.name], "could not be planned")
        .await;
    // The server's own rules: nothing is made.
    let wrong = stage
        .run(&["plan", "--mode", "balance", "--node", "a:5432"])
        .await;
    assert_eq!(wrong.exit, 1, "{wrong:?}");
    assert!(wrong.words.contains("Balance has none"), "{wrong:?}");
    stage.clear().await;
}

#[tokio::test]
async fn what_hurts_buyers_wants_the_name_twice() {
    let stage = Stage::new().await;
    let name = stage.name.as_str();
    let flags = [
        "--mode",
        "pin-events",
        "--node",
        "b:5432",
        "--event",
        "demo",
        "--event",
        "shop/other",
        "--force",
    ];
    let planned = stage.plan(&flags, "Proposed", "AwaitingApproval").await;
    assert_eq!(planned.exit, 0, "{planned:?}");
    assert_eq!(
        stage.get().await.spec.events,
        ["default/demo", "shop/other"]
    );
    stage
        .refused(&["approve", name, "--no-input"], "was not confirmed")
        .await;
    stage
        .refused(&["approve", name, "--confirm=other"], "is not")
        .await;
    let confirm = format!("--confirm={name}");
    let approved = stage.run(&["approve", name, &confirm]).await;
    assert_eq!(approved.exit, 0, "{approved:?}");
    stage.say("Stopped", "RebalanceStopped").await;
    stage.refused(&["resume", name], "was not confirmed").await;
    let resumed = stage.run(&["resume", name, &confirm]).await;
    assert_eq!(resumed.exit, 0, "{resumed:?}");
    stage.clear().await;
}

#[tokio::test]
async fn rebalances_are_listed_in_every_format() {
    let stage = Stage::new().await;
    let name = stage.name.as_str();
    stage
        .plan(&["--mode", "balance"], "Proposed", "AwaitingApproval")
        .await;
    let listed = stage.run(&["status"]).await;
    let row = listed
        .data
        .lines()
        .find(|line| line.starts_with(name))
        .unwrap();
    let row: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(row[1..4], ["Balance", "Proposed", "0/1"], "{listed:?}");
    let wide = stage.run(&["status", "-o", "wide"]).await;
    assert!(wide.data.contains("MESSAGE"), "{wide:?}");
    let names = stage.run(&["status", name, "-o", "name"]).await;
    assert_eq!(names.data, format!("shardrebalance.ticketctl.io/{name}\n"));
    for format in ["json", "yaml"] {
        let shown = stage.run(&["status", name, "-o", format]).await;
        let object: Value = serde_saphyr::from_str(&shown.data).unwrap();
        assert_eq!(object["kind"], "ShardRebalance");
        assert_eq!(object["status"]["moves"][0]["to"], "b:5432");
    }
    let missing = stage.run(&["status", "nobody"]).await;
    assert_eq!(missing.exit, 3, "{missing:?}");
    stage.clear().await;
}
