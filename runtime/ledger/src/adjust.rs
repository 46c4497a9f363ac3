//! Adjustments: what the stock of a category shall be, written down before the first command is sent, and the call that
//! changes one stock shard.
//!
//! An adjustment's targets are absolute and its number grows, so every part of it may be done again by anybody. Who
//! drives one writes it down ([`Ledger::ask_adjustment`]), sends each stock shard its target as a command, waits until all
//! have met it ([`Ledger::levels`]), shares what could not be taken back over those that still can give
//! ([`Ledger::share_adjustment_anew`]), and ends it ([`Ledger::end_adjustment`]).

use std::collections::HashMap;

use sqlx::{FromRow, PgConnection};
use ticket_core::share::share_anew;
use ticket_core::{
    Adjustment, CategoryName, Epoch, EventId, InvalidId, StockCounts, StockShardId, StockSource,
};

use crate::apply::is_gone;
use crate::connect::Ledger;
use crate::error::{LedgerError, Result};

/// Who asks for another number of tickets. Each source counts its own versions; within one, only a newer version counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdjustmentSource {
    /// The `Event` resource.
    Spec {
        /// Its generation.
        version: i64,
    },
    /// The reseller's database.
    Reseller {
        /// Version of the category's stock there.
        version: i64,
        /// The reseller's id of its message.
        event: String,
    },
}

/// What became of asking for an adjustment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdjustmentAsked {
    /// To be carried out: it is new, or somebody began it and did not end it.
    Open(AdjustmentPlan),
    /// This version was carried out already.
    Done,
    /// The source has asked for something newer meanwhile.
    Older,
}

/// Targets of an adjustment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdjustmentPlan {
    /// Its number.
    pub adjustment: Adjustment,
    /// Units that the category shall have in all.
    pub wanted: u32,
    /// The reseller's id of the message that asked for it.
    pub reseller_event: Option<String>,
    /// Units that each stock shard shall have.
    pub targets: Vec<(StockShardId, u32)>,
}

/// How a stock shard stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardLevel {
    /// The stock shard.
    pub id: StockShardId,
    /// Its counters.
    pub counts: StockCounts,
    /// The newest adjustment that it has met.
    pub adjustment: Adjustment,
}

/// What [`Ledger::adjust`] left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adjusted {
    /// Epoch of the stock shard in that transaction.
    pub epoch: Epoch,
    /// Its version after the call; a repeat does not raise it.
    pub version: i64,
    /// Its counters after the call.
    pub stock: StockCounts,
    /// The newest adjustment that it has met, by this call or an earlier one.
    pub adjustment: Adjustment,
}

impl AdjustmentSource {
    const fn source(&self) -> StockSource {
        match self {
            Self::Spec { .. } => StockSource::Spec,
            Self::Reseller { .. } => StockSource::Reseller,
        }
    }
}

impl Ledger {
    /// Gives a stock shard `capacity` units, or as many as are held and sold. An adjustment that it has met, or an older
    /// one, changes nothing and is answered with the row as it is. One transaction on one node.
    pub async fn adjust(
        &self,
        shard: StockShardId,
        adjustment: Adjustment,
        capacity: u32,
    ) -> Result<Adjusted> {
        let mut connection = self.acquire().await?;
        let answer: std::result::Result<AdjustedColumns, _> = sqlx::query_as(
            "SELECT event_epoch, shard_version, capacity, available, held, sold, adjustment \
             FROM adjust_stock($1, $2, $3)",
        )
        .bind(shard.get())
        .bind(adjustment.0)
        .bind(i64::from(capacity))
        .fetch_one(&mut *connection)
        .await;
        match answer {
            Ok(columns) => Ok(columns.into_adjusted()),
            Err(cause) => {
                if is_gone(&mut connection, shard, &cause).await? {
                    return Err(LedgerError::UnknownShard { shard });
                }
                Err(LedgerError::Adjust { shard, cause })
            }
        }
    }

