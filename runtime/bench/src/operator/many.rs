//! One Event alone, again and again; many applied at once; a quiet time with all of them; more of them, and a restart.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use serde::Serialize;
use serde_json::{Value, json};
use ticket_testkit::{Home, Product};

use super::api::{Api, Watch};
use crate::ledger::rig::{Rig, cpu_of};
use crate::memory;
use crate::say;
use crate::stats::Spread;
use crate::suite::measure::{Board, Measure};
use crate::suite::plan::Plan;
use crate::suite::section::{Bar, Section, Table};
use crate::text::grouped;

/// From apply to Ready, the slowest of all that were applied alone.
const ALONE_S_MAX: f64 = 2.0;

/// From the first apply to the last Ready of a thousand.
const AT_ONCE_S_MAX: f64 = 120.0;

/// Most memory of the operator with a thousand Events, megabytes.
const MEMORY_MB_MAX: f64 = 150.0;

/// CPU of the operator while nothing happens to a thousand Events, percent of a core.
const IDLE_PERCENT_MAX: f64 = 3.0;

/// From the start of the process until every one of five thousand Events was looked at.
const RESTART_S_MAX: f64 = 60.0;

/// No wait here lasts longer, whatever the bars say.
const WAIT_MAX: Duration = Duration::from_mins(8);

/// What the operator does after a start or an apply has ended by then.
const SETTLE: Duration = Duration::from_secs(12);

/// Between two looks at the operator's counters.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Events that are made in a second, for the expected time.
const EVENTS_PER_SECOND: u64 = 20;

/// Servers, and the ends of phases.
const AROUND: Duration = Duration::from_secs(20);

/// How much of everything.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Scale {
    /// Events that are applied one after the other.
    pub(super) alone: usize,
    /// Events that are applied at once, after those.
    pub(super) at_once: usize,
    /// How long nothing happens.
    pub(super) idle: Duration,
    /// Events that there are at the restart.
    pub(super) idle_events: usize,
}

impl Scale {
    /// Events that there are when the first wave is over.
    const fn first_wave(&self) -> usize {
        self.alone + self.at_once
    }
}

/// What was seen.
#[derive(Debug, Clone, Serialize)]
struct Found {
    /// Seconds from apply to Ready of each one that was applied alone.
    alone_s: Vec<f64>,
    at_once: usize,
    at_once_s: f64,
    /// CPU seconds of the operator meanwhile.
    at_once_cpu_s: f64,
    /// The most that it held until then.
    peak_mb: f64,
    idle_percent: f64,
    /// Events that anybody wrote while nothing happened.
    idle_writes: usize,
    restart_s: f64,
    restart_events: usize,
    restart_mb: f64,
}

/// The measure.
pub(super) struct Many {
    scale: Scale,
    found: Option<Found>,
}

impl Many {
    pub(super) const fn new(scale: Scale) -> Self {
        Self { scale, found: None }
    }

    async fn measure(&mut self, rig: &Rig) -> anyhow::Result<()> {
        let home = Home::own("bench-operator").context("no folder for the API server")?;
        let api = Api::start(&home).await?;
        let mut operator = rig.operator(&home, &api.kubeconfig()).await?;
        let mut watch = api.watch().await?;

        api.rehearse().await?;
        let alone_s = alone(&api, &mut watch, self.scale.alone).await?;
        say::progress(&format!("alone: {} s", Spread::of(alone_s.clone())));
        let before = cpu_of(operator.server())?;
        let more = names(self.scale.alone..self.scale.first_wave());
        let at_once_s = at_once(&api, &mut watch, &more).await?;
        let at_once_cpu_s = cpu_of(operator.server())?
            .saturating_sub(before)
            .as_secs_f64();
        say::progress(&format!("{} at once: {at_once_s:.1} s", more.len()));

        tokio::time::sleep(SETTLE).await;
        let (idle_percent, idle_writes) = idle(&api, &operator, self.scale.idle).await?;
        let most_mb = peak_mb(&operator)?;
        say::progress(&format!(
            "idle: {idle_percent:.2} % of a core, {idle_writes} writes; {most_mb:.0} MB at most"
        ));

        let more = names(self.scale.first_wave()..self.scale.idle_events);
        if !more.is_empty() {
            at_once(&api, &mut watch, &more).await?;
        }
        drop(watch);
        let restart_s = restart(&mut operator, self.scale.idle_events).await?;
        let restart_mb = peak_mb(&operator)?;
        say::progress(&format!("restart: {restart_s:.1} s"));
        operator.stop().await.context("the operator did not stop")?;
        self.found = Some(Found {
            alone_s,
            at_once: self.scale.at_once,
            at_once_s,
            at_once_cpu_s,
            peak_mb: most_mb,
            idle_percent,
            idle_writes,
            restart_s,
            restart_events: self.scale.idle_events,
            restart_mb,
        });
        Ok(())
    }
}

