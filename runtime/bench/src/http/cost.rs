//! CPU time of a load, by process.

use std::time::Duration;

use serde::Serialize;
use ticket_testkit::Product;

use crate::ledger::rig::{CpuUsed, Rig, cpu_of};
use crate::load::Outcome;
use crate::stats::Spread;

/// CPU microseconds per request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    /// Of the bare endpoint or the buyer API.
    pub(super) endpoint: f64,
    pub(super) redis: f64,
    pub(super) kafka: f64,
    pub(super) postgres: f64,
    pub(super) generator: f64,
}

impl Cost {
    /// Of all processes without the generator.
    pub(super) fn ours(&self) -> f64 {
        self.endpoint + self.redis + self.kafka + self.postgres
    }
}

/// CPU time before a load.
pub(super) struct Meter {
    endpoint: Duration,
    servers: CpuUsed,
}

impl Meter {
    pub(super) fn start(rig: &Rig, endpoint: &Product) -> anyhow::Result<Self> {
        Ok(Self {
            endpoint: cpu_of(endpoint.server())?,
            servers: rig.cpu_used()?,
        })
    }

    /// What the load `outcome` has cost since.
    pub(super) fn stop(
        self,
        rig: &Rig,
        endpoint: &Product,
        outcome: &Outcome,
    ) -> anyhow::Result<Cost> {
        let after = Self::start(rig, endpoint)?;
        let per = |after: Duration, before| outcome.us_per_answer(after.saturating_sub(before));
        Ok(Cost {
            endpoint: per(after.endpoint, self.endpoint),
            redis: per(after.servers.redis, self.servers.redis),
            kafka: per(after.servers.kafka, self.servers.kafka),
            postgres: per(after.servers.postgres, self.servers.postgres),
            generator: outcome.us_per_answer(outcome.generator_cpu),
        })
    }
}

/// CPU microseconds per request over the rounds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct CostSpread {
    pub(super) endpoint: Spread,
    pub(super) redis: Spread,
    pub(super) kafka: Spread,
    pub(super) postgres: Spread,
    pub(super) generator: Spread,
    /// All but the generator.
    pub(super) ours: Spread,
}

impl CostSpread {
    pub(super) fn of(rounds: &[Cost]) -> Self {
        let spread = |value: fn(&Cost) -> f64| Spread::of(rounds.iter().map(value).collect());
        Self {
            endpoint: spread(|cost| cost.endpoint),
            redis: spread(|cost| cost.redis),
            kafka: spread(|cost| cost.kafka),
            postgres: spread(|cost| cost.postgres),
            generator: spread(|cost| cost.generator),
            ours: spread(Cost::ours),
        }
    }
}
