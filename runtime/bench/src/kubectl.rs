//! Kubernetes as a platform engineer uses it: by kubectl, bounded in time.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use ticket_testkit::Tools;
use tokio::process::Command;

/// The longest that any kubectl call may take, waits included.
const CALL_MAX: Duration = Duration::from_secs(150);

/// kubectl with a kubeconfig.
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// The installed one.
    pub fn new(kubeconfig: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            program: Tools.kubectl()?,
            kubeconfig: kubeconfig.to_path_buf(),
        })
    }

    /// Runs it and returns its stdout.
    pub async fn run(&self, args: &[&str]) -> anyhow::Result<String> {
        let what = format!("kubectl {}", args.join(" "));
        let running = Command::new(&self.program)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(args)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let answer = tokio::time::timeout(CALL_MAX, running)
            .await
            .with_context(|| format!("{what} took longer than {} s", CALL_MAX.as_secs()))?
            .with_context(|| format!("could not start {what}"))?;
        let said = String::from_utf8_lossy(&answer.stderr);
        anyhow::ensure!(answer.status.success(), "{what}: {}", said.trim());
        Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
    }
}
