//! Answers that say no, as Stripe's error objects.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};

use crate::stripe::objects::{ErrorBody, ErrorObject, PaymentIntent};

/// Seconds after which a busy or full sandbox may be asked again.
const RETRY_AFTER_S: &str = "1";

/// An answer that says no.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    status: StatusCode,
    error: Box<ErrorObject>,
}

impl Fault {
    pub(super) fn new(status: StatusCode, error: ErrorObject) -> Self {
        Self {
            status,
            error: Box::new(error),
        }
    }

    fn invalid(code: Option<&str>, param: Option<&str>, message: String) -> Self {
        let doc_url = code.map(|code| {
            format!(
                "https://stripe.com/docs/error-codes/{}",
                code.replace('_', "-")
            )
        });
        Self::new(
            StatusCode::BAD_REQUEST,
            ErrorObject {
                kind: Some("invalid_request_error".to_owned()),
                code: code.map(str::to_owned),
                param: param.map(str::to_owned),
                message: Some(message),
                doc_url,
                ..ErrorObject::default()
            },
        )
    }

    pub(super) fn parameter_missing(param: &str) -> Self {
        Self::invalid(
            Some("parameter_missing"),
            Some(param),
            format!("Missing required param: {param}."),
        )
    }

    pub(super) fn parameter_unknown(param: &str) -> Self {
        Self::invalid(
            Some("parameter_unknown"),
            Some(param),
            format!("Received unknown parameter: {param}"),
        )
    }

    pub(super) fn parameter_empty(param: &str) -> Self {
        Self::invalid(
            Some("parameter_invalid_empty"),
            Some(param),
            format!("An empty value was sent for {param}."),
        )
    }

    pub(super) fn parameter_integer(param: &str, message: String) -> Self {
        Self::invalid(Some("parameter_invalid_integer"), Some(param), message)
    }

    /// A parameter that breaks another rule; Stripe gives no code for most of them.
    pub(super) fn parameter(param: &str, message: String) -> Self {
        Self::invalid(None, Some(param), message)
    }

    pub(super) fn coded(code: &'static str, param: Option<&str>, message: String) -> Self {
        Self::invalid(Some(code), param, message)
    }

    /// The request as a whole breaks a rule.
    pub(super) fn request(status: StatusCode, message: String) -> Self {
        Self {
            status,
            ..Self::invalid(None, None, message)
        }
    }

    pub(super) fn resource_missing(kind: &str, id: &str, param: &str) -> Self {
        let message = format!("No such {kind}: '{}'", id.escape_default());
        let fault = Self::invalid(Some(crate::stripe::RESOURCE_MISSING), Some(param), message);
        Self {
            status: StatusCode::NOT_FOUND,
            ..fault
        }
    }

    /// A parameter that names something missing is a bad request; only the path's own object is a 404.
    pub(super) fn with_status_400(mut self) -> Self {
        self.status = StatusCode::BAD_REQUEST;
        self
    }

    /// Shows the payment as it is.
    pub(super) fn about(mut self, payment: PaymentIntent) -> Self {
        self.error.payment_intent = Some(Box::new(payment));
        self
    }

    pub(super) fn idempotency(message: String) -> Self {
        let mut fault = Self::invalid(None, None, message);
        fault.error.kind = Some(crate::stripe::IDEMPOTENCY_ERROR.to_owned());
        fault
    }

    /// Too much at once: the same again works a little later.
    pub(super) fn busy(message: String) -> Self {
        let fault = Self::invalid(Some("rate_limit"), None, message);
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            ..fault
        }
    }

    /// The sandbox holds all that it may hold.
    pub(super) fn full(limit: usize, kind: &str) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorObject {
                kind: Some("api_error".to_owned()),
                message: Some(format!(
                    "The sandbox holds {limit} {kind} objects: restart it."
                )),
                ..ErrorObject::default()
            },
        )
    }

    /// Nothing was done: an idempotency key must not remember it.
    pub(super) fn is_passing(&self) -> bool {
        self.status == StatusCode::TOO_MANY_REQUESTS || self.status.is_server_error()
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let is_passing = self.is_passing();
        let mut answer = (self.status, Json(ErrorBody { error: *self.error })).into_response();
        if is_passing {
            let value = axum::http::HeaderValue::from_static(RETRY_AFTER_S);
            answer.headers_mut().insert(RETRY_AFTER, value);
        }
        answer
    }
}
