//! Memory under a queue of a million orders: the database stands still, buyers go on. What waits must wait in Kafka; the
//! runtime's own memory must not grow with it. Afterwards the database goes on and every order is decided.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use hyper::StatusCode;
use serde::Serialize;
use ticket_testkit::Product;
use tokio::time::{MissedTickBehavior, interval};

use crate::ledger::rig::Rig;
use crate::load;
use crate::say;
use crate::stats::Spread;
use crate::suite::measure::{Board, Measure};
use crate::suite::plan::Plan;
use crate::suite::section::{Bar, Plot, Section, Table};
use crate::text::grouped;
use crate::together::stand::{CONNECTIONS, Stand};

/// Most memory of API and processor together, megabytes.
const RUNTIME_MB_MAX: f64 = 250.0;

/// Between two looks at the processes.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Buyers come in waves of so long, until enough orders wait.
const WAVE: Duration = Duration::from_secs(1);

/// Buyers come no longer than this.
const FILL_MAX: Duration = Duration::from_mins(4);

/// Orders that this machine accepts in a second, for the expected time.
const ACCEPTED_PER_SECOND: u32 = 15_000;

/// Orders that it decides in a second, for the expected time.
const DECIDED_PER_SECOND: u32 = 60_000;

/// Start, warm-up and comparison.
const AROUND: Duration = Duration::from_secs(7);

/// One look at the processes.
#[derive(Debug, Clone, Copy, Serialize)]
struct Look {
    /// Since the database was stopped.
    at_s: f64,
    api_mb: f64,
    processor_mb: f64,
}

impl Look {
    fn all_mb(&self) -> f64 {
        self.api_mb + self.processor_mb
    }
}

/// What was seen.
#[derive(Debug, Clone, Serialize)]
struct Seen {
    /// Both processes before the database was stopped.
    before: Look,
    looks: Vec<Look>,
    /// Records that no processor had committed when the database went on.
    waiting: i64,
    accepted_per_s: f64,
    resumed_s: f64,
    drained_s: f64,
    orders: u32,
}

impl Seen {
    fn most(&self, value: impl Fn(&Look) -> f64) -> f64 {
        self.looks.iter().map(value).fold(0.0, f64::max)
    }
}

/// The measure.
pub(super) struct Queued {
    orders: u32,
    seen: Option<Seen>,
}

impl Queued {
    pub(super) const fn new(orders: u32) -> Self {
        Self { orders, seen: None }
    }

    async fn measure(&mut self, rig: &Rig) -> anyhow::Result<()> {
        let room = usize::try_from(self.orders)? * 3 / 2;
        let stand = Stand::start(rig, room).await?;
        let started = Instant::now();
        let look = || look(&stand, started);
        let before = look()?;
        let mut looks = Vec::new();
        let mut filled = None;
        let mut resumed = None;
        let course = async {
            rig.pause_database()?;
            let done = fill(&stand, self.orders).await;
            // Also after an error: whoever comes next needs the database.
            let waiting = rig.waiting(&stand.event).await;
            rig.resume_database()?;
            resumed = Some(started.elapsed());
            filled = Some((done?, waiting?));
            stand.all_decided().await
        };
        let watching = async {
            let mut every = interval(LOOK_EVERY);
            every.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                every.tick().await;
                match look() {
                    Ok(look) => looks.push(look),
                    Err(error) => return Err::<(), _>(error),
                }
            }
        };
        tokio::select! {
            done = course => done?,
            never = watching => {
                rig.resume_database()?;
                return never;
            }
        }
        let drained = started.elapsed();
        let (accepted_per_s, waiting) = filled.context("nothing was accepted")?;
        let orders = stand.finish(rig).await?;
        let seen = Seen {
            before,
            looks,
            waiting,
            accepted_per_s,
            resumed_s: resumed.unwrap_or_default().as_secs_f64(),
            drained_s: drained.as_secs_f64(),
            orders,
        };
        say::progress(&format!(
            "{waiting} orders waited; API {:.0} MB, processor {:.0} MB at most",
            seen.most(|look| look.api_mb),
            seen.most(|look| look.processor_mb)
        ));
        self.seen = Some(seen);
        Ok(())
    }
}

/// Buyers come until `orders` orders were accepted. Answers with accepted orders per second.
async fn fill(stand: &Stand, orders: u32) -> anyhow::Result<f64> {
    let started = Instant::now();
    let before = stand.follow.answered();
    let accepted = || stand.follow.answered() - before;
    while accepted() < orders {
        let wave = load::closed(&stand.target, CONNECTIONS, WAVE, &stand.script).await?;
        wave.all(StatusCode::ACCEPTED)?;
        let is_over = started.elapsed() > FILL_MAX;
        anyhow::ensure!(
            !is_over,
            "only {} of {orders} orders were accepted within {FILL_MAX:?}",
            accepted()
        );
    }
    Ok(f64::from(accepted()) / started.elapsed().as_secs_f64())
}

