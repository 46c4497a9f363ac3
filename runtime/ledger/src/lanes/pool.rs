//! Ids for new lanes. An id can be chosen: drawn in bulk from the sequence, a few fall into any hash range that is wanted. All
//! new ids of a worker are chosen inside one Citus shard of it, so that one split makes all its lanes.

use sqlx::{FromRow, PgConnection};

use crate::error::{LedgerError, Result};
use crate::topology::NodeState;

/// Hash values. An id falls on each with the same chance.
const HASHES: i64 = 1 << 32;

/// Narrowest hash range that new ids are looked for in: one id in a thousand falls into it, so that a few hundred lanes cost
/// less than a second of drawing. A range of a fresh table is 32 times as wide.
const RANGE_WIDTH_MIN: i64 = 1 << 22;

/// Ids drawn at once. Half a second at most.
const DRAWN_AT_ONCE_MAX: i64 = 1 << 17;

/// Draws until a worker counts as one without room. Twice what is expected is drawn, so one is usual.
const DRAWS_MAX: usize = 16;

/// A sale that opens within this counts as on sale: a split takes some seconds.
pub(super) const OPENS_WITHIN_S: i32 = 60;

/// A hash range that is to be split.
#[derive(Debug, FromRow)]
struct Range {
    groupid: i32,
    low: i32,
    high: i32,
}

impl Range {
    fn width(&self) -> i64 {
        i64::from(self.high) - i64::from(self.low) + 1
    }
}

#[derive(FromRow)]
struct Drawn {
    id: i64,
    place: i32,
}

/// So many new ids for each of the nodes; the answer is in the order of `wanted`. No id shares its hash with another one, or
/// with a stock shard or lane that is known.
pub(super) async fn name(
    transaction: &mut PgConnection,
    wanted: &[(&NodeState, usize)],
) -> Result<Vec<Vec<i64>>> {
    let mut names = vec![Vec::new(); wanted.len()];
    if wanted.iter().all(|(_, count)| *count == 0) {
        return Ok(names);
    }
    let ranges = ranges(transaction).await?;
    let mut chosen = Vec::with_capacity(wanted.len());
    for (node, count) in wanted {
        let here = ranges.iter().find(|range| range.groupid == node.groupid);
        match here {
            Some(range) => chosen.push(Some(range)),
            None if *count == 0 => chosen.push(None),
            None => return Err(without_room(node)),
        }
    }
    for _ in 0..DRAWS_MAX {
        let missing = |at: usize| {
            let count = wanted.get(at).map_or(0, |(_, count)| *count);
            count.saturating_sub(names.get(at).map_or(0, Vec::len))
        };
        let open: Vec<(usize, &Range)> = chosen
            .iter()
            .enumerate()
            .filter_map(|(at, range)| range.filter(|_| missing(at) > 0).map(|range| (at, range)))
            .collect();
        if open.is_empty() {
            return Ok(names);
        }
        let draw = open
            .iter()
            .map(|(at, range)| to_draw(missing(*at), range.width()))
            .max()
            .unwrap_or(0);
        let so_far: Vec<i64> = names.iter().flatten().copied().collect();
        for Drawn { id, place } in drawn(transaction, draw, &open, &so_far).await? {
            let at = usize::try_from(place - 1).ok().and_then(|at| open.get(at));
            let Some((at, _)) = at else { continue };
            let count = wanted.get(*at).map_or(0, |(_, count)| *count);
            if let Some(of_node) = names.get_mut(*at)
                && of_node.len() < count
            {
                of_node.push(id);
            }
        }
    }
    let short = wanted
        .iter()
        .zip(&names)
        .find(|((_, count), names)| names.len() < *count);
    match short {
        Some(((node, _), _)) => Err(without_room(node)),
        None => Ok(names),
    }
}

fn without_room(node: &NodeState) -> LedgerError {
    LedgerError::LanesWithoutRoom {
        node: node.name.clone(),
    }
}

/// Ids to draw so that twice as many as are missing are expected in a range so wide.
fn to_draw(missing: usize, width: i64) -> i64 {
    let expected = i64::try_from(missing).unwrap_or(i64::MAX);
    let one_in = HASHES / width.max(1) + 1;
    expected
        .saturating_mul(one_in)
        .saturating_mul(2)
        .min(DRAWN_AT_ONCE_MAX)
}

