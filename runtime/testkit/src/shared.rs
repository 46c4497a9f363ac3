//! The stack of servers that tests share: etcd, kube-apiserver, Kafka, PostgreSQL (with Citus where it is installed) and
//! Redis. `make test` starts it before and stops it after; whoever runs a test alone gets it started by the first test,
//! and it stays up for the next run.
//!
//! Tests run at the same time, so each takes names of its own here: a database, a topic prefix, a namespace. Redis keys
//! carry event ids, which are unique anyway. Nobody stops, pauses or flushes a server of this stack: a test that does so
//! starts its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::error::Result;
use crate::stack::{self, Given, Servers, StackOptions};
use crate::{create_database, drop_database, postgres, process};

/// Databases of tests begin with this, then the id of the test's process.
const DATABASE_PREFIX: &str = "test_";

/// Databases of earlier test processes that one test process drops at most; the next one goes on.
const SWEEP_DATABASES_MAX: usize = 20;

/// The servers that tests share.
#[derive(Debug)]
pub struct Shared {
    servers: Servers,
}

/// The servers that tests share, started by whoever comes first.
///
/// # Panics
/// If they cannot be had. The message says why and what to do; every test that needs them fails with it.
pub async fn shared() -> &'static Shared {
    static SHARED: OnceCell<std::result::Result<Shared, String>> = OnceCell::const_new();
    let start = || async {
        Box::pin(Shared::start())
            .await
            .map_err(|error| error.with_causes())
    };
    match SHARED.get_or_init(start).await {
        Ok(shared) => shared,
        #[expect(
            clippy::panic,
            reason = "only tests call this, and none of them can go on"
        )]
        Err(why) => panic!("no servers for this test: {why}"),
    }
}

/// A name that nobody else uses: `prefix`, a dash and 12 hexadecimal digits. Fit for Kubernetes, topics and groups if
/// `prefix` is.
#[must_use]
pub fn unique(prefix: &str) -> String {
    let number = Uuid::new_v4().simple().to_string();
    format!("{prefix}-{}", number.get(..12).unwrap_or_default())
}

impl Shared {
    async fn start() -> Result<Self> {
        let dir = stack::test_dir();
        let is_up = stack::status(&dir)?.is_up();
        let options = StackOptions {
            dir: dir.clone(),
            roles: None,
            given: Given::from_environment()?,
            say: Arc::new(move |line| {
                if !is_up {
                    print(line);
                }
            }),
        };
        let servers = stack::up(&options).await?;
        if !is_up {
            print("the test servers stay up for the next run; they end with: make stack-clean");
        }
        let shared = Self { servers };
        shared.sweep().await?;
        Ok(shared)
    }

    /// Kafka, as `host:port`.
    #[must_use]
    pub fn kafka_brokers(&self) -> &str {
        &self.servers.kafka_brokers
    }

    /// Redis, as `redis://host:port`. Never flush it.
    #[must_use]
    pub fn redis_url(&self) -> &str {
        &self.servers.redis_url
    }

    /// A kubeconfig with an administrator's rights.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.servers.kubeconfig
    }

    /// A new and empty database, as an address. On Citus it has the extension and all nodes.
    pub async fn new_database(&self) -> Result<String> {
        let number = Uuid::new_v4().simple();
        let name = format!("{DATABASE_PREFIX}{}_{number}", std::process::id());
        create_database(&self.servers.database_url, &name).await
    }

    /// A prefix for topics and groups that nobody else uses; ends with a dot.
    #[must_use]
    pub fn topic_prefix(&self) -> String {
        format!("{}{}.", self.servers.kafka_prefix, unique("t"))
    }

    /// A new Kubernetes namespace.
    pub async fn new_namespace(&self) -> Result<String> {
        let name = unique("test");
        stack::kubectl(
            self.kubeconfig(),
            &["create", "namespace"],
            std::slice::from_ref(&name),
        )
        .await?;
        Ok(name)
    }

    /// The folder of the shared stack, for its logs.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        stack::test_dir()
    }

    /// Drops databases of test processes that are gone.
    async fn sweep(&self) -> Result<()> {
        let admin = &self.servers.database_url;
        let names = postgres::databases(admin, DATABASE_PREFIX).await?;
        let is_left = |name: &&String| {
            let rest = name.strip_prefix(DATABASE_PREFIX);
            let owner = rest.and_then(|rest| rest.split('_').next()?.parse().ok());
            owner.is_some_and(|pid: u32| !process::exists(pid))
        };
        for name in names.iter().filter(is_left).take(SWEEP_DATABASES_MAX) {
            // Housekeeping: Citus' own worker may have just connected, or another process drops it too. It is left to the
            // next process then, and no test fails for it.
            if let Err(error) = drop_database(admin, name).await {
                print(&format!("left for the next run: {}", error.with_causes()));
            }
        }
        Ok(())
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the test runner shows it; there is no logger here"
)]
fn print(line: &str) {
    eprintln!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unique_names_differ_and_fit_a_namespace() {
        let (one, two) = (unique("a"), unique("a"));
        assert_ne!(one, two);
        assert!(one.len() == 14 && one.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
    }
}
