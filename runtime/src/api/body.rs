//! Request bodies: size and media type are checked before a byte is parsed.

use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header;
use serde::de::DeserializeOwned;
use ticket_core::Code;

use crate::problem::Problem;

/// Largest body of a request, bytes (CONTRACT section 2).
pub(crate) const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// Largest body of a webhook, bytes (CONTRACT section 2).
pub(crate) const WEBHOOK_BYTES_MAX: usize = 256 * 1024;

/// A JSON body of at most [`REQUEST_BYTES_MAX`].
pub(crate) struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let bytes = read(request, REQUEST_BYTES_MAX).await?;
        let mut json = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            let field = if matches!(path.as_str(), "." | "?") {
                "body"
            } else {
                &path
            };
            Problem::invalid(field, error.inner())
        })?;
        json.end()
            .map_err(|error| Problem::invalid("body", error))?;
        Ok(Self(value))
    }
}

/// The raw bytes of a JSON body of at most `bytes_max`.
pub(crate) async fn read(request: Request, bytes_max: usize) -> Result<Bytes, Problem> {
    if !is_json(&request) {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            "Content-Type: expected application/json",
        ));
    }
    to_bytes(request.into_body(), bytes_max)
        .await
        .map_err(|error| {
            let cause = std::error::Error::source(&error);
            if cause.is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>) {
                let detail = format!("body: more than {bytes_max} bytes");
                return Problem::new(Code::PayloadTooLarge, detail);
            }
            Problem::new(Code::InvalidRequest, "body: broke off")
        })
}

fn is_json(request: &Request) -> bool {
    let media_type = request.headers().get(header::CONTENT_TYPE);
    let media_type = media_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}
