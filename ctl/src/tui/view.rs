//! Draws the state. Nothing here changes anything: the same state gives the same screen.

mod bar;
mod confirm;
mod help;
mod hints;
pub(super) mod layout;
pub(super) mod spark;
mod table;

use ratatui::Frame;
use ratatui::layout::{Alignment, Rect};
use ratatui::text::Line;
use ratatui::widgets::{Clear, Paragraph, Wrap};

use super::grid::Grid;
use super::screens;
use super::state::{Mode, State};

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, state: &State) {
    let area = frame.area();
    if layout::is_too_small(area) {
        too_small(frame, area);
        return;
    }
    let header = screens::header(state);
    let parts = layout::parts(area, header.len(), !state.screen().columns().is_empty());
    let grid = screens::grid(state);
    bar::draw(frame, parts.bar, state);
    title(frame, parts.title, state, &grid);
    frame.render_widget(Paragraph::new(header), parts.header);
    if grid.rows.is_empty() {
        let lines = nothing(state, &grid);
        let lines = Paragraph::new(lines).wrap(Wrap { trim: true });
        frame.render_widget(lines, parts.list);
    } else {
        table::draw(frame.buffer_mut(), parts.list, &grid, state);
    }
    hints::words(frame, parts.words, state);
    hints::draw(frame, parts.hints, state);
    match &state.mode {
        Mode::Help(top) => help::draw(frame, parts.middle(), state, *top),
        Mode::Confirm(confirm) => confirm::draw(frame, parts.middle(), state, confirm),
        Mode::Normal | Mode::Filter(_) | Mode::Palette(_) => {}
    }
}

/// The whole screen, since nothing else would fit.
fn too_small(frame: &mut Frame<'_>, area: Rect) {
    let (columns, lines) = layout::SIZE_MIN;
    let text = [
        format!("{}x{} is too small", area.width, area.height),
        format!("needs {columns}x{lines}"),
        "q quits".to_owned(),
    ];
    let lines: Vec<Line<'_>> = text.into_iter().map(Line::from).collect();
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).alignment(Alignment::Center), area);
}

/// The views that led here, how many rows there are, and what was done to them.
fn title(frame: &mut Frame<'_>, area: Rect, state: &State, grid: &Grid<'_>) {
    let names: Vec<String> = state.stack.iter().map(|open| open.screen.title()).collect();
    let mut text = names.join(" > ");
    if !grid.columns.is_empty() {
        let (shown, all) = (grid.rows.len(), grid.total);
        let count = if shown == all {
            format!(" ({all})")
        } else {
            format!(" ({shown} of {all})")
        };
        text += &count;
    }
    if let Some(list) = state.list() {
        if !list.filter.is_empty() {
            text += "  filter: ";
            text += &list.filter;
        }
        if let Some(sort) = list.sort
            && let Some(column) = grid.columns.get(sort.column)
        {
            let way = if sort.is_descending { "down" } else { "up" };
            text.extend(["  sorted: ", column.title, " ", way]);
        }
    }
    frame.render_widget(Line::styled(text, state.theme.title()), area);
}

/// Why there is no row.
fn nothing(state: &State, grid: &Grid<'_>) -> Vec<Line<'static>> {
    let screen = state.screen();
    let topic = screen.topic();
    let (at, trouble) = state.data.standing(topic);
    let mut lines = Vec::new();
    match (at, trouble) {
        (None, None) => {
            let seconds = state.now.duration_since(state.started_at).as_secs();
            lines.push(Line::raw(format!(
                "asking for {} ({} s) ...",
                topic.name(),
                seconds.max(0)
            )));
        }
        (None, Some(trouble)) => {
            lines.push(Line::styled(
                format!("no {} yet: {}", topic.name(), trouble.what),
                state.theme.bad(),
            ));
            let next = trouble.next.clone();
            lines.extend(next.map(|next| Line::raw(format!("next: {next}"))));
            lines.push(Line::raw("asking again by itself; ctrl-r asks at once"));
        }
        (Some(_), _) if screen.columns().is_empty() => {}
        (Some(_), _) if grid.total > 0 => {
            lines.push(Line::raw("no row contains the filter; esc clears it"));
        }
        (Some(_), _) => lines.push(Line::raw("nothing here")),
    }
    lines
}
