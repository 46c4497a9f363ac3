//! What a figure depends on: commit, machine, versions of the servers, and who else was busy.

use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use sqlx::{Connection as _, PgConnection};
use ticket_core::clock;
use ticket_testkit::{Tools, workspace_dir};

use crate::ledger::rig::Rig;

/// How long the machine is watched before anything is started.
const NOISE_WATCH: Duration = Duration::from_secs(2);

/// Above this share of all cores other programs disturb what is measured, percent.
const NOISE_PERCENT_MAX: f64 = 10.0;

/// Where and on what a run was made.
#[derive(Debug, Clone, Serialize)]
pub struct Circumstances {
    /// When, UTC.
    pub at: String,
    /// The checkout's commit, with `+changes` if files differ from it.
    pub commit: String,
    /// The command line.
    pub command: String,
    /// `release` or `dev`.
    pub profile: &'static str,
    /// The processor's name as the kernel knows it.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// The database's version, its durability settings, and Citus if it is used.
    pub postgres: String,
    /// Kafka.
    pub kafka: String,
    /// Redis.
    pub redis: String,
    /// What others did before the run.
    pub noise: Noise,
}

/// How busy the machine was before the run.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Noise {
    /// Share of all cores that were busy, percent.
    pub busy_percent: f64,
}

impl Noise {
    /// Too busy for figures that mean something.
    #[must_use]
    pub fn is_loud(self) -> bool {
        self.busy_percent > NOISE_PERCENT_MAX
    }
}

impl fmt::Display for Noise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} % of all cores before the run", self.busy_percent)
    }
}

/// Watches the machine for a moment. Nothing of ours may run yet.
pub(super) async fn noise() -> anyhow::Result<Noise> {
    let before = CpuTimes::read()?;
    tokio::time::sleep(NOISE_WATCH).await;
    let after = CpuTimes::read()?;
    let all = f64::from(after.all.wrapping_sub(before.all)).max(1.0);
    let idle = f64::from(after.idle.wrapping_sub(before.idle));
    Ok(Noise {
        busy_percent: (100.0 * (1.0 - idle / all)).max(0.0),
    })
}

/// Ticks of all cores together; only differences mean something, so that they may wrap.
struct CpuTimes {
    all: u32,
    idle: u32,
}

impl CpuTimes {
    fn read() -> anyhow::Result<Self> {
        let text = std::fs::read_to_string("/proc/stat").context("could not read /proc/stat")?;
        Self::parse(&text).context("/proc/stat does not begin with `cpu`")
    }

    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        // user nice system idle iowait irq softirq steal; guest times are in user already.
        let ticks: Vec<u64> = line
            .split_whitespace()
            .take(8)
            .map(str::parse)
            .collect::<Result<_, _>>()
            .ok()?;
        let idle = ticks.get(3)? + ticks.get(4)?;
        let wrapped = |ticks: u64| u32::try_from(ticks % (1 << 32)).unwrap_or(0);
        Some(Self {
            all: wrapped(ticks.iter().sum()),
            idle: wrapped(idle),
        })
    }
}

impl Circumstances {
    pub(super) async fn of(rig: &Rig, noise: Noise) -> anyhow::Result<Self> {
        Ok(Self {
            at: clock::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
            commit: commit().await,
            command: std::env::args().collect::<Vec<_>>().join(" "),
            profile: if cfg!(debug_assertions) {
                "dev"
            } else {
                "release"
            },
            cpu: cpu_name().unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            postgres: postgres(rig).await?,
            kafka: kafka().unwrap_or_else(|| "unknown".to_owned()),
            redis: redis(rig).await?,
            noise,
        })
    }
}

async fn commit() -> String {
    let git = async |args: &[&str]| {
        let mut command = tokio::process::Command::new("git");
        command
            .current_dir(workspace_dir())
            .args(args)
            .stdin(Stdio::null());
        let answer = command
            .output()
            .await
            .ok()
            .filter(|answer| answer.status.success())?;
        Some(String::from_utf8_lossy(&answer.stdout).trim().to_owned())
    };
    let Some(head) = git(&["rev-parse", "--short=12", "HEAD"]).await else {
        return "not a git checkout".to_owned();
    };
    match git(&["status", "--porcelain"]).await {
        Some(changes) if changes.is_empty() => head,
        Some(_) | None => head + " +changes",
    }
}

fn cpu_name() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

async fn postgres(rig: &Rig) -> anyhow::Result<String> {
    let failed = "could not ask PostgreSQL for its version";
    let mut connection = PgConnection::connect(rig.database_url())
        .await
        .context(failed)?;
    let (version, fsync, synchronous): (String, String, String) = sqlx::query_as(
        "SELECT current_setting('server_version'), current_setting('fsync'), \
         current_setting('synchronous_commit')",
    )
    .fetch_one(&mut connection)
    .await
    .context(failed)?;
    let citus: Option<String> =
        sqlx::query_scalar("SELECT extversion FROM pg_extension WHERE extname = 'citus'")
            .fetch_optional(&mut connection)
            .await
            .context(failed)?;
    connection.close().await.context(failed)?;
    let citus = match citus {
        Some(version) if rig.is_citus() => format!("with Citus {version}, two workers"),
        Some(_) | None => "plain".to_owned(),
    };
    Ok(format!(
        "{version}, {citus}, fsync {fsync}, synchronous_commit {synchronous}"
    ))
}

/// The version stands in the name of the broker's jar.
fn kafka() -> Option<String> {
    let jars = std::fs::read_dir(Tools.kafka_jars().ok()?).ok()?;
    jars.flatten().find_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let version = name.strip_prefix("kafka_")?.strip_suffix(".jar")?;
        let (_scala, version) = version.split_once('-')?;
        Some(format!("{version}, one broker"))
    })
}

async fn redis(rig: &Rig) -> anyhow::Result<String> {
    let failed = "could not ask Redis for its version";
    let client = redis::Client::open(rig.redis_url()).context(failed)?;
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .context(failed)?;
    let info: String = redis::cmd("INFO")
        .arg("server")
        .query_async(&mut connection)
        .await
        .context(failed)?;
    let version = info
        .lines()
        .find_map(|line| line.strip_prefix("redis_version:"));
    Ok(version.unwrap_or("unknown").trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_and_all_time_of_the_kernels_line() {
        let times = CpuTimes::parse("cpu  10 1 20 300 4 5 6 7 0 0\ncpu0 1 1 1 1\n").unwrap();
        assert_eq!((times.all, times.idle), (353, 304));
        assert!(CpuTimes::parse("intr 1 2 3").is_none());
    }

    #[test]
    fn a_machine_is_loud_when_a_tenth_of_it_is_busy() {
        assert!(!Noise { busy_percent: 3.0 }.is_loud());
        assert!(Noise { busy_percent: 60.0 }.is_loud());
    }
}
