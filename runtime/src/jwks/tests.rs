//! An issuer with real keys, served from a port of the test: what is believed, for how long, and what never is.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;

/// A private key and its public half as a JWK.
struct Pair {
    name: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
    public_pem: String,
    jwk: Value,
}

fn openssl(args: &[&str], input: &str) -> String {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut child = Command::new("openssl")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {args:?}");
    String::from_utf8(output.stdout).unwrap()
}

impl Pair {
    fn new(name: &'static str, algorithm: Algorithm) -> Self {
        let kind: &[&str] = if algorithm == Algorithm::RS256 {
            &[
                "genpkey",
                "-algorithm",
                "RSA",
                "-pkeyopt",
                "rsa_keygen_bits:2048",
            ]
        } else {
            &[
                "genpkey",
                "-algorithm",
                "EC",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ]
        };
        let private = openssl(kind, "");
        let public_pem = openssl(&["pkey", "-pubout"], &private);
        let key = if algorithm == Algorithm::RS256 {
            EncodingKey::from_rsa_pem(private.as_bytes()).unwrap()
        } else {
            EncodingKey::from_ec_pem(private.as_bytes()).unwrap()
        };
        let mut jwk =
            serde_json::to_value(Jwk::from_encoding_key(&key, algorithm).unwrap()).unwrap();
        jwk["kid"] = json!(name);
        jwk["use"] = json!("sig");
        Self {
            name,
            algorithm,
            key,
            public_pem,
            jwk,
        }
    }

    fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.name.to_owned());
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

/// Serves a set of keys that can be changed, and counts how often it is asked.
#[derive(Default)]
struct Issuer {
    keys: Mutex<Option<Vec<Value>>>,
    asked: AtomicUsize,
}

impl Issuer {
    fn has(&self, keys: &[&Pair]) {
        let keys = keys.iter().map(|pair| pair.jwk.clone()).collect();
        *self.keys.lock().unwrap() = Some(keys);
    }

