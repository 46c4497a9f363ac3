//! Rows and columns of a list, before anybody decides how they look: filtering and sorting work on values, and only what is
//! visible is turned into text, so that thousands of rows cost little.

use std::borrow::Cow;
use std::cmp::Ordering;

use jiff::Timestamp;
use ticket_admin::Counts;

use super::list::Sort;
use crate::output::age;

/// A column of a list.
#[derive(Debug)]
pub struct Column {
    /// Its heading.
    pub title: &'static str,
    /// The letter that sorts by it.
    pub sort: Option<char>,
    /// How much it matters: 0 is never left out, the highest goes first where the terminal is narrow.
    pub rank: u8,
    /// It takes what is left over.
    pub does_grow: bool,
}

/// A column that is always there.
pub(super) const fn column(title: &'static str, sort: char) -> Column {
    ranked(title, sort, 0)
}

/// A column that is left out where there is no room.
pub(super) const fn ranked(title: &'static str, sort: char, rank: u8) -> Column {
    Column {
        title,
        sort: Some(sort),
        rank,
        does_grow: false,
    }
}

/// A picture: takes what is left over, and sorts nothing.
pub(super) const fn picture(title: &'static str, rank: u8) -> Column {
    Column {
        title,
        sort: None,
        rank,
        does_grow: true,
    }
}

/// A cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// A word; the filter looks at it.
    Text(Cow<'a, str>),
    /// A number.
    Number(i64),
    /// An identifier: a number that the filter looks at.
    Id(i64),
    /// Units per second.
    Rate(f64),
    /// Not known.
    Unknown,
    /// Memory or disk.
    Bytes(i64),
    /// How long ago.
    Age(Timestamp),
    /// So many seconds.
    Seconds(i64),
    /// Parts of a whole as a bar.
    Bar(Counts),
    /// Values over time, oldest first.
    Spark(Cow<'a, [u64]>),
}

impl<'a> Value<'a> {
    pub(super) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn number(value: Option<i64>) -> Self {
        value.map_or(Self::Unknown, Self::Number)
    }

    /// Numbers stand at the right.
    #[must_use]
    pub const fn is_right(&self) -> bool {
        match self {
            Self::Number(_)
            | Self::Id(_)
            | Self::Rate(_)
            | Self::Bytes(_)
            | Self::Age(_)
            | Self::Seconds(_)
            | Self::Unknown => true,
            Self::Text(_) | Self::Bar(_) | Self::Spark(_) => false,
        }
    }

    /// As text; of a picture none.
    #[must_use]
    pub fn shown(&self, now: Timestamp) -> Cow<'_, str> {
        match self {
            Self::Text(text) if text.is_empty() => Cow::Borrowed("-"),
            Self::Text(text) => Cow::Borrowed(text),
            Self::Number(number) | Self::Id(number) => Cow::Owned(number.to_string()),
            Self::Rate(rate) => Cow::Owned(format!("{rate:.1}")),
            Self::Unknown => Cow::Borrowed("-"),
            Self::Bytes(bytes) => Cow::Owned(binary(*bytes)),
            Self::Age(since) => Cow::Owned(age(*since, now)),
            Self::Seconds(seconds) => Cow::Owned(span(*seconds)),
            Self::Bar(_) | Self::Spark(_) => Cow::Borrowed(""),
        }
    }

    fn contains(&self, wanted: &str) -> bool {
        match self {
            Self::Text(text) => contains_ignoring_case(text, wanted),
            Self::Id(id) => id.to_string().contains(wanted),
            Self::Number(_)
            | Self::Rate(_)
            | Self::Unknown
            | Self::Bytes(_)
            | Self::Age(_)
            | Self::Seconds(_)
            | Self::Bar(_)
            | Self::Spark(_) => false,
        }
    }

    /// What is not known comes last in both directions; see [`Grid::sort`].
    const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }

    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(one), Self::Text(two)) => one.cmp(two),
            (Self::Number(one), Self::Number(two))
            | (Self::Id(one), Self::Id(two))
            | (Self::Bytes(one), Self::Bytes(two))
            | (Self::Seconds(one), Self::Seconds(two)) => one.cmp(two),
            (Self::Rate(one), Self::Rate(two)) => one.total_cmp(two),
            // The youngest age is the latest time.
            (Self::Age(one), Self::Age(two)) => two.cmp(one),
            // Pictures order nothing, and a column holds values of one kind.
            (
                Self::Text(_)
                | Self::Number(_)
                | Self::Id(_)
                | Self::Rate(_)
                | Self::Unknown
                | Self::Bytes(_)
                | Self::Age(_)
                | Self::Seconds(_)
                | Self::Bar(_)
                | Self::Spark(_),
                _,
            ) => Ordering::Equal,
        }
    }
}

/// How a row stands out; its words say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mark {
    /// As any.
    #[default]
    Plain,
    /// Nothing happens here any more.
    Dim,
    /// Worth a look.
    Warn,
    /// Not as it should be.
    Bad,
}

