//! One child process: how it is started, whether it still lives, whether it owns its port, and how it ends.
//!
//! A process is known by its id, its start time and the boot of the machine, never by its name: ids are used again.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::error::{Result, TestkitError};
use crate::files;
use crate::home::Home;

/// How long a process may take to end by itself once asked. Kafka writes its snapshots in this time, and the runtime
/// drains for up to 20 s.
pub(crate) const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How long the kernel may take to end a process after SIGKILL.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// Pause between two looks at a process.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Who outlives whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Ends with the process that started it, even when that is killed. For tests.
    WithParent,
    /// Goes on in a session of its own, so that neither Ctrl-C nor a closed terminal reaches it. For the local stack.
    Detached,
}

/// The account of a process.
#[derive(Debug, Clone)]
pub(crate) enum RunAs {
    /// The account of this process.
    Me,
    /// Another one, by name. `past_folders`: it may search folders that are closed to it, because the checkout may lie
    /// under one (a home directory, say).
    User { name: String, past_folders: bool },
}

/// The signal that asks a process to end in order.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StopSignal {
    Term,
    /// PostgreSQL's fast shutdown; on SIGTERM it would wait for its clients.
    Int,
}

/// How to start a process.
#[derive(Debug, Clone)]
pub(crate) struct ProcessSpec {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) cwd: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) pid_file: PathBuf,
    /// What the program itself leaves behind when it is killed, and what would stop it from starting again.
    pub(crate) stale_file: Option<PathBuf>,
    pub(crate) lifetime: Lifetime,
    pub(crate) run_as: RunAs,
    pub(crate) stop: StopSignal,
}

/// Tells a process from any other one, over time and reboots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks since the boot.
    pub start_ticks: u64,
    /// The kernel's id of this boot.
    pub boot: String,
}

impl Identity {
    fn of(pid: u32) -> Option<Self> {
        let Stat {
            state, start_ticks, ..
        } = stat(pid)?;
        (!is_over(state)).then(|| Self {
            pid,
            start_ticks,
            boot: boot_id().to_owned(),
        })
    }

    /// Whether this very process still runs (a zombie does not).
    #[must_use]
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid).is_some_and(|now| now == *self)
    }
}

/// A process that was started, here or by an earlier run.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    identity: Identity,
    log: PathBuf,
    log_from: u64,
    stop: StopSignal,
    pid_file: PathBuf,
    // Only of a child of this process: it must be waited for, else it stays as a zombie.
    child: Mutex<Option<Child>>,
}

