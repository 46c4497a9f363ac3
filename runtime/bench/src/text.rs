//! Numbers and tables as people read them.

use std::time::Duration;

/// `12345` as `12,345`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three digits and a unit: `1.23 ms`, `12.3 s`.
#[must_use]
pub fn short(duration: Duration) -> String {
    let (value, unit) = match duration.as_micros() {
        0..1_000 => return format!("{} us", duration.as_micros()),
        1_000..1_000_000 => (duration.as_secs_f64() * 1_000.0, "ms"),
        _ => (duration.as_secs_f64(), "s"),
    };
    let decimals = match value {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {unit}")
}

/// Per second, as a whole number. 0 over no time.
#[must_use]
pub fn per_second(count: u64, over: Duration) -> u64 {
    let us = over.as_micros().max(1);
    u64::try_from(u128::from(count) * 1_000_000 / us).unwrap_or(u64::MAX)
}

/// How a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows as lines of aligned columns, each line indented by two.
#[must_use]
pub fn table(columns: &[Align], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::from(" ");
        for ((cell, align), width) in row.iter().zip(columns).zip(&widths) {
            line.push(' ');
            line.push_str(&padded(cell, *align, *width));
            line.push(' ');
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn padded(cell: &str, align: Align, width: usize) -> String {
    match align {
        Align::Left => format!("{cell:<width$}"),
        Align::Right => format!("{cell:>width$}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        let texts = [0, 999, 1_000, 12_345, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "12,345", "1,234,567"]);
    }

    #[test]
    fn durations_have_three_digits_and_a_unit() {
        let texts = [37, 1_234, 12_345, 123_456, 1_234_567, 61_000_000]
            .map(|us| short(Duration::from_micros(us)));
        assert_eq!(
            texts,
            ["37 us", "1.23 ms", "12.3 ms", "123 ms", "1.23 s", "61.0 s"]
        );
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [
            vec!["a".into(), "1".into()],
            vec!["long".into(), "1,000".into()],
        ];
        assert_eq!(
            table(&[Align::Left, Align::Right], &rows),
            "  a         1\n  long  1,000\n"
        );
    }
}
