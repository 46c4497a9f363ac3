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

/// Puts `orders` orders of one ticket each on the log, evenly over the stock shards.
pub(super) async fn fill(rig: &Rig, event: &HotEvent, orders: u32) -> anyhow::Result<()> {
    let mut under_way = VecDeque::with_capacity(UNDER_WAY_MAX);
    for number in 0..orders {
        let at = usize::try_from(number)? % event.shards.len();
        let buyer = BuyerId::new(format!("buyer-{number:08}"))?;
        let place = Place {
            order: OrderId::derive(event.id, &buyer, "bench"),
            shard: event.shards[at],
            epoch: Epoch::FIRST,
            buyer,
            quantity: 1,
            amount_minor: 100,
            accepted_at: clock::now(),
        };
        let key = place.order.to_string();
        let payload = Command::Place(place).encode();
        let partition = i32::try_from(at)?;
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
