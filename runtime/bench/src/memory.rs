//! Memory of the stack's processes, as the kernel counts it.
//!
//! - `queued`: memory of the runtime while a million orders wait.

mod queued;

use std::path::Path;

use anyhow::Context as _;

use crate::suite::measure::Measure;
use crate::suite::plan::Plan;

/// What is measured of memory.
#[must_use]
pub fn measures(plan: &Plan) -> Vec<Box<dyn Measure>> {
    vec![queued(plan.pick(1_000_000, 200_000))]
}

/// Memory of the runtime while `orders` orders wait for a database that stands still.
#[must_use]
pub fn queued(orders: u32) -> Box<dyn Measure> {
    Box::new(queued::Queued::new(orders))
}

/// Memory of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// Its name: `runtime`, `operator`.
    pub name: String,
    /// Memory that it holds now, KiB (`VmRSS`).
    pub resident_kib: u64,
    /// Most that it has held since it was started, KiB (`VmHWM`).
    pub peak_kib: u64,
}

/// The most that the runtime may hold with all roles in one process, KiB: 200 MB, at 20,000 buyers.
const RUNTIME_KIB_MAX: u64 = 200_000_000 / 1024;

/// The most that the operator may hold, KiB: 50 MB.
const OPERATOR_KIB_MAX: u64 = 50_000_000 / 1024;

impl Memory {
    /// The most that this process may hold; `None` for a process without a limit of its own (one role of several).
    #[must_use]
    pub fn limit_kib(&self) -> Option<u64> {
        match self.name.as_str() {
            "runtime" => Some(RUNTIME_KIB_MAX),
            "operator" => Some(OPERATOR_KIB_MAX),
            _ => None,
        }
    }
}

/// `12345` KiB as `12.6 MB`.
#[must_use]
pub fn megabytes(kib: u64) -> String {
    let kib = u32::try_from(kib).unwrap_or(u32::MAX);
    format!("{:.1} MB", f64::from(kib) * 1024.0 / 1e6)
}

/// The runtime's processes and the operator, found by the pid files in `<stack>/pids`.
pub fn of_the_stack(stack: &Path) -> anyhow::Result<Vec<Memory>> {
    let dir = stack.join("pids");
    let entries =
        std::fs::read_dir(&dir).with_context(|| format!("could not read {}", dir.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry
            .with_context(|| format!("could not read {}", dir.display()))?
            .path();
        let name = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        if !name.starts_with("runtime") && name != "operator" {
            continue;
        }
        let pid = std::fs::read_to_string(&path)
            .with_context(|| format!("could not read {}", path.display()))?;
        let pid = pid.trim().parse();
        found.push(of_process(
            name,
            pid.context("a pid file holds no number")?,
        )?);
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Memory of the process with this id; `name` is what it is called.
pub fn of_process(name: &str, pid: u32) -> anyhow::Result<Memory> {
    let status = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&status)
        .with_context(|| format!("{name} does not run: could not read {status}"))?;
    parse(name, &status).with_context(|| format!("{name} shows no memory"))
}

fn parse(name: &str, status: &str) -> Option<Memory> {
    let kib = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some(Memory {
        name: name.to_owned(),
        resident_kib: kib("VmRSS:")?,
        peak_kib: kib("VmHWM:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_kernels_words() {
        let status = "Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n";
        let memory = parse("x", status).unwrap();
        assert_eq!((memory.resident_kib, memory.peak_kib), (1_024, 2_048));
        // A zombie has no memory.
        assert_eq!(parse("x", "Name:\tx\nState:\tZ (zombie)\n"), None);
    }
}