fn look(stand: &Stand, started: Instant) -> anyhow::Result<Look> {
    Ok(Look {
        at_s: started.elapsed().as_secs_f64(),
        api_mb: resident_mb(&stand.api.product)?,
        processor_mb: resident_mb(&stand.processor)?,
    })
}

/// Memory that a process holds now.
fn resident_mb(product: &Product) -> anyhow::Result<f64> {
    let kib = product
        .resident_kib()
        .context("a process of ours does not run any more")?;
    Ok(f64::from(u32::try_from(kib)?) * 1_024.0 / 1e6)
}

impl Measure for Queued {
    fn name(&self) -> &'static str {
        "memory under a queue"
    }

    fn takes(&self) -> Duration {
        let seconds = self.orders / ACCEPTED_PER_SECOND + self.orders / DECIDED_PER_SECOND;
        AROUND + Duration::from_secs(seconds.into())
    }

    fn rounds(&self, _plan: &Plan) -> u32 {
        1
    }

    // It leaves a million rows behind.
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
        let what = format!("memory at {} queued orders", grouped(self.orders.into()));
        let mut table = Table::new(["", "before", "most"]);
        let mut notes = Vec::new();
        let mut plots = Vec::new();
        let mut most = Vec::new();
        if let Some(seen) = &self.seen {
            let mut row = |name: &str, value: &dyn Fn(&Look) -> f64| {
                let (before, most) = (value(&seen.before), seen.most(value));
                table.row([name.to_owned(), mb(before), mb(most)]);
            };
            row("API", &|look| look.api_mb);
            row("processor", &|look| look.processor_mb);
            row("both", &Look::all_mb);
            most.push(seen.most(Look::all_mb));
            let drain_s = (seen.drained_s - seen.resumed_s).max(f64::EPSILON);
            let waiting = grouped(seen.waiting.unsigned_abs());
            notes.push(format!(
                "{:.0} orders/s were accepted while the database stood still; {waiting} records waited in the log when it \
                 went on, and {:.1} s later all of them were decided. All {} orders of the round have their 202, their \
                 fact, their row and their ticket.",
                seen.accepted_per_s,
                drain_s,
                grouped(seen.orders.into()),
            ));
            let curve = |value: &dyn Fn(&Look) -> f64| {
                let points = seen.looks.iter().map(|look| (look.at_s, value(look)));
                points.collect::<Vec<_>>()
            };
            plots.push(Plot::Lines {
                file: "memory-queued".to_owned(),
                title: "Memory of the runtime while orders wait".to_owned(),
                x_label: "seconds since the database was stopped".to_owned(),
                y_label: "MB resident".to_owned(),
                log_x: false,
                log_y: false,
                series: vec![
                    ("API".to_owned(), curve(&|look| look.api_mb)),
                    ("processor".to_owned(), curve(&|look| look.processor_mb)),
                ],
            });
        }
        Section {
            title: "Memory".to_owned(),
            intro: vec![format!(
                "Every process of the database is stopped (SIGSTOP), {} orders are accepted over HTTP and wait on the log, \
                 then the database goes on (SIGCONT) and all are decided. Resident memory of API and processor, looked at \
                 every {} ms until the last fact.",
                grouped(self.orders.into()),
                LOOK_EVERY.as_millis(),
            )],
            tables: vec![table],
            plots,
            bars: vec![Bar::at_most(
                &what,
                RUNTIME_MB_MAX,
                " MB",
                &Spread::of(most),
            )],
            notes,
        }
    }

    fn results(&self, _board: &Board) -> serde_json::Value {
        serde_json::to_value(&self.seen).unwrap_or_default()
    }
}

fn mb(megabytes: f64) -> String {
    format!("{megabytes:.0} MB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(processor_mb: &[f64]) -> Seen {
        let look = |(at_s, processor_mb): (f64, &f64)| Look {
            at_s,
            api_mb: 50.0,
            processor_mb: *processor_mb,
        };
        let seconds = [0.0, 1.0, 2.0];
        let looks: Vec<_> = seconds.into_iter().zip(processor_mb).map(look).collect();
        Seen {
            before: looks[0],
            looks,
            waiting: 1_000_000,
            accepted_per_s: 15_000.0,
            resumed_s: 60.0,
            drained_s: 75.0,
            orders: 1_010_000,
        }
    }

    #[test]
    fn both_processes_count_at_the_same_moment() {
        let mut queued = Queued::new(1_000_000);
        assert!(!queued.section(&Board::default()).bars[0].holds);
        queued.seen = Some(seen(&[40.0, 180.0, 90.0]));
        let section = queued.section(&Board::default());
        assert!(section.bars[0].holds, "{section:?}");
        assert_eq!(section.tables[0].rows[2], ["both", "90 MB", "230 MB"]);
        assert!(section.notes[0].contains("1,000,000 records waited"));
        queued.seen = Some(seen(&[40.0, 201.0, 90.0]));
        assert!(!queued.section(&Board::default()).bars[0].holds);
    }
}
