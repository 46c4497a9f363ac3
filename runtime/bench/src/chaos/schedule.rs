//! Which faults a run has, and when: a pure function of the seed, so that a failing run can be had again. No clock, no I/O.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use super::fault::Fault;

/// Faults of one run. Two or three overlap now and then; more would leave nothing that works for most of the time.
const FAULTS_PER_RUN: std::ops::RangeInclusive<usize> = 2..=4;

/// The first comes not before the sale has begun to move, and the last early enough that people still come.
const BEGIN_MS: std::ops::RangeInclusive<u64> = 500..=7_000;

/// One fault of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// What happens.
    pub fault: Fault,
    /// When, since the doors opened.
    pub at: Duration,
    /// For how long.
    pub lasts: Duration,
    /// Decides what the fault leaves open: which node, how much of a file, which way a clock jumps.
    pub choice: u32,
}

/// The faults of the run with this seed, out of `faults`, by their time. One of them is certain: neighbouring seeds go
/// through the whole list.
#[must_use]
pub fn plan(seed: u64, faults: &[Fault]) -> Vec<Planned> {
    let mut rng = StdRng::seed_from_u64(seed ^ 0x0063_6861_6f73);
    let count = rng.random_range(FAULTS_PER_RUN);
    let turn = usize::try_from(seed % u64::try_from(faults.len().max(1)).unwrap_or(1));
    let certain = faults.get(turn.unwrap_or(0)).copied();
    let more = (1..count).filter_map(|_| faults.choose(&mut rng).copied());
    let chosen: Vec<Fault> = certain
        .into_iter()
        .chain(more.collect::<Vec<_>>())
        .collect();
    let mut planned: Vec<Planned> = chosen
        .into_iter()
        .map(|fault| Planned {
            fault,
            at: Duration::from_millis(rng.random_range(BEGIN_MS)),
            lasts: fault.lasts(&mut rng),
            choice: rng.random(),
        })
        .collect();
    planned.sort_by_key(|planned| planned.at);
    planned
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_seed_is_the_same_schedule_and_another_seed_is_not() {
        let all = Fault::all();
        assert_eq!(plan(7, &all), plan(7, &all));
        assert_ne!(plan(7, &all), plan(8, &all));
    }

    #[test]
    fn neighbouring_seeds_go_through_every_fault() {
        let all = Fault::all();
        let seeds = 1_000..1_000 + u64::try_from(all.len()).unwrap();
        let seen: BTreeSet<Fault> = seeds
            .flat_map(|seed| plan(seed, &all))
            .map(|planned| planned.fault)
            .collect();
        assert_eq!(seen.len(), all.len());
    }

    #[test]
    fn faults_come_in_order_and_while_people_come() {
        for seed in 0..200 {
            let planned = plan(seed, &Fault::all());
            assert!(FAULTS_PER_RUN.contains(&planned.len()));
            assert!(planned.is_sorted_by_key(|planned| planned.at));
            let last = planned.last().unwrap();
            assert!(last.at + last.lasts <= Duration::from_secs(12), "{last:?}");
        }
        assert!(plan(1, &[]).is_empty());
    }
}
