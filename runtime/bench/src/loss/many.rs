//! Redis is killed under a thousand small events: how long until every one of them sells again? And what does it cost to watch
//! over them while nothing happens?

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use serde_json::json;
use ticket_core::OrderRef;
use tokio::time::sleep;

use super::back::{Back, die_and_come_back};
use super::stand::{Stand, is_exact};
use crate::crowd::token::Tokens;
use crate::ledger::drain;
use crate::ledger::fill;
use crate::ledger::rig::{BUYER_SECRET, CATEGORY, HotEvent, Rig, cpu_of};
use crate::say;
use crate::stats::Spread;
use crate::suite::measure::{Board, Measure};
use crate::suite::plan::Plan;
use crate::suite::section::{Bar, Section, Table};
use crate::text::grouped;

/// Orders that each event has when Redis dies.
const ORDERS_EACH: u32 = 10;

/// Orders of one ledger call while they are drained.
const BATCH_MAX: u32 = 1_000;

/// Everything idles for so long before anybody looks at the clock, and is looked at for so long.
const SETTLE: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(5);

/// Every event sells again at most so long after Redis answers, seconds.
const CLOSED_S_MAX: f64 = 10.0;

/// An event that is closed for longer has failed.
const CLOSED_WAIT_MAX: Duration = Duration::from_mins(3);

/// Events whose buyers wait at the same time.
const BUYERS_AT_ONCE: usize = 32;

/// A buyer who was turned away tries again after so long.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Events that are made, filled and taken away in a second.
const EVENTS_PER_SECOND: u32 = 20;

/// Processes, idling, the death.
const AROUND: Duration = Duration::from_secs(25);

/// What was seen.
#[derive(Debug, Clone, Copy, Serialize)]
struct Seen {
    /// Parts of a core while nothing happens.
    keeper_idle: f64,
    redis_idle: f64,
    postgres_idle: f64,
    /// Since Redis answered: the first event had its lock, the last one was finished.
    first_lock_s: f64,
    last_end_s: f64,
    /// The slowest warm-up of all, from its lock to its end.
    longest_run_ms: f64,
    /// Since Redis answered: an order of every event had its 202.
    closed_s: f64,
    /// Warm-ups that were begun and not carried to their end.
    in_vain: i64,
}

/// The measure.
pub(super) struct UnderEvents {
    events: u32,
    seen: Option<Seen>,
}

impl UnderEvents {
    pub(super) const fn new(events: u32) -> Self {
        Self { events, seen: None }
    }

    async fn measure(&mut self, rig: &Rig) -> anyhow::Result<()> {
        let orders = self.events * ORDERS_EACH;
        let count = usize::try_from(self.events)?;
        let units = fill::units(orders, self.events);
        let events = rig.events(count, 1, 1, units).await?;
        // The store is not told of these orders. It dies soon; what comes after it must know them.
        drain::of_events(rig, &events, orders, BATCH_MAX).await?;
        let stand = Stand::open(rig).await?;
        let idle = idle(rig, &stand).await?;
        let back = die_and_come_back(rig).await?;
        let acknowledged = all_sell(&stand, &events, back).await?;
        let closed_s = back.at.elapsed().as_secs_f64();
        is_exact(rig, &events, &acknowledged).await?;
        let runs = runs(rig, &events, back).await?;
        let [keeper_idle, redis_idle, postgres_idle] = idle;
        let seen = Seen {
            keeper_idle,
            redis_idle,
            postgres_idle,
            first_lock_s: runs.first_lock_s,
            last_end_s: runs.last_end_s,
            longest_run_ms: runs.longest_ms,
            closed_s,
            in_vain: runs.in_vain,
        };
        say::progress(&format!(
            "{} events: all sell after {closed_s:.1} s, the last warm-up ended after {:.1} s, the longest took {:.0} ms; idle \
             the keeper takes {:.0} % of a core",
            grouped(self.events.into()),
            seen.last_end_s,
            seen.longest_run_ms,
            seen.keeper_idle * 100.0,
        ));
        self.seen = Some(seen);
        stand.close().await?;
        rig.retire(&events).await
    }
}

/// Parts of a core that keeper, Redis and the database take while nobody buys.
async fn idle(rig: &Rig, stand: &Stand) -> anyhow::Result<[f64; 3]> {
    sleep(SETTLE).await;
    let used = || -> anyhow::Result<[Duration; 3]> {
        let servers = rig.cpu_used()?;
        Ok([
            cpu_of(stand.keeper.server())?,
            servers.redis,
            servers.postgres,
        ])
    };
    let (before, began) = (used()?, Instant::now());
    sleep(IDLE).await;
    let (after, took) = (used()?, began.elapsed());
    let part = |at: usize| after[at].saturating_sub(before[at]).as_secs_f64() / took.as_secs_f64();
    Ok([part(0), part(1), part(2)])
}

/// An order of every event has its 202, each buyer trying for as long as it takes.
async fn all_sell(stand: &Stand, events: &[HotEvent], back: Back) -> anyhow::Result<Vec<OrderRef>> {
    let http = reqwest::Client::builder()
        .no_proxy()
        .build()
        .context("could not make an HTTP client")?;
    // A buyer for each event: nobody may send so many requests.
    let tokens = Tokens::new(BUYER_SECRET);
    stream::iter(events)
        .map(|event| sells(&http, &tokens, stand, event, back))
        .buffer_unordered(BUYERS_AT_ONCE)
        .try_collect()
        .await
}

