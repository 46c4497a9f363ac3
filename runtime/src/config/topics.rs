//! Topics that the runtime makes itself.

use clap::Args;

/// How topics are made that are everybody's.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Topics")]
pub struct TopicSettings {
    /// Replicas of the topics that the runtime makes itself, 1 to 100
    #[arg(long, env = "TICKET_KAFKA_REPLICATION", default_value = "1", value_name = "NUMBER",
        value_parser = clap::value_parser!(u16).range(1..=100))]
    pub kafka_replication: u16,
}
