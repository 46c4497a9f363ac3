//! One rebalance at a time: Citus moves one shard of these tables at a time anyway, and two plans at once would undo each
//! other. What counts over restarts stands in the resources' phases; this here is for those that run in this process.

use std::sync::{Mutex, PoisonError};

use kube::ResourceExt;
use ticket_crds::{RebalancePhase, ShardRebalance};

/// Who has the turn in this process.
#[derive(Debug, Default)]
pub(super) struct Turn {
    holder: Mutex<Option<String>>,
}

/// The turn; ends when it is dropped.
#[derive(Debug)]
pub(super) struct Taken<'a> {
    turn: &'a Turn,
}

impl Turn {
    /// Takes the turn for `own`, whose moves are under way or are not. `all`: as the watch has them.
    ///
    /// # Errors
    /// The name of the one that has it.
    pub(super) fn take<'a>(
        &self,
        own: &ShardRebalance,
        is_under_way: bool,
        all: impl Iterator<Item = &'a ShardRebalance>,
    ) -> Result<Taken<'_>, String> {
        let mut holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = &*holder {
            return Err(other.clone());
        }
        if let Some(other) = before(own, is_under_way, all) {
            return Err(other);
        }
        *holder = Some(own.name_any());
        Ok(Taken { turn: self })
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let holder = &self.turn.holder;
        *holder.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Another resource whose moves are under way. If ours are too (somebody wrote into a status), the older one goes on.
fn before<'a>(
    own: &ShardRebalance,
    is_ours: bool,
    all: impl Iterator<Item = &'a ShardRebalance>,
) -> Option<String> {
    let age = |object: &ShardRebalance| {
        let created = object.creation_timestamp().map(|time| time.0);
        (created, object.name_any())
    };
    all.filter(|other| other.uid() != own.uid() && has_begun(other))
        .find(|other| !is_ours || age(other) < age(own))
        .map(ResourceExt::name_any)
}

fn has_begun(object: &ShardRebalance) -> bool {
    let phase = object.status.as_ref().and_then(|status| status.phase);
    phase == Some(RebalancePhase::Rebalancing)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, second: u32, phase: &str) -> ShardRebalance {
        serde_json::from_value(json!({
            "apiVersion": "ticketctl.io/v1alpha1", "kind": "ShardRebalance",
            "metadata": {
                "name": name, "uid": name,
                "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z"),
            },
            "spec": { "mode": "Balance" },
            "status": { "phase": phase },
        }))
        .unwrap()
    }

    #[test]
    fn one_goes_on_and_the_others_know_which() {
        let turn = Turn::default();
        let (one, two) = (object("one", 1, "Approved"), object("two", 2, "Approved"));
        let all = [one.clone(), two.clone()];
        let taken = turn.take(&one, false, all.iter()).unwrap();
        assert_eq!(turn.take(&two, false, all.iter()).unwrap_err(), "one");
        drop(taken);
        turn.take(&two, false, all.iter()).unwrap();
    }

    #[test]
    fn after_a_restart_the_one_that_was_under_way_goes_on() {
        let turn = Turn::default();
        let (one, two) = (
            object("one", 1, "Approved"),
            object("two", 2, "Rebalancing"),
        );
        let all = [one.clone(), two.clone()];
        assert_eq!(turn.take(&one, false, all.iter()).unwrap_err(), "two");
        turn.take(&two, true, all.iter()).unwrap();
        let older = object("zero", 0, "Rebalancing");
        let all = [older.clone(), two.clone()];
        assert_eq!(turn.take(&two, true, all.iter()).unwrap_err(), "zero");
        turn.take(&older, true, all.iter()).unwrap();
    }
}
