//! Times as people read them.

use jiff::{SignedDuration, Timestamp};

/// How long ago `since` was: `12s`, `5m`, `3h`, `9d`. A time to come is `0s`.
pub(crate) fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now
        .duration_since(since)
        .max(SignedDuration::ZERO)
        .as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Time of day in UTC, to the second.
pub(crate) fn short_time(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_grows_with_the_age() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (seconds, text) in [
            (-5, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (7_200, "2h"),
            (200_000, "2d"),
        ] {
            assert_eq!(age(at(0), at(seconds)), text);
        }
        assert_eq!(short_time(at(3_661)), "01:01:01");
    }
}
