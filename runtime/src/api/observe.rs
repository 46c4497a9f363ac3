//! What every request goes through: a deadline, a count and a time.

use std::collections::HashMap;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::{LazyLock, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use futures::future::BoxFuture;
use metrics::{Counter, Histogram, counter, histogram};
use ticket_telemetry::trace;
use tower::{Layer, Service};

use super::REQUEST_DEADLINE;
use crate::problem::{self, Problem};

/// Gives a request up after [`REQUEST_DEADLINE`], answers for a handler that panics, writes problem documents, and counts
/// the request by route (the pattern, never the path) and status. One layer for all of it: each layer of its own costs
/// every request more than what is done in it, and as a function (`axum::middleware::from_fn`) it would carry the request
/// itself from future to future.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observe;

/// What [`Observe`] makes of a route.
#[derive(Debug, Clone)]
pub(super) struct Observed<S>(S);

impl<S> Layer<S> for Observe {
    type Service = Observed<S>;

    fn layer(&self, route: S) -> Observed<S> {
        Observed(route)
    }
}

impl<S> Service<Request> for Observed<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let begun = Instant::now();
        let route = request.extensions().get::<MatchedPath>().cloned();
        let given = request.headers().get(trace::HEADER);
        let traced = trace::Request::begin("buyer request", given.map(HeaderValue::as_bytes));
        let answer = AssertUnwindSafe(self.0.call(request)).catch_unwind();
        Box::pin(async move {
            let written = async {
                problem::written(match tokio::time::timeout(REQUEST_DEADLINE, answer).await {
                    Ok(Ok(Ok(response))) => response,
                    Ok(Err(panic)) => problem::panicked(panic),
                    Err(_) => {
                        Problem::unavailable("a server that this request needs").into_response()
                    }
                })
            };
            let response = traced.scope(written).await;
            let route = route.as_ref().map_or("unknown", MatchedPath::as_str);
            observed(route, response.status(), begun);
            traced.end(route, response.status().as_u16());
            Ok(response)
        })
    }
}

/// Counter and histogram of a route and a status. Asking the registry for them costs more than counting; their number is
/// that of routes times statuses.
type Meters = HashMap<StatusCode, (Counter, Histogram)>;

static METERS: LazyLock<RwLock<HashMap<String, Meters>>> = LazyLock::new(RwLock::default);

fn observed(route: &str, status: StatusCode, begun: Instant) {
    let took = begun.elapsed();
    let count = |(requests, seconds): &(Counter, Histogram)| {
        requests.increment(1);
        seconds.record(took);
    };
    let known = METERS.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(meters) = known.get(route).and_then(|route| route.get(&status)) {
        count(meters);
        return;
    }
    drop(known);
    let requests = counter!("ticket_api_requests_total",
        "route" => route.to_owned(), "status" => status.as_u16().to_string());
    let seconds = histogram!("ticket_api_request_seconds", "route" => route.to_owned());
    let meters = (requests, seconds);
    count(&meters);
    let mut known = METERS.write().unwrap_or_else(PoisonError::into_inner);
    known
        .entry(route.to_owned())
        .or_default()
        .insert(status, meters);
}
