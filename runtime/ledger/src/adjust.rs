//! Adjustments: what the stock of a category shall be, written down before the first command is sent, and the call that
//! changes one stock shard.
//!
//! An adjustment's targets are absolute and its number grows, so every part of it may be done again by anybody. Who
//! drives one writes it down ([`Ledger::ask_adjustment`]), sends each stock shard its target as a command, waits until all
//! have met it ([`Ledger::levels`]), shares what could not be taken back over those that still can give
//! ([`Ledger::share_adjustment_anew`]), and ends it ([`Ledger::end_adjustment`]). One of the spec never ends: units that come
//! back to a category that has too many are taken back, too, for as long as the spec says so.

use std::collections::HashMap;

use sqlx::{FromRow, PgConnection};
use ticket_core::share::share_anew;
use ticket_core::{
    Adjustment, CategoryName, Epoch, EventId, InvalidId, StockCounts, StockShardId, StockSource,
};

use crate::connect::Ledger;
use crate::error::{LedgerError, Result};

/// Who asks for another number of tickets. Each source has its own order; within one, only what is newer counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdjustmentSource {
    /// The `Event` resource, through an operator that has looked at the ledger before.
    Spec {
        /// The resource that it speaks for; only the owner of the event is heard.
        owner: String,
        /// Generation of that resource. An operator that still reads an older one is not heard.
        generation: i64,
        /// The newest adjustment of the category that it has seen; if there is a newer one, it has to look again.
        seen: Adjustment,
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
    /// The source has asked for something newer meanwhile, or must not ask.
    Older,
}

/// The newest adjustment of a category.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewestAdjustment {
    /// The category.
    pub category: CategoryName,
    /// Its number.
    pub adjustment: Adjustment,
    /// Units that the category shall have in all.
    pub wanted: u32,
    /// Who asked for it.
    pub source: StockSource,
    /// Whether the reseller has ever asked for anything: before, the spec says how many tickets there are.
    pub has_reseller_spoken: bool,
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

/// How the stock shards of a category share what is wanted, side by side.
struct Targets {
    ids: Vec<i64>,
    units: Vec<i64>,
    /// Above every adjustment that one of them has met, whatever became of the list of adjustments.
    next: i64,
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
                drop(connection);
                if self.is_gone(shard, &cause).await? {
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
        let mut connection = self.acquire().await?;
        let targets = targets(&mut connection, event, category, wanted).await?;
        let is_new = write(&mut connection, event, category, wanted, &targets, source)
            .await
            .map_err(|cause| LedgerError::Write {
                what: "an adjustment",
                cause,
            })?;
        let row: Option<AdjustmentColumns> = sqlx::query_as(
            "SELECT adjustment, wanted, stock_shard_ids, targets, source, spec_version, \
             reseller_version, reseller_event, is_done FROM adjustments \
             WHERE event_id = $1 AND category = $2",
        )
        .bind(event.0)
        .bind(category.as_str())
        .fetch_optional(&mut *connection)
        .await
        .map_err(|cause| LedgerError::Read {
            what: "an adjustment",
            cause,
        })?;
        match (row, source) {
            (Some(row), _) => row.into_answer(wanted, is_new, source),
            (None, AdjustmentSource::Spec { .. }) => Ok(AdjustmentAsked::Older),
            (None, AdjustmentSource::Reseller { .. }) => Err(LedgerError::UnknownEvent { event }),
        }
    }

