//! Integration tests of the buyers: against an API that lies, and against the whole platform while it is killed.

#![expect(
    clippy::unwrap_used,
    reason = "in a test a panic is the report; helpers are tests too"
)]
#![expect(
    clippy::print_stdout,
    reason = "the report of a sale belongs to the output of its test"
)]

mod chaos;
mod cli;
mod killed;
mod lies;
mod load;
mod measures;
mod misbehaved;
mod together;
