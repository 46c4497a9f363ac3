//! The way to the admin API through Kubernetes, for whoever has a kubeconfig and nothing else: its pod is found by its labels,
//! reached by port-forward, and a short-lived token of its viewer or manager account is asked for. Who may do which is the
//! cluster's to say (RBAC), so that no password of the platform leaves it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{Api, ListParams, Portforwarder, PostParams};
use kube::{Client, ResourceExt};
use secrecy::SecretString;
use tokio::io::{DuplexStream, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::clients::Clients;
use crate::exit::{Exit, Failure};

/// Audience of the tokens: the admin API takes no other.
const AUDIENCE: &str = "ticket-admin";

/// How the chart marks the pods of the admin API.
const ADMIN_PODS: &str =
    "app.kubernetes.io/part-of=ticket-platform,app.kubernetes.io/component=admin";

/// Name of the port that the admin API listens on.
const PORT_NAME: &str = "http";

/// Life of a token, seconds: the shortest that is sensible for somebody who watches a sale. The cluster may give less.
const TOKEN_LIFE_S: i64 = 3_600;

/// A token is asked for anew so long before it ends, so that none ends on its way.
const TOKEN_RENEW_BEFORE: SignedDuration = SignedDuration::from_secs(60);

/// Connections that are forwarded at the same time; the next ones wait. The cockpit asks eight questions at once at most.
const FORWARDED_CONNECTIONS_MAX: usize = 16;

/// Wait before the next connection is taken after one could not be.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// What somebody is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Look.
    Viewer,
    /// Change something.
    Manager,
}

impl Role {
    /// Endings of the accounts whose token is enough, the least powerful first.
    const fn accounts(self) -> &'static [&'static str] {
        match self {
            Self::Viewer => &["viewer", "manager"],
            Self::Manager => &["manager"],
        }
    }
}

/// A token, and when it has to be asked for again.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) secret: SecretString,
    pub(crate) renew_at: Timestamp,
}

/// A pod of the admin API.
#[derive(Debug, Clone)]
struct Target {
    pod: String,
    port: u16,
    account: String,
}

/// Finds a pod of the admin API that is ready.
async fn find(clients: &Clients, client: &Client) -> Result<Target, Failure> {
    let namespace = clients.platform_namespace();
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let wanted = ListParams::default().labels(ADMIN_PODS);
    let found = clients
        .ask(
            &format!("look for the admin API in namespace {namespace}"),
            pods.list(&wanted),
        )
        .await?;
    let target = found
        .items
        .iter()
        .filter(|pod| is_ready(pod))
        .find_map(target);
    target.ok_or_else(|| {
        let count = found.items.len();
        let none = anyhow::anyhow!(
            "no pod of the admin API is ready in namespace {namespace} ({count} found by {ADMIN_PODS})"
        );
        Failure::new(Exit::NotFound, none).or_next(
            "say where the platform runs with --platform-namespace, or name the admin API with --admin-url",
        )
    })
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| &status.conditions);
    let is_going = pod.metadata.deletion_timestamp.is_some();
    !is_going
        && conditions
            .flatten()
            .any(|it| it.type_ == "Ready" && it.status == "True")
}

fn target(pod: &Pod) -> Option<Target> {
    let spec = pod.spec.as_ref()?;
    let ports = spec.containers.iter().flat_map(|it| &it.ports).flatten();
    let port = ports
        .filter(|port| port.name.as_deref() == Some(PORT_NAME))
        .find_map(|port| u16::try_from(port.container_port).ok())?;
    Some(Target {
        pod: pod.name_any(),
        port,
        account: spec.service_account_name.clone()?,
    })
}

/// Asks for a token of the account that is enough for `role`.
pub(crate) async fn request_token(clients: &Clients, role: Role) -> Result<Token, Failure> {
    let client = clients.kube().await?;
    let target = find(clients, &client).await?;
    let namespace = clients.platform_namespace();
    let accounts: Api<ServiceAccount> = Api::namespaced(client, namespace);
    let wanted = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: Some(vec![AUDIENCE.to_owned()]),
            expiration_seconds: Some(TOKEN_LIFE_S),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let params = PostParams::default();
    let mut refused = None;
    for ending in role.accounts() {
        let account = format!("{}-{ending}", target.account);
        let action = format!("ask for a token of the account {account}");
        let asked = accounts.create_token_request(&account, &params, &wanted);
        match clients.ask(&action, asked).await {
            Ok(given) => return token(given, &account),
            // Another account may do.
            Err(failure) => refused = refused.or(Some(failure)),
        }
    }
    let nothing = || Failure::new(Exit::Error, anyhow::anyhow!("no account gives a token"));
    Err(refused.unwrap_or_else(nothing).but_next(
        "ask for the viewer's or the manager's role in the platform's chart: access.viewers, access.managers",
    ))
}

