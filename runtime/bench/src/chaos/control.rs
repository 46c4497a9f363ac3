//! The control: a sale without the fence. The campaign gives Redis a copy of our own function library that takes whatever
//! epoch lies in the data for armed, and brings an old dump back in the middle of the sale. Stale stock sells again then,
//! and a campaign that does not notice sees nothing at all.

use std::path::Path;
use std::time::Duration;

use ticket_stock::SOURCE;

use super::fault::Fault;
use super::report::Told;
use super::run::{self, Run};
use super::schedule::Planned;
use crate::sale::Faults;
use crate::say;

/// The line that the fence stands on: a variable of the process, empty after every start.
const FENCE: &str = "local armed = {}";

/// What is armed is what the data says: nothing is forgotten when a process dies, so nothing is noticed either.
const NO_FENCE: &str =
    "local armed = {}; local function by_data(o) return redis.call('HGET', o, 'e') or nil end";

/// How the library reads and writes the variable.
const VARIABLE: &str = "armed[";

/// When the store goes back, and by how much: tickets are being sold before, meanwhile and afterwards.
const OLD_DUMP: Planned = Planned {
    fault: Fault::OldDump,
    at: Duration::from_millis(1_500),
    lasts: Duration::from_millis(2_500),
    choice: 0,
};

/// Holds the sale without the fence, on a platform in `dir`. Good if both checkers see that it does not add up.
///
/// # Errors
/// It could not be held at all.
pub async fn run(seed: u64, dir: &Path) -> anyhow::Result<bool> {
    let library = without_fence(SOURCE)?;
    let stand = super::begin(dir).await?;
    let run = Run {
        number: 0,
        seed,
        planned: vec![OLD_DUMP],
    };
    let prepare = async || stand.redis.lock().await.replace_library(&library).await;
    // The provider behaves: nothing but the missing fence is wrong here.
    let told = Box::pin(run::hold_with(&stand, &run, Faults::default(), prepare)).await?;
    for line in told.times().iter().chain(&told.findings()) {
        say::progress(&format!("  {line}"));
    }
    Ok(is_noticed(&told))
}

/// By the comparison of store and ledger, and by the independent checker.
fn is_noticed(told: &Told) -> bool {
    let fails = |what: &str| {
        let mut found = told.verdicts.iter();
        found.any(|verdict| !verdict.holds() && verdict.name.starts_with(what))
    };
    let (store, independent) = (fails("the stock store"), fails("independent"));
    say::progress(&format!(
        "without the fence: store against ledger {}, the independent checker {}",
        if store { "says no" } else { "SEES NOTHING" },
        if independent {
            "says no"
        } else {
            "SEES NOTHING"
        },
    ));
    told.is_whole() && store && independent
}

/// The library, with every question to the fence asked of the data instead. What is written to the fence stays.
fn without_fence(source: &str) -> anyhow::Result<String> {
    anyhow::ensure!(
        source.matches(FENCE).count() == 1,
        "the library has changed: the line of its fence is not there once"
    );
    let lines = source.lines().map(|line| {
        let is_written = line.trim_start().starts_with(VARIABLE) && line.contains("] = ");
        if line == FENCE {
            NO_FENCE.to_owned()
        } else if is_written || line.starts_with("--") {
            line.to_owned()
        } else {
            by_data(line)
        }
    });
    Ok(lines.map(|line| line + "\n").collect())
}

/// `armed[K[1]]` as `by_data(K[1])`.
fn by_data(line: &str) -> String {
    let Some((before, rest)) = line.split_once(VARIABLE) else {
        return line.to_owned();
    };
    let mut depth = 1_i32;
    let end = rest.find(|letter| {
        depth += match letter {
            '[' => 1,
            ']' => -1,
            _ => 0,
        };
        depth == 0
    });
    let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
    let after = after.strip_prefix(']').unwrap_or(after);
    format!("{before}by_data({name}){}", by_data(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_to_the_fence_is_asked_of_the_data_and_nothing_else_changes() {
        let doctored = without_fence(SOURCE).unwrap();
        assert_eq!(doctored.lines().count(), SOURCE.lines().count());
        assert!(doctored.contains(NO_FENCE) && !doctored.contains("if armed["));
        let undone = doctored.replace(NO_FENCE, FENCE);
        let asked = undone.lines().zip(SOURCE.lines());
        assert!(asked.filter(|(one, other)| one != other).count() > 3);
        assert!(without_fence("local fence = {}").is_err());
    }

    #[test]
    fn brackets_are_counted() {
        let line = "return is_armed(K[1]) and armed[K[1]] or armed[o] == e";
        assert_eq!(
            by_data(line),
            "return is_armed(K[1]) and by_data(K[1]) or by_data(o) == e"
        );
    }
}
