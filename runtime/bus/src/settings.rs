//! The connection to Kafka as settings of a program. Rules over several of them are checked here.

use std::path::PathBuf;

use clap::{ArgAction, Args};
use secrecy::SecretString;
use ticket_core::names::TopicPrefix;
use ticket_core::{SettingProblem, TlsFiles};

use crate::config::{BusConfig, BusSasl, BusTls, SaslMechanism};

/// Where Kafka is, and how it is talked to.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Kafka")]
pub struct KafkaSettings {
    /// Brokers to begin with
    #[arg(long, env = "TICKET_KAFKA_BROKERS", value_name = "HOST:PORT,..")]
    pub kafka_brokers: Option<String>,
    /// Before every topic and consumer group
    #[arg(
        long,
        env = "TICKET_KAFKA_PREFIX",
        default_value = "",
        value_name = "TEXT"
    )]
    pub kafka_prefix: String,
    /// Talk TLS: the brokers' certificates must be valid and name the host
    #[arg(long, env = "TICKET_KAFKA_TLS", default_value_t = false, action = ArgAction::Set, value_name = "BOOL")]
    pub kafka_tls: bool,
    /// Authorities of the brokers' certificates, PEM [default: those of the operating system]
    #[arg(long, env = "TICKET_KAFKA_TLS_CA", value_name = "FILE")]
    pub kafka_tls_ca: Option<PathBuf>,
    /// Our own certificate, PEM
    #[arg(long, env = "TICKET_KAFKA_TLS_CERT", value_name = "FILE")]
    pub kafka_tls_cert: Option<PathBuf>,
    /// Key of our own certificate, PEM
    #[arg(long, env = "TICKET_KAFKA_TLS_KEY", value_name = "FILE")]
    pub kafka_tls_key: Option<PathBuf>,
    /// How this process proves who it is; PLAIN only with TLS
    #[arg(long, env = "TICKET_KAFKA_SASL_MECHANISM", value_name = "MECHANISM")]
    pub kafka_sasl_mechanism: Option<SaslMechanism>,
    /// Name for SASL
    #[arg(long, env = "TICKET_KAFKA_SASL_USERNAME", value_name = "NAME")]
    pub kafka_sasl_username: Option<String>,
    /// Password for SASL; a new one is used after a restart
    #[arg(
        long,
        env = "TICKET_KAFKA_SASL_PASSWORD",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    pub kafka_sasl_password: Option<SecretString>,
}

impl KafkaSettings {
    /// The prefix of topics and groups.
    #[must_use]
    pub fn prefix(&self) -> TopicPrefix {
        TopicPrefix(self.kafka_prefix.clone())
    }

    /// How to reach `brokers` as `client_id`. What [`Self::check`] complains about is left out.
    #[must_use]
    pub fn bus(&self, brokers: &str, client_id: &str) -> BusConfig {
        let mut bus = BusConfig::new(brokers, client_id);
        if self.kafka_tls {
            let certificate = self.kafka_tls_cert.clone();
            bus.tls = Some(BusTls {
                ca: self.kafka_tls_ca.clone(),
                client: certificate.zip(self.kafka_tls_key.clone()),
            });
        }
        if let Some(mechanism) = self.kafka_sasl_mechanism {
            bus.sasl = Some(BusSasl {
                mechanism,
                username: self.kafka_sasl_username.clone().unwrap_or_default(),
                password: self.kafka_sasl_password.clone().unwrap_or_default(),
            });
        }
        bus
    }

    /// What does not fit together.
    #[must_use]
    pub fn check(&self) -> Vec<SettingProblem> {
        let is_plain = (
            "TICKET_KAFKA_TLS is false",
            "set TICKET_KAFKA_TLS to true, or leave it out",
        );
        let files = TlsFiles {
            prefix: "TICKET_KAFKA",
            ca: self.kafka_tls_ca.as_deref(),
            certificate: self.kafka_tls_cert.as_deref(),
            key: self.kafka_tls_key.as_deref(),
            is_plain: (!self.kafka_tls).then_some(is_plain),
            is_ca_needed: false,
        };
        let mut problems = files.check(|path| std::fs::metadata(path).map(drop));
        let mechanism = (
            "TICKET_KAFKA_SASL_MECHANISM",
            self.kafka_sasl_mechanism.is_some(),
        );
        let username = (
            "TICKET_KAFKA_SASL_USERNAME",
            self.kafka_sasl_username.is_some(),
        );
        let password = (
            "TICKET_KAFKA_SASL_PASSWORD",
            self.kafka_sasl_password.is_some(),
        );
        problems.extend(alone([mechanism, username]));
        problems.extend(alone([mechanism, password]));
        if self.kafka_sasl_mechanism == Some(SaslMechanism::Plain) && !self.kafka_tls {
            problems.push(SettingProblem::new(
                "TICKET_KAFKA_SASL_MECHANISM",
                "is PLAIN, which sends the password as it is, and TICKET_KAFKA_TLS is false",
                "set TICKET_KAFKA_TLS to true, or use SCRAM-SHA-512",
            ));
        }
        problems
    }
}

/// The one of the two that is set without the other.
fn alone([one, other]: [(&str, bool); 2]) -> Option<SettingProblem> {
    match (one, other) {
        ((set, true), (missing, false)) | ((missing, false), (set, true)) => {
            Some(SettingProblem::needs(set, missing))
        }
        ((_, true), (_, true)) | ((_, false), (_, false)) => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        kafka: KafkaSettings,
    }

    fn problems(arguments: &[&str]) -> Vec<String> {
        let arguments = ["x"].iter().chain(arguments);
        let settings = Cli::try_parse_from(arguments).unwrap().kafka;
        settings
            .check()
            .iter()
            .map(|one| one.variable.clone())
            .collect()
    }

    #[test]
    fn what_does_not_fit_together_is_named() {
        let none: [&str; 0] = [];
        assert_eq!(problems(&["--kafka-brokers=a:1"]), none);
        assert_eq!(problems(&["--kafka-tls=true"]), none);
        let file = env!("CARGO_MANIFEST_DIR");
        let cert = format!("--kafka-tls-cert={file}");
        assert_eq!(
            problems(&["--kafka-tls=true", &cert]),
            ["TICKET_KAFKA_TLS_CERT"]
        );
        let ca = format!("--kafka-tls-ca={file}");
        assert_eq!(problems(&[&ca]), ["TICKET_KAFKA_TLS_CA"]);
        let nowhere = ["--kafka-tls=true", "--kafka-tls-ca=/nowhere"];
        assert_eq!(problems(&nowhere), ["TICKET_KAFKA_TLS_CA"]);
        let who = ["--kafka-sasl-username=a", "--kafka-sasl-password=b"];
        let plain = [&who[..], &["--kafka-sasl-mechanism=PLAIN"]].concat();
        assert_eq!(problems(&plain), ["TICKET_KAFKA_SASL_MECHANISM"]);
        let scram = [&who[..], &["--kafka-sasl-mechanism=SCRAM-SHA-512"]].concat();
        assert_eq!(problems(&scram), none);
        assert_eq!(
            problems(&who),
            ["TICKET_KAFKA_SASL_USERNAME", "TICKET_KAFKA_SASL_PASSWORD"]
        );
    }
}
