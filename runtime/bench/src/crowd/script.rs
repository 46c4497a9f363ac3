//! What each simulated buyer is going to do: a pure function of seed, number and sale, so that the same seed is the same
//! crowd. It knows shares and choices; it does not know HTTP, time or answers.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Earliest and latest return of a buyer who was told `sold-out`. The demo's holds last ten seconds, so some come back
/// after unpaid tickets have come back too.
const COME_BACK_AFTER_MS: std::ops::RangeInclusive<u64> = 1_000..=14_000;

/// Of a hundred buyers who are told `sold-out`, so many come back once.
const COME_BACK_PERCENT: u32 = 10;

/// Of a hundred buyers, so many ask the API to wait for the decision (`Prefer: wait`).
const PREFER_WAIT_PERCENT: u32 = 10;

/// Why a buyer comes. The numbers are shares of a thousand.
const ERRANDS: [(Errand, u32); 8] = [
    (Errand::Buy, 975),
    (Errand::BuyTooMany, 5),
    (Errand::Wrong(Wrong::NoToken), 5),
    (Errand::Wrong(Wrong::ExpiredToken), 5),
    (Errand::Wrong(Wrong::Malformed), 3),
    (Errand::Wrong(Wrong::ZeroQuantity), 3),
    (Errand::Wrong(Wrong::UnknownCategory), 2),
    (Errand::Wrong(Wrong::NoKey), 2),
];

/// How often a request is sent. The numbers are shares of a hundred.
const REPEATS: [(Repeat, u32); 4] = [
    (Repeat::Never, 93),
    (Repeat::AtOnce, 2),
    (Repeat::Later, 3),
    (Repeat::OtherPayload, 2),
];

/// What becomes of an accepted order. The numbers are shares of a hundred.
pub const ENDINGS: [(Ending, u32); 11] = [
    (Ending::Pays, 56),
    (Ending::PaysAfterDecline, 8),
    (Ending::PaysByTransfer, 4),
    (Ending::PaysAtTheLastMoment, 4),
    (Ending::PaysAndIsWarnedOf, 2),
    (Ending::PaysAndDisputes, 2),
    (Ending::TransfersAndCancels, 2),
    (Ending::DeclinedForGood, 4),
    (Ending::Blocked, 3),
    (Ending::NeverPays, 8),
    (Ending::Cancels, 7),
];

/// How many tickets a buyer wants. The numbers are shares of a hundred.
const QUANTITIES: [(u32, u32); 4] = [(1, 25), (2, 45), (3, 15), (4, 15)];

/// What a buyer is here for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// Tickets.
    Buy,
    /// More tickets than one buyer may have: must never get an order.
    BuyTooMany,
    /// A request that the API must refuse.
    Wrong(Wrong),
}

/// What is wrong with a request that the API must refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// No `Authorization` header.
    NoToken,
    /// A token whose time is over.
    ExpiredToken,
    /// A body that is no JSON.
    Malformed,
    /// No tickets at all.
    ZeroQuantity,
    /// A category that the event does not have.
    UnknownCategory,
    /// No `Idempotency-Key`.
    NoKey,
}

/// How often a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Once.
    Never,
    /// Twice at the same time: a double click.
    AtOnce,
    /// Once more when it was accepted: a reload.
    Later,
    /// Once more with another quantity under the same key: must be refused.
    OtherPayload,
}

/// What becomes of an accepted order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Pays with a good card.
    Pays,
    /// Pays with a bad card first, then with a good one.
    PaysAfterDecline,
    /// Pays by a bank transfer, which is on its way for a while.
    PaysByTransfer,
    /// Pays just before the hold ends: the news may come when it is over.
    PaysAtTheLastMoment,
    /// Pays with a card that the bank warns of afterwards.
    PaysAndIsWarnedOf,
    /// Pays and wants the money back through the bank.
    PaysAndDisputes,
    /// Pays by a bank transfer and gives the order back while the money is on its way.
    TransfersAndCancels,
    /// Pays with a bad card and goes away.
    DeclinedForGood,
    /// Pays with a card that the provider blocks as fraud.
    Blocked,
    /// Goes away without paying.
    NeverPays,
    /// Gives the order back before paying.
    Cancels,
}

