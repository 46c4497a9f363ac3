//! Lanes of an Event: leased and split off before its stock is made, and never after. A stock shard that is made stays where it
//! is, and how an Event is isolated with it.

use crate::desired::Desired;
use crate::observed::Observed;
use crate::step::{BlockReason, Step};

/// Plans the lanes for `to_make` stock shards of an Event that has none yet. Answers with the number of lanes that there will
/// be, stock shard n taking the n-th; `None`: stock has to wait, because the pool cannot give enough.
pub(crate) fn prepare(
    desired: &Desired,
    observed: &Observed,
    to_make: usize,
    steps: &mut Vec<Step>,
    blocked: &mut Vec<BlockReason>,
) -> Option<usize> {
    if !desired.is_dedicated || !observed.is_distributed || to_make == 0 {
        return Some(0);
    }
    let lanes = observed.lanes;
    if observed.named() > 0 {
        // Broken off between two categories, or a category that came late: what was leased is used up, and no more comes.
        return Some(if lanes.alone == lanes.leased {
            lanes.alone
        } else {
            0
        });
    }
    let missing = to_make.saturating_sub(lanes.leased);
    if missing > lanes.left {
        blocked.push(BlockReason::LanesExhausted {
            wanted: missing,
            left: lanes.left,
        });
        return None;
    }
    if missing > 0 {
        steps.push(Step::LeaseLanes {
            lanes: to_make,
            seen: lanes.leased,
        });
    }
    let leased = lanes.leased + missing;
    if lanes.alone < leased {
        steps.push(Step::SplitShard {
            lanes: leased - lanes.alone,
        });
    }
    Some(leased)
}
