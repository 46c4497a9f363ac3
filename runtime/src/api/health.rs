//! `/livez` and `/readyz` on the buyer API's port, for load balancers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::Api;

/// The process lives.
pub(crate) async fn live() -> &'static str {
    "ok\n"
}

/// Every dependency answers; else 503 with the names of those that do not.
pub(crate) async fn ready(State(api): State<Arc<Api>>) -> Response {
    let readiness = api.health.readiness();
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness)).into_response()
}
