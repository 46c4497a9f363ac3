//! Who decides orders: batches, and how a partition is given away.

use std::time::Duration;

use clap::Args;
use ticket_bus::ConsumerConfig;
use ticket_core::SettingProblem;

/// Part of the session that the last commit and the end of a batch need after the drain, milliseconds.
const DRAIN_ROOM_MS: u64 = 2_500;

/// Limits of the consumers of order logs.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Processor")]
pub struct ProcessorSettings {
    /// Messages that are taken at once, 1 to 2,000; 1 is one message at a time
    #[arg(long, env = "TICKET_CONSUMER_MAX_BATCH", default_value = "1000", value_name = "NUMBER",
        value_parser = clap::value_parser!(u32).range(1..=2_000))]
    pub consumer_max_batch: u32,
    /// How long a batch may wait to gather while orders come fast enough that it pays, milliseconds, 0 to 100
    #[arg(long, env = "TICKET_CONSUMER_GATHER_MS", default_value = "20", value_name = "MS",
        value_parser = clap::value_parser!(u64).range(0..=100))]
    pub consumer_gather_ms: u64,
    /// How long a process may be silent before its partitions go to others, milliseconds, 6,000 to 300,000
    #[arg(long, env = "TICKET_CONSUMER_SESSION_MS", default_value = "10000", value_name = "MS",
        value_parser = clap::value_parser!(u64).range(6_000..=300_000))]
    pub consumer_session_ms: u64,
    /// How long a batch may take to end when its partition is given away, milliseconds, 100 to 60,000
    #[arg(long, env = "TICKET_CONSUMER_DRAIN_MS", default_value = "5000", value_name = "MS",
        value_parser = clap::value_parser!(u64).range(100..=60_000))]
    pub consumer_drain_ms: u64,
}

impl ProcessorSettings {
    /// Writes the limits into `config`.
    pub fn limit(&self, config: &mut ConsumerConfig) {
        config.max_batch = self.consumer_max_batch as usize;
        config.gather_wait = Duration::from_millis(self.consumer_gather_ms);
        config.session_timeout = Duration::from_millis(self.consumer_session_ms);
        config.drain_deadline = Duration::from_millis(self.consumer_drain_ms);
    }

    /// What does not fit together.
    pub(super) fn check(&self) -> Option<SettingProblem> {
        let bound = self.consumer_session_ms.saturating_sub(DRAIN_ROOM_MS);
        (self.consumer_drain_ms >= bound).then(|| {
            SettingProblem::not_below(
                "TICKET_CONSUMER_DRAIN_MS",
                format!("{} ms", self.consumer_drain_ms),
                "TICKET_CONSUMER_SESSION_MS",
                format!(
                    "{} ms, of which {DRAIN_ROOM_MS} ms are for the last commit",
                    self.consumer_session_ms
                ),
            )
        })
    }
}
