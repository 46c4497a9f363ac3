//! Where somebody is in a list. The cursor belongs to what it is on, not to a line: rows that move take it along.

use super::grid::Grid;

/// The order of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// Which column.
    pub column: usize,
    /// Largest first.
    pub is_descending: bool,
}

/// Where somebody is in a list.
#[derive(Debug, Clone, Default)]
pub struct ListState {
    /// Key of the row under the cursor; `None` as long as there are no rows.
    pub cursor: Option<String>,
    /// Its line among all shown rows.
    pub index: usize,
    /// The first visible line.
    pub top: usize,
    /// Only rows that contain this.
    pub filter: String,
    /// `None`: in the order of the admin API.
    pub sort: Option<Sort>,
}

impl ListState {
    /// Moves the cursor to a line, as far as there is one.
    pub(super) fn go(&mut self, line: usize, grid: &Grid<'_>) {
        self.index = line.min(grid.rows.len().saturating_sub(1));
        self.cursor = grid.rows.get(self.index).map(|row| row.key.to_string());
    }

    /// After rows have changed: finds the cursor's row again (else stays on the line) and keeps it within the `height` visible
    /// lines.
    pub(super) fn settle(&mut self, grid: &Grid<'_>, height: usize) {
        let found = self.cursor.as_deref().and_then(|key| grid.position(key));
        self.go(found.unwrap_or(self.index), grid);
        let lowest_top = (self.index + 1).saturating_sub(height.max(1));
        let highest_top = self.index.min(grid.rows.len().saturating_sub(height));
        self.top = self.top.clamp(lowest_top, highest_top.max(lowest_top));
    }

    /// The same column again turns the order round. Words begin with the first, numbers with the largest.
    pub(super) fn sort_by(&mut self, column: usize, grid: &Grid<'_>) {
        let is_descending = match self.sort {
            Some(sort) if sort.column == column => !sort.is_descending,
            Some(_) | None => {
                let first = grid.rows.iter().filter_map(|row| row.values.get(column));
                first.into_iter().any(super::grid::Value::is_right)
            }
        };
        self.sort = Some(Sort {
            column,
            is_descending,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::grid::{Column, Mark, Row, Value, column};
    use super::*;

    static COLUMNS: [Column; 1] = [column("NAME", 'N')];

    fn grid(names: &[usize]) -> Grid<'static> {
        let row = |name: &usize| Row {
            key: Cow::Owned(name.to_string()),
            values: vec![Value::text(name.to_string())],
            mark: Mark::Plain,
        };
        Grid::new(&COLUMNS, names.iter().map(row).collect())
    }

    #[test]
    fn the_cursor_goes_with_its_row_and_stays_in_sight() {
        let mut list = ListState::default();
        let names: Vec<usize> = (0..100).collect();
        list.settle(&grid(&names), 10);
        assert_eq!(list.cursor.as_deref(), Some("0"));
        list.go(50, &grid(&names));
        list.settle(&grid(&names), 10);
        assert_eq!((list.index, list.top), (50, 41));
        // Everything above goes: the cursor stays on its row.
        list.settle(&grid(&names[45..]), 10);
        assert_eq!(
            (list.index, list.top, list.cursor.as_deref()),
            (5, 5, Some("50"))
        );
        // Its row goes: the cursor stays on its line.
        list.settle(&grid(&[7, 8]), 10);
        assert_eq!(
            (list.index, list.top, list.cursor.as_deref()),
            (1, 0, Some("8"))
        );
        list.settle(&grid(&[]), 10);
        assert_eq!((list.index, list.top, list.cursor), (0, 0, None));
    }

    #[test]
    fn a_page_that_shrinks_keeps_the_cursor_in_sight() {
        let names: Vec<usize> = (0..100).collect();
        let mut list = ListState::default();
        list.go(20, &grid(&names));
        for height in [0, 1, 5, 200] {
            list.settle(&grid(&names), height);
            assert!(list.top <= list.index, "{height}");
            assert!(height == 0 || list.index < list.top + height, "{height}");
        }
    }
}
