//! `approve`, `stop` and `resume`.

use kube::api::DynamicObject;

use super::show::Shown;
use crate::cli::{RebalanceGo, RebalanceName};
use crate::clients::Clients;
use crate::commands::Ended;
use crate::commands::confirm::confirmed;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::rebalance::wish::Wish;
use crate::rebalance::{Rebalance, api, get};

pub(crate) async fn approve(
    flags: &RebalanceGo,
    clients: &Clients,
    output: &mut Output<'_>,
) -> Ended {
    let name = &flags.name;
    let seen = get(&api(clients).await?, name, clients).await?;
    may_go(Wish::Approve, flags, &seen, clients, output)?;
    let then = format!("is approved; `ticketctl rebalance status {name} -w` follows it");
    change(Wish::Approve, &seen, &then, clients, output).await
}

pub(crate) async fn stop(
    flags: &RebalanceName,
    clients: &Clients,
    output: &mut Output<'_>,
) -> Ended {
    let name = &flags.name;
    let seen = get(&api(clients).await?, name, clients).await?;
    let then = format!("stops; `ticketctl rebalance resume {name}` goes on where it stood");
    change(Wish::Stop, &seen, &then, clients, output).await
}

pub(crate) async fn resume(
    flags: &RebalanceGo,
    clients: &Clients,
    output: &mut Output<'_>,
) -> Ended {
    let seen = get(&api(clients).await?, &flags.name, clients).await?;
    may_go(Wish::Resume, flags, &seen, clients, output)?;
    change(Wish::Resume, &seen, "goes on", clients, output).await
}

/// What moves stock that is on sale is only let go by whoever says its name twice.
fn may_go(
    wish: Wish,
    flags: &RebalanceGo,
    seen: &DynamicObject,
    clients: &Clients,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let rebalance = Rebalance::of(seen);
    wish.check(&rebalance)?;
    let is_forced = rebalance.spec.as_ref().is_some_and(|spec| spec.force);
    if !is_forced || clients.is_dry_run() {
        return Ok(());
    }
    let RebalanceGo { name, confirm } = flags;
    let hurts = "also moves what is on sale, and its buyers wait";
    confirmed(name, confirm.as_deref(), hurts, clients, output)
}

/// `then` completes the words about a rebalance that was changed.
async fn change(
    wish: Wish,
    seen: &DynamicObject,
    then: &str,
    clients: &Clients,
    output: &mut Output<'_>,
) -> Ended {
    let name = Rebalance::of(seen).name;
    if clients.is_dry_run() {
        wish.check(&Rebalance::of(seen))?;
        output.show(&Shown(seen))?;
        let verb = wish.verb();
        output.word(&format!("dry run: would {verb} {name}; nothing was done"));
        return Ok(Exit::Ok);
    }
    let changed = wish.carry_out(&api(clients).await?, seen, clients).await?;
    output.show(&Shown(&changed))?;
    output.word(&format!("{name} {then}"));
    Ok(Exit::Ok)
}
