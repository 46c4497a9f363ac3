//! `/livez` and `/readyz` on the buyer API's port, for load balancers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::Api;

/// The process lives.
#[utoipa::path(get, path = "/livez", tag = "platform", operation_id = "getLiveness", summary = "The process lives",
    responses((status = 200, description = "`ok`", body = String, content_type = "text/plain")))]
pub(crate) async fn live() -> &'static str {
    "ok\n"
}

/// Every dependency answers; else 503 with the names of those that do not.
#[utoipa::path(get, path = "/readyz", tag = "platform", operation_id = "getReadiness",
    summary = "Every server that is needed answers",
    responses(
        (status = 200, description = "They do.", body = serde_json::Value),
        (status = 503, description = "They do not; the body names which.", body = serde_json::Value),
    ))]
pub(crate) async fn ready(State(api): State<Arc<Api>>) -> Response {
    let readiness = api.health.readiness();
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness)).into_response()
}