impl Process {
    /// Starts it and writes its pid file. It need not be ready yet.
    pub(crate) fn start(spec: &ProcessSpec) -> Result<Self> {
        let log_from = files::len(&spec.log);
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&spec.log)
            .map_err(files::failed("open", &spec.log))?;
        let errors = output
            .try_clone()
            .map_err(files::failed("open", &spec.log))?;
        let mut words = wrapper(spec.lifetime, &spec.run_as, spec.stop);
        words.push(spec.program.clone().into_os_string());
        words.extend(spec.args.iter().cloned());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .envs(spec.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&spec.cwd)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        let program = spec.program.display().to_string();
        let child = spawn(command).map_err(|cause| TestkitError::Spawn { program, cause })?;
        let pid = child.id();
        // A child that is not yet waited for has its entry in /proc, even when it has ended already.
        let start_ticks = stat(pid).map_or(0, |stat| stat.start_ticks);
        files::write(&spec.pid_file, &format!("{pid}\n"))?;
        Ok(Self {
            name: spec.name.clone(),
            identity: Identity {
                pid,
                start_ticks,
                boot: boot_id().to_owned(),
            },
            log: spec.log.clone(),
            log_from,
            stop: spec.stop,
            pid_file: spec.pid_file.clone(),
            child: Mutex::new(Some(child)),
        })
    }

    /// Takes up a process that an earlier run started, if it still lives; writes its pid file again.
    pub(crate) fn attach(spec: &ProcessSpec, identity: &Identity) -> Result<Option<Self>> {
        if !identity.is_alive() {
            return Ok(None);
        }
        files::write(&spec.pid_file, &format!("{}\n", identity.pid))?;
        Ok(Some(Self {
            name: spec.name.clone(),
            identity: identity.clone(),
            log: spec.log.clone(),
            log_from: files::len(&spec.log),
            stop: spec.stop,
            pid_file: spec.pid_file.clone(),
            child: Mutex::new(None),
        }))
    }

    /// A process of an earlier run, to be stopped.
    pub(crate) fn known(name: &str, identity: Identity, home: &Home, stop: StopSignal) -> Self {
        Self {
            name: name.to_owned(),
            identity,
            log: home.log(name),
            log_from: 0,
            stop,
            pid_file: home.pid_file(name),
            child: Mutex::new(None),
        }
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn pid(&self) -> u32 {
        self.identity.pid
    }

    pub(crate) fn is_alive(&self) -> bool {
        let is_alive = self.identity.is_alive();
        if !is_alive {
            self.reap();
        }
        is_alive
    }

    // Of a process that is over: returns as soon as the last of its threads is gone, and with it its port.
    fn reap(&self) {
        let child = self
            .child
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(mut over) = child {
            // The only error would be that somebody else has waited for it.
            drop(over.wait());
        }
    }

    /// The error of a process that ended too early.
    pub(crate) fn died(&self) -> TestkitError {
        TestkitError::Died {
            server: self.name.clone(),
            log: self.log.clone(),
            tail: files::tail(&self.log, self.log_from),
        }
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        send(self.identity.pid, signal).map_err(|cause| TestkitError::Signal {
            server: self.name.clone(),
            pid: self.identity.pid,
            cause,
        })
    }

    /// The same signal to the process and to those that it had started. The process first: while it is stopped it
    /// starts no others.
    pub(crate) fn signal_tree(&self, signal: Signal) -> Result<()> {
        self.signal(signal)?;
        for member in descendants(self.identity.pid)
            .into_iter()
            .filter_map(Identity::of)
        {
            // One that is gone by now needs no signal.
            drop(send(member.pid, signal));
        }
        Ok(())
    }

    /// Asks the process to end, and ends it when it has not within [`STOP_LIMIT`].
    pub(crate) async fn stop(&self) -> Result<()> {
        self.signal(match self.stop {
            StopSignal::Term => Signal::TERM,
            StopSignal::Int => Signal::INT,
        })?;
        // A paused process sees the signal only when it goes on.
        self.signal(Signal::CONT)?;
        if !self.ends_within(STOP_LIMIT).await {
            self.kill_tree();
            if !self.ends_within(KILL_LIMIT).await {
                return Err(TestkitError::WouldNotStop {
                    server: self.name.clone(),
                    pid: self.identity.pid,
                });
            }
        }
        files::remove(&self.pid_file)
    }

    /// Ends the process and its children at once, as a power cut would.
    pub(crate) async fn kill(&self) -> Result<()> {
        self.kill_tree();
        if self.ends_within(KILL_LIMIT).await {
            files::remove(&self.pid_file)
        } else {
            Err(TestkitError::WouldNotStop {
                server: self.name.clone(),
                pid: self.identity.pid,
            })
        }
    }

    /// SIGKILL to the process, then to those that it had started. Does not wait.
    pub(crate) fn kill_tree(&self) {
        if !self.is_alive() {
            return;
        }
        let family: Vec<_> = descendants(self.identity.pid)
            .into_iter()
            .filter_map(Identity::of)
            .collect();
        // A process that is gone by now is what was wanted.
        drop(send(self.identity.pid, Signal::KILL));
        for member in family.iter().filter(|member| member.is_alive()) {
            drop(send(member.pid, Signal::KILL));
        }
    }

    /// SIGKILL, and a bounded wait without a runtime. For `Drop`.
    pub(crate) fn kill_blocking(&self) {
        self.kill_tree();
        let started = Instant::now();
        while self.is_alive() && started.elapsed() < KILL_LIMIT {
            std::thread::sleep(LOOK_INTERVAL);
        }
        drop(files::remove(&self.pid_file));
    }

    async fn ends_within(&self, limit: Duration) -> bool {
        let started = Instant::now();
        while self.is_alive() {
            if started.elapsed() > limit {
                return false;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        true
    }
}

/// Memory that a process holds now, in KiB.
pub(crate) fn resident_kib(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Whether any process has this id.
pub(crate) fn exists(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| !is_over(stat.state))
}

/// Processes without a terminal whose working directory is `dir`: every server works in its data folder, so this finds
/// those that nobody noted down, and not the shell of somebody who looks around there.
pub(crate) fn working_in(dir: &Path) -> Vec<Identity> {
    let Ok(dir) = dir.canonicalize() else {
        return Vec::new();
    };
    pids()
        .filter(|pid| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == dir))
        .filter(|pid| stat(*pid).is_some_and(|stat| stat.terminal == 0))
        .filter_map(Identity::of)
        .collect()
}

/// SIGKILL to a process that was identified just now.
pub(crate) fn kill_identified(identity: &Identity) {
    if identity.is_alive() {
        drop(send(identity.pid, Signal::KILL));
    }
}

/// Whether process `pid` itself listens on `port` of loopback (or of all addresses).
pub(crate) fn owns_port(pid: u32, port: u16) -> bool {
    let sockets: BTreeSet<_> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .flat_map(|table| listeners(table, port))
        .collect();
    let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    open.flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .any(|target| sockets.contains(&*target.to_string_lossy()))
}

// Lines of the table: number, local address, remote address, state (0A = listening), ..., inode in column 9.
fn listeners(table: &str, port: u16) -> Vec<String> {
    let text = std::fs::read_to_string(table).unwrap_or_default();
    let wanted = format!(":{port:04X}");
    text.lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|cells| cells.len() > 9 && cells[3] == "0A" && cells[1].ends_with(&wanted))
        .map(|cells| format!("socket:[{}]", cells[9]))
        .collect()
}

