//! What a figure depends on: commit, machine, versions of the servers, settings of the product, and who else was busy.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use sqlx::{Connection as _, PgConnection};
use ticket_core::clock;
use ticket_testkit::{Binary, Tools, workspace_dir};

use super::noise::Noise;
use crate::ledger::rig::Rig;
use crate::text::short;

/// Where and on what a run was made.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Circumstances {
    /// When it ended, UTC.
    pub(super) at: String,
    /// How long it took, servers included.
    pub(super) took: String,
    /// The checkout's commit, with `+changes` if files differ from it.
    pub(super) commit: String,
    /// The command line.
    pub(super) command: String,
    /// `release` or `dev`.
    pub(super) profile: &'static str,
    /// The processor's name as the kernel knows it.
    pub(super) cpu: String,
    /// Cores that this process may use.
    pub(super) cores: usize,
    /// How fast the machine is, if a baseline was measured.
    pub(super) speed: Option<String>,
    /// The database's version, its durability settings, and Citus if it is used.
    pub(super) postgres: String,
    /// Kafka.
    pub(super) kafka: String,
    /// Redis.
    pub(super) redis: String,
    /// What the product was told, where a path says nothing else: name and value.
    pub(super) settings: Vec<(String, String)>,
    /// What others did before and during the run.
    pub(super) noise: Noise,
}

impl Circumstances {
    pub(super) async fn of(
        rig: &Rig,
        took: Duration,
        speed: Option<String>,
        noise: Noise,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            at: clock::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
            took: short(took),
            commit: commit().await,
            command: std::env::args().collect::<Vec<_>>().join(" "),
            profile: if cfg!(debug_assertions) {
                "dev"
            } else {
                "release"
            },
            cpu: cpu_name().unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            speed,
            postgres: postgres(rig).await?,
            kafka: kafka().unwrap_or_else(|| "unknown".to_owned()),
            redis: redis(rig).await?,
            settings: settings().await.unwrap_or_default(),
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

/// What the product says of its own settings: those with a default, as the environment has them.
async fn settings() -> Option<Vec<(String, String)>> {
    let mut command = tokio::process::Command::new(Binary::Runtime.path().ok()?);
    let help = command.arg("--help").stdin(Stdio::null()).output();
    let help = help.await.ok()?.stdout;
    Some(settings_in(&String::from_utf8_lossy(&help)))
}

/// Name and value of the settings that have a default: what the environment says, else the default. The help has both.
fn settings_in(help: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut set = None;
    for line in help.lines().map(str::trim) {
        let inside = |start| line.strip_prefix(start)?.strip_suffix(']');
        if let Some(env) = inside("[env: ") {
            set = Some(env.split_once('=').unwrap_or((env, "")));
        } else if let Some(default) = inside("[default: ")
            && let Some((name, value)) = set.take()
        {
            let value = if value.is_empty() { default } else { value };
            if value != "\"\"" {
                found.push((name.to_owned(), value.to_owned()));
            }
        } else if line.starts_with("--") {
            set = None;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_with_defaults_are_found_in_the_help() {
        let help = "
      --database-url <URL>
          PostgreSQL

          [env: TICKET_DATABASE_URL]

      --kafka-prefix <PREFIX>
          [env: TICKET_KAFKA_PREFIX=]
          [default: \"\"]

      --consumer-gather-ms <MS>
          [env: TICKET_CONSUMER_GATHER_MS=7]
          [default: 5]

      --consumer-max-batch <COUNT>
          [env: TICKET_CONSUMER_MAX_BATCH=]
          [default: 1000]

      --only-a-flag
          [default: 9]
";
        let wanted = [
            ("TICKET_CONSUMER_GATHER_MS".to_owned(), "7".to_owned()),
            ("TICKET_CONSUMER_MAX_BATCH".to_owned(), "1000".to_owned()),
        ];
        assert_eq!(settings_in(help), wanted);
    }
}
