//! `-w` of what the admin API has no stream of, against a stand-in whose answers change.

use serde_json::{Value, json};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::admin::{ask, problem};
use crate::run::Ran;

/// A command, what it asks, and two answers that differ.
struct Watched {
    args: Vec<String>,
    route: &'static str,
    answers: [Value; 2],
}

impl Watched {
    /// Watches while the answer comes twice, a server is down, another answer comes, and the thing is gone.
    async fn run(&self, format: &str) -> Ran {
        let [first, second] = self.answers.clone();
        let server = MockServer::start().await;
        for (status, body, times) in [
            (200, first, 2),
            (503, problem("overloaded", 503), 1),
            (200, second, 1),
            (404, problem("not-found", 404), 1),
        ] {
            Mock::given(path(self.route))
                .respond_with(ResponseTemplate::new(status).set_body_json(body))
                .up_to_n_times(times)
                .mount(&server)
                .await;
        }
        let args = self.args.iter().map(String::as_str);
        let args: Vec<&str> = args.chain(["-w", "-o", format]).collect();
        let ran = ask(&server.uri(), &args).await;
        assert_eq!(ran.exit, 3, "{ran:?}");
        assert_eq!(ran.words.matches("asking again").count(), 1, "{ran:?}");
        assert!(ran.words.contains("(not-found)"), "{ran:?}");
        ran
    }

