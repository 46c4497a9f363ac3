//! Whole commands as people and programs run them: the library against a stand-in of the admin API and against a real API
//! server, and the program itself.

#![expect(
    clippy::unwrap_used,
    reason = "tests, also in the functions that they share"
)]

mod access;
mod admin;
mod events;
mod program;
mod rebalance;
mod run;
mod tui;
mod watch;
