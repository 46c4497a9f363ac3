//! The HTTP client of the readiness questions.

use reqwest::{Certificate, Client, ClientBuilder};

use crate::server::PROBE_LIMIT;

/// A client for plain HTTP. Proxies of the environment are for other hosts than this one.
pub(crate) fn client() -> Result<Client, String> {
    build(Client::builder())
}

/// A client for HTTPS that trusts the certificates in `pem` and no others.
pub(crate) fn client_trusting(pem: &str) -> Result<Client, String> {
    let trusted =
        Certificate::from_pem_bundle(pem.as_bytes()).map_err(|error| error.to_string())?;
    build(Client::builder().tls_certs_only(trusted))
}

fn build(builder: ClientBuilder) -> Result<Client, String> {
    // The first one in the process wins; a second call is refused and harmless.
    drop(rustls::crypto::ring::default_provider().install_default());
    builder
        .no_proxy()
        .timeout(PROBE_LIMIT)
        .build()
        .map_err(|error| error.to_string())
}

/// Fine if `url` answers with a success.
pub(crate) async fn succeeds(url: &str) -> Result<(), String> {
    let answer = client()?
        .get(url)
        .send()
        .await
        .map_err(|error| format!("{error:?}"))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    Err(format!(
        "{status}: {}",
        answer.text().await.unwrap_or_default()
    ))
}

/// Fine if `url` is answered at all, whatever it says.
pub(crate) async fn answers(url: &str) -> Result<(), String> {
    client()?
        .get(url)
        .send()
        .await
        .map(drop)
        .map_err(|error| format!("{error:?}"))
}
