//! A sale as the services see it: a buyer takes tickets, whoever decides does, and ledger and store are compared.

use serde_json::{Value, json};
use ticket_bus::{BusConfig, Producer, ProducerConfig};
use ticket_core::{
    Action, BuyerId, CategoryName, Command, Epoch, OrderCommand, OrderId, Place, Reason,
    StockCounts, clock,
};
use ticket_crds::{ConditionType, EventStatus};
use ticket_stock::{Reserve, Reserved};

use crate::world::{World, id, is, until};

pub(crate) struct Sale<'a> {
    pub(crate) world: &'a World,
    pub(crate) name: &'a str,
    log: Producer,
}

impl<'a> Sale<'a> {
    pub(crate) fn of(world: &'a World, name: &'a str) -> Self {
        let bus = BusConfig::new(&world.brokers, "operator-test");
        let log = Producer::new(&bus, &ProducerConfig::default()).unwrap();
        Self { world, name, log }
    }

    /// Asks for `quantity` tickets of the first category.
    pub(crate) async fn ask(&self, quantity: u32) {
        let mut categories: Value = self.world.event(self.name)["spec"]["categories"].clone();
        categories[0]["quantity"] = json!(quantity);
        let patch = json!({ "spec": { "categories": categories } });
        self.world.change(self.name, patch).await;
    }

    /// Waits until it has so many and nothing is left to do.
    pub(crate) async fn settled(&self, capacity: i64) -> EventStatus {
        let what = format!("it is ready with {capacity} tickets");
        let is_wanted = |status: &EventStatus| {
            is(status, ConditionType::Ready) == Some("True") && status.stock[0].capacity == capacity
        };
        self.world.status(self.name, &what, is_wanted).await
    }

    pub(crate) async fn counts(&self, status: &EventStatus) -> StockCounts {
        let stock = self.world.ledger.stock(id(status)).await.unwrap();
        let mut sum = StockCounts::default();
        for shard in stock.iter().filter(|shard| shard.category == vip()) {
            assert!(shard.counts.is_conserved(), "{shard:?}");
            sum += shard.counts;
        }
        sum
    }

    /// The store has what the ledger has, soon.
    pub(crate) async fn assert_store_agrees(&self, status: &EventStatus) {
        let available = self.counts(status).await.available;
        until("store and ledger agree", async || {
            let counts = self.world.stock.counts(id(status), &vip()).await.unwrap();
            let there: i64 = counts.iter().map(|(_, units)| units).sum();
            (there == available).then_some(())
        })
        .await;
    }

    /// A buyer takes tickets as the API would, and the ledger decides.
    pub(crate) async fn buy(&self, status: &EventStatus, key: &str, quantity: u32) -> Place {
        let before = self.counts(status).await.held;
        let (place, partition) = self.reserve(status, key, quantity).await;
        self.send(status, partition, &Command::Place(place.clone()))
            .await;
        until("the order is decided", async || {
            let held = self.counts(status).await.held;
            (held == before + i64::from(quantity)).then_some(())
        })
        .await;
        place
    }

    /// A buyer takes tickets, and the order has yet to be sent to this partition.
    pub(crate) async fn reserve(
        &self,
        status: &EventStatus,
        key: &str,
        quantity: u32,
    ) -> (Place, i32) {
        let event = id(status);
        let buyer = BuyerId::new("buyer").unwrap();
        let order = OrderId::derive(event, &buyer, key);
        let stock = self.world.ledger.stock(event).await.unwrap();
        let shard = stock[0].id;
        let request = Reserve {
            event,
            category: &vip(),
            epoch: Epoch(status.epoch.unwrap()),
            order,
            buyer: &buyer,
            quantity,
            shards: [shard, shard],
            now: clock::now(),
            admission_per_second: 0,
        };
        let reserved = self.world.stock.reserve(&request).await.unwrap();
        assert!(matches!(reserved, Reserved::Fresh { .. }), "{reserved:?}");
        let place = Place {
            order,
            shard,
            epoch: Epoch(status.epoch.unwrap()),
            buyer,
            quantity,
            amount_minor: 250 * i64::from(quantity),
            accepted_at: clock::now(),
        };
        (place, stock[0].partition)
    }

    pub(crate) async fn cancel(&self, status: &EventStatus, place: &Place) {
        let cancel = OrderCommand {
            order: place.order,
            shard: place.shard,
            at: clock::now(),
            action: Action::Cancel {
                reason: Reason::BuyerRequest,
            },
        };
        let stock = self.world.ledger.stock(id(status)).await.unwrap();
        self.send(status, stock[0].partition, &Command::Order(cancel))
            .await;
    }

    async fn send(&self, status: &EventStatus, partition: i32, command: &Command) {
        let topic = self.world.topic(self.name, status);
        let (key, payload) = (command.key(), command.encode());
        self.log
            .send(&topic, partition, key.as_bytes(), &payload)
            .await
            .unwrap();
    }
}

/// The category that is bought here.
fn vip() -> CategoryName {
    CategoryName::new("vip").unwrap()
}
