//! The first line: which cluster, which event, which role, who holds the lock, how old the numbers are.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::super::state::{STALE_AFTER_S, State};
use crate::output::short_time;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let style = state.theme.bar(state.context.is_production());
    let right = age(state);
    let right_width = u16::try_from(Span::raw(right.as_str()).width()).unwrap_or(0);
    let left_width = area.width.saturating_sub(right_width + 1);
    let left = left(state, usize::from(left_width));
    frame.render_widget(Paragraph::new("").style(style), area);
    frame
        .buffer_mut()
        .set_stringn(area.x, area.y, left, usize::from(left_width), style);
    let place = Rect {
        x: area.right().saturating_sub(right_width),
        width: right_width,
        ..area
    };
    frame.render_widget(Line::styled(right, style), place.intersection(area));
}

/// What fits, the least important cut away at the end of the context's name.
fn left(state: &State, width: usize) -> String {
    let mut parts = Vec::new();
    parts.push(state.event.clone().unwrap_or_else(|| "no event".to_owned()));
    parts.push(role(state));
    if state.event.is_some() {
        parts.push(lock(state));
    }
    let rest = parts.join(" | ");
    let mut context = state.context.shown();
    let mark = if state.context.is_production() {
        "!! PRODUCTION "
    } else {
        ""
    };
    let used = mark.len() + Span::raw(rest.as_str()).width() + 5;
    let room = width.saturating_sub(used).max(8);
    if context.chars().count() > room {
        context = context.chars().take(room.saturating_sub(2)).collect();
        context.push_str("..");
    }
    format!(" {mark}{context} | {rest}")
}

fn role(state: &State) -> String {
    let role = state.data.access.value.as_ref().map(|it| it.role.as_str());
    let write = if state.can_write {
        "WRITE"
    } else {
        "read-only"
    };
    format!("{} {write}", role.unwrap_or("role ?"))
}

fn lock(state: &State) -> String {
    match &state.data.warmup.value {
        None => "lock ?".to_owned(),
        Some(warmup) => match &warmup.lock {
            None => "no lock".to_owned(),
            Some(lock) => format!("LOCKED by {}", lock.holder),
        },
    }
}

fn age(state: &State) -> String {
    if let Some(since) = state.frozen_at {
        return format!("FROZEN at {} ", short_time(since));
    }
    match state.age_s() {
        None => "no data yet ".to_owned(),
        Some(age) if age > STALE_AFTER_S => format!("STALE {} ", super::super::grid::span(age)),
        Some(age) => format!("{age}s old "),
    }
}
