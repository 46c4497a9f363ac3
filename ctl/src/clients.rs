//! The way to the API server and to the admin API, from flags, kubeconfig and environment. Nothing is asked before a
//! command needs it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use secrecy::SecretString;
use ticket_admin::{AdminClient, AdminConfig};
use tokio::sync::{Mutex, OnceCell};

use crate::access::{self, Role};
use crate::cli::Global;
use crate::exit::{Exit, Failure};
use crate::tui::context;

/// Longest wait for one answer of the API server unless `--request-timeout` says otherwise. The client repeats 429 and
/// 503 by itself, so this covers the repeats too.
const KUBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait for a connection to the API server.
const KUBE_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The namespace when neither flag nor kubeconfig names one.
const DEFAULT_NAMESPACE: &str = "default";

/// A token file is read again after this time: whoever wrote it may renew it.
const TOKEN_FILE_LIFE: SignedDuration = SignedDuration::from_secs(60);

/// What the flags say, and the clients that were made from them. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    global: Arc<Global>,
    role: Role,
    config: Arc<OnceCell<Config>>,
    forwarded: Arc<OnceCell<String>>,
    admin: Arc<Mutex<Option<Admin>>>,
}

/// A client of the admin API, and when it needs another token.
#[derive(Debug)]
struct Admin {
    client: AdminClient,
    renew_at: Option<Timestamp>,
}

impl Clients {
    /// `role`: what will be done, if a token has to be asked for.
    pub(crate) fn new(global: Global, role: Role) -> Self {
        Self {
            global: Arc::new(global),
            role,
            config: Arc::default(),
            forwarded: Arc::default(),
            admin: Arc::default(),
        }
    }

    /// Nothing is changed, only shown (`--dry-run`).
    pub(crate) fn is_dry_run(&self) -> bool {
        self.global.dry_run
    }

    /// Whoever sits there may be asked (no `--no-input`).
    pub(crate) fn may_ask(&self) -> bool {
        !self.global.no_input
    }

    /// Longest time for the whole command (`--timeout`).
    pub(crate) fn limit(&self) -> Option<Duration> {
        self.global.timeout.map(|limit| limit.0)
    }

    /// Where the platform itself runs.
    pub(crate) fn platform_namespace(&self) -> &str {
        &self.global.platform_namespace
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
        let name = ticket_core::EventName::new(&namespace, event).map_err(|error| {
            Failure::new(Exit::Usage, error.into()).or_next(
                "`ticketctl events list` shows the names there are; -n names another namespace",
            )
        })?;
        Ok(name.to_string())
    }

    /// Where we are, as far as the flags and the kubeconfig say; asks nobody.
    pub(crate) async fn context(&self) -> context::Context {
        let kubeconfig = self.read_kubeconfig().unwrap_or_default();
        let name = self.global.context.clone().or(kubeconfig.current_context);
        let name = name.unwrap_or_default();
        let named = kubeconfig.contexts.into_iter().find(|it| it.name == name);
        context::Context {
            cluster: named
                .and_then(|it| it.context)
                .map(|it| it.cluster)
                .unwrap_or_default(),
            name,
            namespace: self.namespace().await,
            admin_url: self.admin_url().unwrap_or_default().to_owned(),
        }
    }

    fn read_kubeconfig(&self) -> anyhow::Result<Kubeconfig> {
        Ok(match &self.global.kubeconfig {
            Some(path) => Kubeconfig::read_from(path)
                .with_context(|| format!("could not read kubeconfig {}", path.display()))?,
            None => Kubeconfig::read()?,
        })
    }

    /// Nobody minds colours; whoever asks knows that there is a terminal.
    pub(crate) fn is_coloured(&self) -> bool {
        self.global.is_coloured(true)
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

    /// A client of the admin API: of the one that is named, else of the one that Kubernetes leads to.
    pub(crate) async fn admin(&self) -> Result<AdminClient, Failure> {
        let mut place = self.admin.lock().await;
        let now = ticket_core::clock::now();
        if let Some(Admin { client, renew_at }) = &*place
            && renew_at.is_none_or(|at| now < at)
        {
            return Ok(client.clone());
        }
        let url = self.url().await?;
        let (token, renew_at) = self.token(now).await?;
        let mut config = AdminConfig::new(url, token);
        if let Some(limit) = self.global.request_timeout {
            config.request_timeout = limit.0;
        }
        let client = AdminClient::new(&config)?;
        *place = Some(Admin {
            client: client.clone(),
            renew_at,
        });
        Ok(client)
    }

    async fn url(&self) -> Result<String, Failure> {
        if let Some(url) = self.admin_url() {
            return Ok(url.to_owned());
        }
        if self.kube_config().await.is_err() {
            let missing = anyhow::anyhow!("no admin API is named, and no kubeconfig leads to one");
            return Err(Failure::new(Exit::Usage, missing).or_next(
                "set --admin-url and --token-file, or TICKET_ADMIN_URL and TICKET_ADMIN_TOKEN; with the local stack: set -a; . .stack/env",
            ));
        }
        let url = self.forwarded.get_or_try_init(|| access::forward(self));
        url.await.cloned()
    }

    /// The token, and when it has to be looked for again.
    async fn token(&self, now: Timestamp) -> Result<(SecretString, Option<Timestamp>), Failure> {
        if let Some(path) = &self.global.token_file {
            let token = read_token(path).map_err(|cause| {
                let next = "name a file that can be read with --token-file, or none: then a token is asked for in the cluster";
                Failure::new(Exit::Error, cause).or_next(next)
            })?;
            return Ok((token, Some(now + TOKEN_FILE_LIFE)));
        }
        if let Some(token) = &self.global.token {
            return Ok((SecretString::from(token.as_str()), None));
        }
        if self.kube_config().await.is_err() {
            let missing = anyhow::anyhow!("no token for the admin API");
            return Err(Failure::new(Exit::Usage, missing).or_next(
                "set --token-file or TICKET_ADMIN_TOKEN, or a kubeconfig that may ask for one",
            ));
        }
        let given = access::request_token(self, self.role).await?;
        Ok((given.secret, Some(given.renew_at)))
    }
}

fn read_token(path: &Path) -> anyhow::Result<SecretString> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("could not read token file {}", path.display()))?;
    Ok(SecretString::from(text.trim()))
}
