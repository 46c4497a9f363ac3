//! The benchmark suite: measures everything in one run and writes it down, with what it was measured on, so that a figure
//! never travels without its circumstances.

mod circumstances;
mod markdown;

use std::path::PathBuf;

use anyhow::Context as _;
use serde::Serialize;
use ticket_testkit::{Citus, workspace_dir};

use crate::ledger::rig::Rig;
use crate::ledger::{self, Plan, Results};
use crate::say;
use circumstances::Circumstances;

/// Everything that a run found out; `results.json`.
#[derive(Debug, Clone, Serialize)]
pub struct Suite {
    /// Where and on what.
    pub circumstances: Circumstances,
    /// How much was measured.
    pub ledger_plan: Plan,
    /// The ledger path beside the naive transaction.
    pub ledger: Results,
}

/// Measures and writes `target/bench/report.md` and `results.json`; the report goes to stdout too.
///
/// # Errors
/// A server failed, or answers did not agree; then nothing is written.
pub async fn run(plan: Plan, citus: Citus) -> anyhow::Result<()> {
    let noise = circumstances::noise().await?;
    if noise.is_loud() {
        say::progress(&format!(
            "other programs are busy ({noise}): the report says so"
        ));
    }
    say::progress("starting PostgreSQL, Kafka and Redis for the benchmark alone");
    let rig = Rig::start(citus).await?;
    let circumstances = Circumstances::of(&rig, noise).await?;
    let ledger = Box::pin(ledger::measure(&rig, &plan)).await?;
    let suite = Suite {
        circumstances,
        ledger_plan: plan,
        ledger,
    };

    let dir = out_dir();
    let failed = || format!("could not write {}", dir.display());
    std::fs::create_dir_all(&dir).with_context(failed)?;
    let report = markdown::report(&suite);
    let json = serde_json::to_string_pretty(&suite).context("results are no JSON")?;
    std::fs::write(dir.join("report.md"), &report).with_context(failed)?;
    std::fs::write(dir.join("results.json"), json + "\n").with_context(failed)?;
    say::report(&report);
    say::progress(&format!(
        "written: report.md and results.json in {}",
        dir.display()
    ));
    Ok(())
}

/// Where reports go.
fn out_dir() -> PathBuf {
    workspace_dir().join("target/bench")
}
