//! Carries a fault out and takes it back. Who is broken is locked until it is whole again, so that two faults of one target
//! come one after the other, and so that nobody starts what is meant to be down. What is begun is always taken back: a
//! fault that fails half way still resumes, restarts and removes before it says so.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use sqlx::{Connection as _, PgConnection};
use ticket_testkit::PostgresServer;
use tokio::time::sleep;

use super::fault::{Fault, Target};
use super::schedule::Planned;
use super::stand::{BACK_WAIT_MAX, Stand, TRY_EVERY, bring_back};
use super::{clock, disk};

/// Between two rounds of terminating sessions: a commit takes a few milliseconds, so that some are met in the middle.
const TERMINATE_EVERY: Duration = Duration::from_millis(7);

/// Bytes that an append-only file loses: from a torn command to a few hundred commands.
const TAIL_BYTES: u32 = 50_000;

/// A clock jumps by up to so many seconds, either way: more than a hold, and less than a buyer waits for an end, because a
/// hold that begins while the clock is ahead lasts longer by as much.
const CLOCK_JUMP_MAX_S: u32 = 20;

/// How long a keeper may take to begin a warm-up after the store has lost everything.
const WARM_UP_WAIT_MAX: Duration = Duration::from_secs(10);

/// Why a fault cannot be carried out on this machine, if it cannot.
#[must_use]
pub(super) fn missing(fault: Fault) -> Option<String> {
    match fault {
        Fault::Clock(_) if clock::library().is_none() => {
            Some("libfaketime is not installed; next step: apt-get install faketime".to_owned())
        }
        Fault::FullDisk => disk::missing(),
        Fault::Kill(_)
        | Fault::Pause(_)
        | Fault::Flush
        | Fault::KeeperInWarmUp
        | Fault::OldDump
        | Fault::CutAof
        | Fault::Promotion
        | Fault::Sessions
        | Fault::Rebalance
        | Fault::Clock(_) => None,
    }
}

/// Carries `planned` out, waits, takes it back. `did` is called when it is there. Answers with what is worth telling.
pub(super) async fn inflict(
    stand: &Stand,
    planned: Planned,
    did: impl FnOnce(),
) -> anyhow::Result<String> {
    let Planned {
        fault,
        lasts,
        choice,
        ..
    } = planned;
    match fault {
        Fault::Kill(target) => kill(stand, target, lasts, choice, did).await,
        Fault::Pause(target) => pause(stand, target, lasts, did).await,
        Fault::Flush => {
            did();
            stand.redis.lock().await.flush().await?;
            Ok(String::new())
        }
        Fault::KeeperInWarmUp => kill_keeper_in_warm_up(stand, did).await,
        Fault::OldDump => {
            did();
            stand
                .redis
                .lock()
                .await
                .comes_back_old(sleep(lasts))
                .await?;
            Ok(format!("{lasts:?} old"))
        }
        Fault::CutAof => {
            did();
            let bytes = 1 + choice % TAIL_BYTES;
            let mut redis = stand.redis.lock().await;
            redis.loses_its_tail(sleep(lasts), bytes.into()).await?;
            Ok(format!("{bytes} bytes cut"))
        }
        Fault::Promotion => {
            did();
            stand.redis.lock().await.is_replaced(sleep(lasts)).await?;
            Ok(format!("{lasts:?} behind"))
        }
        Fault::Sessions => {
            did();
            terminate_sessions(stand, lasts).await
        }
        Fault::Rebalance => rebalance(stand, lasts, choice, did).await,
        Fault::Clock(target) => move_clock(stand, target, lasts, choice, did).await,
        Fault::FullDisk => {
            let mut postgres = stand.postgres.lock().await;
            did();
            disk::fill(stand, &mut postgres, lasts, choice).await
        }
    }
}

async fn kill(
    stand: &Stand,
    target: Target,
    lasts: Duration,
    choice: u32,
    did: impl FnOnce(),
) -> anyhow::Result<String> {
    if let Some(name) = target.process() {
        let mut process = stand.process(name)?.lock().await;
        process.kill().await?;
        did();
        sleep(lasts).await;
        bring_back(name, &mut process).await?;
        return Ok(String::new());
    }
    match target {
        Target::Redis => {
            did();
            stand.redis.lock().await.dies(lasts).await?;
            Ok(String::new())
        }
        Target::Postgres => {
            let mut postgres = stand.postgres.lock().await;
            let which = kill_nodes(&mut postgres, choice).await;
            did();
            sleep(lasts).await;
            postgres.restart().await?;
            which
        }
        Target::Kafka => {
            let mut kafka = stand.kafka.lock().await;
            kafka.kill().await?;
            did();
            sleep(lasts).await;
            kafka.restart().await?;
            Ok(String::new())
        }
        Target::Api | Target::Processor | Target::Payments | Target::Keeper | Target::Operator => {
            anyhow::bail!("{target:?} has no process")
        }
    }
}

/// A power cut of one node, or of all.
async fn kill_nodes(postgres: &mut PostgresServer, choice: u32) -> anyhow::Result<String> {
    let nodes = 1 + postgres.workers().len();
    let chosen = usize::try_from(choice).unwrap_or(0) % (nodes + 1);
    let is_hit = |node: usize| chosen == nodes || chosen == node;
    for number in 0..postgres.workers().len() {
        if is_hit(number + 1)
            && let Some(worker) = postgres.worker_mut(number)
        {
            worker.kill().await?;
        }
    }
    if is_hit(0) {
        postgres.kill().await?;
    }
    Ok(match chosen {
        0 => "the coordinator".to_owned(),
        all if all == nodes => "all nodes".to_owned(),
        worker => format!("worker {worker}"),
    })
}