    /// Writes down that `category` shall have `wanted` units, and how its stock shards share them. The same version again
    /// continues with the targets that are written down, until the adjustment is ended.
    ///
    /// # Errors
    /// [`LedgerError::UnknownEvent`] if there is no such category.
    pub async fn ask_adjustment(
        &self,
        event: EventId,
        category: &CategoryName,
        wanted: u32,
        source: &AdjustmentSource,
    ) -> Result<AdjustmentAsked> {
        let failed = |cause| LedgerError::Write {
            what: "an adjustment",
            cause,
        };
        let mut connection = self.acquire().await?;
        let (ids, targets) = targets(&mut connection, event, category, wanted).await?;
        let (spec, reseller, message) = match source {
            AdjustmentSource::Spec { version } => (Some(*version), None, None),
            AdjustmentSource::Reseller { version, event } => (None, Some(*version), Some(event)),
        };
        sqlx::query(
            "INSERT INTO adjustments AS a (event_id, category, adjustment, wanted, \
               stock_shard_ids, targets, source, spec_version, reseller_version, reseller_event) \
             SELECT c.event_id, c.name, 1, $3, $4, $5, $6, $7, $8, $9 FROM categories c \
             WHERE c.event_id = $1 AND c.name = $2 \
             ON CONFLICT (event_id, category) DO UPDATE SET adjustment = a.adjustment + 1, \
               wanted = excluded.wanted, stock_shard_ids = excluded.stock_shard_ids, \
               targets = excluded.targets, source = excluded.source, \
               spec_version = coalesce(excluded.spec_version, a.spec_version), \
               reseller_version = coalesce(excluded.reseller_version, a.reseller_version), \
               reseller_event = excluded.reseller_event, is_done = false \
             WHERE CASE excluded.source \
               WHEN 1 THEN a.spec_version IS NULL OR a.spec_version < excluded.spec_version \
               ELSE a.reseller_version IS NULL OR a.reseller_version < excluded.reseller_version END",
        )
        .bind(event.0)
        .bind(category.as_str())
        .bind(i64::from(wanted))
        .bind(&ids)
        .bind(&targets)
        .bind(source.source().number())
        .bind(spec)
        .bind(reseller)
        .bind(message)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
        let row: AdjustmentColumns = sqlx::query_as(
            "SELECT adjustment, wanted, stock_shard_ids, targets, source, spec_version, \
             reseller_version, reseller_event, is_done FROM adjustments \
             WHERE event_id = $1 AND category = $2",
        )
        .bind(event.0)
        .bind(category.as_str())
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed)?
        .ok_or(LedgerError::UnknownEvent { event })?;
        row.into_answer(source)
    }

    /// How these stock shards stand, in no order.
    pub async fn levels(&self, shards: &[StockShardId]) -> Result<Vec<ShardLevel>> {
        let ids: Vec<i64> = shards.iter().map(|shard| shard.get()).collect();
        let mut connection = self.acquire().await?;
        let levels = levels(&mut connection, &ids).await?;
        levels.into_iter().map(LevelColumns::into_level).collect()
    }

    /// Shares what an adjustment has not reached over the stock shards as they are now, under the next number. `None` if
    /// somebody has asked for something newer or ended it meanwhile.
    pub async fn share_adjustment_anew(
        &self,
        event: EventId,
        category: &CategoryName,
        plan: &AdjustmentPlan,
    ) -> Result<Option<AdjustmentPlan>> {
        let mut connection = self.acquire().await?;
        let (ids, targets) = targets(&mut connection, event, category, plan.wanted).await?;
        let adjustment: Option<i64> = sqlx::query_scalar(
            "UPDATE adjustments SET adjustment = adjustment + 1, stock_shard_ids = $4, \
             targets = $5 WHERE event_id = $1 AND category = $2 AND adjustment = $3 \
             AND NOT is_done RETURNING adjustment",
        )
        .bind(event.0)
        .bind(category.as_str())
        .bind(plan.adjustment.0)
        .bind(&ids)
        .bind(&targets)
        .fetch_optional(&mut *connection)
        .await
        .map_err(|cause| LedgerError::Write {
            what: "an adjustment",
            cause,
        })?;
        adjustment
            .map(|adjustment| {
                Ok(AdjustmentPlan {
                    adjustment: Adjustment(adjustment),
                    targets: pair(&ids, &targets)?,
                    ..plan.clone()
                })
            })
            .transpose()
    }

    /// The adjustment is as far as it can be, and who asked for it was told.
    pub async fn end_adjustment(
        &self,
        event: EventId,
        category: &CategoryName,
        adjustment: Adjustment,
    ) -> Result<()> {
        let mut connection = self.acquire().await?;
        sqlx::query(
            "UPDATE adjustments SET is_done = true \
             WHERE event_id = $1 AND category = $2 AND adjustment = $3",
        )
        .bind(event.0)
        .bind(category.as_str())
        .bind(adjustment.0)
        .execute(&mut *connection)
        .await
        .map_err(|cause| LedgerError::Write {
            what: "the end of an adjustment",
            cause,
        })?;
        Ok(())
    }
}

