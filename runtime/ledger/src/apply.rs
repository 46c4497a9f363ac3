//! The order's way through the ledger: a batch of one stock shard in, decisions out. One function call in autocommit.
//! Only what does not need the tables is done here: repeats within the batch, rounds, ends of holds.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx};
use sqlx::FromRow;
use ticket_core::{
    Action, Epoch, Flag, MoveKind, OrderCommand, OrderId, OrderRecord, Place, Reason, State,
    StockCounts, StockMove, StockShardId,
};
use uuid::Uuid;

use crate::connect::Ledger;
use crate::error::{LedgerError, Result, SERIALIZATION_FAILURE};
use crate::row::OrderRow;

/// What the order log holds for one stock shard. Places are decided first, in their order, then the commands: an order's
/// own stay in order, and late money claims what the others have given back.
#[derive(Debug, Clone)]
pub struct ShardBatch {
    /// The stock shard; that of every place and command.
    pub shard: StockShardId,
    /// New orders, in log order.
    pub places: Vec<Place>,
    /// What happened to orders, in log order.
    pub commands: Vec<OrderCommand>,
    /// How long a hold lasts from `now` on once its payment is ready, seconds.
    pub hold_for_s: u32,
    /// How long it lasts while the payment is on its way, seconds from the command's time.
    pub processing_for_s: u32,
    /// `updated_at` of what changes.
    pub now: Timestamp,
}

/// What the ledger decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Epoch of the stock shard in that transaction.
    pub epoch: Epoch,
    /// Version of the stock shard after the call: that of every row that the call changed.
    pub version: i64,
    /// Its counters after the call.
    pub stock: StockCounts,
    /// One for each place, in their order.
    pub places: Vec<PlaceOutcome>,
    /// Rows, as they are after the call, of every order that a command was about; one for each order, in no order.
    /// Unknown orders have none.
    pub touched: Vec<OrderRecord>,
    /// What became of the units of these and of the known orders once they were sold, in no order.
    pub moves: Vec<StockMove>,
    /// Commands that the order machine forbids, or whose order is unknown.
    pub illegal: u32,
}

/// What became of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaceOutcome {
    /// Decided by this call.
    Fresh {
        /// [`State::Reserved`] or [`State::Rejected`].
        state: State,
        /// Why it was rejected.
        reason: Option<Reason>,
    },
    /// The ledger had the order already; its row as it is now.
    Known(OrderRecord),
    /// The same order stands earlier in this batch; its outcome is there.
    Repeated,
}

impl Ledger {
    /// Applies a batch in one transaction. The same batch again is safe at any time: whatever its outcome was, it is not
    /// done twice, and the answer has every order's row as it is now.
    pub async fn apply(&self, batch: &ShardBatch) -> Result<Applied> {
        let arguments = Arguments::new(batch)?;
        let mut connection = self.acquire_near(batch.shard).await?;
        let cause = match arguments.call(batch, &mut connection).await {
            Ok(answer) => return answer.into_applied(&arguments),
            Err(cause) => cause,
        };
        // It may have moved, or its node may be gone: the next call looks again.
        self.routes().forget(batch.shard);
        drop(connection);
        if self.is_gone(batch.shard, &cause).await? {
            return Err(LedgerError::UnknownShard { shard: batch.shard });
        }
        Err(failed(batch, cause))
    }

    /// Did the function miss the row of the stock shard, and for good? One that is on its way to another node is still in the
    /// catalog, which is on the coordinator.
    pub(crate) async fn is_gone(&self, shard: StockShardId, cause: &sqlx::Error) -> Result<bool> {
        if !is_not_here(cause) {
            return Ok(false);
        }
        let mut connection = self.acquire().await?;
        let is_known: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM shard_catalog WHERE stock_shard_id = $1)",
        )
        .bind(shard.get())
        .fetch_one(&mut *connection)
        .await
        .map_err(|cause| LedgerError::Read {
            what: "the shard catalog",
            cause,
        })?;
        Ok(!is_known)
    }
}

