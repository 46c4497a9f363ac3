//! The way to the API server and to the admin API, from flags, kubeconfig and environment. Nothing is asked before a
//! command needs it.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use secrecy::SecretString;
use ticket_admin::{AdminClient, AdminConfig};
use tokio::sync::OnceCell;

use crate::cli::Global;
use crate::exit::{Exit, Failure};

/// Longest wait for one answer of the API server unless `--request-timeout` says otherwise. The client repeats 429 and
/// 503 by itself, so this covers the repeats too.
const KUBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait for a connection to the API server.
const KUBE_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The namespace when neither flag nor kubeconfig names one.
const DEFAULT_NAMESPACE: &str = "default";

/// What the flags say, and the clients that were made from them.
#[derive(Debug)]
pub(crate) struct Clients {
    global: Global,
    config: OnceCell<Config>,
}

impl Clients {
    pub(crate) fn new(global: Global) -> Self {
        Self {
            global,
            config: OnceCell::new(),
        }
    }

    /// The kubeconfig's context as a configuration.
    pub(crate) async fn kube_config(&self) -> Result<&Config, Failure> {
        self.config
            .get_or_try_init(|| self.load_kube_config())
            .await
            .map_err(|cause| {
                Failure::new(Exit::Error, cause).or_next(
                    "set KUBECONFIG or --kubeconfig; with the local stack: set -a; . .stack/env",
                )
            })
    }

    async fn load_kube_config(&self) -> anyhow::Result<Config> {
        let options = KubeConfigOptions {
            context: self.global.context.clone(),
            ..KubeConfigOptions::default()
        };
        let mut config = match &self.global.kubeconfig {
            Some(path) => {
                let kubeconfig = Kubeconfig::read_from(path)
                    .with_context(|| format!("could not read kubeconfig {}", path.display()))?;
                Config::from_custom_kubeconfig(kubeconfig, &options).await
            }
            None => Config::from_kubeconfig(&options).await,
        }
        .context("could not use the kubeconfig")?;
        config.connect_timeout = Some(KUBE_CONNECT_TIMEOUT);
        Ok(config)
    }

    /// A client of the API server.
    pub(crate) async fn kube(&self) -> Result<Client, Failure> {
        let config = self.kube_config().await?.clone();
        Client::try_from(config).map_err(|error| Failure::kube("make a client", error))
    }

    /// Longest wait for one answer of the API server.
    pub(crate) fn kube_timeout(&self) -> Duration {
        self.global
            .request_timeout
            .map_or(KUBE_TIMEOUT, |limit| limit.0)
    }

    /// One question to the API server, with a limit. `action` completes "could not ...".
    pub(crate) async fn ask<T>(
        &self,
        action: &str,
        question: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Failure> {
        let limit = self.kube_timeout();
        let Ok(answer) = tokio::time::timeout(limit, question).await else {
            let what = format!("could not {action}: no answer of the API server in {limit:?}");
            return Err(Failure::timeout(what).or_next("check the API server: `ticketctl doctor`"));
        };
        answer.map_err(|error| Failure::kube(action, error))
    }

    /// The namespace of `-n`, else of the kubeconfig's context, else `default`.
    pub(crate) async fn namespace(&self) -> String {
        if let Some(namespace) = &self.global.namespace {
            return namespace.clone();
        }
        // Live commands work without a kubeconfig, so its absence is no failure here.
        match self.kube_config().await {
            Ok(config) => config.default_namespace.clone(),
            Err(_) => DEFAULT_NAMESPACE.to_owned(),
        }
    }

    /// `<namespace>.<name>`, as the admin API calls an event.
    pub(crate) async fn event_name(&self, event: &str) -> Result<String, Failure> {
        let namespace = self.namespace().await;
        let name = ticket_core::EventName::new(&namespace, event)
            .map_err(|error| Failure::new(Exit::Usage, error.into()))?;
        Ok(name.to_string())
    }

    /// An empty address is what a shell gives for a variable that is not set.
    fn admin_url(&self) -> Option<&str> {
        self.global
            .admin_url
            .as_deref()
            .filter(|url| !url.is_empty())
    }

    /// Was an admin API named at all?
    pub(crate) fn knows_admin(&self) -> bool {
        self.admin_url().is_some()
    }

    /// A client of the admin API.
    pub(crate) fn admin(&self) -> Result<AdminClient, Failure> {
        let Some(url) = self.admin_url() else {
            let missing = anyhow::anyhow!("no admin API is named");
            return Err(Failure::new(Exit::Usage, missing).or_next(
                "set --admin-url and --token-file, or TICKET_ADMIN_URL and TICKET_ADMIN_TOKEN; with the local stack: set -a; . .stack/env",
            ));
        };
        let mut config = AdminConfig::new(url, self.token()?);
        if let Some(limit) = self.global.request_timeout {
            config.request_timeout = limit.0;
        }
        Ok(AdminClient::new(&config)?)
    }

    fn token(&self) -> Result<SecretString, Failure> {
        if let Some(path) = &self.global.token_file {
            return read_token(path).map_err(|cause| Failure::new(Exit::Error, cause));
        }
        self.global
            .token
            .clone()
            .map(SecretString::from)
            .ok_or_else(|| {
                Failure::new(Exit::Usage, anyhow::anyhow!("no token for the admin API"))
                    .or_next("set --token-file or TICKET_ADMIN_TOKEN")
            })
    }
}

fn read_token(path: &Path) -> anyhow::Result<SecretString> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("could not read token file {}", path.display()))?;
    Ok(SecretString::from(text.trim()))
}
