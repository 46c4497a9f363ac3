//! The database or Kafka is away for half a minute while buyers go on: no order that was accepted is lost, and the API turns
//! buyers away instead of keeping them, so that the memory of our processes stays what it was.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use serde::Serialize;
use ticket_testkit::Product;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::stand::{Answers, Stand, Told, is_exact};
use crate::ledger::rig::{HotEvent, Rig};
use crate::say;
use crate::stats::Spread;
use crate::suite::measure::{Board, Measure};
use crate::suite::plan::Plan;
use crate::suite::section::{Bar, Section, Table};
use crate::text::grouped;

/// Stock shards of the sale, each on a partition of its own.
const SHARDS: u16 = 4;

/// Tickets of each: more than buyers take.
const UNITS: u32 = 1_000_000;

/// Orders that buyers send in a second, before, meanwhile and afterwards.
const PER_SECOND: u32 = 1_000;

/// The sale runs for so long before, and goes on for so long afterwards.
const AROUND: Duration = Duration::from_secs(4);

/// Between two looks at the processes.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Most memory of API, processor and keeper together while a server is away, megabytes: what they may hold under a queue of a
/// million orders, and a keeper.
const RUNTIME_MB_MAX: f64 = 300.0;

/// Servers that come back, orders that are decided, the comparison.
const COMES_BACK: Duration = Duration::from_secs(20);

/// What is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Away {
    /// Every process of it stands still: connections stay open and nothing is answered, which is worse than to be refused.
    Database,
    /// Killed, and started again later with what it had written.
    Kafka,
}

impl Away {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Database => "PostgreSQL",
            Self::Kafka => "Kafka",
        }
    }

    const fn how(self) -> &'static str {
        match self {
            Self::Database => "every process of it is stopped (SIGSTOP), and goes on later",
            Self::Kafka => "killed (SIGKILL), and started again later",
        }
    }
}

/// What was seen.
#[derive(Debug, Clone, Serialize)]
struct Seen {
    /// Memory of API, processor and keeper, megabytes.
    before_mb: f64,
    most_mb: f64,
    answers: Answers,
    acknowledged: usize,
    /// From the server's return until every accepted order was decided and the store agreed with the ledger.
    settled_s: f64,
}

/// The measure.
pub(super) struct Outage {
    away: Away,
    lasts: Duration,
    name: String,
    seen: Option<Seen>,
}

impl Outage {
    pub(super) fn new(away: Away, lasts: Duration) -> Self {
        Self {
            away,
            lasts,
            name: format!("without {}", away.as_str()),
            seen: None,
        }
    }

    async fn measure(&mut self, rig: &Rig) -> anyhow::Result<()> {
        let event = rig.event(SHARDS, UNITS).await?;
        let stand = Stand::open(rig).await?;
        let buyers = stand.buyers(rig, &event).await?;
        let seen = self.carry_out(rig, &stand, &event, &buyers).await?;
        say::progress(&format!(
            "{} away for {:?}: {} orders accepted, {} turned away, {:.0} MB before and {:.0} MB at most; all settled {:.1} s \
             after it was back",
            self.away.as_str(),
            self.lasts,
            grouped(seen.answers.accepted),
            grouped(seen.answers.turned_away),
            seen.before_mb,
            seen.most_mb,
            seen.settled_s,
        ));
        self.seen = Some(seen);
        stand.close().await?;
        rig.retire(&[event]).await
    }

    async fn carry_out(
        &self,
        rig: &Rig,
        stand: &Stand,
        event: &HotEvent,
        buyers: &Arc<Told>,
    ) -> anyhow::Result<Seen> {
        let course = async {
            sleep(AROUND).await;
            let before_mb = all_mb(stand)?;
            let (back_at, most_mb) = self.is_away(rig, stand).await?;
            sleep(AROUND).await;
            anyhow::Ok((before_mb, most_mb, back_at))
        };
        let ((before_mb, most_mb, back_at), answers) =
            stand.while_buying(buyers, PER_SECOND, course).await?;
        let acknowledged = buyers.take_acknowledged()?;
        is_exact(rig, std::slice::from_ref(event), &acknowledged).await?;
        Ok(Seen {
            before_mb,
            most_mb,
            answers,
            acknowledged: acknowledged.len(),
            settled_s: back_at.elapsed().as_secs_f64(),
        })
    }

