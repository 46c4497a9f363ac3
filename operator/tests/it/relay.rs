//! A server that can be cut off without being stopped: others need it.

use std::net::Ipv4Addr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes connections on to a port of this machine, or refuses and ends them.
pub(crate) struct Relay {
    pub(crate) port: u16,
    is_open: watch::Sender<bool>,
}

impl Relay {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let (is_open, opened) = watch::channel(true);
        tokio::spawn(async move {
            loop {
                let Ok((from, _)) = listener.accept().await else {
                    return;
                };
                if *opened.borrow() {
                    tokio::spawn(pass_on(from, port, opened.clone()));
                }
            }
        });
        Self { port: own, is_open }
    }

    pub(crate) fn cut(&self) {
        self.is_open.send_replace(false);
    }

    pub(crate) fn mend(&self) {
        self.is_open.send_replace(true);
    }
}

async fn pass_on(mut from: TcpStream, port: u16, mut is_open: watch::Receiver<bool>) {
    let Ok(mut to) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else {
        return;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut from, &mut to) => {}
        _ = is_open.wait_for(|is_open| !is_open) => {}
    }
}
