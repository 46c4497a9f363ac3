//! Applies the custom resource definitions of the checkout and waits until the API server serves them.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::Stack;
use crate::error::{Result, TestkitError};
use crate::files;
use crate::home::workspace_dir;
use crate::tools::Tools;

/// What was applied last.
pub(super) const APPLIED: &str = "applied-crds.yaml";

/// How long kubectl may take.
const KUBECTL_LIMIT: Duration = Duration::from_mins(1);

/// `may_skip`: what was applied last and has not changed is not looked at again. A test process would lose time on it;
/// on a stack for people, or on somebody else's cluster, a definition may have been removed meanwhile.
pub(super) async fn apply(kubeconfig: &Path, stack: &Stack, may_skip: bool) -> Result<()> {
    let definitions = definitions()?;
    if definitions.is_empty() {
        return Ok(());
    }
    let mut all = format!("# {}\n", kubeconfig.display());
    for path in &definitions {
        all.push_str(&files::read(path)?);
    }
    let note = stack.home.dir().join(APPLIED);
    if may_skip && note.is_file() && files::read(&note)? == all {
        return Ok(());
    }
    let files: Vec<_> = definitions
        .iter()
        .map(|path| format!("--filename={}", path.display()))
        .collect();
    kubectl(
        kubeconfig,
        &["apply", "--server-side", "--force-conflicts"],
        &files,
    )
    .await?;
    kubectl(
        kubeconfig,
        &["wait", "--for=condition=Established", "--timeout=30s"],
        &files,
    )
    .await?;
    files::write(&note, &all)?;
    stack.tell("custom resource definitions: applied");
    Ok(())
}

/// The generated definitions; examples lie a folder deeper.
fn definitions() -> Result<Vec<PathBuf>> {
    let dir = workspace_dir().join("crds");
    let entries = std::fs::read_dir(&dir).map_err(files::failed("read", &dir))?;
    let mut paths: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "yaml"))
        .collect();
    paths.sort();
    Ok(paths)
}

/// Runs kubectl, bounded in time.
pub(crate) async fn kubectl(kubeconfig: &Path, verb: &[&str], more: &[String]) -> Result<String> {
    let program = Tools.kubectl()?;
    let what = format!("kubectl {}", verb.join(" "));
    let running = tokio::process::Command::new(&program)
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .args(verb)
        .args(more)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let Ok(answer) = tokio::time::timeout(KUBECTL_LIMIT, running).await else {
        let output = format!("it took longer than {} s", KUBECTL_LIMIT.as_secs());
        return Err(TestkitError::Command { what, output });
    };
    let answer = answer.map_err(|cause| TestkitError::Spawn {
        program: program.display().to_string(),
        cause,
    })?;
    if answer.status.success() {
        return Ok(String::from_utf8_lossy(&answer.stdout).into_owned());
    }
    Err(TestkitError::Command {
        what,
        output: String::from_utf8_lossy(&answer.stderr).into_owned(),
    })
}