fn failed(batch: &ShardBatch, cause: sqlx::Error) -> LedgerError {
    let (places, commands) = (batch.places.len(), batch.commands.len());
    LedgerError::Apply {
        shard: batch.shard,
        places,
        commands,
        cause,
    }
}

/// Did the function miss the row of the stock shard?
fn is_not_here(cause: &sqlx::Error) -> bool {
    cause.as_database_error().is_some_and(|error| {
        error.code().as_deref() == Some(SERIALIZATION_FAILURE)
            && error.message().starts_with("stock shard")
    })
}

/// A batch as the function wants it: side by side.
#[derive(Default)]
struct Arguments<'a> {
    /// For each place of the batch its position in the call; `None` for repeats.
    sent: Vec<Option<usize>>,
    order: Vec<Uuid>,
    epoch: Vec<i64>,
    buyer: Vec<&'a str>,
    quantity: Vec<i32>,
    amount: Vec<i64>,
    accepted: Vec<SqlTimestamp>,
    commands: Commands<'a>,
}

#[derive(Default)]
struct Commands<'a> {
    order: Vec<Uuid>,
    round: Vec<i16>,
    verb: Vec<i16>,
    at: Vec<SqlTimestamp>,
    until: Vec<Option<SqlTimestamp>>,
    reason: Vec<i16>,
    provider: Vec<Option<&'a str>>,
    payment: Vec<Option<&'a str>>,
    secret: Vec<Option<&'a str>>,
    buyer: Vec<Option<&'a str>>,
    quantity: Vec<Option<i32>>,
}

impl<'a> Arguments<'a> {
    fn new(batch: &'a ShardBatch) -> Result<Self> {
        let mut arguments = Self::with_room_for(batch.places.len());
        let mut seen = HashSet::with_capacity(batch.places.len());
        for place in &batch.places {
            check_shard(batch, place.order, place.shard)?;
            if seen.insert(place.order) {
                arguments.sent.push(Some(arguments.order.len()));
                arguments.push(place)?;
            } else {
                arguments.sent.push(None);
            }
        }
        arguments.commands = Commands::new(batch)?;
        Ok(arguments)
    }

    fn with_room_for(places: usize) -> Self {
        Self {
            sent: Vec::with_capacity(places),
            order: Vec::with_capacity(places),
            epoch: Vec::with_capacity(places),
            buyer: Vec::with_capacity(places),
            quantity: Vec::with_capacity(places),
            amount: Vec::with_capacity(places),
            accepted: Vec::with_capacity(places),
            commands: Commands::default(),
        }
    }

    fn push(&mut self, place: &'a Place) -> Result<()> {
        let order = place.order;
        if place.amount_minor < 0 {
            return Err(LedgerError::Unstorable {
                order,
                why: "the amount is negative",
            });
        }
        self.order.push(order.0);
        self.epoch.push(place.epoch.0);
        self.buyer.push(place.buyer.as_str());
        self.quantity.push(to_quantity(order, place.quantity)?);
        self.amount.push(place.amount_minor);
        self.accepted.push(place.accepted_at.to_sqlx());
        Ok(())
    }

    async fn call(
        &self,
        batch: &ShardBatch,
        connection: &mut sqlx::PgConnection,
    ) -> std::result::Result<Answer, sqlx::Error> {
        let commands = &self.commands;
        sqlx::query_as(
            "SELECT event_epoch, shard_version, capacity, available, held, sold, place_codes, \
             illegal, row_order, row_version, row_state, row_reason, row_passed, row_buyer, \
             row_quantity, row_amount, row_created, row_updated, row_hold, row_provider, \
             row_payment, row_secret, row_sold, row_returned FROM apply_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, \
             $12, $13, $14, $15, $16, $17, $18, $19)",
        )
        .bind(batch.shard.get())
        .bind(batch.now.to_sqlx())
        .bind(&self.order)
        .bind(&self.epoch)
        .bind(&self.buyer)
        .bind(&self.quantity)
        .bind(&self.amount)
        .bind(&self.accepted)
        .bind(&commands.order)
        .bind(&commands.round)
        .bind(&commands.verb)
        .bind(&commands.at)
        .bind(&commands.until)
        .bind(&commands.reason)
        .bind(&commands.provider)
        .bind(&commands.payment)
        .bind(&commands.secret)
        .bind(&commands.buyer)
        .bind(&commands.quantity)
        .fetch_one(connection)
        .await
    }
}

