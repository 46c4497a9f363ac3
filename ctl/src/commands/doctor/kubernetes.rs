//! Kubeconfig, API server, resource definitions, events.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject};
use kube::{Client, CustomResourceExt, ResourceExt};
use ticket_core::Code;
use ticket_crds::{RebalancePhase, ShardRebalance, TicketEvent};

use super::Finding;
use crate::clients::Clients;
use crate::commands::events;
use crate::exit::{Exit, Failure};
use crate::rebalance::{self, Rebalance};

/// Events that are named one by one.
const EVENTS_NAMED_MAX: usize = 20;

/// Rebalances that are named one by one.
const REBALANCES_NAMED_MAX: usize = 20;

/// How to bring the resource definitions.
const APPLY_CRDS: &str = "kubectl apply --server-side -f crds/";

pub(super) async fn check(clients: &Clients) -> Vec<Finding> {
    let mut findings = Vec::new();
    let client = match kubeconfig(clients).await {
        Ok((client, finding)) => {
            findings.push(finding);
            client
        }
        Err(failure) => return vec![Finding::failed("kubeconfig", failure)],
    };
    match clients
        .ask(
            "ask the API server for its version",
            client.apiserver_version(),
        )
        .await
    {
        Ok(version) => findings.push(Finding::ok("api-server", version.git_version)),
        Err(failure) => {
            findings.push(Finding::failed("api-server", failure));
            return findings;
        }
    }
    let name = TicketEvent::crd_name();
    let (finding, is_there) = definition(clients, &client, "event-definition", name).await;
    findings.push(finding);
    if is_there {
        findings.extend(events(clients).await);
    }
    let (check, name) = ("rebalance-definition", ShardRebalance::crd_name());
    let (finding, is_there) = definition(clients, &client, check, name).await;
    findings.push(finding);
    if is_there {
        findings.extend(rebalances(clients).await);
    }
    findings
}

async fn kubeconfig(clients: &Clients) -> Result<(Client, Finding), Failure> {
    let url = clients.kube_config().await?.cluster_url.to_string();
    Ok((clients.kube().await?, Finding::ok("kubeconfig", url)))
}

/// The finding, and whether events can be asked for at all.
async fn definition(
    clients: &Clients,
    client: &Client,
    check: &str,
    name: &str,
) -> (Finding, bool) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let found = match clients
        .ask("read the resource definition", api.get(name))
        .await
    {
        Ok(found) => found,
        Err(Failure::Failed {
            exit: Exit::NotFound,
            ..
        }) => {
            return (
                Finding::fail(check, format!("{name} is missing"), APPLY_CRDS),
                false,
            );
        }
        Err(failure) => {
            // Many people may read events but no definitions.
            let mut finding = Finding::failed(check, failure);
            finding.level = crate::output::Level::Warn;
            return (finding, true);
        }
    };
    let conditions = found
        .status
        .and_then(|status| status.conditions)
        .unwrap_or_default();
    let is_established = conditions
        .iter()
        .any(|it| it.type_ == "Established" && it.status == "True");
    if is_established {
        (Finding::ok(check, format!("{name} is established")), true)
    } else {
        let next = format!("kubectl describe crd {name}");
        (
            Finding::fail(check, format!("{name} is not established"), next),
            false,
        )
    }
}

async fn events(clients: &Clients) -> Vec<Finding> {
    const CHECK: &str = "events";
    let listed = async {
        let api = events::api(clients, None).await?;
        events::all(&api, clients).await
    };
    let objects = match listed.await {
        Ok(objects) => objects.items,
        Err(failure) => return vec![Finding::failed(CHECK, failure)],
    };
    let waiting: Vec<&DynamicObject> = objects
        .iter()
        .filter(|object| !events::Row::of(object).is("Ready"))
        .collect();
    let ready = objects.len() - waiting.len();
    let mut findings = vec![Finding::ok(
        CHECK,
        format!("{ready} of {} are ready", objects.len()),
    )];
    findings.extend(
        waiting
            .iter()
            .take(EVENTS_NAMED_MAX)
            .map(|object| hindered(object)),
    );
    if waiting.len() > EVENTS_NAMED_MAX {
        let more = format!("{} more are not ready", waiting.len() - EVENTS_NAMED_MAX);
        findings.push(Finding::warn(CHECK, more, "ticketctl events list -A"));
    }
    findings
}

