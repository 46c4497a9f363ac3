//! Who asks: the buyer's token. HS256 with a shared secret, or RS256 and ES256 with the keys of a key set; `sub` is the
//! buyer, `exp` is required. Which of the two checks a token follows from its algorithm alone: a secret is never compared
//! with a public key.

use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header;
use axum::http::request::Parts;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use std::net::SocketAddr;
use ticket_core::{BuyerId, Code};
use ticket_telemetry::settings::Live;

use super::{Api, ApiParts};
use crate::jwks::{self, TokenFault, Verifier};
use crate::problem::Problem;

/// Checks buyers' tokens.
pub(crate) struct Tokens {
    secret: Option<BySecret>,
    keys: Option<Verifier>,
}

struct BySecret {
    key: Live<DecodingKey>,
    rules: Validation,
}

#[derive(Clone, Deserialize)]
struct Claims {
    sub: String,
}

impl Tokens {
    /// Signed with the secret, whichever it is at the time, or by one of the keys; of the issuer and for the audience of the
    /// settings, if they are set.
    #[must_use]
    pub(super) fn new(parts: &ApiParts) -> Self {
        let issuer = parts.settings.buyer_jwt_issuer.as_deref();
        let audience = parts.settings.buyer_jwt_audience.as_deref();
        let by_secret = |key: Live<DecodingKey>| BySecret {
            key,
            rules: jwks::rules(Algorithm::HS256, issuer, audience),
        };
        let keys = parts.buyer_keys.clone();
        Self {
            secret: parts.buyer_jwt_key.clone().map(by_secret),
            keys: keys.map(|keys| Verifier::new(keys, issuer, audience)),
        }
    }

    async fn buyer(&self, token: &str) -> Result<BuyerId, Problem> {
        let claims = match (&self.secret, &self.keys) {
            // The usual and hot way: the header is read once, by the library.
            (Some(secret), None) => secret.claims(token),
            (secret, Some(keys)) => match (algorithm(token), secret) {
                (Ok(Algorithm::HS256), Some(secret)) => secret.claims(token),
                (Ok(_), _) => Box::pin(keys.claims(token)).await,
                (Err(fault), _) => Err(fault),
            },
            (None, None) => Err(TokenFault::NoKeys),
        };
        let claims = claims.map_err(refusal)?;
        BuyerId::new(claims.sub)
            .map_err(|error| Problem::new(Code::Unauthenticated, format!("token: sub: {error}")))
    }
}

impl BySecret {
    fn claims(&self, token: &str) -> Result<Claims, TokenFault> {
        self.key
            .with(|key| jsonwebtoken::decode::<Claims>(token, key, &self.rules))
            .map(|token| token.claims)
            .map_err(|error| jwks::describe(error.kind()))
    }
}

fn algorithm(token: &str) -> Result<Algorithm, TokenFault> {
    let header = jsonwebtoken::decode_header(token);
    header
        .map(|header| header.alg)
        .map_err(|error| jwks::describe(error.kind()))
}

fn refusal(fault: TokenFault) -> Problem {
    let code = match fault {
        TokenFault::Invalid(_) => Code::Unauthenticated,
        TokenFault::NoKeys => Code::Overloaded,
    };
    Problem::new(code, fault.to_string())
}

/// The buyer who sends the request, and may send one more.
pub(crate) struct Buyer(pub BuyerId);

impl FromRequestParts<Arc<Api>> for Buyer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let buyer = match bearer(parts) {
            Ok(token) => api.tokens.buyer(token).await,
            Err(problem) => Err(problem),
        };
        match buyer {
            Ok(buyer) => {
                api.buyer_rate.check(buyer.as_str())?;
                Ok(Self(buyer))
            }
            Err(problem) => {
                count_stranger(parts, api)?;
                Err(problem)
            }
        }
    }
}

fn bearer(parts: &Parts) -> Result<&str, Problem> {
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
    Ok(token.trim())
}

/// Extractor for what anybody may ask: counts the request for the address that it comes from, if that is limited.
pub(crate) struct Anybody;

impl FromRequestParts<Arc<Api>> for Anybody {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        count_stranger(parts, api).map(|()| Self)
    }
}

fn count_stranger(parts: &Parts, api: &Api) -> Result<(), Problem> {
    match parts.extensions.get::<ConnectInfo<SocketAddr>>() {
        Some(ConnectInfo(peer)) => api.address_rate.check(&peer.ip()),
        None => Ok(()),
    }
}