fn names(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("e-{number}")).collect()
}

async fn alone(api: &Api, watch: &mut Watch<'_>, count: usize) -> anyhow::Result<Vec<f64>> {
    let mut seconds = Vec::with_capacity(count);
    for name in names(0..count) {
        let started = Instant::now();
        api.create(&name).await?;
        let ready = watch.until_ready(&[name], WAIT_MAX).await?;
        seconds.push((ready - started).as_secs_f64());
    }
    Ok(seconds)
}

async fn at_once(api: &Api, watch: &mut Watch<'_>, names: &[String]) -> anyhow::Result<f64> {
    let started = Instant::now();
    let (made, ready) = tokio::join!(api.create_all(names), watch.until_ready(names, WAIT_MAX));
    made?;
    Ok((ready? - started).as_secs_f64())
}

/// CPU of the operator in percent of a core, and the number of Events that were written.
async fn idle(api: &Api, operator: &Product, lasts: Duration) -> anyhow::Result<(f64, usize)> {
    let versions = api.versions().await?;
    let (started, before) = (Instant::now(), cpu_of(operator.server())?);
    tokio::time::sleep(lasts).await;
    let used = cpu_of(operator.server())?.saturating_sub(before);
    let percent = used.as_secs_f64() / started.elapsed().as_secs_f64() * 100.0;
    let now = api.versions().await?;
    let is_written = |(name, version): &(&String, &String)| versions.get(*name) != Some(version);
    Ok((percent, now.iter().filter(is_written).count()))
}

