//! The sandbox's paths. Every answer, also to what is no path of it, is one of Stripe's objects.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use serde_json::Value;
use tracing::info;

use crate::sandbox::FakeStripe;
use crate::sandbox::complaints::ComplaintWish;
use crate::sandbox::fault::Fault;
use crate::sandbox::faults::{Faults, FaultsView};
use crate::sandbox::idempotency::{Done, Fingerprint, KEY_CHARS_MAX};
use crate::sandbox::intents::{Confirmation, NewIntent, read_cancellation};
use crate::sandbox::params::Params;
use crate::sandbox::refunds::NewRefund;
use crate::stripe::form;
use crate::stripe::objects::List;

/// Longest request, bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

const INTENTS: &str = "/v1/payment_intents";
const REFUNDS: &str = "/v1/refunds";
const DISPUTES: &str = "/v1/disputes";
const WARNINGS: &str = "/v1/radar/early_fraud_warnings";

type Provider = State<Arc<FakeStripe>>;
type Body = Result<Bytes, BytesRejection>;

pub(super) fn router(provider: Arc<FakeStripe>) -> Router {
    Router::new()
        .route(INTENTS, post(create_intent).get(list_intents))
        .route("/v1/payment_intents/{id}", get(read_intent))
        .route("/v1/payment_intents/{id}/confirm", post(confirm_intent))
        .route("/v1/payment_intents/{id}/cancel", post(cancel_intent))
        .route(REFUNDS, post(create_refund).get(list_refunds))
        .route("/v1/refunds/{id}", get(read_refund))
        .route(DISPUTES, get(list_disputes))
        .route("/v1/disputes/{id}/close", post(close_dispute))
        .route(WARNINGS, get(list_warnings))
        .route("/sandbox/faults", post(set_faults).get(show_faults))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .fallback(no_path)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(provider)
}

async fn create_intent(
    State(provider): Provider,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    let request = Request::read(INTENTS, &headers, body)?;
    let (request, wish) = request.params(NewIntent::read)?;
    Ok(request.answer(&provider, || provider.create_intent(wish)))
}

async fn confirm_intent(
    State(provider): Provider,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    let request = Request::read(uri.path(), &headers, body)?;
    let (request, confirmation) = request.params(Confirmation::read)?;
    Ok(request.answer(&provider, || provider.confirm_intent(&id, &confirmation)))
}

async fn cancel_intent(
    State(provider): Provider,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    let request = Request::read(uri.path(), &headers, body)?;
    let (request, reason) = request.params(read_cancellation)?;
    Ok(request.answer(&provider, || provider.cancel_intent(&id, reason)))
}

async fn create_refund(
    State(provider): Provider,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    let request = Request::read(REFUNDS, &headers, body)?;
    let (request, wish) = request.params(NewRefund::read)?;
    Ok(request.answer(&provider, || provider.create_refund(wish)))
}

async fn read_intent(
    State(provider): Provider,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    let secret = read_query(query, |params| Ok(params.take("client_secret")))?;
    Ok(Json(provider.read_intent(&id, secret.as_deref())?).into_response())
}

async fn list_intents(
    State(provider): Provider,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    let wish = read_query(query, Params::take_page)?;
    let (data, has_more) = provider.list_intents(&wish)?;
    Ok(list(INTENTS, data, has_more))
}

async fn read_refund(
    State(provider): Provider,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    read_query(query, |_| Ok(()))?;
    Ok(Json(provider.read_refund(&id)?).into_response())
}

async fn list_refunds(
    State(provider): Provider,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    let (intent, wish) = read_query(query, |params| {
        Ok((params.take("payment_intent"), params.take_page()?))
    })?;
    let (data, has_more) = provider.list_refunds(intent.as_deref(), &wish)?;
    Ok(list(REFUNDS, data, has_more))
}

async fn list_disputes(
    State(provider): Provider,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    let wish = read_query(query, ComplaintWish::read)?;
    let (data, has_more) = provider.list_disputes(&wish)?;
    Ok(list(DISPUTES, data, has_more))
}

async fn close_dispute(
    State(provider): Provider,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    let request = Request::read(uri.path(), &headers, body)?;
    let (request, ()) = request.params(|_| Ok(()))?;
    Ok(request.answer(&provider, || provider.close_dispute(&id)))
}

async fn list_warnings(
    State(provider): Provider,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    let wish = read_query(query, ComplaintWish::read)?;
    let (data, has_more) = provider.list_warnings(&wish)?;
    Ok(list(WARNINGS, data, has_more))
}

