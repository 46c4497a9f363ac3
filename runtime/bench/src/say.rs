//! Where words go: progress to stderr, as one living line on a terminal and as plain lines elsewhere; reports to stdout.

use std::future::Future;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

/// Between two changes of the living line on a terminal.
const LIVE_EVERY: Duration = Duration::from_millis(250);

/// Between two plain progress lines.
const PLAIN_EVERY: Duration = Duration::from_secs(2);

/// Prints a line of progress. A reader that went away (`| head`) is no reason to fail.
pub fn progress(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}

/// Prints a part of the report.
pub fn report(text: &str) {
    drop(write!(std::io::stdout(), "{text}"));
    drop(std::io::stdout().flush());
}

/// Shows `line` again and again until `work` is done.
pub async fn while_showing<T>(line: impl Fn() -> String, work: impl Future<Output = T>) -> T {
    let is_live = std::io::stderr().is_terminal();
    let mut every = tokio::time::interval(if is_live { LIVE_EVERY } else { PLAIN_EVERY });
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The first tick comes at once and has nothing to show.
    every.tick().await;
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => {
                if is_live {
                    live("");
                }
                progress(&line());
                return done;
            }
            _ = every.tick() => if is_live { live(&line()) } else { progress(&line()) },
        }
    }
}

/// Replaces the living line.
fn live(line: &str) {
    let mut out = std::io::stderr();
    // Back to the margin, and erase what the last line left.
    drop(write!(out, "\r\x1b[K{line}"));
    drop(out.flush());
}
