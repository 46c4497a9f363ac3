//! CPU time of processes, as the kernel counts it; `apart`: which cores they run on.

mod apart;

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;

pub use apart::Apart;

/// The kernel counts in these, whatever its own timer does (`USER_HZ`).
const TICKS_PER_S: u64 = 100;

/// CPU time of a process and of everything below it since it was started, children that have ended included.
pub fn of_tree(root: u32) -> anyhow::Result<Duration> {
    let tree = tree(root)?;
    let ticks: u64 = tree.iter().map(|stat| stat.ticks).sum();
    Ok(Duration::from_millis(ticks * 1_000 / TICKS_PER_S))
}

/// A process, then everything below it.
fn tree(root: u32) -> anyhow::Result<Vec<Stat>> {
    let mut parents: HashMap<u32, Vec<Stat>> = HashMap::new();
    let mut found = None;
    for entry in std::fs::read_dir("/proc")
        .context("could not read /proc")?
        .flatten()
    {
        let is_process = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.parse::<u32>().is_ok());
        if !is_process {
            continue;
        }
        // It may have ended meanwhile; its parent counts it then.
        let Ok(text) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        let Some(stat) = Stat::parse(&text) else {
            continue;
        };
        if stat.pid == root {
            found = Some(stat);
        } else {
            parents.entry(stat.parent).or_default().push(stat);
        }
    }
    let root = found.with_context(|| format!("process {root} does not run"))?;
    let mut tree = vec![root];
    let mut looked_at = 0;
    while let Some(parent) = tree.get(looked_at) {
        tree.extend(parents.remove(&parent.pid).unwrap_or_default());
        looked_at += 1;
    }
    Ok(tree)
}

/// CPU time of the thread that asks, since it was started.
pub fn of_this_thread() -> anyhow::Result<Duration> {
    let path = "/proc/thread-self/schedstat";
    let text = std::fs::read_to_string(path).with_context(|| format!("could not read {path}"))?;
    // The first field of proc(5): nanoseconds on a CPU.
    let ns = text
        .split_whitespace()
        .next()
        .and_then(|ns| ns.parse().ok());
    ns.map(Duration::from_nanos)
        .with_context(|| format!("{path} has no CPU time"))
}

/// What is needed of `/proc/<pid>/stat`.
struct Stat {
    pid: u32,
    parent: u32,
    /// Own time, and that of children that have ended and were waited for.
    ticks: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        let pid = text.split_whitespace().next()?.parse().ok()?;
        // The name stands in parentheses and may have spaces and parentheses in it.
        let fields: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        // Fields 14 to 17 of proc(5): utime, stime, cutime, cstime; the first two of all stand before the rest.
        let ticks = number(11)? + number(12)? + number(13)? + number(14)?;
        Some(Self {
            pid,
            parent: u32::try_from(number(1)?).ok()?,
            ticks,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_a_process_with_a_strange_name() {
        let text = "42 (a) b (c) S 7 1 1 0 -1 0 0 0 0 0 11 22 33 44 20 0 1 0 100";
        let stat = Stat::parse(text).unwrap();
        assert_eq!((stat.pid, stat.parent, stat.ticks), (42, 7, 110));
    }

    #[test]
    fn a_thread_that_sleeps_uses_less_than_one_that_works() {
        let part = Duration::from_millis(30);
        let before = of_this_thread().unwrap();
        std::thread::sleep(part);
        let slept = of_this_thread().unwrap();
        assert!(slept < before + part, "{:?}", slept.checked_sub(before));
        let begun = std::time::Instant::now();
        while of_this_thread().unwrap() < slept + part {
            assert!(begun.elapsed() < Duration::from_secs(10));
        }
    }

    #[test]
    fn this_process_has_used_some_time_and_a_dead_one_is_an_error() {
        let before = of_tree(std::process::id()).unwrap();
        let mut sum = 0_u64;
        for number in 0..20_000_000_u64 {
            sum = std::hint::black_box(sum.wrapping_add(number));
        }
        assert!(of_tree(std::process::id()).unwrap() >= before);
        assert!(of_tree(u32::MAX).is_err());
    }
}
