//! Readiness: one named probe per thing that the process needs. Whoever talks to that thing says how it went.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;

/// What the process needs, and whether it is there. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Health {
    probes: Arc<RwLock<BTreeMap<String, Result<(), String>>>>,
}

/// One thing that the process needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// `kafka`, `ledger` ...
    pub name: String,
    /// Is it there?
    pub ok: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The answer of `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Is everything there?
    pub ready: bool,
    /// In the order of their names.
    pub probes: Vec<Probe>,
}

impl Health {
    /// Ready once every one of `probes` was said to be there.
    #[must_use]
    pub fn new(probes: &[&str]) -> Self {
        let health = Self::default();
        for probe in probes {
            health.set(probe, Err("not checked yet"));
        }
        health
    }

    /// How it stands with `probe`; an unknown one is added. A change is logged once.
    pub fn set(&self, probe: &str, state: Result<(), impl ToString>) {
        let state = state.map_err(|reason| reason.to_string());
        let mut probes = self.probes.write().unwrap_or_else(PoisonError::into_inner);
        let before = probes.insert(probe.to_owned(), state.clone());
        drop(probes);
        match (before, state) {
            (Some(Err(_)) | None, Ok(())) => tracing::info!(probe, "ready"),
            (Some(Ok(())), Err(reason)) => tracing::warn!(probe, %reason, "not ready"),
            (Some(Ok(())), Ok(())) | (Some(Err(_)) | None, Err(_)) => {}
        }
    }

    /// How it stands with everything.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let probes = self.probes.read().unwrap_or_else(PoisonError::into_inner);
        Readiness {
            ready: probes.values().all(Result::is_ok),
            probes: probes
                .iter()
                .map(|(name, state)| Probe {
                    name: name.clone(),
                    ok: state.is_ok(),
                    reason: state.as_ref().err().cloned(),
                })
                .collect(),
        }
    }

    /// Is everything there?
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.readiness().ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_every_probe_and_the_report_names_the_others() {
        let health = Health::new(&["kafka", "ledger"]);
        assert!(!health.is_ready());
        health.set("kafka", Ok::<(), &str>(()));
        assert!(!health.is_ready());
        health.clone().set("ledger", Ok::<(), &str>(()));
        assert!(health.is_ready());
        health.set("kafka", Err("no broker answers"));
        let readiness = health.readiness();
        assert!(!readiness.ready);
        let kafka = readiness
            .probes
            .iter()
            .find(|probe| probe.name == "kafka")
            .unwrap();
        assert_eq!(kafka.reason.as_deref(), Some("no broker answers"));
    }
}
