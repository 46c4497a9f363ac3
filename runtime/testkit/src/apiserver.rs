//! A kube-apiserver over an etcd. It runs alone: no controllers, so nothing is garbage-collected and namespaces do not go
//! away by themselves. RBAC is on; the kubeconfig holds an administrator's token.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use uuid::Uuid;

use crate::error::{Result, TestkitError};
use crate::etcd::EtcdServer;
use crate::process::{ProcessSpec, RunAs, StopSignal};
use crate::server::{Answer, Server, StartOptions, server_restart, server_verbs};
use crate::tools::Tools;
use crate::{files, http};

/// Addresses of Services. Nothing is ever sent there, but the server wants a range.
const SERVICE_RANGE: &str = "10.96.0.0/16";

/// A kube-apiserver on loopback.
#[derive(Debug)]
pub struct ApiServer {
    server: Server,
    url: String,
    kubeconfig: PathBuf,
    token: String,
    certificate: String,
}

server_verbs!(ApiServer);
server_restart!(ApiServer);

impl ApiServer {
    /// Starts one over `etcd`, waits until it is ready, and writes its kubeconfig.
    pub async fn start(options: StartOptions, etcd: &EtcdServer) -> Result<Self> {
        let port = options.lease_port().await?;
        let data = options.home.data(&options.name);
        files::make_dir(&data)?;
        let token = admin_token(&data)?;
        let key = service_account_key(&data)?;
        let url = format!("https://127.0.0.1:{}", port.port);
        let spec = ProcessSpec {
            name: options.name.clone(),
            program: Tools.apiserver()?,
            args: [
                format!("--etcd-servers={}", etcd.url()),
                "--bind-address=127.0.0.1".to_owned(),
                "--advertise-address=127.0.0.1".to_owned(),
                // There is one server and no Service points at it; a loopback address would be refused there.
                "--endpoint-reconciler-type=none".to_owned(),
                format!("--secure-port={}", port.port),
                format!("--cert-dir={}", data.join("certs").display()),
                format!("--token-auth-file={}", tokens(&data).display()),
                "--authorization-mode=RBAC".to_owned(),
                "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
                format!("--service-account-key-file={}", key.display()),
                format!("--service-account-signing-key-file={}", key.display()),
                format!("--service-cluster-ip-range={SERVICE_RANGE}"),
                // It waits for the controller that makes the service accounts.
                "--disable-admission-plugins=ServiceAccount".to_owned(),
                "--profiling=false".to_owned(),
            ]
            .map(Into::into)
            .to_vec(),
            env: vec![],
            cwd: data.clone(),
            log: options.home.log(&options.name),
            pid_file: options.home.pid_file(&options.name),
            stale_file: None,
            lifetime: options.lifetime,
            run_as: RunAs::Me,
            stop: StopSignal::Term,
        };
        let certificate = data.join("certs/apiserver.crt");
        let asked = Question {
            url: format!("{url}/readyz"),
            token: token.clone(),
            certificate,
        };
        let probe = {
            let asked = asked.clone();
            move |_| -> Answer { Box::pin(is_ready(asked.clone())) }
        };
        let server = Server::up(&options, spec, port, None, probe).await?;
        let kubeconfig = data.join("kubeconfig");
        let certificate = files::read(&asked.certificate)?;
        let authority = BASE64.encode(&certificate);
        files::write_secret(&kubeconfig, &kubeconfig_text(&url, &authority, &token))?;
        Ok(Self {
            server,
            url,
            kubeconfig,
            token,
            certificate,
        })
    }

    /// `https://127.0.0.1:port`
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The administrator's token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The certificate that it shows, PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A kubeconfig with an administrator's token.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }
}

#[derive(Clone)]
struct Question {
    url: String,
    token: String,
    certificate: PathBuf,
}

async fn is_ready(question: Question) -> std::result::Result<(), String> {
    // The server makes its certificate at the first start.
    let pem = files::read(&question.certificate).map_err(|error| error.with_causes())?;
    let client = http::client_trusting(&pem)?;
    let request = client.get(question.url).bearer_auth(question.token);
    let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    Err(format!(
        "{status}: {}",
        answer.text().await.unwrap_or_default()
    ))
}

fn tokens(data: &Path) -> PathBuf {
    data.join("tokens.csv")
}

// Made once; lines are token, user name, user id, groups. The group's members may do everything.
fn admin_token(data: &Path) -> Result<String> {
    let path = tokens(data);
    if let Ok(line) = files::read(&path)
        && let Some((token, _)) = line.split_once(',')
    {
        return Ok(token.to_owned());
    }
    let token = Uuid::new_v4().simple().to_string();
    files::write_secret(
        &path,
        &format!("{token},stack-admin,stack-admin,system:masters\n"),
    )?;
    Ok(token)
}

fn service_account_key(data: &Path) -> Result<PathBuf> {
    let key = data.join("service-account.key");
    if key.is_file() {
        return Ok(key);
    }
    let openssl = Tools.openssl()?;
    let answer = std::process::Command::new(&openssl)
        .args([
            "genpkey",
            "-quiet",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
        ])
        .output()
        .map_err(|cause| TestkitError::Spawn {
            program: openssl.display().to_string(),
            cause,
        })?;
    if !answer.status.success() {
        return Err(TestkitError::Command {
            what: "making the key of the service accounts".to_owned(),
            output: String::from_utf8_lossy(&answer.stderr).into_owned(),
        });
    }
    files::write_secret(&key, &String::from_utf8_lossy(&answer.stdout))?;
    Ok(key)
}

fn kubeconfig_text(url: &str, authority: &str, token: &str) -> String {
    format!(
        "apiVersion: v1
kind: Config
current-context: ticket-stack
clusters:
- name: ticket-stack
  cluster:
    server: {url}
    certificate-authority-data: {authority}
users:
- name: admin
  user:
    token: {token}
contexts:
- name: ticket-stack
  context:
    cluster: ticket-stack
    user: admin
    namespace: default
"
    )
}
