//! What request headers ask for: `Idempotency-Key` and `Prefer: wait=N`.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use ticket_core::ids::IDEMPOTENCY_KEY_BYTES_MAX;

use crate::problem::Problem;

/// Longest `Prefer: wait=N`, seconds (CONTRACT section 2).
const WAIT_S_MAX: u64 = 30;

/// What the headers of a new order say.
pub(crate) struct Wants {
    /// The `Idempotency-Key`.
    pub(crate) key: Result<String, Problem>,
    /// How long the caller wants to wait for the decision.
    pub(crate) wait: Option<Duration>,
}

impl<S: Sync> FromRequestParts<S> for Wants {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self {
            // Complained about by the handler: a body that is too large or of another type goes first.
            key: idempotency_key(&parts.headers).map(str::to_owned),
            wait: wait(&parts.headers),
        })
    }
}

/// The `Idempotency-Key`, 1 to 255 bytes of visible ASCII and spaces.
fn idempotency_key(headers: &HeaderMap) -> Result<&str, Problem> {
    const FIELD: &str = "Idempotency-Key";
    let mut values = headers.get_all(FIELD).iter();
    let value = values
        .next()
        .ok_or_else(|| Problem::invalid(FIELD, "the header is required"))?;
    if values.next().is_some() {
        return Err(Problem::invalid(FIELD, "expected one header, not several"));
    }
    let key = value
        .to_str()
        .map_err(|_| Problem::invalid(FIELD, "expected visible ASCII and spaces"))?;
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX {
        return Err(Problem::invalid(FIELD, "expected 1 to 255 characters"));
    }
    Ok(key)
}

/// How long the caller wants to wait for the decision: `Prefer: wait=N` (RFC 7240), N <= 30 s. A preference that cannot be
/// met is not an error: more than 30 s is 30 s, anything else unreadable is no preference.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .find_map(|preference| {
            let (name, seconds) = preference.split_once('=')?;
            let seconds = seconds.trim().trim_matches('"').parse::<u64>().ok()?;
            name.trim().eq_ignore_ascii_case("wait").then_some(seconds)
        })
        .filter(|seconds| *seconds > 0)
        .map(|seconds| Duration::from_secs(seconds.min(WAIT_S_MAX)))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        headers
    }

    #[test]
    fn a_key_has_1_to_255_characters() {
        assert_eq!(idempotency_key(&with("idempotency-key", "a")), Ok("a"));
        let spaced = with("idempotency-key", "a\tb c");
        assert_eq!(idempotency_key(&spaced), Ok("a\tb c"));
        let longest = "k".repeat(255);
        assert_eq!(
            idempotency_key(&with("idempotency-key", &longest)),
            Ok(longest.as_str())
        );
        for headers in [
            HeaderMap::new(),
            with("idempotency-key", ""),
            with("idempotency-key", &"k".repeat(256)),
            with("idempotency-key", "schl\u{fc}ssel"),
        ] {
            assert!(idempotency_key(&headers).is_err(), "{headers:?}");
        }
    }

    #[test]
    fn a_preference_is_read_among_others_and_bounded() {
        let seconds = |value| wait(&with("prefer", value)).map(|wait| wait.as_secs());
        assert_eq!(seconds("wait=5"), Some(5));
        assert_eq!(seconds("respond-async, Wait=10"), Some(10));
        assert_eq!(seconds("wait=3600"), Some(30));
        assert_eq!(seconds("wait=0"), None);
        assert_eq!(seconds("wait=soon"), None);
        assert_eq!(wait(&HeaderMap::new()), None);
    }
}