/// The stock shards of a category and how they share `wanted` units.
async fn targets(
    connection: &mut PgConnection,
    event: EventId,
    category: &CategoryName,
    wanted: u32,
) -> Result<(Vec<i64>, Vec<i64>)> {
    let ids: Vec<i64> = sqlx::query_scalar(
        "SELECT stock_shard_id FROM shard_catalog WHERE event_id = $1 AND category = $2 \
         ORDER BY number",
    )
    .bind(event.0)
    .bind(category.as_str())
    .fetch_all(&mut *connection)
    .await
    .map_err(|cause| LedgerError::Read {
        what: "the shard catalog",
        cause,
    })?;
    let levels = levels(connection, &ids).await?;
    let mut of: HashMap<i64, StockCounts> = levels
        .iter()
        .map(|level| (level.stock_shard_id, level.counts()))
        .collect();
    // A row that is missing is just being deleted.
    let (ids, counts): (Vec<i64>, Vec<StockCounts>) = ids
        .into_iter()
        .filter_map(|id| of.remove(&id).map(|counts| (id, counts)))
        .unzip();
    let targets = share_anew(wanted, &counts);
    Ok((ids, targets))
}

async fn levels(connection: &mut PgConnection, ids: &[i64]) -> Result<Vec<LevelColumns>> {
    sqlx::query_as(
        "SELECT stock_shard_id, capacity, available, held, sold, adjustment FROM stock_shards \
         WHERE stock_shard_id = ANY ($1)",
    )
    .bind(ids)
    .fetch_all(connection)
    .await
    .map_err(|cause| LedgerError::Read {
        what: "stock",
        cause,
    })
}

fn pair(ids: &[i64], targets: &[i64]) -> Result<Vec<(StockShardId, u32)>> {
    let corrupt = |cause| LedgerError::Corrupt {
        what: "an adjustment",
        cause,
    };
    let out_of_range = InvalidId {
        what: "capacity",
        why: "it is negative or too large",
    };
    if ids.len() != targets.len() {
        return Err(LedgerError::Answer {
            why: "an adjustment has not one target for each stock shard",
        });
    }
    ids.iter()
        .zip(targets)
        .map(|(id, target)| {
            let id = StockShardId::new(*id).map_err(corrupt)?;
            let target = u32::try_from(*target).map_err(|_| corrupt(out_of_range.clone()))?;
            Ok((id, target))
        })
        .collect()
}

#[derive(FromRow)]
struct AdjustedColumns {
    event_epoch: i64,
    shard_version: i64,
    capacity: i64,
    available: i64,
    held: i64,
    sold: i64,
    adjustment: i64,
}

impl AdjustedColumns {
    const fn into_adjusted(self) -> Adjusted {
        Adjusted {
            epoch: Epoch(self.event_epoch),
            version: self.shard_version,
            stock: StockCounts {
                capacity: self.capacity,
                available: self.available,
                held: self.held,
                sold: self.sold,
            },
            adjustment: Adjustment(self.adjustment),
        }
    }
}

#[derive(FromRow)]
struct LevelColumns {
    stock_shard_id: i64,
    capacity: i64,
    available: i64,
    held: i64,
    sold: i64,
    adjustment: i64,
}

impl LevelColumns {
    const fn counts(&self) -> StockCounts {
        StockCounts {
            capacity: self.capacity,
            available: self.available,
            held: self.held,
            sold: self.sold,
        }
    }

    fn into_level(self) -> Result<ShardLevel> {
        let id = StockShardId::new(self.stock_shard_id);
        let id = id.map_err(|cause| LedgerError::Corrupt {
            what: "a stock shard",
            cause,
        })?;
        Ok(ShardLevel {
            id,
            counts: self.counts(),
            adjustment: Adjustment(self.adjustment),
        })
    }
}

#[derive(FromRow)]
struct AdjustmentColumns {
    adjustment: i64,
    wanted: i64,
    stock_shard_ids: Vec<i64>,
    targets: Vec<i64>,
    source: i16,
    spec_version: Option<i64>,
    reseller_version: Option<i64>,
    reseller_event: Option<String>,
    is_done: bool,
}

impl AdjustmentColumns {
    fn into_answer(self, asked: &AdjustmentSource) -> Result<AdjustmentAsked> {
        let (version, newest) = match asked {
            AdjustmentSource::Spec { version } => (*version, self.spec_version),
            AdjustmentSource::Reseller { version, .. } => (*version, self.reseller_version),
        };
        if newest != Some(version) {
            return Ok(AdjustmentAsked::Older);
        }
        // Another source that asked afterwards has replaced what this one had begun.
        if self.is_done || self.source != asked.source().number() {
            return Ok(AdjustmentAsked::Done);
        }
        Ok(AdjustmentAsked::Open(AdjustmentPlan {
            adjustment: Adjustment(self.adjustment),
            wanted: u32::try_from(self.wanted).unwrap_or(u32::MAX),
            reseller_event: self.reseller_event,
            targets: pair(&self.stock_shard_ids, &self.targets)?,
        }))
    }
}
