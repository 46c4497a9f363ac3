//! Durations on the command line.

use std::str::FromStr;
use std::time::Duration;

/// A duration as people write it: `90s`, `5m`, `1h 30m`. More than nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected a duration like 90s, 5m or 1h".to_owned();
        let duration: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
        let duration = Duration::try_from(duration).map_err(|_| wrong())?;
        if duration.is_zero() {
            Err(wrong())
        } else {
            Ok(Self(duration))
        }
    }
}
