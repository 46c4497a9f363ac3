//! What each view looks like. Those of 80x24 lie in `ctl/screens/` for people; `make generate` writes them again.

use std::path::Path;

use ratatui::style::{Color, Modifier};
use ticketctl::tui::action::Place;

use super::answers;
use super::stage::Stage;

/// A sale that has been watched for a while.
fn sale(place: Place) -> Stage {
    Stage::new(place, Some("default.coldplay"))
        .read([
            answers::access("manager"),
            answers::events(),
            answers::warmup(),
        ])
        .read(answers::stock())
}

/// Each view with what leads to it.
fn views() -> Vec<(&'static str, Stage)> {
    let orders = || sale(Place::Orders).read([answers::orders()]);
    let rebalances = || sale(Place::Rebalances).read([answers::rebalances()]);
    vec![
        ("events", sale(Place::Events)),
        ("stock", sale(Place::Stock)),
        ("stock-shards", sale(Place::Stock).keys("<enter>")),
        (
            "shards",
            sale(Place::Shards).read([answers::shards(), answers::rebalances()]),
        ),
        ("rebalances", rebalances()),
        ("rebalance", rebalances().keys("j<enter>")),
        (
            "rebalance-approve",
            rebalances().write().keys("<enter>adrain"),
        ),
        ("warmup", sale(Place::Warmup)),
        (
            "warmup-locked",
            sale(Place::Warmup).write().read([answers::warmup_locked()]),
        ),
        ("orders", orders()),
        (
            "order",
            orders()
                .keys("/fraud-warning<enter><enter>")
                .read([answers::order()]),
        ),
        ("lag", sale(Place::Lag).read([answers::lag()])),
        ("help", sale(Place::Warmup).keys("?")),
        ("palette", sale(Place::Stock).keys(":r")),
        ("filter", orders().keys("/paid")),
        (
            "confirm",
            sale(Place::Warmup).write().production().keys("tcold"),
        ),
        ("nothing-reachable", Stage::new(Place::Events, None)),
    ]
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "UPDATE is the switch of this one test"
)]
async fn generated_screens_are_what_is_drawn() {
    let is_update = std::env::var("UPDATE").is_ok();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("screens");
    for (name, stage) in views() {
        let screen = format!("{}\n", stage.screen().await);
        let path = folder.join(format!("{name}.txt"));
        if is_update {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &screen).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == screen,
            "ctl/screens/{name}.txt is stale: make generate\n{screen}"
        );
    }
}

#[tokio::test]
async fn a_wide_terminal_shows_more() {
    let screen = sale(Place::Stock).size(250, 80).screen().await;
    insta::assert_snapshot!("stock-250x80", screen);
    let screen = sale(Place::Orders)
        .read([answers::orders()])
        .size(180, 30)
        .screen()
        .await;
    insta::assert_snapshot!("orders-180x30", screen);
}

#[tokio::test]
async fn the_smallest_terminal_still_shows_each_view_and_a_smaller_one_says_so() {
    for (name, stage) in views() {
        let screen = stage.size(60, 14).screen().await;
        assert!(!screen.contains("too small"), "{name}:\n{screen}");
    }
    insta::assert_snapshot!(sale(Place::Stock).size(60, 14).screen().await);
    for (columns, lines) in [(59, 14), (60, 13), (20, 5), (1, 1)] {
        for (name, stage) in views() {
            let screen = stage.size(columns, lines).screen().await;
            let is_told = screen.contains("too small") || columns < 20;
            assert!(is_told, "{name} at {columns}x{lines}:\n{screen}");
        }
    }
    let grown = sale(Place::Stock)
        .size(20, 5)
        .then(super::stage::Step::Resize(20, 5));
    assert!(grown.screen().await.contains("20x5 is too small"));
}

#[tokio::test]
async fn no_view_loses_a_meaning_without_colour() {
    for ((name, coloured), (_, plain)) in views().into_iter().zip(views()) {
        let (coloured, plain) = (coloured.play().await, plain.without_colour().play().await);
        assert_eq!(coloured.text(), plain.text(), "{name}");
        for cell in &plain.buffer.content {
            assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset), "{name}");
        }
        // Only what every terminal has.
        for cell in &coloured.buffer.content {
            let is_basic = |color| !matches!(color, Color::Rgb(..) | Color::Indexed(_));
            assert!(is_basic(cell.fg) && is_basic(cell.bg), "{name}");
        }
    }
}

#[tokio::test]
async fn production_looks_different_and_not_by_colour_alone() {
    let here = sale(Place::Stock).without_colour().play().await;
    let there = sale(Place::Stock)
        .production()
        .without_colour()
        .play()
        .await;
    let bar = |text: String| text.lines().next().unwrap().to_owned();
    assert!(!bar(here.text()).contains("PRODUCTION"));
    assert!(
        bar(there.text()).contains("!! PRODUCTION eu-pro"),
        "{}",
        there.text()
    );
    let is_bold =
        |buffer: &ratatui::buffer::Buffer| buffer.content[1].modifier.contains(Modifier::BOLD);
    assert!(is_bold(&there.buffer) && !is_bold(&here.buffer));
    let coloured = sale(Place::Stock).production().play().await;
    assert_eq!(coloured.buffer.content[1].bg, Color::Red);
}
