//! `make fuzz`: schemathesis sends both APIs what their OpenAPI documents allow and what they forbid, and checks each answer
//! against them: no 5xx, no status, type, header or body that is not documented, nothing forbidden that is taken.
//! It knows what exists here, so that it also meets what can be found: an event that is on sale and orders in several states.

use std::process::Command;

use reqwest::Method;
use ticket_testkit::{unique, workspace_dir};

use crate::sale::{MANAGER, Sale, Terms, json, token};

fn setting(name: &str, default: &str) -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "SEED and EXAMPLES are the switches of this one test"
    )]
    let value = std::env::var(name);
    value.unwrap_or_else(|_| default.to_owned())
}

/// Names of things that are found here.
fn found(sale: &Sale, order: &str) -> String {
    format!(
        r#"
[parameters]
"path.event" = "{}"
"path.id" = "{order}"
"path.provider" = "stripe"
"#,
        sale.name
    )
}

/// An operation whose right input no document can describe: nobody but the provider can sign a webhook, only a list itself
/// gives cursors, and a confirmation has to repeat the path.
fn of_its_own(operation: &str) -> String {
    format!(
        r#"
[[operations]]
include-operation-id = "{operation}"
checks.positive_data_acceptance.enabled = false
"#
    )
}

/// A key that was used for another order is no fault of the document either; everything else that is refused is.
const KEYS_ARE_REUSED: &str = r#"
[[operations]]
include-operation-id = "placeOrder"
checks.positive_data_acceptance.expected-statuses = ["2xx", 404, 409, 422, 429]
"#;

/// The keys and tokens are this test's own, and without them nothing can be repeated.
const AS_IT_WAS_SENT: &str = "
[output.sanitization]
enabled = false
";

/// Runs the fuzzer over the document at `url`.
fn fuzz(url: &str, token: &str, config: &str) {
    // It keeps what it found beside where it runs.
    let dir = std::env::temp_dir().join(unique("fuzz"));
    std::fs::create_dir(&dir).unwrap();
    let path = dir.join("schemathesis.toml");
    std::fs::write(&path, AS_IT_WAS_SENT.to_owned() + config).unwrap();
    let program = workspace_dir().join(".stack/fuzz/bin/schemathesis");
    let mut command = Command::new(&program);
    command
        .arg("--config-file")
        .arg(&path)
        .current_dir(&dir)
        .args(["run", &format!("{url}/openapi.json"), "--url", url])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--no-color", "--workers", "1"])
        .args(["--seed", &setting("SEED", "1")])
        .args(["--max-examples", &setting("EXAMPLES", "60")])
        .args(["--request-timeout", "40", "--generation-database", "none"]);
    let status = command.status();
    let status = status.unwrap_or_else(|error| panic!("{}: {error}: make fuzz", program.display()));
    std::fs::remove_dir_all(dir).unwrap();
    assert!(status.success(), "the fuzzer found something");
}

/// Waits until orders are taken. The fuzzer may have held the sale.
async fn sells(sale: &Sale) {
    let unlock = format!("/events/{}/warmup/unlock", sale.name);
    let unlock = sale.ask(Method::POST, &unlock, MANAGER);
    let unlock = unlock.json(&serde_json::json!({"force": true}));
    json(unlock.send().await.unwrap(), 200).await;
    sale.until("the sale goes on", async || {
        let path = format!("/v1/events/{}", sale.name);
        let event = sale.request(Method::GET, &path).send().await.unwrap();
        json(event, 200).await["sale"] == "on_sale"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the fuzzer: make fuzz"]
async fn what_the_documents_say_is_what_fuzzed_apis_do() {
    let sale = Sale::open(Terms {
        quantity: 100_000,
        max_per_buyer: 0,
        settings: vec![("TICKET_API_BUYER_PER_SECOND", Some("0".to_owned()))],
        ..Terms::default()
    })
    .await;
    let mut orders = Vec::new();
    for key in ["waits", "paid", "cancelled"] {
        let order = sale.awaiting("ann", key, 1).await;
        orders.push(order["id"].as_str().unwrap().to_owned());
        if key == "paid" {
            sale.pay(&order, "pm_card_visa").await;
        }
    }
    // Streams of these end by themselves, so that the fuzzer does not wait for them.
    let cancel = format!("/v1/orders/{}/cancel", orders[2]);
    let cancel = sale
        .request(Method::POST, &cancel)
        .bearer_auth(token("ann"));
    json(cancel.send().await.unwrap(), 202).await;
    sale.order_until("ann", &orders[2], "cancelled").await;
    sale.order_until("ann", &orders[1], "paid").await;

    // First with invented names, then with what there is.
    let names = [
        String::new(),
        found(&sale, &orders[1]),
        found(&sale, &orders[2]),
    ];
    for names in names {
        sells(&sale).await;
        let to_api = names.clone() + &of_its_own("takeWebhook") + KEYS_ARE_REUSED;
        fuzz(&sale.api, &token("ann"), &to_api);
        let to_admin = names + &of_its_own("listOrders") + &of_its_own("unlockWarmup");
        fuzz(&sale.admin, MANAGER, &to_admin);
    }
}
