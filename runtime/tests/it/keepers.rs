//! Keepers that die with the lock in their hands, and keepers whose clock is wrong.

use std::path::Path;
use std::time::Duration;

use ticket_ledger::Warmup;

use crate::sale::{Sale, Terms};
use crate::warmups::{Loss, adds_up, lose, warm};

/// Room for a look and a statement of a busy machine, after a lock has run out.
const SOON: Duration = Duration::from_secs(3);

/// Where Debian's package `faketime` puts it, by machine; the one for programs with threads.
const FAKETIME: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];

/// How wrong the clock of a keeper is: longer than a lock lasts.
const AHEAD: &str = "+15\n";

async fn newest(sale: &Sale) -> Option<Warmup> {
    sale.ledger.warmup_history(sale.id, 1).await.unwrap().pop()
}

/// The keeper that holds the lock, when somebody holds it.
async fn holder(sale: &Sale) -> u32 {
    let mut holder = None;
    sale.until("a keeper holds the lock", async || {
        let held = sale.ledger.warmup_lock(sale.id).await.unwrap();
        // `keeper/<process>/<random>`
        holder = held.and_then(|held| held.holder.split('/').nth(1)?.parse().ok());
        holder.is_some()
    })
    .await;
    holder.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_keeper_takes_over_when_the_lock_of_a_killed_one_has_run_out() {
    let mut sale = Sale::open(Terms {
        own_redis: true,
        roles: &["all", "keeper"],
        ..Terms::default()
    })
    .await;
    sale.awaiting("ann", "k", 2).await;
    sale.counts_until(98, 2, 0).await;
    // The run gets as far as the orders, and waits there.
    let held_up = sale.hold_ledger().await;
    lose(&mut sale, Loss::Killed).await;
    let holder = holder(&sale).await;
    let all = sale.runtime.server().identity().unwrap().pid;
    let is_all = holder == all;
    let victim = if is_all {
        &mut sale.runtime
    } else {
        sale.process("keeper")
    };
    victim.kill().await.unwrap();
    let dead = newest(&sale).await.unwrap();
    drop(held_up);
    if is_all {
        // Somebody must meet the markers.
        sale.runtime.restart().await.unwrap();
    }
    assert_eq!(warm(&sale, dead.epoch.0).await, dead.epoch.0 + 1);
    let next = newest(&sale).await.unwrap();
    assert_ne!(next.holder, dead.holder);
    let history = sale.ledger.warmup_history(sale.id, 2).await.unwrap();
    assert_eq!(history[1].result.as_deref(), Some("expired"));
    // Not before, and not much later.
    let after = next.acquired_at.duration_since(history[1].expires_at);
    assert!(
        !after.is_negative() && after.unsigned_abs() < SOON,
        "{after:?} after the lock had run out"
    );
    sale.counts_until(98, 2, 0).await;
    adds_up(&sale).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_whose_clock_is_wrong_holds_its_lock_by_the_databases() {
    let Some(library) = FAKETIME.into_iter().find(|path| Path::new(path).is_file()) else {
        eprintln!("skipped: the system has no libfaketime");
        return;
    };
    let clock = tempfile::NamedTempFile::new().unwrap();
    let setting = |value: &str| Some(value.to_owned());
    let mut sale = Sale::open(Terms {
        own_redis: true,
        roles: &["api", "admin", "processor", "keeper"],
        // Harmless without the library.
        settings: vec![
            (
                "FAKETIME_TIMESTAMP_FILE",
                setting(&clock.path().to_string_lossy()),
            ),
            ("FAKETIME_NO_CACHE", setting("1")),
            ("FAKETIME_DONT_FAKE_MONOTONIC", setting("1")),
        ],
        ..Terms::default()
    })
    .await;
    std::fs::write(clock.path(), "+0\n").unwrap();
    let keeper = sale.process("keeper");
    keeper.restart_with("LD_PRELOAD", library).await.unwrap();
    std::fs::write(clock.path(), AHEAD).unwrap();
    lose(&mut sale, Loss::Killed).await;
    assert_eq!(warm(&sale, 1).await, 2);
    let run = newest(&sale).await.unwrap();
    let lock = run
        .expires_at
        .duration_since(run.acquired_at)
        .unsigned_abs();
    let took = run
        .finished_at
        .unwrap()
        .duration_since(run.acquired_at)
        .unsigned_abs();
    assert!(lock <= ticket_warmup::LEASE + took, "{lock:?}");
    let now = ticket_core::clock::now();
    assert!(
        run.acquired_at <= now && run.finished_at.unwrap() <= now,
        "{run:?}"
    );
}
