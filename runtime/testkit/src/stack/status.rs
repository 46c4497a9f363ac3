//! What of a stack runs.

use std::path::Path;

use super::state::{self, StateFile};
use crate::error::Result;
use crate::process;

/// One process of a stack.
#[derive(Debug, Clone)]
pub struct ProcessStatus {
    /// Its name, as in its pid file and log.
    pub name: String,
    /// Its process id, if it runs.
    pub pid: Option<u32>,
    /// The port that it listens on, or listened on last.
    pub port: u16,
    /// Whether it listens there.
    pub is_listening: bool,
    /// Memory in KiB, if it runs.
    pub resident_kib: Option<u64>,
}

/// All processes that a stack ever started, by name.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// One entry each.
    pub processes: Vec<ProcessStatus>,
}

impl Status {
    /// Whether something was started and all of it runs and listens.
    #[must_use]
    pub fn is_up(&self) -> bool {
        !self.processes.is_empty() && self.processes.iter().all(|process| process.is_listening)
    }
}

pub(super) fn look(dir: &Path) -> Result<Status> {
    if !dir.join(state::FILE).is_file() {
        return Ok(Status::default());
    }
    let known = StateFile::load(dir)?.read(|state| state.processes.clone());
    let processes = known
        .into_iter()
        .filter_map(|(name, known)| {
            // Without one it is a listener of another process, or was stopped on purpose.
            let identity = known.identity?;
            let port = known.port?;
            let pid = identity.is_alive().then_some(identity.pid);
            Some(ProcessStatus {
                name,
                pid,
                port,
                is_listening: pid.is_some_and(|pid| process::owns_port(pid, port)),
                resident_kib: pid.and_then(process::resident_kib),
            })
        })
        .collect();
    Ok(Status { processes })
}
