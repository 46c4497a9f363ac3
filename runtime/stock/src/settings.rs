//! The connection to Redis as settings of a program. Rules over several of them are checked here.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};
use secrecy::{ExposeSecret, SecretString};
use ticket_core::{SettingProblem, TlsFiles};

use crate::config::{CONNECT_TIMEOUT, RESPONSE_TIMEOUT, StockConfig};

/// Where Redis is, and how it is talked to.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Stock store (Redis)")]
pub struct RedisSettings {
    /// The server: redis://user:password@host:port, rediss:// for TLS; several nodes of a cluster with commas
    #[arg(
        long,
        env = "TICKET_REDIS_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub redis_url: Option<SecretString>,
    /// The server is a Redis Cluster: each event lives on one of its nodes
    #[arg(long, env = "TICKET_REDIS_CLUSTER", default_value_t = false, action = ArgAction::Set, value_name = "BOOL")]
    pub redis_cluster: bool,
    /// ACL user in place of the one in the URL
    #[arg(long, env = "TICKET_REDIS_USERNAME", value_name = "NAME")]
    pub redis_username: Option<String>,
    /// Password in place of the one in the URL; a new one is used for new connections
    #[arg(
        long,
        env = "TICKET_REDIS_PASSWORD",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    pub redis_password: Option<SecretString>,
    /// Authorities of the server's certificate, PEM [default: those of the operating system]
    #[arg(long, env = "TICKET_REDIS_TLS_CA", value_name = "FILE")]
    pub redis_tls_ca: Option<PathBuf>,
    /// Our own certificate, PEM
    #[arg(long, env = "TICKET_REDIS_TLS_CERT", value_name = "FILE")]
    pub redis_tls_cert: Option<PathBuf>,
    /// Key of our own certificate, PEM
    #[arg(long, env = "TICKET_REDIS_TLS_KEY", value_name = "FILE")]
    pub redis_tls_key: Option<PathBuf>,
    /// Longest wait for a reply, milliseconds, 50 to 10,000; then its outcome is unknown
    #[arg(long, env = "TICKET_REDIS_RESPONSE_MS", default_value_t = millis(RESPONSE_TIMEOUT), value_name = "MS",
        value_parser = clap::value_parser!(u64).range(50..=10_000))]
    pub redis_response_ms: u64,
    /// Longest wait for one attempt to connect, milliseconds, 50 to 10,000
    #[arg(long, env = "TICKET_REDIS_CONNECT_MS", default_value_t = millis(CONNECT_TIMEOUT), value_name = "MS",
        value_parser = clap::value_parser!(u64).range(50..=10_000))]
    pub redis_connect_ms: u64,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl RedisSettings {
    /// How to reach the store at `url`.
    #[must_use]
    pub fn stock(&self, url: &SecretString) -> StockConfig {
        StockConfig {
            url: url.expose_secret().to_owned(),
            is_cluster: self.redis_cluster,
            username: self.redis_username.clone(),
            password: self.redis_password.clone(),
            tls_ca: self.redis_tls_ca.clone(),
            tls_client: (self.redis_tls_cert.clone()).zip(self.redis_tls_key.clone()),
            response_timeout: Duration::from_millis(self.redis_response_ms),
            connect_timeout: Duration::from_millis(self.redis_connect_ms),
        }
    }

    /// What does not fit together.
    #[must_use]
    pub fn check(&self) -> Vec<SettingProblem> {
        let mut problems = Vec::new();
        let url = self.redis_url.as_ref().map(ExposeSecret::expose_secret);
        let addresses = || url.unwrap_or_default().split(',').map(str::trim);
        if addresses().count() > 1 && !self.redis_cluster {
            problems.push(SettingProblem::new(
                "TICKET_REDIS_URL",
                "names several servers, but TICKET_REDIS_CLUSTER is false",
                "name one, or set TICKET_REDIS_CLUSTER to true",
            ));
        }
        let is_tls = url.is_none() || addresses().all(|address| address.starts_with("rediss://"));
        let is_plain = (
            "TICKET_REDIS_URL does not begin with rediss://",
            "begin the URL with rediss://, or leave it out",
        );
        let files = TlsFiles {
            prefix: "TICKET_REDIS",
            ca: self.redis_tls_ca.as_deref(),
            certificate: self.redis_tls_cert.as_deref(),
            key: self.redis_tls_key.as_deref(),
            is_plain: (!is_tls).then_some(is_plain),
            is_ca_needed: false,
        };
        problems.extend(files.check(|path| std::fs::metadata(path).map(drop)));
        if self.redis_username.is_some()
            && self.redis_password.is_none()
            && !url.is_some_and(|url| url.contains('@'))
        {
            let (user, password) = ("TICKET_REDIS_USERNAME", "TICKET_REDIS_PASSWORD");
            problems.push(SettingProblem::needs(user, password));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        redis: RedisSettings,
    }

    fn problems(arguments: &[&str]) -> Vec<String> {
        let arguments = ["x"].iter().chain(arguments);
        let settings = Cli::try_parse_from(arguments).unwrap().redis;
        settings
            .check()
            .iter()
            .map(|one| one.variable.clone())
            .collect()
    }

    #[test]
    fn what_does_not_fit_together_is_named() {
        let none: [&str; 0] = [];
        assert_eq!(problems(&["--redis-url=redis://a:1"]), none);
        let two = "--redis-url=redis://a:1,redis://b:1";
        assert_eq!(problems(&[two]), ["TICKET_REDIS_URL"]);
        assert_eq!(problems(&[two, "--redis-cluster=true"]), none);
        let ca = format!("--redis-tls-ca={}", env!("CARGO_MANIFEST_DIR"));
        assert_eq!(
            problems(&[&ca, "--redis-url=redis://a:1"]),
            ["TICKET_REDIS_TLS_CA"]
        );
        assert_eq!(problems(&[&ca, "--redis-url=rediss://a:1"]), none);
        assert_eq!(problems(&["--redis-username=a"]), ["TICKET_REDIS_USERNAME"]);
        let key = format!("--redis-tls-key={}", env!("CARGO_MANIFEST_DIR"));
        assert_eq!(problems(&[&key]), ["TICKET_REDIS_TLS_KEY"]);
    }
}