/// Rebalances that are stuck. Most clusters have none under way, and then there is nothing to say.
async fn rebalances(clients: &Clients) -> Vec<Finding> {
    const CHECK: &str = "rebalance";
    let listed = async {
        let api = rebalance::api(clients).await?;
        rebalance::all(&api, clients).await
    };
    match listed.await {
        Ok(objects) => objects
            .items
            .iter()
            .filter_map(|object| stuck(&Rebalance::of(object)))
            .take(REBALANCES_NAMED_MAX)
            .collect(),
        Err(failure) => vec![Finding::failed(CHECK, failure)],
    }
}

/// One that no operator has met, or that is under way with an error.
fn stuck(rebalance: &Rebalance) -> Option<Finding> {
    const CHECK: &str = "rebalance";
    let name = &rebalance.name;
    let phase = rebalance.phase();
    if phase.is_none() {
        let detail = format!("{name} has no status: no operator has seen it");
        return Some(Finding::warn(CHECK, detail, "check that the operator runs"));
    }
    let error = rebalance.status.last_error.as_ref()?;
    if phase != Some(RebalancePhase::Rebalancing) && phase != Some(RebalancePhase::Approved) {
        return None;
    }
    let detail = format!("{name} does not go on: {} [{}]", error.message, error.code);
    let next = error.code.parse::<Code>();
    let next = next.map_or_else(
        |()| format!("ticketctl rebalance status {name}"),
        |code| code.next_step().to_owned(),
    );
    Some(Finding::warn(CHECK, detail, next))
}

fn hindered(object: &DynamicObject) -> Finding {
    let row = events::Row::of(object);
    let reason = row.reason();
    let error = row
        .status
        .as_ref()
        .and_then(|status| status.last_error.as_ref());
    let detail = match (error, row.status.is_some()) {
        (Some(error), _) => format!(
            "{} is not ready: {} [{}]",
            row.event_name(),
            error.message,
            error.code
        ),
        (None, true) => format!(
            "{} is not ready: {} {}",
            row.event_name(),
            reason,
            row.message()
        ),
        (None, false) => format!(
            "{} has no status: no operator has seen it",
            row.event_name()
        ),
    };
    let code = error.map_or(reason, |error| &error.code);
    let get = format!(
        "ticketctl -n {} events get {}",
        row.namespace,
        object.name_any()
    );
    let next = match code.parse::<Code>() {
        Ok(code) => code.next_step().to_owned(),
        Err(()) if row.status.is_none() => "check that the operator runs".to_owned(),
        Err(()) => get,
    };
    Finding::warn("event", detail.trim_end(), next)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::commands::events::row_tests::{object, ready};

    #[test]
    fn a_hindered_event_names_its_error_and_the_codes_next_step() {
        let status = json!({
            "conditions": [ready("False", "LogUnreachable", 1)],
            "lastError": {"code": "log-unreachable", "message": "no broker answers"},
        });
        let finding = hindered(&object(1, &status));
        assert_eq!(
            finding.detail,
            "default.demo is not ready: no broker answers [log-unreachable]"
        );
        assert_eq!(
            finding.next.as_deref(),
            Some(Code::LogUnreachable.next_step())
        );
    }

    #[test]
    fn a_rebalance_is_only_spoken_of_when_it_is_stuck() {
        let of = |status: serde_json::Value| {
            let object: DynamicObject = serde_json::from_value(json!({
                "apiVersion": "ticketctl.io/v1alpha1", "kind": "ShardRebalance",
                "metadata": { "name": "drain" }, "status": status,
            }))
            .unwrap();
            stuck(&Rebalance::of(&object))
        };
        let unseen = of(json!({})).unwrap();
        assert!(unseen.detail.contains("no operator has seen it"));
        let error = json!({ "code": "node-down", "message": "node b does not answer" });
        for (phase, is_stuck) in [("Rebalancing", true), ("Failed", false), ("Stopped", false)] {
            let found = of(json!({ "phase": phase, "lastError": error }));
            assert_eq!(found.is_some(), is_stuck, "{phase}");
        }
        let found = of(json!({ "phase": "Rebalancing", "lastError": error })).unwrap();
        assert_eq!(found.next.as_deref(), Some(Code::NodeDown.next_step()));
        assert!(of(json!({ "phase": "Rebalancing" })).is_none());
    }

    #[test]
    fn an_event_that_no_operator_saw_says_so() {
        let mut bare = object(1, &json!({}));
        bare.data.as_object_mut().unwrap().remove("status");
        let finding = hindered(&bare);
        assert!(
            finding.detail.contains("no operator has seen it"),
            "{}",
            finding.detail
        );
        assert_eq!(
            finding.next.as_deref(),
            Some("check that the operator runs")
        );
    }
}
