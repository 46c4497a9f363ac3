//! Which line belongs to what.

use ratatui::layout::Rect;

use super::super::screens;
use super::super::state::State;

/// Columns and lines without which nothing sensible can be shown.
pub(super) const SIZE_MIN: (u16, u16) = (60, 14);

/// Lines that a list keeps for itself and its headings, however long the lines above it are.
const LIST_LINES_MIN: u16 = 4;

/// Lines for what there is to say: what went wrong and what to do next seldom fit on one.
const WORDS_LINES: u16 = 2;

/// Where everything is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts {
    /// Where we are.
    pub(super) bar: Rect,
    /// The view.
    pub(super) title: Rect,
    /// Lines above the rows.
    pub(super) header: Rect,
    /// Headings and rows.
    pub(super) list: Rect,
    /// What there is to say.
    pub(super) words: Rect,
    /// Keys, or what is being typed.
    pub(super) hints: Rect,
}

impl Parts {
    /// Everything between title and words.
    pub(super) const fn middle(&self) -> Rect {
        Rect {
            x: self.header.x,
            y: self.header.y,
            width: self.header.width,
            height: self.header.height + self.list.height,
        }
    }
}

pub(super) const fn is_too_small(area: Rect) -> bool {
    area.width < SIZE_MIN.0 || area.height < SIZE_MIN.1
}

/// `area` is not too small.
pub(super) fn parts(area: Rect, header_lines: usize, has_list: bool) -> Parts {
    let line = |y: u16| Rect::new(area.x, area.y + y, area.width, 1).intersection(area);
    let below = area.height.saturating_sub(1 + WORDS_LINES);
    let middle = below.saturating_sub(2);
    let header_max = if has_list {
        middle.saturating_sub(LIST_LINES_MIN)
    } else {
        middle
    };
    let header = u16::try_from(header_lines)
        .unwrap_or(u16::MAX)
        .min(header_max);
    Parts {
        bar: line(0),
        title: line(1),
        header: Rect::new(area.x, area.y + 2, area.width, header).intersection(area),
        list: Rect::new(area.x, area.y + 2 + header, area.width, middle - header)
            .intersection(area),
        words: Rect::new(area.x, area.y + below, area.width, WORDS_LINES).intersection(area),
        hints: line(below + WORDS_LINES),
    }
}

/// Rows that are visible at once.
pub(in crate::tui) fn list_lines(state: &State) -> usize {
    let area = Rect::new(0, 0, state.size.0, state.size.1);
    if is_too_small(area) {
        return 1;
    }
    let header = screens::header(state).len();
    let parts = parts(area, header, !state.screen().columns().is_empty());
    usize::from(parts.list.height.saturating_sub(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_belongs_to_one_part() {
        for (width, height) in [(80, 24), (250, 80), SIZE_MIN] {
            for header in [0, 3, 500] {
                for has_list in [false, true] {
                    let area = Rect::new(0, 0, width, height);
                    let parts = parts(area, header, has_list);
                    let lines = [
                        parts.bar,
                        parts.title,
                        parts.header,
                        parts.list,
                        parts.words,
                        parts.hints,
                    ];
                    let mut next = 0;
                    for part in lines {
                        assert_eq!(part.y, next, "{parts:?}");
                        next += part.height;
                    }
                    assert_eq!(next, height);
                    assert!(!has_list || parts.list.height >= LIST_LINES_MIN);
                }
            }
        }
    }
}
