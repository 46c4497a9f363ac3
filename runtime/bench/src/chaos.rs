//! The fault campaign: sale after sale on real servers, each with faults of its own that a seed decides, each judged by the
//! crowd's checker and by an independent one. Brings its own platform up and takes it down.
//!
//! - [`fault`]: what may happen.
//! - [`schedule`]: what happens when, from a seed.
//! - `stand`: the platform, to be broken; `store`, `relay`, `clock` and `disk` break parts of it.
//! - `inflict`: carries a fault out and takes it back.
//! - `evidence`, [`judge`]: what happened, from topics, tables and answers alone, and whether it may.
//! - [`control`]: the same without the fence, which must be noticed.
//! - `run`: one sale; [`report`]: all of them.

mod clock;
pub mod control;
mod disk;
mod evidence;
pub mod fault;
mod inflict;
pub mod judge;
mod relay;
pub mod report;
mod run;
pub mod schedule;
mod stand;
mod store;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ticket_testkit::Home;

use crate::say;
use crate::text::short;
use fault::Fault;
use report::{Failure, Report, Told};
use run::Run;
use stand::Stand;

/// How long a whole run may take, everything included: what takes longer is stuck.
const RUN_WAIT_MAX: Duration = Duration::from_mins(6);

/// What a campaign is.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// Seed of the first run; the others follow.
    pub seed: u64,
    /// How many runs.
    pub runs: u32,
    /// Out of these faults; all if empty.
    pub only: Vec<Fault>,
    /// Data and logs of the servers. What an earlier campaign left there is removed.
    pub dir: PathBuf,
    /// Where the logs of failed runs are kept.
    pub kept: PathBuf,
}

/// Carries the campaign through. What does not add up stands in the report and is no error.
///
/// # Errors
/// The platform could not be started at all.
pub async fn run(campaign: &Campaign) -> anyhow::Result<Report> {
    let started = Instant::now();
    let (faults, skipped) = faults(campaign)?;
    for line in &skipped {
        say::progress(&format!("SKIPPED: {line}"));
    }
    let mut report = Report::new(campaign, skipped);
    let mut stand: Option<Stand> = None;
    for number in 0..campaign.runs {
        let seed = campaign.seed.wrapping_add(number.into());
        let ready = match stand.take() {
            Some(ready) => ready,
            None => begin(&campaign.dir).await?,
        };
        let planned = schedule::plan(seed, &faults);
        say::progress(&format!(
            "run {} of {}, seed {seed}: {}",
            number + 1,
            campaign.runs,
            report::in_words(&planned)
        ));
        let begun = Instant::now();
        let run = Run {
            number,
            seed,
            planned: planned.clone(),
        };
        let told = match Box::pin(run::hold(&ready, &run)).await {
            Ok(told) => told,
            Err(error) => Told::broken(planned, &error),
        };
        let is_whole = told.is_whole();
        if !told.holds() {
            let logs = campaign.kept.join(format!("seed-{seed}"));
            keep_logs(&ready, &logs)?;
            let failure = Failure::new(seed, &told, logs, campaign);
            say::progress(&failure.to_string());
            report.failures.push(failure);
        }
        report.add(seed, &told, begun.elapsed());
        if is_whole {
            stand = Some(ready);
        } else {
            // What is broken for good would spoil every run after this one.
            say::progress("the platform is started anew for the next run");
            drop(ready);
        }
    }
    report.took = started.elapsed();
    say::progress(&format!("{} runs in {}", campaign.runs, short(report.took)));
    Ok(report)
}

/// The faults that were asked for and can be done here, and why others cannot.
fn faults(campaign: &Campaign) -> anyhow::Result<(Vec<Fault>, Vec<String>)> {
    let wanted = if campaign.only.is_empty() {
        Fault::all()
    } else {
        campaign.only.clone()
    };
    let mut skipped = Vec::new();
    let faults: Vec<_> = wanted
        .into_iter()
        .filter(|fault| match inflict::missing(*fault) {
            Some(why) => {
                skipped.push(format!("{fault}: {why}"));
                false
            }
            None => true,
        })
        .collect();
    anyhow::ensure!(!faults.is_empty(), "none of these faults can be done here");
    Ok((faults, skipped))
}

/// Starts the platform in an empty folder.
async fn begin(dir: &Path) -> anyhow::Result<Stand> {
    let started = Instant::now();
    disk::sweep(dir).await?;
    if dir.exists() {
        std::fs::remove_dir_all(dir)
            .with_context(|| format!("could not empty {}", dir.display()))?;
    }
    let stand = Box::pin(Stand::start(Home::kept(dir)?)).await?;
    say::progress(&format!(
        "the platform is up after {}",
        short(started.elapsed())
    ));
    Ok(stand)
}

/// Copies the logs as they are now.
fn keep_logs(stand: &Stand, to: &Path) -> anyhow::Result<()> {
    let failed = || format!("could not keep the logs in {}", to.display());
    std::fs::create_dir_all(to).with_context(failed)?;
    let logs = stand.home.dir().join("logs");
    for entry in std::fs::read_dir(&logs).with_context(failed)?.flatten() {
        std::fs::copy(entry.path(), to.join(entry.file_name())).with_context(failed)?;
    }
    Ok(())
}
