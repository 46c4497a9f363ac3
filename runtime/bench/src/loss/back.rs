//! Kills Redis, and notes the moment at which it answers again: from then on the time counts that a sale is closed.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use ticket_core::clock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::ledger::rig::Rig;

/// How long a killed server stays away: as long as a supervisor needs to see that it is dead.
const AWAY_FOR: Duration = Duration::from_millis(200);

/// Between two questions to a server that is not there yet.
const ASK_EVERY: Duration = Duration::from_millis(1);

/// How long a server may take to start.
const BACK_WAIT_MAX: Duration = Duration::from_secs(20);

/// The answer to `PING`.
const PONG: [u8; 7] = *b"+PONG\r\n";

/// When Redis died and when it was back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Back {
    /// It was dead by then.
    pub(super) dead_at: Instant,
    /// It answered a `PING`, with nothing in it.
    pub(super) at: Instant,
    /// The same by the clock, which the database shares.
    pub(super) by_clock: Timestamp,
}

/// `kill -9`, and a start with nothing.
pub(super) async fn die_and_come_back(rig: &Rig) -> anyhow::Result<Back> {
    let mut redis = rig.redis().await;
    let port = redis.server().port();
    redis.kill().await.context("Redis was not killed")?;
    let dead_at = Instant::now();
    sleep(AWAY_FOR).await;
    let answer = async {
        let answer = timeout(BACK_WAIT_MAX, pong(port)).await;
        answer.context("Redis does not answer")
    };
    let start = async { redis.restart().await.context("Redis did not start") };
    let ((), (at, by_clock)) = tokio::try_join!(start, answer)?;
    Ok(Back {
        dead_at,
        at,
        by_clock,
    })
}

async fn pong(port: u16) -> (Instant, Timestamp) {
    loop {
        if ask(port).await.is_ok_and(|answer| answer == PONG) {
            return (Instant::now(), clock::now());
        }
        sleep(ASK_EVERY).await;
    }
}

async fn ask(port: u16) -> std::io::Result<[u8; PONG.len()]> {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    connection.write_all(b"PING\r\n").await?;
    let mut answer = [0; PONG.len()];
    connection.read_exact(&mut answer).await?;
    Ok(answer)
}
