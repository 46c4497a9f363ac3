//! Plays keys and readings into the program's own loop, on a screen in memory.

use std::cell::Cell;

use crossterm::event::KeyCode;
use futures::stream;
use jiff::{SignedDuration, Timestamp};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ticketctl::tui::action::Place;
use ticketctl::tui::context::Context;
use ticketctl::tui::event_loop::{Desk, Input, run};
use ticketctl::tui::key::Key;
use ticketctl::tui::mailbox::{COMMANDS_MAX, Mailbox};
use ticketctl::tui::reading::{Command, Outcome, Reading};
use ticketctl::tui::state::State;
use ticketctl::tui::theme::Theme;
use ticketctl::tui::wanted::Wanted;
use tokio::sync::{mpsc, watch};

use super::answers::noon;

/// What happens next.
pub(crate) enum Step {
    Press(Key),
    Read(Reading),
    End(Outcome),
    /// So many seconds go by.
    Later(i64),
    Resize(u16, u16),
}

/// A cockpit before anything is known.
pub(crate) struct Stage {
    pub(crate) state: State,
    size: (u16, u16),
    steps: Vec<Step>,
}

/// What was seen in the end.
pub(crate) struct Played {
    pub(crate) state: State,
    pub(crate) buffer: Buffer,
    pub(crate) sent: Vec<Command>,
    pub(crate) wanted: Wanted,
}

impl Stage {
    pub(crate) fn new(place: Place, event: Option<&str>) -> Self {
        let context = Context {
            name: "staging".to_owned(),
            cluster: "jakarta".to_owned(),
            namespace: "default".to_owned(),
            admin_url: String::new(),
        };
        Self {
            state: State::new(context, place, event.map(str::to_owned), noon()),
            size: (80, 24),
            steps: Vec::new(),
        }
    }

    pub(crate) fn size(mut self, columns: u16, lines: u16) -> Self {
        self.size = (columns, lines);
        self
    }

    pub(crate) fn production(mut self) -> Self {
        "eu-prod-1".clone_into(&mut self.state.context.name);
        self
    }

    pub(crate) fn without_colour(mut self) -> Self {
        self.state.theme = Theme { is_coloured: false };
        self
    }

    pub(crate) fn write(mut self) -> Self {
        self.state.can_write = true;
        self
    }

    pub(crate) fn read(mut self, readings: impl IntoIterator<Item = Reading>) -> Self {
        self.steps.extend(readings.into_iter().map(Step::Read));
        self
    }

    /// Keys as people write them: `j`, `<enter>`, `<ctrl-r>`.
    pub(crate) fn keys(mut self, keys: &str) -> Self {
        let mut rest = keys;
        while let Some(letter) = rest.chars().next() {
            let name = rest.strip_prefix('<').and_then(|rest| rest.split_once('>'));
            let key = if let Some((name, after)) = name {
                rest = after;
                named(name)
            } else {
                rest = &rest[letter.len_utf8()..];
                Key::char(letter)
            };
            self.steps.push(Step::Press(key));
        }
        self
    }

    pub(crate) fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Plays everything.
    pub(crate) async fn play(self) -> Played {
        let Self {
            mut state,
            size,
            steps,
        } = self;
        let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
        let mailbox = Mailbox::default();
        let (wanted, wanted_there) = watch::channel(Wanted::default());
        let (commands, mut commands_there) = mpsc::channel(COMMANDS_MAX);
        let now = Cell::new(noon());
        let desk = Desk {
            mailbox: &mailbox,
            wanted,
            commands,
        };
        let inputs = stream::unfold(steps.into_iter(), |mut steps| {
            let (mailbox, now) = (&mailbox, &now);
            async move {
                loop {
                    let Some(step) = steps.next() else {
                        // The last frame is drawn before the inputs end.
                        tokio::task::yield_now().await;
                        return None;
                    };
                    let input = match step {
                        Step::Press(key) => Input::Key(key),
                        Step::Resize(columns, lines) => Input::Resize(columns, lines),
                        Step::Later(seconds) => {
                            now.set(later(now.get(), seconds));
                            Input::Tick
                        }
                        Step::Read(reading) => {
                            mailbox.put(reading);
                            tokio::task::yield_now().await;
                            continue;
                        }
                        Step::End(outcome) => {
                            mailbox.put_outcome(outcome);
                            tokio::task::yield_now().await;
                            continue;
                        }
                    };
                    return Some((input, steps));
                }
            }
        });
        run(&mut terminal, inputs, &desk, &mut state, || now.get())
            .await
            .unwrap();
        let mut sent = Vec::new();
        while let Ok(command) = commands_there.try_recv() {
            sent.push(command);
        }
        let wanted = wanted_there.borrow().clone();
        Played {
            state,
            buffer: terminal.backend().buffer().clone(),
            sent,
            wanted,
        }
    }

    /// Plays everything and gives the text on the screen.
    pub(crate) async fn screen(self) -> String {
        self.play().await.text()
    }
}

impl Played {
    /// The lines on the screen, without blanks at their ends.
    pub(crate) fn text(&self) -> String {
        let width = usize::from(self.buffer.area.width);
        let lines = self.buffer.content.chunks(width).map(|cells| {
            let line: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
            line.trim_end().to_owned()
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn later(now: Timestamp, seconds: i64) -> Timestamp {
    now + SignedDuration::from_secs(seconds)
}

fn named(name: &str) -> Key {
    match name {
        "enter" => Key::of(KeyCode::Enter),
        "esc" => Key::of(KeyCode::Esc),
        "tab" => Key::of(KeyCode::Tab),
        "up" => Key::of(KeyCode::Up),
        "down" => Key::of(KeyCode::Down),
        "pgdn" => Key::of(KeyCode::PageDown),
        "end" => Key::of(KeyCode::End),
        "backspace" => Key::of(KeyCode::Backspace),
        other => Key::ctrl(other.strip_prefix("ctrl-").unwrap().chars().next().unwrap()),
    }
}
