//! All keys of the view, read from the keymap.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

use super::super::action::Action;
use super::super::key::Key;
use super::super::keymap;
use super::super::state::State;

/// Cells for the keys of a line.
const KEYS_CELLS: usize = 18;

/// Cells of a column of the help.
const COLUMN_CELLS: u16 = 38;

/// A line: keys and what they do.
type Entry = (String, String);

fn entries(state: &State) -> Vec<Entry> {
    let screen = state.screen();
    let mut entries: Vec<Entry> = keymap::bindings(screen)
        .map(|binding| {
            let keys: Vec<String> = binding.keys.iter().map(Key::to_string).collect();
            (keys.join(" "), help(binding.action))
        })
        .collect();
    for column in screen.columns() {
        if let Some(letter) = column.sort {
            entries.push((
                Key::char(letter).to_string(),
                format!("sort by {}", column.title),
            ));
        }
    }
    entries
}

fn help(action: Action) -> String {
    if matches!(action, Action::Do(_)) {
        return format!("{} *", action.help());
    }
    action.help().to_owned()
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, top: u16) {
    let block = Block::bordered().title(format!(
        " keys of {}   * needs --write and a role that may ",
        state.screen().title()
    ));
    let inner = block.inner(area);
    frame.render_widget(Clear, area);
    frame.render_widget(block, area);
    let columns = usize::from((inner.width / COLUMN_CELLS).max(1));
    let entries = entries(state);
    let height = entries.len().div_ceil(columns);
    let lines: Vec<Line<'_>> = (0..height)
        .map(|line| {
            let mut spans = Vec::new();
            for column in 0..columns {
                let Some((keys, help)) = entries.get(column * height + line) else {
                    continue;
                };
                let width = usize::from(COLUMN_CELLS) - KEYS_CELLS - 1;
                spans.push(Span::styled(
                    format!("{keys:<KEYS_CELLS$} "),
                    state.theme.key(),
                ));
                spans.push(Span::raw(format!("{help:<width$}")));
            }
            Line::from(spans)
        })
        .collect();
    let last = u16::try_from(height)
        .unwrap_or(u16::MAX)
        .saturating_sub(inner.height);
    frame.render_widget(Paragraph::new(lines).scroll((top.min(last), 0)), inner);
}
