//! Memory: however many people come, the processes stay small.

use super::{Evidence, Verdict};
use crate::memory::megabytes;

/// No process ever held more than its limit.
pub(super) fn within_limits(evidence: &Evidence) -> Verdict {
    let limited = evidence
        .memory
        .iter()
        .filter_map(|process| Some((process, process.limit_kib()?)));
    let findings = limited
        .clone()
        .filter(|(process, limit)| process.peak_kib > *limit)
        .map(|(process, limit)| {
            let (peak, limit) = (megabytes(process.peak_kib), megabytes(limit));
            format!("{} held {peak}, its limit is {limit}", process.name)
        })
        .collect();
    Verdict::new(
        "memory stays small",
        format!("{} processes with a limit", limited.count()),
        findings,
    )
}
