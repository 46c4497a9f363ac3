//! What changes something: who may, what is asked before, and how the outcome is told.

use ticketctl::tui::action::{Deed, Place};
use ticketctl::tui::reading::{Command, Outcome, Trouble};

use super::answers;
use super::stage::{Stage, Step};

fn warmup(role: &str) -> Stage {
    Stage::new(Place::Warmup, Some("default.coldplay"))
        .read([answers::access(role), answers::warmup()])
}

fn lock() -> Command {
    Command {
        deed: Deed::Lock,
        event: "default.coldplay".to_owned(),
        order: None,
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
    assert_eq!(
        (command.deed, &command.order),
        (Deed::Refund, &under_cursor)
    );
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
