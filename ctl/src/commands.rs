//! One module per command. Each asks, shows, and says how it ended.

mod audit;
mod completions;
mod confirm;
mod doctor;
mod events;
mod explain;
mod lag;
mod man;
mod orders;
mod plan;
mod rebalance;
mod shards;
mod stock;
mod warmup;
mod watch;

use kube::api::DynamicObject;

use crate::cli::{Command, Events, Orders, Rebalance, Shards, Warmup};
use crate::clients::Clients;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::tui;

/// How a command ended.
pub(crate) type Ended = Result<Exit, Failure>;

/// The phase of what is gone, while somebody watches.
const DELETED: &str = "Deleted";

pub(crate) async fn run(command: Command, clients: &Clients, output: &mut Output<'_>) -> Ended {
    match command {
        Command::Events(Events::List(flags)) => events::list(&flags, clients, output).await,
        Command::Events(Events::Get(flags)) => events::get(&flags, clients, output).await,
        Command::Events(Events::Wait(flags)) => events::wait(&flags, clients, output).await,
        Command::Plan(flags) => plan::run(&flags, clients, output).await,
        Command::Stock(flags) => stock::run(&flags, clients, output).await,
        Command::Warmup(Warmup::Status(flags)) => warmup::status(&flags, clients, output).await,
        Command::Warmup(Warmup::Run(flags)) => warmup::run(flags, clients, output).await,
        Command::Warmup(Warmup::Lock(flags)) => warmup::lock(flags, clients, output).await,
        Command::Warmup(Warmup::Unlock(flags)) => warmup::unlock(flags, clients, output).await,
        Command::Orders(Orders::List(flags)) => orders::list(flags, clients, output).await,
        Command::Orders(Orders::Get(flags)) => orders::get(&flags, clients, output).await,
        Command::Orders(Orders::Refund(flags)) => orders::refund(&flags, clients, output).await,
        Command::Orders(Orders::Cancel(flags)) => orders::cancel(&flags, clients, output).await,
        Command::Shards(Shards::List(flags)) => shards::list(flags, clients, output).await,
        Command::Rebalance(Rebalance::Plan(flags)) => rebalance::plan(flags, clients, output).await,
        Command::Rebalance(Rebalance::Approve(flags)) => {
            rebalance::approve(&flags, clients, output).await
        }
        Command::Rebalance(Rebalance::Stop(flags)) => {
            rebalance::stop(&flags, clients, output).await
        }
        Command::Rebalance(Rebalance::Resume(flags)) => {
            rebalance::resume(&flags, clients, output).await
        }
        Command::Rebalance(Rebalance::Status(flags)) => {
            rebalance::status(&flags, clients, output).await
        }
        Command::Lag(flags) => lag::run(flags, clients, output).await,
        Command::Audit(flags) => audit::run(&flags, clients, output).await,
        Command::Doctor => doctor::run(clients, output).await,
        Command::Explain(flags) => explain::run(&flags, output),
        Command::Completions(flags) => completions::run(&flags, output),
        Command::Man(flags) => man::run(&flags, output),
        Command::Tui(flags) => Box::pin(tui::run(&flags, clients.clone())).await,
    }
}

/// Events in the namespace of `-n`, for whoever needs their names alone.
pub(crate) async fn event_objects(clients: &Clients) -> Result<Vec<DynamicObject>, Failure> {
    let namespace = clients.namespace().await;
    let api = events::api(clients, Some(&namespace)).await?;
    Ok(events::all(&api, clients).await?.items)
}

/// All rebalances, for whoever needs their names alone.
pub(crate) async fn rebalance_objects(clients: &Clients) -> Result<Vec<DynamicObject>, Failure> {
    let api = crate::rebalance::api(clients).await?;
    Ok(crate::rebalance::all(&api, clients).await?.items)
}
