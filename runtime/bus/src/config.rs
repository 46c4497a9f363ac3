//! How every client of this package reaches Kafka. Client defaults that decide about loss, time or size are written
//! out here and beside each client, never left to librdkafka.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;

/// Longest wait between two tries to reach a broker. The default of 10 s would keep the platform down after Kafka is
/// back.
const RECONNECT_WAIT_MAX: Duration = Duration::from_secs(1);

/// A connection (TCP, TLS, SASL) that is not there by then is given up and tried again.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// A request that got no answer by then is taken for lost and its connection is closed.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);

/// Where Kafka is and who we are. Cheap to clone, no I/O.
#[derive(Clone)]
pub struct BusConfig {
    /// `host:port`, several with commas.
    pub brokers: String,
    /// Shown in the brokers' logs and metrics.
    pub client_id: String,
    /// librdkafka's own settings for TLS and SASL (`security.protocol`, `sasl.mechanism` ...). What this package sets
    /// itself wins over them.
    pub properties: BTreeMap<String, String>,
}

impl BusConfig {
    /// Without TLS or SASL; add these through `properties`.
    #[must_use]
    pub fn new(brokers: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            client_id: client_id.into(),
            properties: BTreeMap::new(),
        }
    }

    /// What all clients share. Settings that are added afterwards win.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        for (name, value) in &self.properties {
            client.set(name, value);
        }
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
}

/// Secrets may stand among the properties, so only their names are shown.
impl std::fmt::Debug for BusConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BusConfig")
            .field("brokers", &self.brokers)
            .field("client_id", &self.client_id)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .finish()
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
    fn our_settings_win_and_secrets_are_not_shown() {
        let mut config = BusConfig::new("127.0.0.1:9092", "unit");
        config
            .properties
            .insert("sasl.password".into(), "hunter2".into());
        config
            .properties
            .insert("bootstrap.servers".into(), "elsewhere:1".into());
        let client = config.client();
        assert_eq!(client.get("bootstrap.servers"), Some("127.0.0.1:9092"));
        assert_eq!(client.get("sasl.password"), Some("hunter2"));
        let shown = format!("{config:?}");
        assert!(
            shown.contains("sasl.password") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
