//! The warm-up lock: a lease whose acquisition raises the event's epoch, and the history of what became of it. Every time
//! is the database's, so that a holder whose clock is wrong does no harm. Whoever holds a lock that has run out may go on
//! working: the epoch fences all that he does.

use std::time::Duration;

use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTimestamp;
use sqlx::postgres::types::PgInterval;
use sqlx::{Connection, FromRow, PgConnection};
use ticket_core::{Epoch, EventId, InvalidId, StockShardId};
use uuid::Uuid;

use crate::connect::Ledger;
use crate::error::{LedgerError, Result};
use crate::events::next_change;

/// Warm-ups of an event that are remembered.
pub const WARMUPS_KEPT: i64 = 100;

/// What a lock is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarmupKind {
    /// To refill the stock store.
    Run,
    /// To hold the sale.
    Hold,
}

impl WarmupKind {
    const fn number(self) -> i16 {
        match self {
            Self::Run => 1,
            Self::Hold => 2,
        }
    }
}

/// Who wants the lock of an event.
#[derive(Debug, Clone)]
pub struct LockWish<'a> {
    /// What for.
    pub kind: WarmupKind,
    /// Who: a person, or a process.
    pub holder: &'a str,
    /// Why, for people.
    pub reason: Option<&'a str>,
    /// How long the lock lasts unless it is extended.
    pub lasts: Duration,
    /// Only if the event is still at this epoch: somebody may have warmed it up since it was looked at.
    pub seen: Option<Epoch>,
}

/// What became of the wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockAnswer {
    /// The lock is the wisher's; the event is at this epoch now.
    Taken(Warmup),
    /// Somebody holds it.
    Held(Warmup),
    /// The event is at another epoch than the wisher has seen.
    Newer(Epoch),
    /// The sale is over for good; nothing is sold from the stock store any more.
    Closed,
}

/// A warm-up: one that holds the lock, or one that was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warmup {
    /// The event.
    pub event: EventId,
    /// The epoch that taking the lock has made.
    pub epoch: Epoch,
    /// What for.
    pub kind: WarmupKind,
    /// Who.
    pub holder: String,
    /// Why.
    pub reason: Option<String>,
    /// Since when.
    pub acquired_at: Timestamp,
    /// When it ends, or would have ended.
    pub expires_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What became of it.
    pub result: Option<String>,
}

/// How an event stands that is for sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warmth {
    /// The event.
    pub event: EventId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Somebody holds its lock, and it has not run out.
    pub is_held: bool,
    /// The stock store was filled at this epoch and nothing is missing in it; a store that is armed with it is warm. Only
    /// the first seed needs no run: there are no orders that it could miss.
    pub is_finished: bool,
}

/// Epoch after a stock store missed what was decided: what the store has is wrong from now on.
const MISSED: &str = "missed";

/// A run whose lock somebody else broke.
const BROKEN: &str = "broken";

macro_rules! select_warmups {
    ($rest:literal) => {
        concat!(
            "SELECT event_id, epoch, kind, holder, reason, acquired_at, expires_at, finished_at, \
             result FROM warmups WHERE event_id = $1 ",
            $rest
        )
    };
}

