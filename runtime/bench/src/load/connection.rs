//! One keep-alive connection.

use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::sleep_until;

use super::outcome::Tally;
use super::schedule::Schedule;
use super::{Answer, Script};

/// What the connections of one thread share.
pub(super) struct Shared<S> {
    pub(super) schedule: Schedule,
    pub(super) script: Arc<S>,
    /// Only this thread's connections take the lock, one after the other.
    pub(super) tally: Mutex<Tally>,
}

/// A connection on which nothing was sent yet.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: http1::Connection<TokioIo<tokio::net::TcpStream>, Full<Bytes>>,
}

impl Connection {
    /// A connection over `stream`, for the event loop that asks.
    pub(super) async fn open(stream: TcpStream) -> anyhow::Result<Self> {
        let stream =
            tokio::net::TcpStream::from_std(stream).context("no event loop for a socket")?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream))
            .await
            .context("no HTTP on a connection")?;
        Ok(Self { sender, driver })
    }

    /// Sends until the schedule is over and the last answer is here.
    pub(super) async fn run<S: Script>(self, shared: Arc<Shared<S>>) -> anyhow::Result<()> {
        tokio::select! {
            // The socket first: an answer that is there is seen by `ask` in the same turn.
            biased;
            ended = self.driver => {
                ended.context("a connection broke off")?;
                anyhow::bail!("the server closed a connection")
            }
            done = ask(self.sender, &shared) => done,
        }
    }
}

async fn ask<S: Script>(
    mut sender: SendRequest<Full<Bytes>>,
    shared: &Shared<S>,
) -> anyhow::Result<()> {
    loop {
        let now = Instant::now();
        let Some(due) = shared.schedule.next(now) else {
            return Ok(());
        };
        if due > now {
            sleep_until(due.into()).await;
        }
        sender.ready().await.context("a connection is closed")?;
        let response = sender
            .send_request(shared.script.request())
            .await
            .context("a request got no answer")?;
        let (head, body) = response.into_parts();
        let body = body
            .collect()
            .await
            .context("an answer broke off")?
            .to_bytes();
        let answer = Answer {
            status: head.status,
            headers: head.headers,
            body,
            due,
            at: Instant::now(),
        };
        shared
            .tally
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .count(&answer);
        shared.script.answered(&answer);
    }
}
