//! Errors as RFC 9457 problem documents with stable codes. Handlers return a [`Problem`]; [`written`] is the only place
//! that writes one, so that every error of both APIs, also of the routers themselves, looks the same.

use std::panic::AssertUnwindSafe;

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use serde::Serialize;
use ticket_core::Code;
use utoipa::ToSchema;

/// The request header with the caller's trace (W3C Trace Context).
pub(crate) const TRACE: &str = "traceparent";

/// What a caller waits before the next try when nothing better is known, seconds.
const RETRY_AFTER_S: u32 = 1;

/// An answer that is not what the caller hoped for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The stable code; it decides the status.
    pub code: Code,
    /// What is wrong with this very request. Nothing of our insides.
    pub detail: String,
    /// For 429 and 503, seconds.
    pub retry_after_s: Option<u32>,
}

impl Problem {
    /// A problem that says `detail`.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let retry_after_s = matches!(code.http_status(), 429 | 503).then_some(RETRY_AFTER_S);
        Self {
            code,
            detail: detail.into(),
            retry_after_s,
        }
    }

    /// A field of the request breaks a rule.
    pub fn invalid(field: &str, rule: impl std::fmt::Display) -> Self {
        Self::new(Code::InvalidRequest, format!("{field}: {rule}"))
    }

    /// There is no such thing for this caller.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("{what} is not known"))
    }

    /// A server that is needed does not answer; `what` in words that a buyer may read.
    #[must_use]
    pub fn unavailable(what: &str) -> Self {
        Self::new(
            Code::Overloaded,
            format!("{what} does not answer at the moment"),
        )
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self::new(code, code.title())
    }
}

impl IntoResponse for Problem {
    /// Only marks the response; [`written`] writes the body, because only it knows the trace.
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.http_status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// A problem as JSON.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Document<'a> {
    /// A page about this code.
    #[schema(format = "uri")]
    r#type: String,
    /// One line, the same for every problem of this code.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong with this very request.
    detail: &'a str,
    /// The stable code.
    code: &'static str,
    /// Finds the request in the logs.
    trace_id: &'a str,
}

/// Middleware: writes problem bodies, also for handlers that panic.
pub(crate) async fn render(request: Request, next: Next) -> Response {
    let trace = request.headers().get(TRACE).cloned();
    let response = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    written(response.unwrap_or_else(panicked), trace.as_ref())
}

/// The response with its body: [`Problem`]s are only marks until here. `trace` is what the request had as [`TRACE`].
pub(crate) fn written(mut response: Response, trace: Option<&HeaderValue>) -> Response {
    match response.extensions_mut().remove::<Problem>() {
        Some(problem) => document(&problem, response.status(), &trace_id(trace)),
        None => response,
    }
}

fn document(problem: &Problem, status: StatusCode, trace_id: &str) -> Response {
    let body = Json(Document {
        r#type: problem.code.problem_type(),
        title: problem.code.title(),
        status: status.as_u16(),
        detail: &problem.detail,
        code: problem.code.as_str(),
        trace_id,
    });
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    let problem_json = HeaderValue::from_static("application/problem+json");
    headers.insert(header::CONTENT_TYPE, problem_json);
    if let Some(seconds) = problem.retry_after_s {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        // The rest of the body may still be on its way: nothing else can be asked on this connection.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// The caller's trace by W3C `traceparent` (`00-<32 hex>-<16 hex>-<2 hex>`), else a new one.
fn trace_id(given: Option<&HeaderValue>) -> String {
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let given = given.and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.split('-').nth(1));
    match given {
        Some(id) if id.len() == 32 && id.bytes().all(is_hex) => id.to_owned(),
        Some(_) | None => format!("{:032x}", rand::random::<u128>()),
    }
}

/// Fallback of the router: no such path.
pub(crate) async fn no_such_path() -> Problem {
    Problem::not_found("this path")
}

/// Fallback of the router: the path is there, the method is not.
pub(crate) async fn no_such_method() -> Problem {
    Code::MethodNotAllowed.into()
}

/// The answer for a handler that panicked: a bug. The panic itself is in the log.
#[must_use]
pub(crate) fn panicked(_cause: Box<dyn std::any::Any + Send>) -> Response {
    Problem::from(Code::Internal).into_response()
}
