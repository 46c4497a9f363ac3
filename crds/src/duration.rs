//! Durations as people write them in a spec: one number and one unit, `90s`, `10m`, `24h`. The same text is understood
//! by the `duration()` of the API server's rules, which is why there are no days.

use std::borrow::Cow;
use std::fmt;

use jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What the API server accepts.
const PATTERN: &str = "^[1-9][0-9]{0,5}(s|m|h)$";
/// Longest text, characters.
const CHARS_MAX: usize = 7;
const DIGITS_MAX: usize = 6;

/// A duration as it stands in a spec. Kept as text, so that it reads back as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DurationText(pub String);

/// The text is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a number without leading zero and one of s, m, h, for example 10m")]
pub struct InvalidDuration;

impl DurationText {
    /// The value. At least one second.
    ///
    /// # Errors
    /// [`InvalidDuration`] unless the text fits [`PATTERN`].
    pub fn parse(&self) -> Result<SignedDuration, InvalidDuration> {
        let unit = self.0.chars().last().ok_or(InvalidDuration)?;
        let digits = self.0.strip_suffix(unit).ok_or(InvalidDuration)?;
        let is_number = !digits.is_empty()
            && digits.len() <= DIGITS_MAX
            && !digits.starts_with('0')
            && digits.bytes().all(|b| b.is_ascii_digit());
        if !is_number {
            return Err(InvalidDuration);
        }
        let number: i64 = digits.parse().map_err(|_| InvalidDuration)?;
        let seconds_per_unit = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            _ => return Err(InvalidDuration),
        };
        Ok(SignedDuration::from_secs(number * seconds_per_unit))
    }
}

impl From<&str> for DurationText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for DurationText {
    fn schema_name() -> Cow<'static, str> {
        "DurationText".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": PATTERN, "maxLength": CHARS_MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_and_one_unit() {
        for (text, seconds) in [("1s", 1), ("90s", 90), ("10m", 600), ("24h", 86_400)] {
            assert_eq!(
                DurationText::from(text).parse(),
                Ok(SignedDuration::from_secs(seconds))
            );
        }
        for text in [
            "", "s", "0s", "010s", "10", "1d", "1h30m", "-1s", "+1s", "1.5h", "1000000s", "1é",
        ] {
            assert_eq!(
                DurationText::from(text).parse(),
                Err(InvalidDuration),
                "{text}"
            );
        }
    }
}
