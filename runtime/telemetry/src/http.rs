//! `/livez`, `/readyz` and `/metrics`, for probes and scrapers: no token, nothing secret.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::UPKEEP_EVERY;
use crate::{Health, Metrics, TelemetryError};

/// Content type of Prometheus' text format.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `/livez` and `/readyz`, to be merged into another server's routes.
pub fn routes(health: Health) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(health)
}

/// Serves `/livez`, `/readyz` and `/metrics` on `listener` until `stop`.
pub async fn serve(
    listener: TcpListener,
    health: Health,
    metrics: Metrics,
    stop: CancellationToken,
) -> Result<(), TelemetryError> {
    // At the root, too: a metrics URL is complete for a scraper, and the base of the others for a person.
    let metrics_routes = Router::new()
        .route("/", get(scrape))
        .route("/metrics", get(scrape));
    let router = routes(health).merge(metrics_routes.with_state(metrics.clone()));
    let server =
        axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    tokio::select! {
        outcome = server.into_future() => outcome.map_err(|cause| TelemetryError::Serve { cause }),
        () = keep_up(metrics) => Ok(()),
    }
}

async fn keep_up(metrics: Metrics) {
    let mut ticks = tokio::time::interval(UPKEEP_EVERY);
    loop {
        ticks.tick().await;
        metrics.upkeep();
    }
}

async fn livez() -> &'static str {
    "ok\n"
}

async fn readyz(State(health): State<Health>) -> impl IntoResponse {
    let readiness = health.readiness();
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness))
}

async fn scrape(State(metrics): State<Metrics>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], metrics.render())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn readyz_says_what_is_missing() {
        let health = Health::new(&["kafka"]);
        health.set("kafka", Err("no broker answers"));
        let ask = || Request::get("/readyz").body(Body::empty()).unwrap();
        let answer = routes(health.clone()).oneshot(ask()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains("no broker answers"));

        health.set("kafka", Ok::<(), &str>(()));
        let answer = routes(health).oneshot(ask()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
}
