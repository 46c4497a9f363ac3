//! The keeper: looks after what nobody else asks about. It warms events up whose stock store is cold ([`Watch`]), and it asks
//! after orders that were reserved long ago and never decided ([`Reaper`]). Several keepers may run: a warm-up has one winner
//! by its lock, and a question that is asked twice is answered twice.

mod reaper;
mod watch;

pub use reaper::Reaper;
pub use watch::Watch;
