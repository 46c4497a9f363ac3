//! Commands over the admin API, against a stand-in that answers as the contract says.

use serde_json::{Value, json};
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::run::{Ran, no_cluster, ticketctl};

async fn server(route: &str, status: u16, body: Value) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(path(route))
        .and(header("authorization", "Bearer t0ken"))
        .respond_with(ResponseTemplate::new(status).set_body_json(body))
        .mount(&server)
        .await;
    server
}

pub(crate) async fn ask(url: &str, args: &[&str]) -> Ran {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "t0ken\n").unwrap();
    let kubeconfig = no_cluster();
    let (token, kubeconfig) = (token.path().to_str(), kubeconfig.path().to_str());
    let flags = ["--admin-url", url, "--token-file", token.unwrap()];
    let flags = [&flags[..], &["--kubeconfig", kubeconfig.unwrap()]].concat();
    ticketctl(&[args, &flags].concat()).await
}

pub(crate) fn problem(code: &str, status: u16) -> Value {
    json!({
        "type": format!("https://ticketctl.io/problems/{code}"),
        "title": "A title.", "status": status, "detail": "the detail", "code": code,
    })
}

#[tokio::test]
async fn stock_is_shown_per_category_and_as_the_apis_own_object() {
    let counts = json!({"capacity": 10, "available": 4, "held": 1, "sold": 5});
    let mut shard =
        json!({"stock_shard_id": 7, "node": "pg", "partition": 0, "store_available": 4});
    let mut category = json!({"name": "vip", "store_available": 4});
    for part in [&mut shard, &mut category] {
        part.as_object_mut()
            .unwrap()
            .extend(counts.as_object().unwrap().clone());
    }
    category["shards"] = json!([shard]);
    let stock = json!({
        "event": "shop.demo", "epoch": 3, "armed_epoch": 3, "as_of": "2026-01-01T00:00:00Z",
        "categories": [category],
    });
    let server = server("/admin/v1/events/shop.demo/stock", 200, stock.clone()).await;

    let table = ask(&server.uri(), &["stock", "demo", "-n", "shop"]).await;
    assert_eq!(table.exit, 0, "{table:?}");
    assert_eq!(
        table.data,
        "CATEGORY   CAPACITY   AVAILABLE   HELD   SOLD   STORE   SHARDS\n\
         vip        10         4           1      5      4       1\n"
    );
    let object = ask(
        &server.uri(),
        &["stock", "demo", "-n", "shop", "-o", "json"],
    )
    .await;
    assert_eq!(serde_json::from_str::<Value>(&object.data).unwrap(), stock);
    let yaml = ask(
        &server.uri(),
        &["stock", "demo", "-n", "shop", "-o", "yaml"],
    )
    .await;
    assert!(yaml.data.contains("store_available: 4"), "{yaml:?}");
    let name = ask(
        &server.uri(),
        &["stock", "demo", "-n", "shop", "-o", "name"],
    )
    .await;
    assert_eq!(name.data, "vip\n");
}

#[tokio::test]
async fn an_audit_that_does_not_hold_is_exit_1_and_says_which_check() {
    let report = |ok: bool| {
        json!({
            "event": "default.demo", "ok": ok, "checks": [
                {"name": "conservation", "ok": ok, "detail": "6 stock shards"},
                {"name": "store", "ok": true, "skipped": true, "detail": "skipped: busy"},
            ],
        })
    };
    let fine = server("/admin/v1/events/default.demo/audit", 200, report(true)).await;
    let ran = ask(&fine.uri(), &["audit", "demo"]).await;
    assert_eq!(ran.exit, 0, "{ran:?}");
    assert_eq!(
        ran.data,
        "ok    conservation  6 stock shards\nwarn  store         skipped: busy\n"
    );
    let asked = fine.received_requests().await.unwrap();
    assert!(
        asked
            .iter()
            .all(|request| request.method.as_str() == "POST")
    );

    let broken = server("/admin/v1/events/default.demo/audit", 200, report(false)).await;
    let ran = ask(&broken.uri(), &["audit", "demo"]).await;
    assert_eq!(ran.exit, 1);
    assert!(ran.data.starts_with("FAIL  conservation"), "{ran:?}");
    assert!(ran.words.contains("next: `ticketctl stock demo"), "{ran:?}");
    let ran = ask(&broken.uri(), &["audit", "demo", "-o", "name"]).await;
    assert_eq!((ran.exit, ran.data.as_str()), (1, "conservation\n"));
}

