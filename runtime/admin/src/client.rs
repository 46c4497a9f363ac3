//! A client of the admin API. It asks once and says what happened: whether to ask again is the caller's to decide.

use std::fmt;
use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::{Client, Method, RequestBuilder, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use ticket_core::Code;
use tokio::time::timeout;

use crate::sse::Parser;
use crate::{
    AuditReport, DependenciesView, EventView, LagEntry, List, LockRequest, OrderView, Problem,
    ShardsView, StockView, UnlockRequest, WarmupView, stock,
};

/// Longest wait for a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest wait for a whole answer. An audit reads all orders of an event, hence not less.
pub const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// Longest silence on a stream: snapshots come each second.
pub const STREAM_SILENCE_MAX: Duration = Duration::from_secs(10);

/// Longest part of an answer that an error repeats, characters.
const EXCERPT_CHARS: usize = 200;

/// Where the admin API is and how to get in.
#[derive(Debug, Clone)]
pub struct AdminConfig {
    /// `http://127.0.0.1:8081`, without `/admin/v1`.
    pub url: String,
    /// Bearer token.
    pub token: SecretString,
    /// See [`CONNECT_TIMEOUT`].
    pub connect_timeout: Duration,
    /// See [`REQUEST_TIMEOUT`].
    pub request_timeout: Duration,
}

impl AdminConfig {
    /// With the usual timeouts.
    #[must_use]
    pub fn new(url: impl Into<String>, token: SecretString) -> Self {
        Self {
            url: url.into(),
            token,
            connect_timeout: CONNECT_TIMEOUT,
            request_timeout: REQUEST_TIMEOUT,
        }
    }
}

/// Why an answer is missing.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address is none.
    #[error("{url:?} is not the address of an admin API")]
    Address {
        /// As given.
        url: String,
    },
    /// The HTTP client could not be made.
    #[error("could not make an HTTP client")]
    Client {
        /// Why.
        #[source]
        cause: reqwest::Error,
    },
    /// Nobody answers at the address.
    #[error("could not reach the admin API at {url}")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        #[source]
        cause: reqwest::Error,
    },
    /// Somebody is there, but the answer did not come in time or broke off.
    #[error("the admin API at {url} did not finish its answer")]
    Broken {
        /// Where.
        url: String,
        /// Why.
        #[source]
        cause: reqwest::Error,
    },
    /// A stream went silent.
    #[error("the stream of the admin API was silent for {silence:?}")]
    Silent {
        /// How long.
        silence: Duration,
    },
    /// The admin API said no.
    #[error("{problem}")]
    Problem {
        /// What it said.
        problem: Box<Problem>,
    },
    /// Something answered that is not the admin API, or speaks another version.
    #[error("the answer of {url} ({status}) is not the admin API's: {excerpt:?}")]
    Foreign {
        /// Where.
        url: String,
        /// HTTP status.
        status: u16,
        /// The beginning of the answer.
        excerpt: String,
    },
}

impl AdminError {
    /// Stable, `kebab-case`; of a problem its own code.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Address { .. } => Code::AdminAddressInvalid.as_str(),
            Self::Client { .. } => Code::AdminClientFailed.as_str(),
            Self::Unreachable { .. } => Code::AdminUnreachable.as_str(),
            Self::Broken { .. } | Self::Silent { .. } => Code::AdminAnswerBroken.as_str(),
            Self::Problem { problem } => &problem.code,
            Self::Foreign { .. } => Code::AdminAnswerForeign.as_str(),
        }
    }

    /// The same again may work: nobody answered, or the platform said that it is busy.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } | Self::Silent { .. } => true,
            Self::Problem { problem } => matches!(problem.status, 429 | 503),
            Self::Address { .. } | Self::Client { .. } | Self::Foreign { .. } => false,
        }
    }

    /// HTTP status of a problem.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Problem { problem } => Some(problem.status),
            Self::Address { .. }
            | Self::Client { .. }
            | Self::Unreachable { .. }
            | Self::Broken { .. }
            | Self::Silent { .. }
            | Self::Foreign { .. } => None,
        }
    }
}

