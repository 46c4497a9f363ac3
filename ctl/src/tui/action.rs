//! Everything that a person can ask of the cockpit. Keys, palette, help and status line are all made from this.

/// A view that can be gone to directly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Place {
    /// All events.
    Events,
    /// Live stock of the chosen event.
    Stock,
    /// Ledger nodes and Citus shards.
    Shards,
    /// Warm-up of the chosen event.
    Warmup,
    /// Orders of the chosen event.
    Orders,
    /// Consumer lag.
    Lag,
    /// Rebalances of the ledger.
    Rebalances,
}

impl Place {
    /// In the order of their number keys.
    pub const ALL: [Self; 7] = [
        Self::Events,
        Self::Stock,
        Self::Shards,
        Self::Warmup,
        Self::Orders,
        Self::Lag,
        Self::Rebalances,
    ];

    /// Its word in the palette and in `--view`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Stock => "stock",
            Self::Shards => "shards",
            Self::Warmup => "warmup",
            Self::Orders => "orders",
            Self::Lag => "lag",
            Self::Rebalances => "rebalances",
        }
    }

    /// It is about one event.
    #[must_use]
    pub const fn needs_event(self) -> bool {
        match self {
            Self::Stock | Self::Warmup | Self::Orders => true,
            Self::Events | Self::Shards | Self::Lag | Self::Rebalances => false,
        }
    }
}

/// What changes something. Needs `--write` and to be allowed to, and is asked about first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Refills the stock store from the ledger.
    RunWarmup,
    /// Takes the warm-up lock: the sale stops.
    Lock,
    /// Gives the own lock back.
    Unlock,
    /// Breaks somebody's lock.
    BreakLock,
    /// Cancels an order that is not paid.
    Cancel,
    /// Refunds a paid order.
    Refund,
    /// Plans as many shards with stock on every worker.
    PlanBalance,
    /// Plans that nothing is left on a node.
    PlanDrain,
    /// Plans that all stock of an event is on a node.
    PlanPin,
    /// Lets the moves that are shown begin.
    Approve,
    /// Breaks off a rebalance.
    Stop,
    /// Lets a rebalance go on.
    Resume,
}

/// What lets somebody do a deed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// The role `manager` in the admin API.
    Manager,
    /// A role in Kubernetes, which the API server looks at.
    Kubernetes,
}

impl Deed {
    /// What lets somebody do it.
    #[must_use]
    pub const fn right(self) -> Right {
        match self {
            Self::RunWarmup
            | Self::Lock
            | Self::Unlock
            | Self::BreakLock
            | Self::Cancel
            | Self::Refund => Right::Manager,
            Self::PlanBalance
            | Self::PlanDrain
            | Self::PlanPin
            | Self::Approve
            | Self::Stop
            | Self::Resume => Right::Kubernetes,
        }
    }

    /// A name has to be typed before it is done; the others can be taken back, or change nothing yet.
    #[must_use]
    pub const fn does_hurt(self) -> bool {
        match self {
            Self::RunWarmup
            | Self::Lock
            | Self::Unlock
            | Self::BreakLock
            | Self::Cancel
            | Self::Refund
            | Self::Approve
            | Self::Resume => true,
            Self::PlanBalance | Self::PlanDrain | Self::PlanPin | Self::Stop => false,
        }
    }

    /// What it does to the people who buy, for the question before it.
    #[must_use]
    pub const fn consequence(self) -> &'static str {
        match self {
            Self::RunWarmup => "the sale pauses until the stock store is filled again",
            Self::Lock => "the sale stops until the lock is given back",
            Self::Unlock => "the lock is given back and a keeper warms the event up",
            Self::BreakLock => "the lock is broken, whoever holds it",
            Self::Cancel => "the buyer loses the tickets that are held",
            Self::Refund => "the buyer gets the money back and loses the tickets",
            Self::PlanBalance | Self::PlanDrain | Self::PlanPin => {
                "nothing moves yet: the operator plans, and the plan waits for approval"
            }
            Self::Approve => {
                "its moves begin, one at a time; writers of a moved shard wait at its cutover"
            }
            Self::Stop => "the move under way is broken off; what was moved stays where it is",
            Self::Resume => "the moves that are left are carried out",
        }
    }
}

