//! A provider that fails: passes requests on to the sandbox and spoils what it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, Uri};
use futures::stream;

/// What is spoiled.
#[derive(Debug, Clone, Default)]
pub(crate) struct Between(Arc<Spoiled>);

#[derive(Debug, Default)]
struct Spoiled {
    /// So many answers to changes are cut off after the sandbox has done them.
    swallow: AtomicU32,
    swallowed: AtomicU32,
    /// Payments of `amount=` this are never answered, nor made, while `is_hanging`.
    hang_amount: Option<String>,
    is_hanging: AtomicBool,
}

#[derive(Clone)]
struct Passage {
    sandbox: String,
    spoiled: Arc<Spoiled>,
    http: reqwest::Client,
}

impl Between {
    /// Cuts off the next `answers`.
    pub(crate) fn swallowing(answers: u32) -> Self {
        Self(Arc::new(Spoiled {
            swallow: AtomicU32::new(answers),
            ..Spoiled::default()
        }))
    }

    /// Never answers to payments of `amount_minor`.
    pub(crate) fn hanging(amount_minor: i64) -> Self {
        Self(Arc::new(Spoiled {
            hang_amount: Some(format!("amount={amount_minor}&")),
            is_hanging: AtomicBool::new(true),
            ..Spoiled::default()
        }))
    }

    /// Answers from now on.
    pub(crate) fn release(&self) {
        self.0.is_hanging.store(false, Ordering::SeqCst);
    }

    /// Answers that were cut off so far.
    pub(crate) fn swallowed(&self) -> u32 {
        self.0.swallowed.load(Ordering::SeqCst)
    }

    /// Serves until the test's runtime ends; answers with the address.
    pub(crate) async fn serve(&self, sandbox: &str) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let passage = Passage {
            sandbox: sandbox.to_owned(),
            spoiled: Arc::clone(&self.0),
            http: reqwest::Client::new(),
        };
        let router = Router::new().fallback(pass).with_state(passage);
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }
}

async fn pass(
    State(passage): State<Passage>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let spoiled = &passage.spoiled;
    let text = String::from_utf8_lossy(&body);
    let hangs = spoiled
        .hang_amount
        .as_ref()
        .is_some_and(|amount| text.contains(amount.as_str()));
    if hangs && spoiled.is_hanging.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    let is_change = method == Method::POST;
    let url = format!("{}{uri}", passage.sandbox);
    let mut request = passage.http.request(method, url).body(body);
    for name in ["content-type", "idempotency-key"] {
        if let Some(value) = headers.get(name) {
            request = request.header(name, value);
        }
    }
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let bytes = answer.bytes().await.unwrap();
    let less = |left: u32| left.checked_sub(1);
    let is_swallowed = is_change
        && spoiled
            .swallow
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
            .is_ok();
    let body = if is_swallowed {
        spoiled.swallowed.fetch_add(1, Ordering::SeqCst);
        Body::from_stream(stream::iter([
            Ok(bytes.slice(..1)),
            Err(std::io::Error::other("cut off")),
        ]))
    } else {
        Body::from(bytes)
    };
    Response::builder().status(status).body(body).unwrap()
}
