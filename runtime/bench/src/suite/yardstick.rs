//! How fast this machine is. Some bars are microseconds, cores or orders per second; they were set on a machine whose
//! baselines are known. The same baselines of this run say what such a bar means here. Nothing is converted: a missed bar
//! stays missed.

use super::measure::Board;
use crate::http::BARE;
use crate::ledger::NAIVE;
use crate::stats::Spread;

/// Baselines of the machine on which the bars were set (2 cores, release build, medians): name on the board, for people, per
/// second.
const WHERE_BARS_WERE_SET: [(&str, &str, f64); 2] = [
    (NAIVE, "naive order transaction", 2_403.0),
    (BARE, "bare endpoint", 71_000.0),
];

/// This machine beside that one, if a baseline was measured.
pub(super) fn beside(board: &Board) -> Option<String> {
    let parts: Vec<_> = WHERE_BARS_WERE_SET
        .iter()
        .filter(|(name, ..)| !board.rates(name).is_empty())
        .map(|(name, words, there)| {
            let here = board.spread(name).median;
            let (here_text, there_text) = (Spread::number(here), Spread::number(*there));
            format!(
                "{words} {here_text}/s of {there_text}/s = {:.2}",
                here / there
            )
        })
        .collect();
    (!parts.is_empty()).then(|| {
        format!(
            "speed of this machine beside the one on which the bars in microseconds, cores and orders per second were set: {}",
            parts.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_machine_is_called_slow() {
        let mut board = Board::default();
        assert_eq!(beside(&board), None);
        board.note(NAIVE, 1_201.5);
        let line = beside(&board).unwrap();
        assert!(
            line.ends_with("naive order transaction 1,202/s of 2,403/s = 0.50"),
            "{line}"
        );
    }
}
