//! Redis is killed in the middle of a large sale, with tens of thousands of orders that the new one must know: how long is the
//! sale closed? After each time ledger and store are compared to the unit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use hyper::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use ticket_ledger::Warmup;
use tokio::time::sleep;

use super::back::{Back, die_and_come_back};
use super::stand::{Answers, CONNECTIONS, Stand, Told, is_exact};
use crate::ledger::rig::{HotEvent, Rig};
use crate::load;
use crate::say;
use crate::stats::Spread;
use crate::suite::measure::{Board, Measure};
use crate::suite::plan::Plan;
use crate::suite::section::{Bar, Section, Table};
use crate::text::grouped;

/// Stock shards of the sale, each on a partition of its own.
const SHARDS: u16 = 4;

/// Tickets of each: 100,000 in all.
const UNITS: u32 = 25_000;

/// Orders that come in a second before anything dies.
const FILLED_PER_SECOND: u32 = 4_000;

/// They come in waves of so long until there are enough.
const FILL_WAVE: Duration = Duration::from_secs(1);

/// Orders that come in a second while Redis dies. A sale in its middle is not a rush any more, and what is measured must not
/// wait for a busy machine.
const SOLD_PER_SECOND: u32 = 200;

/// The sale goes on for so long before the next death.
const BETWEEN: Duration = Duration::from_millis(500);

/// Sells again at most so long after Redis answers, milliseconds: 99 of 100 times, so the worst of twenty counts.
const CLOSED_MS_MAX: f64 = 2_000.0;

/// A sale that is closed for longer has failed.
const CLOSED_WAIT_MAX: Duration = Duration::from_secs(30);

/// Between two looks whether it sells.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// One death, comparison included.
const TAKES: Duration = Duration::from_secs(4);

/// Start and first orders.
const AROUND: Duration = Duration::from_secs(10);

/// What one death did. Times count from the moment at which the new Redis answered.
#[derive(Debug, Clone, Serialize)]
struct Death {
    /// Until the keeper had the lock: it noticed.
    noticed_ms: f64,
    /// From the lock to the end of the run.
    run_ms: f64,
    /// Until a new order had its 202.
    closed_ms: f64,
    /// Epochs that it took; more than 1 is a run that was fenced.
    epochs: i64,
    answers: Answers,
    /// Orders in the ledger afterwards.
    orders: usize,
}

/// The measure.
pub(super) struct InASale {
    times: u32,
    live: u32,
    deaths: Vec<Death>,
}

impl InASale {
    pub(super) const fn new(times: u32, live: u32) -> Self {
        Self {
            times,
            live,
            deaths: Vec::new(),
        }
    }

    async fn measure(&mut self, rig: &Rig) -> anyhow::Result<()> {
        let event = rig.event(SHARDS, UNITS).await?;
        let stand = Stand::open(rig).await?;
        let buyers = stand.buyers(rig, &event).await?;
        let (target, mut live) = (&stand.target, 0);
        while live < u64::from(self.live) {
            let wave = load::steady(target, CONNECTIONS, FILLED_PER_SECOND, FILL_WAVE, &buyers);
            live += wave.await?.all(StatusCode::ACCEPTED)?;
        }
        let mut orders = 0;
        for _ in 0..self.times {
            let death = one(rig, &stand, &event, &buyers, &mut orders).await?;
            say::progress(&format!(
                "{} orders: closed for {:.0} ms, noticed after {:.0} ms, run {:.0} ms; {} orders were turned away",
                grouped(u64::try_from(death.orders)?),
                death.closed_ms,
                death.noticed_ms,
                death.run_ms,
                death.answers.turned_away,
            ));
            self.deaths.push(death);
        }
        stand.close().await?;
        rig.retire(&[event]).await
    }

    fn spread(&self, value: impl Fn(&Death) -> f64) -> Spread {
        Spread::of(self.deaths.iter().map(value).collect())
    }
}

async fn one(
    rig: &Rig,
    stand: &Stand,
    event: &HotEvent,
    buyers: &Arc<Told>,
    orders: &mut usize,
) -> anyhow::Result<Death> {
    let course = async {
        sleep(BETWEEN).await;
        let back = die_and_come_back(rig).await?;
        let sold = sells_again(buyers, back).await?;
        anyhow::Ok((back, sold))
    };
    let before = epoch(rig, event).await?;
    let ((back, sold), answers) = stand.while_buying(buyers, SOLD_PER_SECOND, course).await?;
    let acknowledged = buyers.take_acknowledged()?;
    is_exact(rig, std::slice::from_ref(event), &acknowledged).await?;
    *orders += acknowledged.len();
    let (run, finished) = last_run(rig, event, back).await?;
    let ms = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs_f64() * 1e3;
    Ok(Death {
        noticed_ms: ms(back.by_clock, run.acquired_at),
        run_ms: ms(run.acquired_at, finished),
        closed_ms: sold.duration_since(back.at).as_secs_f64() * 1e3,
        epochs: run.epoch.0 - before,
        answers,
        orders: *orders,
    })
}

