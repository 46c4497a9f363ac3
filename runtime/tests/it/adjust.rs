//! The command that sets a stock shard's capacity, as the operator and the sync role send it.

use ticket_bus::{BusConfig, Producer, ProducerConfig};
use ticket_core::{Adjust, Adjustment, Command, StockShardId, clock};

use crate::sale::{Sale, Terms, json};

#[tokio::test(flavor = "multi_thread")]
async fn stock_follows_the_newest_adjustment_whatever_is_repeated_or_comes_late() {
    let sale = Sale::open(Terms {
        quantity: 10,
        shards: 1,
        ..Terms::default()
    })
    .await;
    let shard: StockShardId = sale.ledger.stock(sale.id).await.unwrap()[0].id;
    let bus = BusConfig::new(&sale.brokers, "adjust");
    let producer = Producer::new(&bus, &ProducerConfig::default()).unwrap();
    let adjust = async |number, capacity| {
        let command = Command::Adjust(Adjust {
            shard,
            adjustment: Adjustment(number),
            capacity,
            at: clock::now(),
        });
        producer
            .send(&sale.topic, 0, command.key().as_bytes(), &command.encode())
            .await
            .unwrap();
    };
    for (number, capacity) in [(2, 15), (2, 15), (1, 50)] {
        adjust(number, capacity).await;
    }
    sale.counts_until(15, 0, 0).await;
    json(sale.place("ann", "k", 4).send().await.unwrap(), 202).await;
    sale.counts_until(11, 4, 0).await;

    // What is held stays; nobody else can buy, until there is more.
    adjust(3, 2).await;
    sale.counts_until(0, 4, 0).await;
    sale.until("it is sold out", async || {
        let answer = sale.place("bob", "k", 1).send().await.unwrap();
        answer.status() == 409
    })
    .await;
    for (number, capacity) in [(3, 2), (2, 15), (5, 6), (4, 90), (5, 6)] {
        adjust(number, capacity).await;
    }
    sale.counts_until(2, 4, 0).await;
    sale.until("two more are for sale", async || {
        let answer = sale.place("eve", "k", 2).send().await.unwrap();
        answer.status() == 202
    })
    .await;
    sale.counts_until(0, 6, 0).await;
}
