//! The demo: from nothing to a sold-out event. Starts the local stack, applies the example, holds the sale, prints the
//! report and stops what it started.

mod event;
mod keep;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use ticket_testkit::stack::{self, Given, Roles, Say, StackOptions};
use tokio::signal::unix::{SignalKind, signal};

use crate::kubectl::Kubectl;
use crate::sale::{self, Faults, Sale};
use crate::stack_env::StackEnv;
use crate::{report, say};

/// How the demo runs.
#[derive(Debug, Clone)]
pub struct Demo {
    /// Folder of the stack.
    pub dir: PathBuf,
    /// One process with all roles, or one per role.
    pub roles: Roles,
    /// Servers that are there already.
    pub given: Given,
    /// How many people come.
    pub buyers: u32,
    /// Which people.
    pub seed: u64,
    /// Leave the stack running.
    pub keep: bool,
}

/// Runs the demo. Says whether everything added up.
///
/// # Errors
/// It could not be carried through; the stack is stopped all the same, unless it is to be kept.
pub async fn run(demo: Demo) -> anyhow::Result<bool> {
    let telling: Say = Arc::new(say::progress);
    let was_up = stack::status(&demo.dir)?
        .processes
        .iter()
        .any(|process| process.pid.is_some());
    let work = Box::pin(up_and_sell(&demo, &telling));
    let result = tokio::select! {
        result = work => result,
        signal = interrupted() => Err(signal),
    };
    if demo.keep {
        if let Ok((env, _)) = &result {
            say::report(&keep::how_to_go_on(env, &event::name()?)?);
        } else {
            say::progress("the stack is left as it is (KEEP=1); stop it: make stack-down");
        }
    } else if was_up {
        say::progress(
            "the stack ran before the demo and is left running; stop it: make stack-down",
        );
    } else {
        // Redis and the sandbox forget everything when they stop: what stayed in the ledger would match nothing.
        if let Ok((env, true)) = &result {
            let kubectl = Kubectl::new(&env.kubeconfig)?;
            let why = "the sale is over: its event is deleted with its data";
            event::remove(&kubectl, why).await?;
        }
        say::progress("stopping the stack");
        stack::down(&demo.dir, &telling)
            .await
            .context("could not stop the stack")?;
    }
    if result.is_err() {
        let logs = demo.dir.join("logs");
        say::progress(&format!(
            "the logs of all processes are in {}",
            logs.display()
        ));
    }
    result.map(|(_, holds)| holds)
}

/// Waits for a signal to end. The stack outlives this process, so that it must be stopped first.
async fn interrupted() -> anyhow::Error {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            anyhow::anyhow!("interrupted")
        }
        Err(error) => anyhow::Error::new(error).context("could not listen for signals"),
    }
}

async fn up_and_sell(demo: &Demo, telling: &Say) -> anyhow::Result<(StackEnv, bool)> {
    say::progress("starting the stack");
    let options = StackOptions {
        dir: demo.dir.clone(),
        roles: Some(demo.roles),
        given: demo.given.clone(),
        say: Arc::clone(telling),
    };
    stack::up(&options)
        .await
        .context("could not start the stack")?;
    let env = StackEnv::read(&demo.dir)?;
    let kubectl = Kubectl::new(&env.kubeconfig)?;
    let event = event::untouched(&kubectl, &env).await?;
    let sale = Sale {
        event,
        buyers: demo.buyers,
        seed: demo.seed,
        faults: Faults::default(),
    };
    let outcome = Box::pin(sale::hold(&env, &sale)).await?;
    say::report(&report::of_sale(&sale, &outcome));
    Ok((env, outcome.holds()))
}
