//! What a campaign says: each failure at once and in full, a table of faults at the end, and both as files.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Campaign;
use super::fault::Fault;
use super::schedule::Planned;
use crate::check::Verdict;
use crate::text::{Align, grouped, short, table};

/// A fault that was carried out.
#[derive(Debug, Clone)]
pub struct Done {
    /// As it was meant.
    pub planned: Planned,
    /// When it was there, since the doors opened; `None` if it never was.
    pub did: Option<Duration>,
    /// When everything was as before.
    pub undone: Duration,
    /// What is worth telling, or what failed.
    pub told: Result<String, String>,
}

/// What came of one run.
#[derive(Debug, Clone)]
pub struct Told {
    /// The faults, as they happened.
    pub done: Vec<Done>,
    /// Processes that had ended by themselves and were started again.
    pub restarted: Vec<String>,
    /// Everything that was compared.
    pub verdicts: Vec<Verdict>,
    /// Orders that were acknowledged.
    pub orders: usize,
    /// Why it could not be held or judged.
    pub error: Option<String>,
}

impl Told {
    /// A run that could not be held or judged.
    pub(super) fn broken(planned: Vec<Planned>, error: &anyhow::Error) -> Self {
        let done = planned.into_iter().map(|planned| Done {
            planned,
            did: None,
            undone: Duration::ZERO,
            told: Ok(String::new()),
        });
        Self {
            done: done.collect(),
            restarted: Vec::new(),
            verdicts: Vec::new(),
            orders: 0,
            error: Some(format!("{error:#}")),
        }
    }

    /// Is the platform fit for another run?
    pub(super) fn is_whole(&self) -> bool {
        self.error.is_none() && self.done.iter().all(|done| done.told.is_ok())
    }

    /// Did everything happen as planned, and does everything add up?
    #[must_use]
    pub fn holds(&self) -> bool {
        self.is_whole() && self.verdicts.iter().all(Verdict::holds)
    }

    /// What does not add up, a line each.
    #[must_use]
    pub fn findings(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.error.iter().cloned().collect();
        for done in &self.done {
            if let Err(error) = &done.told {
                lines.push(format!("{}: {error}", done.planned.fault));
            }
        }
        for verdict in self.verdicts.iter().filter(|verdict| !verdict.holds()) {
            let said = verdict.lines().into_iter();
            lines.extend(said.map(|line| format!("{}: {line}", verdict.name)));
        }
        lines
    }

    /// What happened when.
    #[must_use]
    pub fn times(&self) -> Vec<String> {
        let faults = self.done.iter().map(|done| {
            let seconds = |at: Duration| format!("{:.1} s", at.as_secs_f64());
            let did = done.did.map_or_else(|| "never".to_owned(), seconds);
            let told = done.told.as_deref().unwrap_or("failed");
            format!(
                "{} {told}: planned at {} for {}, was there at {did}, was over at {}",
                done.planned.fault,
                seconds(done.planned.at),
                short(done.planned.lasts),
                seconds(done.undone)
            )
        });
        faults.chain(self.restarted.iter().cloned()).collect()
    }
}

/// A run that failed, and how to have it again.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// What happened when.
    pub times: Vec<String>,
    /// What does not add up.
    pub findings: Vec<String>,
    /// Where the logs are.
    pub logs: PathBuf,
    /// The command.
    pub again: String,
}

