//! Which worker gets the next lane. Pure.

/// How a worker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Load {
    /// Lanes of the event that are on it.
    pub(super) leased: usize,
    /// Free lanes on it.
    pub(super) free: usize,
}

/// The worker of each of `count` more lanes, as places in `loads`: always the one with the fewest lanes of the event, and
/// among those one that has a free lane. So the first n lanes are even for any n, if the event had none before. Empty if
/// there is no worker.
pub(super) fn spread(loads: &[Load], count: usize) -> Vec<usize> {
    let mut loads = loads.to_vec();
    let mut order = Vec::with_capacity(count);
    for _ in 0..count {
        let fewest = loads
            .iter_mut()
            .enumerate()
            .min_by_key(|(_, load)| (load.leased, load.free == 0));
        let Some((at, load)) = fewest else { break };
        load.leased += 1;
        load.free = load.free.saturating_sub(1);
        order.push(at);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(leased: usize, free: usize) -> Load {
        Load { leased, free }
    }

    fn after(loads: &[Load], count: usize) -> Vec<usize> {
        let order = spread(loads, count);
        let more = |at| order.iter().filter(|worker| **worker == at).count();
        (0..)
            .zip(loads)
            .map(|(at, load)| load.leased + more(at))
            .collect()
    }

    #[test]
    fn every_beginning_of_the_lanes_is_even() {
        for workers in 1..5 {
            let loads = [load(0, 7), load(0, 0), load(0, 1), load(0, 0)];
            let order = spread(&loads[..workers], 33);
            assert_eq!(order.len(), 33);
            for count in 0..order.len() {
                let of = |at| {
                    order[..count]
                        .iter()
                        .filter(|worker| **worker == at)
                        .count()
                };
                let counts: Vec<usize> = (0..workers).map(of).collect();
                let (least, most) = (counts.iter().min(), counts.iter().max());
                assert!(most.unwrap() - least.unwrap() <= 1, "{counts:?}");
            }
        }
    }

    #[test]
    fn what_was_uneven_is_made_even_and_free_lanes_do_not_tempt() {
        assert_eq!(after(&[load(5, 9), load(1, 0)], 4), [5, 5]);
        assert_eq!(after(&[load(0, 32), load(0, 0)], 32), [16, 16]);
        assert_eq!(spread(&[load(0, 0), load(0, 1)], 1), [1]);
        assert!(spread(&[], 3).is_empty());
    }
}
