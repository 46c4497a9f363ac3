//! Warm-ups among everything that can go wrong, in memory: see [`model`].

#![expect(
    clippy::unwrap_used,
    reason = "in a test a panic is the report; helpers are tests too"
)]

mod model;
