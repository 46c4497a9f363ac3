//! The stock store against a real Redis server. Each test starts its own: they restart, flush, pause and fail it over.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "any other answer fails the test, also in its helpers"
)]

mod adjust;
mod after;
mod arguments;
mod cluster;
mod crowd;
mod fixture;
mod gate;
mod life;
mod model;
mod secure;
mod seeds;
