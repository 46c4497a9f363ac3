//! The last two lines: what there is to say, and what keys do or what is being typed.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};
use tui_input::Input;

use super::super::action::Action;
use super::super::keymap;
use super::super::state::{Mode, Palette, State};

/// Commands that a palette shows at once.
const OFFERS_MAX: usize = 8;

/// What there is to say, the most urgent first.
pub(super) fn words(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let line = if let Mode::Palette(palette) = &state.mode {
        offers(state, palette)
    } else if let Some(words) = state.fresh_words() {
        let style = if words.is_bad {
            state.theme.bad()
        } else {
            state.theme.ok()
        };
        Line::styled(words.text.clone(), style)
    } else if let Some(command) = state.under_way.first() {
        Line::styled(format!("{command}: under way ..."), state.theme.warn())
    } else {
        trouble(state)
    };
    frame.render_widget(Paragraph::new(line).wrap(Wrap { trim: true }), area);
}

/// What is not reachable.
fn trouble(state: &State) -> Line<'static> {
    let (at, trouble) = state.data.standing(state.screen().topic());
    if let (Some(_), Some(trouble)) = (at, trouble) {
        let text = format!("these numbers are old: {}", trouble.what);
        return Line::styled(text, state.theme.bad());
    }
    if let Some(trouble) = &state.data.access.trouble {
        return Line::styled(
            format!("not reachable: {}", trouble.what),
            state.theme.bad(),
        );
    }
    let access = state.data.access.value.as_ref();
    let down: Vec<String> = access.map_or_else(Vec::new, |access| {
        let down = access.items.iter().filter(|item| !item.ok);
        down.map(|item| format!("{}: {}", item.name, item.detail))
            .collect()
    });
    if down.is_empty() {
        return Line::default();
    }
    Line::styled(format!("DOWN: {}", down.join("; ")), state.theme.bad())
}

fn offers(state: &State, palette: &Palette) -> Line<'static> {
    let offers = state.offers(palette.input.value());
    if offers.is_empty() {
        return Line::styled("no such command", state.theme.bad());
    }
    let first = palette.choice.saturating_sub(OFFERS_MAX - 1);
    let shown = offers.iter().enumerate().skip(first).take(OFFERS_MAX);
    let mut spans = Vec::new();
    for (at, (name, _)) in shown {
        let style = if at == palette.choice {
            state.theme.cursor()
        } else {
            state.theme.dim()
        };
        spans.push(Span::styled(format!(" {name} "), style));
    }
    Line::from(spans)
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State) {
    match &state.mode {
        Mode::Filter(input) => prompt(frame, area, "/", input),
        Mode::Palette(palette) => prompt(frame, area, ":", &palette.input),
        Mode::Confirm(_) => keys(
            frame,
            area,
            state,
            &[("enter", "do it"), ("esc", "do nothing")],
        ),
        Mode::Help(_) => keys(
            frame,
            area,
            state,
            &[("up down", "scroll"), ("esc", "close")],
        ),
        Mode::Normal => {
            let hints: Vec<(String, &str)> = keymap::bindings(state.screen())
                .filter(|binding| binding.is_hint)
                .filter(|binding| is_useful(binding.action, state))
                .filter_map(|binding| {
                    Some((binding.keys.first()?.to_string(), binding.action.help()))
                })
                .collect();
            let hints: Vec<(&str, &str)> = hints
                .iter()
                .map(|(key, help)| (key.as_str(), *help))
                .collect();
            keys(frame, area, state, &hints);
        }
    }
}

/// A key that would only be refused is not offered; the help lists it all the same.
const fn is_useful(action: Action, state: &State) -> bool {
    !matches!(action, Action::Do(_)) || state.can_write
}

/// As many as fit whole.
fn keys(frame: &mut Frame<'_>, area: Rect, state: &State, hints: &[(&str, &str)]) {
    let mut spans = Vec::new();
    let mut used = 0;
    for (key, help) in hints {
        let width = key.len() + help.len() + 3;
        if used + width > usize::from(area.width) + 2 {
            break;
        }
        used += width;
        spans.push(Span::styled((*key).to_owned(), state.theme.key()));
        spans.push(Span::raw(format!(" {help}  ")));
    }
    frame.render_widget(Line::from(spans), area);
}

/// The end of what was typed, with the terminal's own cursor.
fn prompt(frame: &mut Frame<'_>, area: Rect, sign: &str, input: &Input) {
    let room = usize::from(area.width.saturating_sub(2));
    let scroll = input.visual_scroll(room);
    let shown: String = input.value().chars().skip(scroll).collect();
    frame.render_widget(Line::raw(format!("{sign}{shown}")), area);
    let x = input.visual_cursor().saturating_sub(scroll) + sign.len();
    let x = area.x.saturating_add(u16::try_from(x).unwrap_or(u16::MAX));
    frame.set_cursor_position(Position::new(x.min(area.right().saturating_sub(1)), area.y));
}