/// The warm-up that armed the store, and when it was finished.
async fn last_run(rig: &Rig, event: &HotEvent, back: Back) -> anyhow::Result<(Warmup, Timestamp)> {
    loop {
        let newest = rig.ledger.warmup_history(event.id, 1).await?.pop();
        if let Some(run) = newest
            && let Some(finished) = run.finished_at
            && run.result.as_deref() == Some("armed")
        {
            return Ok((run, finished));
        }
        let is_over = back.at.elapsed() > CLOSED_WAIT_MAX;
        anyhow::ensure!(!is_over, "the warm-up does not come to its end");
        sleep(LOOK_EVERY).await;
    }
}

async fn epoch(rig: &Rig, event: &HotEvent) -> anyhow::Result<i64> {
    let row = rig.ledger.event(event.id).await?;
    Ok(row.context("the event is gone")?.epoch.0)
}

/// The first 202 of an order that was sent after Redis had died.
async fn sells_again(buyers: &Told, back: Back) -> anyhow::Result<Instant> {
    loop {
        if let Some(sold) = buyers.first_accepted(back.dead_at, back.at) {
            return Ok(sold);
        }
        let closed = back.at.elapsed();
        anyhow::ensure!(
            closed < CLOSED_WAIT_MAX,
            "nothing is sold {closed:?} after Redis was back"
        );
        sleep(LOOK_EVERY).await;
    }
}

impl Measure for InASale {
    fn name(&self) -> &'static str {
        "redis dies in a sale"
    }

    fn takes(&self) -> Duration {
        AROUND + TAKES * self.times
    }

    fn rounds(&self, _plan: &Plan) -> u32 {
        1
    }

    // A Redis that was killed is cold for whoever comes next.
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
        let mut table = Table::new(["milliseconds after Redis answers", "median", "worst"]);
        let mut row = |what: &str, spread: &Spread| {
            table.row([
                what.to_owned(),
                format!("{:.0}", spread.median),
                format!("{:.0}", spread.max),
            ]);
        };
        row("a keeper has the lock", &self.spread(|it| it.noticed_ms));
        row(
            "from lock to end of the warm-up",
            &self.spread(|it| it.run_ms),
        );
        let closed = self.spread(|it| it.closed_ms);
        row("a new order has its 202", &closed);
        let worst: Vec<f64> = closed
            .values
            .iter()
            .copied()
            .reduce(f64::max)
            .into_iter()
            .collect();
        let mut notes = Vec::new();
        if let Some(last) = self.deaths.last() {
            let turned_away: u64 = self.deaths.iter().map(|it| it.answers.turned_away).sum();
            notes.push(format!(
                "{} orders were accepted in all and {} were turned away (503). After each death every accepted order was \
                 decided, and stock store and ledger had the same units on every stock shard.",
                grouped(u64::try_from(last.orders).unwrap_or(0)),
                grouped(turned_away),
            ));
        }
        let what = format!(
            "sells again with {} live orders, worst of {}",
            grouped(self.live.into()),
            self.times
        );
        Section {
            title: "Redis dies".to_owned(),
            intro: vec![format!(
                "A sale of {} tickets with {} live orders or more, and {SOLD_PER_SECOND} new ones a second. Redis is killed \
                 (SIGKILL) and started with nothing, {} times; the time counts from the moment at which it answers PING.",
                grouped(u64::from(UNITS) * u64::from(SHARDS)),
                grouped(self.live.into()),
                self.times,
            )],
            tables: vec![table],
            plots: Vec::new(),
            bars: vec![Bar::at_most(
                &what,
                CLOSED_MS_MAX,
                " ms",
                &Spread::of(worst),
            )],
            notes,
        }
    }

    fn results(&self, _board: &Board) -> serde_json::Value {
        serde_json::to_value(&self.deaths).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn death(closed_ms: f64) -> Death {
        Death {
            noticed_ms: 100.0,
            run_ms: 300.0,
            closed_ms,
            epochs: 1,
            answers: Answers::default(),
            orders: 20_000,
        }
    }

    #[test]
    fn the_worst_death_counts() {
        let mut sale = InASale::new(3, 20_000);
        assert!(
            !sale.section(&Board::default()).bars[0].holds,
            "nothing was measured"
        );
        sale.deaths = [400.0, 1_900.0, 500.0].map(death).to_vec();
        assert!(sale.section(&Board::default()).bars[0].holds);
        sale.deaths.push(death(2_001.0));
        let section = sale.section(&Board::default());
        assert!(!section.bars[0].holds);
        assert_eq!(
            section.tables[0].rows[2],
            ["a new order has its 202", "1200", "2001"]
        );
    }
}