/// What is set, and what came of it since the sandbox began: a test that wants webhooks to be lost can see that some were.
async fn show_faults(State(provider): Provider) -> Json<FaultsView> {
    Json(FaultsView {
        faults: provider.outbox.faults(),
        webhooks: provider.outbox.spoiled(),
    })
}

async fn set_faults(State(provider): Provider, body: Body) -> Result<Json<Faults>, Fault> {
    let body = whole(body)?;
    // An object first: serde would read the fields from an array as well.
    let faults: Faults = serde_json::from_slice(&body)
        .map(Value::Object)
        .and_then(serde_json::from_value)
        .map_err(|cause| Fault::request(StatusCode::BAD_REQUEST, cause.to_string()))?;
    faults
        .check()
        .map_err(|(field, rule)| Fault::parameter(field, format!("{field}: {rule}")))?;
    info!(?faults, "sandbox faults are set");
    provider.outbox.set_faults(faults);
    Ok(Json(faults))
}

async fn livez() -> &'static str {
    "ok"
}

async fn readyz(State(provider): Provider) -> (StatusCode, &'static str) {
    if provider.stop.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    } else {
        (StatusCode::OK, "ok")
    }
}

async fn no_path(method: Method, uri: Uri) -> Fault {
    let message = format!("Unrecognized request URL ({method}: {}).", uri.path());
    Fault::request(StatusCode::NOT_FOUND, message)
}

async fn no_method(method: Method, uri: Uri) -> Fault {
    let message = format!("{} does not know {method}.", uri.path());
    Fault::request(StatusCode::METHOD_NOT_ALLOWED, message)
}

/// A request that changes something.
struct Request {
    key: Option<String>,
    fingerprint: Fingerprint,
    body: Bytes,
}

impl Request {
    fn read(path: &str, headers: &HeaderMap, body: Body) -> Result<Self, Fault> {
        let body = whole(body)?;
        if !body.is_empty() && !is_form(headers) {
            let message = format!("The body must be {}.", form::CONTENT_TYPE);
            return Err(Fault::request(StatusCode::BAD_REQUEST, message));
        }
        let key = idempotency_key(headers)?;
        Ok(Self {
            key,
            fingerprint: Fingerprint::of(path, &body),
            body,
        })
    }

    /// Reads the parameters; none may be left over.
    fn params<T>(
        self,
        read: impl FnOnce(&mut Params) -> Result<T, Fault>,
    ) -> Result<(Self, T), Fault> {
        let mut params = Params::read(&self.body)?;
        let wish = read(&mut params)?;
        params.finish()?;
        Ok((self, wish))
    }

    /// Carries it out, once per key.
    fn answer(self, provider: &FakeStripe, act: impl FnOnce() -> Result<Done, Fault>) -> Response {
        let (done, replayed) = match &self.key {
            Some(key) => provider.keys.once(key, self.fingerprint, act),
            None => (act(), false),
        };
        let mut answer = match done {
            Ok(Done::Intent(intent, state)) => Json(intent.object(&state)).into_response(),
            Ok(Done::Refund(refund)) => Json(refund.object()).into_response(),
            Ok(Done::Dispute(dispute)) => Json(dispute.object()).into_response(),
            Err(fault) => fault.into_response(),
        };
        if replayed {
            answer
                .headers_mut()
                .insert("idempotent-replayed", HeaderValue::from_static("true"));
        }
        answer
    }
}

fn whole(body: Body) -> Result<Bytes, Fault> {
    body.map_err(|rejection| Fault::request(rejection.status(), rejection.body_text()))
}

fn is_form(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case(form::CONTENT_TYPE)
    })
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Fault> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= KEY_CHARS_MAX => Ok(Some(key.to_owned())),
        Ok(_) | Err(_) => {
            let message = format!("An idempotency key has 1 to {KEY_CHARS_MAX} ASCII characters.");
            Err(Fault::idempotency(message))
        }
    }
}

fn read_query<T>(
    query: Option<String>,
    read: impl FnOnce(&mut Params) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let mut params = Params::read(query.unwrap_or_default().as_bytes())?;
    let wish = read(&mut params)?;
    params.finish()?;
    Ok(wish)
}

fn list<T: Serialize>(url: &str, data: Vec<T>, has_more: bool) -> Response {
    let list = List {
        object: "list".to_owned(),
        data,
        has_more,
        url: url.to_owned(),
    };
    Json(list).into_response()
}
