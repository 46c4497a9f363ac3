//! A sale through payment while everything misbehaves that may: webhooks come late, twice, shuffled or never, buyers are
//! declined, blocked, warned of, dispute, pay by transfer or at the last moment or give the order back while their money is
//! on its way, a reseller changes the stock in both directions, and, if wanted, one process of each role is killed in the
//! middle. It brings its own stack up and down; the verdict is the sale's.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ticket_core::{CategoryName, EventName};
use ticket_testkit::stack::{self, Given, Roles, Say, StackOptions};
use tokio::time::sleep;

use crate::admin::Admin;
use crate::kubectl::Kubectl;
use crate::partner::Partner;
use crate::sale::{self, Faults, Outcome, Sale};
use crate::say;
use crate::stack_env::StackEnv;

/// Every tenth webhook is lost, every fifth comes twice, and a third is overtaken by later ones.
const FAULTS: Faults = Faults {
    late_ms: 200,
    duplicate: 0.2,
    drop: 0.1,
    shuffle: 0.3,
};

/// What is sold.
const CATEGORY: &str = "seat";

/// Buyers for each ticket: the sale sells out, and what comes back is bought again.
const BUYERS_PER_TICKET: u32 = 3;

/// Tickets of one stock shard, about.
const UNITS_PER_SHARD: u32 = 2_500;

/// Hold of a small sale, seconds.
const HOLD_S: u32 = 10;

/// A large crowd keeps two cores busy with its own requests, so that each buyer comes to the till later: the hold grows by a
/// second for so many tickets. With 10 s a third of 10,000 tickets was sold over pairs of processes.
const TICKETS_PER_HOLD_S: u32 = 500;

/// Killed when so many of a hundred tickets are taken.
const KILLED_AT_PERCENT: i64 = 20;

/// The sale must have come so far by then.
const TAKEN_WAIT_MAX: Duration = Duration::from_mins(2);

/// How long the killed processes are away.
const DOWN_FOR: Duration = Duration::from_secs(2);

/// What is sold, to whom, and what is broken.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// Tickets on sale.
    pub tickets: u32,
    /// Which people.
    pub seed: u64,
    /// How the runtime is spread over processes.
    pub roles: Roles,
    /// Kill one process of each role in the middle.
    pub kill: bool,
}

/// Runs the campaign on a stack in `dir`, which is stopped afterwards.
///
/// # Errors
/// It could not be carried through. What does not add up is a verdict, no error.
pub async fn run(campaign: &Campaign, dir: &Path) -> anyhow::Result<(Sale, Outcome)> {
    let telling: Say = Arc::new(say::progress);
    let options = StackOptions {
        dir: dir.to_path_buf(),
        roles: Some(campaign.roles),
        given: Given::default(),
        say: Arc::clone(&telling),
    };
    let held = Box::pin(up_and_sell(campaign, &options)).await;
    // Redis and the sandbox forget when they stop: what stayed in the ledger would match nothing.
    let stopped = if held.is_ok() {
        stack::clean(dir, &telling).await
    } else {
        stack::down(dir, &telling).await
    };
    let held = held?;
    stopped.context("could not stop the stack")?;
    Ok(held)
}