impl Ledger {
    /// Takes the warm-up lock of an event and raises its epoch, in one transaction.
    ///
    /// # Errors
    /// [`LedgerError::UnknownEvent`] if there is no such event.
    pub async fn lock_warmup(&self, event: EventId, wish: &LockWish<'_>) -> Result<LockAnswer> {
        let failed = |cause| LedgerError::Write {
            what: "the warm-up lock",
            cause,
        };
        let lasts =
            PgInterval::try_from(wish.lasts).map_err(|cause| failed(sqlx::Error::Encode(cause)))?;
        let mut connection = self.acquire().await?;
        let answer: LockColumns = sqlx::query_as(
            "SELECT answer, event_epoch, lock_kind, lock_holder, lock_reason, lock_acquired_at, \
             lock_expires_at FROM lock_warmup($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(event.0)
        .bind(wish.seen.map(|seen| seen.0))
        .bind(wish.kind.number())
        .bind(wish.holder)
        .bind(wish.reason)
        .bind(lasts)
        .bind(WARMUPS_KEPT)
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
        answer.into_answer(event)
    }

    /// The lock lasts that long from now. False if it was lost: it has run out, or somebody broke it.
    pub async fn extend_warmup(&self, held: &Warmup, lasts: Duration) -> Result<bool> {
        let mut connection = self.acquire().await?;
        let done = sqlx::query(
            "UPDATE warmups SET expires_at = clock_timestamp() + make_interval(secs => $4) \
             WHERE event_id = $1 AND epoch = $2 AND holder = $3 AND finished_at IS NULL \
             AND expires_at > clock_timestamp()",
        )
        .bind(held.event.0)
        .bind(held.epoch.0)
        .bind(&held.holder)
        .bind(lasts.as_secs_f64())
        .execute(&mut *connection)
        .await
        .map_err(|cause| LedgerError::Write {
            what: "the warm-up lock",
            cause,
        })?;
        Ok(done.rows_affected() == 1)
    }

    /// Gives the lock back. False if it was lost meanwhile; then the result stays what it is.
    pub async fn finish_warmup(&self, held: &Warmup, result: &str) -> Result<bool> {
        let mut connection = self.acquire().await?;
        finish(&mut connection, held, result).await
    }

    /// Breaks a lock, whoever holds it. The holder learns of it when he extends it or gives it back.
    pub async fn break_warmup(&self, held: &Warmup) -> Result<bool> {
        let mut connection = self.acquire().await?;
        finish(&mut connection, held, BROKEN).await
    }

    /// Whoever holds the lock of an event.
    pub async fn warmup_lock(&self, event: EventId) -> Result<Option<Warmup>> {
        let mut connection = self.acquire().await?;
        live(&mut connection, event).await
    }

    /// The newest warm-ups of an event, newest first, at most `limit`.
    pub async fn warmup_history(&self, event: EventId, limit: u32) -> Result<Vec<Warmup>> {
        let mut connection = self.acquire().await?;
        let rows: Vec<WarmupColumns> =
            sqlx::query_as(select_warmups!("ORDER BY epoch DESC LIMIT $2"))
                .bind(event.0)
                .bind(i64::from(limit))
                .fetch_all(&mut *connection)
                .await
                .map_err(|cause| LedgerError::Read {
                    what: "warm-ups",
                    cause,
                })?;
        rows.into_iter().map(WarmupColumns::into_warmup).collect()
    }

    /// How every event stands that was opened and is not over. One query, also for a thousand events.
    pub async fn warmth(&self) -> Result<Vec<Warmth>> {
        let mut connection = self.acquire().await?;
        let rows: Vec<(Uuid, i64, bool, bool)> = sqlx::query_as(
            "SELECT e.event_id, e.epoch, EXISTS (SELECT FROM warmups l WHERE l.event_id = e.event_id \
               AND l.finished_at IS NULL AND l.expires_at > clock_timestamp()), \
             e.epoch = 1 OR EXISTS (SELECT FROM warmups w WHERE w.event_id = e.event_id \
               AND w.epoch = e.epoch AND w.result = 'armed') \
             FROM events e WHERE e.opens_at IS NOT NULL AND e.is_open AND NOT e.is_closed",
        )
        .fetch_all(&mut *connection)
        .await
        .map_err(|cause| LedgerError::Read {
            what: "how events stand",
            cause,
        })?;
        let warmth = |(event, epoch, is_held, is_finished)| Warmth {
            event: EventId(event),
            epoch: Epoch(epoch),
            is_held,
            is_finished,
        };
        Ok(rows.into_iter().map(warmth).collect())
    }

    /// The stock store has missed something that was decided, so that what it has is wrong: a warm-up will come, because the
    /// event's epoch is another one from now on. A run that is under way may have read too early, and ends. Nothing
    /// changes where a warm-up is sure to come already.
    pub async fn need_warmup(&self, event: EventId, holder: &str, reason: &str) -> Result<bool> {
        let failed = |cause| LedgerError::Write {
            what: "the need of a warm-up",
            cause,
        };
        let mut connection = self.acquire().await?;
        // Without the lock of all writers first: while Redis is away every batch comes here. What is read may be old, but a
        // newer truth is only a run that began after the caller's decision was written, and that one reads it.
        let is_sure: Option<bool> = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM warmups w WHERE w.event_id = e.event_id \
             AND w.epoch = e.epoch AND w.finished_at IS NOT NULL AND w.result <> 'armed') \
             OR e.is_closed FROM events e WHERE event_id = $1",
        )
        .bind(event.0)
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed)?;
        if is_sure != Some(false) {
            return Ok(false);
        }
        let mut transaction = connection.begin().await.map_err(failed)?;
        let change = next_change(&mut transaction).await.map_err(failed)?;
        if let Some(held) = live(&mut transaction, event).await? {
            match held.kind {
                // Whoever holds the sale ends it some day, and then it is warmed up.
                WarmupKind::Hold => return Ok(false),
                WarmupKind::Run => {
                    finish(&mut transaction, &held, "fenced").await?;
                }
            }
        }
        let epoch = raise(&mut transaction, event, change)
            .await
            .map_err(failed)?;
        sqlx::query(
            "INSERT INTO warmups (event_id, epoch, kind, holder, reason, expires_at, finished_at, result) \
             VALUES ($1, $2, 1, $3, $4, clock_timestamp(), clock_timestamp(), $5)",
        )
        .bind(event.0)
        .bind(epoch)
        .bind(holder)
        .bind(reason)
        .bind(MISSED)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(true)
    }

    /// Moves a stock shard to the epoch of a warm-up whose marker came, never back. Answers with the epoch that it is at.
    pub async fn mark(&self, shard: StockShardId, epoch: Epoch) -> Result<Epoch> {
        let mut connection = self.acquire().await?;
        let answer: std::result::Result<i64, _> = sqlx::query_scalar("SELECT mark_stock($1, $2)")
            .bind(shard.get())
            .bind(epoch.0)
            .fetch_one(&mut *connection)
            .await;
        match answer {
            Ok(epoch) => Ok(Epoch(epoch)),
            Err(cause) => {
                drop(connection);
                if self.is_gone(shard, &cause).await? {
                    return Err(LedgerError::UnknownShard { shard });
                }
                Err(LedgerError::Write {
                    what: "the epoch of a stock shard",
                    cause,
                })
            }
        }
    }

    /// How many of these stock shards have not met the marker of `epoch`.
    pub async fn unmarked(&self, shards: &[StockShardId], epoch: Epoch) -> Result<usize> {
        let ids: Vec<i64> = shards.iter().map(|shard| shard.get()).collect();
        let mut connection = self.acquire().await?;
        let marked: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM stock_shards WHERE stock_shard_id = ANY ($1) AND epoch >= $2",
        )
        .bind(&ids)
        .bind(epoch.0)
        .fetch_one(&mut *connection)
        .await
        .map_err(|cause| LedgerError::Read {
            what: "epochs of stock shards",
            cause,
        })?;
        Ok(shards.len() - usize::try_from(marked).unwrap_or(0).min(shards.len()))
    }
}

