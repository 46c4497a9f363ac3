//! The loop: keys, time and readings in, frames out. It awaits nothing that could be slow: the network is behind a mailbox
//! that others fill and a queue that others empty, so a key never waits for an answer. It is generic over the screen and over
//! where keys come from, so that tests run this very loop.

use futures::{FutureExt, Stream, StreamExt};
use jiff::Timestamp;
use ratatui::Terminal;
use ratatui::backend::Backend;
use tokio::sync::{mpsc, watch};

use super::key::Key;
use super::mailbox::Mailbox;
use super::reading::Command;
use super::state::State;
use super::update::{Effect, Message, update};
use super::view;
use super::wanted::{Wanted, wanted};

/// Inputs that are taken before a frame is drawn: a key that is held down must not draw a frame for each repeat, and readings
/// must not wait behind it for long.
pub const INPUTS_PER_FRAME_MAX: usize = 64;

/// What comes from the terminal and the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A key was pressed.
    Key(Key),
    /// The terminal has another size: columns, lines.
    Resize(u16, u16),
    /// Time went by.
    Tick,
    /// The process should end.
    Stop,
}

/// The loop's side of the background tasks.
#[derive(Debug)]
pub struct Desk<'a> {
    /// Where readings arrive.
    pub mailbox: &'a Mailbox,
    /// What should be asked for.
    pub wanted: watch::Sender<Wanted>,
    /// What should be done.
    pub commands: mpsc::Sender<Command>,
}

/// Why the loop ended without being asked to.
#[derive(Debug, thiserror::Error)]
pub enum LoopError<E: std::error::Error + 'static> {
    /// The screen cannot be drawn.
    #[error("could not draw the screen")]
    Draw(#[source] E),
    /// The background tasks are gone: nothing on the screen would ever change again.
    #[error("the background tasks ended")]
    FeedGone,
}

/// Runs until somebody quits, the inputs end, or the screen is gone.
pub async fn run<B: Backend>(
    terminal: &mut Terminal<B>,
    inputs: impl Stream<Item = Input>,
    desk: &Desk<'_>,
    state: &mut State,
    clock: impl Fn() -> Timestamp,
) -> Result<(), LoopError<B::Error>>
where
    B::Error: std::error::Error + 'static,
{
    let mut inputs = std::pin::pin!(inputs);
    let size = terminal.size().map_err(LoopError::Draw)?;
    update(state, Message::Resize(size.width, size.height), clock());
    loop {
        post(desk, state);
        terminal
            .draw(|frame| view::draw(frame, state))
            .map_err(LoopError::Draw)?;
        let mut next = tokio::select! {
            // Readings come before the keys that follow them, and never instead of a key that waits.
            biased;
            () = desk.mailbox.changed() => {
                let mail = desk.mailbox.take();
                let is_closed = mail.is_closed;
                update(state, Message::Mail(mail), clock());
                if is_closed {
                    return Err(LoopError::FeedGone);
                }
                match inputs.next().now_or_never() {
                    Some(input) => input,
                    None => continue,
                }
            }
            input = inputs.next() => input,
        };
        let mut taken = 0;
        loop {
            let Some(input) = next else { return Ok(()) };
            if handle(desk, state, input, clock()) == Flow::End {
                return Ok(());
            }
            taken += 1;
            if taken >= INPUTS_PER_FRAME_MAX || !desk.mailbox.is_empty() {
                break;
            }
            match inputs.next().now_or_never() {
                Some(input) => next = input,
                None => break,
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Flow {
    GoOn,
    End,
}

fn handle(desk: &Desk<'_>, state: &mut State, input: Input, now: Timestamp) -> Flow {
    let message = match input {
        Input::Stop => return Flow::End,
        Input::Key(key) => Message::Key(key),
        Input::Resize(columns, lines) => Message::Resize(columns, lines),
        Input::Tick => Message::Tick,
    };
    match update(state, message, now) {
        Effect::Nothing => {}
        Effect::Quit => return Flow::End,
        Effect::Send(command) => {
            if desk.commands.try_send(command.clone()).is_err() {
                // It was put there last.
                state.under_way.pop();
                state.complain(format!("{command}: not sent, too much is under way"));
            }
        }
    }
    // A key may have changed what the keys behind it mean.
    post(desk, state);
    Flow::GoOn
}

/// Tells the background tasks what is wanted now, if that has changed.
fn post(desk: &Desk<'_>, state: &State) {
    let wanted = wanted(state);
    desk.wanted.send_if_modified(|before| {
        let is_new = *before != wanted;
        *before = wanted;
        is_new
    });
}
