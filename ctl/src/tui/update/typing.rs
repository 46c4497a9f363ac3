//! Keys while something is being typed, or while the help is open.

use crossterm::event::KeyCode;
use tui_input::{Input, InputRequest};

use super::super::action::{Action, Place};
use super::super::key::Key;
use super::super::keymap;
use super::super::state::{Mode, Palette, State};
use super::{Effect, act};

/// Longest text that can be typed, characters: longer than any name of an event, a buyer or an order.
const TYPED_CHARS_MAX: usize = 256;

/// Lines that the help can be scrolled by: more than it has keys.
const HELP_LINES_MAX: u16 = 64;

/// What a key does to a text; `None` when it is not about the text.
pub(super) fn request(key: Key, input: &Input) -> Option<InputRequest> {
    match (key.code, key.is_ctrl) {
        (KeyCode::Char(letter), false) => {
            let has_room = input.value().chars().count() < TYPED_CHARS_MAX;
            has_room.then_some(InputRequest::InsertChar(letter))
        }
        (KeyCode::Backspace, false) => Some(InputRequest::DeletePrevChar),
        (KeyCode::Delete, false) => Some(InputRequest::DeleteNextChar),
        (KeyCode::Left, false) => Some(InputRequest::GoToPrevChar),
        (KeyCode::Right, false) => Some(InputRequest::GoToNextChar),
        (KeyCode::Home, false) | (KeyCode::Char('a'), true) => Some(InputRequest::GoToStart),
        (KeyCode::End, false) | (KeyCode::Char('e'), true) => Some(InputRequest::GoToEnd),
        (KeyCode::Char('w'), true) => Some(InputRequest::DeletePrevWord),
        (KeyCode::Char('u'), true) => Some(InputRequest::DeleteLine),
        _ => None,
    }
}

/// The end of typing, without doing anything.
pub(super) fn is_escape(key: Key) -> bool {
    key == Key::of(KeyCode::Esc) || key == Key::ctrl('c')
}

/// Rows are filtered while the text is typed; escape brings them all back.
pub(super) fn filter(state: &mut State, key: Key, mut input: Input) -> Effect {
    let is_over = if is_escape(key) {
        input.reset();
        true
    } else {
        if let Some(request) = request(key, &input) {
            input.handle(request);
        }
        key == Key::of(KeyCode::Enter)
    };
    if let Some(list) = state.list_mut() {
        input.value().clone_into(&mut list.filter);
    }
    if !is_over {
        state.mode = Mode::Filter(input);
    }
    Effect::Nothing
}

pub(super) fn palette(state: &mut State, key: Key, mut palette: Palette) -> Effect {
    if is_escape(key) {
        return Effect::Nothing;
    }
    let offers = state.offers(palette.input.value());
    let chosen = offers.get(palette.choice).copied();
    if key == Key::of(KeyCode::Enter) {
        return run(state, palette.input.value(), chosen);
    }
    if key == Key::of(KeyCode::Tab) {
        if let Some((name, _)) = chosen {
            palette = Palette {
                input: format!("{name} ").into(),
                choice: 0,
            };
        }
    } else if key == Key::of(KeyCode::Down) || key == Key::ctrl('n') {
        palette.choice = (palette.choice + 1).min(offers.len().saturating_sub(1));
    } else if key == Key::of(KeyCode::Up) || key == Key::ctrl('p') {
        palette.choice = palette.choice.saturating_sub(1);
    } else if let Some(request) = request(key, &palette.input) {
        palette.input.handle(request);
        palette.choice = 0;
    }
    state.mode = Mode::Palette(palette);
    Effect::Nothing
}

/// `stock demo`: a view may be followed by the event that it is about.
fn run(state: &mut State, typed: &str, chosen: Option<(&'static str, Action)>) -> Effect {
    let mut words = typed.split_whitespace();
    let word = words.next().unwrap_or_default();
    let Some((_, action)) = chosen else {
        state.complain(format!(
            "no command is called {word:?}; ? shows what there is"
        ));
        return Effect::Nothing;
    };
    let Some(event) = words.next() else {
        return act(state, action);
    };
    if !matches!(action, Action::Show(place) if place.needs_event()) {
        state.complain(format!("{word} takes no {event:?}"));
        return Effect::Nothing;
    }
    let name = if event.contains('.') {
        event.to_owned()
    } else {
        format!("{}.{event}", state.context.namespace)
    };
    let events = state.data.events.value.as_deref().unwrap_or_default();
    if !events.is_empty() && !events.iter().any(|it| it.event == name) {
        state.complain(format!(
            "no event is called {name}; :{} shows all",
            Place::Events.name()
        ));
        return Effect::Nothing;
    }
    state.choose(&name);
    act(state, action)
}

/// The help scrolls; any other key closes it.
pub(super) fn help(state: &mut State, key: Key, top: u16) -> Effect {
    let action = keymap::action_of(key, state.screen());
    if action == Some(Action::Up) || key.code == KeyCode::Up {
        state.mode = Mode::Help(top.saturating_sub(1));
    } else if action == Some(Action::Down) || key.code == KeyCode::Down {
        state.mode = Mode::Help((top + 1).min(HELP_LINES_MAX));
    }
    Effect::Nothing
}