/// The event's next epoch. What is older than [`WARMUPS_KEPT`] is forgotten: an outage may begin a run every few seconds.
async fn raise(
    transaction: &mut PgConnection,
    event: EventId,
    change: i64,
) -> std::result::Result<i64, sqlx::Error> {
    let epoch: i64 = sqlx::query_scalar(
        "UPDATE events SET epoch = epoch + 1, change = $2 WHERE event_id = $1 RETURNING epoch",
    )
    .bind(event.0)
    .bind(change)
    .fetch_one(&mut *transaction)
    .await?;
    sqlx::query("DELETE FROM warmups WHERE event_id = $1 AND epoch <= $2")
        .bind(event.0)
        .bind(epoch - WARMUPS_KEPT)
        .execute(transaction)
        .await?;
    Ok(epoch)
}

async fn live(connection: &mut PgConnection, event: EventId) -> Result<Option<Warmup>> {
    let row: Option<WarmupColumns> = sqlx::query_as(select_warmups!(
        "AND finished_at IS NULL AND expires_at > clock_timestamp()"
    ))
    .bind(event.0)
    .fetch_optional(connection)
    .await
    .map_err(|cause| LedgerError::Read {
        what: "the warm-up lock",
        cause,
    })?;
    row.map(WarmupColumns::into_warmup).transpose()
}

