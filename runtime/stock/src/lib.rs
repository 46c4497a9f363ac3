//! The stock store: reserves, releases and seeds units in Redis. It knows the function library, its keys and its reply
//! codes. It does not know Kafka, the ledger or HTTP, and it never decides that an order exists. Everything it holds may
//! vanish at any time; a warm-up refills it.
//!
//! - An event is *armed* by a [`Seed`] with an epoch. A Redis process that was not seeded in this life answers "warming
//!   up", whatever data lies around: restart with or without persistence, failover, FLUSHALL.
//! - [`StockStore::reserve`] is the gate: one atomic call per order. The same order again is never counted twice.
//! - [`StockStore::release`], [`StockStore::claim`] and [`StockStore::settle`] repeat what the ledger decided. They carry
//!   the epoch of the ledger's row: a newer store has counted it already and drops it.
//! - Every call may be repeated with the same arguments; an error of class `Ambiguous` asks for exactly that.
//!
//! Redis must not evict (`maxmemory-policy noeviction`, the default): a lost key would loosen the limit per buyer.

mod config;
mod connection;
mod error;
mod follow;
mod library;
mod record;
mod reply;
mod reserve;
mod seed;
mod settings;
mod settle;
mod store;
mod view;

pub use config::{
    CLUSTER_RETRIES, CLUSTER_RETRY_WAIT, CONNECT_RETRIES, CONNECT_RETRY_DELAY_MAX, CONNECT_TIMEOUT,
    PIPELINE_COMMANDS_MAX, RESPONSE_TIMEOUT, StockConfig, TCP_USER_TIMEOUT,
};
pub use error::StockError;
pub use follow::Changes;
pub use library::{LIBRARY, SOURCE};
pub use record::StoreRecord;
pub use reserve::{Reserve, Reserved};
pub use seed::{STAGE_BATCH_ORDERS, STAGED_KEEP, Seed, SeedCategory, Seeded};
pub use settings::RedisSettings;
pub use settle::{
    Claim, Claimed, RELEASE_BATCH_ORDERS, Readjusted, Release, Released, SETTLE_BATCH_ORDERS,
};
pub use store::StockStore;
pub use view::{KNOWN_ORDERS_MAX, PENDING_PAGE_FIELDS, PENDING_PAGES_MAX, Pending};