impl Ending {
    /// In words of the report, after a number of buyers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pays => "paid",
            Self::PaysAfterDecline => "paid after a decline",
            Self::PaysByTransfer => "paid by transfer",
            Self::PaysAtTheLastMoment => "paid at the last moment",
            Self::PaysAndIsWarnedOf => "paid and was warned of",
            Self::PaysAndDisputes => "paid and disputed it",
            Self::TransfersAndCancels => "paid by transfer and cancelled",
            Self::DeclinedForGood => "was declined for good",
            Self::Blocked => "was blocked as fraud",
            Self::NeverPays => "never paid",
            Self::Cancels => "cancelled",
        }
    }
}

/// One buyer's plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Which buyer, from 0.
    pub number: u32,
    /// What for.
    pub errand: Errand,
    /// Index of the category.
    pub category: usize,
    /// Tickets.
    pub quantity: u32,
    /// How often the request is sent.
    pub repeat: Repeat,
    /// What becomes of the order.
    pub ending: Ending,
    /// Asks the API to wait for the decision.
    pub prefers_wait: bool,
    /// Comes back once after `sold-out`.
    pub comes_back_after: Option<Duration>,
}

impl Script {
    /// The plan of buyer `number`. `units` are the tickets of each category: a larger one draws more people.
    #[must_use]
    pub fn new(seed: u64, number: u32, units: &[u64]) -> Self {
        // The odd factor keeps neighbouring seeds from being the same crowd shifted by one.
        let mut rng = StdRng::seed_from_u64(
            seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .wrapping_add(u64::from(number)),
        );
        Self {
            number,
            errand: pick(&mut rng, &ERRANDS),
            category: pick_category(&mut rng, units),
            quantity: pick(&mut rng, &QUANTITIES),
            repeat: pick(&mut rng, &REPEATS),
            ending: pick(&mut rng, &ENDINGS),
            prefers_wait: rng.random_range(0..100) < PREFER_WAIT_PERCENT,
            comes_back_after: (rng.random_range(0..100) < COME_BACK_PERCENT)
                .then(|| Duration::from_millis(rng.random_range(COME_BACK_AFTER_MS))),
        }
    }
}

/// One of `choices`, by weight. The last one if the weights are all 0.
fn pick<T: Copy, const N: usize>(rng: &mut StdRng, choices: &[(T, u32); N]) -> T {
    let total: u32 = choices.iter().map(|(_, weight)| weight).sum();
    let mut left = rng.random_range(0..total.max(1));
    for &(choice, weight) in choices {
        if left < weight {
            return choice;
        }
        left -= weight;
    }
    choices[N - 1].0
}

fn pick_category(rng: &mut StdRng, units: &[u64]) -> usize {
    let total: u64 = units.iter().sum();
    let mut left = rng.random_range(0..total.max(1));
    for (category, &weight) in units.iter().enumerate() {
        if left < weight {
            return category;
        }
        left -= weight;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNITS: [u64; 2] = [1_600, 400];

    fn crowd(seed: u64) -> Vec<Script> {
        (0..20_000)
            .map(|number| Script::new(seed, number, &UNITS))
            .collect()
    }

    #[test]
    fn the_same_seed_is_the_same_crowd_and_another_seed_is_not() {
        assert_eq!(crowd(7), crowd(7));
        assert_ne!(crowd(7), crowd(8));
    }

    #[test]
    fn every_kind_of_buyer_comes_and_most_just_buy() {
        let crowd = crowd(1);
        let share = |is: &dyn Fn(&Script) -> bool| crowd.iter().filter(|s| is(s)).count();
        for (errand, _) in ERRANDS {
            assert!(share(&|s| s.errand == errand) > 10, "{errand:?}");
        }
        for (ending, percent) in ENDINGS {
            let found = share(&|s| s.ending == ending);
            let wanted = 200 * percent as usize;
            assert!(
                found.abs_diff(wanted) < 300,
                "{ending:?}: {found}, expected about {wanted}"
            );
        }
        for (repeat, _) in REPEATS {
            assert!(share(&|s| s.repeat == repeat) > 200, "{repeat:?}");
        }
        let vip = share(&|s| s.category == 1);
        assert!(
            (3_500..4_500).contains(&vip),
            "{vip} of 20,000 want one of 400 in 2,000"
        );
        assert!(share(&|s| s.comes_back_after.is_some()) > 1_500);
        assert!(crowd.iter().all(|s| (1..=4).contains(&s.quantity)));
    }
}
