//! One address in front of a server that may be replaced by another one: what a service name or a sentinel does after a
//! promotion. It copies bytes and knows no protocol. A connection that cannot be passed on is closed.

use std::net::Ipv4Addr;

use anyhow::Context as _;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A listener on loopback.
pub(super) struct Relay {
    port: u16,
    /// Port of the server behind it.
    behind: watch::Sender<u16>,
    accepting: JoinHandle<()>,
}

impl Relay {
    /// Listens on a free port for the server on `port`.
    pub(super) async fn to(port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("could not listen for the stock store")?;
        let own = listener.local_addr().context("the relay has no port")?;
        let (behind, server) = watch::channel(port);
        Ok(Self {
            port: own.port(),
            behind,
            accepting: tokio::spawn(accept(listener, server)),
        })
    }

    /// Where it listens, on 127.0.0.1.
    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// Closes all connections; new ones go to the server on `port`.
    pub(super) fn switch(&self, port: u16) {
        self.behind.send_replace(port);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: watch::Receiver<u16>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(pass(client, server.clone()));
    }
}

/// Ends when either side closes, or when another server takes over.
async fn pass(mut client: TcpStream, mut server: watch::Receiver<u16>) {
    let port = *server.borrow_and_update();
    let Ok(mut behind) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else {
        return;
    };
    // Small requests and answers; what cannot be set is only slower.
    drop(client.set_nodelay(true));
    drop(behind.set_nodelay(true));
    tokio::select! {
        copied = copy_bidirectional(&mut client, &mut behind) => drop(copied),
        changed = server.changed() => drop(changed),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Answers every connection with `word` and waits for its end.
    async fn server(word: &'static [u8]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                client.write_all(word).await.unwrap();
                tokio::spawn(async move { client.read_u8().await });
            }
        });
        port
    }

    async fn first_byte(client: &mut TcpStream) -> Option<u8> {
        client.read_u8().await.ok()
    }

    #[tokio::test]
    async fn a_switch_closes_what_is_open_and_leads_elsewhere() {
        let relay = Relay::to(server(b"a").await).await.unwrap();
        let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port()));
        let mut old = connect().await.unwrap();
        assert_eq!(first_byte(&mut old).await, Some(b'a'));
        relay.switch(server(b"b").await);
        assert_eq!(first_byte(&mut old).await, None);
        let mut new = connect().await.unwrap();
        assert_eq!(first_byte(&mut new).await, Some(b'b'));
    }
}
