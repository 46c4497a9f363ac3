//! Columns for people: aligned, no frames, nothing behind the last character, so that it can be cut and searched.

use std::collections::HashSet;
use std::fmt;

use comfy_table::{ColumnConstraint, TableStyle, Width};

/// Blanks between two columns.
const GAP: u16 = 3;

/// The column that changes by itself: whoever watches wants to know what happens, and that time goes by they know.
const AGE: &str = "AGE";

/// A table with a header line.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(header: &[&str]) -> Self {
        Self {
            header: header.iter().map(|&name| name.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        // An empty cell would make a line that programs cannot split.
        let cells = cells.into_iter().map(|cell| {
            if cell.is_empty() {
                "-".to_owned()
            } else {
                cell
            }
        });
        self.rows.push(cells.collect());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Numbers of the rows that `before` does not have; an age alone makes no difference.
    pub(crate) fn news(&self, before: &Self) -> Vec<usize> {
        let known: HashSet<Vec<&str>> = before.rows.iter().map(|row| before.lasting(row)).collect();
        let rows = self.rows.iter().enumerate();
        rows.filter(|(_, row)| !known.contains(&self.lasting(row)))
            .map(|(number, _)| number)
            .collect()
    }

    fn lasting<'a>(&self, row: &'a [String]) -> Vec<&'a str> {
        let cells = self.header.iter().zip(row);
        cells
            .filter(|(name, _)| *name != AGE)
            .map(|(_, cell)| cell.as_str())
            .collect()
    }

    /// The same table with these rows only.
    pub(crate) fn only(&self, numbers: &[usize]) -> Self {
        let rows = numbers.iter().filter_map(|&number| self.rows.get(number));
        Self {
            header: self.header.clone(),
            rows: rows.cloned().collect(),
        }
    }

    /// As text, with or without the header. `widths`: what each column has at least; afterwards what it has.
    pub(super) fn text(&self, has_header: bool, widths: &mut Vec<u16>) -> String {
        let mut drawn = comfy_table::Table::new();
        drawn.load_style(TableStyle::new());
        if has_header {
            drawn.set_header(&self.header);
        }
        drawn.add_rows(&self.rows);
        let needed = drawn.column_max_content_widths();
        widths.resize(needed.len(), 0);
        for (width, needed) in widths.iter_mut().zip(needed) {
            *width = needed.max(*width);
        }
        for (column, width) in drawn.column_iter_mut().zip(widths) {
            column.set_padding((0, GAP));
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(*width + GAP)));
        }
        drawn.trim_fmt()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(true, &mut Vec::new()))
    }
}

/// A number that may not be known.
pub(crate) fn known<T: fmt::Display>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_lines_end_with_their_last_character() {
        let mut table = Table::new(&["NAME", "SOLD"]);
        table.row(["standing".to_owned(), known(Some(7))]);
        table.row(["vip".to_owned(), known::<i64>(None)]);
        table.row([String::new(), "1".to_owned()]);
        assert_eq!(
            table.to_string(),
            "NAME       SOLD\nstanding   7\nvip        -\n-          1"
        );
    }

    #[test]
    fn an_age_alone_is_no_news() {
        let table = |rows: [[&str; 3]; 2]| {
            let mut table = Table::new(&["ORDER", "STATE", "AGE"]);
            for row in rows {
                table.row(row.map(str::to_owned));
            }
            table
        };
        let before = table([["a", "reserved", "1s"], ["b", "reserved", "1s"]]);
        let now = table([["a", "reserved", "2s"], ["b", "paid", "2s"]]);
        assert_eq!(now.news(&before), [1]);
        assert_eq!(
            now.only(&[1]).to_string(),
            "ORDER   STATE   AGE\nb       paid    2s"
        );
        assert_eq!(before.news(&before), [0; 0]);
    }
}
