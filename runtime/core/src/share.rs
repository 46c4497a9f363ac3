//! How units are shared over stock shards. Pure arithmetic.

use std::num::NonZeroU16;

/// Fewest units of a stock shard: thin shards strand the last tickets of a sale (measured: even draining strands 1-5 %).
pub const UNITS_PER_SHARD_MIN: u32 = 50;

/// Shares `units` (tickets) over `shards` evenly; the first `units % shards` shards get one more.
/// Returns `shards` entries in shard order. Their sum is exactly `units`.
#[must_use]
pub fn share(units: u32, shards: NonZeroU16) -> Vec<u32> {
    let count = u32::from(shards.get());
    let (each, rest) = (units / count, units % count);
    (0..count)
        .map(|shard| each + u32::from(shard < rest))
        .collect()
}

/// How many stock shards `units` feed when `wanted` were asked for: as many as keep [`UNITS_PER_SHARD_MIN`] units each,
/// at least one.
#[must_use]
pub fn shards_that_fit(units: u32, wanted: NonZeroU16) -> NonZeroU16 {
    let most = u16::try_from(units / UNITS_PER_SHARD_MIN).unwrap_or(u16::MAX);
    NonZeroU16::new(most.min(wanted.get())).unwrap_or(NonZeroU16::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even_and_their_sum_is_exact() {
        for (units, shards) in [(0, 1), (1, 3), (2_000, 7), (10_000_000, 256)] {
            let shares = share(units, NonZeroU16::new(shards).unwrap());
            assert_eq!(shares.iter().sum::<u32>(), units);
            assert_eq!(shares.len(), usize::from(shards));
            let (min, max) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
            assert!(max - min <= 1, "{units} over {shards}: {min}..{max}");
        }
    }

    #[test]
    fn a_thin_category_gets_fewer_shards_than_it_asked_for() {
        let eight = NonZeroU16::new(8).unwrap();
        assert_eq!(shards_that_fit(5_000, eight), eight);
        assert_eq!(shards_that_fit(120, eight).get(), 2);
        assert_eq!(shards_that_fit(0, eight).get(), 1);
    }
}
