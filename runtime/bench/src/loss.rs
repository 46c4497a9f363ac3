//! What the death of a server costs a sale: for how long nobody can buy, and that afterwards everything is exact to the unit.
//!
//! - `sale`: Redis is killed in the middle of one large sale, again and again.
//! - `many`: Redis is killed under many small events, and what watching over them costs.
//! - `outage`: the database or Kafka is away for a while.
//! - `stand`: our processes, buyers that go on trying, and the comparison afterwards.
//! - `back`: the moment at which Redis answers again.

mod back;
mod many;
mod outage;
mod sale;
mod stand;

use std::time::Duration;

use crate::suite::measure::Measure;
use crate::suite::plan::Plan;
use outage::Away;

/// What is measured of losses, in the order of the report.
#[must_use]
pub fn measures(plan: &Plan) -> Vec<Box<dyn Measure>> {
    let outage = plan.seconds(30, 5);
    vec![
        redis_in_a_sale(plan.pick(20, 3), plan.pick(20_000, 5_000)),
        redis_under_events(plan.pick(1_000, 50)),
        without_database(outage),
        without_kafka(outage),
    ]
}

/// Redis dies so many times in a sale that has `live` orders.
#[must_use]
pub fn redis_in_a_sale(times: u32, live: u32) -> Box<dyn Measure> {
    Box::new(sale::InASale::new(times, live))
}

/// Redis dies once under so many small events.
#[must_use]
pub fn redis_under_events(events: u32) -> Box<dyn Measure> {
    Box::new(many::UnderEvents::new(events))
}

/// The database stands still for as long as it `lasts`.
#[must_use]
pub fn without_database(lasts: Duration) -> Box<dyn Measure> {
    Box::new(outage::Outage::new(Away::Database, lasts))
}

/// Kafka is dead for as long as it `lasts`.
#[must_use]
pub fn without_kafka(lasts: Duration) -> Box<dyn Measure> {
    Box::new(outage::Outage::new(Away::Kafka, lasts))
}
