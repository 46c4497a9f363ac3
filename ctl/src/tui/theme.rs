//! How things look: the 16 colours that every terminal has, or none. A colour only repeats what a word or a sign says.

use ratatui::style::{Color, Modifier, Style};

use super::grid::Mark;

/// Colours or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// Nobody minds colours.
    pub is_coloured: bool,
}

impl Default for Theme {
    fn default() -> Self {
        Self { is_coloured: true }
    }
}

impl Theme {
    fn paint(self, style: Style, color: Color) -> Style {
        if self.is_coloured {
            style.fg(color)
        } else {
            style
        }
    }

    /// The line that says where we are.
    #[must_use]
    pub fn bar(self, is_production: bool) -> Style {
        let style = Style::new().add_modifier(Modifier::REVERSED);
        match (is_production, self.is_coloured) {
            (true, true) => Style::new()
                .fg(Color::White)
                .bg(Color::Red)
                .add_modifier(Modifier::BOLD),
            (true, false) => style.add_modifier(Modifier::BOLD),
            (false, true) => Style::new().fg(Color::Black).bg(Color::Cyan),
            (false, false) => style,
        }
    }

    /// Title of the view.
    #[must_use]
    pub fn title(self) -> Style {
        self.paint(Style::new().add_modifier(Modifier::BOLD), Color::Cyan)
    }

    /// Headings of columns.
    #[must_use]
    pub fn heading(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
    }

    /// The row under the cursor.
    #[must_use]
    pub fn cursor(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// A key in the status line.
    #[must_use]
    pub fn key(self) -> Style {
        self.paint(Style::new().add_modifier(Modifier::BOLD), Color::Cyan)
    }

    /// What matters less.
    #[must_use]
    pub fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// As it should be.
    #[must_use]
    pub fn ok(self) -> Style {
        self.paint(Style::new(), Color::Green)
    }

    /// Worth a look.
    #[must_use]
    pub fn warn(self) -> Style {
        self.paint(Style::new(), Color::Yellow)
    }

    /// Not as it should be.
    #[must_use]
    pub fn bad(self) -> Style {
        self.paint(Style::new().add_modifier(Modifier::BOLD), Color::Red)
    }

    /// A row.
    #[must_use]
    pub fn mark(self, mark: Mark) -> Style {
        match mark {
            Mark::Plain => Style::new(),
            Mark::Dim => self.dim(),
            Mark::Warn => self.warn(),
            Mark::Bad => self.bad(),
        }
    }

    /// Units that are sold, held and available, as parts of a bar.
    #[must_use]
    pub fn stock(self) -> [Style; 3] {
        [
            self.paint(Style::new(), Color::Green),
            self.paint(Style::new(), Color::Yellow),
            self.dim(),
        ]
    }
}
