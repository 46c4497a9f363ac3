//! Rows and headings. Only what is visible is measured and turned into text.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Span;

use super::super::grid::{Column, Grid, Row, Value};
use super::super::state::State;
use super::spark;

/// Blanks between two columns.
const GAP: u16 = 2;

/// Widest column of words, cells: longer words are cut.
const COLUMN_CELLS_MAX: u16 = 52;

/// Cells that the first column keeps when it is cut to make room: enough to tell two orders apart.
const NAME_CELLS_MIN: u16 = 24;

/// Stands at the end of what was cut.
const CUT: &str = "..";

/// Narrowest picture that says something, cells.
const PICTURE_CELLS_MIN: u16 = 20;

/// Widest picture that still reads well, cells.
const PICTURE_CELLS_MAX: u16 = 60;

/// A column that has room.
#[derive(Debug, Clone, Copy)]
struct Slot {
    column: usize,
    width: u16,
}

pub(super) fn draw(buffer: &mut Buffer, area: Rect, grid: &Grid<'_>, state: &State) {
    let Some(list) = state.list() else { return };
    let lines = usize::from(area.height.saturating_sub(1));
    let first = list.top.min(grid.rows.len());
    let end = (first + lines).min(grid.rows.len());
    let Some(rows) = grid.rows.get(first..end) else {
        return;
    };
    let slots = slots(area.width, grid, rows, state);
    heading(buffer, area, grid, &slots, state);
    for (line, row) in (0u16..).zip(rows) {
        let y = area.y + 1 + line;
        let place = Rect::new(area.x, y, area.width, 1).intersection(area);
        let style = state.theme.mark(row.mark);
        draw_row(buffer, place, row, &slots, style, state);
        if first + usize::from(line) == list.index {
            buffer.set_style(place, state.theme.cursor());
        }
    }
}

/// The columns that fit, with their widths. Those of the highest rank go first, and the first column is cut before the last
/// one goes.
fn slots(width: u16, grid: &Grid<'_>, rows: &[Row<'_>], state: &State) -> Vec<Slot> {
    let mut slots: Vec<Slot> = (0..grid.columns.len())
        .map(|column| Slot {
            column,
            width: natural_width(column, grid, rows, state),
        })
        .collect();
    let rank = |slot: &Slot| grid.columns.get(slot.column).map_or(0, |it| it.rank);
    while total(&slots) > width {
        let over = total(&slots) - width;
        if let Some(first) = slots.first_mut()
            && over <= first.width.saturating_sub(NAME_CELLS_MIN)
        {
            first.width -= over;
            break;
        }
        let Some(highest) = slots.iter().map(rank).max().filter(|rank| *rank > 0) else {
            break;
        };
        slots.retain(|slot| rank(slot) < highest);
    }
    // What is left over goes to the pictures.
    let does_grow = |slot: &&mut Slot| grid.columns.get(slot.column).is_some_and(|it| it.does_grow);
    let mut rest = width.saturating_sub(total(&slots));
    for slot in slots.iter_mut().filter(does_grow) {
        let more = rest.min(PICTURE_CELLS_MAX - slot.width);
        slot.width += more;
        rest -= more;
    }
    slots
}

fn total(slots: &[Slot]) -> u16 {
    let gaps = u16::try_from(slots.len().saturating_sub(1)).unwrap_or(u16::MAX);
    slots.iter().fold(gaps.saturating_mul(GAP), |sum, slot| {
        sum.saturating_add(slot.width)
    })
}

fn natural_width(column: usize, grid: &Grid<'_>, rows: &[Row<'_>], state: &State) -> u16 {
    let Some(Column {
        title, does_grow, ..
    }) = grid.columns.get(column)
    else {
        return 0;
    };
    if *does_grow {
        return PICTURE_CELLS_MIN;
    }
    let values = rows.iter().filter_map(|row| row.values.get(column));
    let widest = values
        .map(|value| Span::raw(value.shown(state.now)).width())
        .max();
    let widest = u16::try_from(widest.unwrap_or(0)).unwrap_or(u16::MAX);
    let title = u16::try_from(title.len()).unwrap_or(u16::MAX);
    widest.max(title).min(COLUMN_CELLS_MAX)
}

fn heading(buffer: &mut Buffer, area: Rect, grid: &Grid<'_>, slots: &[Slot], state: &State) {
    let mut x = area.x;
    for slot in slots {
        if let Some(column) = grid.columns.get(slot.column) {
            let values = grid
                .rows
                .first()
                .and_then(|row| row.values.get(slot.column));
            let is_right = values.is_some_and(Value::is_right);
            put(
                buffer,
                area,
                (x, area.y),
                slot.width,
                column.title,
                is_right,
                state.theme.heading(),
            );
        }
        x = x.saturating_add(slot.width + GAP);
    }
}

fn draw_row(
    buffer: &mut Buffer,
    place: Rect,
    row: &Row<'_>,
    slots: &[Slot],
    style: Style,
    state: &State,
) {
    let mut x = place.x;
    for slot in slots {
        match row.values.get(slot.column) {
            Some(Value::Bar(counts)) => {
                let mut at = x;
                for span in spark::bar(counts, usize::from(slot.width), state.theme.stock()) {
                    let width = u16::try_from(span.width()).unwrap_or(u16::MAX);
                    put(
                        buffer,
                        place,
                        (at, place.y),
                        width,
                        &span.content,
                        false,
                        span.style,
                    );
                    at = at.saturating_add(width);
                }
            }
            Some(Value::Spark(values)) => {
                let text = spark::line(values, usize::from(slot.width));
                put(
                    buffer,
                    place,
                    (x, place.y),
                    slot.width,
                    &text,
                    false,
                    state.theme.ok(),
                );
            }
            Some(value) => {
                let text = value.shown(state.now);
                put(
                    buffer,
                    place,
                    (x, place.y),
                    slot.width,
                    &text,
                    value.is_right(),
                    style,
                );
            }
            None => {}
        }
        x = x.saturating_add(slot.width + GAP);
    }
}

/// Writes `text` into `width` cells, cut where it is longer, and never outside of `area`.
fn put(
    buffer: &mut Buffer,
    area: Rect,
    (x, y): (u16, u16),
    width: u16,
    text: &str,
    is_right: bool,
    style: Style,
) {
    if x >= area.right() || y >= area.bottom() {
        return;
    }
    let room = width.min(area.right() - x);
    let long = u16::try_from(Span::raw(text).width()).unwrap_or(u16::MAX);
    let cut = u16::try_from(CUT.len()).unwrap_or(u16::MAX);
    if long > room && room > cut {
        buffer.set_stringn(x, y, text, usize::from(room - cut), style);
        buffer.set_stringn(x + room - cut, y, CUT, CUT.len(), style);
        return;
    }
    let indent = if is_right {
        room.saturating_sub(long)
    } else {
        0
    };
    buffer.set_stringn(x + indent, y, text, usize::from(room - indent), style);
}
