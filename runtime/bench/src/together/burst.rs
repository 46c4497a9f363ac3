//! Ten times the rate for a moment: the queue grows, and while the load goes on as before it drains again.

use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use super::stand::{CONNECTIONS, Stand};
use super::steady::BORNE_MIN;
use crate::ledger::rig::{HotEvent, Rig};
use crate::stats::Spread;
use crate::suite::measure::{Board, Measure};
use crate::suite::plan::Plan;
use crate::suite::section::{Bar, Plot, Section, Table};
use crate::text::{grouped, short};

/// Orders per second before and after.
const RATE_PER_SECOND: u32 = 1_000;

/// Times that in the burst.
const TIMES: u32 = 10;

/// Between two looks at the lag.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// While the load goes on, orders are always on their way: a queue is drained when it holds no more than it did before the
/// burst, or than comes in a fifth of a second: offsets are committed every 100 ms, after up to two waits of 20 ms for a
/// batch to fill.
const ON_THE_WAY: i64 = 200;

/// Start, warm-up and comparison.
const AROUND: Duration = Duration::from_secs(5);

/// What was seen.
#[derive(Debug, Clone, Default, Serialize)]
struct Seen {
    /// Seconds from the start of the load, and records that waited then.
    lag: Vec<(f64, i64)>,
    burst_began_s: f64,
    burst_ended_s: f64,
    /// Requests per second that were answered in the burst.
    burst_per_s: f64,
    /// Requests of the burst that were never sent.
    unsent: u64,
    accepted_p99_ms: f64,
    decided_p99_ms: f64,
}

impl Seen {
    /// Most records that waited.
    fn lag_max(&self) -> i64 {
        self.lag.iter().map(|(_, lag)| *lag).max().unwrap_or(0)
    }

    /// Most records that waited before the burst, but no less than are on their way at the steady rate.
    fn lag_before(&self) -> i64 {
        let before = self.lag.iter().filter(|(at, _)| *at < self.burst_began_s);
        before.map(|(_, lag)| *lag).fold(ON_THE_WAY, i64::max)
    }

    /// Seconds from the end of the burst until the queue was drained and stayed so for a second; `None` if it never was.
    fn drained_after_s(&self) -> Option<f64> {
        let after: Vec<_> = self
            .lag
            .iter()
            .filter(|(at, _)| *at >= self.burst_ended_s)
            .collect();
        let most = self.lag_before();
        let drained = |at: f64| {
            let mut next = after
                .iter()
                .filter(|(then, _)| *then >= at && *then <= at + 1.0);
            next.all(|(_, lag)| *lag <= most)
        };
        let first = after.iter().find(|(at, _)| drained(*at));
        first.map(|(at, _)| at - self.burst_ended_s)
    }
}

/// The measure.
pub(super) struct Burst {
    before: Duration,
    lasts: Duration,
    seen: Option<Seen>,
}

impl Burst {
    pub(super) const fn new(before: Duration, lasts: Duration) -> Self {
        Self {
            before,
            lasts,
            seen: None,
        }
    }

    fn after(&self) -> Duration {
        2 * self.before
    }

    async fn measure(&mut self, rig: &Rig) -> anyhow::Result<()> {
        let load = self.before + self.after() + TIMES * self.lasts;
        let room = usize::try_from((load.as_secs() + 1) * u64::from(RATE_PER_SECOND) * 2)?;
        let stand = Stand::start(rig, room).await?;
        let started = Instant::now();
        let mut lag = Vec::new();
        let mut seen = Seen::default();
        let loads = async {
            stand.steady(rig, RATE_PER_SECOND, self.before).await?;
            seen.burst_began_s = started.elapsed().as_secs_f64();
            // Not waited for: the load goes on as before while the queue drains.
            let burst = stand.load(TIMES * RATE_PER_SECOND, self.lasts).await?;
            seen.burst_ended_s = started.elapsed().as_secs_f64();
            seen.burst_per_s = burst.per_second();
            seen.unsent = burst.unsent;
            seen.accepted_p99_ms = burst.percentile_ms(99.0);
            stand.load(RATE_PER_SECOND, self.after()).await?;
            anyhow::Ok(())
        };
        let watching = watch(rig, &stand.event, started, &mut lag);
        tokio::select! {
            done = loads => done?,
            never = watching => return never,
        }
        stand.all_decided().await?;
        seen.decided_p99_ms = stand.follow.counted().decided_after_ms(99.0);
        seen.lag = lag;
        stand.finish(rig).await?;
        self.seen = Some(seen);
        Ok(())
    }
}

/// Writes down what waits on the logs of `event`, until it fails.
async fn watch(
    rig: &Rig,
    event: &HotEvent,
    started: Instant,
    seen: &mut Vec<(f64, i64)>,
) -> anyhow::Result<()> {
    let mut every = interval(LOOK_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        every.tick().await;
        let waiting = rig.waiting(event).await?;
        seen.push((started.elapsed().as_secs_f64(), waiting));
    }
}

