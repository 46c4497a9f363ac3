//! What changes something: allowed only with `--write` and whoever may, and only after a yes; what hurts wants a name typed.

use crossterm::event::KeyCode;
use tui_input::Input;

use super::super::action::{Action, Deed, Right};
use super::super::key::Key;
use super::super::mailbox::COMMANDS_MAX;
use super::super::reading::{Command, Target};
use super::super::screens::{Screen, rebalance};
use super::super::state::{Confirm, Mode, State};
use super::Effect;
use super::typing::{is_escape, request};

/// The role that changes something in the admin API.
const MANAGER: &str = "manager";

/// Asks for a yes, or says why that would be in vain.
pub(super) fn begin(state: &mut State, deed: Deed) {
    let what = Action::Do(deed).help();
    let command = allowed(state, deed).and_then(|()| {
        Ok(Command {
            deed,
            target: target(state, deed)?,
        })
    });
    match command {
        Ok(command) => {
            state.mode = Mode::Confirm(Confirm {
                command,
                input: Input::default(),
            });
        }
        Err(why) => state.complain(format!("{what}: {why}")),
    }
}

fn allowed(state: &State, deed: Deed) -> Result<(), String> {
    if !state.can_write {
        return Err("this is read-only; start with: ticketctl tui --write".to_owned());
    }
    // What Kubernetes allows only its API server knows.
    if deed.right() == Right::Manager {
        let access = state.data.access.value.as_ref();
        let role = access.map(|access| access.role.as_str());
        let role = role.ok_or("your role is not known, the admin API did not answer yet")?;
        if role != MANAGER {
            return Err(format!(
                "it needs a token with the role {MANAGER}; yours has {role}"
            ));
        }
    }
    if state.under_way.len() >= COMMANDS_MAX {
        return Err(format!(
            "{COMMANDS_MAX} commands are under way, wait for one of them"
        ));
    }
    Ok(())
}

/// What the deed would be done to.
fn target(state: &State, deed: Deed) -> Result<Target, String> {
    let event = || state.event.clone().ok_or("no event is chosen");
    Ok(match deed {
        Deed::RunWarmup | Deed::Lock | Deed::Unlock | Deed::BreakLock => Target::Event(event()?),
        Deed::Cancel | Deed::Refund => order(state).ok_or("no order is under the cursor")?,
        Deed::PlanBalance => Target::Ledger,
        Deed::PlanDrain => Target::Node(node(state).ok_or("no node is under the cursor")?),
        Deed::PlanPin => Target::Pin {
            event: event()?,
            node: node(state).ok_or("no node is under the cursor")?,
        },
        Deed::Approve | Deed::Stop | Deed::Resume => {
            rebalance_seen(state).ok_or("no rebalance is under the cursor")?
        }
    })
}

fn cursor(state: &State) -> Option<&str> {
    state.list()?.cursor.as_deref()
}

fn order(state: &State) -> Option<Target> {
    let order = if let Screen::Order { id } = state.screen() {
        let order = state.data.order.value.as_ref();
        order.filter(|it| it.id == *id)
    } else {
        let orders = state.data.orders.value.as_ref()?;
        let id = cursor(state)?;
        orders.items.iter().find(|it| it.id == id)
    }?;
    Some(Target::Order {
        id: order.id.clone(),
        event: order.event.clone(),
    })
}

/// The node of the Citus shard under the cursor.
fn node(state: &State) -> Option<String> {
    let shards = state.data.shards.value.as_ref()?;
    let id: i64 = cursor(state)?.parse().ok()?;
    let shard = shards.shards.iter().find(|it| it.citus_shard == id)?;
    Some(shard.node.clone())
}

fn rebalance_seen(state: &State) -> Option<Target> {
    let name = match state.screen() {
        Screen::Rebalance { name } => name,
        Screen::Rebalances => cursor(state)?,
        Screen::Events
        | Screen::Categories
        | Screen::StockShards { .. }
        | Screen::Shards
        | Screen::Warmup
        | Screen::Orders { .. }
        | Screen::Order { .. }
        | Screen::Lag => return None,
    };
    let seen = rebalance(state, name)?;
    Some(Target::Rebalance {
        name: seen.name.clone(),
        version: seen.version.clone(),
    })
}

/// A key while a yes is waited for.
pub(super) fn confirm(state: &mut State, key: Key, mut confirm: Confirm) -> Effect {
    if is_escape(key) {
        state.say("nothing was done");
        return Effect::Nothing;
    }
    let does_hurt = confirm.command.deed.does_hurt();
    if key == Key::of(KeyCode::Enter) {
        let (_, name) = confirm.command.target.typed();
        let typed = confirm.input.value();
        if does_hurt && typed != name {
            state.complain(format!("{typed:?} is not {name:?}: nothing was done"));
            return Effect::Nothing;
        }
        state.words = None;
        state.under_way.push(confirm.command.clone());
        return Effect::Send(confirm.command);
    }
    if let Some(request) = request(key, &confirm.input)
        && does_hurt
    {
        confirm.input.handle(request);
    }
    state.mode = Mode::Confirm(confirm);
    Effect::Nothing
}
