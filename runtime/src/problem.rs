//! Errors as RFC 9457 problem documents with stable codes. Handlers return a [`Problem`]; [`written`] is the only place
//! that writes one, so that every error of both APIs, also of the routers themselves, looks the same.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use serde::Serialize;
use ticket_core::Code;
use ticket_telemetry::trace;
use utoipa::ToSchema;

/// What a caller waits before the next try when nothing better is known, seconds.
const RETRY_AFTER_S: u32 = 1;

/// Room for an ordinary problem document, bytes: it need not grow while it is written.
const DOCUMENT_BYTES: usize = 384;

/// An answer that is not what the caller hoped for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The stable code; it decides the status.
    pub code: Code,
    /// What is wrong with this very request. Nothing of our insides.
    pub detail: Cow<'static, str>,
    /// For 429 and 503, seconds.
    pub retry_after_s: Option<u32>,
}

impl Problem {
    /// A problem that says `detail`.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
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
    r#type: &'static str,
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

/// Middleware: gives the request its trace and writes problem bodies, also for handlers that panic.
pub(crate) async fn render(request: Request, next: Next) -> Response {
    let given = request.headers().get(trace::HEADER);
    let traced = trace::Request::begin("admin request", given.map(HeaderValue::as_bytes));
    let answered = async {
        let response = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        written(response.unwrap_or_else(panicked))
    };
    let response = traced.scope(answered).await;
    traced.end("admin", response.status().as_u16());
    response
}

/// The response with its body: [`Problem`]s are only marks until here. Within the request's trace: the document carries
/// its id, as the log lines do.
pub(crate) fn written(mut response: Response) -> Response {
    match response.extensions_mut().remove::<Problem>() {
        Some(problem) => document(response, &problem, &trace_id()),
        None => response,
    }
}

fn document(mut response: Response, problem: &Problem, trace_id: &str) -> Response {
    let status = response.status();
    let document = Document {
        r#type: problem.code.problem_type(),
        title: problem.code.title(),
        status: status.as_u16(),
        detail: &problem.detail,
        code: problem.code.as_str(),
        trace_id,
    };
    let mut json = Vec::with_capacity(DOCUMENT_BYTES);
    // Text and numbers always have a JSON form, and there is always room in memory.
    serde_json::to_writer(&mut json, &document).unwrap_or_default();
    *response.body_mut() = Body::from(json);
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

fn trace_id() -> String {
    hex::encode(trace::current_id().unwrap_or_default().to_be_bytes())
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
