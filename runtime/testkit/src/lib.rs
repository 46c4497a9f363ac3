//! Starts real servers as child processes: etcd, kube-apiserver, Kafka, PostgreSQL (with Citus where it is installed) and
//! Redis, and our own binaries in front of them. The local stack (`ticket-stack`) and every integration test use it.
//!
//! It promises that a server which was started really answers, that the one who answers is the one who was started, that
//! ports are free and are kept over a restart, and that nothing stays behind. It stops processes by their id and start
//! time, never by name. It does not know what the platform does: no topic, table or key of ours is named here, but for what
//! the reference reseller, an outside program, reads in the contract.
//!
//! - [`shared()`] is the stack that tests share, each test with names of its own.
//! - [`RedisServer`], [`KafkaServer`], [`PostgresServer`], [`EtcdServer`], [`ApiServer`]: a server of one's own, to kill,
//!   pause and restart.
//! - [`StripeMockServer`]: Stripe's own description of its API, as a server.
//! - [`Product`]: one of our binaries as a child process.
//! - [`Reseller`]: a reference reseller with books of its own.
//! - [`stack`]: the local stack as a whole.
//! - [`image`]: a program as an OCI image.

mod apiserver;
mod certificates;
mod error;
mod etcd;
mod files;
mod home;
mod http;
pub mod image;
mod kafka;
mod ports;
mod postgres;
mod process;
mod product;
mod redis;
mod reseller;
mod server;
mod shared;
pub mod stack;
mod stripe_mock;
mod tools;

pub use apiserver::ApiServer;
pub use certificates::Certificates;
pub use error::TestkitError;
pub use etcd::EtcdServer;
pub use home::{Home, workspace_dir};
pub use kafka::{KafkaServer, SecureKafka};
pub use ports::{PortLease, lease_port};
pub use postgres::{Citus, PostgresServer, SECURE_PASSWORD, create_database, drop_database};
pub use process::{Identity, Lifetime};
pub use product::{Binary, Product, ProductOptions, run_to_end};
pub use redis::{Persistence, RedisCluster, RedisServer, SecureRedis};
pub use reseller::{Book, Reseller, StockMessage};
pub use server::{Server, StartOptions};
pub use shared::{Shared, shared, unique};
pub use stripe_mock::StripeMockServer;
pub use tools::Tools;
