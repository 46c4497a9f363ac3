//! Traces: one id from the HTTP request over Kafka to ledger and payment (W3C Trace Context). Every request has a trace id
//! for its problem document and its log lines; spans are made only for requests that are sampled, and only where traces
//! go somewhere ([`install`]). Without that nothing is made, sent or stored: no span, no header, no allocation.
//!
//! It does not know what a span is about; names are the caller's, a closed set, and attributes never name a person.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::str::FromStr;
use std::sync::OnceLock;

use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
    TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

mod export;

pub use export::{Exporter, TraceConfig, install};

/// The header that carries a trace, in HTTP and in Kafka.
pub const HEADER: &str = "traceparent";

/// Length of [`HEADER`]'s value: `00-<32 hex>-<16 hex>-<2 hex>`.
const HEADER_BYTES: usize = 55;

/// Where spans go; set once, by [`install`].
static TRACER: OnceLock<Tracer> = OnceLock::new();

struct Tracer {
    tracer: SdkTracer,
    sample: f64,
}

/// A place in a trace: what the next one continues from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// Never 0.
    pub trace: u128,
    /// Never 0.
    pub span: u64,
    /// Somebody keeps this trace.
    pub is_sampled: bool,
}

/// As the header has it.
impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.is_sampled);
        write!(f, "00-{:032x}-{:016x}-{flags:02x}", self.trace, self.span)
    }
}

/// A header that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent of version 00")]
pub struct NoTraceParent;

impl FromStr for TraceParent {
    type Err = NoTraceParent;

    fn from_str(text: &str) -> Result<Self, NoTraceParent> {
        let is_lower_hex = |part: &str| {
            let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            part.bytes().all(is_digit)
        };
        let mut parts = text.split('-');
        let mut next = |length: usize| {
            let part = parts.next().ok_or(NoTraceParent)?;
            (part.len() == length && is_lower_hex(part))
                .then_some(part)
                .ok_or(NoTraceParent)
        };
        let (version, trace, span, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        // A later version may have more parts behind these.
        if version == "ff" || (version == "00" && text.len() != HEADER_BYTES) {
            return Err(NoTraceParent);
        }
        let trace = u128::from_str_radix(trace, 16).map_err(|_| NoTraceParent)?;
        let span = u64::from_str_radix(span, 16).map_err(|_| NoTraceParent)?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| NoTraceParent)?;
        if trace == 0 || span == 0 {
            return Err(NoTraceParent);
        }
        Ok(Self {
            trace,
            span,
            is_sampled: flags & 1 == 1,
        })
    }
}

impl TraceParent {
    /// Reads a header's value, if it is one.
    #[must_use]
    pub fn read(value: Option<&[u8]>) -> Option<Self> {
        std::str::from_utf8(value?).ok()?.parse().ok()
    }
}

/// The trace of a task.
struct Current {
    /// 0 until somebody asks for it.
    id: Cell<u128>,
    parent: Option<TraceParent>,
}

tokio::task_local! {
    static CURRENT: Current;
}

/// A request's trace, from the caller's header if it sent one.
#[derive(Debug)]
pub struct Request {
    given: Option<TraceParent>,
    /// Boxed: hardly any request has one, and a request is moved several times.
    span: Option<Box<Span>>,
}

impl Request {
    /// Continues the caller's trace, or begins one. `name` is the span's.
    #[must_use]
    pub fn begin(name: &'static str, given: Option<&[u8]>) -> Self {
        let given = TraceParent::read(given);
        let span = root(name, given).map(Box::new);
        Self { given, span }
    }

    /// Runs `future` as part of this trace: its log lines have the trace's id.
    pub async fn scope<F: Future>(&self, future: F) -> F::Output {
        let parent = self.span.as_deref().map(Span::parent);
        let id = parent.or(self.given).map_or(0, |parent| parent.trace);
        let current = Current {
            id: Cell::new(id),
            parent,
        };
        CURRENT.scope(current, future).await
    }

    /// Writes down how it ended.
    pub fn end(self, route: &str, status: u16) {
        if let Some(mut span) = self.span {
            span.set("http.route", route.to_owned());
            span.set("http.response.status_code", i64::from(status));
            if status >= 500 {
                span.fail("server error");
            }
        }
    }
}