/// Hash ranges that may be split, the best of each node first: empty ones, the widest first, then those whose stock shards are
/// not on sale. A range with a lane that is named and not split off yet is left to the event that leases it.
async fn ranges(transaction: &mut PgConnection) -> Result<Vec<Range>> {
    sqlx::query_as(
        "WITH known AS ( \
           SELECT get_shard_id_for_distribution_column('stock_shards', c.stock_shard_id) AS shardid, \
                  e.is_open AND NOT e.is_closed AND e.closes_at > now() \
                    AND e.opens_at <= now() + make_interval(secs => $1::integer) AS is_in_use \
           FROM shard_catalog c JOIN events e ON e.event_id = c.event_id \
           UNION ALL \
           SELECT get_shard_id_for_distribution_column('stock_shards', l.stock_shard_id), true \
           FROM lanes l), \
         held AS (SELECT shardid, bool_or(coalesce(is_in_use, false)) AS is_in_use FROM known GROUP BY 1) \
         SELECT p.groupid, d.shardminvalue::integer AS low, d.shardmaxvalue::integer AS high \
         FROM pg_dist_shard d JOIN pg_dist_placement p ON p.shardid = d.shardid \
         LEFT JOIN held ON held.shardid = d.shardid \
         WHERE d.logicalrelid = 'stock_shards'::regclass AND NOT coalesce(held.is_in_use, false) \
         AND d.shardmaxvalue::bigint - d.shardminvalue::bigint >= $2 \
         ORDER BY held.shardid IS NOT NULL, \
                  d.shardmaxvalue::bigint - d.shardminvalue::bigint DESC, d.shardminvalue::bigint",
    )
    .bind(OPENS_WITHIN_S)
    .bind(RANGE_WIDTH_MIN)
    .fetch_all(transaction)
    .await
    .map_err(|cause| LedgerError::Read {
        what: "hash ranges for lanes",
        cause,
    })
}

/// Draws `count` ids and keeps those that fall into a range and share their hash with nothing, nor with `so_far`; with each
/// the place of its range, from 1.
async fn drawn(
    transaction: &mut PgConnection,
    count: i64,
    ranges: &[(usize, &Range)],
    so_far: &[i64],
) -> Result<Vec<Drawn>> {
    let lows: Vec<i32> = ranges.iter().map(|(_, range)| range.low).collect();
    let highs: Vec<i32> = ranges.iter().map(|(_, range)| range.high).collect();
    sqlx::query_as(
        "WITH drawn AS MATERIALIZED ( \
           SELECT nextval('stock_shard_ids') AS id FROM generate_series(1, $1)), \
         hit AS MATERIALIZED ( \
           SELECT DISTINCT ON (h) id, h, r.place::integer AS place \
           FROM (SELECT id, worker_hash(id) AS h FROM drawn) AS hashed \
           JOIN unnest($2::integer[], $3::integer[]) WITH ORDINALITY AS r(low, high, place) \
             ON h BETWEEN r.low AND r.high ORDER BY h, id), \
         known AS ( \
           SELECT worker_hash(stock_shard_id) AS h FROM shard_catalog \
           UNION ALL SELECT worker_hash(stock_shard_id) FROM lanes \
           UNION ALL SELECT worker_hash(named) FROM unnest($4::bigint[]) AS named) \
         SELECT id, place FROM hit WHERE NOT EXISTS (SELECT FROM known WHERE known.h = hit.h) \
         ORDER BY id",
    )
    .bind(count)
    .bind(&lows)
    .bind(&highs)
    .bind(so_far)
    .fetch_all(transaction)
    .await
    .map_err(|cause| LedgerError::Write {
        what: "new lanes",
        cause,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_draw_is_enough_for_a_few_hundred_lanes_and_never_has_no_end() {
        let fresh = HASHES / 32;
        assert_eq!(to_draw(16, fresh), 16 * 33 * 2);
        assert!(to_draw(256, fresh) < DRAWN_AT_ONCE_MAX);
        assert_eq!(to_draw(usize::MAX, 1), DRAWN_AT_ONCE_MAX);
        // All draws together suffice for the largest event (512 stock shards) on one worker with the narrowest range.
        let expected =
            DRAWN_AT_ONCE_MAX * i64::try_from(DRAWS_MAX).unwrap() * RANGE_WIDTH_MIN / HASHES;
        assert!(expected >= 2 * 512, "{expected}");
    }
}
