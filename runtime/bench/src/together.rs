//! Everything at once: buyers over HTTP, the buyer API, the order log, the processor, the ledger and the facts, each as in a
//! sale, on the servers of the run. After every round answers, facts, rows and the stock store agree to the order.
//!
//! - [`stand`]: the processes, the event, and the comparison at the end.
//! - `follow`: joins each answer with its fact.
//! - `everything`: as fast as it goes.
//! - `steady`: what a given rate costs.
//! - `paying`: orders and the provider's webhooks for them, and how long both take.
//! - `burst`: ten times the rate for a moment, and how the queue drains.

mod burst;
mod everything;
mod follow;
mod paying;
pub(crate) mod stand;
mod steady;

use std::time::Duration;

use crate::suite::measure::Measure;
use crate::suite::plan::Plan;

/// What is measured with everything at once, in the order of the report.
#[must_use]
pub fn measures(plan: &Plan) -> Vec<Box<dyn Measure>> {
    vec![
        everything(plan.seconds(60, 10)),
        steady_rates(plan.seconds(20, 4)),
        paying(plan.seconds(10, 3)),
        burst(plan.seconds(8, 2), BURST),
    ]
}

/// How long a burst lasts.
const BURST: Duration = Duration::from_secs(5);

/// A closed loop for as long as it `lasts`.
#[must_use]
pub fn everything(lasts: Duration) -> Box<dyn Measure> {
    Box::new(everything::Everything::new(lasts))
}

/// Steady rates, each for as long as it `lasts`.
#[must_use]
pub fn steady_rates(lasts: Duration) -> Box<dyn Measure> {
    Box::new(steady::Steady::new(lasts))
}

/// Orders that are paid, at half of the highest rate for as long as it `lasts`.
#[must_use]
pub fn paying(lasts: Duration) -> Box<dyn Measure> {
    Box::new(paying::Paying::new(lasts))
}

/// A steady rate for a time `before`, ten times that for a `burst`, and the steady rate again for twice the time before.
#[must_use]
pub fn burst(before: Duration, burst: Duration) -> Box<dyn Measure> {
    Box::new(burst::Burst::new(before, burst))
}
