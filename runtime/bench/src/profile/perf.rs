//! `perf`: samples a running process by a timer, which every machine has and which needs no right beyond owning the
//! process. Without the right to see the kernel only the program's own part is sampled.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::Command;

use crate::say;

/// Samples per second and core: not a divisor of any timer of ours, or both would beat together.
const SAMPLES_PER_S: u32 = 499;

/// Bytes of stack that are kept with each sample to find the callers: futures within futures are deep.
const STACK_BYTES: u32 = 16_384;

/// Functions with a smaller share are left out, percent.
const SHARE_MIN_PERCENT: f64 = 0.3;

/// Callers of costs below this share are left out, percent.
const CALLERS_MIN_PERCENT: f64 = 2.0;

/// Samples of one program.
pub(super) struct Sampling {
    lasts: Duration,
    samples: PathBuf,
    report: PathBuf,
}

impl Sampling {
    /// Files go to `dir`, named after the program.
    pub(super) async fn new(dir: &Path, name: &str, lasts: Duration) -> anyhow::Result<Self> {
        let version = Command::new("perf").arg("--version").output().await;
        anyhow::ensure!(
            version.is_ok_and(|answer| answer.status.success()),
            "there is no perf on this machine; next step: apt-get install linux-perf (Ubuntu: linux-tools-generic)"
        );
        Ok(Self {
            lasts,
            samples: dir.join(name).with_extension("data"),
            report: dir.join(name).with_extension("txt"),
        })
    }

    /// How long is sampled.
    pub(super) const fn lasts(&self) -> Duration {
        self.lasts
    }

    /// Samples process `pid` and whatever threads it starts, from now on.
    pub(super) async fn record(&self, pid: u32) -> anyhow::Result<()> {
        say::progress(&format!(
            "sampling process {pid} for {} s",
            self.lasts.as_secs()
        ));
        let mut perf = Command::new("perf");
        perf.args(["record", "--quiet", "--event", "cpu-clock"])
            .args(["--freq", &SAMPLES_PER_S.to_string()])
            .args(["--call-graph", &format!("dwarf,{STACK_BYTES}")])
            .args(["--pid", &pid.to_string()])
            .arg("--output")
            .arg(&self.samples)
            .args(["--", "sleep", &self.lasts.as_secs().to_string()]);
        said(perf).await.map(drop)
    }

    /// Writes what was sampled, and says where.
    pub(super) async fn report(&self) -> anyhow::Result<PathBuf> {
        let own = self
            .table(
                &["--no-children", "--call-graph", "none"],
                SHARE_MIN_PERCENT,
            )
            .await?;
        let objects = self
            .table(
                &["--no-children", "--call-graph", "none", "--sort", "dso"],
                0.0,
            )
            .await?;
        let below = self
            .table(
                &["--children", "--call-graph", "none", "--sort", "dso,symbol"],
                SHARE_MIN_PERCENT,
            )
            .await?;
        let callers = format!("caller,{CALLERS_MIN_PERCENT}");
        let callers = self
            .table(
                &["--no-children", "--call-graph", &callers],
                CALLERS_MIN_PERCENT,
            )
            .await?;
        let parts = [
            ("By program and library", objects),
            ("Functions: what they cost themselves", own),
            ("Functions: with everything that they call", below),
            ("The dearest functions and who calls them", callers),
        ];
        let parts =
            parts.map(|(title, table)| format!("== {title}\n\n{}\n", table.trim_matches('\n')));
        let more = format!(
            "More: perf report --no-inline --input {}\n",
            self.samples.display()
        );
        std::fs::write(&self.report, parts.join("\n") + "\n" + &more)
            .with_context(|| format!("could not write {}", self.report.display()))?;
        Ok(self.report.clone())
    }

    async fn table(&self, options: &[&str], least_percent: f64) -> anyhow::Result<String> {
        let mut perf = Command::new("perf");
        perf.args([
            "report",
            "--stdio",
            "--no-inline",
            "--quiet",
            "--percent-limit",
        ])
        .arg(least_percent.to_string())
        .args(options)
        .arg("--input")
        .arg(&self.samples);
        let table = said(perf).await?;
        // perf fills its columns up with spaces.
        Ok(table
            .lines()
            .map(|line| line.trim_end().to_owned() + "\n")
            .collect())
    }
}

/// What a command says on stdout.
async fn said(mut command: Command) -> anyhow::Result<String> {
    let answer = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("could not start perf")?;
    let complaint = String::from_utf8_lossy(&answer.stderr);
    anyhow::ensure!(answer.status.success(), "perf: {}", complaint.trim());
    Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
}