async fn finish(connection: &mut PgConnection, held: &Warmup, result: &str) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE warmups SET finished_at = clock_timestamp(), result = $4 \
         WHERE event_id = $1 AND epoch = $2 AND holder = $3 AND finished_at IS NULL",
    )
    .bind(held.event.0)
    .bind(held.epoch.0)
    .bind(&held.holder)
    .bind(result)
    .execute(connection)
    .await
    .map_err(|cause| LedgerError::Write {
        what: "the end of a warm-up",
        cause,
    })?;
    Ok(done.rows_affected() == 1)
}

/// The answer of `lock_warmup`.
#[derive(FromRow)]
struct LockColumns {
    answer: String,
    event_epoch: Option<i64>,
    lock_kind: Option<i16>,
    lock_holder: Option<String>,
    lock_reason: Option<String>,
    lock_acquired_at: Option<SqlTimestamp>,
    lock_expires_at: Option<SqlTimestamp>,
}

impl LockColumns {
    fn into_answer(self, event: EventId) -> Result<LockAnswer> {
        let odd = LedgerError::Answer {
            why: "lock_warmup says something new",
        };
        match (self.answer.as_str(), self.event_epoch) {
            ("unknown", _) => Err(LedgerError::UnknownEvent { event }),
            ("closed", _) => Ok(LockAnswer::Closed),
            ("newer", Some(epoch)) => Ok(LockAnswer::Newer(Epoch(epoch))),
            ("held", Some(_)) => Ok(LockAnswer::Held(self.into_warmup(event).ok_or(odd)??)),
            ("taken", Some(_)) => Ok(LockAnswer::Taken(self.into_warmup(event).ok_or(odd)??)),
            _ => Err(odd),
        }
    }

    fn into_warmup(self, event: EventId) -> Option<Result<Warmup>> {
        let row = WarmupColumns {
            event_id: event.0,
            epoch: self.event_epoch?,
            kind: self.lock_kind?,
            holder: self.lock_holder?,
            reason: self.lock_reason,
            acquired_at: self.lock_acquired_at?,
            expires_at: self.lock_expires_at?,
            finished_at: None,
            result: None,
        };
        Some(row.into_warmup())
    }
}

#[derive(FromRow)]
struct WarmupColumns {
    event_id: Uuid,
    epoch: i64,
    kind: i16,
    holder: String,
    reason: Option<String>,
    acquired_at: SqlTimestamp,
    expires_at: SqlTimestamp,
    finished_at: Option<SqlTimestamp>,
    result: Option<String>,
}

impl WarmupColumns {
    fn into_warmup(self) -> Result<Warmup> {
        let kind = match self.kind {
            1 => WarmupKind::Run,
            2 => WarmupKind::Hold,
            _ => {
                return Err(LedgerError::Corrupt {
                    what: "a warm-up",
                    cause: InvalidId {
                        what: "kind",
                        why: "the number is not known",
                    },
                });
            }
        };
        Ok(Warmup {
            event: EventId(self.event_id),
            epoch: Epoch(self.epoch),
            kind,
            holder: self.holder,
            reason: self.reason,
            acquired_at: self.acquired_at.to_jiff(),
            expires_at: self.expires_at.to_jiff(),
            finished_at: self.finished_at.map(SqlTimestamp::to_jiff),
            result: self.result,
        })
    }
}
