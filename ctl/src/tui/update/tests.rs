use std::borrow::Cow;

use crossterm::event::KeyCode;
use ticket_admin::{Counts, EventView};

use super::super::context::Context;
use super::super::reading::{Answer, Reading, Topic};
use super::*;

fn noon() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn event(at: usize) -> EventView {
    EventView {
        event: format!("default.event-{at:04}"),
        event_id: String::new(),
        title: format!("Event {at}"),
        sale: "on_sale".to_owned(),
        opens_at: noon(),
        closes_at: None,
        paused: false,
        epoch: 1,
        armed_epoch: Some(1),
        topic: String::new(),
        partitions: 1,
        max_per_buyer: 4,
        admission_per_second: 0,
        hold_for_s: 600,
        processing_for_s: 600,
        stock: Counts {
            capacity: 10,
            available: 10,
            held: 0,
            sold: 0,
        },
        categories: Vec::new(),
    }
}

fn events(count: usize) -> Message {
    Message::Mail(Mail {
        readings: vec![Reading {
            topic: Topic::Events,
            at: noon(),
            result: Ok(Answer::Events((0..count).map(event).collect())),
        }],
        ..Mail::default()
    })
}

fn state(count: usize) -> State {
    let mut state = State::new(Context::default(), Place::Events, None, noon());
    update(&mut state, events(count), noon());
    state
}

fn press(state: &mut State, key: Key) -> Effect {
    update(state, Message::Key(key), noon())
}

fn line(state: &State) -> usize {
    state.list().unwrap().index
}

#[test]
fn the_cursor_moves_by_rows_pages_and_ends_and_never_leaves_the_list() {
    let mut state = state(1_000);
    let page = layout::list_lines(&state);
    for (key, expected) in [
        (Key::char('k'), 0),
        (Key::char('j'), 1),
        (Key::of(KeyCode::PageDown), 1 + page),
        (Key::char('G'), 999),
        (Key::char('j'), 999),
        (Key::of(KeyCode::PageUp), 999 - page),
        (Key::char('g'), 0),
    ] {
        press(&mut state, key);
        assert_eq!(line(&state), expected, "{key}");
        let list = state.list().unwrap();
        assert!(
            list.top <= list.index && list.index < list.top + page,
            "{key}"
        );
    }
    // With fewer rows the cursor stays on one that is there.
    press(&mut state, Key::char('G'));
    update(&mut state, events(3), noon());
    assert_eq!(line(&state), 2);
    update(&mut state, events(0), noon());
    assert_eq!(state.list().unwrap().cursor, None);
    assert_eq!(press(&mut state, Key::of(KeyCode::Enter)), Effect::Nothing);
    assert_eq!(*state.screen(), Screen::Events);
}

#[test]
fn a_terminal_of_any_size_keeps_the_cursor_in_sight() {
    let mut state = state(1_000);
    press(&mut state, Key::char('G'));
    for (columns, lines) in [(80, 24), (0, 0), (250, 80), (60, 14), (1, 1), (80, 24)] {
        update(&mut state, Message::Resize(columns, lines), noon());
        let list = state.list().unwrap();
        assert_eq!(list.index, 999);
        assert!(list.top <= 999 && 999 < list.top + layout::list_lines(&state));
    }
}

#[test]
fn every_action_can_be_asked_for_in_every_view_and_with_nothing_known() {
    for screen in Screen::one_of_each() {
        for binding in keymap::bindings(&screen) {
            let mut state = State::new(Context::default(), Place::Events, None, noon());
            state.can_write = true;
            state.stack = vec![Open::new(screen.clone())];
            let effect = press(&mut state, binding.keys[0]);
            let expected = if binding.action == Action::Quit {
                Effect::Quit
            } else {
                Effect::Nothing
            };
            assert_eq!(effect, expected, "{binding:?} in {screen:?}");
            assert!(!state.stack.is_empty());
        }
    }
}

#[test]
fn the_only_event_is_chosen_and_one_of_several_is_not() {
    assert_eq!(state(1).event.as_deref(), Some("default.event-0000"));
    assert_eq!(state(2).event, None);
}

#[test]
fn back_goes_to_the_events_and_not_out() {
    let mut state = state(1);
    for key in ['6', '3', '2'] {
        press(&mut state, Key::char(key));
        assert_eq!(state.stack.len(), 1);
        assert_ne!(*state.screen(), Screen::Events);
        assert_eq!(press(&mut state, Key::of(KeyCode::Esc)), Effect::Nothing);
        assert_eq!(*state.screen(), Screen::Events);
    }
    assert_eq!(press(&mut state, Key::of(KeyCode::Esc)), Effect::Nothing);
    assert_eq!(*state.screen(), Screen::Events);
}

#[test]
fn choosing_another_event_forgets_what_is_known_of_the_first() {
    let mut state = state(2);
    press(&mut state, Key::of(KeyCode::Enter));
    assert_eq!(state.event.as_deref(), Some("default.event-0000"));
    state.page = Page {
        cursor: Some("x".to_owned()),
        before: 1,
    };
    state.choose("default.event-0000");
    assert_eq!(state.page.before, 1, "the same event is no change");
    state.choose("default.event-0001");
    assert_eq!(state.page, Page::default());
    assert!(state.data.stock.value.is_none());
}

#[test]
fn words_are_fresh_for_a_while() {
    let mut state = state(1);
    press(&mut state, Key::ctrl('r'));
    assert_eq!(state.round, 1);
    assert!(state.fresh_words().is_some());
    let later = noon() + jiff::SignedDuration::from_secs(super::super::state::WORDS_FOR_S);
    update(&mut state, Message::Tick, later);
    assert!(state.fresh_words().is_none());
}

#[test]
fn the_help_scrolls_and_closes() {
    let mut state = state(1);
    press(&mut state, Key::char('?'));
    press(&mut state, Key::char('j'));
    assert!(matches!(state.mode, Mode::Help(1)));
    press(&mut state, Key::char('k'));
    press(&mut state, Key::of(KeyCode::Up));
    assert!(matches!(state.mode, Mode::Help(0)));
    press(&mut state, Key::of(KeyCode::Esc));
    assert!(matches!(state.mode, Mode::Normal));
    assert_eq!(*state.screen(), Screen::Events);
}

#[test]
fn keys_of_the_keymap_are_letters_while_something_is_typed() {
    let mut state = state(3);
    press(&mut state, Key::char('/'));
    for letter in "quit".chars() {
        assert_eq!(press(&mut state, Key::char(letter)), Effect::Nothing);
    }
    assert_eq!(state.list().unwrap().filter, "quit");
    let rows: Vec<Cow<'_, str>> = screens::grid(&state)
        .rows
        .into_iter()
        .map(|row| row.key)
        .collect();
    assert!(rows.is_empty(), "{rows:?}");
    press(&mut state, Key::of(KeyCode::Esc));
    assert_eq!(state.list().unwrap().filter, "");
}
