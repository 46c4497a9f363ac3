//! CPU profiles: one binary under a load of the benchmarks, sampled by `perf` from outside, so that nothing in the binary
//! is made for it. What it costs is written as text in `target/profile`, most expensive first.
//!
//! - `load`: what each binary is made to do meanwhile.
//! - `perf`: sampling a process, and reports of the samples.

mod load;
mod perf;

use std::time::Duration;

use anyhow::Context as _;
use ticket_testkit::workspace_dir;

use crate::say;
use perf::Sampling;

/// A program that can be profiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Profiled {
    /// `ticket-runtime api`: orders over HTTP as fast as they go, with a processor beside it.
    Api,
    /// `ticket-runtime processor`: drains a full order log of four stock shards.
    Processor,
    /// `ticket-operator`: makes and removes events with many stock shards.
    Operator,
}

impl Profiled {
    /// Its name in files.
    const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Processor => "processor",
            Self::Operator => "operator",
        }
    }
}

/// Profiles `program` for as long as it `lasts`.
///
/// # Errors
/// There is no `perf` that may sample, or the load could not be carried out.
pub async fn run(program: Profiled, lasts: Duration) -> anyhow::Result<()> {
    let dir = workspace_dir().join("target/profile");
    std::fs::create_dir_all(&dir).with_context(|| format!("could not make {}", dir.display()))?;
    let sampling = Sampling::new(&dir, program.name(), lasts).await?;
    match program {
        Profiled::Api => Box::pin(load::api(&sampling)).await?,
        Profiled::Processor => Box::pin(load::processor(&sampling)).await?,
        Profiled::Operator => Box::pin(load::operator(&sampling)).await?,
    }
    say::progress("reading the samples");
    let report = sampling.report().await?;
    say::progress(&format!("written: {}", report.display()));
    Ok(())
}
