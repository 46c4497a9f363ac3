//! An etcd server, the store of a kube-apiserver.

use crate::error::Result;
use crate::files;
use crate::process::{ProcessSpec, RunAs, StopSignal};
use crate::server::{Answer, Server, StartOptions, server_restart, server_verbs};
use crate::tools::Tools;

/// An etcd server of one member on loopback.
#[derive(Debug)]
pub struct EtcdServer {
    server: Server,
    url: String,
}

server_verbs!(EtcdServer);
server_restart!(EtcdServer);

impl EtcdServer {
    /// Starts one and waits until it answers.
    pub async fn start(options: StartOptions) -> Result<Self> {
        let port = options.lease_port().await?;
        let peer_port = options.lease_peer_port().await?;
        let data = options.home.data(&options.name);
        files::make_dir(&data)?;
        let url = format!("http://127.0.0.1:{}", port.port);
        let peer_url = format!("http://127.0.0.1:{}", peer_port.port);
        let spec = ProcessSpec {
            name: options.name.clone(),
            program: Tools.etcd()?,
            args: [
                "--name=one".to_owned(),
                format!("--data-dir={}", data.join("member-one").display()),
                format!("--listen-client-urls={url}"),
                format!("--advertise-client-urls={url}"),
                format!("--listen-peer-urls={peer_url}"),
                format!("--initial-advertise-peer-urls={peer_url}"),
                format!("--initial-cluster=one={peer_url}"),
                "--logger=zap".to_owned(),
                "--log-level=warn".to_owned(),
            ]
            .map(Into::into)
            .to_vec(),
            env: architecture(),
            cwd: data,
            log: options.home.log(&options.name),
            pid_file: options.home.pid_file(&options.name),
            stale_file: None,
            lifetime: options.lifetime,
            run_as: RunAs::Me,
            stop: StopSignal::Term,
        };
        let asked = format!("{url}/health");
        let probe = move |_| -> Answer { Box::pin(is_healthy(asked.clone())) };
        let server = Server::up(&options, spec, port, Some(peer_port), probe).await?;
        Ok(Self { server, url })
    }

    /// `http://127.0.0.1:port`
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// etcd 3.4 refuses to start on arm64 without this word.
fn architecture() -> Vec<(String, String)> {
    if cfg!(target_arch = "aarch64") {
        vec![("ETCD_UNSUPPORTED_ARCH".to_owned(), "arm64".to_owned())]
    } else {
        Vec::new()
    }
}

async fn is_healthy(url: String) -> std::result::Result<(), String> {
    let client = crate::http::client()?;
    let answer = client
        .get(url)
        .send()
        .await
        .map_err(|error| error.to_string())?;
    let text = answer.text().await.map_err(|error| error.to_string())?;
    if text.contains("\"true\"") {
        Ok(())
    } else {
        Err(text)
    }
}
