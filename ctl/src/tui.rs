//! `ticketctl tui`: the cockpit of a sale. State, update and view are apart; the background tasks bring readings through a
//! mailbox and take commands from a queue, and the loop never waits for them. It is public for tests and benchmarks.

pub mod action;
pub mod context;
pub mod event_loop;
mod feed;
pub mod grid;
pub mod key;
pub mod keymap;
pub mod list;
pub mod mailbox;
pub mod rates;
pub mod reading;
pub mod screens;
pub mod state;
mod terminal;
pub mod theme;
pub mod update;
pub mod view;
pub mod wanted;

use std::io::IsTerminal;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use self::action::Place;
use self::event_loop::Desk;
use self::mailbox::{COMMANDS_MAX, Mailbox};
use self::state::State;
use self::theme::Theme;
use self::wanted::Wanted;
use crate::cli;
use crate::clients::Clients;
use crate::commands::Ended;
use crate::exit::{Exit, Failure};

/// Opens the cockpit and stays until somebody quits.
pub(crate) async fn run(flags: &cli::Tui, clients: Clients) -> Ended {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        let missing = anyhow::anyhow!("the cockpit needs a terminal");
        return Err(Failure::new(Exit::Usage, missing).or_next(
            "every view has a command: events list, stock, shards list, warmup status, orders list, lag",
        ));
    }
    let event = match &flags.event {
        Some(event) => Some(clients.event_name(event).await?),
        None => None,
    };
    let place = flags.view.unwrap_or(match event {
        Some(_) => Place::Stock,
        None => Place::Events,
    });
    let mut state = State::new(
        clients.context().await,
        place,
        event,
        ticket_core::clock::now(),
    );
    state.can_write = flags.write && !clients.is_dry_run();
    state.theme = Theme {
        is_coloured: clients.is_coloured(),
    };
    let mailbox = Arc::new(Mailbox::default());
    let (wanted, wanted_there) = watch::channel(Wanted::default());
    let (commands, commands_there) = mpsc::channel(COMMANDS_MAX);
    let cannot = |error: std::io::Error| {
        let cause = anyhow::Error::new(error).context("could not open the cockpit");
        Failure::new(Exit::Error, cause)
            .or_next("every view has a command for scripts, too: `ticketctl --help`")
    };
    feed::start(clients, Arc::clone(&mailbox), wanted_there, commands_there).map_err(cannot)?;
    let desk = Desk {
        mailbox: &mailbox,
        wanted,
        commands,
    };
    let mut opened = terminal::Opened::new().map_err(cannot)?;
    let inputs = terminal::inputs().map_err(cannot)?;
    let ended = event_loop::run(
        &mut opened.terminal,
        inputs,
        &desk,
        &mut state,
        ticket_core::clock::now,
    )
    .await;
    // The terminal is given back before anybody says anything.
    drop(opened);
    match ended {
        Ok(()) => Ok(Exit::Ok),
        Err(error) => Err(Failure::new(Exit::Error, anyhow::Error::new(error))
            .or_next("start it again; if it ends again, report what it said before")),
    }
}
