//! `ticketctl events list|get|wait`. Events come from Kubernetes; where the admin API is named, its numbers are newer
//! than the status and are shown instead.

mod get;
mod list;
mod row;
mod wait;

use kube::api::{Api, ApiResource, DynamicObject};
use ticket_crds::TicketEvent;

use crate::clients::Clients;
use crate::exit::Failure;

pub(crate) use get::get;
pub(crate) use list::{all, list};
pub(crate) use row::Row;
#[cfg(test)]
pub(crate) use row::tests as row_tests;
pub(crate) use wait::wait;

/// Events as the API server has them: untyped, so that one that cannot be read is shown and does not hide the others,
/// and so that `-o json` prints what is there and not what this program knows of it.
pub(crate) async fn api(
    clients: &Clients,
    namespace: Option<&str>,
) -> Result<Api<DynamicObject>, Failure> {
    let client = clients.kube().await?;
    let resource = ApiResource::erase::<TicketEvent>(&());
    Ok(match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    })
}

/// As `kubectl -o name` calls an event.
fn resource_name(name: &str) -> String {
    format!("event.ticketctl.io/{name}")
}