impl<'a> Commands<'a> {
    fn new(batch: &'a ShardBatch) -> Result<Self> {
        let mut commands = Self::default();
        let mut rounds: HashMap<OrderId, i16> = HashMap::with_capacity(batch.commands.len());
        for command in &batch.commands {
            check_shard(batch, command.order, command.shard)?;
            let round = rounds.entry(command.order).or_insert(0);
            *round = round.checked_add(1).ok_or(LedgerError::Unstorable {
                order: command.order,
                why: "it has more than 32,767 commands in one batch",
            })?;
            commands.push(batch, command, *round)?;
        }
        Ok(commands)
    }

    fn push(&mut self, batch: &ShardBatch, command: &'a OrderCommand, round: i16) -> Result<()> {
        let OrderCommand {
            order, at, action, ..
        } = command;
        let until = |begins: Timestamp, seconds: u32| {
            let end = begins.checked_add(SignedDuration::from_secs(i64::from(seconds)));
            end.unwrap_or(Timestamp::MAX).to_sqlx()
        };
        self.order.push(order.0);
        self.round.push(round);
        self.verb.push(action.verb().number());
        self.at.push(at.to_sqlx());
        self.until.push(match action {
            Action::PaymentReady { .. } => Some(until(batch.now, batch.hold_for_s)),
            Action::PaymentProcessing => Some(until(*at, batch.processing_for_s)),
            Action::PaymentSucceeded
            | Action::PaymentFailed { .. }
            | Action::Expire
            | Action::Cancel { .. }
            | Action::Refund { .. }
            | Action::RefundSettled
            | Action::Void { .. }
            | Action::Flag { .. } => None,
        });
        self.reason.push(
            flag(action).map_or_else(|| reason(action).map_or(0, Reason::number), Flag::number),
        );
        let payment = match action {
            Action::PaymentReady { payment } => Some(payment),
            Action::PaymentProcessing
            | Action::PaymentSucceeded
            | Action::PaymentFailed { .. }
            | Action::Expire
            | Action::Cancel { .. }
            | Action::Refund { .. }
            | Action::RefundSettled
            | Action::Void { .. }
            | Action::Flag { .. } => None,
        };
        self.provider
            .push(payment.map(|payment| payment.provider.as_str()));
        self.payment
            .push(payment.map(|payment| payment.id.as_str()));
        self.secret
            .push(payment.map(|payment| payment.client_secret.as_str()));
        let (buyer, quantity) = match action {
            Action::Void { buyer, quantity } => {
                (Some(buyer.as_str()), Some(to_quantity(*order, *quantity)?))
            }
            Action::PaymentReady { .. }
            | Action::PaymentProcessing
            | Action::PaymentSucceeded
            | Action::PaymentFailed { .. }
            | Action::Expire
            | Action::Cancel { .. }
            | Action::Refund { .. }
            | Action::RefundSettled
            | Action::Flag { .. } => (None, None),
        };
        self.buyer.push(buyer);
        self.quantity.push(quantity);
        Ok(())
    }
}

/// The reason that an order has if this action moves it. What depends on the row as well (late money, a refund that
/// nobody asked for) is the function's.
const fn reason(action: &Action) -> Option<Reason> {
    match action {
        Action::PaymentFailed { reason }
        | Action::Cancel { reason }
        | Action::Refund { reason } => Some(*reason),
        Action::Expire => Some(Reason::HoldExpired),
        Action::Void { .. } => Some(Reason::Void),
        Action::PaymentReady { .. }
        | Action::PaymentProcessing
        | Action::PaymentSucceeded
        | Action::RefundSettled
        | Action::Flag { .. } => None,
    }
}

