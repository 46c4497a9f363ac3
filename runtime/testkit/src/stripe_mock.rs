//! stripe-mock: a server that checks requests against Stripe's own description of its API and answers with examples. It
//! keeps nothing.

use crate::error::Result;
use crate::process::{ProcessSpec, RunAs, StopSignal};
use crate::server::{Answer, Server, StartOptions, server_restart, server_verbs};
use crate::tools::Tools;
use crate::{files, http};

/// A stripe-mock on loopback.
#[derive(Debug)]
pub struct StripeMockServer {
    server: Server,
    url: String,
}

server_verbs!(StripeMockServer);
server_restart!(StripeMockServer);

impl StripeMockServer {
    /// Starts one and waits until it answers.
    pub async fn start(options: StartOptions) -> Result<Self> {
        let port = options.lease_port().await?;
        let data = options.home.data(&options.name);
        files::make_dir(&data)?;
        let address = format!("127.0.0.1:{}", port.port);
        let spec = ProcessSpec {
            name: options.name.clone(),
            program: Tools.stripe_mock()?,
            args: vec![
                "-http-addr".into(),
                address.clone().into(),
                // Else it takes a fixed port, on all addresses.
                "-https-addr".into(),
                "127.0.0.1:0".into(),
            ],
            env: vec![],
            cwd: data,
            log: options.home.log(&options.name),
            pid_file: options.home.pid_file(&options.name),
            stale_file: None,
            lifetime: options.lifetime,
            run_as: RunAs::Me,
            stop: StopSignal::Term,
        };
        let url = format!("http://{address}");
        let asked = url.clone();
        let probe = move |_| -> Answer {
            let asked = asked.clone();
            Box::pin(async move { http::answers(&asked).await })
        };
        let server = Server::up(&options, spec, port, None, probe).await?;
        Ok(Self { server, url })
    }

    /// `http://127.0.0.1:port`
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}
