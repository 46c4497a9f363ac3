//! Orders as buyers send them: distinct buyers, whose tokens were signed beforehand, and a new `Idempotency-Key` each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{Method, Uri};
use serde_json::json;
use ticket_core::{CategoryName, EventName};
use uuid::Uuid;

use super::{Request, Script, Target};
use crate::crowd::token::Tokens;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Headers of an order; room for them is made at once.
const HEADERS: usize = 5;

/// Buyers with their signed tokens. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Buyers {
    authorizations: Arc<[HeaderValue]>,
}

impl Buyers {
    /// Signs a token for each of `count` buyers with `secret`; a token takes a few microseconds.
    pub async fn sign(secret: &str, count: u32) -> anyhow::Result<Self> {
        anyhow::ensure!(count > 0, "somebody must buy");
        let tokens = Tokens::new(secret);
        let sign = move |number: u32| -> anyhow::Result<HeaderValue> {
            let token = tokens.valid(&format!("buyer-{number:08}"))?;
            let mut value =
                HeaderValue::try_from(format!("Bearer {token}")).context("a token is no header")?;
            value.set_sensitive(true);
            Ok(value)
        };
        let all = move || (0..count).map(sign).collect::<anyhow::Result<_>>();
        let authorizations = tokio::task::spawn_blocking(all)
            .await
            .context("signing tokens was ended")??;
        Ok(Self { authorizations })
    }
}

/// `POST /v1/events/{event}/orders`, one ticket each, the buyers in turn.
#[derive(Debug)]
pub struct Orders {
    uri: Uri,
    host: HeaderValue,
    body: Bytes,
    buyers: Buyers,
    /// Before every key: two loads never repeat each other's orders.
    load: Uuid,
    next: AtomicU64,
}

impl Orders {
    /// Orders for `category` of `event`.
    pub fn new(
        target: &Target,
        event: &EventName,
        category: &CategoryName,
        buyers: &Buyers,
    ) -> anyhow::Result<Self> {
        let uri = format!("/v1/events/{event}/orders");
        let body = json!({ "category": category.as_str(), "quantity": 1 });
        Ok(Self {
            uri: uri.parse().context("an event's name is no path")?,
            host: target.host().clone(),
            body: body.to_string().into(),
            buyers: buyers.clone(),
            load: Uuid::new_v4(),
            next: AtomicU64::new(0),
        })
    }

    fn key(&self, number: u64) -> HeaderValue {
        let key = format!("{}-{number}", self.load.simple());
        HeaderValue::try_from(key).unwrap_or_else(|_| HeaderValue::from(number))
    }
}

impl Script for Orders {
    fn request(&self) -> Request {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let buyers = &self.buyers.authorizations;
        let buyer = usize::try_from(number).unwrap_or_default() % buyers.len();
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.reserve(HEADERS);
        headers.insert(HOST, self.host.clone());
        headers.insert(AUTHORIZATION, buyers[buyer].clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(IDEMPOTENCY_KEY, self.key(number));
        request
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[tokio::test]
    async fn every_order_has_a_key_of_its_own_and_the_buyers_take_turns() {
        let target = Target::new("127.0.0.1:80".parse().unwrap()).unwrap();
        let buyers = Buyers::sign("0123456789abcdef0123456789abcdef", 3)
            .await
            .unwrap();
        let (event, category) = (
            EventName::new("bench", "e").unwrap(),
            CategoryName::new("vip").unwrap(),
        );
        let orders = Orders::new(&target, &event, &category, &buyers).unwrap();
        let others = Orders::new(&target, &event, &category, &buyers).unwrap();
        let requests: Vec<_> = (0..6)
            .map(|_| orders.request())
            .chain((0..6).map(|_| others.request()))
            .collect();
        let distinct = |name: HeaderName| {
            let values = requests.iter().map(|request| &request.headers()[&name]);
            values.collect::<HashSet<_>>().len()
        };
        assert_eq!(distinct(IDEMPOTENCY_KEY), 12);
        assert_eq!(distinct(AUTHORIZATION), 3);
        assert_eq!(requests[0].uri(), "/v1/events/bench.e/orders");
        assert_eq!(requests[0].headers()[HOST], "127.0.0.1:80");
    }
}
