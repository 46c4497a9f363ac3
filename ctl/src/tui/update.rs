//! What a message does to the state. Nothing here waits or asks: what has to be done outside comes back as an [`Effect`].

mod deed;
mod readings;
mod typing;

use jiff::Timestamp;

use super::action::{Action, Place};
use super::grid::Grid;
use super::key::Key;
use super::keymap;
use super::list::ListState;
use super::mailbox::Mail;
use super::reading::Command;
use super::screens::{self, Screen};
use super::state::{Mode, Open, Page, Palette, State};
use super::view::layout;

/// Something happened.
#[derive(Debug)]
pub enum Message {
    /// A key was pressed.
    Key(Key),
    /// The terminal has another size: columns, lines.
    Resize(u16, u16),
    /// Time went by.
    Tick,
    /// The background tasks brought something.
    Mail(Mail),
}

/// What has to be done outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Nothing,
    /// The end.
    Quit,
    /// This is to be carried out.
    Send(Command),
}

/// Carries `message` out.
pub fn update(state: &mut State, message: Message, now: Timestamp) -> Effect {
    state.now = now;
    let effect = match message {
        Message::Key(key) => press(state, key),
        Message::Resize(columns, lines) => {
            state.size = (columns, lines);
            Effect::Nothing
        }
        Message::Tick => Effect::Nothing,
        Message::Mail(mail) => {
            readings::take(state, mail);
            Effect::Nothing
        }
    };
    state.settle();
    effect
}

fn press(state: &mut State, key: Key) -> Effect {
    match std::mem::take(&mut state.mode) {
        Mode::Normal => match keymap::action_of(key, state.screen()) {
            Some(action) => act(state, action),
            None => Effect::Nothing,
        },
        Mode::Filter(input) => typing::filter(state, key, input),
        Mode::Palette(palette) => typing::palette(state, key, palette),
        Mode::Confirm(confirm) => deed::confirm(state, key, confirm),
        Mode::Help(top) => typing::help(state, key, top),
    }
}

/// Does what a key or a command of the palette means.
fn act(state: &mut State, action: Action) -> Effect {
    match action {
        Action::Quit => return Effect::Quit,
        Action::Back => back(state),
        Action::Details => details(state),
        Action::Up => step(state, |line, _| line.saturating_sub(1)),
        Action::Down => step(state, |line, _| line + 1),
        Action::PageUp => step(state, usize::saturating_sub),
        Action::PageDown => step(state, |line, page| line + page),
        Action::Top => step(state, |_, _| 0),
        Action::Bottom => step(state, |_, _| usize::MAX),
        Action::Help => state.mode = Mode::Help(0),
        Action::Palette => state.mode = Mode::Palette(Palette::default()),
        Action::Filter => {
            let filter = state.list().map(|list| list.filter.clone());
            state.mode = Mode::Filter(filter.unwrap_or_default().into());
        }
        Action::Freeze => freeze(state),
        Action::Refresh => {
            state.round += 1;
            state.say("asking for everything again");
        }
        Action::NextPage => next_page(state),
        Action::FirstPage => turn_to(state, Page::default()),
        Action::Show(place) => show(state, place),
        Action::SortBy(column) => on_list(state, |list, grid| list.sort_by(column, grid)),
        Action::Do(deed) => deed::begin(state, deed),
    }
    Effect::Nothing
}

/// Changes where somebody is in the list that is seen.
fn on_list(state: &mut State, change: impl FnOnce(&mut ListState, &Grid<'_>)) {
    let Some(mut list) = state.list().cloned() else {
        return;
    };
    change(&mut list, &screens::grid(state));
    if let Some(place) = state.list_mut() {
        *place = list;
    }
}

/// `to` gets the line and the length of a page.
fn step(state: &mut State, to: impl FnOnce(usize, usize) -> usize) {
    let page = layout::list_lines(state);
    on_list(state, |list, grid| list.go(to(list.index, page), grid));
}

/// The filter first, then the view; the first view leads to the events, and there is nothing before them.
fn back(state: &mut State) {
    if let Some(list) = state.list_mut()
        && !list.filter.is_empty()
    {
        list.filter.clear();
        return;
    }
    if state.stack.len() > 1 {
        state.stack.pop();
    } else if *state.screen() != Screen::Events {
        state.stack = vec![Open::new(Screen::Events)];
    }
}

fn details(state: &mut State) {
    let Some(key) = state.list().and_then(|list| list.cursor.clone()) else {
        return;
    };
    let next = match state.screen() {
        Screen::Events => {
            state.choose(&key);
            Screen::Categories
        }
        Screen::Categories => Screen::StockShards { category: key },
        Screen::StockShards { .. } => {
            state.page = Page::default();
            Screen::Orders {
                stock_shard: key.parse().ok(),
            }
        }
        Screen::Orders { .. } => {
            let is_known = state
                .data
                .order
                .value
                .as_ref()
                .is_some_and(|it| it.id == key);
            if !is_known {
                state.data.order = super::state::Seen::default();
            }
            Screen::Order { id: key }
        }
        Screen::Rebalances => Screen::Rebalance { name: key },
        Screen::Shards
        | Screen::Warmup
        | Screen::Order { .. }
        | Screen::Lag
        | Screen::Rebalance { .. } => return,
    };
    open(state, next);
}

fn open(state: &mut State, screen: Screen) {
    state.stack.push(Open::new(screen));
}

/// Goes to a view. What is about an event begins with choosing one.
fn show(state: &mut State, place: Place) {
    if place.needs_event() && state.event.is_none() {
        state.stack = vec![Open::new(Screen::Events)];
        state.complain(format!(
            "choose an event first: {} is about one",
            place.name()
        ));
        return;
    }
    if place == Place::Orders {
        state.page = Page::default();
    }
    state.stack = vec![Open::new(Screen::of(place))];
}

fn freeze(state: &mut State) {
    if state.frozen_at.take().is_some() {
        state.round += 1;
        state.say("live again");
    } else {
        state.frozen_at = Some(state.now);
    }
}

fn next_page(state: &mut State) {
    let orders = state.data.orders.value.as_ref();
    match orders.and_then(|orders| orders.next_cursor.clone()) {
        Some(cursor) => {
            let before = state.page.before + 1;
            turn_to(
                state,
                Page {
                    cursor: Some(cursor),
                    before,
                },
            );
        }
        None => state.complain("this is the last page"),
    }
}

fn turn_to(state: &mut State, page: Page) {
    if state.page != page {
        state.page = page;
        state.data.orders = super::state::Seen::default();
    }
}

#[cfg(test)]
mod tests;
