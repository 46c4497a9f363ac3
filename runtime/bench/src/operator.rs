//! The operator under many Events: an API server of its own, the rig's Kafka, PostgreSQL and Redis, and the operator as a
//! process. It is measured with nobody else around: what the services make of a thousand events is the rows' of growth.
//!
//! - `api`: the API server as a client of few words.
//! - `many`: one Event alone, many at once, a quiet time, a restart.

mod api;
mod many;

use std::time::Duration;

use crate::suite::measure::Measure;
use crate::suite::plan::Plan;
use many::{Many, Scale};

/// What is measured of the operator.
#[must_use]
pub fn measures(plan: &Plan) -> Vec<Box<dyn Measure>> {
    let scale = plan.pick(
        Scale {
            alone: 50,
            at_once: 1_000,
            idle: Duration::from_mins(1),
            idle_events: 5_000,
        },
        Scale {
            alone: 5,
            at_once: 100,
            idle: Duration::from_secs(10),
            idle_events: 105,
        },
    );
    vec![Box::new(Many::new(scale))]
}
