//! Money in minor units. It knows currencies as three letters; it does not convert.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::InvalidId;

/// ISO 4217 code, upper case: `IDR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

impl Currency {
    /// # Errors
    /// [`InvalidId`] unless `code` is three upper-case letters.
    pub fn new(code: &str) -> Result<Self, InvalidId> {
        match code.as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_uppercase) => Ok(Self([a, b, c])),
            _ => Err(InvalidId {
                what: "currency",
                why: "expected three upper-case letters",
            }),
        }
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only upper-case ASCII gets in, so this never falls back.
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for Currency {
    type Error = InvalidId;

    fn try_from(code: String) -> Result<Self, InvalidId> {
        Self::new(&code)
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.as_str().to_owned()
    }
}

/// An amount. `amount_minor` counts the currency's smallest unit (cents; for IDR Stripe also counts two decimals).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// ISO 4217 code.
    pub currency: Currency,
    /// Smallest units, never negative in an order.
    pub amount_minor: i64,
}

impl Money {
    /// The price of `quantity` tickets, or `None` beyond 2^63.
    #[must_use]
    pub fn times(self, quantity: u32) -> Option<Self> {
        let amount_minor = self.amount_minor.checked_mul(i64::from(quantity))?;
        Some(Self {
            amount_minor,
            ..self
        })
    }
}
