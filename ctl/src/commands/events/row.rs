//! What people want to know of an event, read from its object as far as it can be read.

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde::de::DeserializeOwned;
use ticket_admin::Counts;
use ticket_crds::{EventSpec, EventStatus};

use crate::output::age;

/// Shown as phase of an object that does not fit the resource's type.
const UNREADABLE: &str = "Unreadable";

/// An event for people.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) namespace: String,
    pub(crate) name: String,
    created: Option<Timestamp>,
    generation: Option<i64>,
    pub(crate) spec: Option<EventSpec>,
    pub(crate) status: Option<EventStatus>,
    pub(crate) stock: Option<Counts>,
}

impl Row {
    pub(crate) fn of(object: &DynamicObject) -> Self {
        let status: Option<EventStatus> = part(object, "status");
        Self {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            created: object.creation_timestamp().map(|time| time.0),
            generation: object.metadata.generation,
            spec: part(object, "spec"),
            stock: status.as_ref().and_then(stock),
            status,
        }
    }

    pub(crate) fn phase(&self) -> String {
        if self.spec.is_none() {
            return UNREADABLE.to_owned();
        }
        let phase = self
            .status
            .as_ref()
            .and_then(|status| status.phase)
            .unwrap_or_default();
        phase.as_str().to_owned()
    }

    /// `True`, `False` or `Unknown`; `Stale` when it is about an older spec.
    pub(crate) fn condition(&self, kind: &str) -> String {
        let found = self.status.iter().flat_map(|status| &status.conditions);
        let Some(condition) = found.into_iter().find(|it| it.type_ == kind) else {
            return "Unknown".to_owned();
        };
        let seen = condition.observed_generation;
        let seen = seen.or(self
            .status
            .as_ref()
            .and_then(|status| status.observed_generation));
        match (seen, self.generation) {
            (Some(seen), Some(newest)) if seen < newest => "Stale".to_owned(),
            (Some(_) | None, Some(_) | None) => condition.status.clone(),
        }
    }

    /// Is this condition true, and about the newest spec?
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.condition(kind) == "True"
    }

    /// Reason of the condition `Ready`, a code in `PascalCase`.
    pub(crate) fn reason(&self) -> &str {
        self.condition_field(|condition| &condition.reason)
    }

    /// Message of the condition `Ready`.
    pub(crate) fn message(&self) -> &str {
        self.condition_field(|condition| &condition.message)
    }

    fn condition_field(
        &self,
        field: impl Fn(&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition) -> &String,
    ) -> &str {
        let found = self.status.iter().flat_map(|status| &status.conditions);
        found
            .into_iter()
            .find(|it| it.type_ == "Ready")
            .map_or("", |it| field(it).as_str())
    }

    /// `True` of `Ready`; else with the reason.
    pub(crate) fn ready(&self) -> String {
        let ready = self.condition("Ready");
        if ready == "True" || self.reason().is_empty() {
            return ready;
        }
        format!("{ready} ({})", self.reason())
    }

    pub(crate) fn age(&self, now: Timestamp) -> String {
        self.created
            .map(|created| age(created, now))
            .unwrap_or_default()
    }

    /// `<namespace>.<name>`.
    pub(crate) fn event_name(&self) -> String {
        format!("{}.{}", self.namespace, self.name)
    }
}

/// Over all categories; absent until the operator has written any.
fn stock(status: &EventStatus) -> Option<Counts> {
    if status.stock.is_empty() {
        return None;
    }
    let mut total = Counts::default();
    for category in &status.stock {
        total.capacity += category.capacity;
        total.available += category.available;
        total.held += category.held;
        total.sold += category.sold;
    }
    Some(total)
}

fn part<T: DeserializeOwned>(object: &DynamicObject, name: &str) -> Option<T> {
    serde_json::from_value(object.data.get(name)?.clone()).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// An event with a status as the operator writes it.
    pub(crate) fn object(generation: i64, status: &serde_json::Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "ticketctl.io/v1alpha1", "kind": "Event",
            "metadata": {"name": "demo", "namespace": "default", "generation": generation},
            "spec": {
                "title": "Demo",
                "sales": {"opensAt": "2025-01-01T00:00:00Z", "closesAt": "2099-01-01T00:00:00Z"},
                "categories": [
                    {"name": "vip", "price": {"currency": "IDR", "amountMinor": 5}, "quantity": 9}
                ],
            },
            "status": status,
        }))
        .unwrap()
    }

    pub(crate) fn ready(status: &str, reason: &str, generation: i64) -> serde_json::Value {
        json!({
            "type": "Ready", "status": status, "reason": reason, "message": "as it is",
            "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": generation,
        })
    }

    #[test]
    fn a_condition_about_an_older_spec_is_stale() {
        let status = json!({"phase": "OnSale", "conditions": [ready("True", "Ready", 1)]});
        assert!(Row::of(&object(1, &status)).is("Ready"));
        assert!(!Row::of(&object(2, &status)).is("Ready"));
        assert_eq!(Row::of(&object(2, &status)).condition("Ready"), "Stale");
        assert_eq!(Row::of(&object(2, &status)).phase(), "OnSale");
    }

    #[test]
    fn an_object_that_cannot_be_read_is_still_a_row() {
        let mut broken = object(1, &json!({}));
        broken.data = json!({"spec": {"title": 7}});
        let row = Row::of(&broken);
        assert_eq!(
            (row.name.as_str(), row.phase().as_str()),
            ("demo", UNREADABLE)
        );
        assert_eq!(row.condition("Ready"), "Unknown");
    }
}
