//! Everything that the cockpit knows. Nothing here waits, asks or draws.

use jiff::Timestamp;
use ticket_admin::{
    DependenciesView, EventView, LagEntry, List, OrderView, ShardsView, StockView, WarmupView,
};
use tui_input::Input;

use super::action::{Action, Place};
use super::context::Context;
use super::list::ListState;
use super::rates::Rates;
use super::reading::{Command, Topic, Trouble};
use super::screens::{self, Screen};
use super::theme::Theme;
use super::view::layout;
use crate::rebalance::Rebalance;

/// How long words stay: long enough to read them twice.
pub const WORDS_FOR_S: i64 = 15;

/// Data that is older is called stale. Everything on the screen is asked for at least every two seconds, so this is more than a
/// slow answer.
pub const STALE_AFTER_S: i64 = 6;

/// What was last read of a topic.
#[derive(Debug, Clone)]
pub struct Seen<T> {
    /// The last answer.
    pub value: Option<T>,
    /// When it came.
    pub at: Option<Timestamp>,
    /// Why there is no newer one.
    pub trouble: Option<Trouble>,
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self {
            value: None,
            at: None,
            trouble: None,
        }
    }
}

impl<T> Seen<T> {
    pub(super) fn take(&mut self, value: T, at: Timestamp) {
        *self = Self {
            value: Some(value),
            at: Some(at),
            trouble: None,
        };
    }
}

/// What was last read of everything.
#[derive(Debug, Clone, Default)]
pub struct Data {
    /// Who the asker is, and what the platform needs.
    pub access: Seen<DependenciesView>,
    /// All events.
    pub events: Seen<Vec<EventView>>,
    /// Of the chosen event.
    pub stock: Seen<StockView>,
    /// Ledger nodes and shards.
    pub shards: Seen<ShardsView>,
    /// Of the chosen event.
    pub warmup: Seen<WarmupView>,
    /// A page of the chosen event's orders.
    pub orders: Seen<List<OrderView>>,
    /// The order that is looked at.
    pub order: Seen<OrderView>,
    /// Consumer lag.
    pub lag: Seen<Vec<LagEntry>>,
    /// Rebalances, the newest first.
    pub rebalances: Seen<Vec<Rebalance>>,
}

impl Data {
    /// When the last answer about `topic` came, and why there is no newer one.
    #[must_use]
    pub fn standing(&self, topic: Topic) -> (Option<Timestamp>, Option<&Trouble>) {
        const fn of<T>(seen: &Seen<T>) -> (Option<Timestamp>, Option<&Trouble>) {
            (seen.at, seen.trouble.as_ref())
        }
        match topic {
            Topic::Access => of(&self.access),
            Topic::Events => of(&self.events),
            Topic::Stock => of(&self.stock),
            Topic::Shards => of(&self.shards),
            Topic::Warmup => of(&self.warmup),
            Topic::Orders => of(&self.orders),
            Topic::Order => of(&self.order),
            Topic::Lag => of(&self.lag),
            Topic::Rebalances => of(&self.rebalances),
        }
    }

    pub(super) fn fail(&mut self, topic: Topic, trouble: Trouble) {
        let place = match topic {
            Topic::Access => &mut self.access.trouble,
            Topic::Events => &mut self.events.trouble,
            Topic::Stock => &mut self.stock.trouble,
            Topic::Shards => &mut self.shards.trouble,
            Topic::Warmup => &mut self.warmup.trouble,
            Topic::Orders => &mut self.orders.trouble,
            Topic::Order => &mut self.order.trouble,
            Topic::Lag => &mut self.lag.trouble,
            Topic::Rebalances => &mut self.rebalances.trouble,
        };
        *place = Some(trouble);
    }
}

/// A view that is open, and where somebody is in it.
#[derive(Debug, Clone)]
pub struct Open {
    /// Which.
    pub screen: Screen,
    /// Where.
    pub list: ListState,
}

impl Open {
    pub(super) fn new(screen: Screen) -> Self {
        Self {
            screen,
            list: ListState::default(),
        }
    }
}

/// What keys mean now.
#[derive(Debug, Clone, Default)]
pub enum Mode {
    /// The keymap.
    #[default]
    Normal,
    /// Text of the filter.
    Filter(Input),
    /// Text of a command.
    Palette(Palette),
    /// The question before a deed.
    Confirm(Confirm),
    /// All keys are shown, from this line on.
    Help(u16),
}

/// A command that is being typed.
#[derive(Debug, Clone, Default)]
pub struct Palette {
    /// What was typed.
    pub input: Input,
    /// Which of the offered commands is chosen.
    pub choice: usize,
}

/// A deed that waits for a yes.
#[derive(Debug, Clone)]
pub struct Confirm {
    /// What will be done.
    pub command: Command,
    /// What was typed. Only what hurts wants a name.
    pub input: Input,
}

