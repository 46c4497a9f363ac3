//! Cores of their own for the servers and for the load generator. A generator that has to fight for its core with the servers
//! that it overloads cannot send what it should: it would measure itself.

use std::process;

use anyhow::Context as _;
use rustix::io::Errno;
use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};

use super::tree;

/// Half of the cores (at least one) are the servers', the rest are this process's, until this is dropped.
#[derive(Debug)]
pub struct Apart {
    all: CpuSet,
    servers: CpuSet,
}

impl Apart {
    /// Moves this process to its cores, and all processes below it to theirs.
    ///
    /// # Errors
    /// On a machine with a single core.
    pub fn move_all() -> anyhow::Result<Self> {
        let all = sched_getaffinity(None).context("could not ask for the cores")?;
        let cores: Vec<_> = (0..CpuSet::MAX_CPU)
            .filter(|core| all.is_set(*core))
            .collect();
        let (servers, own) = cores.split_at(cores.len() / 2);
        anyhow::ensure!(
            !servers.is_empty(),
            "servers and load generator need a core each, and there is only one"
        );
        // From here on everything goes back when it is dropped, also after half of it.
        let apart = Self {
            all,
            servers: set(servers),
        };
        move_process(process::id(), &set(own))?;
        apart.move_servers()?;
        Ok(apart)
    }

    /// Moves what was started meanwhile: a child begins on this process's cores.
    ///
    /// # Errors
    /// If the kernel says no.
    pub fn move_servers(&self) -> anyhow::Result<()> {
        move_below(&self.servers)
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        let back = move_process(process::id(), &self.all).and_then(|()| move_below(&self.all));
        if let Err(error) = back {
            crate::say::progress(&format!(
                "not all processes have all cores again: {error:#}"
            ));
        }
    }
}

fn set(cores: &[usize]) -> CpuSet {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    set
}

fn move_below(cores: &CpuSet) -> anyhow::Result<()> {
    for process in tree(process::id())?.iter().skip(1) {
        move_process(process.pid, cores)?;
    }
    Ok(())
}

/// All threads of a process; what they start from now on stays on the same cores.
fn move_process(pid: u32, cores: &CpuSet) -> anyhow::Result<()> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        // It has ended meanwhile.
        return Ok(());
    };
    for thread in threads.flatten() {
        let id = thread.file_name().to_str().and_then(|id| id.parse().ok());
        let Some(id) = id.and_then(Pid::from_raw) else {
            continue;
        };
        match sched_setaffinity(Some(id), cores) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => {
                return Err(error).with_context(|| format!("could not move process {pid}"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn this_process_and_its_children_have_different_cores_until_it_is_over() {
        let all = sched_getaffinity(None).unwrap();
        if all.count() < 2 {
            assert!(Apart::move_all().is_err());
            return;
        }
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let apart = Apart::move_all().unwrap();
        let own = sched_getaffinity(None).unwrap();
        let childs = sched_getaffinity(id).unwrap();
        assert_eq!(own.count() + childs.count(), all.count());
        assert!((0..CpuSet::MAX_CPU).all(|core| !own.is_set(core) || !childs.is_set(core)));
        drop(apart);
        assert_eq!(sched_getaffinity(None).unwrap(), all);
        assert_eq!(sched_getaffinity(id).unwrap(), all);
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
