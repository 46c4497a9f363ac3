//! A counter in Redis: what the stock store's server does without a function, a record or a limit.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ticket_stock::{PIPELINE_COMMANDS_MAX, RESPONSE_TIMEOUT};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::Done;
use crate::ledger::rig::Rig;

/// Decrements a counter of its own for as long as it `lasts`, over one connection with the product's limits; afterwards the
/// counter must have counted every command.
pub(super) async fn round(rig: &Rig, in_flight: u32, lasts: Duration) -> anyhow::Result<Done> {
    let client = redis::Client::open(rig.redis_url()).context("the address of Redis is wrong")?;
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_pipeline_buffer_size(PIPELINE_COMMANDS_MAX);
    let connection = ConnectionManager::new_with_config(client, config)
        .await
        .context("no connection to Redis")?;
    let key = format!("bench:{}", Uuid::new_v4());
    let started = Instant::now();
    let until = started + lasts;
    let mut clients = JoinSet::new();
    for _ in 0..in_flight {
        clients.spawn(count(connection.clone(), key.clone(), until));
    }
    let mut times = 0;
    while let Some(done) = clients.join_next().await {
        times += done.context("a client of the counter ended")??;
    }
    let took = started.elapsed();
    let counted: i64 = redis::cmd("GETDEL")
        .arg(&key)
        .query_async(&mut connection.clone())
        .await
        .context("could not read the counter")?;
    anyhow::ensure!(
        u64::try_from(-counted)? == times,
        "{times} commands were answered, the counter stands at {counted}"
    );
    Ok(Done { times, took })
}

async fn count(
    mut connection: ConnectionManager,
    key: String,
    until: Instant,
) -> anyhow::Result<u64> {
    let mut command = redis::cmd("DECR");
    command.arg(&key);
    let mut times = 0;
    while Instant::now() < until {
        command
            .query_async::<i64>(&mut connection)
            .await
            .context("could not decrement the counter")?;
        times += 1;
    }
    Ok(times)
}
