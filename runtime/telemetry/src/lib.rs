//! What every long-running program of the platform needs around its work: settings, logs, metrics, health, a clean stop,
//! and a supervisor of its tasks. It promises that a task which ends early ends the process, and that a stop has a deadline.
//! It does not know orders, stock, or any client library.

pub mod chain;
pub mod health;
pub mod http;
pub mod logs;
pub mod metric;
pub mod metrics;
pub mod settings;
pub mod shutdown;
pub mod supervisor;
pub mod trace;

pub use chain::chain;
pub use health::{Health, Probe, Readiness};
pub use http::{routes, serve};
pub use logs::{LogFormat, init};
pub use metrics::Metrics;
pub use supervisor::Supervisor;
pub use trace::TraceConfig;

use ticket_core::Code;

/// What can go wrong around the work. All of it happens at the start, is permanent, and ends the process.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter of the logs cannot be read.
    #[error("could not read the log filter {filter:?}")]
    Filter {
        /// As given.
        filter: String,
        /// Why.
        #[source]
        cause: tracing_subscriber::filter::ParseError,
    },
    /// Logs are set up once per process.
    #[error("could not install the log subscriber")]
    Logs {
        /// Why.
        #[source]
        cause: tracing_subscriber::util::TryInitError,
    },
    /// Metrics are set up once per process.
    #[error("could not install the metrics recorder")]
    Metrics {
        /// Why.
        #[source]
        cause: metrics_exporter_prometheus::BuildError,
    },
    /// The operating system refused a signal handler.
    #[error("could not listen to signals")]
    Signals {
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// Traces are set up once per process, and their collector must have an address.
    #[error("could not send traces to {endpoint}")]
    Traces {
        /// As given.
        endpoint: String,
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server of `/livez`, `/readyz` and `/metrics` broke off.
    #[error("could not serve health and metrics")]
    Serve {
        /// Why.
        #[source]
        cause: std::io::Error,
    },
}

impl TelemetryError {
    /// Stable, `kebab-case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Filter { .. } => Code::LogFilterInvalid.as_str(),
            Self::Logs { .. } => Code::LogsFailed.as_str(),
            Self::Metrics { .. } => Code::MetricsFailed.as_str(),
            Self::Signals { .. } => Code::SignalsFailed.as_str(),
            Self::Traces { .. } => Code::TracesFailed.as_str(),
            Self::Serve { .. } => Code::HealthServerFailed.as_str(),
        }
    }
}
