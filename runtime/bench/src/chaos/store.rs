//! The stock store that is to be broken: a Redis behind one address, and what may happen to its data. It knows Redis' files
//! and commands; of ours it knows nothing.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use redis::FromRedisValue;
use ticket_testkit::{Home, Persistence, RedisServer, StartOptions};
use tokio::time::sleep;

use super::relay::Relay;

/// How long Redis may take for what it does in the background: the first copy of a replica, an append-only file.
const BACKGROUND_WAIT_MAX: Duration = Duration::from_secs(20);

/// Between two looks at it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long a killed server stays away.
const AWAY_FOR: Duration = Duration::from_millis(200);

/// What a starting server reads from its data folder, if it is there.
const DUMP: &str = "dump.rdb";

/// Its two processes take turns as primary.
const NAMES: [&str; 2] = ["redis", "redis-replica"];

/// Redis, and the address that everybody knows.
pub(super) struct Store {
    pub(super) primary: RedisServer,
    /// Index into [`NAMES`].
    turn: usize,
    home: Home,
    relay: Relay,
}

impl Store {
    pub(super) async fn start(home: &Home) -> anyhow::Result<Self> {
        let options = StartOptions::within(home.clone(), NAMES[0]);
        let primary = RedisServer::start(options).await?;
        let relay = Relay::to(primary.server().port()).await?;
        Ok(Self {
            primary,
            turn: 0,
            home: home.clone(),
            relay,
        })
    }

    /// The address that stays.
    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.relay.port())
    }

    /// Dies and comes back empty.
    pub(super) async fn dies(&mut self, for_: Duration) -> anyhow::Result<()> {
        self.primary.kill().await?;
        sleep(for_).await;
        Ok(self.primary.restart().await?)
    }

    pub(super) async fn flush(&self) -> anyhow::Result<()> {
        self.ask::<()>(&["FLUSHALL"]).await
    }

    /// Gives the running server a function library instead of the one of the same name.
    pub(super) async fn replace_library(&self, source: &str) -> anyhow::Result<()> {
        self.ask::<()>(&["FUNCTION", "LOAD", "REPLACE", source])
            .await
    }

    /// Dies, and comes back with the data from before `meanwhile`.
    pub(super) async fn comes_back_old(
        &mut self,
        meanwhile: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        self.ask::<()>(&["SAVE"]).await?;
        let dump = self.data().join(DUMP);
        let old = dump.with_extension("old");
        std::fs::rename(&dump, &old).context("there is no dump")?;
        meanwhile.await;
        self.primary.kill().await?;
        std::fs::rename(&old, &dump).context("could not put the old dump back")?;
        sleep(AWAY_FOR).await;
        self.primary.restart().await?;
        // Read by now; the next start shall be empty.
        std::fs::remove_file(&dump).context("could not remove the old dump")
    }

    /// Dies after `meanwhile`, and comes back from an append-only file that lacks its last `bytes`.
    pub(super) async fn loses_its_tail(
        &mut self,
        meanwhile: impl Future<Output = ()>,
        bytes: u64,
    ) -> anyhow::Result<()> {
        self.ask::<()>(&["CONFIG", "SET", "appendonly", "yes"])
            .await?;
        self.says(
            "persistence",
            &["aof_enabled:1", "aof_rewrite_in_progress:0"],
        )
        .await?;
        meanwhile.await;
        self.primary.kill().await?;
        let dir = self.data().join("appendonlydir");
        cut(&dir, bytes)?;
        sleep(AWAY_FOR).await;
        self.primary.keep(Persistence::EveryWrite);
        let started = self.primary.restart().await;
        self.primary.keep(Persistence::None);
        started?;
        self.ask::<()>(&["CONFIG", "SET", "appendonly", "no"])
            .await?;
        std::fs::remove_dir_all(&dir).context("could not remove the append-only file")
    }

    /// A replica takes over that has not seen what was written `meanwhile`; the primary is dead by then.
    pub(super) async fn is_replaced(
        &mut self,
        meanwhile: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let turn = (self.turn + 1) % NAMES.len();
        let options = StartOptions::within(self.home.clone(), NAMES[turn]);
        let replica = RedisServer::start(options).await?;
        let port = self.primary.server().port().to_string();
        // It would wait for more replicas to come.
        let at_once = ["CONFIG", "SET", "repl-diskless-sync-delay", "0"];
        self.ask::<()>(&at_once).await?;
        ask::<()>(replica.url(), &["REPLICAOF", "127.0.0.1", &port]).await?;
        says(replica.url(), "replication", &["master_link_status:up"]).await?;
        // From here on it hears nothing more.
        ask::<()>(replica.url(), &["REPLICAOF", "NO", "ONE"]).await?;
        meanwhile.await;
        self.primary.kill().await?;
        self.relay.switch(replica.server().port());
        self.primary = replica;
        self.turn = turn;
        // A replica keeps its first copy as a dump; the next start shall be empty.
        let copy = self.data().join(DUMP);
        if copy.exists() {
            std::fs::remove_file(&copy).context("could not remove the replica's copy")?;
        }
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.home.data(NAMES[self.turn])
    }

    async fn says(&self, section: &str, lines: &[&str]) -> anyhow::Result<()> {
        says(self.primary.url(), section, lines).await
    }

    async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> anyhow::Result<T> {
        ask(self.primary.url(), words).await
    }
}

