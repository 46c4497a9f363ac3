//! What comes next for a rebalance. Pure: the phase it is in, and what people want by now.

use ticket_crds::{RebalancePhase, RebalanceSpec, RebalanceStatus};

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// Plan the moves and show them.
    Propose,
    /// The moves that are shown were approved: carry them out if they are still what would be planned.
    Begin,
    /// The next move.
    Move,
    /// Go on after a stop or a failure, with the moves that are left.
    Resume,
    /// What was under way ends.
    Stop,
    /// Nothing to do until somebody changes the spec.
    Rest,
}

/// One answer for each phase and wish.
pub(super) fn decide(
    status: &RebalanceStatus,
    spec: &RebalanceSpec,
    generation: Option<i64>,
) -> Act {
    use RebalancePhase::{Approved, Completed, Failed, Proposed, Rebalancing, Stopped};
    let Some(phase) = status.phase else {
        return Act::Propose;
    };
    let is_news = status.observed_generation != generation;
    let is_wanted = spec.approve && !spec.stop;
    match phase {
        // An approval counts for a plan that was there before it: nobody approves what he has not seen.
        Proposed if is_wanted && generation > status.proposed_generation => Act::Begin,
        // `force` may have changed.
        Proposed if is_news && !spec.approve => Act::Propose,
        Approved | Rebalancing if is_wanted => Act::Move,
        Approved | Rebalancing => Act::Stop,
        Stopped if is_wanted => Act::Resume,
        Failed if is_news && is_wanted && has_begun(status) => Act::Resume,
        Failed if is_news && !has_begun(status) => Act::Propose,
        Proposed | Stopped | Completed | Failed => Act::Rest,
    }
}

/// Whether moves were approved once. A plan that could not be made has none.
fn has_begun(status: &RebalanceStatus) -> bool {
    !status.moves.is_empty() && status.proposed_generation < status.observed_generation
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use ticket_crds::{MoveState, MoveStatus, RangeStatus};

    use super::*;

    fn spec(approve: bool, stop: bool) -> RebalanceSpec {
        serde_json::from_value(json!({ "mode": "Balance", "approve": approve, "stop": stop }))
            .unwrap()
    }

    fn status(phase: RebalancePhase, observed: i64, proposed: i64) -> RebalanceStatus {
        RebalanceStatus {
            phase: Some(phase),
            observed_generation: Some(observed),
            proposed_generation: Some(proposed),
            moves: vec![MoveStatus {
                stock_shard_ids: vec![1],
                range: RangeStatus { low: 0, high: 9 },
                from: "a:1".to_owned(),
                to: "b:1".to_owned(),
                bytes: None,
                state: MoveState::Pending,
                retries: 0,
                message: None,
                took_ms: None,
            }],
            ..RebalanceStatus::default()
        }
    }

    #[test]
    fn nothing_moves_before_its_plan_was_seen_and_approved() {
        let none = RebalanceStatus::default();
        // Approved before there was a plan: it is planned, and waits for an approval of that plan.
        assert_eq!(decide(&none, &spec(true, false), Some(1)), Act::Propose);
        let proposed = status(RebalancePhase::Proposed, 1, 1);
        assert_eq!(decide(&proposed, &spec(true, false), Some(1)), Act::Rest);
        assert_eq!(decide(&proposed, &spec(false, false), Some(1)), Act::Rest);
        assert_eq!(decide(&proposed, &spec(true, false), Some(2)), Act::Begin);
        // Another spec, not approved: perhaps another plan.
        assert_eq!(
            decide(&proposed, &spec(false, false), Some(2)),
            Act::Propose
        );
    }

    #[test]
    fn a_stop_of_what_is_not_under_way_starts_nothing_and_ends_nothing() {
        let proposed = status(RebalancePhase::Proposed, 1, 1);
        assert_eq!(decide(&proposed, &spec(true, true), Some(2)), Act::Rest);
        let completed = status(RebalancePhase::Completed, 2, 1);
        for approve in [false, true] {
            for stop in [false, true] {
                assert_eq!(decide(&completed, &spec(approve, stop), Some(3)), Act::Rest);
            }
        }
    }

    #[test]
    fn what_is_under_way_stops_and_goes_on() {
        for phase in [RebalancePhase::Approved, RebalancePhase::Rebalancing] {
            let under_way = status(phase, 2, 1);
            assert_eq!(decide(&under_way, &spec(true, false), Some(2)), Act::Move);
            assert_eq!(decide(&under_way, &spec(true, true), Some(3)), Act::Stop);
            assert_eq!(decide(&under_way, &spec(false, false), Some(3)), Act::Stop);
        }
        let stopped = status(RebalancePhase::Stopped, 3, 1);
        assert_eq!(decide(&stopped, &spec(true, true), Some(3)), Act::Rest);
        assert_eq!(decide(&stopped, &spec(true, false), Some(4)), Act::Resume);
    }

    #[test]
    fn a_failure_waits_for_a_person() {
        let failed = status(RebalancePhase::Failed, 2, 1);
        assert_eq!(decide(&failed, &spec(true, false), Some(2)), Act::Rest);
        assert_eq!(decide(&failed, &spec(true, false), Some(3)), Act::Resume);
        assert_eq!(decide(&failed, &spec(false, false), Some(3)), Act::Rest);
        let never_planned = RebalanceStatus {
            moves: Vec::new(),
            ..status(RebalancePhase::Failed, 1, 1)
        };
        assert_eq!(
            decide(&never_planned, &spec(true, false), Some(2)),
            Act::Propose
        );
    }
}
