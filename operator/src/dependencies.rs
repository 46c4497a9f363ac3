//! Readiness: asks every server for a sign of life, so that `/readyz` names the one that is down. The work itself does
//! not wait for this: it fails, reports and tries again by itself.

use std::sync::Arc;
use std::time::Duration;

use ticket_telemetry::{Health, chain};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::kubernetes;

/// Between two rounds.
const PING_EVERY: Duration = Duration::from_secs(5);

/// Longest wait for one sign of life.
const PING_DEADLINE: Duration = Duration::from_secs(3);

/// What `/readyz` lists.
pub const PROBES: [&str; 4] = ["kafka", "kubernetes", "ledger", "redis"];

pub(crate) async fn watch(
    context: Arc<Context>,
    health: Health,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(PING_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        let kubernetes =
            kubernetes::call("ask for the version", context.client.apiserver_version());
        let (kafka, kubernetes, ledger, redis) = tokio::join!(
            answer(context.bus.ping()),
            answer(kubernetes),
            answer(context.ledger.ping()),
            answer(context.stock.ping()),
        );
        health.set("kafka", kafka);
        health.set("kubernetes", kubernetes);
        health.set("ledger", ledger);
        health.set("redis", redis);
    }
}

async fn answer<T, E: std::error::Error + 'static>(
    ping: impl Future<Output = Result<T, E>>,
) -> Result<(), String> {
    match tokio::time::timeout(PING_DEADLINE, ping).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(chain(&error).to_string()),
        Err(_) => Err(format!("no answer within {} s", PING_DEADLINE.as_secs())),
    }
}