async fn sells(
    http: &reqwest::Client,
    tokens: &Tokens,
    stand: &Stand,
    event: &HotEvent,
    back: Back,
) -> anyhow::Result<OrderRef> {
    let url = format!(
        "http://{}/v1/events/{}/orders",
        stand.target.address(),
        event.name
    );
    let token = tokens.valid(&format!("buyer-of-{}", event.name))?;
    loop {
        let answer = http
            .post(&url)
            .bearer_auth(&token)
            .header("idempotency-key", "after the death")
            .json(&json!({ "category": CATEGORY, "quantity": 1 }))
            .send()
            .await
            .context("the buyer API does not answer")?;
        let status = answer.status();
        let body: serde_json::Value = answer.json().await.context("an answer is unreadable")?;
        if status == reqwest::StatusCode::ACCEPTED {
            let id = body["id"].as_str().context("an order has no id")?;
            return id.parse().context("an order's id is unreadable");
        }
        anyhow::ensure!(
            status == reqwest::StatusCode::SERVICE_UNAVAILABLE,
            "{}: {status}: {body}",
            event.name
        );
        anyhow::ensure!(
            back.at.elapsed() < CLOSED_WAIT_MAX,
            "{} does not sell {CLOSED_WAIT_MAX:?} after Redis was back: {body}",
            event.name
        );
        sleep(AGAIN_AFTER).await;
    }
}

/// The warm-ups of all events.
struct Runs {
    first_lock_s: f64,
    last_end_s: f64,
    longest_ms: f64,
    in_vain: i64,
}

async fn runs(rig: &Rig, events: &[HotEvent], back: Back) -> anyhow::Result<Runs> {
    let mut runs = Runs {
        first_lock_s: f64::INFINITY,
        last_end_s: 0.0,
        longest_ms: 0.0,
        in_vain: 0,
    };
    for event in events {
        // All that there is: the event was new.
        for run in rig.ledger.warmup_history(event.id, 100).await? {
            if run.result.as_deref() != Some("armed") {
                runs.in_vain += 1;
                continue;
            }
            let finished = run.finished_at.context("a warm-up is not finished")?;
            let after = |at: jiff::Timestamp| at.duration_since(back.by_clock).as_secs_f64();
            let (lock, end) = (after(run.acquired_at), after(finished));
            runs.first_lock_s = runs.first_lock_s.min(lock);
            runs.last_end_s = runs.last_end_s.max(end);
            runs.longest_ms = runs.longest_ms.max((end - lock) * 1e3);
        }
    }
    Ok(runs)
}

impl Measure for UnderEvents {
    fn name(&self) -> &'static str {
        "redis dies under many events"
    }

    fn takes(&self) -> Duration {
        AROUND + Duration::from_secs((self.events / EVENTS_PER_SECOND).into())
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
        let events = grouped(self.events.into());
        let mut table = Table::new([
            "events",
            "all sell again, s",
            "last warm-up ended, s",
            "longest, ms",
        ]);
        let mut notes = Vec::new();
        if let Some(seen) = &self.seen {
            table.row([
                events.clone(),
                format!("{:.1}", seen.closed_s),
                format!("{:.1}", seen.last_end_s),
                format!("{:.0}", seen.longest_run_ms),
            ]);
            let percent = |part: f64| format!("{:.1} %", part * 100.0);
            notes.push(format!(
                "To watch over {events} events while nothing happens takes {} of a core in the keeper, {} in Redis and {} in \
                 PostgreSQL (the API's and the processor's own looks at the list of events included).",
                percent(seen.keeper_idle),
                percent(seen.redis_idle),
                percent(seen.postgres_idle),
            ));
            if seen.in_vain > 0 {
                notes.push(format!(
                    "{} warm-ups were begun and not carried to their end; others took their place.",
                    seen.in_vain
                ));
            }
        }
        Section {
            title: "Redis dies".to_owned(),
            intro: vec![format!(
                "{events} events with one stock shard and {ORDERS_EACH} orders each; Redis is killed and started with nothing, \
                 and one buyer of each event tries until his order has its 202. Seconds since Redis answers PING."
            )],
            tables: vec![table],
            plots: Vec::new(),
            bars: vec![Bar::at_most(
                &format!("all of {events} events sell again"),
                CLOSED_S_MAX,
                " s",
                &Spread::of(self.seen.iter().map(|seen| seen.closed_s).collect()),
            )],
            notes,
        }
    }

    fn results(&self, _board: &Board) -> serde_json::Value {
        serde_json::to_value(self.seen).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_event_counts() {
        let mut many = UnderEvents::new(1_000);
        assert!(
            !many.section(&Board::default()).bars[0].holds,
            "nothing was measured"
        );
        let mut seen = Seen {
            keeper_idle: 0.05,
            redis_idle: 0.04,
            postgres_idle: 0.03,
            first_lock_s: 0.2,
            last_end_s: 4.0,
            longest_run_ms: 90.0,
            closed_s: 4.2,
            in_vain: 0,
        };
        many.seen = Some(seen);
        let section = many.section(&Board::default());
        assert!(section.bars[0].holds, "{section:?}");
        assert!(
            section.notes[0].contains("5.0 % of a core in the keeper"),
            "{section:?}"
        );
        seen.closed_s = 10.1;
        many.seen = Some(seen);
        assert!(!many.section(&Board::default()).bars[0].holds);
    }
}
