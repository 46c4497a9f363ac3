//! The question before a deed.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};

use super::super::state::{Confirm, State};

/// Cells of the box, with its frame.
const BOX_CELLS: u16 = 72;

/// Lines of the box, with its frame.
const BOX_LINES: u16 = 8;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, confirm: &Confirm) {
    let width = BOX_CELLS.min(area.width);
    let height = BOX_LINES.min(area.height);
    let place = Rect::new(
        area.x + (area.width - width) / 2,
        area.y + (area.height - height) / 2,
        width,
        height,
    );
    let title = if state.context.is_production() {
        format!(" !! PRODUCTION: {} !! ", state.context.shown())
    } else {
        format!(" {} ", state.context.shown())
    };
    let block = Block::bordered().title(Span::styled(title, state.theme.bad()));
    let inner = block.inner(place);
    frame.render_widget(Clear, place);
    frame.render_widget(block, place);
    let command = &confirm.command;
    let mut lines = vec![
        Line::styled(format!("{command}?"), state.theme.title()),
        Line::raw(command.deed.consequence()),
        Line::default(),
    ];
    if !command.deed.does_hurt() {
        lines.push(Line::raw("press enter to do it, esc to leave it"));
        frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), inner);
        return;
    }
    let (noun, name) = command.target.typed();
    lines.push(Line::from(vec![
        Span::raw(format!("type the {noun}'s name, ")),
        Span::styled(name.to_owned(), state.theme.key()),
        Span::raw(", and press enter:"),
    ]));
    let lines_used = u16::try_from(lines.len()).unwrap_or(0);
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), inner);
    let line = Rect::new(inner.x, inner.y + lines_used + 1, inner.width, 1).intersection(inner);
    frame.render_widget(Line::raw(format!("> {}", confirm.input.value())), line);
    let x = u16::try_from(confirm.input.visual_cursor() + 2).unwrap_or(u16::MAX);
    let x = line.x.saturating_add(x).min(line.right().saturating_sub(1));
    if !line.is_empty() {
        frame.set_cursor_position(Position::new(x, line.y));
    }
}