async fn ask<T: FromRedisValue>(url: &str, words: &[&str]) -> anyhow::Result<T> {
    // The third word may be a whole library.
    let what = words.iter().take(2).copied().collect::<Vec<_>>().join(" ");
    let answer = async {
        let client = redis::Client::open(url)?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command.query_async::<T>(&mut connection).await
    };
    answer.await.with_context(|| format!("redis: {what}"))
}

/// Waits until a section of INFO has all of `lines`.
async fn says(url: &str, section: &str, lines: &[&str]) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        let info: String = ask(url, &["INFO", section]).await?;
        let has = |line: &&str| info.lines().any(|said| said.trim() == *line);
        if lines.iter().all(has) {
            return Ok(());
        }
        anyhow::ensure!(
            started.elapsed() < BACKGROUND_WAIT_MAX,
            "redis does not say {} after {BACKGROUND_WAIT_MAX:?}: {info}",
            lines.join(", ")
        );
        sleep(LOOK_EVERY).await;
    }
}

/// Cuts up to `bytes` off the newest increment: what a disk loses that lied about its syncs.
fn cut(dir: &Path, bytes: u64) -> anyhow::Result<()> {
    let newest = std::fs::read_dir(dir)
        .with_context(|| format!("could not read {}", dir.display()))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(".incr.aof"))
        .max();
    let newest = newest.context("there is no append-only file")?;
    let failed = || format!("could not cut {}", newest.display());
    let file = std::fs::OpenOptions::new().write(true).open(&newest);
    let file = file.with_context(failed)?;
    let length = file.metadata().with_context(failed)?.len();
    file.set_len(length.saturating_sub(bytes))
        .with_context(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn value(store: &Store) -> Option<String> {
        ask(&store.url(), &["GET", "unit"]).await.unwrap()
    }

    async fn write(store: &Store, value: &str) {
        ask::<()>(&store.url(), &["SET", "unit", value])
            .await
            .unwrap();
    }

    /// What is there after `breaking`, which is given a write to happen meanwhile.
    macro_rules! broken {
        ($store:ident, $breaking:ident $(, $more:expr)?) => {{
            write(&$store, "old").await;
            let url = $store.url();
            let meanwhile = async move { ask(&url, &["SET", "unit", "new"]).await.unwrap() };
            $store.$breaking(meanwhile $(, $more)?).await.unwrap();
            value(&$store).await
        }};
    }

    #[tokio::test]
    async fn every_way_to_lose_data_loses_what_it_should() {
        let home = Home::own("chaos-store").unwrap();
        let mut store = Store::start(&home).await.unwrap();
        let old = Some("old".to_owned());
        assert_eq!(broken!(store, comes_back_old), old);
        // The last command is torn and dropped.
        assert_eq!(broken!(store, loses_its_tail, 5), old);
        assert_eq!(broken!(store, is_replaced), old);
        assert_eq!(broken!(store, is_replaced), old);
        store.dies(AWAY_FOR).await.unwrap();
        assert_eq!(value(&store).await, None);
        write(&store, "again").await;
        store.flush().await.unwrap();
        assert_eq!(value(&store).await, None);
    }
}