async fn up_and_sell(
    campaign: &Campaign,
    options: &StackOptions,
) -> anyhow::Result<(Sale, Outcome)> {
    stack::up(options)
        .await
        .context("could not start the stack")?;
    let env = StackEnv::read(&options.dir)?;
    let kubectl = Kubectl::new(&env.kubeconfig)?;
    let file = options.dir.join("campaign.yaml");
    std::fs::write(&file, manifest(campaign.tickets)).context("could not write the event")?;
    let file = file
        .to_str()
        .context("the stack's folder is not UTF-8")?
        .to_owned();
    kubectl
        .run(&["apply", "--server-side", "-f", &file])
        .await?;
    let resource = "events.ticketctl.io/campaign";
    let wait = ["wait", resource, "--for=condition=Ready", "--timeout=60s"];
    kubectl.run(&wait).await?;

    let sale = Sale {
        event: EventName::new("default", "campaign").context("the event's name")?,
        buyers: campaign.tickets.saturating_mul(BUYERS_PER_TICKET),
        seed: campaign.seed,
        faults: FAULTS,
    };
    let category = CategoryName::new(CATEGORY).context("the category's name")?;
    let seed = campaign.seed;
    let partner = Partner::open(&env, &sale.event, &category, campaign.tickets, seed).await?;
    let killing = async {
        if campaign.kill {
            kill_in_the_middle(campaign, options, &env, &sale.event).await
        } else {
            Ok(())
        }
    };
    let (outcome, killed) = tokio::join!(
        Box::pin(sale::hold_with(&env, &sale, Some(partner))),
        killing
    );
    killed?;
    let outcome = outcome?;
    provider_is_honest_again(&env).await?;
    Ok((sale, outcome))
}

async fn provider_is_honest_again(env: &StackEnv) -> anyhow::Result<()> {
    crate::provider::spoil(&env.payments_url, &Faults::default()).await
}

fn manifest(tickets: u32) -> String {
    let shards = tickets.div_ceil(UNITS_PER_SHARD).clamp(2, 8);
    let hold_s = HOLD_S + tickets / TICKETS_PER_HOLD_S;
    format!(
        r#"apiVersion: ticketctl.io/v1alpha1
kind: Event
metadata: {{ name: campaign, namespace: default }}
spec:
  title: A sale while everything misbehaves
  sales: {{ opensAt: "2025-01-01T00:00:00Z", closesAt: "2099-01-01T00:00:00Z", holdFor: {hold_s}s, processingFor: 10m, maxPerBuyer: 4 }}
  categories:
  - {{ name: {CATEGORY}, price: {{ currency: IDR, amountMinor: 75000000 }}, quantity: {tickets}, stockShards: {shards} }}
  queue: {{ partitions: {shards}, replicationFactor: 1, retention: 24h }}
  placement: {{ isolation: Shared }}
  stockSource: Reseller
  deletionPolicy: Delete
"#
    )
}

/// Kills the first process of each role when the sale is on its way, and starts them again a moment later.
async fn kill_in_the_middle(
    campaign: &Campaign,
    options: &StackOptions,
    env: &StackEnv,
    event: &EventName,
) -> anyhow::Result<()> {
    let admin = Admin::new(env)?;
    let started = Instant::now();
    loop {
        let stock = admin.stock(event).await?;
        let taken: i64 = stock.iter().map(|stock| stock.held + stock.sold).sum();
        let capacity: i64 = stock.iter().map(|stock| stock.capacity).sum();
        if taken * 100 >= capacity * KILLED_AT_PERCENT {
            say::progress(&format!("kill -9 at {taken} of {capacity} tickets"));
            break;
        }
        anyhow::ensure!(
            started.elapsed() < TAKEN_WAIT_MAX,
            "only {taken} tickets are taken"
        );
        sleep(Duration::from_millis(10)).await;
    }
    let mut killed = Vec::new();
    for name in campaign.roles.first_of_each() {
        let pid_file = options.dir.join(format!("pids/{name}.pid"));
        let pid = kill(&pid_file)?;
        killed.push((pid_file, pid));
    }
    sleep(DOWN_FOR).await;
    stack::up(options)
        .await
        .context("what was killed did not start again")?;
    for (pid_file, pid) in killed {
        let again = std::fs::read_to_string(&pid_file)?;
        anyhow::ensure!(again.trim() != pid, "{} was never dead", pid_file.display());
    }
    Ok(())
}

fn kill(pid_file: &Path) -> anyhow::Result<String> {
    let pid = std::fs::read_to_string(pid_file)
        .with_context(|| format!("could not read {}", pid_file.display()))?
        .trim()
        .to_owned();
    let status = Command::new("kill")
        .args(["-9", &pid])
        .stdin(Stdio::null())
        .status()?;
    anyhow::ensure!(status.success(), "kill -9 {pid}: {status}");
    Ok(pid)
}
