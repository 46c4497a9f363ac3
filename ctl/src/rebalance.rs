//! Rebalances as people steer them: read from the `ShardRebalance` resource, and changed through its spec. The operator plans
//! and moves. It does not know a terminal: commands and cockpit both stand on this.

mod read;

pub(crate) mod make;
pub(crate) mod wish;

use kube::api::{Api, ApiResource, DynamicObject, ListParams, ObjectList};
use ticket_crds::ShardRebalance;

pub use read::Rebalance;

use crate::clients::Clients;
use crate::exit::{Exit, Failure};

/// Rebalances of one list; people make a few in a cluster's life.
const LIST_OBJECTS_MAX: u32 = 1_000;

/// Who writes what people want, in `metadata.managedFields`.
const FIELD_MANAGER: &str = "ticketctl";

/// Untyped, so that `-o json` prints what is there and not what this program knows of it.
pub(crate) async fn api(clients: &Clients) -> Result<Api<DynamicObject>, Failure> {
    let resource = ApiResource::erase::<ShardRebalance>(&());
    Ok(Api::all_with(clients.kube().await?, &resource))
}

pub(crate) async fn all(
    api: &Api<DynamicObject>,
    clients: &Clients,
) -> Result<ObjectList<DynamicObject>, Failure> {
    let params = ListParams::default().limit(LIST_OBJECTS_MAX);
    clients.ask("list rebalances", api.list(&params)).await
}

pub(crate) async fn get(
    api: &Api<DynamicObject>,
    name: &str,
    clients: &Clients,
) -> Result<DynamicObject, Failure> {
    let action = format!("get rebalance {name}");
    let found = clients.ask(&action, api.get(name)).await;
    found.map_err(|failure| match failure {
        failure @ Failure::Failed {
            exit: Exit::NotFound,
            ..
        } => failure.but_next("`ticketctl rebalance status` shows what there is"),
        failure @ (Failure::ReaderGone | Failure::Failed { .. }) => failure,
    })
}
