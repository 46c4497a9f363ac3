//! One run: a new event, a crowd that comes over a few seconds, the faults of the schedule meanwhile, and both verdicts.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::future::join_all;
use ticket_core::{CategoryName, EventName};
use tokio::time::{sleep, timeout};

use super::report::{Done, Told};
use super::schedule::Planned;
use super::stand::{self, Stand};
use super::{RUN_WAIT_MAX, evidence, inflict, judge};
use crate::sale::{self, Faults, Pace, Sale};
use crate::{check, provider};

/// Webhooks misbehave in every run. Few are lost: each costs half a minute until somebody asks for what it said.
const WEBHOOKS: Faults = Faults {
    late_ms: 100,
    duplicate: 0.2,
    drop: 0.02,
    shuffle: 0.3,
};

/// People come over this time, so that every fault meets somebody.
const COME_OVER: Duration = Duration::from_secs(8);

/// How long the platform may need after the last buyer has gone: an order whose answer nobody got is voided after 15 s, a
/// dead server's connections are made anew within seconds.
const QUIET_WAIT_MAX: Duration = Duration::from_mins(1);

/// Categories: name, tickets, price, stock shards. Some thousand tickets would only take longer.
const CATEGORIES: [(&str, u32, i64, u32); 2] =
    [("seat", 500, 75_000_000, 4), ("vip", 100, 250_000_000, 2)];

/// Partitions of the order log: some have two stock shards.
const PARTITIONS: u32 = 4;

/// They want about half as many tickets again as there are.
const BUYERS: u32 = 420;

/// A run to be held.
#[derive(Debug, Clone)]
pub(super) struct Run {
    /// Names the event.
    pub(super) number: u32,
    /// Which people come.
    pub(super) seed: u64,
    /// What happens.
    pub(super) planned: Vec<Planned>,
}

/// Holds the run and judges it.
///
/// # Errors
/// It could not be held or judged at all.
pub(super) async fn hold(stand: &Stand, run: &Run) -> anyhow::Result<Told> {
    hold_with(stand, run, WEBHOOKS, async || Ok(())).await
}

/// The same with other webhooks, and after something was done to the event that is ready.
pub(super) async fn hold_with(
    stand: &Stand,
    run: &Run,
    webhooks: Faults,
    prepare: impl AsyncFnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Told> {
    let held = Box::pin(held(stand, run, webhooks, prepare));
    let held = timeout(RUN_WAIT_MAX, held).await;
    held.with_context(|| format!("not over after {RUN_WAIT_MAX:?}"))?
}

async fn held(
    stand: &Stand,
    run: &Run,
    webhooks: Faults,
    prepare: impl AsyncFnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Told> {
    let name = format!("chaos-{}", run.number);
    apply(stand, &name).await?;
    prepare().await?;
    let sale = Sale {
        event: EventName::new("default", &name)?,
        buyers: BUYERS,
        seed: run.seed,
        faults: webhooks,
    };
    let pace = Pace {
        over: COME_OVER,
        quiet_wait_max: QUIET_WAIT_MAX,
    };
    let disturbed = disturb(stand, &run.planned);
    let (outcome, (done, restarted)) =
        Box::pin(sale::hold_through(&stand.env, &sale, pace, None, disturbed)).await?;
    provider::spoil(&stand.env.payments_url, &Faults::default()).await?;
    let prices = CATEGORIES.map(|(name, _, price, _)| Ok((CategoryName::new(name)?, price)));
    let prices: Vec<_> = prices.into_iter().collect::<anyhow::Result<_>>()?;
    let gathered = evidence::gather(
        &stand.env.database_url,
        &stand.bus,
        &sale.event,
        &outcome.evidence,
        &prices,
    );
    let gathered = gathered.await?;
    let mut verdicts = outcome.verdicts;
    // Whether every kind of buyer and of bad webhook came by is a question to large sales.
    verdicts.retain(|verdict| !check::ABOUT_THE_SALE.contains(&verdict.name));
    verdicts.extend(judge::judge(&gathered));
    let told = Told {
        done,
        restarted,
        verdicts,
        orders: gathered.told.len(),
        error: None,
    };
    if told.holds() {
        forget(stand, &name).await?;
    }
    Ok(told)
}

/// Carries out the schedule, each fault at its time, and starts again what ends by itself. Over when everything is whole.
async fn disturb(stand: &Stand, planned: &[Planned]) -> (Vec<Done>, Vec<String>) {
    let started = Instant::now();
    let restarted = Mutex::new(Vec::new());
    let note = |name: String| {
        let at = started.elapsed().as_secs_f64();
        let mut restarted = restarted.lock().unwrap_or_else(PoisonError::into_inner);
        restarted.push(format!("{at:.1} s: {name} had ended by itself"));
    };
    let faults = planned.iter().map(|planned| async move {
        sleep(planned.at.saturating_sub(started.elapsed())).await;
        let mut did = None;
        let told = inflict::inflict(stand, *planned, || did = Some(started.elapsed())).await;
        Done {
            planned: *planned,
            did,
            undone: started.elapsed(),
            told: told.map_err(|error| format!("{error:#}")),
        }
    });
    let all = async {
        let mut done = join_all(faults).await;
        if let Err(error) = stand.is_whole().await
            && let Some(last) = done.last_mut()
        {
            last.told = Err(format!("{error:#}"));
        }
        done
    };
    let done = tokio::select! {
        done = all => done,
        () = stand::watch(stand, note) => Vec::new(),
    };
    let restarted = restarted.into_inner();
    (done, restarted.unwrap_or_else(PoisonError::into_inner))
}

async fn apply(stand: &Stand, name: &str) -> anyhow::Result<()> {
    let file = stand.home.dir().join(format!("{name}.yaml"));
    std::fs::write(&file, manifest(name)).context("could not write the event")?;
    let file = file.to_str().context("the folder is not UTF-8")?;
    let apply = ["apply", "--server-side", "-f", file];
    stand.kubectl.run(&apply).await?;
    let resource = format!("events.ticketctl.io/{name}");
    let wait = ["wait", &resource, "--for=condition=Ready", "--timeout=60s"];
    stand.kubectl.run(&wait).await.map(drop)
}

/// The event goes with its data: a store that is lost would be filled again for every event that is left.
async fn forget(stand: &Stand, name: &str) -> anyhow::Result<()> {
    let resource = format!("events.ticketctl.io/{name}");
    let delete = ["delete", &resource, "--wait", "--timeout=60s"];
    stand.kubectl.run(&delete).await.map(drop)
}

fn manifest(name: &str) -> String {
    let categories = CATEGORIES.map(|(name, tickets, price, shards)| {
        format!(
            "  - {{ name: {name}, price: {{ currency: IDR, amountMinor: {price} }}, \
             quantity: {tickets}, stockShards: {shards} }}\n"
        )
    });
    let categories = categories.concat();
    format!(
        r#"apiVersion: ticketctl.io/v1alpha1
kind: Event
metadata: {{ name: {name}, namespace: default }}
spec:
  title: A sale while everything breaks
  sales: {{ opensAt: "2025-01-01T00:00:00Z", closesAt: "2099-01-01T00:00:00Z", holdFor: 6s, processingFor: 20s, maxPerBuyer: 4 }}
  categories:
{categories}  queue: {{ partitions: {PARTITIONS}, replicationFactor: 1, retention: 24h }}
  placement: {{ isolation: Shared }}
  deletionPolicy: Delete
"#
    )
}
