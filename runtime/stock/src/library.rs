//! The function library as text, and its way into a server.

/// Name of the library. A change that an older program could not live with gets a new name (and new function names), so
/// that both can be on one server; loading over a library of the same name would disarm every event.
pub const LIBRARY: &str = "ticket_stock_v3";

/// The library. Only ever called with FCALL: a client that reloads scripts by itself revives stale stock.
pub const SOURCE: &str = include_str!("stock.lua");

pub(crate) const RESERVE: &str = "st3_reserve";
pub(crate) const RELEASE: &str = "st3_release";
pub(crate) const CLAIM: &str = "st3_claim";
pub(crate) const ADJUST: &str = "st3_adjust";
pub(crate) const SETTLE: &str = "st3_settle";
pub(crate) const STAGE: &str = "st3_stage";
pub(crate) const SEED: &str = "st3_seed";
pub(crate) const CLOSE: &str = "st3_close";
pub(crate) const DISARM: &str = "st3_disarm";
pub(crate) const STATE: &str = "st3_state";
pub(crate) const COUNTS: &str = "st3_counts";
pub(crate) const RECORD: &str = "st3_record";
pub(crate) const KNOWN: &str = "st3_known";
pub(crate) const PENDING: &str = "st3_pending";
pub(crate) const PENDING_COUNT: &str = "st3_pending_count";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_that_is_called_is_registered_and_the_other_way_round() {
        let called = [
            RESERVE,
            RELEASE,
            CLAIM,
            ADJUST,
            SETTLE,
            STAGE,
            SEED,
            CLOSE,
            DISARM,
            STATE,
            COUNTS,
            RECORD,
            KNOWN,
            PENDING,
            PENDING_COUNT,
        ];
        let mut registered: Vec<&str> = SOURCE
            .lines()
            .filter(|line| {
                line.starts_with("redis.register_function") || line.starts_with("register_reader")
            })
            .filter_map(|line| line.split('\'').nth(1))
            .collect();
        registered.sort_unstable();
        let mut called = called.to_vec();
        called.sort_unstable();
        assert_eq!(registered, called);
        assert!(SOURCE.starts_with(&format!("#!lua name={LIBRARY}\n")));
    }
}