/// The id of the trace that this task works for; one is made up if it has none yet. `None` outside of any request.
#[must_use]
pub fn current_id() -> Option<u128> {
    let id = |current: &Current| match current.id.get() {
        0 => {
            let id = rand::random::<u128>().max(1);
            current.id.set(id);
            id
        }
        id => id,
    };
    CURRENT.try_with(id).ok()
}

/// Runs `future` as part of the trace of `parent`.
pub async fn within<F: Future>(parent: Option<TraceParent>, future: F) -> F::Output {
    let current = Current {
        id: Cell::new(parent.map_or(0, |parent| parent.trace)),
        parent,
    };
    CURRENT.scope(current, future).await
}

/// Where this task's trace goes on, if it is sampled: what is sent to others carries it.
#[must_use]
pub fn outgoing() -> Option<TraceParent> {
    CURRENT.try_with(|current| current.parent).ok().flatten()
}

/// The first span of a request here; `None` if it is not sampled.
fn root(name: &'static str, given: Option<TraceParent>) -> Option<Span> {
    let tracer = TRACER.get()?;
    let is_wanted = match given {
        Some(given) => given.is_sampled,
        None => rand::random::<f64>() < tracer.sample,
    };
    is_wanted.then(|| Span::start(tracer, name, given, SpanKind::Server))
}

/// A span below `parent`; `None` if that is not sampled or traces go nowhere.
#[must_use]
pub fn child(name: &'static str, parent: TraceParent) -> Option<Span> {
    let tracer = TRACER.get()?;
    let is_wanted = parent.is_sampled;
    is_wanted.then(|| Span::start(tracer, name, Some(parent), SpanKind::Internal))
}

/// A piece of work. It ends when it is dropped.
#[derive(Debug)]
pub struct Span(opentelemetry_sdk::trace::Span);

impl Span {
    fn start(
        tracer: &Tracer,
        name: &'static str,
        parent: Option<TraceParent>,
        kind: SpanKind,
    ) -> Self {
        let builder = tracer.tracer.span_builder(name).with_kind(kind);
        let parent = parent.map_or_else(Context::new, |parent| {
            Context::new().with_remote_span_context(SpanContext::new(
                TraceId::from_bytes(parent.trace.to_be_bytes()),
                SpanId::from_bytes(parent.span.to_be_bytes()),
                TraceFlags::SAMPLED,
                true,
                TraceState::default(),
            ))
        });
        Self(tracer.tracer.build_with_context(builder, &parent))
    }

    /// Where work that this span causes goes on.
    #[must_use]
    pub fn parent(&self) -> TraceParent {
        let context = self.0.span_context();
        TraceParent {
            trace: u128::from_be_bytes(context.trace_id().to_bytes()),
            span: u64::from_be_bytes(context.span_id().to_bytes()),
            is_sampled: true,
        }
    }

    /// An attribute.
    pub fn set(&mut self, name: &'static str, value: impl Into<opentelemetry::Value>) {
        self.0.set_attribute(KeyValue::new(name, value));
    }

    /// It did not work.
    pub fn fail(&mut self, code: &'static str) {
        self.0.set_status(Status::error(code));
    }
}

fn keep(provider: &SdkTracerProvider, sample: f64) -> bool {
    let tracer = provider.tracer("ticket");
    TRACER.set(Tracer { tracer, sample }).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_reads_back_and_anything_else_is_none() {
        let parent: TraceParent = GIVEN.parse().unwrap();
        assert!(parent.is_sampled);
        assert_eq!(parent.to_string(), GIVEN);
        assert_eq!(parent.to_string().len(), HEADER_BYTES);
        let later = GIVEN.replacen("00", "cc", 1) + "-more";
        assert_eq!(later.parse::<TraceParent>().unwrap().trace, parent.trace);
        for bad in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(bad.parse::<TraceParent>(), Err(NoTraceParent), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_request_has_one_id_and_without_a_collector_nothing_goes_out() {
        assert_eq!(current_id(), None);
        let given = Request::begin("test", Some(GIVEN.as_bytes()));
        let id = given.scope(async { current_id() }).await;
        assert_eq!(id, Some(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c));
        let fresh = Request::begin("test", Some(b"nonsense"));
        let (one, two, out) = fresh
            .scope(async { (current_id(), current_id(), outgoing()) })
            .await;
        assert!(one.is_some() && one == two && out.is_none());
        fresh.end("/", 200);
    }
}
