//! Request bodies: size and media type are checked before a byte is parsed.

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::header;
use bytes::BytesMut;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use std::time::Duration;
use ticket_core::Code;

use crate::problem::Problem;

/// Largest body of a request, bytes (CONTRACT section 2).
pub(crate) const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// Largest body of a webhook, bytes (CONTRACT section 2).
pub(crate) const WEBHOOK_BYTES_MAX: usize = 256 * 1024;

/// How much of a body that is too large is read and dropped, bytes. After more than that the connection is closed.
const DISCARDED_BYTES_MAX: usize = 1024 * 1024;

/// How long a body may take: longer ones come from clients that only want to hold a connection.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// A JSON object of at most [`REQUEST_BYTES_MAX`].
pub(crate) struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let bytes = read(request, REQUEST_BYTES_MAX).await?;
        // serde takes a list for a struct, field by field.
        if bytes.trim_ascii_start().starts_with(b"[") {
            return Err(Problem::invalid("body", "expected an object, not a list"));
        }
        // Read once more if something is wrong: only then anybody wants to know in which field.
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Self(value)),
            Err(_) => explained(&bytes).map(Self),
        }
    }
}

/// What is wrong with a body, by field.
fn explained<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
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
    Ok(value)
}

/// As [`JsonBody`]; no body at all is the default, whatever its media type, and so is `null`.
pub(crate) struct OptionalJsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if request.body().is_end_stream() {
            return Ok(Self(T::default()));
        }
        let JsonBody(value) = JsonBody::<Option<T>>::from_request(request, state).await?;
        Ok(Self(value.unwrap_or_default()))
    }
}

/// The raw bytes of a JSON body of at most `bytes_max`. The request is looked at before anything is awaited: only its body
/// is carried along.
pub(crate) fn read(
    request: Request,
    bytes_max: usize,
) -> impl Future<Output = Result<Bytes, Problem>> + Send {
    let body = if !is_json(&request) {
        Err(Problem::new(
            Code::UnsupportedMediaType,
            "Content-Type: expected application/json",
        ))
    } else if request.body().size_hint().lower() > DISCARDED_BYTES_MAX as u64 {
        Err(too_large(bytes_max))
    } else {
        Ok(request.into_body())
    };
    async move { in_time(body?, bytes_max).await }
}

async fn in_time(body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    let late = || Problem::invalid("body", format!("not there within {BODY_DEADLINE:?}"));
    tokio::time::timeout(BODY_DEADLINE, collect(body, bytes_max))
        .await
        .map_err(|_| late())?
}

/// The whole body. The rest of one that is too large is read and dropped, so that its sender reads the answer instead of
/// failing to send.
async fn collect(mut body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    let mut seen = 0;
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::new(Code::InvalidRequest, "body: broke off"))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        seen += data.len();
        if seen <= bytes_max {
            bytes.extend_from_slice(&data);
        } else if seen > DISCARDED_BYTES_MAX {
            break;
        }
    }
    if seen > bytes_max {
        return Err(too_large(bytes_max));
    }
    Ok(bytes.freeze())
}

fn too_large(bytes_max: usize) -> Problem {
    let detail = format!("body: more than {bytes_max} bytes");
    Problem::new(Code::PayloadTooLarge, detail)
}

fn is_json(request: &Request) -> bool {
    let media_type = request.headers().get(header::CONTENT_TYPE);
    let media_type = media_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}
