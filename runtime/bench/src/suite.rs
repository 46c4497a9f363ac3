//! The benchmark suite: measures everything in one run and writes it down, with what it was measured on, so that a figure
//! never travels without its circumstances.
//!
//! - [`measure`]: what the suite knows of a thing that is measured.
//! - [`plan`]: how much of everything.
//! - [`section`]: what a measure says.
//! - `circumstances`, `noise`: what a figure depends on.
//! - `yardstick`: how fast the machine is beside the one on which the bars were set.
//! - `remaining`: how long a run still takes.
//! - `markdown`, `plots`: report and pictures.

mod circumstances;
mod markdown;
pub mod measure;
mod noise;
pub mod plan;
mod plots;
mod remaining;
pub mod section;
mod yardstick;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use ticket_testkit::{Citus, workspace_dir};

use crate::baselines;
use crate::citus;
use crate::growth;
use crate::http;
use crate::ledger;
use crate::ledger::rig::Rig;
use crate::loss;
use crate::memory;
use crate::operator;
use crate::sandbox;
use crate::say;
use crate::text::{grouped, short};
use crate::together;
use circumstances::Circumstances;
use measure::{Board, Measure};
use noise::{RoundNoise, Watch};
use plan::Plan;
use remaining::Remaining;
use section::Section;

/// Everything there is to measure, in the order of a round. Baselines come first, so that the board has their rates when
/// others are compared with them.
#[must_use]
pub fn measures(plan: &Plan) -> Vec<Box<dyn Measure>> {
    let mut measures = ledger::measures(plan);
    measures.extend(baselines::measures(plan));
    measures.extend(http::measures(plan));
    measures.extend(sandbox::measures(plan));
    measures.extend(together::measures(plan));
    measures.extend(growth::measures(plan));
    if !plan.quick {
        measures.extend(loss::measures(plan));
        measures.extend(citus::measures(plan));
    }
    measures.extend(memory::measures(plan));
    measures
}

/// What takes longer than a run of everything may, and is measured only when it is named.
#[must_use]
pub fn measures_on_request(plan: &Plan) -> Vec<Box<dyn Measure>> {
    let mut measures = operator::measures(plan);
    if plan.quick {
        measures.extend(loss::measures(plan));
        measures.extend(citus::measures(plan));
    }
    measures
}

/// Measures and writes `target/bench/report.md`, `results.json` and the plots; the report goes to stdout too. With `only`,
/// measures whose name has none of these words in it are left out, and the files are in `target/bench/only`; a baseline must
/// be named to be measured.
///
/// # Errors
/// A server failed, or answers did not agree; then nothing is written.
pub async fn run(plan: Plan, only: &[String], citus: Citus) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut measures = measures(&plan);
    if !only.is_empty() {
        measures.extend(measures_on_request(&plan));
    }
    measures.retain(|it| only.is_empty() || only.iter().any(|word| it.name().contains(word)));
    anyhow::ensure!(
        !measures.is_empty(),
        "nothing is called {}",
        only.join(" or ")
    );
    let mut noise = noise::before().await?;
    if noise.is_loud() {
        say::progress(&format!(
            "other programs are busy ({noise}): the report says so"
        ));
    }
    say::progress("starting PostgreSQL, Kafka and Redis for the benchmark alone");
    let rig = Rig::start(citus).await?;
    say::progress(&format!(
        "warming up with {} orders, then over HTTP",
        grouped(plan.warm_up_orders.into())
    ));
    Box::pin(ledger::warm_up(&rig, plan.warm_up_orders)).await?;
    Box::pin(http::warm_up(&rig, plan.seconds(30, 12))).await?;
    for measure in &mut measures {
        measure.prepare(&rig).await?;
    }

    let mut board = Board::default();
    noise.during = all_rounds(&plan, &rig, &mut measures, &mut board).await?;
    let circumstances =
        Circumstances::of(&rig, started.elapsed(), yardstick::beside(&board), noise).await?;
    let mut results = Map::new();
    for measure in &measures {
        results.insert(measure.name().to_owned(), measure.results(&board));
    }
    let sections = joined(measures.iter().map(|measure| measure.section(&board)));
    let report = markdown::report(&circumstances, &plan, &sections);
    let json = json!({ "circumstances": circumstances, "plan": plan, "measures": results });
    let dir = out_dir(only);
    write_all(&dir, &report, &json, &sections)?;
    say::report(&report);
    say::progress(&format!(
        "written in {}: report.md, results.json and the plots in {}",
        short(started.elapsed()),
        dir.display()
    ));
    Ok(())
}

/// A B C A B C ..., and what must come last.
async fn all_rounds(
    plan: &Plan,
    rig: &Rig,
    measures: &mut [Box<dyn Measure>],
    board: &mut Board,
) -> anyhow::Result<Vec<RoundNoise>> {
    let schedule = schedule(plan, measures);
    let mut remaining = Remaining::default();
    for &(at, _) in &schedule {
        remaining.add(at, measures[at].takes());
    }
    let mut noise = Vec::new();
    for (at, round) in schedule {
        let measure = &mut measures[at];
        let (name, of) = (measure.name().to_owned(), measure.rounds(plan));
        say::progress(&format!(
            "round {round} of {of}: {name} (about {}, {} left in all)",
            short(remaining.of_round(at)),
            short(remaining.of_all()),
        ));
        let watch = Watch::begin()?;
        let began = Instant::now();
        measure
            .round(rig, board)
            .await
            .with_context(|| format!("{name}, round {round}"))?;
        remaining.ran(at, began.elapsed());
        noise.push(RoundNoise {
            measure: name,
            round,
            percent: watch.others_percent()?,
        });
    }
    Ok(noise)
}

