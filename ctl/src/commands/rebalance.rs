//! `ticketctl rebalance plan|approve|stop|resume|status`. Everything goes through the `ShardRebalance` resource: the
//! operator plans and moves, this shows it and says what a person wants.

mod change;
mod dry_run;
mod plan;
mod show;

use kube::api::{Api, DynamicObject, ObjectList};
use ticket_crds::RebalancePhase;

use self::show::{Listed, Shown, line};
use super::watch::{self, Change};
use super::{DELETED, Ended};
use crate::cli::RebalanceStatus;
use crate::clients::Clients;
use crate::exit::Exit;
use crate::output::{Growing, Output};
use crate::rebalance::{Rebalance, all, api, get};

pub(crate) use change::{approve, resume, stop};
pub(crate) use plan::plan;

pub(crate) async fn status(
    flags: &RebalanceStatus,
    clients: &Clients,
    output: &mut Output<'_>,
) -> Ended {
    let api = api(clients).await?;
    let Some(name) = &flags.name else {
        let objects = all(&api, clients).await?;
        if flags.watch {
            return follow_all(api, &objects, output).await;
        }
        if objects.items.is_empty() {
            output.word("no rebalances");
        }
        output.show(&Listed(&objects))?;
        return Ok(Exit::Ok);
    };
    let object = get(&api, name, clients).await?;
    if flags.watch {
        return follow(api, &object, output).await;
    }
    output.show(&Shown(&object))?;
    Ok(Exit::Ok)
}

/// Programs get an object at a time from the beginning, people lines under those that are there.
async fn follow_all(
    api: Api<DynamicObject>,
    objects: &ObjectList<DynamicObject>,
    output: &mut Output<'_>,
) -> Ended {
    if !output.is_for_people() {
        return watch::list(
            api,
            &[],
            |object, _, output| Ok(output.stream(&Shown(object))?),
            output,
        )
        .await;
    }
    let is_wide = output.is_wide();
    let mut growing = Growing::default();
    output.text(&growing.lines(&show::lines(&objects.items, None, is_wide)))?;
    watch::list(
        api,
        &objects.items,
        |object, change, output| {
            let phase = match change {
                Change::Made => None,
                Change::Deleted => Some(DELETED),
            };
            let line = show::lines(std::slice::from_ref(object), phase, is_wide);
            Ok(output.text(&growing.lines(&line))?)
        },
        output,
    )
    .await
}

/// Shows every change until nothing changes by itself any more.
async fn follow(api: Api<DynamicObject>, first: &DynamicObject, output: &mut Output<'_>) -> Ended {
    output.stream(&Shown(first))?;
    if let Some(exit) = ended(first) {
        return Ok(exit);
    }
    let what = format!("rebalance {}", Rebalance::of(first).name);
    watch::object(
        api,
        &what,
        first,
        |object, output| {
            if output.is_for_people() {
                output.text(&line(&Rebalance::of(object)))?;
            } else {
                output.stream(&Shown(object))?;
            }
            Ok(ended(object))
        },
        output,
    )
    .await
}

/// How it ended, if it has, and about the newest spec.
fn ended(object: &DynamicObject) -> Option<Exit> {
    let rebalance = Rebalance::of(object);
    if !rebalance.is_up_to_date() {
        return None;
    }
    match rebalance.phase()? {
        RebalancePhase::Completed | RebalancePhase::Stopped => Some(Exit::Ok),
        RebalancePhase::Failed => Some(Exit::Error),
        RebalancePhase::Proposed | RebalancePhase::Approved | RebalancePhase::Rebalancing => None,
    }
}
