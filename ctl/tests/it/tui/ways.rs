//! The ways through the cockpit: drilling down and back, filters, sorting, commands, old numbers.

use ticketctl::tui::action::Place;
use ticketctl::tui::reading::{Reading, Topic, Trouble};
use ticketctl::tui::screens::Screen;
use ticketctl::tui::wanted::Ask;

use super::answers::{self, noon};
use super::stage::{Stage, Step};

fn trouble(topic: Topic) -> Reading {
    Reading {
        topic,
        at: noon(),
        result: Err(Trouble {
            what: "could not reach the admin API at http://127.0.0.1:9/ [admin-unreachable]"
                .to_owned(),
            next: Some("check --admin-url".to_owned()),
        }),
    }
}

#[tokio::test]
async fn enter_leads_from_an_event_to_the_orders_of_a_stock_shard_and_escape_back() {
    let down = Stage::new(Place::Events, None)
        .read([answers::access("viewer"), answers::events()])
        .keys("<enter>")
        .read(answers::stock())
        .keys("<enter>j<enter>")
        .read([answers::orders()]);
    let played = down.play().await;
    assert_eq!(
        *played.state.screen(),
        Screen::Orders {
            stock_shard: Some(102)
        }
    );
    let text = played.text();
    assert!(
        text.contains("events > stock > stock shards of standing > orders of stock shard 102 (6)"),
        "{text}"
    );
    // The stream of stock goes on, so that the rate has no gap.
    let asks = &played.wanted.asks;
    assert!(
        asks.iter().any(|ask| matches!(ask, Ask::Stock { .. })),
        "{asks:?}"
    );
    assert!(
        asks.iter()
            .any(|ask| matches!(ask, Ask::Orders { limit: 1_000, .. })),
        "{asks:?}"
    );

    let back = Stage::new(Place::Events, None)
        .read([answers::events()])
        .keys("<enter>")
        .read(answers::stock())
        .keys("<enter>j<esc>");
    let played = back.play().await;
    assert_eq!(*played.state.screen(), Screen::Categories);
    assert_eq!(played.state.event.as_deref(), Some("default.coldplay"));
}

#[tokio::test]
async fn a_filter_is_cleared_before_a_view_is_left() {
    let stage = || {
        Stage::new(Place::Events, None)
            .read([answers::events()])
            .keys("/opera<enter>")
    };
    let text = stage().screen().await;
    assert!(text.contains("events (1 of 5)  filter: opera"), "{text}");
    assert!(!text.contains("default.jazz"), "{text}");
    let text = stage().keys("<esc>").screen().await;
    assert!(text.contains("events (5)"), "{text}");
    let text = stage().keys("/nobody").screen().await;
    assert!(text.contains("no row contains the filter"), "{text}");
}

#[tokio::test]
async fn a_shifted_letter_sorts_and_the_cursor_stays_on_its_row() {
    let sorted = Stage::new(Place::Events, None)
        .read([answers::events()])
        .keys("jS");
    let played = sorted.play().await;
    let text = played.text();
    assert!(text.contains("sorted: SOLD down"), "{text}");
    let at = |name: &str| text.find(name).unwrap();
    assert!(at("default.coldplay") < at("default.rock") && at("default.rock") < at("default.jazz"));
    let cursor = played.state.list().unwrap().cursor.clone();
    assert_eq!(cursor.as_deref(), Some("default.jazz"));
    let turned = Stage::new(Place::Events, None)
        .read([answers::events()])
        .keys("SS");
    let text = turned.screen().await;
    assert!(text.contains("sorted: SOLD up"), "{text}");
}

#[tokio::test]
async fn commands_complete_lead_to_views_and_say_what_they_do_not_know() {
    let known = || Stage::new(Place::Events, None).read([answers::events()]);
    let played = known().keys(":war<tab>jazz<enter>").play().await;
    assert_eq!(*played.state.screen(), Screen::Warmup);
    assert_eq!(played.state.event.as_deref(), Some("default.jazz"));
    let text = known().keys(":stock nobody<enter>").screen().await;
    assert!(text.contains("no event is called default.nobody"), "{text}");
    let text = known().keys(":fly<enter>").screen().await;
    assert!(text.contains("no command is called \"fly\""), "{text}");
    let text = known().keys("2").screen().await;
    assert!(text.contains("choose an event first"), "{text}");
    let played = known().keys(":quit<enter>jjj").play().await;
    assert_eq!(
        played.state.list().unwrap().index,
        0,
        "nothing is done after the end"
    );
}

#[tokio::test]
async fn numbers_that_are_old_say_so_and_why() {
    let text = Stage::new(Place::Events, None)
        .read([answers::events()])
        .then(Step::Later(30))
        .read([trouble(Topic::Events), trouble(Topic::Access)])
        .screen()
        .await;
    assert!(text.lines().next().unwrap().contains("STALE 30s"), "{text}");
    assert!(
        text.contains("these numbers are old: could not reach the admin API"),
        "{text}"
    );
    assert!(
        text.contains("default.coldplay"),
        "what was known stays: {text}"
    );

    let nothing = Stage::new(Place::Events, None)
        .read([trouble(Topic::Events)])
        .screen()
        .await;
    assert!(
        nothing.contains("no events yet: could not reach"),
        "{nothing}"
    );
    assert!(nothing.contains("next: check --admin-url"), "{nothing}");
    assert!(nothing.contains("no data yet"), "{nothing}");

    // And they are called fresh again by themselves.
    let again = Stage::new(Place::Events, None)
        .read([trouble(Topic::Events)])
        .read([answers::events()])
        .screen()
        .await;
    assert!(!again.contains("could not reach"), "{again}");
}

#[tokio::test]
async fn frozen_numbers_stand_still_until_they_are_live_again() {
    let mut snapshots = answers::stock();
    let last = snapshots.pop().unwrap();
    let frozen = || {
        Stage::new(Place::Stock, Some("default.coldplay"))
            .read(answers::stock().into_iter().take(3))
            .keys("f")
            .read([answers::stock().pop().unwrap()])
            .then(Step::Later(9))
    };
    let text = frozen().screen().await;
    assert!(text.contains("FROZEN at 12:00:16"), "{text}");
    assert!(text.contains("23640"), "{text}");
    let text = frozen().keys("f").read([last]).screen().await;
    assert!(!text.contains("FROZEN"), "{text}");
    assert!(!text.contains("23640"), "{text}");
}

#[tokio::test]
async fn an_answer_about_an_event_that_was_left_is_dropped() {
    let played = Stage::new(Place::Stock, Some("default.jazz"))
        .read(answers::stock())
        .read([answers::warmup(), answers::orders()])
        .play()
        .await;
    assert!(played.state.data.stock.value.is_none());
    assert!(played.state.data.warmup.value.is_none());
    assert!(played.state.data.orders.value.is_none());
}

#[tokio::test]
async fn a_page_of_orders_is_followed_by_the_next() {
    let stage = Stage::new(Place::Orders, Some("default.coldplay"))
        .read([answers::orders()])
        .keys("n");
    let played = stage.play().await;
    let cursor = played.wanted.asks.iter().find_map(|ask| {
        if let Ask::Orders { cursor, .. } = ask {
            cursor.clone()
        } else {
            None
        }
    });
    assert_eq!(cursor.as_deref(), Some("b2s"));
    assert!(
        played.text().contains("asking for orders"),
        "{}",
        played.text()
    );
}
