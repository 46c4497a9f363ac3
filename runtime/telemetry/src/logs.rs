//! Logs on standard error: lines for people on a terminal, JSON for machines everywhere else. A line of a request has the
//! request's trace id. What is logged is the caller's matter: ids of orders yes, buyers and secrets never.

use std::fmt;
use std::io::{self, IsTerminal};
use std::str::FromStr;

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::{TelemetryError, trace};

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
            .event_format(TextLine(Format::default()))
            .finish()
            .try_init()
    } else {
        lines.event_format(JsonLine).finish().try_init()
    };
    installed.map_err(|cause| TelemetryError::Logs { cause })?;
    tracing::info!(service, version = env!("CARGO_PKG_VERSION"), "starting");
    Ok(())
}

/// The usual line for people, with the trace id before it where there is one.
struct TextLine(Format<Full>);

impl<S, N> FormatEvent<S, N> for TextLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if let Some(id) = trace::current_id() {
            write!(writer, "{id:032x} ")?;
        }
        self.0.format_event(context, writer, event)
    }
}

/// `{"timestamp","level","target","message",fields..,"trace_id"}`
struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writeln!(writer, "{}", json_line(event))
    }
}

fn json_line(event: &Event<'_>) -> String {
    let metadata = event.metadata();
    let mut line = Line {
        text: String::from("{"),
    };
    line.put("timestamp", &ticket_core::clock::now().to_string());
    line.put("level", &metadata.level().as_str());
    line.put("target", &metadata.target());
    event.record(&mut line);
    if let Some(id) = trace::current_id() {
        line.put("trace_id", &format!("{id:032x}"));
    }
    line.text.push('}');
    line.text
}

/// A JSON object under way.
struct Line {
    text: String,
}

impl Line {
    fn put(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        // None of the values that are passed here can fail.
        let (Ok(name), Ok(value)) = (serde_json::to_string(name), serde_json::to_string(value))
        else {
            return;
        };
        if self.text.len() > 1 {
            self.text.push(',');
        }
        self.text.push_str(&name);
        self.text.push(':');
        self.text.push_str(&value);
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), &value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), &value);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    #[tokio::test]
    async fn a_line_is_one_json_object_and_has_the_trace_of_its_request() {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(lines.clone())
            .event_format(JsonLine)
            .finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        tracing::info!(orders = 3, name = "a \"b\"\n", "outside");
        let request = trace::Request::begin(
            "test",
            Some(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"),
        );
        request
            .scope(async { tracing::warn!(code = %"x", "inside") })
            .await;

        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!(lines[0]["message"], "outside");
        assert_eq!(lines[0]["orders"], 3);
        assert_eq!(lines[0]["name"], "a \"b\"\n");
        assert!(lines[0]["trace_id"].is_null());
        assert_eq!(lines[1]["level"], "WARN");
        assert_eq!(lines[1]["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    }
}
