//! A table whose lines come one after the other while somebody watches: one header, and columns that stay where they are.

use super::Table;

/// What of a growing table is on the screen already.
#[derive(Debug, Default)]
pub(crate) struct Growing {
    /// A cell that is wider than its column makes it wider from then on: what will come cannot be known before.
    widths: Vec<u16>,
    has_header: bool,
}

impl Growing {
    /// The rows of `table` as the next lines, the header before the first of all; empty when there are none.
    pub(crate) fn lines(&mut self, table: &Table) -> String {
        if table.is_empty() {
            return String::new();
        }
        let has_header = std::mem::replace(&mut self.has_header, true);
        table.text(!has_header, &mut self.widths)
    }

    /// Other lines came in between: the next ones need the header again.
    pub(crate) fn interrupt(&mut self) {
        self.has_header = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[[&str; 2]]) -> Table {
        let mut table = Table::new(&["TOPIC", "LAG"]);
        for row in rows {
            table.row(row.map(str::to_owned));
        }
        table
    }

    #[test]
    fn columns_stay_where_they_are_and_only_ever_grow() {
        let mut growing = Growing::default();
        let mut lines = vec![growing.lines(&table(&[]))];
        for rows in [
            &[["orders.demo", "7"], ["facts", "0"]][..],
            &[["facts", "3"]],
            &[["orders.default.demo", "1"]],
            &[["facts", "0"]],
        ] {
            lines.push(growing.lines(&table(rows)));
        }
        growing.interrupt();
        lines.push(growing.lines(&table(&[["facts", "9"]])));
        insta::assert_snapshot!(lines.join("\n").trim_start(), @r"
        TOPIC         LAG
        orders.demo   7
        facts         0
        facts         3
        orders.default.demo   1
        facts                 0
        TOPIC                 LAG
        facts                 9
        ");
    }
}
