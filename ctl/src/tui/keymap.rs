//! The keymap as data. What a key does, the help, the palette and the status line are read from the same table, so none
//! of them can say anything else than what happens.

use crossterm::event::KeyCode;

use super::action::{Action, Deed, Place};
use super::key::Key;
use super::screens::Screen;

/// Where a binding holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In every view.
    Everywhere,
    /// In views with rows.
    Lists,
    /// In lists whose rows open.
    Opens,
    /// In the warm-up view.
    Warmup,
    /// In the list of orders.
    Orders,
    /// In the list of orders and in one order.
    Order,
    /// In the ledger's shards.
    Shards,
    /// In the ledger's shards and in the list of rebalances.
    Plans,
    /// In the list of rebalances and in one rebalance.
    Rebalance,
}

impl Scope {
    /// Does it hold in `screen`?
    #[must_use]
    pub const fn holds(self, screen: &Screen) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Lists => !matches!(screen, Screen::Order { .. }),
            Self::Opens => matches!(
                screen,
                Screen::Events
                    | Screen::Categories
                    | Screen::StockShards { .. }
                    | Screen::Orders { .. }
                    | Screen::Rebalances
            ),
            Self::Warmup => matches!(screen, Screen::Warmup),
            Self::Orders => matches!(screen, Screen::Orders { .. }),
            Self::Order => matches!(screen, Screen::Orders { .. } | Screen::Order { .. }),
            Self::Shards => matches!(screen, Screen::Shards),
            Self::Plans => matches!(screen, Screen::Shards | Screen::Rebalances),
            Self::Rebalance => matches!(screen, Screen::Rebalances | Screen::Rebalance { .. }),
        }
    }
}

/// Keys for an action.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// The first one is shown in the status line.
    pub keys: &'static [Key],
    /// Where it holds.
    pub scope: Scope,
    /// What it does.
    pub action: Action,
    /// Shown in the status line, where there is room.
    pub is_hint: bool,
}

const fn bound(scope: Scope, keys: &'static [Key], action: Action) -> Binding {
    Binding {
        keys,
        scope,
        action,
        is_hint: false,
    }
}

const fn hint(scope: Scope, keys: &'static [Key], action: Action) -> Binding {
    Binding {
        keys,
        scope,
        action,
        is_hint: true,
    }
}

/// All bindings, the most special first: that is the order of the status line.
pub const BINDINGS: &[Binding] = &[
    hint(
        Scope::Warmup,
        &[Key::char('w')],
        Action::Do(Deed::RunWarmup),
    ),
    hint(Scope::Warmup, &[Key::char('t')], Action::Do(Deed::Lock)),
    hint(Scope::Warmup, &[Key::char('u')], Action::Do(Deed::Unlock)),
    hint(
        Scope::Warmup,
        &[Key::char('b')],
        Action::Do(Deed::BreakLock),
    ),
    hint(Scope::Order, &[Key::char('c')], Action::Do(Deed::Cancel)),
    hint(Scope::Order, &[Key::char('r')], Action::Do(Deed::Refund)),
    hint(
        Scope::Rebalance,
        &[Key::char('a')],
        Action::Do(Deed::Approve),
    ),
    hint(Scope::Rebalance, &[Key::char('s')], Action::Do(Deed::Stop)),
    hint(
        Scope::Rebalance,
        &[Key::char('r')],
        Action::Do(Deed::Resume),
    ),
    hint(
        Scope::Plans,
        &[Key::char('b')],
        Action::Do(Deed::PlanBalance),
    ),
    hint(
        Scope::Shards,
        &[Key::char('d')],
        Action::Do(Deed::PlanDrain),
    ),
    hint(Scope::Shards, &[Key::char('p')], Action::Do(Deed::PlanPin)),
    hint(Scope::Orders, &[Key::char('n')], Action::NextPage),
    bound(Scope::Orders, &[Key::char('p')], Action::FirstPage),
    hint(
        Scope::Opens,
        &[
            Key::of(KeyCode::Enter),
            Key::of(KeyCode::Right),
            Key::char('l'),
        ],
        Action::Details,
    ),
    hint(
        Scope::Everywhere,
        &[
            Key::of(KeyCode::Esc),
            Key::of(KeyCode::Left),
            Key::char('h'),
        ],
        Action::Back,
    ),
    hint(Scope::Lists, &[Key::char('/')], Action::Filter),
    hint(Scope::Everywhere, &[Key::char(':')], Action::Palette),
    hint(Scope::Everywhere, &[Key::char('?')], Action::Help),
    hint(Scope::Everywhere, &[Key::char('f')], Action::Freeze),
    hint(
        Scope::Everywhere,
        &[Key::char('q'), Key::ctrl('c')],
        Action::Quit,
    ),
    bound(Scope::Everywhere, &[Key::ctrl('r')], Action::Refresh),
    bound(
        Scope::Lists,
        &[Key::of(KeyCode::Up), Key::char('k')],
        Action::Up,
    ),
    bound(
        Scope::Lists,
        &[Key::of(KeyCode::Down), Key::char('j')],
        Action::Down,
    ),
    bound(
        Scope::Lists,
        &[Key::of(KeyCode::PageUp), Key::ctrl('b')],
        Action::PageUp,
    ),
    bound(
        Scope::Lists,
        &[Key::of(KeyCode::PageDown), Key::ctrl('f')],
        Action::PageDown,
    ),
    bound(
        Scope::Lists,
        &[Key::of(KeyCode::Home), Key::char('g')],
        Action::Top,
    ),
    bound(
        Scope::Lists,
        &[Key::of(KeyCode::End), Key::char('G')],
        Action::Bottom,
    ),
    bound(
        Scope::Everywhere,
        &[Key::char('1')],
        Action::Show(Place::Events),
    ),
    bound(
        Scope::Everywhere,
        &[Key::char('2')],
        Action::Show(Place::Stock),
    ),
    bound(
        Scope::Everywhere,
        &[Key::char('3')],
        Action::Show(Place::Shards),
    ),
    bound(
        Scope::Everywhere,
        &[Key::char('4')],
        Action::Show(Place::Warmup),
    ),
    bound(
        Scope::Everywhere,
        &[Key::char('5')],
        Action::Show(Place::Orders),
    ),
    bound(
        Scope::Everywhere,
        &[Key::char('6')],
        Action::Show(Place::Lag),
    ),
    bound(
        Scope::Everywhere,
        &[Key::char('7')],
        Action::Show(Place::Rebalances),
    ),
];

