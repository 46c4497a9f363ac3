//! What people want to know of a rebalance, read from the object as far as it can be read.

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde::de::DeserializeOwned;
use ticket_crds::{ConditionType, RebalancePhase, RebalanceSpec, RebalanceStatus};

/// A rebalance.
#[derive(Debug, Clone)]
pub struct Rebalance {
    /// Its name.
    pub name: String,
    /// Changes with everything that is written to it.
    pub version: Option<String>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// What people want; `None` when this program cannot read it.
    pub spec: Option<RebalanceSpec>,
    /// What the operator says.
    pub status: RebalanceStatus,
    generation: Option<i64>,
}

impl Rebalance {
    /// As the API server gave it.
    #[must_use]
    pub fn of(object: &DynamicObject) -> Self {
        Self {
            name: object.name_any(),
            version: object.metadata.resource_version.clone(),
            created: object.creation_timestamp().map(|time| time.0),
            spec: part(object, "spec"),
            status: part(object, "status").unwrap_or_default(),
            generation: object.metadata.generation,
        }
    }

    /// Where it stands; `None` before the operator has met it.
    #[must_use]
    pub const fn phase(&self) -> Option<RebalancePhase> {
        self.status.phase
    }

    /// For people.
    #[must_use]
    pub fn phase_word(&self) -> &'static str {
        self.phase().map_or("-", RebalancePhase::as_str)
    }

    /// The operator has met the newest spec.
    #[must_use]
    pub fn is_up_to_date(&self) -> bool {
        self.status.observed_generation == self.generation
    }

    /// Why it stands where it stands: code in `PascalCase` and words.
    #[must_use]
    pub fn reason(&self) -> (&str, &str) {
        let mut conditions = self.status.conditions.iter();
        let ready = conditions.find(|it| it.type_ == ConditionType::Ready.as_str());
        ready.map_or(("", ""), |it| (it.reason.as_str(), it.message.as_str()))
    }

    /// What shall be reached, for people.
    #[must_use]
    pub fn mode(&self) -> &'static str {
        self.spec.as_ref().map_or("", |spec| spec.mode.as_str())
    }

    /// Moves that are done, of all.
    #[must_use]
    pub fn done(&self) -> String {
        let progress = self.status.progress.unwrap_or_default();
        format!("{}/{}", progress.done, progress.total)
    }
}

fn part<T: DeserializeOwned>(object: &DynamicObject, name: &str) -> Option<T> {
    let value = object.data.get(name)?;
    serde_json::from_value(value.clone()).ok()
}
