//! What a stack remembers from run to run: ports, processes and secrets, in one file that only its owner may read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Result, TestkitError};
use crate::files;
use crate::process::Identity;
use crate::server::Server;

/// Name of the file in the stack's folder.
pub(super) const FILE: &str = "state.json";

/// One process of the stack.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) port: Option<u16>,
    pub(super) peer_port: Option<u16>,
    /// Absent after `down`.
    pub(super) identity: Option<Identity>,
}

/// Made once per stack, from the system's random numbers.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Secrets {
    pub(super) admin_token: String,
    pub(super) admin_viewer_token: String,
    pub(super) buyer_jwt_secret: String,
    pub(super) webhook_secret: String,
}

impl Secrets {
    fn make() -> Self {
        // Two of them, because each carries 122 random bits and a key for HS256 wants 256.
        let secret = || format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        Self {
            admin_token: secret(),
            admin_viewer_token: secret(),
            buyer_jwt_secret: format!("{}{}", secret(), secret()),
            webhook_secret: format!("whsec_{}", secret()),
        }
    }
}

/// The content of the file.
#[derive(Serialize, Deserialize)]
pub(super) struct State {
    pub(super) has_database: bool,
    pub(super) processes: BTreeMap<String, Known>,
    secrets: Secrets,
}

/// The state in memory, written out at every change.
pub(super) struct StateFile {
    path: PathBuf,
    state: Mutex<State>,
}

impl StateFile {
    /// Reads it, or begins a new one.
    pub(super) fn load(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let state = if path.is_file() {
            serde_json::from_str(&files::read(&path)?).map_err(|cause| TestkitError::State {
                path: path.clone(),
                cause,
            })?
        } else {
            State {
                has_database: false,
                processes: BTreeMap::new(),
                secrets: Secrets::make(),
            }
        };
        Ok(Self {
            path,
            state: Mutex::new(state),
        })
    }

    /// Looks at the state.
    pub(super) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the state and writes it.
    pub(super) fn change(&self, change: impl FnOnce(&mut State)) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        let text = serde_json::to_string_pretty(&*state).map_err(|cause| TestkitError::State {
            path: self.path.clone(),
            cause,
        })?;
        files::write_secret(&self.path, &text)
    }

    pub(super) fn secrets(&self) -> Secrets {
        self.read(|state| state.secrets.clone())
    }

    pub(super) fn has_database(&self) -> bool {
        self.read(|state| state.has_database)
    }

    pub(super) fn process(&self, name: &str) -> Known {
        self.read(|state| state.processes.get(name).cloned().unwrap_or_default())
    }

    /// Port of a listener that has no process of its own (the APIs of the runtime), once chosen always the same.
    pub(super) fn set_port(&self, name: &str, port: u16) -> Result<()> {
        self.change(|state| {
            state.processes.entry(name.to_owned()).or_default().port = Some(port);
        })
    }

    pub(super) fn note(&self, name: &str, server: &Server) -> Result<()> {
        let known = Known {
            port: Some(server.port()),
            peer_port: server.peer_port(),
            identity: server.identity().cloned(),
        };
        self.change(|state| {
            state.processes.insert(name.to_owned(), known);
        })
    }

    pub(super) fn is_stopped(&self, name: &str) -> Result<()> {
        self.change(|state| {
            if let Some(known) = state.processes.get_mut(name) {
                known.identity = None;
            }
        })
    }
}
