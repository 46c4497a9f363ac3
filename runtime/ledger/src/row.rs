//! An order as the tables have it, and its way to the words of the platform.

use jiff_sqlx::Timestamp as SqlTimestamp;
use sqlx::FromRow;
use ticket_core::{
    BuyerId, InvalidId, OrderId, OrderRecord, OrderRef, Passed, Payment, Reason, State,
    StockShardId,
};
use uuid::Uuid;

use crate::error::{LedgerError, Result};

/// A row of `orders`. The names are the columns'.
#[derive(Debug, FromRow)]
pub(crate) struct OrderRow {
    pub(crate) stock_shard_id: i64,
    pub(crate) order_id: Uuid,
    pub(crate) version: i64,
    pub(crate) state: i16,
    pub(crate) reason: i16,
    pub(crate) passed: i16,
    pub(crate) buyer: String,
    pub(crate) quantity: i32,
    pub(crate) amount_minor: i64,
    pub(crate) created_at: SqlTimestamp,
    pub(crate) updated_at: SqlTimestamp,
    pub(crate) hold_expires_at: Option<SqlTimestamp>,
    pub(crate) payment_provider: Option<String>,
    pub(crate) payment_id: Option<String>,
    pub(crate) payment_client_secret: Option<String>,
}

impl OrderRow {
    /// The record and where it lives.
    pub(crate) fn into_record(self) -> Result<(OrderRef, OrderRecord)> {
        let corrupt = |cause| LedgerError::Corrupt {
            what: "an order",
            cause,
        };
        let shard = StockShardId::new(self.stock_shard_id).map_err(corrupt)?;
        let order = OrderId(self.order_id);
        let unknown_state = InvalidId {
            what: "state",
            why: "the number is not known",
        };
        let negative = InvalidId {
            what: "quantity",
            why: "it is negative",
        };
        let payment = match (
            self.payment_provider,
            self.payment_id,
            self.payment_client_secret,
        ) {
            (Some(provider), Some(id), Some(client_secret)) => Some(Payment {
                provider,
                id,
                client_secret,
            }),
            _ => None,
        };
        let record = OrderRecord {
            order,
            version: self.version,
            state: State::from_number(self.state)
                .ok_or(unknown_state)
                .map_err(corrupt)?,
            reason: Reason::from_number(self.reason),
            passed: Passed(self.passed),
            buyer: BuyerId::new(self.buyer).map_err(corrupt)?,
            quantity: u32::try_from(self.quantity).map_err(|_| corrupt(negative))?,
            amount_minor: self.amount_minor,
            created_at: self.created_at.to_jiff(),
            updated_at: self.updated_at.to_jiff(),
            hold_expires_at: self.hold_expires_at.map(SqlTimestamp::to_jiff),
            payment,
        };
        Ok((OrderRef { order, shard }, record))
    }
}
