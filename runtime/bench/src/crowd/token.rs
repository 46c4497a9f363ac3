//! Tokens of simulated buyers: HS256 with the stack's shared secret, as an identity provider would sign them.

use anyhow::Context as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use ticket_core::clock;

/// How long a buyer's token is good: longer than any crowd lasts.
pub const TOKEN_TTL_S: i64 = 3_600;

/// An expired token has been so for this long: far beyond any tolerance for clocks.
const EXPIRED_SINCE_S: i64 = 3_600;

/// Signs tokens.
pub struct Tokens {
    key: EncodingKey,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    iat: i64,
    exp: i64,
}

impl Tokens {
    /// Signs with `secret`, `TICKET_BUYER_JWT_SECRET` of the stack.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self {
            key: EncodingKey::from_secret(secret.as_bytes()),
        }
    }

    /// A token of `buyer` that is good for [`TOKEN_TTL_S`].
    pub fn valid(&self, buyer: &str) -> anyhow::Result<String> {
        let now = clock::now().as_second();
        self.sign(&Claims {
            sub: buyer,
            iat: now,
            exp: now + TOKEN_TTL_S,
        })
    }

    /// A token of `buyer` whose time is over.
    pub fn expired(&self, buyer: &str) -> anyhow::Result<String> {
        let then = clock::now().as_second() - EXPIRED_SINCE_S;
        self.sign(&Claims {
            sub: buyer,
            iat: then - 60,
            exp: then,
        })
    }

    fn sign(&self, claims: &Claims<'_>) -> anyhow::Result<String> {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.key)
            .context("could not sign a buyer's token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{DecodingKey, Validation};

    #[test]
    fn a_valid_token_names_the_buyer_and_an_expired_one_is_refused() {
        #[derive(serde::Deserialize)]
        struct Sub {
            sub: String,
        }
        let tokens = Tokens::new("0123456789abcdef0123456789abcdef");
        let key = DecodingKey::from_secret(b"0123456789abcdef0123456789abcdef");
        let read = |token: &str| {
            jsonwebtoken::decode::<Sub>(token, &key, &Validation::new(Algorithm::HS256))
        };
        assert_eq!(
            read(&tokens.valid("ann").unwrap()).unwrap().claims.sub,
            "ann"
        );
        assert!(read(&tokens.expired("ann").unwrap()).is_err());
    }
}
