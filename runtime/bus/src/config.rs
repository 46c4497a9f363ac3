//! How every client of this package reaches Kafka. Client defaults that decide about loss, time or size are written
//! out here and beside each client, never left to librdkafka.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use rdkafka::ClientConfig;
use secrecy::{ExposeSecret, SecretString};

/// Longest wait between two tries to reach a broker. The default of 10 s would keep the platform down after Kafka is
/// back.
const RECONNECT_WAIT_MAX: Duration = Duration::from_secs(1);

/// A connection (TCP, TLS, SASL) that is not there by then is given up and tried again.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// A request that got no answer by then is taken for lost and its connection is closed.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);

/// Where Kafka is and who we are. Cheap to clone, no I/O.
#[derive(Debug, Clone)]
pub struct BusConfig {
    /// `host:port`, several with commas.
    pub brokers: String,
    /// Shown in the brokers' logs and metrics.
    pub client_id: String,
    /// `None`: the connection is in the clear.
    pub tls: Option<BusTls>,
    /// `None`: the brokers ask for no name, or take it from our certificate.
    pub sasl: Option<BusSasl>,
}

/// TLS to the brokers. Their certificate must be valid and name the host that was asked for.
#[derive(Debug, Clone, Default)]
pub struct BusTls {
    /// Authorities that the brokers' certificates come from (PEM); `None`: those of the operating system.
    pub ca: Option<PathBuf>,
    /// Our own certificate and its key (PEM), if the brokers ask for one.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Who we are to the brokers.
#[derive(Debug, Clone)]
pub struct BusSasl {
    /// How it is proved.
    pub mechanism: SaslMechanism,
    /// Our name.
    pub username: String,
    /// What proves it. librdkafka reads it when a client is made, so a new one needs new clients.
    pub password: SecretString,
}

/// How a client proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SaslMechanism {
    /// The password itself is sent: only over TLS.
    #[value(name = "PLAIN")]
    Plain,
    /// A proof of the password is sent.
    #[value(name = "SCRAM-SHA-256")]
    ScramSha256,
    /// The same with a longer hash.
    #[value(name = "SCRAM-SHA-512")]
    ScramSha512,
}

impl SaslMechanism {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl fmt::Display for SaslMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl BusConfig {
    /// Without TLS or SASL.
    #[must_use]
    pub fn new(brokers: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            client_id: client_id.into(),
            tls: None,
            sasl: None,
        }
    }

    /// What all clients share. Settings that are added afterwards win.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        self.secure(&mut client);
        client
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", &self.client_id)
            .set("socket.keepalive.enable", "true")
            .set("socket.nagle.disable", "true")
            .set("socket.timeout.ms", millis(REQUEST_DEADLINE))
            .set(
                "socket.connection.setup.timeout.ms",
                millis(CONNECT_DEADLINE),
            )
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", millis(RECONNECT_WAIT_MAX))
            .set("log.connection.close", "false");
        client
    }

    fn secure(&self, client: &mut ClientConfig) {
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        client.set("security.protocol", protocol);
        if let Some(tls) = &self.tls {
            client
                .set("enable.ssl.certificate.verification", "true")
                .set("ssl.endpoint.identification.algorithm", "https");
            if let Some(ca) = &tls.ca {
                client.set("ssl.ca.location", ca.to_string_lossy());
            }
            if let Some((certificate, key)) = &tls.client {
                client
                    .set("ssl.certificate.location", certificate.to_string_lossy())
                    .set("ssl.key.location", key.to_string_lossy());
            }
        }
        if let Some(sasl) = &self.sasl {
            client
                .set("sasl.mechanism", sasl.mechanism.as_str())
                .set("sasl.username", &sasl.username)
                .set("sasl.password", sasl.password.expose_secret());
        }
    }
}

/// Whole milliseconds, as librdkafka wants them.
pub(crate) fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_follows_from_what_is_asked_for_and_secrets_are_not_shown() {
        let mut config = BusConfig::new("127.0.0.1:9092", "unit");
        let protocol = |config: &BusConfig| {
            let client = config.client();
            client.get("security.protocol").map(ToOwned::to_owned)
        };
        assert_eq!(protocol(&config).as_deref(), Some("plaintext"));
        config.tls = Some(BusTls::default());
        assert_eq!(protocol(&config).as_deref(), Some("ssl"));
        config.sasl = Some(BusSasl {
            mechanism: SaslMechanism::ScramSha512,
            username: "ticket".to_owned(),
            password: "hunter2".into(),
        });
        assert_eq!(protocol(&config).as_deref(), Some("sasl_ssl"));
        assert_eq!(config.client().get("sasl.mechanism"), Some("SCRAM-SHA-512"));
        config.tls = None;
        assert_eq!(protocol(&config).as_deref(), Some("sasl_plaintext"));
        let shown = format!("{config:?}");
        assert!(
            shown.contains("ticket") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
