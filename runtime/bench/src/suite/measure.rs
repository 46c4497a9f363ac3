//! What the suite knows of a thing that is measured: how to run a round of it, and what it says in the end. It knows nothing
//! of orders, endpoints or logs.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;

use super::plan::Plan;
use super::section::Section;
use crate::ledger::rig::Rig;
use crate::stats::Spread;

/// Something that is measured in rounds. The suite interleaves the rounds of all measures (A B C A B C ...), so that a busy
/// minute hits all.
pub trait Measure {
    /// For progress lines: "one hot stock shard".
    fn name(&self) -> &str;

    /// Expected wall time of one round on two cores; the time left is reckoned from it until a round was seen.
    fn takes(&self) -> Duration;

    /// How many rounds there are; those that take long run once only.
    fn rounds(&self, plan: &Plan) -> u32 {
        plan.rounds
    }

    /// Runs after the interleaved rounds of all others, for what leaves a mountain of data or a cold server behind. Such a
    /// measure cannot pair its rates with the board's.
    fn is_last(&self) -> bool {
        false
    }

    /// Made once, before the first round of anything: tables, tokens. Not timed.
    fn prepare<'a>(&'a mut self, _rig: &'a Rig) -> LocalBoxFuture<'a, anyhow::Result<()>> {
        async { Ok(()) }.boxed_local()
    }

    /// One round. An error ends the suite: a path that lost an order has no rate.
    fn round<'a>(
        &'a mut self,
        rig: &'a Rig,
        board: &'a mut Board,
    ) -> LocalBoxFuture<'a, anyhow::Result<()>>;

    /// What was measured, for people. Pure; called after the last round.
    fn section(&self, board: &Board) -> Section;

    /// What was measured, for programs: serialised result structs.
    fn results(&self, board: &Board) -> serde_json::Value;
}

/// Rates that others are compared with, one value per round.
#[derive(Debug, Clone, Default)]
pub struct Board {
    rates: BTreeMap<String, Vec<f64>>,
}

impl Board {
    /// Writes down the rate of `name` in this round, something per second. Called once per round, or once per turn where
    /// things take turns within a round: what is compared with it has as many values.
    pub fn note(&mut self, name: &str, rate: f64) {
        self.rates.entry(name.to_owned()).or_default().push(rate);
    }

    /// The rate of `name` in the round that ran last.
    #[must_use]
    pub fn latest(&self, name: &str) -> Option<f64> {
        self.rates.get(name)?.last().copied()
    }

    /// All rates of `name`, one per round; none if nobody noted any.
    #[must_use]
    pub fn rates(&self, name: &str) -> &[f64] {
        self.rates.get(name).map_or(&[], Vec::as_slice)
    }

    /// Median and range of the rates of `name`.
    #[must_use]
    pub fn spread(&self, name: &str) -> Spread {
        Spread::of(self.rates(name).to_vec())
    }

    /// `mine` as multiples of the rates of `name`, round by round: the first with the first, and so on. Values without a
    /// partner are left out, so that without a baseline nothing holds.
    #[must_use]
    pub fn ratio(&self, name: &str, mine: &[f64]) -> Spread {
        let pairs = mine.iter().zip(self.rates(name));
        let ratios = pairs.filter(|(_, theirs)| **theirs > 0.0);
        Spread::of(ratios.map(|(mine, theirs)| mine / theirs).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_compared_within_their_round() {
        let mut board = Board::default();
        board.note("naive", 100.0);
        board.note("naive", 50.0);
        assert_eq!(board.latest("naive"), Some(50.0));
        let ratio = board.ratio("naive", &[4_000.0, 3_000.0, 9.0]);
        assert_eq!(ratio.values, [40.0, 60.0]);
        assert!(board.ratio("unknown", &[1.0]).values.is_empty());
    }

    #[test]
    fn a_baseline_that_did_nothing_makes_nobody_fast() {
        let mut board = Board::default();
        board.note("naive", 0.0);
        assert!(board.ratio("naive", &[1.0]).values.is_empty());
    }
}
