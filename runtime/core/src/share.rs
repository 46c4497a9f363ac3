//! How units are shared over stock shards. Pure arithmetic.

use std::num::NonZeroU16;

use crate::fact::StockCounts;

/// Fewest units of a stock shard: thin shards strand the last tickets of a sale (measured: even draining strands 1-5 %).
pub const UNITS_PER_SHARD_MIN: u32 = 50;

/// Lanes of a ledger: stock shards alone in their Citus shards. A lane is never taken apart again and costs each node four
/// small tables, so the pool has a limit: two of the largest events at once.
pub const LANES_MAX: usize = 1_024;

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

/// The capacities that bring a category to `wanted` units in all, one for each of `shards`, in their order. More units go
/// where the fewest are available, fewer are taken from where the most are, so that the stock shards sell out together. No
/// stock shard gets units while another loses some: whichever is adjusted first, there are never more than before or
/// than wanted. What is held or sold stays, so the sum may be above `wanted`.
#[must_use]
pub fn share_anew(wanted: u32, shards: &[StockCounts]) -> Vec<i64> {
    let there: i64 = shards.iter().map(|shard| shard.capacity).sum();
    let change = i64::from(wanted) - there;
    let available: Vec<i64> = shards.iter().map(|shard| shard.available).collect();
    let levelled = if change >= 0 {
        raise(&available, change)
    } else {
        // Taking from the fullest is giving to the emptiest, upside down.
        let all: i64 = available.iter().sum();
        let upside_down: Vec<i64> = available.iter().map(|units| -units).collect();
        let taken = raise(&upside_down, (-change).min(all));
        taken.into_iter().map(|units| -units).collect()
    };
    shards
        .iter()
        .zip(levelled)
        .map(|(shard, available)| shard.capacity - shard.available + available)
        .collect()
}

/// Pours `units` over `levels`: the lowest rise first, and together.
fn raise(levels: &[i64], units: i64) -> Vec<i64> {
    let mut order: Vec<usize> = (0..levels.len()).collect();
    order.sort_by_key(|at| levels[*at]);
    let mut raised = levels.to_vec();
    let mut left = units;
    for (count, window) in (1_i64..).zip(1..=order.len()) {
        // The lowest `count` stand level; the next one above them is the limit of this step.
        let level = raised[order[0]];
        let room = order
            .get(window)
            .map_or(left, |next| (raised[*next] - level).saturating_mul(count));
        let poured = left.min(room);
        let (each, rest) = (poured / count, poured % count);
        for (place, at) in (0_i64..).zip(&order[..window]) {
            raised[*at] += each + i64::from(place < rest);
        }
        left -= poured;
        if left == 0 {
            break;
        }
    }
    raised
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shard(available: i64, taken: i64) -> StockCounts {
        StockCounts {
            capacity: available + taken,
            available,
            held: taken,
            sold: 0,
        }
    }

    #[test]
    fn more_units_go_where_the_fewest_are_and_fewer_come_from_where_the_most_are() {
        let shards = [shard(10, 40), shard(0, 50), shard(4, 0)];
        assert_eq!(share_anew(104, &shards), [50, 50, 4]);
        assert_eq!(share_anew(112, &shards), [50, 56, 6]);
        assert_eq!(share_anew(113, &shards), [50, 57, 6]);
        assert_eq!(share_anew(98, &shards), [44, 50, 4]);
        assert_eq!(share_anew(97, &shards), [43, 50, 4]);
        assert_eq!(share_anew(95, &shards), [42, 50, 3]);
        assert_eq!(share_anew(90, &shards), [40, 50, 0]);
        // What is held stays.
        assert_eq!(share_anew(5, &shards), [40, 50, 0]);
        assert!(share_anew(5, &[]).is_empty());
    }

    proptest! {
        #[test]
        fn a_new_share_is_exact_where_it_can_be_and_moves_one_way_only(
            shards in proptest::collection::vec((0..500_i64, 0..500_i64), 1..40),
            wanted in 0..30_000_u32,
        ) {
            let shards: Vec<_> = shards.into_iter().map(|(a, t)| shard(a, t)).collect();
            let shares = share_anew(wanted, &shards);
            let wanted = i64::from(wanted);
            let there: i64 = shards.iter().map(|shard| shard.capacity).sum();
            let taken: i64 = shards.iter().map(|shard| shard.held).sum();
            prop_assert_eq!(shares.iter().sum::<i64>(), wanted.max(taken));
            for (shard, share) in shards.iter().zip(&shares) {
                prop_assert!(*share >= shard.held);
                prop_assert!((*share - shard.capacity) * (wanted - there) >= 0);
            }
            prop_assert_eq!(share_anew(u32::try_from(wanted).unwrap(), &shards), shares);
        }
    }

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