/// Kills the operator and starts it again: seconds until it has looked at every Event.
async fn restart(operator: &mut Product, events: usize) -> anyhow::Result<f64> {
    operator.kill().await.context("the operator lives on")?;
    let started = Instant::now();
    operator
        .restart()
        .await
        .context("the operator did not start again")?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    loop {
        let url = format!("{}/metrics", operator.url());
        let text = client.get(&url).send().await?.text().await?;
        let (ok, failed) = looks(&text);
        anyhow::ensure!(failed == 0, "{failed} looks failed after the restart");
        if ok >= events {
            return Ok(started.elapsed().as_secs_f64());
        }
        anyhow::ensure!(
            started.elapsed() < WAIT_MAX,
            "only {ok} of {events} Events were looked at after the restart"
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Looks that went well and that failed, from the text of `/metrics`.
fn looks(text: &str) -> (usize, usize) {
    let count = |result: &str| {
        let label = format!("result=\"{result}\"");
        text.lines()
            .filter(|line| line.starts_with("ticket_reconcile_total{") && line.contains(&label))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok())
            .sum()
    };
    (count("ok"), count("error"))
}

/// The most memory that the process has held since it was started.
fn peak_mb(operator: &Product) -> anyhow::Result<f64> {
    let pid = operator
        .server()
        .identity()
        .context("the operator does not run")?
        .pid;
    let peak = memory::of_process("operator", pid)?.peak_kib;
    Ok(f64::from(u32::try_from(peak)?) * 1_024.0 / 1e6)
}

impl Found {
    fn table(&self) -> Table {
        let alone = Spread::of(self.alone_s.clone());
        let mut table = Table::new(["operator", "Events", "figure"]);
        table.row([
            "apply to Ready, alone",
            &count(self.alone_s.len()),
            &format!("{alone} s"),
        ]);
        table.row([
            "apply to Ready, the last of all applied at once",
            &count(self.at_once),
            &format!("{:.1} s", self.at_once_s),
        ]);
        table.row([
            "CPU of the operator meanwhile",
            &count(self.at_once),
            &format!("{:.1} s", self.at_once_cpu_s),
        ]);
        table.row([
            "memory, most until then",
            &count(self.events()),
            &format!("{:.0} MB", self.peak_mb),
        ]);
        table.row([
            "CPU while nothing happens",
            &count(self.events()),
            &format!("{:.2} % of a core", self.idle_percent),
        ]);
        table.row([
            "Events written meanwhile",
            &count(self.events()),
            &self.idle_writes.to_string(),
        ]);
        table.row([
            "restart until every Event was looked at",
            &count(self.restart_events),
            &format!("{:.1} s", self.restart_s),
        ]);
        table.row([
            "memory after the restart, most",
            &count(self.restart_events),
            &format!("{:.0} MB", self.restart_mb),
        ]);
        table
    }

    fn bars(&self) -> Vec<Bar> {
        let slowest = Spread::of(vec![Spread::of(self.alone_s.clone()).max]);
        let one = |value: f64| Spread::of(vec![value]);
        let idle_writes = u32::try_from(self.idle_writes).unwrap_or(u32::MAX);
        let events = count(self.events());
        vec![
            Bar::at_most("an Event alone, slowest", ALONE_S_MAX, " s", &slowest),
            Bar::at_most(
                &format!("{events} Events at once"),
                AT_ONCE_S_MAX,
                " s",
                &one(self.at_once_s),
            ),
            Bar::at_most(
                &format!("memory with {events} Events"),
                MEMORY_MB_MAX,
                " MB",
                &one(self.peak_mb),
            ),
            Bar::at_most(
                &format!("{events} idle Events, CPU"),
                IDLE_PERCENT_MAX,
                " % of a core",
                &one(self.idle_percent),
            ),
            Bar::at_most(
                &format!("{events} idle Events, status writes"),
                0.0,
                "",
                &one(f64::from(idle_writes)),
            ),
            Bar::at_most(
                &format!("restart with {} Events", count(self.restart_events)),
                RESTART_S_MAX,
                " s",
                &one(self.restart_s),
            ),
        ]
    }

    /// Events that there were after the first wave.
    fn events(&self) -> usize {
        self.alone_s.len() + self.at_once
    }
}

fn count(events: usize) -> String {
    grouped(u64::try_from(events).unwrap_or(u64::MAX))
}

impl Measure for Many {
    fn name(&self) -> &'static str {
        "operator"
    }

    fn takes(&self) -> Duration {
        let events = u64::try_from(self.scale.idle_events).unwrap_or(u64::MAX);
        AROUND + SETTLE + self.scale.idle + Duration::from_secs(events / EVENTS_PER_SECOND)
    }

    fn rounds(&self, _plan: &Plan) -> u32 {
        1
    }

    // It leaves thousands of topics behind.
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
        let Some(found) = &self.found else {
            return Section::default();
        };
        Section {
            title: "The operator".to_owned(),
            intro: vec![
                "Events with one category, one stock shard and one partition, on sale. An API server, etcd, Kafka, PostgreSQL, \
                 Redis and the operator share the machine; no service runs. Killed with SIGKILL for the restart."
                    .to_owned(),
            ],
            tables: vec![found.table()],
            plots: Vec::new(),
            bars: found.bars(),
            notes: Vec::new(),
        }
    }

    fn results(&self, _board: &Board) -> Value {
        json!({ "scale": self.scale, "found": self.found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_read_from_the_counters() {
        let text = "# TYPE ticket_reconcile_total counter\n\
            ticket_reconcile_total{kind=\"Event\",result=\"ok\"} 41\n\
            ticket_reconcile_total{kind=\"Event\",result=\"error\"} 2\n\
            ticket_reconcile_seconds{kind=\"Event\",quantile=\"0.5\"} 0.1\n";
        assert_eq!(looks(text), (41, 2));
        assert_eq!(looks(""), (0, 0));
    }
}
