//! Whose tokens are taken: a shared secret, a set of keys, and a cluster's service accounts.

use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::SignedDuration;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};
use ticket_core::clock;
use ticket_testkit::{Tools, shared, unique};

use crate::sale::{JWT_SECRET, MANAGER, Sale, Terms, json, sign, token};

fn run(program: &Path, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{} {args:?}: {words}",
        program.display()
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A private key, and a file with the set of its public half.
fn key_set(dir: &Path, name: &str) -> (EncodingKey, Value) {
    let path = dir.join(format!("{name}.pem"));
    let openssl = Tools.openssl().unwrap();
    let curve = "ec_paramgen_curve:P-256";
    let args = ["genpkey", "-algorithm", "EC", "-pkeyopt", curve, "-out"];
    run(&openssl, &[&args[..], &[path.to_str().unwrap()]].concat());
    let pem = std::fs::read(&path).unwrap();
    let key = EncodingKey::from_ec_pem(&pem).unwrap();
    let mut jwk =
        serde_json::to_value(Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap()).unwrap();
    jwk["kid"] = json!(name);
    (key, jwk)
}

fn signed(key: &EncodingKey, name: &str, claims: &Value) -> String {
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some(name.to_owned());
    jsonwebtoken::encode(&header, claims, key).unwrap()
}

async fn dir() -> PathBuf {
    let dir = shared().await.dir().join(unique("keys"));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_set_and_a_secret_side_by_side_and_a_key_that_changes() {
    let dir = dir().await;
    let set = dir.join("set.json");
    let (old, old_jwk) = key_set(&dir, "old");
    std::fs::write(&set, json!({ "keys": [old_jwk] }).to_string()).unwrap();
    let sale = Sale::open(Terms {
        settings: vec![
            ("TICKET_BUYER_JWKS", Some(set.display().to_string())),
            ("TICKET_BUYER_JWT_AUDIENCE", Some("tickets".to_owned())),
            ("TICKET_BUYER_JWT_ISSUER", Some("https://issuer".to_owned())),
        ],
        ..Terms::default()
    })
    .await;
    let exp = (clock::now() + SignedDuration::from_hours(1)).as_second();
    let claims = json!({ "sub": "ann", "exp": exp, "aud": "tickets", "iss": "https://issuer" });
    let place = |token: String, key: &str| {
        let orders = format!("/v1/events/{}/orders", sale.name);
        let body = json!({ "category": "seat", "quantity": 1 });
        let place = sale.request(Method::POST, &orders).bearer_auth(token);
        place.header("Idempotency-Key", key).json(&body).send()
    };
    let first = json(place(signed(&old, "old", &claims), "k").await.unwrap(), 202).await;
    // The same buyer by the shared secret: the same order.
    let key = EncodingKey::from_secret(JWT_SECRET.as_bytes());
    let by_secret = jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap();
    let again = json(place(by_secret, "k").await.unwrap(), 202).await;
    assert_eq!(again["id"], first["id"]);

    // Neither without the audience, nor signed with what everybody can read.
    for wrong in [
        token("ann"),
        signed(
            &old,
            "old",
            &json!({ "sub": "ann", "exp": exp, "aud": "others", "iss": "https://issuer" }),
        ),
        sign(
            "ann",
            clock::now() + SignedDuration::from_hours(1),
            &std::fs::read_to_string(&set).unwrap(),
        ),
    ] {
        let refused = place(wrong, "k").await.unwrap();
        assert_eq!(json(refused, 401).await["code"], "unauthenticated");
    }

    let (new, new_jwk) = key_set(&dir, "new");
    std::fs::write(&set, json!({ "keys": [new_jwk] }).to_string()).unwrap();
    sale.until("the new key is found", async || {
        place(signed(&new, "new", &claims), "k2")
            .await
            .unwrap()
            .status()
            == 202
    })
    .await;
    let withdrawn = place(signed(&old, "old", &claims), "k").await.unwrap();
    assert_eq!(json(withdrawn, 401).await["code"], "unauthenticated");
    std::fs::remove_dir_all(dir).unwrap();
}

/// The cluster of the tests, as its administrator.
struct Cluster {
    kubectl: PathBuf,
    kubeconfig: String,
    dir: PathBuf,
}

impl Cluster {
    async fn new() -> Self {
        let kubeconfig = shared().await.kubeconfig();
        Self {
            kubectl: Tools.kubectl().unwrap(),
            kubeconfig: kubeconfig.display().to_string(),
            dir: dir().await,
        }
    }

    fn kubectl(&self, args: &[&str]) -> String {
        let config = ["--kubeconfig", &self.kubeconfig];
        run(&self.kubectl, &[&config, args].concat())
    }

    fn config(&self, path: &str) -> String {
        let path = format!("jsonpath={{{path}}}");
        self.kubectl(&["config", "view", "--raw", "-o", &path])
    }

    fn file(&self, name: &str, text: &[u8]) -> String {
        let path = self.dir.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Tokens of its service accounts are taken; `boss` of the namespace is a manager, everybody else there a viewer.
    fn settings(&self, namespace: &str) -> Vec<(&'static str, Option<String>)> {
        use base64::Engine as _;
        let authority = self.config(".clusters[0].cluster.certificate-authority-data");
        let authority = base64::engine::general_purpose::STANDARD.decode(authority);
        let server = self.config(".clusters[0].cluster.server");
        let token = self.config(".users[0].user.token");
        vec![
            (
                "TICKET_ADMIN_JWKS",
                Some(format!("{server}/openid/v1/jwks")),
            ),
            (
                "TICKET_ADMIN_JWKS_CA_FILE",
                Some(self.file("ca.pem", &authority.unwrap())),
            ),
            (
                "TICKET_ADMIN_JWKS_TOKEN_FILE",
                Some(self.file("token", token.as_bytes())),
            ),
            (
                "TICKET_ADMIN_MANAGERS",
                Some(format!("system:serviceaccount:{namespace}:boss")),
            ),
            (
                "TICKET_ADMIN_VIEWERS",
                Some(format!("system:serviceaccounts:{namespace}")),
            ),
        ]
    }

    /// A new service account's token for `audience`.
    fn account(&self, namespace: &str, name: &str, audience: &str) -> String {
        self.kubectl(&["-n", namespace, "create", "serviceaccount", name]);
        let audience = format!("--audience={audience}");
        let token = self.kubectl(&["-n", namespace, "create", "token", name, &audience]);
        token.trim().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_has_the_role_that_the_settings_give_it() {
    let (servers, cluster) = (shared().await, Cluster::new().await);
    let namespace = servers.new_namespace().await.unwrap();
    let elsewhere = servers.new_namespace().await.unwrap();
    let sale = Sale::open(Terms {
        settings: cluster.settings(&namespace),
        ..Terms::default()
    })
    .await;
    let boss = cluster.account(&namespace, "boss", "ticket-admin");
    let clerk = cluster.account(&namespace, "clerk", "ticket-admin");
    let stranger = cluster.account(&elsewhere, "boss", "ticket-admin");
    let other_audience = cluster.account(&namespace, "other", "something-else");

    let order = sale.awaiting("ann", "k", 1).await;
    let cancel = format!("/orders/{}/cancel", order["id"].as_str().unwrap());
    let role = |token: String| {
        let ask = sale.ask(Method::GET, "/dependencies", &token);
        async move { json(ask.send().await.unwrap(), 200).await["role"].clone() }
    };
    assert_eq!(role(boss.clone()).await, "manager");
    assert_eq!(role(clerk.clone()).await, "viewer");
    assert_eq!(role(MANAGER.to_owned()).await, "manager");
    let refused = |token: String, status| {
        let ask = sale.ask(Method::POST, &cancel, &token);
        async move { json(ask.send().await.unwrap(), status).await }
    };
    let problem = refused(clerk, 403).await;
    assert_eq!(problem["code"], "forbidden");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("role manager") && detail.contains(":clerk"),
        "{detail}"
    );
    let problem = refused(stranger, 403).await;
    assert!(
        problem["detail"].as_str().unwrap().contains("role none"),
        "{problem}"
    );
    refused(other_audience, 401).await;
    refused(token("ann"), 401).await;
    let granted = sale.ask(Method::POST, &cancel, &boss).send().await.unwrap();
    assert_eq!(granted.status(), 202);

    // Who, what, from where, with which result.
    let log = sale.log();
    let line = |who: &str, status: &str| {
        log.lines().any(|line| {
            ["manager call", who, "POST", &cancel, "127.0.0.1", status]
                .iter()
                .all(|word| line.contains(word))
        })
    };
    assert!(
        line(&format!("system:serviceaccount:{namespace}:boss"), "202"),
        "{log}"
    );
    assert!(
        line(&format!("system:serviceaccount:{namespace}:clerk"), "403"),
        "{log}"
    );
    std::fs::remove_dir_all(cluster.dir).unwrap();
}