#[tokio::test]
async fn each_refusal_has_its_exit_code_and_a_next_step() {
    let order = format!("ord_{}{:014x}", "0".repeat(32), 7);
    let route = format!("/admin/v1/orders/{order}");
    for (code, status, exit) in [
        ("not-found", 404, 3),
        ("illegal-transition", 409, 4),
        ("unauthenticated", 401, 1),
        ("overloaded", 503, 1),
    ] {
        let server = server(&route, status, problem(code, status)).await;
        let ran = ask(&server.uri(), &["orders", "get", &order]).await;
        assert_eq!(ran.exit, exit, "{ran:?}");
        assert!(ran.data.is_empty(), "{ran:?}");
        assert!(
            ran.words.contains(code) && ran.words.contains("next: "),
            "{ran:?}"
        );
    }
    // Not an order reference at all: nobody is asked.
    let ran = ask("http://127.0.0.1:9", &["orders", "get", "ord_1"]).await;
    assert_eq!(ran.exit, 2, "{ran:?}");
}

#[tokio::test]
async fn an_order_is_refunded_only_with_the_name_of_its_event() {
    let order = format!("ord_{}{:014x}", "0".repeat(32), 7);
    let server = MockServer::start().await;
    let view = json!({
        "id": order, "event": "shop.demo", "category": "vip", "buyer": "ann", "quantity": 1, "state": "paid",
        "amount": {"currency": "EUR", "amount_minor": 100}, "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z", "stock_shard_id": 7, "version": 1,
    });
    for (verb, route, status) in [
        ("GET", format!("/admin/v1/orders/{order}"), 200),
        ("POST", format!("/admin/v1/orders/{order}/refund"), 202),
    ] {
        Mock::given(method(verb))
            .and(path(route))
            .respond_with(ResponseTemplate::new(status).set_body_json(view.clone()))
            .mount(&server)
            .await;
    }
    let refunds = async || {
        let requests = server.received_requests().await.unwrap();
        requests
            .iter()
            .filter(|it| it.method.as_str() == "POST")
            .count()
    };
    for confirm in [&[][..], &["--confirm=other"], &["--confirm="]] {
        let ran = ask(
            &server.uri(),
            &[&["orders", "refund", &order], confirm].concat(),
        )
        .await;
        assert_eq!(ran.exit, 4, "{ran:?}");
        assert!(ran.words.contains("--confirm=demo"), "{ran:?}");
    }
    let dry = ask(&server.uri(), &["orders", "refund", &order, "--dry-run"]).await;
    assert_eq!(dry.exit, 0, "{dry:?}");
    assert!(dry.words.contains("nothing was done"), "{dry:?}");
    assert_eq!(refunds().await, 0);
    let ran = ask(
        &server.uri(),
        &["orders", "refund", &order, "--confirm=demo"],
    )
    .await;
    assert_eq!(ran.exit, 0, "{ran:?}");
    assert_eq!(refunds().await, 1);
}

#[tokio::test]
async fn a_sale_is_held_only_with_the_name_of_its_event_and_a_run_needs_none() {
    let server = MockServer::start().await;
    let view = json!({ "event": "default.demo", "epoch": 3, "armed_epoch": 3, "history": [] });
    // A run gives the sale back by itself: whoever names another event is refused, but nobody must name one.
    let (none, right, wrong): (&[&str], &[&str], &[&str]) =
        (&[], &["--confirm=demo"], &["--confirm=other"]);
    for (verb, allowed, refused) in [
        ("run", &[none, right][..], &[wrong][..]),
        ("lock", &[right], &[none, wrong]),
    ] {
        Mock::given(method("POST"))
            .and(path(format!("/admin/v1/events/default.demo/warmup/{verb}")))
            .respond_with(ResponseTemplate::new(200).set_body_json(&view))
            .expect(u64::try_from(allowed.len()).unwrap())
            .mount(&server)
            .await;
        for confirm in refused {
            let args = [&["warmup", verb, "demo"], *confirm].concat();
            let ran = ask(&server.uri(), &args).await;
            assert_eq!(ran.exit, 4, "{ran:?}");
            assert!(ran.words.contains("next: add --confirm=demo"), "{ran:?}");
        }
        for confirm in allowed {
            let args = [&["warmup", verb, "demo"], *confirm].concat();
            let ran = ask(&server.uri(), &args).await;
            assert_eq!(ran.exit, 0, "{ran:?}");
        }
    }
}

