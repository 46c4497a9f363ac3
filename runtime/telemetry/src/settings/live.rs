//! Secrets that are replaced while the process runs: their files are looked at every few seconds, and what changed is
//! handed to whoever uses it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Sources, read_secret};
use crate::metric;

/// A value that may be replaced while it is in use. Reading it costs no lock. Cheap to clone; all clones are one.
#[derive(Debug)]
pub struct Live<T>(Arc<ArcSwap<T>>);

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Live<T> {
    /// Begins with `value`.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(value)))
    }

    /// The value as it is now.
    #[must_use]
    pub fn get(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// What `read` makes of the value as it is now; cheaper than [`Self::get`].
    pub fn with<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        read(&self.0.load())
    }

    /// Replaces it.
    pub fn set(&self, value: T) {
        self.0.store(Arc::new(value));
    }
}

type Apply = Box<dyn Fn(SecretString) -> Result<(), String> + Send>;

/// One file that is looked at.
struct Followed {
    variable: String,
    path: PathBuf,
    /// What is in use.
    secret: SecretString,
    apply: Option<Apply>,
    /// Was the last look without a secret? Said once.
    is_broken: bool,
    /// Changed, and only a restart helps.
    needs_restart: bool,
}

/// All secrets of the process that came from files.
#[derive(Default)]
pub struct Rotation {
    followed: Vec<Followed>,
}

impl std::fmt::Debug for Rotation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let variables = self.followed.iter().map(|one| &one.variable);
        f.debug_list().entries(variables).finish()
    }
}

impl Rotation {
    /// Every secret that `sources` read from a file. Until somebody asks for it with [`Self::on_change`], a change is
    /// only said to need a restart.
    #[must_use]
    pub fn new(sources: &Sources) -> Self {
        let followed = sources.secret_files().filter_map(|(variable, path)| {
            let secret = sources
                .settings
                .iter()
                .find(|one| one.variable == variable)?;
            Some(Followed {
                variable: variable.to_owned(),
                path: path.to_owned(),
                secret: SecretString::from(secret.value.clone()?),
                apply: None,
                is_broken: false,
                needs_restart: false,
            })
        });
        Self {
            followed: followed.collect(),
        }
    }

    /// Calls `apply` with the new secret whenever the file of `variable` changes; does nothing if it came from elsewhere.
    /// An error in words keeps the old secret in use.
    pub fn on_change(
        &mut self,
        variable: &str,
        apply: impl Fn(SecretString) -> Result<(), String> + Send + 'static,
    ) {
        let mut followed = self.followed.iter_mut();
        if let Some(one) = followed.find(|one| one.variable == variable) {
            one.apply = Some(Box::new(apply));
        }
    }

    /// Looks at every file each `every`, until `stop`.
    pub async fn run(mut self, every: Duration, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
            // Small files of a memory file system, a few of them: not worth a thread.
            self.look();
        }
    }

    fn look(&mut self) {
        for one in &mut self.followed {
            one.look();
            if one.needs_restart {
                let labels = [("variable", one.variable.clone())];
                metrics::gauge!(metric::RESTART_NEEDED, &labels).set(1.0);
            }
        }
    }
}

impl Followed {
    fn look(&mut self) {
        let variable = self.variable.as_str();
        let secret = match read_secret(&self.path) {
            Ok(secret) => SecretString::from(secret),
            Err(reason) => {
                if !self.is_broken {
                    warn!(
                        variable,
                        reason, "secret file not readable, the old secret stays in use"
                    );
                }
                self.is_broken = true;
                return;
            }
        };
        self.is_broken = false;
        if secret.expose_secret() == self.secret.expose_secret() {
            return;
        }
        match self.apply.as_ref().map(|apply| apply(secret.clone())) {
            Some(Ok(())) => info!(variable, "secret replaced"),
            Some(Err(reason)) => {
                warn!(
                    variable,
                    reason, "new secret refused, the old one stays in use"
                );
            }
            None => {
                self.needs_restart = true;
                warn!(
                    variable,
                    "secret changed, it is used after a restart of this process"
                );
            }
        }
        // Also if it was refused: it is said once.
        self.secret = secret;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Setting, Source};

    fn sources(path: PathBuf, value: &str) -> Sources {
        Sources {
            settings: vec![Setting {
                variable: "TICKET_X".to_owned(),
                flag: "x".to_owned(),
                group: String::new(),
                help: String::new(),
                is_secret: true,
                value: Some(value.to_owned()),
                source: Source::SecretFile(path),
            }],
        }
    }

    #[test]
    fn a_changed_file_replaces_the_value_and_a_missing_or_refused_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, "old\n").unwrap();
        let live = Live::new("old".to_owned());
        let mut rotation = Rotation::new(&sources(path.clone(), "old"));
        let target = live.clone();
        rotation.on_change("TICKET_X", move |secret| {
            if secret.expose_secret().len() < 3 {
                return Err("too short".to_owned());
            }
            target.set(secret.expose_secret().to_owned());
            Ok(())
        });
        let mut look = |text: Option<&str>| {
            match text {
                Some(text) => std::fs::write(&path, text).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            rotation.look();
            live.get().as_str().to_owned()
        };
        assert_eq!(look(Some("new\n")), "new");
        assert_eq!(look(None), "new");
        assert_eq!(look(Some("")), "new");
        assert_eq!(look(Some("xy")), "new");
        assert_eq!(look(Some("newest")), "newest");
    }
}