/// What a person asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Ends the program.
    Quit,
    /// Clears the filter, else goes to the view before.
    Back,
    /// Opens what the cursor is on.
    Details,
    /// One row up.
    Up,
    /// One row down.
    Down,
    /// One page up.
    PageUp,
    /// One page down.
    PageDown,
    /// To the first row.
    Top,
    /// To the last row.
    Bottom,
    /// Shows all keys.
    Help,
    /// Asks for a command by its name.
    Palette,
    /// Shows only rows that contain a text.
    Filter,
    /// Stops and starts the movement of the numbers.
    Freeze,
    /// Asks for everything now.
    Refresh,
    /// The next page of orders.
    NextPage,
    /// The first page of orders.
    FirstPage,
    /// Goes to a view.
    Show(Place),
    /// Orders the rows by a column, and the other way round when asked again.
    SortBy(usize),
    /// Changes something.
    Do(Deed),
}

impl Action {
    /// Its word in the palette; what only makes sense as a key has none.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Quit => "quit",
            Self::Help => "help",
            Self::Filter => "filter",
            Self::Freeze => "freeze",
            Self::Refresh => "refresh",
            Self::NextPage => "next-page",
            Self::FirstPage => "first-page",
            Self::Show(place) => place.name(),
            Self::Do(Deed::RunWarmup) => "run",
            Self::Do(Deed::Lock) => "lock",
            Self::Do(Deed::Unlock) => "unlock",
            Self::Do(Deed::BreakLock) => "break-lock",
            Self::Do(Deed::Cancel) => "cancel",
            Self::Do(Deed::Refund) => "refund",
            Self::Do(Deed::PlanBalance) => "balance",
            Self::Do(Deed::PlanDrain) => "drain",
            Self::Do(Deed::PlanPin) => "pin",
            Self::Do(Deed::Approve) => "approve",
            Self::Do(Deed::Stop) => "stop",
            Self::Do(Deed::Resume) => "resume",
            Self::Back
            | Self::Details
            | Self::Up
            | Self::Down
            | Self::PageUp
            | Self::PageDown
            | Self::Top
            | Self::Bottom
            | Self::Palette
            | Self::SortBy(_) => return None,
        })
    }

    /// What it does, in a few words.
    #[must_use]
    pub const fn help(self) -> &'static str {
        match self {
            Self::Quit => "quit",
            Self::Back => "back",
            Self::Details => "details",
            Self::Up => "up",
            Self::Down => "down",
            Self::PageUp => "page up",
            Self::PageDown => "page down",
            Self::Top => "first row",
            Self::Bottom => "last row",
            Self::Help => "help",
            Self::Palette => "command",
            Self::Filter => "filter",
            Self::Freeze => "freeze",
            Self::Refresh => "refresh",
            Self::NextPage => "next page",
            Self::FirstPage => "first page",
            Self::Show(Place::Events) => "events",
            Self::Show(Place::Stock) => "live stock",
            Self::Show(Place::Shards) => "shards",
            Self::Show(Place::Warmup) => "warm-up",
            Self::Show(Place::Orders) => "orders",
            Self::Show(Place::Lag) => "consumer lag",
            Self::Show(Place::Rebalances) => "rebalances",
            Self::SortBy(_) => "sort",
            Self::Do(Deed::RunWarmup) => "run a warm-up",
            Self::Do(Deed::Lock) => "lock the sale",
            Self::Do(Deed::Unlock) => "unlock",
            Self::Do(Deed::BreakLock) => "break the lock",
            Self::Do(Deed::Cancel) => "cancel order",
            Self::Do(Deed::Refund) => "refund order",
            Self::Do(Deed::PlanBalance) => "plan a balance",
            Self::Do(Deed::PlanDrain) => "plan to empty node",
            Self::Do(Deed::PlanPin) => "plan to pin",
            Self::Do(Deed::Approve) => "approve",
            Self::Do(Deed::Stop) => "stop",
            Self::Do(Deed::Resume) => "resume",
        }
    }
}
