//! What changes something: who may, what is asked before, and how the outcome is told.

use ticketctl::tui::action::{Deed, Place};
use ticketctl::tui::reading::{Command, Outcome, Target, Trouble};

use super::answers;
use super::stage::{Stage, Step};

fn warmup(role: &str) -> Stage {
    Stage::new(Place::Warmup, Some("default.coldplay"))
        .read([answers::access(role), answers::warmup()])
}

fn lock() -> Command {
    Command {
        deed: Deed::Lock,
        target: Target::Event("default.coldplay".to_owned()),
    }
}

#[tokio::test]
async fn reading_only_and_a_viewer_are_told_what_is_missing() {
    let played = warmup("manager").keys("tcoldplay<enter>").play().await;
    assert!(played.sent.is_empty());
    assert!(
        played.text().contains("ticketctl tui --write"),
        "{}",
        played.text()
    );
    let played = warmup("viewer")
        .write()
        .keys("tcoldplay<enter>")
        .play()
        .await;
    assert!(played.sent.is_empty());
    let text = played.text();
    assert!(
        text.contains("needs a token with the role manager; yours has viewer"),
        "{text}"
    );
    let nobody = Stage::new(Place::Warmup, Some("default.coldplay")).write();
    let played = nobody.keys("tcoldplay<enter>").play().await;
    assert!(played.sent.is_empty());
    assert!(
        played.text().contains("your role is not known"),
        "{}",
        played.text()
    );
}

#[tokio::test]
async fn only_the_events_name_lets_a_deed_happen() {
    let sent = |keys: &'static str| async move {
        let played = warmup("manager").write().keys(keys).play().await;
        (played.sent.clone(), played.text())
    };
    for (keys, word) in [
        ("t<enter>", "nothing was done"),
        ("tcoldpla<enter>", "\"coldpla\" is not \"coldplay\""),
        ("tdefault.coldplay<enter>", "nothing was done"),
        ("tcoldplay<esc>", "nothing was done"),
        ("tcoldplay", "type the event's name"),
    ] {
        let (sent, text) = sent(keys).await;
        assert!(sent.is_empty(), "{keys}");
        assert!(text.contains(word), "{keys}: {text}");
    }
    let (sent, text) = sent("tcoldplaz<backspace>y<enter>").await;
    assert_eq!(sent, [lock()]);
    assert!(
        text.contains("lock the sale of default.coldplay: under way"),
        "{text}"
    );
}

#[tokio::test]
async fn an_outcome_is_told_and_everything_is_asked_again() {
    let end = |result| {
        Step::End(Outcome {
            command: lock(),
            result,
        })
    };
    let stage = || warmup("manager").write().keys("tcoldplay<enter>");
    let played = stage()
        .then(end(Ok("the sale is held at epoch 4".to_owned())))
        .play()
        .await;
    assert!(played.state.under_way.is_empty());
    assert_eq!(played.wanted.round, 1);
    assert!(
        played.text().contains("the sale is held at epoch 4"),
        "{}",
        played.text()
    );
    let refused = Trouble {
        what: "static:ann holds the lock (warmup-locked)".to_owned(),
        next: Some("wait for it".to_owned()),
    };
    let text = stage().then(end(Err(refused))).screen().await;
    assert!(text.contains("static:ann holds the lock"), "{text}");
    assert!(text.contains("next: wait for it"), "{text}");
}

#[tokio::test]
async fn a_deed_on_an_order_is_about_the_one_under_the_cursor() {
    let orders = || {
        Stage::new(Place::Orders, Some("default.coldplay"))
            .write()
            .read([answers::access("manager"), answers::orders()])
    };
    let played = orders().keys("jjrcoldplay<enter>").play().await;
    let under_cursor = played.state.list().unwrap().cursor.clone();
    let [command] = played.sent.as_slice() else {
        panic!("{:?}", played.sent)
    };
    let target = Target::Order {
        id: under_cursor.unwrap(),
        event: "default.coldplay".to_owned(),
    };
    assert_eq!((command.deed, &command.target), (Deed::Refund, &target));
    let text = orders().keys("/nobody<enter>c").screen().await;
    assert!(text.contains("no order is under the cursor"), "{text}");
}

#[tokio::test]
async fn no_more_commands_are_sent_than_can_be_under_way() {
    let played = warmup("manager")
        .write()
        .keys(&"ucoldplay<enter>".repeat(9))
        .play()
        .await;
    assert_eq!(played.sent.len(), ticketctl::tui::mailbox::COMMANDS_MAX);
    assert!(
        played.text().contains("commands are under way"),
        "{}",
        played.text()
    );
}

/// A sale's cluster, with a plan that waits for approval.
fn ledger(place: Place) -> Stage {
    Stage::new(place, Some("default.coldplay")).write().read([
        answers::access("viewer"),
        answers::shards(),
        answers::rebalances(),
    ])
}

#[tokio::test]
async fn a_rebalance_is_planned_without_a_name_and_begins_with_one() {
    let node = || "postgres-worker-1:5432".to_owned();
    for (keys, target) in [
        ("b<enter>", Target::Ledger),
        ("d<enter>", Target::Node(node())),
        (
            "p<enter>",
            Target::Pin {
                event: "default.coldplay".to_owned(),
                node: node(),
            },
        ),
    ] {
        let played = ledger(Place::Shards).keys(keys).play().await;
        let [command] = played.sent.as_slice() else {
            panic!("{keys}: {:?}: {}", played.sent, played.text())
        };
        assert_eq!(command.target, target, "{keys}");
    }
    let left = ledger(Place::Shards).keys("d<esc>").play().await;
    assert!(left.sent.is_empty());

    let proposed = Target::Rebalance {
        name: "drain-x7k2p".to_owned(),
        version: Some("41".to_owned()),
    };
    for keys in ["a<enter>", "adrain<enter>", "adrain-x7k2p<esc>"] {
        let played = ledger(Place::Rebalances).keys(keys).play().await;
        assert!(played.sent.is_empty(), "{keys}");
    }
    // From the list, and from the plan itself.
    for keys in ["adrain-x7k2p<enter>", "<enter>adrain-x7k2p<enter>"] {
        let played = ledger(Place::Rebalances).keys(keys).play().await;
        let [command] = played.sent.as_slice() else {
            panic!("{keys}: {:?}: {}", played.sent, played.text())
        };
        let expected = (Deed::Approve, &proposed);
        assert_eq!((command.deed, &command.target), expected, "{keys}");
    }
    // A stop must not have to wait for typing.
    let played = ledger(Place::Rebalances).keys("s<enter>").play().await;
    assert_eq!(played.sent.len(), 1);
    assert_eq!(played.sent[0].deed, Deed::Stop);
    let empty = Stage::new(Place::Rebalances, None).write();
    let text = empty.keys("s").screen().await;
    assert!(text.contains("no rebalance is under the cursor"), "{text}");
}
