//! `ShardRebalance` against real servers. On plain `PostgreSQL` it says what is missing; with Citus shards really move.

mod cluster;
mod crash;
mod growing;
mod moving;
mod plain;
mod selling;
mod stage;
