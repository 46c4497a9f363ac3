//! The process's metrics: recorded through the `metrics` macros, read as Prometheus text.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;

use crate::{TelemetryError, metric};

/// Bounds of every `*_seconds` histogram, seconds: 0.5 ms is a Redis call on a quiet machine, 30 s the longest wait that
/// a buyer may ask for.
const SECONDS_BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// Bounds of [`metric::BATCH_ORDERS`], commands in one ledger call.
const BATCH_BUCKETS: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 350.0, 500.0, 1000.0,
];

/// A gauge that nobody set for so long is gone: its event was deleted, or somebody else owns its partition now.
const GAUGE_IDLE_MAX: Duration = Duration::from_mins(2);

/// How often recorded histogram values are folded into their buckets; they wait in memory until then.
pub(crate) const UPKEEP_EVERY: Duration = Duration::from_secs(5);

static INSTALLED: Mutex<Option<Metrics>> = Mutex::new(None);

/// Reads the process's metrics. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// The process's recorder; the first call installs it.
    pub fn install() -> Result<Self, TelemetryError> {
        let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(metrics) = installed.as_ref() {
            return Ok(metrics.clone());
        }
        let metrics = Self {
            handle: build().map_err(|cause| TelemetryError::Metrics { cause })?,
        };
        metric::describe();
        metrics.upkeep();
        *installed = Some(metrics.clone());
        Ok(metrics)
    }

    /// Everything recorded so far, Prometheus text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.handle.render()
    }

    pub(crate) fn upkeep(&self) {
        metrics::gauge!(metric::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        self.handle.run_upkeep();
    }
}

fn build() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS_BUCKETS)?
        .set_buckets_for_metric(
            Matcher::Full(metric::BATCH_ORDERS.to_owned()),
            BATCH_BUCKETS,
        )?
        .idle_timeout(MetricKindMask::GAUGE, Some(GAUGE_IDLE_MAX))
        .install_recorder()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_have_our_buckets_and_the_build_is_named() {
        let metrics = Metrics::install().unwrap();
        metrics::histogram!(metric::BATCH_ORDERS).record(350.0);
        metrics::histogram!(metric::RESERVE_SECONDS).record(0.002);
        let text = Metrics::install().unwrap().render();
        assert!(
            text.contains("ticket_batch_orders_bucket{le=\"350\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("ticket_batch_orders_bucket{le=\"200\"} 0"),
            "{text}"
        );
        assert!(
            text.contains("ticket_reserve_seconds_bucket{le=\"0.0025\"} 1"),
            "{text}"
        );
        assert!(text.contains("ticket_build_info{version=\""), "{text}");
        drop(metrics);
    }
}
