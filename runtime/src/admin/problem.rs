//! Errors of the admin API as problem documents. Unlike a buyer, an event manager may know which server failed and why,
//! but the whole story stands in the log under the trace id.

use std::any::Any;

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ticket_admin::problem::CONTENT_TYPE;
use ticket_core::{Code, ErrorClass};
use ticket_ledger::LedgerError;
use ticket_telemetry::chain;
use tracing::warn;
use uuid::Uuid;

use crate::api::Problem;

/// Middleware, outermost: writes the body of every problem, also of the router's own.
pub(super) async fn render(request: Request, next: Next) -> Response {
    let trace_id = trace_id(&request);
    let mut response = next.run(request).await;
    let Some(problem) = response.extensions_mut().remove::<Problem>() else {
        return response;
    };
    let status = response.status();
    let body = Json(ticket_admin::Problem {
        kind: problem.code.problem_type(),
        title: problem.code.title().to_owned(),
        status: status.as_u16(),
        detail: Some(problem.detail),
        code: problem.code.as_str().to_owned(),
        trace_id: Some(trace_id),
    });
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    if let Some(seconds) = problem.retry_after_s {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// The caller's by W3C `traceparent`, else a new one.
fn trace_id(request: &Request) -> String {
    let given = request
        .headers()
        .get("traceparent")
        .and_then(|value| value.to_str().ok());
    let is_id = |id: &&str| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
    match given
        .and_then(|value| value.split('-').nth(1))
        .filter(is_id)
    {
        Some(id) => id.to_ascii_lowercase(),
        None => Uuid::new_v4().as_simple().to_string(),
    }
}

/// The ledger did not answer, or not as it should.
pub(super) fn of_ledger(error: &LedgerError) -> Problem {
    warn!(error = %chain(error), code = error.code(), "admin request failed");
    match error.class() {
        ErrorClass::Retry | ErrorClass::Ambiguous => Problem::unavailable("the ledger"),
        ErrorClass::Permanent | ErrorClass::Conflict => Code::Internal.into(),
    }
}

pub(super) async fn no_such_path() -> Problem {
    Problem::not_found("this path")
}

pub(super) async fn no_such_method() -> Problem {
    Code::MethodNotAllowed.into()
}

/// A handler panicked: a bug. The panic itself is in the log.
pub(super) fn panicked(_cause: Box<dyn Any + Send>) -> Response {
    Problem::from(Code::Internal).into_response()
}
