//! A key as the keymap knows it: what was pressed, without what differs between terminals.

use std::fmt;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// A key that can be bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// What was pressed. Of a letter the case tells whether shift was held.
    pub code: KeyCode,
    /// Control was held.
    pub is_ctrl: bool,
}

impl Key {
    /// A key without control.
    #[must_use]
    pub const fn of(code: KeyCode) -> Self {
        Self {
            code,
            is_ctrl: false,
        }
    }

    /// A letter or a sign.
    #[must_use]
    pub const fn char(letter: char) -> Self {
        Self::of(KeyCode::Char(letter))
    }

    /// A letter with control.
    #[must_use]
    pub const fn ctrl(letter: char) -> Self {
        Self {
            code: KeyCode::Char(letter),
            is_ctrl: true,
        }
    }

    /// The key of an event of the terminal; `None` for a release and for what cannot be bound.
    #[must_use]
    pub fn pressed(event: &KeyEvent) -> Option<Self> {
        if event.kind == KeyEventKind::Release || event.modifiers.contains(KeyModifiers::ALT) {
            return None;
        }
        Some(Self {
            code: event.code,
            is_ctrl: event.modifiers.contains(KeyModifiers::CONTROL),
        })
    }
}

impl fmt::Display for Key {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the terminal library knows keys that are never bound"
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_ctrl {
            f.write_str("ctrl-")?;
        }
        match self.code {
            KeyCode::Char(' ') => f.write_str("space"),
            KeyCode::Char(letter) if letter.is_ascii_uppercase() => {
                write!(f, "shift-{}", letter.to_ascii_lowercase())
            }
            KeyCode::Char(letter) => write!(f, "{letter}"),
            KeyCode::Enter => f.write_str("enter"),
            KeyCode::Esc => f.write_str("esc"),
            KeyCode::Tab => f.write_str("tab"),
            KeyCode::Up => f.write_str("up"),
            KeyCode::Down => f.write_str("down"),
            KeyCode::Left => f.write_str("left"),
            KeyCode::Right => f.write_str("right"),
            KeyCode::PageUp => f.write_str("pgup"),
            KeyCode::PageDown => f.write_str("pgdn"),
            KeyCode::Home => f.write_str("home"),
            KeyCode::End => f.write_str("end"),
            other => write!(f, "{other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_no_press_and_shift_is_in_the_letter() {
        let mut event = KeyEvent::new(KeyCode::Char('S'), KeyModifiers::SHIFT);
        assert_eq!(Key::pressed(&event), Some(Key::char('S')));
        assert_eq!(Key::char('S').to_string(), "shift-s");
        event.kind = KeyEventKind::Release;
        assert_eq!(Key::pressed(&event), None);
        let ctrl = KeyEvent::new(KeyCode::Char('r'), KeyModifiers::CONTROL);
        assert_eq!(Key::pressed(&ctrl), Some(Key::ctrl('r')));
        assert_eq!(Key::ctrl('r').to_string(), "ctrl-r");
    }
}
