//! The end of holds. Once a second the process looks for holds that are over, on the partitions that it owns, and sends an
//! `Expire` command for each to its own partition. It goes through the log like everything else, so that a crash cannot
//! lose the fact; the ledger looks at its own row again before it believes it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ticket_bus::{Producer, TopicPartition};
use ticket_core::{Action, Command, OrderCommand, OrderRef, StockShardId, clock};
use ticket_ledger::Ledger;
use ticket_telemetry::chain;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::catalog::{Catalog, ShardEntry, Snapshot};
use crate::commands::send;

/// How often holds are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Most holds of a node that end in one look; the rest ends in the next.
const HOLDS_PER_LOOK_MAX: u32 = 2_000;

/// A command that was sent is not sent again for this long; until then it waits on the log.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// The holds of this process's partitions.
#[derive(Default)]
pub struct Expiry {
    owned: Mutex<HashSet<TopicPartition>>,
}

/// Ownership of a partition; ends when it is dropped.
pub(super) struct Ownership {
    expiry: Arc<Expiry>,
    partition: TopicPartition,
}

impl Drop for Ownership {
    fn drop(&mut self) {
        let mut owned = self
            .expiry
            .owned
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        owned.remove(&self.partition);
    }
}

impl Expiry {
    pub(super) fn own(self: &Arc<Self>, source: &TopicPartition) -> Ownership {
        let partition = source.clone();
        let mut owned = self.owned.lock().unwrap_or_else(PoisonError::into_inner);
        owned.insert(partition.clone());
        Ownership {
            expiry: self.clone(),
            partition,
        }
    }

    /// The stock shards of the partitions that this process owns.
    fn shards(&self, snapshot: &Snapshot) -> Vec<StockShardId> {
        let owned = self
            .owned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if owned.is_empty() {
            return Vec::new();
        }
        let is_owned = |entry: &ShardEntry| {
            owned.contains(&TopicPartition::new(entry.event.topic(), entry.partition))
        };
        snapshot
            .shards()
            .filter(|(_, entry)| is_owned(entry))
            .map(|(id, _)| id)
            .collect()
    }

    /// Ends holds until `stop`.
    pub async fn run(
        self: Arc<Self>,
        ledger: Ledger,
        catalog: Arc<Catalog>,
        log: Producer,
        stop: CancellationToken,
    ) {
        let mut asked: HashMap<OrderRef, Instant> = HashMap::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            asked.retain(|_, at| at.elapsed() < ASK_AGAIN_AFTER);
            let shards = self.shards(&catalog.snapshot());
            if shards.is_empty() {
                continue;
            }
            let now = clock::now();
            let mut ended = 0_u32;
            for hold in due_holds(&ledger, &shards, now).await {
                if asked.contains_key(&hold) {
                    continue;
                }
                let action = Action::Expire;
                let command = OrderCommand {
                    order: hold.order,
                    shard: hold.shard,
                    at: now,
                    action,
                };
                if let Err(error) = send(&catalog, &log, &Command::Order(command)).await {
                    warn!(error = %chain(&error), "holds not ended, trying again");
                    break;
                }
                asked.insert(hold, Instant::now());
                ended += 1;
            }
            if ended > 0 {
                info!(holds = ended, "holds are over");
            }
        }
    }
}

/// Holds that are over. A node that does not answer keeps its own; those on the others end.
async fn due_holds(ledger: &Ledger, shards: &[StockShardId], now: Timestamp) -> Vec<OrderRef> {
    let groups = match ledger.by_node(shards).await {
        Ok(groups) => groups,
        Err(error) => {
            warn!(error = %chain(&error), code = error.code(), "holds not looked at");
            return Vec::new();
        }
    };
    let mut due = Vec::new();
    for group in groups {
        match ledger.due_holds(&group, now, HOLDS_PER_LOOK_MAX).await {
            Ok(of_node) => due.extend(of_node),
            Err(error) => {
                let stock_shards = group.len();
                warn!(error = %chain(&error), code = error.code(), stock_shards, "holds not looked at");
            }
        }
    }
    due
}
