//! Servers that are there already, named by the environment: they are used as they are, and not started, stopped or
//! cleaned here.

use std::path::{Path, PathBuf};

use clap::{Args, Parser};

use super::DATABASE;
use super::state::StateFile;
use crate::error::{Result, TestkitError};

/// Servers that somebody else runs. An empty value counts as absent.
#[derive(Debug, Clone, Default, Args)]
pub struct Given {
    /// Kubernetes: use the cluster of this kubeconfig.
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Kafka: use these brokers.
    #[arg(long, env = "TICKET_KAFKA_BROKERS", value_name = "HOST:PORT,..")]
    pub kafka_brokers: Option<String>,
    /// Put before the name of every topic and consumer group.
    #[arg(long, env = "TICKET_KAFKA_PREFIX", value_name = "TEXT")]
    pub kafka_prefix: Option<String>,
    /// PostgreSQL or Citus: use this database.
    #[arg(
        long,
        env = "TICKET_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub database_url: Option<String>,
    /// Redis: use this server.
    #[arg(
        long,
        env = "TICKET_REDIS_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub redis_url: Option<String>,
}

/// The environment alone, for tests, which have no command line.
#[derive(Parser)]
struct Environment {
    #[command(flatten)]
    given: Given,
}

impl Given {
    /// Reads the environment.
    pub fn from_environment() -> Result<Self> {
        Environment::try_parse_from(["environment"])
            .map(|read| read.given)
            .map_err(|error| TestkitError::Setting {
                name: "the environment",
                reason: error.to_string(),
            })
    }

    /// Without what is empty, and without this very stack: somebody who has read its `env` file into a shell asks for
    /// nothing else than this stack.
    pub(super) fn without_our_own(self, dir: &Path, state: &StateFile) -> Self {
        let port = |name: &str| state.process(name).port;
        let ends = |url: &str, name: &str, rest: &str| {
            port(name).is_some_and(|port| url.ends_with(&format!("127.0.0.1:{port}{rest}")))
        };
        let database = format!("/{DATABASE}");
        Self {
            kubeconfig: self
                .kubeconfig
                .filter(|path| !path.as_os_str().is_empty() && !path.starts_with(dir)),
            kafka_brokers: filled(self.kafka_brokers).filter(|url| !ends(url, "kafka", "")),
            kafka_prefix: filled(self.kafka_prefix),
            database_url: filled(self.database_url).filter(|url| !ends(url, "postgres", &database)),
            redis_url: filled(self.redis_url).filter(|url| !ends(url, "redis", "")),
        }
    }
}

fn filled(value: Option<String>) -> Option<String> {
    value.filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::Home;

    #[test]
    fn a_shell_that_read_our_own_env_file_gives_nothing() {
        let home = Home::own("given").unwrap();
        let state = StateFile::load(home.dir()).unwrap();
        for (name, port) in [("kafka", 1), ("postgres", 2), ("redis", 3)] {
            state.set_port(name, port).unwrap();
        }
        let ours = Given {
            kubeconfig: Some(home.data("kube-apiserver").join("kubeconfig")),
            kafka_brokers: Some("127.0.0.1:1".into()),
            kafka_prefix: Some(String::new()),
            database_url: Some("postgres://ticket@127.0.0.1:2/ticket".into()),
            redis_url: Some("redis://127.0.0.1:3".into()),
        };
        let left = ours.without_our_own(home.dir(), &state);
        assert_eq!(left.kubeconfig, None);
        let texts = [
            left.kafka_brokers,
            left.kafka_prefix,
            left.database_url,
            left.redis_url,
        ];
        assert_eq!(texts, [None, None, None, None]);
        let theirs = Given {
            redis_url: Some("redis://127.0.0.1:33".into()),
            ..Given::default()
        };
        assert!(
            theirs
                .without_our_own(home.dir(), &state)
                .redis_url
                .is_some()
        );
    }
}
