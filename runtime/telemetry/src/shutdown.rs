//! The process's wish to stop, as a token that every task listens to.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::TelemetryError;

/// Exit code of a process that was told twice to stop: 128 + SIGINT.
const EXIT_TOLD_TWICE: i32 = 130;

/// A token that is cancelled at SIGTERM or SIGINT. A second signal ends the process at once: whoever sends it does not
/// want to wait for the drain.
pub fn on_signal() -> Result<CancellationToken, TelemetryError> {
    let failed = |cause| TelemetryError::Signals { cause };
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        for times in 1.. {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if times > 1 {
                tracing::warn!(signal = name, "told twice to stop, ending without a drain");
                std::process::exit(EXIT_TOLD_TWICE);
            }
            tracing::info!(signal = name, "stopping");
            told.cancel();
        }
    });
    Ok(stop)
}
