//! The faults by name: what may happen to a sale, and which of them cost the stock store its data. Words and lists only;
//! how a fault is carried out stands in `inflict`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;

/// A process, or a server with all its processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// `ticket-runtime api`.
    Api,
    /// `ticket-runtime processor`.
    Processor,
    /// `ticket-runtime payments`.
    Payments,
    /// `ticket-runtime keeper`.
    Keeper,
    /// `ticket-operator`.
    Operator,
    /// The stock store.
    Redis,
    /// The ledger, all nodes and sessions.
    Postgres,
    /// The broker.
    Kafka,
}

impl Target {
    /// Every target.
    pub const ALL: [Self; 8] = [
        Self::Api,
        Self::Processor,
        Self::Payments,
        Self::Keeper,
        Self::Operator,
        Self::Redis,
        Self::Postgres,
        Self::Kafka,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Processor => "processor",
            Self::Payments => "payments",
            Self::Keeper => "keeper",
            Self::Operator => "operator",
            Self::Redis => "redis",
            Self::Postgres => "postgres",
            Self::Kafka => "kafka",
        }
    }

    /// Its process, if it is one of ours.
    #[must_use]
    pub const fn process(self) -> Option<&'static str> {
        match self {
            Self::Api => Some("runtime-api"),
            Self::Processor => Some("runtime-processor"),
            Self::Payments => Some("runtime-payments"),
            Self::Keeper => Some("runtime-keeper"),
            Self::Operator => Some("operator"),
            Self::Redis | Self::Postgres | Self::Kafka => None,
        }
    }
}

/// One thing that goes wrong. Duplicate, late and lost webhooks are no entry here: they are there in every run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// `kill -9`, and a start a moment later.
    Kill(Target),
    /// SIGSTOP, and SIGCONT a moment later: connections stay, nothing is answered, then everything at once.
    Pause(Target),
    /// `FLUSHALL` on the stock store.
    Flush,
    /// `FLUSHALL`, and `kill -9` of the keeper as soon as it has the warm-up lock.
    KeeperInWarmUp,
    /// The stock store comes back with a dump that is older than the last orders.
    OldDump,
    /// The stock store comes back with an append-only file whose end is missing.
    CutAof,
    /// The stock store dies, and a replica that has not seen the last writes takes its place.
    Promotion,
    /// Sessions of the ledger that do something are terminated, again and again, some in the middle of a commit.
    Sessions,
    /// A second processor joins the consumer group and leaves it again.
    Rebalance,
    /// The clock of one of our processes jumps, and jumps back.
    Clock(Target),
    /// The disk of a ledger node's write-ahead log is full.
    FullDisk,
}

/// Whose clock is moved: the others ask nobody for the time.
const CLOCKS: [Target; 4] = [
    Target::Api,
    Target::Processor,
    Target::Payments,
    Target::Keeper,
];

impl Fault {
    /// Every fault.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        all.extend(Target::ALL.map(Self::Kill));
        all.extend(Target::ALL.map(Self::Pause));
        all.extend([
            Self::Flush,
            Self::KeeperInWarmUp,
            Self::OldDump,
            Self::CutAof,
            Self::Promotion,
            Self::Sessions,
            Self::Rebalance,
        ]);
        all.extend(CLOCKS.map(Self::Clock));
        all.push(Self::FullDisk);
        all
    }

    /// Does the stock store lose what it knew? Then only a warm-up lets the sale go on.
    #[must_use]
    pub const fn loses_the_store(self) -> bool {
        match self {
            Self::Kill(Target::Redis)
            | Self::Flush
            | Self::KeeperInWarmUp
            | Self::OldDump
            | Self::CutAof
            | Self::Promotion => true,
            Self::Kill(_)
            | Self::Pause(_)
            | Self::Sessions
            | Self::Rebalance
            | Self::Clock(_)
            | Self::FullDisk => false,
        }
    }

    /// How long it lasts: long enough to be felt, short against the crowd's patience (90 s) and the sale.
    pub(super) fn lasts(self, rng: &mut StdRng) -> Duration {
        let ms = match self {
            Self::Flush | Self::KeeperInWarmUp => 0..=1,
            Self::Kill(_) | Self::Pause(_) | Self::Sessions | Self::FullDisk => 300..=3_000,
            // What comes between the old file and the kill is what the store forgets.
            Self::OldDump | Self::CutAof | Self::Promotion => 500..=2_500,
            Self::Rebalance | Self::Clock(_) => 1_500..=4_000,
        };
        Duration::from_millis(rng.random_range(ms))
    }

    /// What it holds while it lasts. Two faults with the same hold come one after the other.
    #[must_use]
    pub const fn holds(self) -> Option<Target> {
        match self {
            Self::Kill(target) | Self::Pause(target) | Self::Clock(target) => Some(target),
            Self::Flush | Self::OldDump | Self::CutAof | Self::Promotion => Some(Target::Redis),
            Self::KeeperInWarmUp => Some(Target::Keeper),
            Self::Sessions | Self::FullDisk => Some(Target::Postgres),
            Self::Rebalance => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(target) => write!(f, "kill-{}", target.as_str()),
            Self::Pause(target) => write!(f, "pause-{}", target.as_str()),
            Self::Flush => f.write_str("flush-redis"),
            Self::KeeperInWarmUp => f.write_str("kill-keeper-in-warm-up"),
            Self::OldDump => f.write_str("old-dump"),
            Self::CutAof => f.write_str("cut-aof"),
            Self::Promotion => f.write_str("promote-replica"),
            Self::Sessions => f.write_str("cut-sessions"),
            Self::Rebalance => f.write_str("rebalance"),
            Self::Clock(target) => write!(f, "clock-{}", target.as_str()),
            Self::FullDisk => f.write_str("full-disk"),
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let all = Self::all();
        let found = all.iter().find(|fault| fault.to_string() == name);
        found.copied().ok_or_else(|| {
            let names: Vec<_> = all.iter().map(Self::to_string).collect();
            format!("expected one of {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_name_of_its_own_that_reads_back() {
        let all = Fault::all();
        for fault in &all {
            assert_eq!(fault.to_string().parse(), Ok(*fault));
        }
        let error = "kill-nobody".parse::<Fault>().unwrap_err();
        assert!(error.contains("kill-api") && error.contains("full-disk"));
    }

    #[test]
    fn only_faults_of_the_store_lose_it() {
        let losing: Vec<_> = Fault::all()
            .into_iter()
            .filter(|fault| fault.loses_the_store())
            .map(|fault| fault.to_string())
            .collect();
        assert_eq!(
            losing,
            [
                "kill-redis",
                "flush-redis",
                "kill-keeper-in-warm-up",
                "old-dump",
                "cut-aof",
                "promote-replica"
            ]
        );
    }
}