/// A row.
#[derive(Debug, Clone)]
pub struct Row<'a> {
    /// What it is about; the cursor stays on it when rows move.
    pub key: Cow<'a, str>,
    /// One for each column.
    pub values: Vec<Value<'a>>,
    /// How it stands out.
    pub mark: Mark,
}

/// The rows of a view.
#[derive(Debug)]
pub struct Grid<'a> {
    /// Headings.
    pub columns: &'static [Column],
    /// In the order in which they are shown.
    pub rows: Vec<Row<'a>>,
    /// Rows before the filter.
    pub total: usize,
}

impl<'a> Grid<'a> {
    pub(super) fn new(columns: &'static [Column], rows: Vec<Row<'a>>) -> Self {
        let total = rows.len();
        Self {
            columns,
            rows,
            total,
        }
    }

    /// Keeps rows that contain `text`, whatever its case. Nothing keeps all.
    pub(super) fn filter(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let wanted = text.to_lowercase();
        self.rows
            .retain(|row| row.values.iter().any(|value| value.contains(&wanted)));
    }

    /// Orders the rows; equal ones stay as they were.
    pub(super) fn sort(&mut self, sort: Sort) {
        self.rows.sort_by(|one, two| {
            let (Some(one), Some(two)) = (one.values.get(sort.column), two.values.get(sort.column))
            else {
                return Ordering::Equal;
            };
            match (one.is_unknown(), two.is_unknown()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) if sort.is_descending => two.compare(one),
                (false, false) => one.compare(two),
            }
        });
    }

    /// Where the row with this key is.
    #[must_use]
    pub fn position(&self, key: &str) -> Option<usize> {
        self.rows.iter().position(|row| row.key == key)
    }
}

/// `wanted` is lower case already.
fn contains_ignoring_case(text: &str, wanted: &str) -> bool {
    if text.is_ascii() && wanted.is_ascii() {
        let (text, wanted) = (text.as_bytes(), wanted.as_bytes());
        return text
            .windows(wanted.len())
            .any(|part| part.eq_ignore_ascii_case(wanted));
    }
    text.to_lowercase().contains(wanted)
}

/// `17 B`, `3.2 MiB`.
pub(super) fn binary(bytes: i64) -> String {
    const STEP: f64 = 1024.0;
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if bytes.unsigned_abs() < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let mut value = bytes as f64 / STEP;
    let mut unit = 0;
    while value.abs() >= STEP && unit + 1 < units.len() {
        value /= STEP;
        unit += 1;
    }
    format!("{value:.1} {}", units.get(unit).unwrap_or(&""))
}

/// `45s`, `12m 5s`, `3h 20m`, `4d 2h`.
pub(super) fn span(seconds: i64) -> String {
    let (small, large) = match seconds {
        ..60 => return format!("{seconds}s"),
        60..3_600 => (format!("{}s", seconds % 60), format!("{}m", seconds / 60)),
        3_600..86_400 => (
            format!("{}m", seconds % 3_600 / 60),
            format!("{}h", seconds / 3_600),
        ),
        86_400.. => (
            format!("{}h", seconds % 86_400 / 3_600),
            format!("{}d", seconds / 86_400),
        ),
    };
    format!("{large} {small}")
}

#[cfg(test)]
mod tests {
    use super::*;

    static COLUMNS: [Column; 2] = [column("NAME", 'N'), column("SOLD", 'S')];

    fn grid() -> Grid<'static> {
        let row = |name: &'static str, sold| Row {
            key: Cow::Borrowed(name),
            values: vec![Value::text(name), Value::number(sold)],
            mark: Mark::Plain,
        };
        let rows = vec![
            row("vip", Some(5)),
            row("Standing", None),
            row("balcony", Some(9)),
        ];
        Grid::new(&COLUMNS, rows)
    }

    fn keys(grid: &Grid<'_>) -> Vec<String> {
        grid.rows.iter().map(|row| row.key.to_string()).collect()
    }

    #[test]
    fn what_is_not_known_is_last_whichever_way_rows_are_sorted() {
        for (is_descending, expected) in [
            (false, ["vip", "balcony", "Standing"]),
            (true, ["balcony", "vip", "Standing"]),
        ] {
            let mut grid = grid();
            let column = 1;
            grid.sort(Sort {
                column,
                is_descending,
            });
            assert_eq!(keys(&grid), expected);
        }
    }

    #[test]
    fn a_filter_looks_at_words_and_not_at_numbers() {
        let mut words = grid();
        words.filter("STAND");
        assert_eq!(
            (keys(&words), words.total),
            (vec!["Standing".to_owned()], 3)
        );
        let mut numbers = grid();
        numbers.filter("5");
        assert!(numbers.rows.is_empty());
        assert!(contains_ignoring_case("Ärzte", "ärz"));
    }

    #[test]
    fn amounts_read_as_people_say_them() {
        assert_eq!(binary(17), "17 B");
        assert_eq!(binary(3 * 1024 * 1024 + 200_000), "3.2 MiB");
        assert_eq!(span(59), "59s");
        assert_eq!(span(725), "12m 5s");
        assert_eq!(span(12_000), "3h 20m");
        assert_eq!(span(354_000), "4d 2h");
    }
}
