//! Columns for people: aligned, no frames, nothing behind the last character, so that it can be cut and searched.

use std::fmt;

use comfy_table::TableStyle;

/// Blanks between two columns.
const GAP: u16 = 3;

/// A table with a header line.
#[derive(Debug)]
pub(crate) struct Table {
    inner: comfy_table::Table,
}

impl Table {
    pub(crate) fn new(header: &[&str]) -> Self {
        let mut inner = comfy_table::Table::new();
        inner.load_style(TableStyle::new());
        inner.set_header(header);
        Self { inner }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        // An empty cell would make a line that programs cannot split.
        let cells: Vec<String> = cells
            .into_iter()
            .map(|cell| {
                if cell.is_empty() {
                    "-".to_owned()
                } else {
                    cell
                }
            })
            .collect();
        self.inner.add_row(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = self.inner.clone();
        for column in table.column_iter_mut() {
            column.set_padding((0, GAP));
        }
        f.write_str(&table.trim_fmt())
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
}
