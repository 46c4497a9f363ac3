//! What every process has: health and metrics, logs, traces, its end, and secrets that change.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use ticket_core::SettingProblem;
use ticket_telemetry::{LogFormat, TraceConfig};

use super::ProcessorSettings;

/// What every process has.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Process")]
pub struct ProcessSettings {
    /// Where /livez, /readyz and /metrics are served
    #[arg(long, env = "TICKET_METRICS_LISTEN", value_name = "IP:PORT")]
    pub metrics_listen: Option<SocketAddr>,
    /// What is logged: error, warn, info, debug, or a filter such as `info,ticket_bus=debug`
    #[arg(
        long,
        env = "TICKET_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    pub log: String,
    /// How a log line looks: json, text, or auto (text on a terminal)
    #[arg(
        long,
        env = "TICKET_LOG_FORMAT",
        default_value = "auto",
        value_name = "FORMAT"
    )]
    pub log_format: LogFormat,
    /// Where traces go, e.g. `http://collector:4318` (OTLP over HTTP); without it nothing is traced
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otel_exporter_otlp_endpoint: Option<String>,
    /// Part of the requests that are traced, 0 to 1; a caller's own decision (traceparent) wins
    #[arg(long, env = "TICKET_TRACE_SAMPLE", default_value_t = 0.01, value_name = "PART", value_parser = part)]
    pub trace_sample: f64,
    /// After SIGTERM what was begun may take so long to end, seconds, 1 to 300
    #[arg(long, env = "TICKET_DRAIN_S", default_value = "20", value_name = "S",
        value_parser = clap::value_parser!(u64).range(1..=300))]
    pub drain_s: u64,
    /// How often files with secrets are looked at, seconds, 1 to 3,600
    #[arg(long, env = "TICKET_SECRETS_LOOK_S", default_value = "10", value_name = "S",
        value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub secrets_look_s: u64,
}

fn part(text: &str) -> Result<f64, String> {
    let part: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    if (0.0..=1.0).contains(&part) {
        Ok(part)
    } else {
        Err(format!("{text} is not in 0..=1"))
    }
}

impl ProcessSettings {
    /// After a signal everything has this long to finish what it began.
    #[must_use]
    pub fn drain_deadline(&self) -> Duration {
        Duration::from_secs(self.drain_s)
    }

    /// How often files with secrets are looked at.
    #[must_use]
    pub fn secrets_look_every(&self) -> Duration {
        Duration::from_secs(self.secrets_look_s)
    }

    /// Where traces go, if anywhere.
    #[must_use]
    pub fn traces(&self) -> Option<TraceConfig> {
        let endpoint = self.otel_exporter_otlp_endpoint.clone()?;
        Some(TraceConfig {
            endpoint,
            sample: self.trace_sample,
        })
    }

    /// What does not fit together.
    pub(super) fn check(&self, processor: &ProcessorSettings) -> Option<SettingProblem> {
        (processor.consumer_drain_ms >= self.drain_s * 1_000).then(|| {
            SettingProblem::not_below(
                "TICKET_CONSUMER_DRAIN_MS",
                format!("{} ms", processor.consumer_drain_ms),
                "TICKET_DRAIN_S",
                format!("{} s", self.drain_s),
            )
        })
    }
}
