//! What every request goes through: a deadline, a count and a time.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use metrics::{counter, histogram};

use super::REQUEST_DEADLINE;
use crate::problem::Problem;

/// Gives up a request that takes longer than [`REQUEST_DEADLINE`].
pub(crate) async fn deadline(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_DEADLINE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable("a server that this request needs").into_response(),
    }
}

/// Counts requests by route and status, and times them. The route is the pattern, never the path.
pub(crate) async fn count(request: Request, next: Next) -> Response {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unknown".to_owned(), |path| path.as_str().to_owned());
    let begun = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    counter!("ticket_api_requests_total", "route" => route.clone(), "status" => status)
        .increment(1);
    histogram!("ticket_api_request_seconds", "route" => route).record(begun.elapsed());
    response
}