/// What `key` does in `screen`. A column's letter sorts where no binding holds.
#[must_use]
pub fn action_of(key: Key, screen: &Screen) -> Option<Action> {
    let bound = bindings(screen).find(|binding| binding.keys.contains(&key));
    bound.map(|binding| binding.action).or_else(|| {
        let sorts = |letter| key == Key::char(letter);
        let columns = screen.columns().iter();
        let column = columns
            .enumerate()
            .find(|(_, it)| it.sort.is_some_and(sorts));
        column.map(|(at, _)| Action::SortBy(at))
    })
}

/// The bindings that hold in `screen`.
pub fn bindings(screen: &Screen) -> impl Iterator<Item = &'static Binding> {
    BINDINGS
        .iter()
        .filter(|binding| binding.scope.holds(screen))
}

/// The commands of the palette in `screen`: each action that has a name, once.
#[must_use]
pub fn commands(screen: &Screen) -> Vec<(&'static str, Action)> {
    let mut commands: Vec<(&'static str, Action)> = bindings(screen)
        .filter_map(|binding| Some((binding.action.name()?, binding.action)))
        .collect();
    commands.sort_unstable_by_key(|(name, _)| *name);
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things_in_a_view() {
        for screen in Screen::one_of_each() {
            let mut seen: Vec<(Key, Action)> = Vec::new();
            let bound =
                bindings(&screen).flat_map(|it| it.keys.iter().map(move |key| (*key, it.action)));
            let sorting = screen.columns().iter().enumerate();
            let sorting =
                sorting.filter_map(|(at, it)| Some((Key::char(it.sort?), Action::SortBy(at))));
            for (key, action) in bound.chain(sorting) {
                let before = seen.iter().find(|(other, _)| *other == key);
                assert_eq!(before, None, "{key} in {screen:?}: {action:?}");
                assert_eq!(action_of(key, &screen), Some(action), "{key} in {screen:?}");
                seen.push((key, action));
            }
        }
    }

    #[test]
    fn every_deed_has_a_key_and_a_name_where_it_makes_sense() {
        let deeds = BINDINGS
            .iter()
            .filter(|it| matches!(it.action, Action::Do(_)));
        assert!(deeds.clone().all(|it| it.action.name().is_some()));
        assert_eq!(deeds.count(), 12);
        // None of them holds where nobody sees what it would change.
        for binding in bindings(&Screen::Events) {
            assert!(!matches!(binding.action, Action::Do(_)), "{binding:?}");
        }
    }
}