async fn pause(
    stand: &Stand,
    target: Target,
    lasts: Duration,
    did: impl FnOnce(),
) -> anyhow::Result<String> {
    // Between pause and resume nothing can fail.
    let waiting = async {
        did();
        sleep(lasts).await;
    };
    if let Some(name) = target.process() {
        let process = stand.process(name)?.lock().await;
        process.pause()?;
        waiting.await;
        process.resume()?;
        return Ok(String::new());
    }
    match target {
        Target::Redis => {
            let redis = stand.redis.lock().await;
            redis.primary.pause()?;
            waiting.await;
            redis.primary.resume()?;
        }
        Target::Kafka => {
            let kafka = stand.kafka.lock().await;
            kafka.pause()?;
            waiting.await;
            kafka.resume()?;
        }
        Target::Postgres => {
            let postgres = stand.postgres.lock().await;
            let nodes = || std::iter::once(postgres.server()).chain(postgres.workers());
            let paused = nodes().try_for_each(ticket_testkit::Server::pause_all);
            waiting.await;
            nodes().try_for_each(ticket_testkit::Server::resume_all)?;
            paused?;
        }
        Target::Api | Target::Processor | Target::Payments | Target::Keeper | Target::Operator => {
            anyhow::bail!("{target:?} has no process")
        }
    }
    Ok(String::new())
}

/// Empties the store, waits until the keeper has begun to fill it again, and kills the keeper then.
async fn kill_keeper_in_warm_up(stand: &Stand, did: impl FnOnce()) -> anyhow::Result<String> {
    let name = "runtime-keeper";
    let mut keeper = stand.process(name)?.lock().await;
    let before = newest_epoch(stand).await?;
    stand.redis.lock().await.flush().await?;
    did();
    let started = Instant::now();
    let mut is_begun = false;
    while !is_begun && started.elapsed() < WARM_UP_WAIT_MAX {
        // A database that is down just now says nothing either way.
        is_begun = newest_epoch(stand).await.is_ok_and(|epoch| epoch > before);
        sleep(Duration::from_millis(1)).await;
    }
    keeper.kill().await?;
    bring_back(name, &mut keeper).await?;
    anyhow::ensure!(is_begun, "no warm-up began within {WARM_UP_WAIT_MAX:?}");
    Ok(String::new())
}

/// The sum over all events grows with every warm-up lock that is taken: lock and epoch are one thing.
async fn newest_epoch(stand: &Stand) -> anyhow::Result<i64> {
    let mut ledger = PgConnection::connect(&stand.env.database_url).await?;
    let epoch = sqlx::query_scalar("SELECT coalesce(sum(epoch), 0)::bigint FROM events")
        .fetch_one(&mut ledger)
        .await?;
    ledger.close().await?;
    Ok(epoch)
}

async fn terminate_sessions(stand: &Stand, lasts: Duration) -> anyhow::Result<String> {
    let postgres = stand.postgres.lock().await;
    let mut nodes = Vec::new();
    for url in stand.node_urls(&postgres) {
        let node = PgConnection::connect(&url).await;
        nodes.push(node.context("no connection to terminate others")?);
    }
    let started = Instant::now();
    let mut terminated = 0;
    while started.elapsed() < lasts {
        for node in &mut nodes {
            let count: i64 = sqlx::query_scalar(
                "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid() \
                     AND backend_type = 'client backend' AND state <> 'idle'",
            )
            .fetch_one(&mut *node)
            .await
            .context("could not terminate sessions")?;
            terminated += count;
        }
        sleep(TERMINATE_EVERY).await;
    }
    for node in nodes {
        node.close().await?;
    }
    Ok(format!("{terminated} sessions"))
}

/// The second member ends in order or at once: partitions come back by its word, or by the broker's patience.
async fn rebalance(
    stand: &Stand,
    lasts: Duration,
    choice: u32,
    did: impl FnOnce(),
) -> anyhow::Result<String> {
    let started = Instant::now();
    // What it depends on may be down just now.
    let mut second = loop {
        match stand.another("processor", "runtime-processor-2").await {
            Ok(second) => break second,
            Err(error) if started.elapsed() > BACK_WAIT_MAX => return Err(error),
            Err(_) => sleep(TRY_EVERY).await,
        }
    };
    did();
    sleep(lasts).await;
    if choice.is_multiple_of(2) {
        second.stop().await?;
        Ok("left in order".to_owned())
    } else {
        second.kill().await?;
        Ok("killed".to_owned())
    }
}

async fn move_clock(
    stand: &Stand,
    target: Target,
    lasts: Duration,
    choice: u32,
    did: impl FnOnce(),
) -> anyhow::Result<String> {
    let name = target.process().context("it has no clock of its own")?;
    let library = clock::library().context("libfaketime is not installed")?;
    let jump = i64::from(1 + choice % CLOCK_JUMP_MAX_S);
    let jump = if (choice / CLOCK_JUMP_MAX_S).is_multiple_of(2) {
        jump
    } else {
        -jump
    };
    let mut process = stand.process(name)?.lock().await;
    clock::step(&stand.home, name, 0)?;
    let moved = async {
        process.restart_with(clock::PRELOAD, library).await?;
        clock::step(&stand.home, name, jump)?;
        did();
        sleep(lasts).await;
        clock::step(&stand.home, name, 0)
    };
    let moved = moved.await;
    // Started again without the library; it was right again a moment before that.
    let back = process.restart_with(clock::PRELOAD, "").await;
    if back.is_err() {
        bring_back(name, &mut process).await?;
    }
    moved?;
    Ok(format!("{jump:+} s"))
}
