//! Stops the processes of a stack.

use std::path::{Path, PathBuf};

use super::state::StateFile;
use super::{Say, env_file};
use crate::error::Result;
use crate::files;
use crate::home::Home;
use crate::process::{self, Process, StopSignal};

/// Whoever uses a server is stopped before it. What begins with a name belongs to it (`runtime-api`).
const ORDER: [&[&str]; 4] = [
    &["operator", "runtime", "sandbox"],
    &["kube-apiserver"],
    &["etcd", "kafka", "redis", "postgres"],
    &["postgres-worker-1", "postgres-worker-2"],
];

pub(super) async fn all(home: &Home, state: &StateFile, say: &Say) -> Result<()> {
    let names = state.read(|state| state.processes.keys().cloned().collect::<Vec<_>>());
    let mut stopped = 0;
    let mut first_error = None;
    for group in ORDER {
        let members = names.iter().filter(|name| {
            group.contains(&name.as_str())
                || (group.contains(&"runtime") && name.starts_with("runtime-"))
        });
        for result in together(home, state, members).await {
            match result {
                Ok(was_running) => stopped += usize::from(was_running),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
    }
    end_the_unknown(home)?;
    if let Some(error) = first_error {
        return Err(error);
    }
    files::remove(&home.dir().join(env_file::FILE))?;
    say(&format!("stopped {stopped} processes"));
    Ok(())
}

// Each waits for the kernel, not for a processor: one task is enough, polled in turn.
async fn together(
    home: &Home,
    state: &StateFile,
    names: impl Iterator<Item = &String>,
) -> Vec<Result<bool>> {
    let mut waiting: Vec<_> = names.map(|name| Box::pin(one(home, state, name))).collect();
    let mut results = Vec::with_capacity(waiting.len());
    std::future::poll_fn(|context| {
        waiting.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(result) => {
                results.push(result);
                false
            }
            std::task::Poll::Pending => true,
        });
        if waiting.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    results
}

/// Stops one process if it runs. Says whether it did.
pub(super) async fn one(home: &Home, state: &StateFile, name: &str) -> Result<bool> {
    let Some(identity) = state.process(name).identity else {
        return Ok(false);
    };
    let was_running = identity.is_alive();
    let stop = if name.starts_with("postgres") {
        StopSignal::Int
    } else {
        StopSignal::Term
    };
    Process::known(name, identity, home, stop).stop().await?;
    state.is_stopped(name)?;
    Ok(was_running)
}

/// Ends processes that work in the stack's data but were never noted, because the run that started them was killed.
fn end_the_unknown(home: &Home) -> Result<()> {
    for data in entries(&home.dir().join("data")) {
        for unknown in process::working_in(&data) {
            process::kill_identified(&unknown);
        }
        let name = data.file_name().unwrap_or_default().to_string_lossy();
        files::remove(&home.pid_file(&name))?;
    }
    Ok(())
}

/// Removes the logs of the processes; those of the installer stay.
pub(super) fn remove_logs(dir: &Path) -> Result<()> {
    for log in entries(&dir.join("logs")) {
        let name = log.file_name().unwrap_or_default();
        if !name.to_string_lossy().starts_with("install-") {
            files::remove(&log)?;
        }
    }
    Ok(())
}

/// What lies in a folder; nothing if there is none.
fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
}