// The programs in front of the real one. Each replaces itself by the next (same process id): `setsid` because it is no
// group leader, `setpriv` because it always does. Our own code could do this only with `unsafe`.
fn wrapper(lifetime: Lifetime, run_as: &RunAs, stop: StopSignal) -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    let mut options: Vec<String> = Vec::new();
    match lifetime {
        Lifetime::Detached => words.push("setsid".into()),
        Lifetime::WithParent => {
            // PostgreSQL's immediate shutdown takes its children along; others have none.
            let signal = match stop {
                StopSignal::Int => "QUIT",
                StopSignal::Term => "KILL",
            };
            options.extend(["--pdeathsig".into(), signal.into()]);
        }
    }
    if let RunAs::User { name, past_folders } = run_as {
        options.extend([
            "--reuid".into(),
            name.clone(),
            "--regid".into(),
            name.clone(),
        ]);
        options.push("--init-groups".into());
        if *past_folders {
            options.push("--inh-caps=-all,+dac_override".into());
            options.push("--ambient-caps=-all,+dac_override".into());
        }
    }
    if !options.is_empty() {
        words.push("setpriv".into());
        words.extend(options.into_iter().map(OsString::from));
        words.push("--".into());
    }
    words
}

/// The command that runs a program once as `run_as`.
pub(crate) fn command_as(run_as: &RunAs, program: &Path) -> Command {
    let mut words = match run_as {
        RunAs::Me => Vec::new(),
        // With its parent: an initialisation must not go on without us either.
        RunAs::User { .. } => wrapper(Lifetime::WithParent, run_as, StopSignal::Term),
    };
    words.push(program.as_os_str().to_owned());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

type Answer = mpsc::Sender<io::Result<Child>>;

/// Starts a child from a thread that lives as long as this process: a parent-death signal is sent when the *thread*
/// ends that started the child, and the threads of tests and of runtimes come and go.
fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<(Command, Answer)>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, waiting) = mpsc::channel::<(Command, Answer)>();
        std::thread::spawn(move || {
            for (mut command, answer) in waiting {
                // Nobody listens any more: then nobody owns the child, and its handle is dropped with the error.
                drop(answer.send(command.spawn()));
            }
        });
        Mutex::new(orders)
    });
    let (answer, answered) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts processes is gone");
    spawner
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, answer))
        .map_err(|_| gone())?;
    answered.recv().map_err(|_| gone())?
}

fn send(pid: u32, signal: Signal) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("no such process id"))?;
    kill_process(pid, signal).map_err(io::Error::from)
}

fn is_over(state: char) -> bool {
    matches!(state, 'Z' | 'X' | 'x')
}

/// What the kernel tells of a process in `/proc/<pid>/stat`.
struct Stat {
    state: char,
    parent: u32,
    terminal: i64,
    start_ticks: u64,
}

