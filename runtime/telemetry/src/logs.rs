//! Logs on standard error: lines for people on a terminal, JSON for machines everywhere else.

use std::io::{self, IsTerminal};
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::TelemetryError;

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Text when standard error is a terminal, else JSON.
    #[default]
    Auto,
    /// One JSON object per line.
    Json,
    /// One line for people.
    Text,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(format!("expected auto, json or text, not {text:?}")),
        }
    }
}

impl LogFormat {
    fn is_text(self) -> bool {
        match self {
            Self::Auto => io::stderr().is_terminal(),
            Self::Json => false,
            Self::Text => true,
        }
    }
}

/// Sets up the process's logs, once. `filter` is a list of directives, e.g. `info,ticket_bus=debug`. Writes one line that
/// says which program in which version starts.
pub fn init(service: &str, filter: &str, format: LogFormat) -> Result<(), TelemetryError> {
    let directives =
        EnvFilter::builder()
            .parse(filter)
            .map_err(|cause| TelemetryError::Filter {
                filter: filter.to_owned(),
                cause,
            })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(directives)
        .with_writer(io::stderr);
    let installed = if format.is_text() {
        lines
            .with_ansi(io::stderr().is_terminal())
            .finish()
            .try_init()
    } else {
        lines.json().flatten_event(true).finish().try_init()
    };
    installed.map_err(|cause| TelemetryError::Logs { cause })?;
    tracing::info!(service, version = env!("CARGO_PKG_VERSION"), "starting");
    Ok(())
}
