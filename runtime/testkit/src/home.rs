//! The folder of a stack, or of one test's own servers: data, logs and pid files, always in the same places.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Once};

use crate::error::Result;
use crate::{files, process};

/// The folder of the checkout that this crate was built from.
#[must_use]
pub fn workspace_dir() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// The folder of what is installed and of the local stack: `.stack` in the checkout.
pub(crate) fn stack_dir() -> PathBuf {
    workspace_dir().join(".stack")
}

/// A folder with `data/<name>`, `logs/<name>.log` and `pids/<name>.pid`. Clones share it.
#[derive(Debug, Clone)]
pub struct Home {
    dir: PathBuf,
    // Removes the folder with the last clone.
    _guard: Option<Arc<RemovedAtTheEnd>>,
}

impl Home {
    /// A folder that stays.
    pub fn kept(dir: &Path) -> Result<Self> {
        // Servers run in their data folders, where a relative path would mean something else.
        let dir = std::path::absolute(dir).map_err(files::failed("find", dir))?;
        let home = Self { dir, _guard: None };
        home.make()?;
        Ok(home)
    }

    /// A new folder of this process, removed with the last clone (kept for reading after a failed test, until the next
    /// test process comes along).
    pub fn own(name: &str) -> Result<Self> {
        static SWEEP: Once = Once::new();
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let all = stack_dir().join("test/own");
        SWEEP.call_once(|| sweep(&all));
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = all.join(format!("{}-{number}-{name}", std::process::id()));
        let home = Self {
            dir: dir.clone(),
            _guard: Some(Arc::new(RemovedAtTheEnd(dir))),
        };
        home.make()?;
        Ok(home)
    }

    fn make(&self) -> Result<()> {
        for part in ["data", "logs", "pids"] {
            files::make_dir(&self.dir.join(part))?;
        }
        Ok(())
    }

    /// The folder itself.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where a server keeps its data.
    #[must_use]
    pub fn data(&self, name: &str) -> PathBuf {
        self.dir.join("data").join(name)
    }

    /// Where a process writes its output.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{name}.log"))
    }

    /// Where the id of a process stands.
    #[must_use]
    pub fn pid_file(&self, name: &str) -> PathBuf {
        self.dir.join("pids").join(format!("{name}.pid"))
    }
}

#[derive(Debug)]
struct RemovedAtTheEnd(PathBuf);

impl Drop for RemovedAtTheEnd {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // A folder that cannot be removed now is swept by the next test process.
            drop(files::remove_dir(&self.0));
        }
    }
}

/// Removes the folders of test processes that are gone. Their servers died with them.
fn sweep(all: &Path) {
    let Ok(entries) = std::fs::read_dir(all) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name
            .to_string_lossy()
            .split('-')
            .next()
            .and_then(|pid| pid.parse().ok());
        if owner.is_some_and(|pid: u32| !process::exists(pid)) {
            drop(files::remove_dir(&entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_folder_goes_with_its_last_clone() {
        let home = Home::own("unit").unwrap();
        let clone = home.clone();
        let dir = home.dir().to_path_buf();
        drop(home);
        assert!(clone.data("x").starts_with(&dir) && dir.is_dir());
        drop(clone);
        assert!(!dir.exists());
    }

    #[test]
    fn the_workspace_is_the_folder_of_the_lock_file() {
        assert!(workspace_dir().join("Cargo.lock").is_file());
    }
}