impl Failure {
    pub(super) fn new(seed: u64, told: &Told, logs: PathBuf, campaign: &Campaign) -> Self {
        let only: Vec<_> = campaign.only.iter().map(Fault::to_string).collect();
        let only = if only.is_empty() {
            String::new()
        } else {
            format!(" --only {}", only.join(","))
        };
        Self {
            seed,
            times: told.times(),
            findings: told.findings(),
            logs,
            again: format!("target/debug/ticket-bench chaos --seed {seed} --runs 1{only}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "FAILED: seed {}", self.seed)?;
        for line in &self.times {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "  what does not add up:")?;
        for line in &self.findings {
            writeln!(f, "    {line}")?;
        }
        writeln!(f, "  logs: {}", self.logs.display())?;
        write!(f, "  again: {}", self.again)
    }
}

/// All runs of a campaign.
#[derive(Debug, Clone)]
pub struct Report {
    seed: u64,
    /// What failed.
    pub failures: Vec<Failure>,
    /// Faults that could not be carried out here, and why.
    pub skipped: Vec<String>,
    /// How long everything took.
    pub took: Duration,
    runs: u32,
    orders: usize,
    /// Runs that had the fault, and how many of them failed.
    faults: BTreeMap<Fault, (u32, u32)>,
    all: Vec<Value>,
}

impl Report {
    pub(super) fn new(campaign: &Campaign, skipped: Vec<String>) -> Self {
        Self {
            seed: campaign.seed,
            failures: Vec::new(),
            skipped,
            took: Duration::ZERO,
            runs: 0,
            orders: 0,
            faults: BTreeMap::new(),
            all: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, seed: u64, told: &Told, took: Duration) {
        self.runs += 1;
        self.orders += told.orders;
        let mut had: Vec<Fault> = told.done.iter().map(|done| done.planned.fault).collect();
        had.sort();
        had.dedup();
        for fault in had {
            let (runs, failures) = self.faults.entry(fault).or_default();
            *runs += 1;
            *failures += u32::from(!told.holds());
        }
        self.all.push(json!({
            "seed": seed,
            "holds": told.holds(),
            "took_ms": took.as_millis(),
            "acknowledged_orders": told.orders,
            "times": told.times(),
            "findings": told.findings(),
        }));
    }

    /// Did every run hold?
    #[must_use]
    pub fn holds(&self) -> bool {
        self.failures.is_empty()
    }

    /// The whole report, in Markdown that reads well on a terminal, too.
    #[must_use]
    pub fn text(&self) -> String {
        let orders = u64::try_from(self.orders).unwrap_or(u64::MAX);
        let mut parts = vec![format!(
            "# Fault campaign\n\n{} runs from seed {}, {} acknowledged orders, {}; {} failed.\n\n",
            self.runs,
            self.seed,
            grouped(orders),
            short(self.took),
            self.failures.len()
        )];
        parts.extend(self.skipped.iter().map(|line| format!("SKIPPED: {line}\n")));
        let mut rows = vec![["fault", "runs", "failures"].map(str::to_owned).to_vec()];
        rows.extend(self.faults.iter().map(|(fault, (runs, failures))| {
            vec![fault.to_string(), runs.to_string(), failures.to_string()]
        }));
        let columns = [Align::Left, Align::Right, Align::Right];
        parts.push(format!("\n```\n{}```\n", table(&columns, &rows)));
        for failure in &self.failures {
            parts.push(format!("\n```\n{failure}\n```\n"));
        }
        parts.concat()
    }

    /// Writes `report.md` and `results.json`.
    pub fn write(&self, dir: &Path) -> anyhow::Result<()> {
        let failed = || format!("could not write the report in {}", dir.display());
        std::fs::create_dir_all(dir).with_context(failed)?;
        std::fs::write(dir.join("report.md"), self.text()).with_context(failed)?;
        let results = json!({
            "seed": self.seed,
            "runs": self.all,
            "skipped": self.skipped,
            "took_ms": self.took.as_millis(),
            "failures": self.failures.len(),
        });
        let results = serde_json::to_string_pretty(&results).with_context(failed)?;
        std::fs::write(dir.join("results.json"), results + "\n").with_context(failed)
    }
}

/// `kill-api at 2.1 s for 1.20 s, ...`
#[must_use]
pub fn in_words(planned: &[Planned]) -> String {
    let words: Vec<_> = planned
        .iter()
        .map(|planned| {
            let at = planned.at.as_secs_f64();
            format!(
                "{} at {at:.1} s for {}",
                planned.fault,
                short(planned.lasts)
            )
        })
        .collect();
    words.join(", ")
}