fn token(given: TokenRequest, account: &str) -> Result<Token, Failure> {
    let status = given.status.unwrap_or_default();
    let (Some(token), Some(end)) = (status.token, status.expiration_timestamp) else {
        let empty = anyhow::anyhow!("the API server gave no token of the account {account}");
        return Err(Failure::new(Exit::Error, empty).or_next("name one with --token-file"));
    };
    Ok(Token {
        renew_at: end.0 - TOKEN_RENEW_BEFORE,
        secret: SecretString::from(token),
    })
}

/// Opens a door on this machine that leads to the admin API, and keeps it open as long as the present runtime lives. A pod that
/// goes is replaced by another with the next connection.
pub(crate) async fn forward(clients: &Clients) -> Result<String, Failure> {
    let client = clients.kube().await?;
    // Tried once before anybody relies on it: what is missing is told by its cause and not as a broken connection.
    drop(connect(clients, &client).await?);
    let cannot = |error: std::io::Error| {
        let cause = anyhow::Error::new(error).context("could not listen on this machine");
        Failure::new(Exit::Error, cause).or_next("name the admin API with --admin-url")
    };
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .await
        .map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    tokio::spawn(Box::pin(accept(clients.clone(), client, listener)));
    Ok(format!("http://{address}"))
}

async fn accept(clients: Clients, client: Client, listener: TcpListener) {
    let room = Arc::new(Semaphore::new(FORWARDED_CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let Ok((connection, _)) = listener.accept().await else {
            // Too many open files: some will be closed.
            tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            continue;
        };
        let (clients, client) = (clients.clone(), client.clone());
        tokio::spawn(Box::pin(async move {
            let _permit = permit;
            // What goes wrong is seen by whoever asks: the connection ends without an answer.
            if let Ok(forwarded) = connect(&clients, &client).await {
                carry(connection, forwarded).await;
            }
        }));
    }
}

/// A stream to the admin API; what it runs through lives as long as it.
struct Forwarded {
    stream: DuplexStream,
    _through: Portforwarder,
}

async fn connect(clients: &Clients, client: &Client) -> Result<Forwarded, Failure> {
    let Target { pod, port, .. } = find(clients, client).await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), clients.platform_namespace());
    let ports = [port];
    let asked = pods.portforward(&pod, &ports);
    let mut through = clients
        .ask(&format!("forward a port of the pod {pod}"), asked)
        .await?;
    let Some(stream) = through.take_stream(port) else {
        let missing = anyhow::anyhow!("the API server forwards no port {port} of the pod {pod}");
        return Err(
            Failure::new(Exit::Error, missing).or_next("name the admin API with --admin-url")
        );
    };
    Ok(Forwarded {
        stream,
        _through: through,
    })
}

async fn carry(mut here: TcpStream, mut there: Forwarded) {
    // Either side may go at any time; the other is closed with it.
    drop(copy_bidirectional(&mut here, &mut there.stream).await);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(ready: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "tickets-admin-0"},
            "spec": {
                "serviceAccountName": "tickets-admin",
                "containers": [{"name": "admin", "ports": [
                    {"name": "metrics", "containerPort": 9090}, {"name": "http", "containerPort": 8081},
                ]}],
            },
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        }))
        .unwrap()
    }

    #[test]
    fn a_pod_is_taken_when_it_is_ready_and_by_the_name_of_its_port() {
        assert!(is_ready(&pod("True")) && !is_ready(&pod("False")));
        let target = target(&pod("True")).unwrap();
        assert_eq!(
            (target.pod.as_str(), target.port, target.account.as_str()),
            ("tickets-admin-0", 8081, "tickets-admin")
        );
        let mut going = pod("True");
        going.metadata.deletion_timestamp =
            serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        assert!(!is_ready(&going));
    }

    #[test]
    fn looking_is_content_with_the_least_powerful_account() {
        assert_eq!(Role::Viewer.accounts(), ["viewer", "manager"]);
        assert_eq!(Role::Manager.accounts(), ["manager"]);
    }
}