    /// Programs get each answer that differs once, and people are told.
    async fn has_every_format(&self, names: &str) -> String {
        let (table, json, yaml, name) = tokio::join!(
            self.run("table"),
            self.run("json"),
            self.run("yaml"),
            self.run("name")
        );
        let lines = json.data.lines().map(serde_json::from_str::<Value>);
        let objects: Vec<Value> = lines.map(Result::unwrap).collect();
        assert_eq!(objects, self.answers, "{json:?}");
        let documents = yaml.data.split("---\n").skip(1);
        let objects: Vec<Value> = documents
            .map(|text| serde_saphyr::from_str(text).unwrap())
            .collect();
        assert_eq!(objects, self.answers, "{yaml:?}");
        assert_eq!(name.data, names, "{name:?}");
        table.data
    }
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

#[tokio::test]
async fn a_watch_of_the_lag_shows_the_topics_whose_lag_differs() {
    let entry = |topic: &str, lag: i64| {
        json!({
            "group": "processor", "topic": topic, "partition": 0, "committed": 10 - lag, "end": 10, "lag": lag,
        })
    };
    let lag = Watched {
        args: words("lag"),
        route: "/admin/v1/lag",
        answers: [
            json!({ "items": [entry("orders.demo", 3), entry("orders.opera", 0)] }),
            json!({ "items": [entry("orders.demo", 5), entry("orders.opera", 0)] }),
        ],
    };
    let names = "processor/orders.demo\nprocessor/orders.opera\nprocessor/orders.demo\n";
    let table = lag.has_every_format(names).await;
    assert_eq!(
        table,
        "GROUP       TOPIC          PARTITIONS   LAG   UNKNOWN\n\
         processor   orders.demo    1            3     0\n\
         processor   orders.opera   1            0     0\n\
         processor   orders.demo    1            5     0\n"
    );
}

#[tokio::test]
async fn a_watch_of_the_shards_shows_the_node_that_went_down() {
    let places = |is_alive: bool| {
        json!({
            "nodes": [
                { "name": "a:5432", "role": "worker", "alive": true },
                { "name": "b:5432", "role": "worker", "alive": is_alive },
            ],
            "shards": [{ "citus_shard": 7, "node": "b:5432", "stock_shard_ids": [1, 2], "lane": false }],
        })
    };
    let shards = Watched {
        args: words("shards list"),
        route: "/admin/v1/shards",
        answers: [places(true), places(false)],
    };
    let table = shards.has_every_format("a:5432\nb:5432\nb:5432\n").await;
    assert_eq!(
        table,
        "NODE     ROLE     ALIVE   BYTES\n\
         a:5432   worker   yes     -\n\
         b:5432   worker   yes     -\n\
         \n\
         CITUS-SHARD   NODE     LANE   BYTES   STOCK-SHARDS\n\
         7             b:5432   no     -       1,2\n\
         \n\
         NODE     ROLE     ALIVE   BYTES\n\
         b:5432   worker   NO      -\n"
    );
}

#[tokio::test]
async fn a_watch_of_a_warm_up_shows_who_takes_the_lock() {
    let free = json!({ "event": "default.demo", "epoch": 3, "armed_epoch": 3, "history": [] });
    let mut held = free.clone();
    held["lock"] = json!({
        "holder": "ann", "acquired_at": "2026-01-01T00:00:00Z", "expires_at": "2099-01-01T00:00:00Z",
    });
    let warmup = Watched {
        args: words("warmup status demo"),
        route: "/admin/v1/events/default.demo/warmup",
        answers: [free, held],
    };
    let page = warmup
        .has_every_format("default.demo\ndefault.demo\n")
        .await;
    let (before, after) = page.split_once("---\n").unwrap();
    assert!(before.contains("Lock     nobody"), "{page}");
    assert!(after.contains("Lock     ann since"), "{page}");
}

fn order(number: u8, state: &str) -> Value {
    json!({
        "id": format!("ord_{}{number:014x}", "0".repeat(32)), "event": "default.demo", "category": "vip",
        "buyer": "ann", "quantity": 1, "state": state, "amount": { "currency": "EUR", "amount_minor": 100 },
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z", "stock_shard_id": 7,
        "version": 1,
    })
}

#[tokio::test]
async fn a_watch_of_orders_shows_those_that_differ_and_those_that_are_new() {
    let orders = Watched {
        args: words("orders list demo"),
        route: "/admin/v1/events/default.demo/orders",
        answers: [
            json!({ "items": [order(1, "reserved"), order(2, "reserved")] }),
            json!({ "items": [order(1, "paid"), order(2, "reserved"), order(3, "reserved")] }),
        ],
    };
    let id = |number: u8| order(number, "paid")["id"].as_str().unwrap().to_owned();
    let names = [1, 2, 1, 3].map(|number| id(number) + "\n").concat();
    let table = orders.has_every_format(&names).await;
    let rows: Vec<Vec<&str>> = table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().take(2).collect())
        .collect();
    assert_eq!(
        rows,
        [
            [id(1).as_str(), "reserved"],
            [id(2).as_str(), "reserved"],
            [id(1).as_str(), "paid"],
            [id(3).as_str(), "reserved"],
        ]
    );
}

#[tokio::test]
async fn a_watch_of_an_order_shows_what_becomes_of_it() {
    let id = order(1, "paid")["id"].as_str().unwrap().to_owned();
    let route = format!("/admin/v1/orders/{id}");
    let watched = Watched {
        args: words(&format!("orders get {id}")),
        route: route.leak(),
        answers: [order(1, "reserved"), order(1, "paid")],
    };
    let page = watched.has_every_format(&format!("{id}\n{id}\n")).await;
    let (before, after) = page.split_once("---\n").unwrap();
    assert!(before.contains("State        reserved"), "{page}");
    assert!(after.contains("State        paid"), "{page}");
}

#[tokio::test]
async fn a_watch_ends_with_its_time() {
    let server = MockServer::start().await;
    let nothing = ResponseTemplate::new(200).set_body_json(json!({ "items": [] }));
    Mock::given(path("/admin/v1/lag"))
        .respond_with(nothing)
        .mount(&server)
        .await;
    let ran = ask(&server.uri(), &["lag", "-w", "--timeout", "300ms"]).await;
    assert_eq!(ran.exit, 5, "{ran:?}");
    assert!(ran.words.contains("not at its end after 300ms"), "{ran:?}");
}