/// Words for the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// Something went wrong or was refused.
    pub is_bad: bool,
    /// What.
    pub text: String,
    /// When.
    pub at: Timestamp,
}

/// Which page of orders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Where it begins; `None` is the first page.
    pub cursor: Option<String>,
    /// Pages before it.
    pub before: u32,
}

/// Everything that the cockpit knows.
#[derive(Debug, Clone)]
pub struct State {
    /// The present.
    pub now: Timestamp,
    /// When the cockpit was opened.
    pub started_at: Timestamp,
    /// Columns and lines of the terminal.
    pub size: (u16, u16),
    /// How things look.
    pub theme: Theme,
    /// Where we are.
    pub context: Context,
    /// Deeds are allowed (`--write`).
    pub can_write: bool,
    /// The chosen event, `<namespace>.<name>`.
    pub event: Option<String>,
    /// Views from the first to the one that is seen; never empty.
    pub stack: Vec<Open>,
    /// What keys mean now.
    pub mode: Mode,
    /// Numbers stand still since then.
    pub frozen_at: Option<Timestamp>,
    /// The last words.
    pub words: Option<Words>,
    /// Commands whose outcome is not known yet.
    pub under_way: Vec<Command>,
    /// Raised to ask for everything again.
    pub round: u64,
    /// Of orders.
    pub page: Page,
    /// What was read.
    pub data: Data,
    /// How fast the chosen event sells.
    pub rates: Rates,
}

impl State {
    /// Nothing is known yet. `place` is opened at once; what needs an event and has none begins with the events.
    #[must_use]
    pub fn new(context: Context, place: Place, event: Option<String>, now: Timestamp) -> Self {
        let place = if place.needs_event() && event.is_none() {
            Place::Events
        } else {
            place
        };
        Self {
            now,
            started_at: now,
            size: (80, 24),
            theme: Theme::default(),
            context,
            can_write: false,
            event,
            stack: vec![Open::new(Screen::of(place))],
            mode: Mode::Normal,
            frozen_at: None,
            words: None,
            under_way: Vec::new(),
            round: 0,
            page: Page::default(),
            data: Data::default(),
            rates: Rates::default(),
        }
    }

    /// The view that is seen.
    #[must_use]
    pub fn screen(&self) -> &Screen {
        self.stack
            .last()
            .map_or(&Screen::Events, |open| &open.screen)
    }

    /// Where somebody is in it.
    #[must_use]
    pub fn list(&self) -> Option<&ListState> {
        self.stack.last().map(|open| &open.list)
    }

    pub(super) fn list_mut(&mut self) -> Option<&mut ListState> {
        self.stack.last_mut().map(|open| &mut open.list)
    }

    pub(super) fn say(&mut self, text: impl Into<String>) {
        self.words = Some(Words {
            is_bad: false,
            text: text.into(),
            at: self.now,
        });
    }

    pub(super) fn complain(&mut self, text: impl Into<String>) {
        self.words = Some(Words {
            is_bad: true,
            text: text.into(),
            at: self.now,
        });
    }

    /// The words, as long as they are fresh.
    #[must_use]
    pub fn fresh_words(&self) -> Option<&Words> {
        let words = self.words.as_ref()?;
        (self.now.duration_since(words.at).as_secs() < WORDS_FOR_S).then_some(words)
    }

    /// How old the numbers on the screen are, seconds; `None` before the first answer.
    #[must_use]
    pub fn age_s(&self) -> Option<i64> {
        let at = self.data.standing(self.screen().topic()).0?;
        Some(self.now.duration_since(at).as_secs().max(0))
    }

    /// Chooses an event and forgets what is known of another.
    pub(super) fn choose(&mut self, event: &str) {
        if self.event.as_deref() == Some(event) {
            return;
        }
        self.event = Some(event.to_owned());
        self.data.stock = Seen::default();
        self.data.warmup = Seen::default();
        self.data.orders = Seen::default();
        self.data.order = Seen::default();
        self.rates.clear();
        self.page = Page::default();
    }

    /// After anything that may have changed rows or their room.
    pub(super) fn settle(&mut self) {
        let height = layout::list_lines(self);
        let grid = screens::grid(self);
        let mut list = self.list().cloned().unwrap_or_default();
        list.settle(&grid, height);
        if let Some(place) = self.list_mut() {
            *place = list;
        }
    }

    /// Commands of the palette that fit what was typed, best first.
    #[must_use]
    pub fn offers(&self, typed: &str) -> Vec<(&'static str, Action)> {
        let word = typed.split_whitespace().next().unwrap_or_default();
        let word = word.to_lowercase();
        let mut offers = super::keymap::commands(self.screen());
        offers.retain(|(name, _)| name.contains(&word));
        offers.sort_by_key(|(name, _)| !name.starts_with(&word));
        offers
    }
}
