//! What a binary is made to do while it is sampled: the loads of the benchmarks, on servers of their own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ticket_testkit::stack::{self, Given, Roles, Say, StackOptions};
use ticket_testkit::{Citus, Product, workspace_dir};

use super::perf::Sampling;
use crate::kubectl::Kubectl;
use crate::ledger::rig::Rig;
use crate::ledger::{self, fill};
use crate::say;
use crate::stack_env::StackEnv;
use crate::together::stand::Stand;

/// Orders that are drained before anything is sampled: the servers must be warm, or the program waits for them.
const WARM_UP_ORDERS: u32 = 100_000;

/// Stock shards of the processor's event, each on a partition of its own.
const SHARDS: u16 = 4;

/// Orders on the log for each second: a little more than the processor can decide.
const ORDERS_PER_S: u32 = 200_000;

/// Orders per second that an API accepts at most; room for them is made beforehand.
const ACCEPTED_PER_S_MAX: u64 = 60_000;

/// The load goes on for so long after the samples are taken.
const AFTER: Duration = Duration::from_secs(1);

/// Events that the operator makes and removes at the same time.
const EVENTS: usize = 16;

/// Their stock shards.
const STOCK_SHARDS: u32 = 64;

/// Orders over HTTP, decided by a processor beside it.
pub(super) async fn api(sampling: &Sampling) -> anyhow::Result<()> {
    let rig = warm_rig().await?;
    let lasts = sampling.lasts() + AFTER;
    let room = usize::try_from(lasts.as_secs() * ACCEPTED_PER_S_MAX)?;
    let stand = Stand::start(&rig, room).await?;
    let pid = pid(&stand.api.product)?;
    let (carried, ()) = tokio::try_join!(stand.closed(&rig, lasts), sampling.record(pid))?;
    say::progress(&format!(
        "{:.0} orders/s meanwhile",
        carried.outcome.per_second()
    ));
    stand.finish(&rig).await.map(drop)
}

/// A full order log.
pub(super) async fn processor(sampling: &Sampling) -> anyhow::Result<()> {
    let rig = warm_rig().await?;
    let seconds = u32::try_from(sampling.lasts().as_secs())?;
    let orders = ORDERS_PER_S.saturating_mul(seconds);
    say::progress(&format!("filling the order log with {orders} orders"));
    let events = [rig
        .event(SHARDS, fill::units(orders, SHARDS.into()))
        .await?];
    fill::fill(&rig, &events, orders).await?;
    let mut processor = rig.processor(ledger::BATCH_MAX).await?;
    sampling.record(pid(&processor)?).await?;
    processor.stop().await.context("the processor did not stop")
}

async fn warm_rig() -> anyhow::Result<Rig> {
    say::progress("starting PostgreSQL, Kafka and Redis for the profile alone");
    let rig = Rig::start(Citus::IfInstalled).await?;
    ledger::warm_up(&rig, WARM_UP_ORDERS).await?;
    Ok(rig)
}

fn pid(product: &Product) -> anyhow::Result<u32> {
    let identity = product.server().identity();
    Ok(identity.context("the program does not run")?.pid)
}

/// Events that come and go on a stack of its own.
pub(super) async fn operator(sampling: &Sampling) -> anyhow::Result<()> {
    let dir = workspace_dir().join(".stack/profile");
    let telling: Say = Arc::new(say::progress);
    let options = StackOptions {
        dir: dir.clone(),
        roles: Some(Roles::All),
        given: Given::default(),
        say: Arc::clone(&telling),
    };
    // The stack outlives this process, so that it is taken down whatever happens.
    let work = async {
        stack::up(&options)
            .await
            .context("could not start the stack")?;
        events_come_and_go(sampling, dir.clone()).await
    };
    let done = tokio::select! {
        done = Box::pin(work) => done,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    stack::clean(&dir, &telling)
        .await
        .context("could not remove the stack")?;
    done
}

async fn events_come_and_go(sampling: &Sampling, dir: PathBuf) -> anyhow::Result<()> {
    let file = dir.join("profile-events.yaml");
    std::fs::write(&file, (0..EVENTS).map(event).collect::<String>())
        .with_context(|| format!("could not write {}", file.display()))?;
    let file = file.to_str().context("the checkout's path is not UTF-8")?;
    let kubectl = Kubectl::new(&StackEnv::read(&dir)?.kubeconfig)?;
    let pid_file = dir.join("pids/operator.pid");
    let pid = std::fs::read_to_string(&pid_file)
        .with_context(|| format!("could not read {}", pid_file.display()))?;
    let pid = pid.trim().parse().context("the operator has no pid")?;

    let until = Instant::now() + sampling.lasts();
    let load = async {
        let mut times = 0_u32;
        while Instant::now() < until {
            kubectl.run(&["apply", "--server-side", "-f", file]).await?;
            let ready = [
                "wait",
                "-f",
                file,
                "--for=condition=Ready",
                "--timeout=120s",
            ];
            kubectl.run(&ready).await?;
            kubectl
                .run(&["delete", "-f", file, "--wait", "--timeout=120s"])
                .await?;
            times += 1;
        }
        say::progress(&format!("{EVENTS} events came and went {times} times"));
        anyhow::Ok(())
    };
    tokio::try_join!(load, sampling.record(pid)).map(drop)
}

/// An event that is on sale, as YAML.
fn event(number: usize) -> String {
    format!(
        "---
apiVersion: ticketctl.io/v1alpha1
kind: Event
metadata: {{ name: profile-{number}, namespace: default }}
spec:
  title: Profile {number}
  sales: {{ opensAt: \"2025-01-01T00:00:00Z\", closesAt: \"2099-01-01T00:00:00Z\", holdFor: 10m, maxPerBuyer: 4 }}
  categories:
  - {{ name: standing, price: {{ currency: IDR, amountMinor: 75000000 }}, quantity: 64000, stockShards: {STOCK_SHARDS} }}
  queue: {{ partitions: 8, replicationFactor: 1, retention: 24h }}
  deletionPolicy: Delete
"
    )
}
