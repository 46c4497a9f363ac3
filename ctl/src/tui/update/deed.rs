//! What changes something: allowed only with `--write` and the role `manager`, and only after the event's name was typed.

use crossterm::event::KeyCode;
use tui_input::Input;

use super::super::action::{Action, Deed};
use super::super::key::Key;
use super::super::mailbox::COMMANDS_MAX;
use super::super::reading::Command;
use super::super::screens::Screen;
use super::super::state::{Confirm, Mode, State};
use super::Effect;
use super::typing::{is_escape, request};

/// The role that changes something.
const MANAGER: &str = "manager";

/// Asks for the event's name, or says why that would be in vain.
pub(super) fn begin(state: &mut State, deed: Deed) {
    let what = Action::Do(deed).help();
    if !state.can_write {
        state.complain(format!(
            "{what}: this is read-only; start with: ticketctl tui --write"
        ));
        return;
    }
    match state
        .data
        .access
        .value
        .as_ref()
        .map(|access| access.role.clone())
    {
        None => {
            state.complain(format!(
                "{what}: your role is not known, the admin API did not answer yet"
            ));
            return;
        }
        Some(role) if role != MANAGER => {
            state.complain(format!(
                "{what} needs a token with the role {MANAGER}; yours has {role}"
            ));
            return;
        }
        Some(_) => {}
    }
    if state.under_way.len() >= COMMANDS_MAX {
        state.complain(format!(
            "{what}: {COMMANDS_MAX} commands are under way, wait for one of them"
        ));
        return;
    }
    match command(state, deed) {
        Ok(command) => {
            let name = short(&command.event).to_owned();
            state.mode = Mode::Confirm(Confirm {
                command,
                name,
                input: Input::default(),
            });
        }
        Err(why) => state.complain(format!("{what}: {why}")),
    }
}

/// What the deed would be done to.
fn command(state: &State, deed: Deed) -> Result<Command, String> {
    let is_on_order = matches!(deed, Deed::Cancel | Deed::Refund);
    if !is_on_order {
        let event = state.event.clone().ok_or("no event is chosen")?;
        return Ok(Command {
            deed,
            event,
            order: None,
        });
    }
    let order = match state.screen() {
        Screen::Order { id } => state.data.order.value.as_ref().filter(|it| it.id == *id),
        Screen::Orders { .. } => {
            let id = state.list().and_then(|list| list.cursor.as_deref());
            let orders = state.data.orders.value.as_ref();
            orders.and_then(|page| page.items.iter().find(|it| Some(it.id.as_str()) == id))
        }
        Screen::Events
        | Screen::Categories
        | Screen::StockShards { .. }
        | Screen::Shards
        | Screen::Warmup
        | Screen::Lag => None,
    };
    let order = order.ok_or("no order is under the cursor")?;
    Ok(Command {
        deed,
        event: order.event.clone(),
        order: Some(order.id.clone()),
    })
}

/// The event's name without its namespace, as for `--confirm`.
fn short(event: &str) -> &str {
    event.split_once('.').map_or(event, |(_, name)| name)
}

/// A key while the event's name is typed.
pub(super) fn confirm(state: &mut State, key: Key, mut confirm: Confirm) -> Effect {
    if is_escape(key) {
        state.say("nothing was done");
        return Effect::Nothing;
    }
    if key == Key::of(KeyCode::Enter) {
        if confirm.input.value() != confirm.name {
            let typed = confirm.input.value();
            state.complain(format!(
                "{typed:?} is not {:?}: nothing was done",
                confirm.name
            ));
            return Effect::Nothing;
        }
        state.words = None;
        state.under_way.push(confirm.command.clone());
        return Effect::Send(confirm.command);
    }
    if let Some(request) = request(key, &confirm.input) {
        confirm.input.handle(request);
    }
    state.mode = Mode::Confirm(confirm);
    Effect::Nothing
}