#[tokio::test]
async fn a_slow_answer_is_a_timeout() {
    let server = MockServer::start().await;
    let late = ResponseTemplate::new(200).set_delay(std::time::Duration::from_secs(20));
    Mock::given(method("GET"))
        .respond_with(late)
        .mount(&server)
        .await;
    for flag in ["--request-timeout", "--timeout"] {
        let ran = ask(&server.uri(), &["lag", flag, "50ms"]).await;
        assert_eq!(ran.exit, 5, "{ran:?}");
        assert!(ran.words.contains("next: "), "{ran:?}");
    }
}

#[tokio::test]
async fn doctor_says_what_is_broken_and_what_to_do() {
    let server = MockServer::start().await;
    let dependencies = json!({
        "role": "viewer", "version": "0.1.0", "items": [
            {"name": "ledger", "ok": true, "detail": "answers", "answered_in_ms": 2},
            {"name": "kafka", "ok": false, "detail": "no broker answers", "code": "log-unreachable"},
        ],
    });
    for (route, body) in [
        ("/admin/v1/dependencies", dependencies),
        ("/admin/v1/lag", json!({"items": []})),
    ] {
        let answer = ResponseTemplate::new(200).set_body_json(body);
        Mock::given(path(route))
            .respond_with(answer)
            .mount(&server)
            .await;
    }
    let ran = ask(&server.uri(), &["doctor"]).await;
    assert_eq!(ran.exit, 1, "{ran:?}");
    // The kubeconfig leads nowhere, and the admin API is still looked at.
    assert!(ran.data.contains("FAIL  kubeconfig"), "{}", ran.data);
    assert!(ran.data.contains("you are viewer"), "{}", ran.data);
    assert!(
        ran.data
            .contains("FAIL  kafka                no broker answers"),
        "{}",
        ran.data
    );
    assert_eq!(ran.data.matches("next: ").count(), 2, "{}", ran.data);

    let nobody = ask("http://127.0.0.1:9", &["doctor"]).await;
    assert!(
        nobody.data.contains("could not reach the admin API"),
        "{}",
        nobody.data
    );
    assert!(nobody.data.contains("start the runtime"), "{}", nobody.data);
}

#[tokio::test]
async fn without_an_admin_api_the_way_to_one_is_named() {
    let kubeconfig = no_cluster();
    let kubeconfig = kubeconfig.path().to_str().unwrap();
    // An empty value is what a shell passes for a variable that is not set.
    let ran = ticketctl(&["lag", "--kubeconfig", kubeconfig, "--admin-url", ""]).await;
    assert_eq!(ran.exit, 2, "{ran:?}");
    assert!(ran.words.contains("--admin-url"), "{ran:?}");
}

#[tokio::test]
async fn a_watch_shows_each_snapshot_until_the_event_is_gone() {
    let server = MockServer::start().await;
    let route = "/admin/v1/events/default.demo/stock";
    let snapshot = json!({
        "event": "default.demo", "epoch": 1, "as_of": "2026-01-01T00:00:00Z", "categories": [],
    });
    let body = format!("event: stock\ndata: {snapshot}\n\n").repeat(2);
    let stream = ResponseTemplate::new(200).set_body_raw(body, "text/event-stream");
    Mock::given(path(route))
        .respond_with(stream)
        .up_to_n_times(1)
        .mount(&server)
        .await;
    let gone = ResponseTemplate::new(404).set_body_json(problem("not-found", 404));
    Mock::given(path(route))
        .respond_with(gone)
        .mount(&server)
        .await;
    let ran = ask(&server.uri(), &["stock", "demo", "-w", "-o", "json"]).await;
    assert_eq!(ran.exit, 3, "{ran:?}");
    assert_eq!(ran.data.lines().count(), 2, "{ran:?}");
    for line in ran.data.lines() {
        assert_eq!(
            serde_json::from_str::<Value>(line).unwrap()["event"],
            "default.demo"
        );
    }
}

// The stand-in goes on answering while the shell waits for the program.
#[tokio::test(flavor = "multi_thread")]
async fn a_shell_completes_names_of_ledger_nodes() {
    let node = |name: &str| json!({"name": name, "role": "worker", "alive": true});
    let nodes = ["worker-1:5432", "worker-2:5432", "coordinator:5432"].map(node);
    let shards = json!({"nodes": nodes, "shards": []});
    let server = server("/admin/v1/shards", 200, shards).await;
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "t0ken\n").unwrap();
    let (url, token) = (server.uri(), token.path().to_str().unwrap());
    let line = ["ticketctl", "--admin-url", &url, "--token-file", token];
    let asks = ["rebalance", "plan", "--mode", "drain-node", "--node", "wor"];
    let names = crate::program::completed(&[&line[..], &asks].concat());
    assert_eq!(names, ["worker-1:5432", "worker-2:5432"]);
}
