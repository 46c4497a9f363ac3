//! Fills an order log, as the API would: one place command per order, keyed by the order, on the stock shard's partition.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ticket_core::{BuyerId, Command, Epoch, OrderId, Place, clock};
use tokio::time::sleep;

use super::rig::{HotEvent, Rig};

/// Records under way at the same time; the producer's own queue holds more.
const UNDER_WAY_MAX: usize = 20_000;

/// Wait when the producer's queue is full.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(5);

/// How long the producer's queue may stay full.
const QUEUE_FULL_MAX: Duration = Duration::from_secs(30);

/// Orders that follow each other on one stock shard. With runs the batches of records on the log are alike whether there is
/// one stock shard or a thousand.
const RUN: u32 = 100;

/// Tickets that each of `lanes` stock shards needs, so that nothing sells out.
pub(crate) fn units(orders: u32, lanes: u32) -> u32 {
    orders.div_ceil(lanes.max(1)) + RUN
}

/// Puts `orders` orders of one ticket each on the logs of `events`, evenly over all their stock shards.
pub(crate) async fn fill(rig: &Rig, events: &[HotEvent], orders: u32) -> anyhow::Result<()> {
    let lanes: Vec<_> = events
        .iter()
        .flat_map(|event| event.lanes().map(move |lane| (event, lane)))
        .collect();
    anyhow::ensure!(!lanes.is_empty(), "there is no stock shard to sell from");
    let mut under_way = VecDeque::with_capacity(UNDER_WAY_MAX);
    for number in 0..orders {
        let run = usize::try_from(number / RUN)?;
        let (event, (shard, partition)) = lanes[run % lanes.len()];
        let buyer = BuyerId::new(format!("buyer-{number:08}"))?;
        let place = Place {
            order: OrderId::derive(event.id, &buyer, "bench"),
            shard,
            epoch: Epoch::FIRST,
            buyer,
            quantity: 1,
            amount_minor: 100,
            accepted_at: clock::now(),
        };
        let key = place.order.to_string();
        let payload = Command::Place(place).encode();
        let blocked = Instant::now();
        let delivery = loop {
            match rig
                .log
                .start(&event.topic, partition, key.as_bytes(), &payload)
            {
                Ok(delivery) => break delivery,
                Err(error) if error.class() == ticket_core::ErrorClass::Retry => {
                    let is_over = blocked.elapsed() > QUEUE_FULL_MAX;
                    anyhow::ensure!(!is_over, "the producer's queue stays full: {error}");
                    sleep(QUEUE_FULL_WAIT).await;
                }
                Err(error) => return Err(error).context("could not fill the order log"),
            }
        };
        under_way.push_back(delivery);
        if under_way.len() >= UNDER_WAY_MAX
            && let Some(oldest) = under_way.pop_front()
        {
            oldest.await.context("could not fill the order log")?;
        }
    }
    for delivery in under_way {
        delivery.await.context("could not fill the order log")?;
    }
    Ok(())
}