impl Measure for Burst {
    fn name(&self) -> &'static str {
        "burst"
    }

    fn takes(&self) -> Duration {
        self.before + self.lasts + self.after() + AROUND
    }

    fn rounds(&self, _plan: &Plan) -> u32 {
        1
    }

    fn round<'a>(
        &'a mut self,
        rig: &'a Rig,
        _board: &'a mut Board,
    ) -> LocalBoxFuture<'a, anyhow::Result<()>> {
        self.measure(rig).boxed_local()
    }

    fn section(&self, _board: &Board) -> Section {
        let seen = self.seen.clone().unwrap_or_default();
        let drained = seen.drained_after_s();
        let reached = match drained {
            Some(after) => format!(
                "{after:.1} s after the burst, at most {} waited",
                grouped(seen.lag_max().unsigned_abs())
            ),
            None => format!(
                "never; at most {} waited",
                grouped(seen.lag_max().unsigned_abs())
            ),
        };
        let mut table = Table::new(["burst", "reached"]);
        table.row(["answers per second", &format!("{:.0}", seen.burst_per_s)]);
        table.row(["never sent", &seen.unsent.to_string()]);
        table.row([
            "request to 202 p99, ms",
            &format!("{:.1}", seen.accepted_p99_ms),
        ]);
        table.row([
            "202 to fact p99, burst and after, ms",
            &format!("{:.1}", seen.decided_p99_ms),
        ]);
        table.row([
            "most records waiting",
            &grouped(seen.lag_max().unsigned_abs()),
        ]);
        let before = seen.lag.iter().filter(|(at, _)| *at < seen.burst_began_s);
        let before = Spread::of(before.map(|(_, lag)| float(*lag)).collect());
        table.row(["records waiting before it", &before.to_string()]);
        let is_borne = seen.burst_per_s >= BORNE_MIN * f64::from(TIMES * RATE_PER_SECOND);
        let mut notes = Vec::new();
        if !is_borne {
            notes.push(
                "The API did not take the whole burst at its rate: part of the queue was in the buyers' connections."
                    .to_owned(),
            );
        }
        Section {
            title: "Burst".to_owned(),
            intro: vec![format!(
                "{} orders/s over {CONNECTIONS} connections, then {TIMES} times the rate for {}, then as before. The queue \
                 is what the processor has not committed, looked at every {} ms; it counts as drained when for a whole \
                 second no more records wait than before the burst (or {ON_THE_WAY}), while the load goes on. In the end it \
                 is empty and 202s, facts, rows and store agree.",
                grouped(RATE_PER_SECOND.into()),
                short(self.lasts),
                LOOK_EVERY.as_millis(),
            )],
            tables: vec![table],
            plots: vec![Plot::Lines {
                file: "burst-lag".to_owned(),
                title: "Queue before, in and after a burst".to_owned(),
                x_label: "seconds".to_owned(),
                y_label: "records waiting".to_owned(),
                log_x: false,
                log_y: false,
                series: vec![(
                    "waiting".to_owned(),
                    seen.lag
                        .iter()
                        .map(|(at, lag)| (*at, float(*lag)))
                        .collect(),
                )],
            }],
            bars: vec![Bar {
                what: format!("burst of ten times the rate for {}", short(self.lasts)),
                wanted: "the queue drains to nothing".to_owned(),
                reached,
                holds: drained.is_some(),
            }],
            notes,
        }
    }

    fn results(&self, _board: &Board) -> serde_json::Value {
        #[derive(Serialize)]
        struct Results<'a> {
            seen: &'a Option<Seen>,
            lag_max: Option<i64>,
            drained_after_s: Option<f64>,
        }
        serde_json::to_value(Results {
            seen: &self.seen,
            lag_max: self.seen.as_ref().map(Seen::lag_max),
            drained_after_s: self.seen.as_ref().and_then(Seen::drained_after_s),
        })
        .unwrap_or_default()
    }
}

/// Exact up to 2^31, far above any lag here.
fn float(records: i64) -> f64 {
    f64::from(i32::try_from(records).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(lag: &[(f64, i64)]) -> Seen {
        Seen {
            lag: lag.to_vec(),
            burst_began_s: 1.0,
            burst_ended_s: 2.0,
            ..Seen::default()
        }
    }

    #[test]
    fn a_queue_is_drained_when_it_stays_so() {
        let it = seen(&[
            (0.5, 3),
            (1.5, 900),
            (2.5, 50),
            (3.0, 500),
            (4.0, 20),
            (4.5, 0),
        ]);
        assert_eq!(it.lag_max(), 900);
        assert_eq!(it.drained_after_s(), Some(2.0));
        // As many waited before the burst.
        let it = seen(&[(0.5, 500), (1.5, 900), (2.5, 50), (3.0, 500)]);
        assert_eq!(it.drained_after_s(), Some(0.5));
    }

    #[test]
    fn a_queue_that_was_short_before_the_burst_only_never_drained() {
        let it = seen(&[(0.5, 3), (1.5, 900), (2.5, 800), (4.0, 700)]);
        assert_eq!(it.drained_after_s(), None);
        assert_eq!(seen(&[]).drained_after_s(), None);
    }
}