/// Which measure runs in which of its rounds (from 1), in order.
fn schedule(plan: &Plan, measures: &[Box<dyn Measure>]) -> Vec<(usize, u32)> {
    let of = |is_last: bool| {
        let measures = measures.iter().enumerate();
        measures.filter(move |(_, measure)| measure.is_last() == is_last)
    };
    let most = of(false).map(|(_, measure)| measure.rounds(plan)).max();
    let interleaved = (1..=most.unwrap_or(0)).flat_map(|round| {
        let runs = of(false).filter(move |(_, measure)| round <= measure.rounds(plan));
        runs.map(move |(at, _)| (at, round))
    });
    let last =
        of(true).flat_map(|(at, measure)| (1..=measure.rounds(plan)).map(move |round| (at, round)));
    interleaved.chain(last).collect()
}

/// Sections in order of appearance, those with the same title as one.
fn joined(sections: impl Iterator<Item = Section>) -> Vec<Section> {
    let mut all: Vec<Section> = Vec::new();
    for section in sections {
        match all.iter_mut().find(|it| it.title == section.title) {
            Some(same) => same.join(section),
            None => all.push(section),
        }
    }
    all
}

fn write_all(dir: &Path, report: &str, json: &Value, sections: &[Section]) -> anyhow::Result<()> {
    let failed = || format!("could not write {}", dir.display());
    std::fs::create_dir_all(dir).with_context(failed)?;
    // Plots of an earlier run would pass for those of this one.
    for entry in std::fs::read_dir(dir).with_context(failed)? {
        let path = entry.with_context(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "svg") {
            std::fs::remove_file(path).with_context(failed)?;
        }
    }
    let json = serde_json::to_string_pretty(json).context("results are no JSON")?;
    std::fs::write(dir.join("report.md"), report).with_context(failed)?;
    std::fs::write(dir.join("results.json"), json + "\n").with_context(failed)?;
    for plot in sections.iter().flat_map(|section| &section.plots) {
        let svg = plots::svg(plot).with_context(|| format!("could not draw {}", plot.file()))?;
        std::fs::write(dir.join(plot.file()).with_extension("svg"), svg).with_context(failed)?;
    }
    Ok(())
}

/// Where reports go. Those of a few measures have a place of their own, so that they do not replace a report of all.
fn out_dir(only: &[String]) -> PathBuf {
    let dir = workspace_dir().join("target/bench");
    if only.is_empty() {
        dir
    } else {
        dir.join("only")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;
    use futures::future::LocalBoxFuture;

    use super::*;

    /// A quick run takes less than three minutes, of which starting servers and warming up are about half a minute.
    const QUICK_MAX: Duration = Duration::from_secs(150);

    /// A whole one less than forty: what is expected of it, and what a busy machine adds.
    const FULL_MAX: Duration = Duration::from_mins(30);

    struct Fake {
        rounds: u32,
        is_last: bool,
    }

    impl Measure for Fake {
        fn name(&self) -> &'static str {
            "fake"
        }
        fn takes(&self) -> Duration {
            Duration::from_secs(1)
        }
        fn rounds(&self, _plan: &Plan) -> u32 {
            self.rounds
        }
        fn is_last(&self) -> bool {
            self.is_last
        }
        fn round<'a>(
            &'a mut self,
            _rig: &'a Rig,
            _board: &'a mut Board,
        ) -> LocalBoxFuture<'a, anyhow::Result<()>> {
            async { Ok(()) }.boxed_local()
        }
        fn section(&self, _board: &Board) -> Section {
            Section::default()
        }
        fn results(&self, _board: &Board) -> Value {
            Value::Null
        }
    }

    #[test]
    fn rounds_are_interleaved_and_some_come_last() {
        let fake = |rounds, is_last| -> Box<dyn Measure> { Box::new(Fake { rounds, is_last }) };
        let measures = [
            fake(2, false),
            fake(1, true),
            fake(1, false),
            fake(2, false),
        ];
        assert_eq!(
            schedule(&Plan::full(), &measures),
            [(0, 1), (2, 1), (3, 1), (0, 2), (3, 2), (1, 1)]
        );
    }

    #[test]
    fn runs_are_as_short_as_promised() {
        for (plan, most) in [(Plan::quick(), QUICK_MAX), (Plan::full(), FULL_MAX)] {
            let measures = measures(&plan);
            let takes: Duration = schedule(&plan, &measures)
                .iter()
                .map(|(at, _)| measures[*at].takes())
                .sum();
            assert!(takes <= most, "{plan:?} takes {takes:?}");
        }
    }

    #[test]
    fn measures_are_told_apart_by_their_names() {
        for plan in [Plan::quick(), Plan::full()] {
            let mut names: Vec<_> = measures(&plan)
                .iter()
                .chain(&measures_on_request(&plan))
                .map(|it| it.name().to_owned())
                .collect();
            let count = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), count, "{names:?}");
        }
    }
}
