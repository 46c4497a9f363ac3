//! Who asks: the buyer's token. HS256 with a shared secret; `sub` is the buyer, `exp` is required.

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use std::sync::Arc;
use ticket_core::{BuyerId, Code};
use ticket_telemetry::settings::Live;

use super::Api;
use crate::problem::Problem;

/// How far a buyer's clock may be off, seconds.
const CLOCK_SKEW_S: u64 = 5;

/// Checks buyers' tokens.
pub(crate) struct Tokens {
    key: Live<DecodingKey>,
    rules: Validation,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
}

impl Tokens {
    /// Tokens that `key` checks, whichever it is at the time.
    #[must_use]
    pub(crate) fn new(key: Live<DecodingKey>) -> Self {
        let mut rules = Validation::new(Algorithm::HS256);
        rules.set_required_spec_claims(&["exp", "sub"]);
        rules.leeway = CLOCK_SKEW_S;
        rules.validate_nbf = true;
        // We do not ask for an audience; a token that names one is as good as any.
        rules.validate_aud = false;
        Self { key, rules }
    }

    fn buyer(&self, token: &str) -> Result<BuyerId, Problem> {
        let claims = self
            .key
            .with(|key| jsonwebtoken::decode::<Claims>(token, key, &self.rules))
            .map_err(|error| Problem::new(Code::Unauthenticated, describe(error.kind())))?
            .claims;
        BuyerId::new(claims.sub)
            .map_err(|error| Problem::new(Code::Unauthenticated, format!("token: sub: {error}")))
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library's list of errors is open"
)]
fn describe(error: &ErrorKind) -> &'static str {
    match error {
        ErrorKind::ExpiredSignature => "token: it has expired",
        ErrorKind::ImmatureSignature => "token: it is not valid yet",
        ErrorKind::InvalidSignature => "token: the signature is wrong",
        ErrorKind::InvalidAlgorithm => "token: expected HS256",
        ErrorKind::MissingRequiredClaim(_) => "token: `exp` and `sub` are required",
        _ => "token: it cannot be read",
    }
}

/// The buyer who sends the request.
pub(crate) struct Buyer(pub BuyerId);

impl FromRequestParts<Arc<Api>> for Buyer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let header = parts.headers.get(header::AUTHORIZATION);
        let header = header.and_then(|value| value.to_str().ok());
        let (scheme, token) = header
            .and_then(|value| value.split_once(' '))
            .ok_or_else(|| {
                Problem::new(
                    Code::Unauthenticated,
                    "Authorization: expected `Bearer <token>`",
                )
            })?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Problem::new(
                Code::Unauthenticated,
                "Authorization: expected Bearer",
            ));
        }
        api.tokens.buyer(token.trim()).map(Self)
    }
}
