//! The promise of the whole platform: 20,000 people come for 2,000 tickets, the processor is killed in the middle of the
//! sale and started again, and afterwards everything adds up to the ticket.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ticket_bench::admin::Admin;
use ticket_bench::kubectl::Kubectl;
use ticket_bench::report;
use ticket_bench::sale::{self, Faults, Outcome, Sale};
use ticket_bench::stack_env::StackEnv;
use ticket_testkit::stack::{self, Given, Roles, Say, StackOptions};
use ticket_testkit::{Home, workspace_dir};
use tokio::time::sleep;

const BUYERS: u32 = 20_000;

/// Tickets that are taken when the processor is killed: the sale has begun and is not over.
const TAKEN_AT_THE_KILL: i64 = 300;

/// The sale must have come so far by then.
const TAKEN_WAIT_MAX: Duration = Duration::from_mins(1);

/// How long nobody decides anything.
const DOWN_FOR: Duration = Duration::from_secs(2);

/// A stack of its own, with a process for each role. Its processes outlive this one, so that they must be stopped.
fn an_own_stack(name: &str) -> (Home, StackOptions) {
    let home = Home::own(name).unwrap();
    let say: Say = Arc::new(|line: &str| println!("{line}"));
    let (dir, given) = (home.dir().to_path_buf(), Given::default());
    (
        home,
        StackOptions {
            dir,
            roles: Some(Roles::Split),
            given,
            say,
        },
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_buyers_and_a_processor_killed_in_the_middle() {
    let (_home, options) = an_own_stack("killed");
    drop(rustls::crypto::ring::default_provider().install_default());
    let judged = Box::pin(sold_through_a_kill(&options)).await;
    let stopped = stack::down(&options.dir, &options.say).await;
    let (sale, outcome) = judged.unwrap();
    stopped.unwrap();

    println!("{}", report::of_sale(&sale, &outcome));
    let broken: Vec<_> = outcome
        .verdicts
        .iter()
        .filter(|verdict| !verdict.holds())
        .collect();
    assert!(broken.is_empty(), "{broken:#?}");
    assert_eq!(
        outcome.evidence.book.stories.len(),
        usize::try_from(BUYERS).unwrap()
    );
    let capacity: i64 = outcome
        .evidence
        .after
        .iter()
        .map(|stock| stock.capacity)
        .sum();
    assert_eq!(capacity, 2_000);
    // Far more people than tickets: what is left was given back by people who did not pay.
    let sold: i64 = outcome.evidence.after.iter().map(|stock| stock.sold).sum();
    assert!(sold > capacity / 2, "{sold} of {capacity} sold");
}

async fn sold_through_a_kill(options: &StackOptions) -> anyhow::Result<(Sale, Outcome)> {
    stack::up(options)
        .await
        .context("the stack did not start")?;
    let env = StackEnv::read(&options.dir)?;
    let event = "default.demo".parse()?;
    let example = workspace_dir().join("crds/examples/demo.yaml");
    let kubectl = Kubectl::new(&env.kubeconfig)?;
    let file = example
        .to_str()
        .context("the checkout's path is not UTF-8")?;
    kubectl.run(&["apply", "--server-side", "-f", file]).await?;
    let resource = "events.ticketctl.io/demo";
    kubectl
        .run(&["wait", resource, "--for=condition=Ready", "--timeout=60s"])
        .await?;

    let sale = Sale {
        event,
        buyers: BUYERS,
        seed: 7,
        faults: Faults::default(),
    };
    let (outcome, killed) = tokio::join!(
        Box::pin(sale::hold(&env, &sale)),
        kill_in_the_middle(options, &env, &sale)
    );
    killed?;
    Ok((sale, outcome?))
}

/// Kills the processor when the sale is on its way, and starts it again a moment later.
async fn kill_in_the_middle(
    options: &StackOptions,
    env: &StackEnv,
    sale: &Sale,
) -> anyhow::Result<()> {
    let admin = Admin::new(env)?;
    let started = Instant::now();
    loop {
        let stock = admin.stock(&sale.event).await?;
        let taken: i64 = stock.iter().map(|stock| stock.held + stock.sold).sum();
        let capacity: i64 = stock.iter().map(|stock| stock.capacity).sum();
        if taken >= TAKEN_AT_THE_KILL {
            anyhow::ensure!(taken < capacity, "the sale was over before the kill");
            println!("kill -9 of the processor at {taken} of {capacity} tickets");
            break;
        }
        anyhow::ensure!(
            started.elapsed() < TAKEN_WAIT_MAX,
            "only {taken} tickets are taken"
        );
        sleep(Duration::from_millis(10)).await;
    }
    let pid_file = options.dir.join("pids/runtime-processor.pid");
    let pid = kill(&pid_file)?;
    sleep(DOWN_FOR).await;
    stack::up(options)
        .await
        .context("the processor did not start again")?;
    let again = std::fs::read_to_string(&pid_file)?;
    anyhow::ensure!(again.trim() != pid, "the processor was never dead");
    println!(
        "the processor runs again, {:.1} s into the sale",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

fn kill(pid_file: &Path) -> anyhow::Result<String> {
    let pid = std::fs::read_to_string(pid_file)?.trim().to_owned();
    let status = Command::new("kill")
        .args(["-9", &pid])
        .stdin(Stdio::null())
        .status()?;
    anyhow::ensure!(status.success(), "kill -9 {pid}: {status}");
    Ok(pid)
}
