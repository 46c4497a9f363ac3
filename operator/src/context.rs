//! What every reconciliation needs: clients, and who failed how often.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kube::Client;
use kube::runtime::events::Recorder;
use ticket_bus::{BusAdmin, Producer, ProducerConfig};
use ticket_core::names::TopicPrefix;
use ticket_ledger::Ledger;
use ticket_stock::StockStore;
use tokio::sync::OnceCell;

use crate::config::{Config, LEDGER_CONNECTIONS_MAX};
use crate::faults::Faults;
use crate::notify;

pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) recorder: Recorder,
    pub(crate) ledger: Ledger,
    pub(crate) stock: StockStore,
    pub(crate) bus: BusAdmin,
    /// Writes commands to order logs: few, and only about stock.
    pub(crate) log: Producer,
    pub(crate) prefix: TopicPrefix,
    pub(crate) faults: Faults,
    /// Names this cluster; asked for once.
    pub(crate) cluster: OnceCell<String>,
    /// Failures in a row, by uid. Emptied by a success; bounded by the number of Events.
    failures: Mutex<HashMap<String, u32>>,
}

impl Context {
    /// Makes the clients. None of them waits for its server.
    pub(crate) async fn connect(config: &Config) -> anyhow::Result<Arc<Self>> {
        let client = Client::try_from(config.kubernetes.clone())?;
        let mut ledger = config.ledger.clone();
        ledger.connections_max = ledger.connections_max.min(LEDGER_CONNECTIONS_MAX);
        Ok(Arc::new(Self {
            recorder: notify::recorder(client.clone()),
            client,
            ledger: Ledger::connect(&ledger)?,
            stock: StockStore::connect(&config.stock).await?,
            bus: BusAdmin::connect(&config.kafka)?,
            log: Producer::new(&config.kafka, &ProducerConfig::default())?,
            prefix: config.kafka_prefix.clone(),
            faults: config.faults.clone(),
            cluster: OnceCell::new(),
            failures: Mutex::default(),
        }))
    }

    /// One more failure in a row; answers how many it were before.
    pub(crate) fn failed(&self, uid: &str) -> u32 {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(uid.to_owned()).or_default();
        let before = *count;
        *count = count.saturating_add(1);
        before
    }

    /// It went well, or the object is gone.
    pub(crate) fn succeeded(&self, uid: &str) {
        self.failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(uid);
    }
}