    /// The newest adjustment of each category of an event that has one, in no order.
    pub async fn newest_adjustments(&self, event: EventId) -> Result<Vec<NewestAdjustment>> {
        let mut connection = self.acquire().await?;
        let rows: Vec<NewestColumns> = sqlx::query_as(
            "SELECT category, adjustment, wanted, source, \
             reseller_version IS NOT NULL AS has_reseller_spoken FROM adjustments \
             WHERE event_id = $1",
        )
        .bind(event.0)
        .fetch_all(&mut *connection)
        .await
        .map_err(|cause| LedgerError::Read {
            what: "adjustments",
            cause,
        })?;
        rows.into_iter().map(NewestColumns::into_newest).collect()
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
        let targets = targets(&mut connection, event, category, plan.wanted).await?;
        let adjustment: Option<i64> = sqlx::query_scalar(
            "UPDATE adjustments SET adjustment = adjustment + 1, stock_shard_ids = $4, \
             targets = $5 WHERE event_id = $1 AND category = $2 AND adjustment = $3 \
             AND NOT is_done RETURNING adjustment",
        )
        .bind(event.0)
        .bind(category.as_str())
        .bind(plan.adjustment.0)
        .bind(&targets.ids)
        .bind(&targets.units)
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
                    targets: pair(&targets.ids, &targets.units)?,
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

/// Writes an adjustment under the next number, unless its source may not ask for it or has asked for it already.
async fn write(
    connection: &mut PgConnection,
    event: EventId,
    category: &CategoryName,
    wanted: u32,
    targets: &Targets,
    source: &AdjustmentSource,
) -> std::result::Result<bool, sqlx::Error> {
    let query = match source {
        AdjustmentSource::Spec {
            owner,
            generation,
            seen,
        } => sqlx::query(
            "INSERT INTO adjustments AS a (event_id, category, adjustment, wanted, \
               stock_shard_ids, targets, source, spec_version) \
             SELECT c.event_id, c.name, $6, $3, $4, $5, 1, $7 \
             FROM categories c JOIN events e ON e.event_id = c.event_id \
             WHERE c.event_id = $1 AND c.name = $2 AND e.owner_uid = $8 \
             ON CONFLICT (event_id, category) DO UPDATE SET \
               adjustment = greatest(a.adjustment + 1, excluded.adjustment), \
               wanted = excluded.wanted, stock_shard_ids = excluded.stock_shard_ids, \
               targets = excluded.targets, source = excluded.source, \
               spec_version = excluded.spec_version, reseller_event = NULL, is_done = false \
             WHERE a.adjustment = $9 AND coalesce(a.spec_version, 0) <= excluded.spec_version \
               AND NOT (a.source = excluded.source AND a.wanted = excluded.wanted)",
        )
        .bind(event.0)
        .bind(category.as_str())
        .bind(i64::from(wanted))
        .bind(&targets.ids)
        .bind(&targets.units)
        .bind(targets.next)
        .bind(generation)
        .bind(owner)
        .bind(seen.0),
        AdjustmentSource::Reseller { version, event: id } => sqlx::query(
            "INSERT INTO adjustments AS a (event_id, category, adjustment, wanted, \
               stock_shard_ids, targets, source, reseller_version, reseller_event) \
             SELECT c.event_id, c.name, $6, $3, $4, $5, 2, $7, $8 FROM categories c \
             WHERE c.event_id = $1 AND c.name = $2 \
             ON CONFLICT (event_id, category) DO UPDATE SET \
               adjustment = greatest(a.adjustment + 1, excluded.adjustment), \
               wanted = excluded.wanted, stock_shard_ids = excluded.stock_shard_ids, \
               targets = excluded.targets, source = excluded.source, \
               reseller_version = excluded.reseller_version, \
               reseller_event = excluded.reseller_event, is_done = false \
             WHERE a.reseller_version IS NULL OR a.reseller_version < excluded.reseller_version",
        )
        .bind(event.0)
        .bind(category.as_str())
        .bind(i64::from(wanted))
        .bind(&targets.ids)
        .bind(&targets.units)
        .bind(targets.next)
        .bind(version)
        .bind(id),
    };
    let done = query.execute(connection).await?;
    Ok(done.rows_affected() == 1)
}

/// The stock shards of a category and how they share `wanted` units.
async fn targets(
    connection: &mut PgConnection,
    event: EventId,
    category: &CategoryName,
    wanted: u32,
) -> Result<Targets> {
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
    let next = 1 + levels
        .iter()
        .map(|level| level.adjustment)
        .max()
        .unwrap_or(0);
    let mut of: HashMap<i64, StockCounts> = levels
        .iter()
        .map(|level| (level.stock_shard_id, level.counts()))
        .collect();
    // A row that is missing is just being deleted.
    let (ids, counts): (Vec<i64>, Vec<StockCounts>) = ids
        .into_iter()
        .filter_map(|id| of.remove(&id).map(|counts| (id, counts)))
        .unzip();
    let units = share_anew(wanted, &counts);
    Ok(Targets { ids, units, next })
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
    fn into_answer(
        self,
        wanted: u32,
        is_new: bool,
        asked: &AdjustmentSource,
    ) -> Result<AdjustmentAsked> {
        let is_theirs = self.source == asked.source().number();
        match asked {
            AdjustmentSource::Spec {
                generation, seen, ..
            } => {
                let is_same = is_theirs
                    && self.adjustment == seen.0
                    && self.wanted == i64::from(wanted)
                    && self.spec_version.is_none_or(|newest| newest <= *generation);
                if !is_new && !is_same {
                    return Ok(AdjustmentAsked::Older);
                }
            }
            AdjustmentSource::Reseller { version, .. } => {
                if self.reseller_version != Some(*version) {
                    return Ok(AdjustmentAsked::Older);
                }
                // Another source that asked afterwards has replaced what this one had begun.
                if self.is_done || !is_theirs {
                    return Ok(AdjustmentAsked::Done);
                }
            }
        }
        Ok(AdjustmentAsked::Open(AdjustmentPlan {
            adjustment: Adjustment(self.adjustment),
            wanted: u32::try_from(self.wanted).unwrap_or(u32::MAX),
            reseller_event: self.reseller_event,
            targets: pair(&self.stock_shard_ids, &self.targets)?,
        }))
    }
}

#[derive(FromRow)]
struct NewestColumns {
    category: String,
    adjustment: i64,
    wanted: i64,
    source: i16,
    has_reseller_spoken: bool,
}

impl NewestColumns {
    fn into_newest(self) -> Result<NewestAdjustment> {
        let corrupt = |cause| LedgerError::Corrupt {
            what: "an adjustment",
            cause,
        };
        let unknown = InvalidId {
            what: "stock source",
            why: "the number is not known",
        };
        Ok(NewestAdjustment {
            category: CategoryName::new(&self.category).map_err(corrupt)?,
            adjustment: Adjustment(self.adjustment),
            wanted: u32::try_from(self.wanted).unwrap_or(u32::MAX),
            source: StockSource::from_number(self.source).ok_or_else(|| corrupt(unknown))?,
            has_reseller_spoken: self.has_reseller_spoken,
        })
    }
}