/// Which orders to list.
#[derive(Debug, Clone, Default)]
pub struct OrdersQuery {
    /// Only these.
    pub state: Option<String>,
    /// Only this buyer's.
    pub buyer: Option<String>,
    /// At most so many.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Talks to the admin API. Cheap to clone.
#[derive(Clone)]
pub struct AdminClient {
    http: Client,
    base: Url,
    token: SecretString,
    request_timeout: Duration,
}

impl fmt::Debug for AdminClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminClient")
            .field("base", &self.base.as_str())
            .finish_non_exhaustive()
    }
}

impl AdminClient {
    /// Asks nobody yet. The process must have installed a rustls crypto provider.
    pub fn new(config: &AdminConfig) -> Result<Self, AdminError> {
        let wrong = || AdminError::Address {
            url: config.url.clone(),
        };
        let mut base: Url = config.url.parse().map_err(|_| wrong())?;
        if base.cannot_be_a_base() || !matches!(base.scheme(), "http" | "https") {
            return Err(wrong());
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let http = Client::builder()
            .connect_timeout(config.connect_timeout)
            .build()
            .map_err(|cause| AdminError::Client { cause })?;
        let token = config.token.clone();
        Ok(Self {
            http,
            base,
            token,
            request_timeout: config.request_timeout,
        })
    }

    /// Where it asks.
    #[must_use]
    pub fn url(&self) -> &str {
        self.base.as_str()
    }

    /// All events that the runtime knows.
    pub async fn events(&self) -> Result<List<EventView>, AdminError> {
        self.get(&["events"]).await
    }

    /// One event, `<namespace>.<name>`.
    pub async fn event(&self, event: &str) -> Result<EventView, AdminError> {
        self.get(&["events", event]).await
    }

    /// Where every unit is.
    pub async fn stock(&self, event: &str) -> Result<StockView, AdminError> {
        self.get(&["events", event, "stock"]).await
    }

    /// Where every unit is, again and again.
    pub async fn watch_stock(&self, event: &str) -> Result<StockStream, AdminError> {
        let request = self
            .request(Method::GET, &["events", event, "stock"])
            .header(ACCEPT, "text/event-stream");
        let Ok(sent) = timeout(self.request_timeout, request.send()).await else {
            return Err(AdminError::Silent {
                silence: self.request_timeout,
            });
        };
        let response = self.refuse_problem(self.accept(sent)?).await?;
        Ok(StockStream {
            url: self.base.to_string(),
            response,
            parser: Parser::default(),
        })
    }

    /// Nodes and Citus shards.
    pub async fn shards(&self) -> Result<ShardsView, AdminError> {
        self.get(&["shards"]).await
    }

    /// How far each consumer is behind.
    pub async fn lag(&self) -> Result<List<LagEntry>, AdminError> {
        self.get(&["lag"]).await
    }

    /// What the runtime needs, and the role of the token.
    pub async fn dependencies(&self) -> Result<DependenciesView, AdminError> {
        self.get(&["dependencies"]).await
    }

    /// Warm-up of an event.
    pub async fn warmup(&self, event: &str) -> Result<WarmupView, AdminError> {
        self.get(&["events", event, "warmup"]).await
    }

    /// Warms an event up, and answers when that is done.
    pub async fn run_warmup(
        &self,
        event: &str,
        wish: &LockRequest,
    ) -> Result<WarmupView, AdminError> {
        let request = self.request(Method::POST, &["events", event, "warmup", "run"]);
        self.answer(request.json(wish)).await
    }

    /// Holds the sale until it is unlocked.
    pub async fn lock_warmup(
        &self,
        event: &str,
        wish: &LockRequest,
    ) -> Result<WarmupView, AdminError> {
        let request = self.request(Method::POST, &["events", event, "warmup", "lock"]);
        self.answer(request.json(wish)).await
    }

    /// Gives the lock back, or breaks it.
    pub async fn unlock_warmup(
        &self,
        event: &str,
        wish: &UnlockRequest,
    ) -> Result<WarmupView, AdminError> {
        let request = self.request(Method::POST, &["events", event, "warmup", "unlock"]);
        self.answer(request.json(wish)).await
    }

    /// A page of an event's orders.
    pub async fn orders(
        &self,
        event: &str,
        query: &OrdersQuery,
    ) -> Result<List<OrderView>, AdminError> {
        let limit = query.limit.map(|limit| limit.to_string());
        let parameters: Vec<(&str, &str)> = [
            ("state", query.state.as_deref()),
            ("buyer", query.buyer.as_deref()),
            ("limit", limit.as_deref()),
            ("cursor", query.cursor.as_deref()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
        let request = self
            .request(Method::GET, &["events", event, "orders"])
            .query(&parameters);
        self.answer(request).await
    }

    /// One order with its history.
    pub async fn order(&self, id: &str) -> Result<OrderView, AdminError> {
        self.get(&["orders", id]).await
    }

    /// Cancels an order that is not paid; answers with the order as it was.
    pub async fn cancel_order(&self, id: &str) -> Result<OrderView, AdminError> {
        self.answer(self.request(Method::POST, &["orders", id, "cancel"]))
            .await
    }

    /// Refunds a paid order; answers with the order as it was.
    pub async fn refund_order(&self, id: &str) -> Result<OrderView, AdminError> {
        self.answer(self.request(Method::POST, &["orders", id, "refund"]))
            .await
    }

    /// Does everything add up?
    pub async fn audit(&self, event: &str) -> Result<AuditReport, AdminError> {
        self.answer(self.request(Method::POST, &["events", event, "audit"]))
            .await
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, AdminError> {
        self.answer(self.request(Method::GET, path)).await
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        // Refused only for addresses that `new` does not let in; segments are escaped here.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["admin", "v1"]).extend(path);
        }
        self.http
            .request(method, url)
            .bearer_auth(self.token.expose_secret())
    }

    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, AdminError> {
        let sent = request.timeout(self.request_timeout).send().await;
        let response = self.refuse_problem(self.accept(sent)?).await?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|cause| self.broken(cause))?;
        serde_json::from_slice(&body).map_err(|_| self.foreign(status, &body))
    }

    fn accept(&self, sent: reqwest::Result<Response>) -> Result<Response, AdminError> {
        sent.map_err(|cause| {
            if cause.is_connect() {
                AdminError::Unreachable {
                    url: self.base.to_string(),
                    cause,
                }
            } else {
                self.broken(cause)
            }
        })
    }

    async fn refuse_problem(&self, response: Response) -> Result<Response, AdminError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.map_err(|cause| self.broken(cause))?;
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Err(AdminError::Problem {
                problem: Box::new(problem),
            }),
            Err(_) => Err(self.foreign(status.as_u16(), &body)),
        }
    }

