//! `ticketctl rebalance plan`: makes the resource, not approved, and shows what the operator plans for it.

use kube::ResourceExt;
use ticket_crds::RebalancePhase;

use super::dry_run;
use super::show::Shown;
use crate::cli::RebalancePlan;
use crate::clients::Clients;
use crate::commands::Ended;
use crate::exit::Exit;
use crate::output::Output;
use crate::rebalance::{Rebalance, api, make};

pub(crate) async fn plan(
    flags: RebalancePlan,
    clients: &Clients,
    output: &mut Output<'_>,
) -> Ended {
    let api = api(clients).await?;
    let made = make::create(&api, flags, clients).await?;
    if clients.is_dry_run() {
        return dry_run::show(&made, clients, output).await;
    }
    let name = made.name_any();
    let Some(planned) = make::planned(api, &name).await? else {
        output.show(&Shown(&made))?;
        return Err(make::not_planned(&name));
    };
    output.show(&Shown(&planned))?;
    let rebalance = Rebalance::of(&planned);
    match rebalance.phase() {
        Some(RebalancePhase::Failed) => Err(make::cannot_be_planned(&rebalance)),
        Some(RebalancePhase::Completed) => {
            output.word("nothing has to move");
            Ok(Exit::Ok)
        }
        Some(
            RebalancePhase::Proposed
            | RebalancePhase::Approved
            | RebalancePhase::Rebalancing
            | RebalancePhase::Stopped,
        )
        | None => {
            output.word(&format!(
                "nothing moves yet; `ticketctl rebalance approve {name}` starts it"
            ));
            Ok(Exit::Ok)
        }
    }
}
