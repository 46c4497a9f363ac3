//! A kube-apiserver with our kind, and the few things that are asked of it: make an Event, watch all, list what they are.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::{Certificate, Client, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use ticket_testkit::{ApiServer, EtcdServer, Home, StartOptions, workspace_dir};

use crate::kubectl::Kubectl;
use crate::say;

/// Where the Events of a measure are.
pub(super) const NAMESPACE: &str = "bench";

/// Events that are sent at the same time.
const SENT_AT_ONCE: usize = 32;

/// The longest that the API server may take for an answer.
const CALL_MAX: Duration = Duration::from_secs(30);

/// etcd and kube-apiserver, with our definition.
pub(super) struct Api {
    server: ApiServer,
    // Under it; it has to go after it.
    _etcd: EtcdServer,
    client: Client,
}

/// An Event, as far as it is looked at here.
#[derive(Debug, Deserialize)]
struct Seen {
    metadata: Metadata,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    name: String,
    resource_version: String,
}

#[derive(Debug, Default, Deserialize)]
struct Status {
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Debug, Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

#[derive(Debug, Deserialize)]
struct List {
    metadata: Metadata,
    items: Vec<Seen>,
}

#[derive(Debug, Deserialize)]
struct Change {
    #[serde(rename = "type")]
    kind: String,
    object: Value,
}

impl Seen {
    fn is_ready(&self) -> bool {
        let is_true = |it: &Condition| it.kind == "Ready" && it.status == "True";
        self.status.conditions.iter().any(is_true)
    }
}

impl Api {
    pub(super) async fn start(home: &Home) -> anyhow::Result<Self> {
        let etcd = EtcdServer::start(StartOptions::within(home.clone(), "etcd"))
            .await
            .context("etcd did not start")?;
        let options = StartOptions::within(home.clone(), "kube-apiserver");
        let server = ApiServer::start(options, &etcd)
            .await
            .context("kube-apiserver did not start")?;
        drop(rustls::crypto::ring::default_provider().install_default());
        let certificate = Certificate::from_pem(server.certificate().as_bytes())
            .context("the API server's certificate cannot be read")?;
        let client = Client::builder()
            .tls_certs_only([certificate])
            .no_proxy()
            .build()
            .context("no client for the API server")?;
        let api = Self {
            server,
            _etcd: etcd,
            client,
        };
        api.install().await?;
        Ok(api)
    }

    /// For the operator.
    pub(super) fn kubeconfig(&self) -> String {
        self.server.kubeconfig().display().to_string()
    }

    async fn install(&self) -> anyhow::Result<()> {
        let kubectl = Kubectl::new(self.server.kubeconfig())?;
        let definition = workspace_dir().join("crds");
        let definition = definition.display().to_string();
        kubectl
            .run(&["apply", "--server-side", "-f", &definition])
            .await?;
        let kind = "crd/events.ticketctl.io";
        kubectl
            .run(&["wait", "--for=condition=Established", kind])
            .await?;
        kubectl.run(&["create", "namespace", NAMESPACE]).await?;
        Ok(())
    }

    fn events(&self) -> String {
        let url = self.server.url();
        format!("{url}/apis/ticketctl.io/v1alpha1/namespaces/{NAMESPACE}/events")
    }

    async fn get(&self, url: &str) -> anyhow::Result<Response> {
        let request = self.client.get(url).bearer_auth(self.server.token());
        let answer = tokio::time::timeout(CALL_MAX, request.send())
            .await
            .context("the API server did not answer in time")?
            .context("the API server did not answer")?;
        answer
            .error_for_status()
            .context("the API server refused a question")
    }

    /// Makes an Event: one category, one stock shard, one partition, on sale.
    pub(super) async fn create(&self, name: &str) -> anyhow::Result<()> {
        self.send(name, &self.events()).await
    }

    /// Has an Event checked and makes none. An API server that was just started takes two seconds for its first object: that
    /// is no time of the operator.
    pub(super) async fn rehearse(&self) -> anyhow::Result<()> {
        let url = format!("{}?dryRun=All", self.events());
        self.send("rehearsed", &url).await
    }

