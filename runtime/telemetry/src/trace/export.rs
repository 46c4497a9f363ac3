//! The way of spans to a collector: OTLP, protobuf over HTTP, in batches, from a thread of its own. A collector that is
//! away costs spans, never a request.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider,
};
use tokio::runtime::Handle;

use crate::TelemetryError;

/// Spans that wait for the collector; more are dropped.
const QUEUE_SPANS_MAX: usize = 4_096;

/// Spans of one call to the collector.
const BATCH_SPANS_MAX: usize = 512;

/// How long a span may wait for others.
const BATCH_WAIT: Duration = Duration::from_secs(1);

/// Longest call to the collector.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the last spans may take at the end of the process.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

/// Where traces go, and how many.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceConfig {
    /// The collector, e.g. `http://collector:4318`; `/v1/traces` is added.
    pub endpoint: String,
    /// Part of the requests that are traced if the caller does not decide, 0 to 1.
    pub sample: f64,
}

/// Sends spans as long as it lives; call [`Self::close`] at the end, so that the last ones get out.
#[derive(Debug)]
pub struct Exporter(SdkTracerProvider);

/// Spans go to `config.endpoint` from now on, as those of `service`. Once per process, inside a Tokio runtime.
pub fn install(service: &'static str, config: &TraceConfig) -> Result<Exporter, TelemetryError> {
    let failed = |cause: Box<dyn std::error::Error + Send + Sync>| TelemetryError::Traces {
        endpoint: config.endpoint.clone(),
        cause,
    };
    let client = reqwest::Client::builder()
        .timeout(EXPORT_TIMEOUT)
        .build()
        .map_err(|cause| failed(cause.into()))?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Client {
            http: client,
            runtime: Handle::current(),
            is_refused: AtomicBool::new(false),
        })
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!(
            "{}/v1/traces",
            config.endpoint.trim_end_matches('/')
        ))
        .with_timeout(EXPORT_TIMEOUT)
        .build()
        .map_err(|cause| failed(cause.into()))?;
    let limits = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE_SPANS_MAX)
        .with_max_export_batch_size(BATCH_SPANS_MAX)
        .with_scheduled_delay(BATCH_WAIT)
        .build();
    let processor = BatchSpanProcessor::builder(exporter)
        .with_batch_config(limits)
        .build();
    let resource = Resource::builder_empty().with_service_name(service).build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor)
        // Who is not sampled has no span at all.
        .with_sampler(Sampler::AlwaysOn)
        .with_resource(resource)
        .build();
    if !super::keep(&provider, config.sample) {
        return Err(failed("traces are installed already".into()));
    }
    Ok(Exporter(provider))
}

impl Exporter {
    /// Sends what waits, with a limit.
    pub async fn close(self) {
        let closing = move || self.0.shutdown_with_timeout(SHUTDOWN_TIMEOUT);
        match tokio::task::spawn_blocking(closing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "last spans not sent"),
            Err(error) => tracing::warn!(%error, "last spans not sent"),
        }
    }
}

/// The exporter's thread has no async runtime, so calls are made on ours.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    runtime: Handle,
    /// Said once until it works again.
    is_refused: AtomicBool,
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.http.clone();
        let call = self
            .runtime
            .spawn(async move { call(client, request).await });
        let answer = call.await.map_err(Box::from).and_then(|answer| answer);
        let reason = match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(answer.status().to_string()),
            Err(error) => Some(error.to_string()),
        };
        let was_refused = self.is_refused.swap(reason.is_some(), Ordering::Relaxed);
        match reason {
            Some(reason) if !was_refused => {
                tracing::warn!(reason, "spans not taken by the collector, dropped");
            }
            Some(_) | None => {}
        }
        answer
    }
}

async fn call(
    client: reqwest::Client,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, HttpError> {
    let answer = client.execute(request.try_into()?).await?;
    let status = answer.status();
    let body = answer.bytes().await?;
    let mut response = Response::new(body);
    *response.status_mut() = status;
    Ok(response)
}
