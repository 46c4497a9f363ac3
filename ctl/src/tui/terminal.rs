//! The real terminal: raw mode and the other screen while the cockpit is open, and as it was before afterwards, whatever
//! ends it. The mouse is left to the terminal, so that text can be marked and copied.

use std::io;
use std::time::Duration;

use crossterm::event::{Event, EventStream};
use futures::{Stream, StreamExt, stream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::event_loop::Input;
use super::key::Key;

/// How often ages on the screen grow.
const TICK_EVERY: Duration = Duration::from_millis(500);

/// The terminal while the cockpit is open.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) terminal: ratatui::DefaultTerminal,
}

impl Opened {
    /// Takes the terminal over. A panic anywhere in the process gives it back before it is reported.
    pub(super) fn new() -> io::Result<Self> {
        // What is coloured is our theme's to decide; crossterm's own answer to NO_COLOR would undo bold and reverse.
        crossterm::style::force_color_output(true);
        match ratatui::try_init() {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                // It may have been half way.
                drop(ratatui::try_restore());
                Err(error)
            }
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // Nobody is left to tell when the terminal is gone.
        drop(ratatui::try_restore());
    }
}

/// Keys, sizes, time, and signals that end the process. The stream ends with the terminal.
pub(super) fn inputs() -> io::Result<impl Stream<Item = Input>> {
    let keys = EventStream::new().map(|event| match event {
        Ok(Event::Key(key)) => Key::pressed(&key).map(Input::Key),
        Ok(Event::Resize(columns, lines)) => Some(Input::Resize(columns, lines)),
        Ok(Event::FocusGained | Event::FocusLost | Event::Mouse(_) | Event::Paste(_)) => None,
        // The terminal is gone.
        Err(_) => Some(Input::Stop),
    });
    // The terminal's own end would be hidden by the other streams, which never end.
    let keys = keys
        .chain(stream::once(async { Some(Input::Stop) }))
        .filter_map(|input| async move { input });
    let mut every = interval(TICK_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let ticks = stream::unfold(every, |mut every| async move {
        every.tick().await;
        Some((Input::Tick, every))
    });
    let stops = [
        SignalKind::terminate(),
        SignalKind::hangup(),
        SignalKind::interrupt(),
        SignalKind::quit(),
    ];
    let mut signals = Vec::new();
    for kind in stops {
        let signals_of_kind = stream::unfold(signal(kind)?, |mut signal| async move {
            signal.recv().await.map(|()| (Input::Stop, signal))
        });
        signals.push(signals_of_kind.boxed());
    }
    let others = stream::select(ticks, stream::select_all(signals));
    Ok(stream::select(keys, others))
}