/// The flag travels where other commands carry their reason.
const fn flag(action: &Action) -> Option<Flag> {
    if let Action::Flag { flag } = action {
        Some(*flag)
    } else {
        None
    }
}

fn check_shard(batch: &ShardBatch, order: OrderId, shard: StockShardId) -> Result<()> {
    if shard == batch.shard {
        return Ok(());
    }
    Err(LedgerError::Unstorable {
        order,
        why: "it belongs to another stock shard",
    })
}

fn to_quantity(order: OrderId, quantity: u32) -> Result<i32> {
    match i32::try_from(quantity) {
        Ok(quantity) if quantity > 0 => Ok(quantity),
        _ => Err(LedgerError::Unstorable {
            order,
            why: "the quantity is not 1 to 2^31 - 1",
        }),
    }
}

/// The row that the function answers with.
#[derive(FromRow)]
struct Answer {
    event_epoch: i64,
    shard_version: i64,
    capacity: i64,
    available: i64,
    held: i64,
    sold: i64,
    place_codes: Option<Vec<i16>>,
    illegal: i32,
    #[sqlx(flatten)]
    rows: Rows,
}

/// Rows of orders, column by column; all `None` when there are none.
#[derive(FromRow)]
#[expect(
    clippy::struct_field_names,
    reason = "the names of the function's columns"
)]
struct Rows {
    row_order: Option<Vec<Uuid>>,
    row_version: Option<Vec<i64>>,
    row_state: Option<Vec<i16>>,
    row_reason: Option<Vec<i16>>,
    row_passed: Option<Vec<i16>>,
    row_buyer: Option<Vec<String>>,
    row_quantity: Option<Vec<i32>>,
    row_amount: Option<Vec<i64>>,
    row_created: Option<Vec<SqlTimestamp>>,
    row_updated: Option<Vec<SqlTimestamp>>,
    row_hold: Option<Vec<Option<SqlTimestamp>>>,
    row_provider: Option<Vec<Option<String>>>,
    row_payment: Option<Vec<Option<String>>>,
    row_secret: Option<Vec<Option<String>>>,
    row_sold: Option<Vec<Option<i64>>>,
    row_returned: Option<Vec<Option<i64>>>,
}

impl Answer {
    fn into_applied(self, arguments: &Arguments<'_>) -> Result<Applied> {
        let Self {
            capacity,
            available,
            held,
            sold,
            ..
        } = self;
        let mut moves = Vec::new();
        let mut rows = self.rows.into_records(&mut moves)?;
        let codes = self.place_codes.unwrap_or_default();
        if codes.len() != arguments.order.len() {
            return Err(LedgerError::Answer {
                why: "it has not one code for each place",
            });
        }
        let outcome = |sent: &Option<usize>| match sent {
            None => Ok(PlaceOutcome::Repeated),
            Some(at) => decode(codes[*at], arguments.order[*at], &rows),
        };
        let places = arguments.sent.iter().map(outcome).collect::<Result<_>>()?;
        let mut touched = Vec::with_capacity(arguments.commands.order.len());
        for order in &arguments.commands.order {
            // Taken out, so that an order with several commands comes once.
            touched.extend(rows.remove(order));
        }
        Ok(Applied {
            epoch: Epoch(self.event_epoch),
            version: self.shard_version,
            stock: StockCounts {
                capacity,
                available,
                held,
                sold,
            },
            places,
            touched,
            moves,
            illegal: u32::try_from(self.illegal).unwrap_or(0),
        })
    }
}