    async fn send(&self, name: &str, url: &str) -> anyhow::Result<()> {
        let event = json!({
            "apiVersion": "ticketctl.io/v1alpha1",
            "kind": "Event",
            "metadata": { "name": name },
            "spec": {
                "title": "Benchmark",
                "sales": { "opensAt": "2025-01-01T00:00:00Z", "closesAt": "2099-01-01T00:00:00Z" },
                "categories": [
                    { "name": "standing", "price": { "currency": "IDR", "amountMinor": 100 }, "quantity": 100 },
                ],
                "queue": { "partitions": 1 },
            },
        });
        let request = self
            .client
            .post(url)
            .bearer_auth(self.server.token())
            .timeout(CALL_MAX)
            .json(&event);
        let answer = request
            .send()
            .await
            .with_context(|| format!("Event {name} was not sent"))?;
        let status = answer.status();
        let said = answer.text().await.unwrap_or_default();
        anyhow::ensure!(status.is_success(), "Event {name} was refused: {said}");
        Ok(())
    }

    /// Makes many Events at the same time.
    pub(super) async fn create_all(&self, names: &[String]) -> anyhow::Result<()> {
        stream::iter(names)
            .map(|name| self.create(name))
            .buffer_unordered(SENT_AT_ONCE)
            .try_collect()
            .await
    }

    async fn list(&self) -> anyhow::Result<List> {
        let answer = self.get(&self.events()).await?;
        answer.json().await.context("a strange list of Events")
    }

    /// The resource version of every Event: what was written since shows in it.
    pub(super) async fn versions(&self) -> anyhow::Result<HashMap<String, String>> {
        let list = self.list().await?;
        let version = |seen: Seen| (seen.metadata.name, seen.metadata.resource_version);
        Ok(list.items.into_iter().map(version).collect())
    }

    /// Watches all Events from now on.
    pub(super) async fn watch(&self) -> anyhow::Result<Watch<'_>> {
        let from = self.list().await?.metadata.resource_version;
        Ok(Watch {
            api: self,
            answer: self.watch_from(&from).await?,
            rest: Vec::new(),
            ready: HashMap::new(),
        })
    }

    async fn watch_from(&self, version: &str) -> anyhow::Result<Response> {
        let url = format!("{}?watch=true&resourceVersion={version}", self.events());
        self.get(&url).await
    }
}

/// When Events became Ready.
pub(super) struct Watch<'a> {
    api: &'a Api,
    answer: Response,
    rest: Vec<u8>,
    ready: HashMap<String, Instant>,
}

impl Watch<'_> {
    /// Waits until all of these have been Ready, and answers with when the last one was.
    pub(super) async fn until_ready(
        &mut self,
        names: &[String],
        within: Duration,
    ) -> anyhow::Result<Instant> {
        let deadline = tokio::time::Instant::now() + within;
        let mut last = None;
        for name in names {
            while !self.ready.contains_key(name) {
                tokio::time::timeout_at(deadline, self.read())
                    .await
                    .with_context(|| {
                        let missing = names.iter().filter(|name| !self.ready.contains_key(*name));
                        let missing = missing.count();
                        format!("{missing} Events were not Ready within {within:?}")
                    })??;
            }
            last = last.max(self.ready.get(name).copied());
        }
        last.context("no Event was waited for")
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        let chunk = self.answer.chunk().await.context("the watch broke off")?;
        let Some(chunk) = chunk else {
            return self.begin_again().await;
        };
        self.rest.extend_from_slice(&chunk);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let change: Change = serde_json::from_slice(&line).context("a strange watch event")?;
            anyhow::ensure!(
                change.kind != "ERROR",
                "the watch failed: {}",
                change.object
            );
            self.see(serde_json::from_value(change.object).context("a strange Event")?);
        }
        Ok(())
    }

    /// An API server ends the watch of a client that is too slow for it, at any time. What became Ready unseen counts as Ready
    /// now: never too early.
    async fn begin_again(&mut self) -> anyhow::Result<()> {
        say::progress("the API server ended the watch: listing Events and watching again");
        let list = self.api.list().await?;
        for seen in list.items {
            self.see(seen);
        }
        self.rest.clear();
        self.answer = self.api.watch_from(&list.metadata.resource_version).await?;
        Ok(())
    }

    fn see(&mut self, seen: Seen) {
        if seen.is_ready() {
            self.ready
                .entry(seen.metadata.name)
                .or_insert_with(Instant::now);
        }
    }
}
