//! A full disk of the ledger: the write-ahead log of one node is moved to a small file system in memory, which is then made
//! as small as what is in it. Nothing else of the machine is full. Afterwards the log is moved back. Mounting wants root.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use sqlx::{Connection as _, PgConnection};
use ticket_testkit::{Home, PostgresServer};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::stand::Stand;

/// Room before and after: a few segments more than a node of a small sale has.
const ROOM_MIB: u64 = 1_024;

/// How long a command, or the question that makes the node meet the end of its disk, may take.
const COMMAND_WAIT_MAX: Duration = Duration::from_secs(30);

/// Segments that are begun: those that the node has in stock are used up by then.
const SEGMENTS_BEGUN_MAX: usize = 80;

/// Why it cannot be done on this machine, if it cannot.
pub(super) fn missing() -> Option<String> {
    // Whoever may write here as root may mount, but for a sandbox that forbids it; that is told when it is tried.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let is_root = uid.is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0"));
    (!is_root).then(|| "a file system can only be mounted by root".to_owned())
}

/// Unmounts what a campaign left under `dir` that was killed meanwhile.
pub(super) async fn sweep(dir: &Path) -> anyhow::Result<()> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let left = mounts
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .filter(|path| Path::new(path).starts_with(dir));
    for path in left {
        run("umount", &["-l", path]).await?;
    }
    Ok(())
}

/// Fills the disk of one node for as long as it `lasts`. The node has its old disk again afterwards, whatever failed.
pub(super) async fn fill(
    stand: &Stand,
    postgres: &mut PostgresServer,
    lasts: Duration,
    choice: u32,
) -> anyhow::Result<String> {
    let urls = stand.node_urls(postgres);
    let node = usize::try_from(choice).unwrap_or(0) % urls.len();
    let url = urls.get(node).context("there is no such node")?;
    let name = match node {
        0 => "postgres".to_owned(),
        worker => format!("postgres-worker-{worker}"),
    };
    let log = Log::of(&stand.home, &name);
    stop(postgres, node).await?;
    let moved = log.move_to_memory().await;
    let filled = match moved {
        Ok(()) => full(postgres, &log, url, lasts).await,
        Err(error) => Err(error),
    };
    let stopped = stop(postgres, node).await;
    let back = log.move_back().await;
    postgres.restart().await?;
    stopped?;
    back?;
    Ok(format!("{name}: {}", filled?))
}

/// With the log in memory: no room for a while, then room again.
async fn full(
    postgres: &mut PostgresServer,
    log: &Log,
    url: &str,
    lasts: Duration,
) -> anyhow::Result<&'static str> {
    postgres.restart().await?;
    let asked = PgConnection::connect(url).await?;
    log.resize(log.used_mib().await?).await?;
    let asked = timeout(COMMAND_WAIT_MAX, use_up(asked)).await;
    sleep(lasts).await;
    log.resize(ROOM_MIB).await?;
    // It ends by itself when it cannot write its log; it goes on if it could wait.
    let has_ended = matches!(asked, Ok(Err(_)));
    postgres.restart().await?;
    anyhow::ensure!(has_ended, "the node did not notice that its disk is full");
    Ok("no room for its log")
}

/// Begins segments of the log until there is no room for another one.
async fn use_up(mut node: PgConnection) -> anyhow::Result<()> {
    for _ in 0..SEGMENTS_BEGUN_MAX {
        // A switch does nothing where nothing was written since the last one.
        sqlx::query("SELECT pg_logical_emit_message(false, 'chaos', 'x'), pg_switch_wal()")
            .execute(&mut node)
            .await?;
    }
    Ok(())
}

async fn stop(postgres: &mut PostgresServer, node: usize) -> anyhow::Result<()> {
    if node == 0 {
        return Ok(postgres.stop().await?);
    }
    let worker = postgres.worker_mut(node - 1);
    Ok(worker.context("there is no such worker")?.stop().await?)
}

/// Where the log of a node lies. The folder is replaced by a link while it is in memory.
struct Log {
    folder: PathBuf,
    memory: PathBuf,
    kept: PathBuf,
}

impl Log {
    fn of(home: &Home, node: &str) -> Self {
        let data = home.data(node);
        Self {
            folder: data.join("pg_wal"),
            memory: data.join("small_disk"),
            kept: data.join("pg_wal.kept"),
        }
    }

    async fn move_to_memory(&self) -> anyhow::Result<()> {
        let (folder, memory) = (text(&self.folder)?, text(&self.memory)?);
        std::fs::create_dir(&self.memory).context("could not make a mount point")?;
        let room = format!("size={ROOM_MIB}m");
        run("mount", &["-t", "tmpfs", "-o", &room, "tmpfs", memory]).await?;
        run("cp", &["-a", &format!("{folder}/."), memory]).await?;
        run("chown", &["--reference", folder, memory]).await?;
        run("chmod", &["--reference", folder, memory]).await?;
        std::fs::rename(&self.folder, &self.kept).context("could not put the log aside")?;
        std::os::unix::fs::symlink(&self.memory, &self.folder).context("could not link the log")
    }

    /// Whatever [`Log::move_to_memory`] has come to. The node must not run.
    async fn move_back(&self) -> anyhow::Result<()> {
        let memory = text(&self.memory)?;
        if self.folder.is_symlink() {
            let kept = text(&self.kept)?;
            // Segments that were dropped meanwhile must not come back beside newer ones.
            run("find", &[kept, "-type", "f", "-delete"]).await?;
            run("cp", &["-a", &format!("{memory}/."), kept]).await?;
            std::fs::remove_file(&self.folder).context("could not unlink the log")?;
            std::fs::rename(&self.kept, &self.folder).context("could not put the log back")?;
        }
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        if mounts.split_whitespace().any(|word| word == memory) {
            run("umount", &[memory]).await?;
        }
        if self.memory.is_dir() {
            std::fs::remove_dir(&self.memory).context("could not remove the mount point")?;
        }
        Ok(())
    }

    async fn resize(&self, mib: u64) -> anyhow::Result<()> {
        let room = format!("remount,size={mib}m");
        run("mount", &["-o", &room, text(&self.memory)?])
            .await
            .map(drop)
    }

    /// Rounded up, so that the kernel takes it.
    async fn used_mib(&self) -> anyhow::Result<u64> {
        let said = run("df", &["--output=used", "-B1M", text(&self.memory)?]).await?;
        let used = said
            .lines()
            .nth(1)
            .and_then(|line| line.trim().parse().ok());
        used.with_context(|| format!("df says: {said}"))
    }
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("the campaign's folder is not UTF-8")
}

async fn run(program: &str, args: &[&str]) -> anyhow::Result<String> {
    let what = format!("{program} {}", args.join(" "));
    let running = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let answer = timeout(COMMAND_WAIT_MAX, running)
        .await
        .with_context(|| format!("{what} takes too long"))?
        .with_context(|| format!("could not start {what}"))?;
    let said = String::from_utf8_lossy(&answer.stderr);
    anyhow::ensure!(answer.status.success(), "{what}: {}", said.trim());
    Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
}