/// What a code of `apply_batch` means.
fn decode(code: i16, order: Uuid, rows: &HashMap<Uuid, OrderRecord>) -> Result<PlaceOutcome> {
    let rejected = |reason| PlaceOutcome::Fresh {
        state: State::Rejected,
        reason: Some(reason),
    };
    match code {
        1 => Ok(PlaceOutcome::Fresh {
            state: State::Reserved,
            reason: None,
        }),
        2 => Ok(rejected(Reason::SoldOut)),
        3 => Ok(rejected(Reason::StaleEpoch)),
        4 => {
            let missing = LedgerError::Answer {
                why: "the row of a known order is missing",
            };
            rows.get(&order)
                .cloned()
                .map(PlaceOutcome::Known)
                .ok_or(missing)
        }
        _ => Err(LedgerError::Answer {
            why: "it has an unknown code",
        }),
    }
}

/// What became of the order's units once they were sold, in the order in which it happened.
fn push_moves(
    order: &OrderRecord,
    sold: Option<i64>,
    returned: Option<i64>,
    moves: &mut Vec<StockMove>,
) {
    let ends = [State::Expired, State::Cancelled, State::PaymentFailed];
    let was_over = ends.into_iter().any(|end| order.passed.contains(end));
    let kind = if was_over {
        MoveKind::Claimed
    } else {
        MoveKind::Sold
    };
    for (kind, version) in [(kind, sold), (MoveKind::Returned, returned)] {
        moves.extend(version.map(|version| StockMove {
            order: order.order,
            quantity: order.quantity,
            kind,
            version,
        }));
    }
}

impl Rows {
    fn into_records(self, moves: &mut Vec<StockMove>) -> Result<HashMap<Uuid, OrderRecord>> {
        let orders = self.row_order.unwrap_or_default();
        let mut records = HashMap::with_capacity(orders.len());
        let missing = || LedgerError::Answer {
            why: "its columns have different lengths",
        };
        let mut version = self.row_version.unwrap_or_default().into_iter();
        let mut state = self.row_state.unwrap_or_default().into_iter();
        let mut reason = self.row_reason.unwrap_or_default().into_iter();
        let mut passed = self.row_passed.unwrap_or_default().into_iter();
        let mut buyer = self.row_buyer.unwrap_or_default().into_iter();
        let mut quantity = self.row_quantity.unwrap_or_default().into_iter();
        let mut amount = self.row_amount.unwrap_or_default().into_iter();
        let mut created = self.row_created.unwrap_or_default().into_iter();
        let mut updated = self.row_updated.unwrap_or_default().into_iter();
        let mut hold = self.row_hold.unwrap_or_default().into_iter();
        let mut provider = self.row_provider.unwrap_or_default().into_iter();
        let mut payment = self.row_payment.unwrap_or_default().into_iter();
        let mut secret = self.row_secret.unwrap_or_default().into_iter();
        let mut sold = self.row_sold.unwrap_or_default().into_iter();
        let mut returned = self.row_returned.unwrap_or_default().into_iter();
        for order_id in orders {
            let row = OrderRow {
                // Any valid id: the caller knows the shard, and only the record is kept.
                stock_shard_id: 1,
                order_id,
                version: version.next().ok_or_else(missing)?,
                state: state.next().ok_or_else(missing)?,
                reason: reason.next().ok_or_else(missing)?,
                passed: passed.next().ok_or_else(missing)?,
                buyer: buyer.next().ok_or_else(missing)?,
                quantity: quantity.next().ok_or_else(missing)?,
                amount_minor: amount.next().ok_or_else(missing)?,
                created_at: created.next().ok_or_else(missing)?,
                updated_at: updated.next().ok_or_else(missing)?,
                hold_expires_at: hold.next().ok_or_else(missing)?,
                payment_provider: provider.next().ok_or_else(missing)?,
                payment_id: payment.next().ok_or_else(missing)?,
                payment_client_secret: secret.next().ok_or_else(missing)?,
            };
            let (reference, record) = row.into_record()?;
            let sold = sold.next().ok_or_else(missing)?;
            let returned = returned.next().ok_or_else(missing)?;
            push_moves(&record, sold, returned, moves);
            records.insert(reference.order.0, record);
        }
        Ok(records)
    }
}
