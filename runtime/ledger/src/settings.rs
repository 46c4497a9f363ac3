//! The connection to the ledger as settings of a program. Rules over several of them are checked here.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;
use ticket_core::{SettingProblem, TlsFiles};

use crate::config::{
    ACQUIRE_TIMEOUT, CONNECTIONS_MAX, LedgerConfig, LedgerTls, Routing, STATEMENT_TIMEOUT,
};

/// Where the ledger is, and how it is talked to.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Ledger (PostgreSQL or Citus)")]
pub struct DatabaseSettings {
    /// The server, or the Citus coordinator: postgres://user:password@host:port/database
    #[arg(
        long,
        env = "TICKET_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub database_url: Option<SecretString>,
    /// Password in place of the one in the URL; a new one is used for new connections
    #[arg(
        long,
        env = "TICKET_DATABASE_PASSWORD",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    pub database_password: Option<SecretString>,
    /// Authority of the server's certificate, PEM. With it the connection is TLS and the certificate must name the host
    #[arg(long, env = "TICKET_DATABASE_TLS_CA", value_name = "FILE")]
    pub database_tls_ca: Option<PathBuf>,
    /// Our own certificate, PEM
    #[arg(long, env = "TICKET_DATABASE_TLS_CERT", value_name = "FILE")]
    pub database_tls_cert: Option<PathBuf>,
    /// Key of our own certificate, PEM
    #[arg(long, env = "TICKET_DATABASE_TLS_KEY", value_name = "FILE")]
    pub database_tls_key: Option<PathBuf>,
    /// Which way batches go on Citus: straight to the worker that holds the stock shard, or over the coordinator
    #[arg(
        long,
        env = "TICKET_DATABASE_ROUTING",
        value_enum,
        default_value_t,
        value_name = "WAY"
    )]
    pub database_routing: Routing,
    /// Connections of this process to each node, 1 to 200
    #[arg(long, env = "TICKET_DATABASE_CONNECTIONS", default_value_t = CONNECTIONS_MAX, value_name = "NUMBER",
        value_parser = clap::value_parser!(u32).range(1..=200))]
    pub database_connections: u32,
    /// Longest wait for a connection, milliseconds, 100 to 60,000
    #[arg(long, env = "TICKET_DATABASE_ACQUIRE_MS", default_value_t = millis(ACQUIRE_TIMEOUT), value_name = "MS",
        value_parser = clap::value_parser!(u64).range(100..=60_000))]
    pub database_acquire_ms: u64,
    /// Longest statement, milliseconds, 100 to 120,000
    #[arg(long, env = "TICKET_DATABASE_STATEMENT_MS", default_value_t = millis(STATEMENT_TIMEOUT), value_name = "MS",
        value_parser = clap::value_parser!(u64).range(100..=120_000))]
    pub database_statement_ms: u64,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl DatabaseSettings {
    /// How to reach the ledger at `url` as `application`.
    #[must_use]
    pub fn ledger(&self, url: &SecretString, application: &str) -> LedgerConfig {
        LedgerConfig {
            url: url.clone(),
            password: self.database_password.clone(),
            tls: self.database_tls_ca.clone().map(|ca| LedgerTls {
                ca,
                client: (self.database_tls_cert.clone()).zip(self.database_tls_key.clone()),
            }),
            routing: self.database_routing,
            connections_max: self.database_connections,
            acquire_timeout: Duration::from_millis(self.database_acquire_ms),
            statement_timeout: Duration::from_millis(self.database_statement_ms),
            application_name: application.to_owned(),
        }
    }

    /// What does not fit together.
    #[must_use]
    pub fn check(&self) -> Vec<SettingProblem> {
        let files = TlsFiles {
            prefix: "TICKET_DATABASE",
            ca: self.database_tls_ca.as_deref(),
            certificate: self.database_tls_cert.as_deref(),
            key: self.database_tls_key.as_deref(),
            is_plain: None,
            is_ca_needed: true,
        };
        files.check(|path| std::fs::metadata(path).map(drop))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        database: DatabaseSettings,
    }

    fn problems(arguments: &[&str]) -> Vec<String> {
        let arguments = ["x"].iter().chain(arguments);
        let settings = Cli::try_parse_from(arguments).unwrap().database;
        settings
            .check()
            .iter()
            .map(|one| one.variable.clone())
            .collect()
    }

    #[test]
    fn what_does_not_fit_together_is_named() {
        let none: [&str; 0] = [];
        assert_eq!(problems(&[]), none);
        let file = env!("CARGO_MANIFEST_DIR");
        let (ca, cert) = (
            format!("--database-tls-ca={file}"),
            format!("--database-tls-cert={file}"),
        );
        let key = format!("--database-tls-key={file}");
        assert_eq!(problems(&[&ca]), none);
        assert_eq!(problems(&[&ca, &cert, &key]), none);
        assert_eq!(problems(&[&ca, &cert]), ["TICKET_DATABASE_TLS_CERT"]);
        assert_eq!(problems(&[&cert, &key]), ["TICKET_DATABASE_TLS_CERT"]);
        assert_eq!(
            problems(&["--database-tls-ca=/nowhere"]),
            ["TICKET_DATABASE_TLS_CA"]
        );
    }
}