    fn is_down(&self) {
        *self.keys.lock().unwrap() = None;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn issuer() -> (Arc<Issuer>, String) {
    async fn keys(State(issuer): State<Arc<Issuer>>) -> axum::response::Response {
        issuer.asked.fetch_add(1, Ordering::Relaxed);
        match &*issuer.keys.lock().unwrap() {
            Some(keys) => axum::Json(json!({ "keys": keys })).into_response(),
            None => StatusCode::BAD_GATEWAY.into_response(),
        }
    }
    let issuer = Arc::<Issuer>::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let router = Router::new()
        .route("/keys", get(keys))
        .with_state(issuer.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (issuer, url)
}

fn ages(again_ms: u64, trusted_ms: u64) -> Ages {
    Ages {
        refresh: Duration::from_hours(1),
        again: Duration::from_millis(again_ms),
        trusted: Duration::from_millis(trusted_ms),
    }
}

const LONG_MS: u64 = 3_600_000;

fn verifier(location: String, ages: Ages) -> Verifier {
    drop(rustls::crypto::ring::default_provider().install_default());
    let keys = KeySet::new(KeySource::at(location), ages).unwrap();
    Verifier::new(keys, Some("https://issuer"), Some("tickets"))
}

fn in_seconds(seconds: i64) -> i64 {
    ticket_core::clock::now().as_second() + seconds
}

fn claims() -> Value {
    json!({ "sub": "ann", "exp": in_seconds(60), "iss": "https://issuer", "aud": ["tickets", "others"] })
}

async fn subject(verifier: &Verifier, token: &str) -> Result<String, TokenFault> {
    let claims: Result<Value, _> = verifier.claims(token).await;
    claims.map(|claims| claims["sub"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn both_algorithms_are_taken_and_every_claim_is_checked() {
    let (rsa, ec) = (
        Pair::new("r", Algorithm::RS256),
        Pair::new("e", Algorithm::ES256),
    );
    let (issuer, url) = issuer().await;
    issuer.has(&[&rsa, &ec]);
    let verifier = verifier(url, ages(0, LONG_MS));
    for pair in [&rsa, &ec] {
        assert_eq!(
            subject(&verifier, &pair.sign(&claims())).await,
            Ok("ann".to_owned())
        );
        // Within the clock skew, and beyond it.
        let with = |name: &str, value: Value| {
            let mut claims = claims();
            claims[name] = value;
            pair.sign(&claims)
        };
        assert!(
            subject(&verifier, &with("exp", json!(in_seconds(-2))))
                .await
                .is_ok()
        );
        for wrong in [
            with("exp", json!(in_seconds(-8))),
            with("exp", Value::Null),
            with("nbf", json!(in_seconds(8))),
            with("iss", json!("https://another")),
            with("aud", json!("another")),
            with("aud", Value::Null),
        ] {
            let refused = subject(&verifier, &wrong).await;
            assert!(
                matches!(refused, Err(TokenFault::Invalid(_))),
                "{refused:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_public_key_is_never_a_secret_and_a_secret_never_a_key() {
    let (rsa, ec) = (
        Pair::new("r", Algorithm::RS256),
        Pair::new("e", Algorithm::ES256),
    );
    let (issuer, url) = issuer().await;
    issuer.has(&[&rsa, &ec]);
    // A shared secret in a public set would let everybody sign.
    let shared =
        json!({ "kty": "oct", "kid": "s", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA" });
    if let Some(keys) = issuer.keys.lock().unwrap().as_mut() {
        keys.push(shared);
    }
    let verifier = verifier(url, ages(0, LONG_MS));
    assert!(subject(&verifier, &rsa.sign(&claims())).await.is_ok());
    for (name, secret) in [
        ("r", rsa.public_pem.as_bytes()),
        ("e", ec.public_pem.as_bytes()),
        ("s", b"secret-secret-secret-secret-secret".as_slice()),
    ] {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(name.to_owned());
        let key = EncodingKey::from_secret(secret);
        let forged = jsonwebtoken::encode(&header, &claims(), &key).unwrap();
        let refused = subject(&verifier, &forged).await;
        assert_eq!(refused, Err(TokenFault::Invalid("expected RS256 or ES256")));
    }
    // Another one's key under a known name, and an algorithm that the named key is not for.
    let other = Pair::new("r", Algorithm::RS256);
    let refused = subject(&verifier, &other.sign(&claims())).await;
    assert_eq!(refused, Err(TokenFault::Invalid("the signature is wrong")));
    let crossed = Pair {
        name: "r",
        ..Pair::new("x", Algorithm::ES256)
    };
    assert!(subject(&verifier, &crossed.sign(&claims())).await.is_err());
}

#[tokio::test]
async fn a_new_key_is_found_at_once_and_strangers_cannot_make_us_ask_often() {
    let (old, new) = (
        Pair::new("old", Algorithm::ES256),
        Pair::new("new", Algorithm::ES256),
    );
    let (issuer, url) = issuer().await;
    issuer.has(&[&old]);
    let patient = verifier(url.clone(), ages(LONG_MS, LONG_MS));
    assert!(subject(&patient, &old.sign(&claims())).await.is_ok());
    assert_eq!(issuer.asked(), 1);
    for _ in 0..20 {
        let refused = subject(&patient, &new.sign(&claims())).await;
        assert_eq!(refused, Err(TokenFault::Invalid("its key is not known")));
    }
    assert_eq!(issuer.asked(), 1, "asked again too soon");

    let quick = verifier(url, ages(0, LONG_MS));
    assert!(subject(&quick, &old.sign(&claims())).await.is_ok());
    issuer.has(&[&new]);
    assert!(subject(&quick, &new.sign(&claims())).await.is_ok());
    // The old key was withdrawn.
    assert!(subject(&quick, &old.sign(&claims())).await.is_err());
}

#[tokio::test]
async fn known_keys_outlive_their_issuer_for_a_while_only() {
    let pair = Pair::new("k", Algorithm::ES256);
    let (issuer, url) = issuer().await;
    let no_keys = verifier(url.clone(), ages(0, LONG_MS));
    let refused = subject(&no_keys, &pair.sign(&claims())).await;
    assert_eq!(refused, Err(TokenFault::NoKeys), "nothing was ever read");

    issuer.has(&[&pair]);
    let (trusting, wary) = (
        verifier(url.clone(), ages(0, LONG_MS)),
        verifier(url, ages(0, 1)),
    );
    for verifier in [&trusting, &wary] {
        // The reading itself takes longer than the wary one trusts, now and then.
        drop(subject(verifier, &pair.sign(&claims())).await);
    }
    issuer.is_down();
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(subject(&trusting, &pair.sign(&claims())).await.is_ok());
    let refused = subject(&wary, &pair.sign(&claims())).await;
    assert_eq!(refused, Err(TokenFault::NoKeys));
}

#[test]
fn only_a_set_of_keys_is_one() {
    let keys = |text: &str| keys_in(text.as_bytes(), "here").map(|keys| keys.len());
    let unusable = json!({ "keys": [
        { "kty": "EC", "crv": "P-384", "x": "AA", "y": "AA" },
        { "kty": "RSA", "n": "AQAB", "e": "AQAB" },
        { "kty": "from the future" },
        7,
    ] });
    assert_eq!(keys(&unusable.to_string()).unwrap(), 0);
    let many = json!({ "keys": vec![0; KEYS_MAX + 1] }).to_string();
    let large = format!("{{\"keys\":[{}1]}}", "1,".repeat(SET_BYTES_MAX / 2));
    for wrong in ["", "[]", "{}", "<html>", &many, &large] {
        assert!(keys(wrong).is_err(), "{wrong:.20}");
    }
}
