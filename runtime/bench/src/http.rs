//! The HTTP path alone: what the bare endpoint answers, beside it in the same minute orders that are accepted and answers that
//! say "sold out". The buyer API is a process of its own before the real Redis and Kafka; no processor runs. A rate counts
//! only if the answers, the order log and the stock store agree to the order.
//!
//! - [`bare`]: the baseline, a process too.
//! - `shop`: the buyer API with an event on sale.
//! - `endpoints`: rates and CPU of the three, in rounds.
//! - `crowding`: latency against the number of connections, once.
//! - `shedding`: what becomes of twice the load that can be served.

pub mod bare;
mod cost;
mod crowding;
mod endpoints;
mod shedding;
mod shop;

use std::time::Duration;

use hyper::StatusCode;

use crate::ledger::rig::Rig;
use crate::load;
use crate::suite::measure::Measure;
use crate::suite::plan::Plan;
use shop::Shop;

/// Under this name the board has requests per second of the bare endpoint.
pub(crate) const BARE: &str = "bare";

/// Connections of a load that saturates.
const CONNECTIONS: u32 = 128;

/// The event that the bare endpoint is asked for: a name as long as those of the others, so that answers are as long.
const BARE_EVENT: &str = "bench.e-000000000000";

/// Before it is measured an endpoint answers for this part of the time that is measured.
const WARM_UP_PART: u32 = 4;

/// How long an endpoint is asked before it is another's turn.
const TURN: Duration = Duration::from_secs(1);

/// Turns of each endpoint in a round of a whole run.
const TURNS: u32 = 6;

/// The same in a quick run.
const QUICK_TURNS: u32 = 2;

/// Steps of [`latency_against_load`] in a whole run.
const STEP: Duration = Duration::from_secs(2);

/// How long [`load_shedding`] lasts: several times as long as it takes to fill the API's turns.
const SHEDDING: Duration = Duration::from_secs(5);

/// All measures of the HTTP path.
#[must_use]
pub fn measures(plan: &Plan) -> Vec<Box<dyn Measure>> {
    let mut measures = vec![endpoints(plan.pick(TURNS, QUICK_TURNS), TURN)];
    if !plan.quick {
        measures.push(load_shedding(SHEDDING));
        measures.push(latency_against_load(STEP));
    }
    measures
}

/// The bare endpoint, accepted orders and sold-out answers, each with so many `turns` of a `turn`'s length in each round.
#[must_use]
pub fn endpoints(turns: u32, turn: Duration) -> Box<dyn Measure> {
    Box::new(endpoints::Endpoints::new(turns, turn))
}

/// The same three with 8 to 512 connections, once, each for a `step`.
#[must_use]
pub fn latency_against_load(step: Duration) -> Box<dyn Measure> {
    Box::new(crowding::Crowding::new(step))
}

/// Twice the load that can be served, for as long as it `lasts`.
#[must_use]
pub fn load_shedding(lasts: Duration) -> Box<dyn Measure> {
    Box::new(shedding::Shedding::new(lasts))
}

/// Takes orders for as long as it `lasts` and forgets them: the broker's JVM compiles what small produce requests need in
/// its first seconds of them, and takes more than half of a core for that.
pub async fn warm_up(rig: &Rig, lasts: Duration) -> anyhow::Result<()> {
    let shop = Shop::open(rig).await?;
    let mut full = shop.full().await?;
    let orders = shop.orders(&full, rig.buyers().await?)?;
    let answers = load::closed(&shop.target, CONNECTIONS, lasts, &orders).await?;
    full.accept(answers.all(StatusCode::ACCEPTED)?);
    shop.close(&[full]).await
}
