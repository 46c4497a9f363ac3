//! Who says how many tickets there are.

use serde::Serialize;

/// Who says how many tickets an event has. The numbers are stored in the ledger: never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[repr(i16)]
pub enum StockSource {
    /// The `Event` resource.
    #[default]
    Spec = 1,
    /// The reseller's database, through its messages. The spec's quantity is the capacity until the first one.
    Reseller = 2,
}

impl StockSource {
    /// The source with this number, if there is one.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        [Self::Spec, Self::Reseller]
            .into_iter()
            .find(|source| source.number() == number)
    }

    /// The number that the ledger stores.
    #[must_use]
    pub const fn number(self) -> i16 {
        self as i16
    }
}
