//! A sale in a Redis server of its own.

use jiff::Timestamp;
use ticket_core::{
    Adjustment, BuyerId, CategoryName, Epoch, EventId, OrderId, ShardStock, StockShardId, clock,
};
use ticket_stock::{
    Claim, Release, Reserve, Reserved, Seed, SeedCategory, Seeded, StockConfig, StockStore,
    StoreRecord,
};
use ticket_testkit::{Persistence, RedisServer, StartOptions};

pub(crate) struct Sale {
    pub(crate) event: EventId,
    pub(crate) store: StockStore,
    pub(crate) server: RedisServer,
}

pub(crate) async fn server(name: &str, persistence: Persistence) -> RedisServer {
    RedisServer::start_with(StartOptions::own(name).unwrap(), persistence)
        .await
        .unwrap()
}

/// A raw connection, to look and meddle behind the store's back.
pub(crate) async fn raw(server: &RedisServer) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(server.url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

pub(crate) fn category(name: &str) -> CategoryName {
    CategoryName::new(name).unwrap()
}

pub(crate) fn shard(id: i64) -> StockShardId {
    StockShardId::new(id).unwrap()
}

pub(crate) fn buyer(name: &str) -> BuyerId {
    BuyerId::new(name).unwrap()
}

pub(crate) fn order(number: u128) -> OrderId {
    OrderId(uuid::Uuid::from_u128(number))
}

/// What somebody wants: one ticket of `vip` at epoch 1 unless told otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) order: OrderId,
    pub(crate) buyer: BuyerId,
    pub(crate) category: CategoryName,
    pub(crate) quantity: u32,
    pub(crate) epoch: i64,
    pub(crate) shards: [i64; 2],
    pub(crate) rate: u32,
}

/// Order `number` by a buyer of its own.
pub(crate) fn wish(number: u128) -> Wish {
    Wish {
        order: order(number),
        buyer: buyer(&format!("buyer|{number}")),
        category: category("vip"),
        quantity: 1,
        epoch: 1,
        shards: [1, 2],
        rate: 0,
    }
}

impl Wish {
    pub(crate) fn of(mut self, category_name: &str) -> Self {
        self.category = category(category_name);
        self
    }

    pub(crate) fn units(mut self, quantity: u32) -> Self {
        self.quantity = quantity;
        self
    }

    pub(crate) fn by(mut self, name: &str) -> Self {
        self.buyer = buyer(name);
        self
    }

    pub(crate) fn at(mut self, epoch: i64) -> Self {
        self.epoch = epoch;
        self
    }

    pub(crate) fn on(mut self, shards: [i64; 2]) -> Self {
        self.shards = shards;
        self
    }

    pub(crate) fn rate(mut self, admissions: u32) -> Self {
        self.rate = admissions;
        self
    }

    pub(crate) fn release(&self, shard_id: i64, version: i64) -> Release {
        Release {
            order: self.order,
            shard: shard(shard_id),
            quantity: self.quantity,
            buyer: self.buyer.clone(),
            version,
        }
    }

    pub(crate) fn claim(&self, shard_id: i64, version: i64) -> Claim {
        Claim {
            order: self.order,
            shard: shard(shard_id),
            quantity: self.quantity,
            buyer: self.buyer.clone(),
            version,
        }
    }

    pub(crate) fn record(&self, shard_id: i64, epoch: i64) -> StoreRecord {
        StoreRecord {
            order: self.order,
            category: self.category.clone(),
            shard: shard(shard_id),
            quantity: self.quantity,
            buyer: self.buyer.clone(),
            epoch: Epoch(epoch),
            reserved_at: reserved_at(),
            version: 0,
            pending: false,
            voided: false,
        }
    }
}

/// The time of all staged records.
pub(crate) fn reserved_at() -> Timestamp {
    Timestamp::from_microsecond(1_700_000_000_000_001).unwrap()
}

/// A seed of `vip` with these stock shards.
pub(crate) fn vip_seed(event: EventId, epoch: i64, shards: &[(i64, i64)]) -> Seed {
    Seed {
        event,
        epoch: Epoch(epoch),
        max_per_buyer: 0,
        categories: vec![seed_category("vip", shards)],
        staged: 0,
    }
}

pub(crate) fn seed_category(name: &str, shards: &[(i64, i64)]) -> SeedCategory {
    SeedCategory {
        name: category(name),
        shards: shards
            .iter()
            .map(|(id, units)| stock(*id, *units))
            .collect(),
    }
}

/// A stock shard that nobody bought from or adjusted.
pub(crate) fn stock(id: i64, units: i64) -> ShardStock {
    ShardStock {
        shard: shard(id),
        available: units,
        capacity: units,
        adjustment: Adjustment::NONE,
    }
}

impl Sale {
    /// A sale that nobody seeded yet.
    pub(crate) async fn new(name: &str, persistence: Persistence) -> Self {
        let server = server(name, persistence).await;
        let store = StockStore::connect(&StockConfig::new(server.url()))
            .await
            .unwrap();
        Self {
            event: EventId::random(),
            store,
            server,
        }
    }

    /// `vip` armed with epoch 1 and these stock shards, in a server without persistence.
    pub(crate) async fn armed(name: &str, shards: &[(i64, i64)]) -> Self {
        let sale = Self::new(name, Persistence::None).await;
        sale.arm(vip_seed(sale.event, 1, shards)).await;
        sale
    }

    pub(crate) async fn arm(&self, seed: Seed) {
        assert_eq!(self.store.seed(&seed).await.unwrap(), Seeded::Armed);
    }

    pub(crate) async fn reserve(&self, wish: &Wish) -> Reserved {
        reserve(&self.store, self.event, wish).await
    }

    /// Units left by stock shard id.
    pub(crate) async fn counts(&self, name: &str) -> Vec<(i64, i64)> {
        let counts = self
            .store
            .counts(self.event, &category(name))
            .await
            .unwrap();
        counts
            .into_iter()
            .map(|(id, units)| (id.get(), units))
            .collect()
    }
}

pub(crate) async fn reserve(store: &StockStore, event: EventId, wish: &Wish) -> Reserved {
    store.reserve(&to_reserve(event, wish)).await.unwrap()
}

pub(crate) fn to_reserve(event: EventId, wish: &Wish) -> Reserve<'_> {
    Reserve {
        event,
        category: &wish.category,
        epoch: Epoch(wish.epoch),
        order: wish.order,
        buyer: &wish.buyer,
        quantity: wish.quantity,
        shards: wish.shards.map(shard),
        now: clock::now(),
        admission_per_second: wish.rate,
    }
}
