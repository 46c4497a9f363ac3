//! The audit: does everything add up? It reads ledger, stock store, facts and payments of one event and compares them, each
//! check in a file of its own. It changes nothing and takes no lock, so a sale may run meanwhile: what is under way is
//! told apart from what is wrong. A check that could not be made because a server does not answer does not hold, except
//! for `store`, which is skipped whenever the moment is not quiet.

mod conservation;
mod facts;
mod payments;
mod rounds;
mod states;
mod store;

use jiff::{SignedDuration, Timestamp};
use metrics::counter;
use ticket_admin::{AuditReport, Check};
use ticket_bus::{BusAdmin, BusConfig};
use ticket_core::clock;
use ticket_core::names::TopicPrefix;
use ticket_ledger::Ledger;
use ticket_payments::Provider;
use ticket_stock::StockStore;
use ticket_telemetry::{chain, metric};
use tracing::{info, warn};

use crate::catalog::EventEntry;

pub use rounds::Rounds;

/// An order that waits for this long after its limit is stuck: holds are looked at once a second, payments are made
/// within seconds, undecided orders are voided after 15 s. The rest is room for a restart of whoever does it.
const STUCK_AFTER: SignedDuration = SignedDuration::from_mins(2);

/// News of what changed later than this may still be on its way to facts or from the provider.
const UNDER_WAY_FOR: SignedDuration = SignedDuration::from_secs(10);

/// Orders in one question to the ledger.
const PAGE_ORDERS: u32 = 5_000;

/// Orders of an event that one audit compares. Each takes about 100 bytes of memory meanwhile.
const ORDERS_MAX: usize = 1_000_000;

/// Findings that a report names; the rest is counted.
const NAMED_MAX: usize = 5;

/// Reads what is compared.
pub struct Auditor<'a, P> {
    /// Orders and counters.
    pub ledger: &'a Ledger,
    /// Redis.
    pub stock: &'a StockStore,
    /// How far consumers are.
    pub kafka: &'a BusAdmin,
    /// Reads facts.
    pub bus: &'a BusConfig,
    /// Names of topics and groups.
    pub prefix: &'a TopicPrefix,
    /// The payment provider.
    pub provider: &'a P,
}

impl<P: Provider> Auditor<'_, P> {
    /// All checks of `event`, in the order of the contract.
    pub async fn audit(&self, event: &EventEntry) -> AuditReport {
        let begun = clock::now();
        let checks = vec![
            named("conservation", self.conservation(event).await),
            named("states", self.states(event, begun).await),
            named("store", self.store(event).await),
            named("facts", self.facts(event, begun).await),
            named("payments", self.payments(event, begun).await),
        ];
        for check in checks.iter().filter(|check| !check.ok) {
            counter!(metric::AUDIT_FAILURES_TOTAL, "check" => check.name.clone()).increment(1);
            warn!(event = %event.name(), check = check.name, detail = check.detail, "audit failed");
        }
        let took_ms = clock::now().duration_since(begun).as_millis();
        info!(event = %event.name(), took_ms, "audit done");
        AuditReport::new(event.name().to_string(), checks)
    }
}

/// What a check found.
enum Verdict {
    /// It holds; what was compared.
    Holds(String),
    /// It does not; what differs.
    Fails(String),
    /// It could not be asked now, which is no fault; why.
    Skipped(String),
}

impl Verdict {
    /// A server did not answer, so nothing is known.
    fn unknown(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Fails(format!("not known: {}", chain(error)))
    }
}

fn named(name: &str, verdict: Verdict) -> Check {
    match verdict {
        Verdict::Holds(detail) => Check::holds(name, detail),
        Verdict::Fails(detail) => Check::fails(name, detail),
        Verdict::Skipped(reason) => Check::skipped(name, reason),
    }
}

/// What differs: the first few by name, all by number.
#[derive(Debug, Default)]
struct Findings {
    named: Vec<String>,
    count: usize,
}

impl Findings {
    fn add(&mut self, finding: impl FnOnce() -> String) {
        self.count += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(finding());
        }
    }

    /// `holds` if there is nothing.
    fn verdict(self, holds: impl FnOnce() -> String) -> Verdict {
        if self.count == 0 {
            return Verdict::Holds(holds());
        }
        let more = self.count - self.named.len();
        let more = if more == 0 {
            String::new()
        } else {
            format!("; and {more} more")
        };
        Verdict::Fails(format!("{}{more}", self.named.join("; ")))
    }
}

/// Did it change so lately that news of it may still be on the way?
fn is_under_way(updated_at: Timestamp, begun: Timestamp) -> bool {
    begun.duration_since(updated_at) < UNDER_WAY_FOR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_name_the_first_and_count_the_rest() {
        let mut findings = Findings::default();
        assert!(matches!(
            Findings::default().verdict(|| "fine".to_owned()),
            Verdict::Holds(_)
        ));
        for number in 0..NAMED_MAX + 2 {
            findings.add(|| format!("finding {number}"));
        }
        let Verdict::Fails(detail) = findings.verdict(String::new) else {
            panic!("must fail")
        };
        assert!(detail.starts_with("finding 0; finding 1") && detail.ends_with("; and 2 more"));
    }
}
