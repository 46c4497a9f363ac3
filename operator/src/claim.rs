//! Whose event it is. The ledger lets the oldest resource have it. A resource is named by the cluster and its uid, so that
//! an owner which died without a word (its finalizer was taken off by hand) can be told from one that lives elsewhere.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::ObjectMeta;
use kube::{Api, ResourceExt};
use ticket_core::{EventId, EventName};
use ticket_ledger::{Adopted, EventClaim, LedgerError};
use tracing::{info, warn};

use crate::context::Context;
use crate::error::{OperatorError, Result, status_code};
use crate::kubernetes;

/// Its uid stands for the cluster: it is made with the cluster and lives as long.
const CLUSTER_NAMESPACE: &str = "kube-system";

/// The ledger's event, as ours.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) event: EventId,
    pub(crate) name: EventName,
    /// What the ledger calls us.
    pub(crate) owner: String,
    /// It was made by this claim.
    pub(crate) is_fresh: bool,
    /// Generation of our resource, as we read it.
    pub(crate) generation: i64,
}

/// Claims the ledger's event for the resource.
///
/// # Errors
/// [`OperatorError::Owned`] if an older resource lives that has it.
pub(crate) async fn claim(context: &Context, meta: &ObjectMeta) -> Result<Claim> {
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    let name = EventName::new(namespace, meta.name.as_deref().unwrap_or_default())
        .map_err(|cause| OperatorError::Name { cause })?;
    let cluster = cluster(context).await?;
    let owner = format!("{cluster}/{}", meta.uid.as_deref().unwrap_or_default());
    let created = meta
        .creation_timestamp
        .as_ref()
        .map_or(Timestamp::MAX, |time| time.0);
    let wanted = EventClaim {
        name: name.clone(),
        owner_uid: owner.clone(),
        owner_created_at: created,
    };
    let failed = |cause: LedgerError| OperatorError::Observe {
        what: "the ledger's event",
        cause: Box::new(cause.into()),
    };
    context.faults.before_effect().await;
    let mut adopted = context.ledger.adopt_event(&wanted).await.map_err(failed)?;
    if let Adopted::Conflict { owner: other } = &adopted
        && is_dead(cluster, other)
    {
        // Two resources of one name cannot live in one cluster, and we do.
        release(context, &name, other).await.map_err(failed)?;
        adopted = context.ledger.adopt_event(&wanted).await.map_err(failed)?;
    }
    match adopted {
        Adopted::Owned { event, fresh } => {
            if fresh {
                info!(event = %name, id = %event, "event made in the ledger");
            }
            Ok(Claim {
                event,
                name,
                owner,
                is_fresh: fresh,
                generation: meta.generation.unwrap_or_default(),
            })
        }
        Adopted::Conflict { owner } => Err(OperatorError::Owned { owner }),
    }
}

async fn release(
    context: &Context,
    name: &EventName,
    owner: &str,
) -> std::result::Result<(), LedgerError> {
    let Some(row) = context.ledger.event_by_name(name).await? else {
        return Ok(());
    };
    warn!(event = %name, owner, "the owner of the ledger's event is gone, taking it over");
    context.ledger.release_event(row.id, owner).await
}

/// Whether an owner of the same name in this cluster, which is not us, is gone. Unknown clusters are never judged.
fn is_dead(cluster: &str, owner: &str) -> bool {
    !cluster.is_empty()
        && owner
            .split_once('/')
            .is_some_and(|(theirs, _)| theirs == cluster)
}

/// This cluster's name; empty where we may not ask for it.
async fn cluster(context: &Context) -> Result<&str> {
    let ask = || async {
        let namespaces: Api<Namespace> = Api::all(context.client.clone());
        let asked = namespaces.get_metadata(CLUSTER_NAMESPACE);
        match kubernetes::call("ask for the cluster's identity", asked).await {
            Ok(namespace) => Ok(namespace.uid().unwrap_or_default()),
            Err(OperatorError::Kubernetes { cause, .. })
                if matches!(status_code(&cause), Some(403 | 404)) =>
            {
                Ok(String::new())
            }
            Err(error) => Err(error),
        }
    };
    context
        .cluster
        .get_or_try_init(ask)
        .await
        .map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_owner_of_this_very_cluster_can_be_known_dead() {
        assert!(is_dead("a", "a/uid"));
        assert!(!is_dead("a", "b/uid"));
        assert!(!is_dead("", "/uid"));
        assert!(!is_dead("a", "uid"));
    }
}
