//! Without Citus there is nothing to move, and everybody is told so.

use std::process::Command;

use serde_json::{Value, json};
use ticket_crds::RebalancePhase;
use ticket_ledger::{Ledger, LedgerConfig};
use ticket_testkit::{Citus, PostgresServer, StartOptions, Tools, shared};

use super::stage::{Stage, ready};
use crate::world::{World, until};

async fn plain() -> (PostgresServer, Stage) {
    let options = StartOptions::own("rebalance-plain").unwrap();
    let server = PostgresServer::start_with(options, Vec::new(), Citus::Never)
        .await
        .unwrap();
    let url = server.create_database("ledger").await.unwrap();
    let ledger = Ledger::connect(&LedgerConfig::new(&url.as_str().into())).unwrap();
    ledger.migrate().await.unwrap();
    (server, Stage::over(World::over(url).await))
}

#[tokio::test]
async fn plain_postgres_says_that_it_needs_citus_and_what_to_do() {
    let (_server, stage) = plain().await;
    let operator = stage.start();
    let kubeconfig = shared().await.kubeconfig().to_owned();
    let kubectl = |args: &[&str]| {
        let mut command = Command::new(Tools.kubectl().unwrap());
        command.arg("--kubeconfig").arg(&kubeconfig).args(args);
        let done = command.output().unwrap();
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    stage.create("balance", json!({ "mode": "Balance" })).await;
    let status = stage.phase("balance", RebalancePhase::Failed).await;
    assert_eq!(ready(&status), ("False", "NeedsCitus"));
    let error = status.last_error.unwrap();
    assert_eq!(error.code, "needs-citus");
    assert!(error.message.contains("plain PostgreSQL"), "{error:?}");
    assert!(status.moves.is_empty());

    // As a person sees it.
    let name = stage.name("balance");
    let row = kubectl(&["get", "tksr", &name]);
    let row: Vec<&str> = row.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[..3], [name.as_str(), "Balance", "Failed"]);
    assert!(row.contains(&"NeedsCitus"), "{row:?}");
    let object: Value =
        serde_json::from_str(&kubectl(&["get", "tksr", &name, "-o", "json"])).unwrap();
    assert_eq!(object["status"]["lastError"]["code"], "needs-citus");

    // Approving what could not be planned changes nothing but the generation that was looked at.
    stage.change("balance", json!({ "approve": true })).await;
    let status = stage.phase("balance", RebalancePhase::Failed).await;
    assert_eq!(ready(&status), ("False", "NeedsCitus"));
    until("a Kubernetes event says it", async || {
        let said = stage.told("balance").await;
        said.contains(&"NeedsCitus".to_owned()).then_some(())
    })
    .await;
    operator.stop().await;
    stage.clear().await;
}

#[tokio::test]
async fn a_ledger_that_is_down_is_waited_for() {
    let (mut server, stage) = plain().await;
    server.kill().await.unwrap();
    let operator = stage.start();
    stage.create("balance", json!({ "mode": "Balance" })).await;
    until("it is said", async || {
        let status = stage.get("balance").await.status?;
        assert_eq!(status.phase, None, "{status:?}");
        (status.last_error?.code == "ledger-unreachable").then_some(())
    })
    .await;
    server.restart().await.unwrap();
    let status = stage.phase("balance", RebalancePhase::Failed).await;
    assert_eq!(ready(&status), ("False", "NeedsCitus"));
    operator.stop().await;
    stage.clear().await;
}