    /// Answers with the moment of the return, and with the most memory that was seen until then.
    async fn is_away(&self, rig: &Rig, stand: &Stand) -> anyhow::Result<(Instant, f64)> {
        let looks = most_mb_within(stand, self.lasts);
        match self.away {
            Away::Database => {
                rig.pause_database()?;
                let most_mb = looks.await;
                // Also after an error: whoever comes next needs the database.
                rig.resume_database()?;
                Ok((Instant::now(), most_mb?))
            }
            Away::Kafka => {
                let mut kafka = rig.kafka().await;
                kafka.kill().await.context("Kafka was not killed")?;
                let most_mb = looks.await;
                kafka.restart().await.context("Kafka did not start again")?;
                Ok((Instant::now(), most_mb?))
            }
        }
    }
}

async fn most_mb_within(stand: &Stand, lasts: Duration) -> anyhow::Result<f64> {
    let started = Instant::now();
    let mut every = interval(LOOK_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut most = 0.0_f64;
    while started.elapsed() < lasts {
        every.tick().await;
        most = most.max(all_mb(stand)?);
    }
    Ok(most)
}

fn all_mb(stand: &Stand) -> anyhow::Result<f64> {
    let mut kib = 0;
    for product in [&stand.api.product, &stand.processor, &stand.keeper] {
        let resident = Product::resident_kib(product);
        kib += resident.context("a process of ours does not run any more")?;
    }
    Ok(f64::from(u32::try_from(kib)?) * 1_024.0 / 1e6)
}

impl Measure for Outage {
    fn name(&self) -> &str {
        &self.name
    }

    fn takes(&self) -> Duration {
        self.lasts + 2 * AROUND + COMES_BACK
    }

    fn rounds(&self, _plan: &Plan) -> u32 {
        1
    }

    // Kafka comes back with a cold process.
    fn is_last(&self) -> bool {
        true
    }

    fn round<'a>(
        &'a mut self,
        rig: &'a Rig,
        _board: &'a mut Board,
    ) -> LocalBoxFuture<'a, anyhow::Result<()>> {
        self.measure(rig).boxed_local()
    }

    fn section(&self, _board: &Board) -> Section {
        let mut table = Table::new([
            "away",
            "orders accepted",
            "turned away (503)",
            "memory before",
            "at most",
            "settled after, s",
        ]);
        let mut most = Vec::new();
        if let Some(seen) = &self.seen {
            table.row([
                self.away.as_str().to_owned(),
                grouped(seen.answers.accepted),
                grouped(seen.answers.turned_away),
                format!("{:.0} MB", seen.before_mb),
                format!("{:.0} MB", seen.most_mb),
                format!("{:.1}", seen.settled_s),
            ]);
            most.push(seen.most_mb);
        }
        Section {
            title: "A server is away".to_owned(),
            intro: vec![
                format!(
                    "{PER_SECOND} orders a second over HTTP, and a server that is not there for a while. Afterwards every order \
                     that was accepted is decided, and stock store and ledger have the same units on every stock shard. \
                     Resident memory of API, processor and keeper together.",
                ),
                format!(
                    "{}, for {} s: {}.",
                    self.away.as_str(),
                    self.lasts.as_secs(),
                    self.away.how()
                ),
            ],
            tables: vec![table],
            plots: Vec::new(),
            bars: vec![Bar::at_most(
                &format!("memory while {} is away", self.away.as_str()),
                RUNTIME_MB_MAX,
                " MB",
                &Spread::of(most),
            )],
            notes: Vec::new(),
        }
    }

    fn results(&self, _board: &Board) -> serde_json::Value {
        serde_json::to_value(&self.seen).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_memory_counts_and_both_servers_share_a_table() {
        let seen = |most_mb| Seen {
            before_mb: 90.0,
            most_mb,
            answers: Answers::default(),
            acknowledged: 30_000,
            settled_s: 3.0,
        };
        let mut outage = Outage::new(Away::Kafka, Duration::from_secs(30));
        assert!(
            !outage.section(&Board::default()).bars[0].holds,
            "nothing was measured"
        );
        outage.seen = Some(seen(120.0));
        let section = outage.section(&Board::default());
        assert!(section.bars[0].holds, "{section:?}");
        assert_eq!(
            section.tables[0].rows[0],
            ["Kafka", "0", "0", "90 MB", "120 MB", "3.0"]
        );
        outage.seen = Some(seen(301.0));
        assert!(!outage.section(&Board::default()).bars[0].holds);
    }
}
