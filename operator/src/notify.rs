//! Kubernetes Events about our Events: one per step that was carried out, one per failure that is new. Words for people
//! under `kubectl describe`; nothing depends on them, so a failure to write one is logged and forgotten.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use ticket_plan::Step;
use ticket_telemetry::chain;
use tracing::debug;

use crate::context::Context;
use crate::kubernetes;

/// Longest note of an Event, bytes (the API server refuses more than 1 kB).
const NOTE_BYTES_MAX: usize = 1_000;

pub(crate) fn recorder(client: Client) -> Recorder {
    Recorder::new(
        client,
        Reporter {
            controller: "ticketctl.io/operator".to_owned(),
            instance: None,
        },
    )
}

/// A step was carried out.
pub(crate) async fn done(context: &Context, about: &ObjectReference, step: &Step) {
    let note = match step {
        Step::CreateTopic {
            topic, partitions, ..
        } => {
            format!("created topic {topic} with {partitions} partitions")
        }
        Step::GrowPartitions { topic, from, to } => {
            format!("grew topic {topic} from {from} to {to} partitions")
        }
        Step::SetTopicConfig {
            topic,
            retention_ms,
        } => {
            format!("set the retention of topic {topic} to {retention_ms} ms")
        }
        Step::WriteEvent { .. } => "wrote the settings of the sale to the ledger".to_owned(),
        Step::LeaseLanes { lanes, .. } => format!("leased {lanes} lanes for its stock shards"),
        Step::SplitShard { .. } => "made sure that each of its lanes is alone in its Citus shard".to_owned(),
        Step::ReleaseLanes { lanes } => format!("gave {lanes} lanes back"),
        Step::CreateStockShards {
            category, shards, ..
        } => {
            format!("made {} stock shards for category {category}", shards.len())
        }
        Step::SeedStock { epoch } => format!("filled the stock store at epoch {epoch}"),
        Step::AdjustStock {
            category, from, to, ..
        } => format!("category {category} had {from} tickets and shall have {to}"),
        Step::RequireWarmUp { .. } => {
            "the order log was gone while its sale was open: orders that were accepted and not decided yet are lost and end as \
             rejected; it is made again, and the stock store is filled from the ledger".to_owned()
        }
        Step::OpenSales => "let buyers in, while the clock allows it".to_owned(),
        Step::CloseSales => "ended the sale".to_owned(),
        Step::CloseStock => "emptied the stock store".to_owned(),
        Step::DeleteTopic { topic } => format!("deleted topic {topic}"),
        Step::DeleteEvent => "deleted stock and orders".to_owned(),
        Step::ReleaseEvent => "kept topic, stock and orders for the next of this name".to_owned(),
        Step::Blocked { reason } => reason.to_string(),
    };
    publish(
        context,
        about,
        type_of(step),
        reason(step),
        step.name(),
        &note,
    )
    .await;
}

/// Something that went well.
pub(crate) async fn said(context: &Context, about: &ObjectReference, reason: &str, note: &str) {
    publish(context, about, EventType::Normal, reason, "Reconcile", note).await;
}

/// Something new went wrong.
pub(crate) async fn failed(context: &Context, about: &ObjectReference, reason: &str, note: &str) {
    publish(
        context,
        about,
        EventType::Warning,
        reason,
        "Reconcile",
        note,
    )
    .await;
}

/// Whether it is something that a person should look at.
const fn type_of(step: &Step) -> EventType {
    match step {
        Step::RequireWarmUp { .. } | Step::Blocked { .. } => EventType::Warning,
        Step::CreateTopic { .. }
        | Step::GrowPartitions { .. }
        | Step::SetTopicConfig { .. }
        | Step::WriteEvent { .. }
        | Step::LeaseLanes { .. }
        | Step::SplitShard { .. }
        | Step::ReleaseLanes { .. }
        | Step::CreateStockShards { .. }
        | Step::SeedStock { .. }
        | Step::AdjustStock { .. }
        | Step::OpenSales
        | Step::CloseSales
        | Step::CloseStock
        | Step::DeleteTopic { .. }
        | Step::DeleteEvent
        | Step::ReleaseEvent => EventType::Normal,
    }
}

/// Stable reasons: what happened, in the past tense.
const fn reason(step: &Step) -> &'static str {
    match step {
        Step::CreateTopic { .. } => "TopicCreated",
        Step::GrowPartitions { .. } => "PartitionsGrown",
        Step::SetTopicConfig { .. } => "TopicConfigured",
        Step::WriteEvent { .. } => "SettingsWritten",
        Step::LeaseLanes { .. } => "LanesLeased",
        Step::SplitShard { .. } => "LanesIsolated",
        Step::ReleaseLanes { .. } => "LanesReleased",
        Step::CreateStockShards { .. } => "StockShardsCreated",
        Step::SeedStock { .. } => "StockSeeded",
        Step::AdjustStock { .. } => "StockAdjusted",
        Step::RequireWarmUp { .. } => "OrderLogLost",
        Step::OpenSales => "SalesOpened",
        Step::CloseSales => "SalesClosed",
        Step::CloseStock => "StockClosed",
        Step::DeleteTopic { .. } => "TopicDeleted",
        Step::DeleteEvent => "EventDeleted",
        Step::ReleaseEvent => "EventReleased",
        Step::Blocked { .. } => "Blocked",
    }
}

async fn publish(
    context: &Context,
    about: &ObjectReference,
    type_: EventType,
    reason: &str,
    action: &str,
    note: &str,
) {
    let mut note = note.to_owned();
    note.truncate(note.floor_char_boundary(NOTE_BYTES_MAX));
    let said = Event {
        type_,
        reason: reason.to_owned(),
        note: Some(note),
        action: action.to_owned(),
        secondary: None,
    };
    let published = context.recorder.publish(&said, about);
    if let Err(error) = kubernetes::call("publish a Kubernetes event", published).await {
        debug!(error = %chain(&error), reason, "kubernetes event not written");
    }
}