    fn broken(&self, cause: reqwest::Error) -> AdminError {
        AdminError::Broken {
            url: self.base.to_string(),
            cause,
        }
    }

    fn foreign(&self, status: u16, body: &[u8]) -> AdminError {
        let excerpt = String::from_utf8_lossy(body)
            .chars()
            .take(EXCERPT_CHARS)
            .collect();
        AdminError::Foreign {
            url: self.base.to_string(),
            status,
            excerpt,
        }
    }
}

/// Snapshots of an event's stock as they come.
#[derive(Debug)]
pub struct StockStream {
    url: String,
    response: Response,
    parser: Parser,
}

impl StockStream {
    /// The next snapshot; `None` when the server ended the stream.
    pub async fn next(&mut self) -> Result<Option<StockView>, AdminError> {
        loop {
            while let Some(event) = self.parser.next() {
                if event.name == stock::STREAM_EVENT {
                    let view = serde_json::from_str(&event.data);
                    return view.map(Some).map_err(|_| self.foreign(&event.data));
                }
            }
            let Ok(chunk) = timeout(STREAM_SILENCE_MAX, self.response.chunk()).await else {
                return Err(AdminError::Silent {
                    silence: STREAM_SILENCE_MAX,
                });
            };
            let chunk = chunk.map_err(|cause| AdminError::Broken {
                url: self.url.clone(),
                cause,
            })?;
            let Some(bytes) = chunk else { return Ok(None) };
            if !self.parser.push(&bytes) {
                return Err(self.foreign("an event without end"));
            }
        }
    }