// Fields 3, 4, 7 and 22. The name in field 2 may hold anything, so count from its last parenthesis.
fn stat(pid: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let cells: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Stat {
        state: cells.first()?.chars().next()?,
        parent: cells.get(1)?.parse().ok()?,
        terminal: cells.get(4)?.parse().ok()?,
        start_ticks: cells.get(19)?.parse().ok()?,
    })
}

fn pids() -> impl Iterator<Item = u32> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn descendants(root: u32) -> Vec<u32> {
    let parents: Vec<_> = pids()
        .filter_map(|pid| Some((pid, stat(pid)?.parent)))
        .collect();
    let mut family = vec![root];
    let mut next = 0;
    while let Some(&member) = family.get(next) {
        family.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == member)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    family.split_off(1)
}

fn boot_id() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        text.trim().to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(home: &Home, name: &str, lifetime: Lifetime, script: &str) -> ProcessSpec {
        ProcessSpec {
            name: name.to_owned(),
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: vec![],
            cwd: home.dir().to_path_buf(),
            log: home.log(name),
            pid_file: home.pid_file(name),
            stale_file: None,
            lifetime,
            run_as: RunAs::Me,
            stop: StopSignal::Term,
        }
    }

    #[tokio::test]
    async fn a_stopped_process_is_gone_and_so_is_its_pid_file() {
        let home = Home::own("process").unwrap();
        for lifetime in [Lifetime::WithParent, Lifetime::Detached] {
            let spec = sleeper(&home, "sleeper", lifetime, "exec sleep 60");
            let process = Process::start(&spec).unwrap();
            assert!(process.is_alive());
            assert_eq!(
                files::read(&spec.pid_file).unwrap().trim(),
                process.pid().to_string()
            );
            process.signal(Signal::STOP).unwrap();
            process.stop().await.unwrap();
            assert!(!process.is_alive() && !exists(process.pid()));
            assert!(!spec.pid_file.exists());
        }
    }

    #[tokio::test]
    async fn the_children_of_a_killed_process_die_with_it() {
        let home = Home::own("tree").unwrap();
        let script = "sleep 60 & echo $!; wait";
        let spec = sleeper(&home, "tree", Lifetime::WithParent, script);
        let process = Process::start(&spec).unwrap();
        let started = Instant::now();
        while files::len(&spec.log) == 0 {
            assert!(started.elapsed() < KILL_LIMIT, "the script wrote nothing");
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        let child: u32 = files::read(&spec.log).unwrap().trim().parse().unwrap();
        assert!(exists(child));
        process.kill().await.unwrap();
        while exists(child) {
            assert!(started.elapsed() < KILL_LIMIT, "the child lives on");
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    #[tokio::test]
    async fn the_children_of_a_paused_process_pause_with_it() {
        let home = Home::own("paused-tree").unwrap();
        let script = "sleep 60 & echo $!; wait";
        let spec = sleeper(&home, "tree", Lifetime::WithParent, script);
        let process = Process::start(&spec).unwrap();
        let started = Instant::now();
        while files::len(&spec.log) == 0 {
            assert!(started.elapsed() < KILL_LIMIT, "the script wrote nothing");
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        let child: u32 = files::read(&spec.log).unwrap().trim().parse().unwrap();
        let both_are = |stopped: bool| {
            [process.pid(), child]
                .into_iter()
                .all(|pid| (stat(pid).unwrap().state == 'T') == stopped)
        };
        for (signal, stopped) in [(Signal::STOP, true), (Signal::CONT, false)] {
            process.signal_tree(signal).unwrap();
            while !both_are(stopped) {
                assert!(started.elapsed() < KILL_LIMIT, "{signal:?} was not seen");
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        }
        process.kill().await.unwrap();
    }

    #[test]
    fn an_identity_with_another_start_time_is_another_process() {
        let me = Identity::of(std::process::id()).unwrap();
        assert!(me.is_alive());
        assert!(
            !Identity {
                start_ticks: me.start_ticks + 1,
                ..me.clone()
            }
            .is_alive()
        );
        assert!(
            !Identity {
                boot: "another".into(),
                ..me
            }
            .is_alive()
        );
    }

    #[test]
    fn a_port_is_owned_by_its_listener_only() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(owns_port(std::process::id(), port));
        assert!(!owns_port(1, port));
        drop(listener);
        assert!(!owns_port(std::process::id(), port));
    }
}
