//! Records to Kafka and nothing else: what the order log takes, through the product's own producer and its settings.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ticket_bus::{Replication, TopicSpec};
use ticket_core::{
    BuyerId, Command, Epoch, ErrorClass, EventId, OrderId, OrderRef, Place, StockShardId, clock,
};
use uuid::Uuid;

use super::Done;
use crate::ledger::rig::Rig;

/// Records under way at the same time.
pub(super) const UNDER_WAY_MAX: u64 = 20_000;

/// Partitions they go to, in turn: as many as when everything runs at once.
const PARTITIONS: u32 = 4;

/// Sends for as long as it `lasts` and waits for all deliveries; afterwards the log must have every record once.
pub(super) async fn round(rig: &Rig, lasts: Duration) -> anyhow::Result<Done> {
    let topic = format!("bench.produce-{}", Uuid::new_v4().simple());
    let spec = TopicSpec::new(&topic, PARTITIONS, Replication::BrokerDefault);
    rig.topics.create_topic(&spec).await?;
    let (key, payload) = record()?;
    let partitions = i32::try_from(PARTITIONS)?;

    let started = Instant::now();
    let mut times = 0_u64;
    let under_way_max = usize::try_from(UNDER_WAY_MAX)?;
    let mut under_way = VecDeque::with_capacity(under_way_max);
    for partition in (0..partitions).cycle() {
        if started.elapsed() >= lasts {
            break;
        }
        match rig.log.start(&topic, partition, &key, &payload) {
            Ok(delivery) => {
                under_way.push_back(delivery);
                times += 1;
            }
            // The producer's queue is full: the next delivery makes room.
            Err(error) if error.class() == ErrorClass::Retry && !under_way.is_empty() => {
                delivered(&mut under_way).await?;
            }
            Err(error) => return Err(error).context("could not send to Kafka"),
        }
        if under_way.len() >= under_way_max {
            delivered(&mut under_way).await?;
        }
    }
    while !under_way.is_empty() {
        delivered(&mut under_way).await?;
    }
    let took = started.elapsed();

    let logged: i64 = rig.topics.end_offsets(&topic).await?.iter().sum();
    rig.topics.delete_topic(&topic).await?;
    anyhow::ensure!(
        u64::try_from(logged)? == times,
        "{times} records were acknowledged, the log has {logged}"
    );
    Ok(Done { times, took })
}

async fn delivered(under_way: &mut VecDeque<ticket_bus::Delivery>) -> anyhow::Result<()> {
    if let Some(oldest) = under_way.pop_front() {
        oldest.await.context("a record was not delivered")?;
    }
    Ok(())
}

/// Key and payload of a place command as the API writes it.
fn record() -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let buyer = BuyerId::new("buyer-00000000")?;
    let place = Place {
        order: OrderId::derive(EventId(Uuid::new_v4()), &buyer, "bench"),
        shard: StockShardId::new(1)?,
        epoch: Epoch::FIRST,
        buyer,
        quantity: 1,
        amount_minor: 100,
        accepted_at: clock::now(),
    };
    let id = OrderRef {
        order: place.order,
        shard: place.shard,
    };
    let payload = Command::Place(place).encode();
    Ok((id.to_string().into_bytes(), payload))
}