    fn foreign(&self, text: &str) -> AdminError {
        AdminError::Foreign {
            url: self.url.clone(),
            status: self.response.status().as_u16(),
            excerpt: text.chars().take(EXCERPT_CHARS).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wiremock::matchers::{header, method, path, query_param};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    fn client(url: &str) -> AdminClient {
        // Only the first test of the process installs it; the others find it installed.
        drop(rustls::crypto::ring::default_provider().install_default());
        AdminClient::new(&AdminConfig::new(url, SecretString::from("t0ken"))).unwrap()
    }

    #[tokio::test]
    async fn a_call_carries_the_token_and_only_the_parameters_that_are_set() {
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .and(path("/admin/v1/events/default.demo/orders"))
            .and(header("authorization", "Bearer t0ken"))
            .and(query_param("state", "paid"))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({"items": []})))
            .expect(1)
            .mount(&server)
            .await;
        let query = OrdersQuery {
            state: Some("paid".to_owned()),
            ..OrdersQuery::default()
        };
        let page = client(&server.uri())
            .orders("default.demo", &query)
            .await
            .unwrap();
        assert_eq!(page, List::whole(Vec::new()));
        let asked = server.received_requests().await.unwrap();
        assert_eq!(asked[0].url.query(), Some("state=paid"));
    }

    #[tokio::test]
    async fn a_problem_is_told_apart_from_a_stranger_and_from_nobody() {
        let server = MockServer::start().await;
        let problem = json!({
            "type": "https://ticketctl.io/problems/not-found", "title": "There is no such thing.",
            "status": 404, "detail": "event default.gone is not known", "code": "not-found",
        });
        Mock::given(path("/admin/v1/events/default.gone"))
            .respond_with(ResponseTemplate::new(404).set_body_json(problem))
            .mount(&server)
            .await;
        let here = client(&server.uri());
        let error = here.event("default.gone").await.unwrap_err();
        assert_eq!((error.code(), error.status()), ("not-found", Some(404)));
        assert_eq!(
            error.to_string(),
            "event default.gone is not known (not-found)"
        );

        // wiremock answers everything else with an empty 404.
        let error = here.shards().await.unwrap_err();
        assert_eq!(
            (error.code(), error.is_passing()),
            ("admin-answer-foreign", false)
        );

        let closed = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let error = client(&format!("http://{closed}"))
            .shards()
            .await
            .unwrap_err();
        assert_eq!(
            (error.code(), error.is_passing()),
            ("admin-unreachable", true)
        );
    }

    #[tokio::test]
    async fn a_stream_gives_snapshots_until_it_ends() {
        let server = MockServer::start().await;
        let snapshot = json!({
            "event": "default.demo", "epoch": 1, "as_of": "2026-01-01T00:00:00Z", "categories": [],
        });
        let body = format!(": hello\n\nevent: stock\ndata: {snapshot}\n\n");
        Mock::given(path("/admin/v1/events/default.demo/stock"))
            .and(header("accept", "text/event-stream"))
            .respond_with(ResponseTemplate::new(200).set_body_raw(body, "text/event-stream"))
            .mount(&server)
            .await;
        let mut stream = client(&server.uri())
            .watch_stock("default.demo")
            .await
            .unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap().event, "default.demo");
        assert!(stream.next().await.unwrap().is_none());
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        for url in [
            "",
            "localhost:80",
            "mailto:me@example.com",
            "ftp://example.com",
        ] {
            let config = AdminConfig::new(url, SecretString::from(""));
            assert!(
                matches!(AdminClient::new(&config), Err(AdminError::Address { .. })),
                "{url}"
            );
        }
    }
}
