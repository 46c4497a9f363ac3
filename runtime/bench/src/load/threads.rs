//! The generator's threads, each with an event loop of its own.

use std::net::TcpStream;
use std::num::NonZero;
use std::sync::{Arc, Barrier, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::future::try_join_all;
use tokio::runtime;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout_at;

use super::connection::{Connection, Shared};
use super::outcome::{Outcome, Tally};
use super::schedule::{Pace, Schedule};
use super::{Script, Target};
use crate::cpu;

/// Most threads: more than these fill any server that runs on the same machine.
const THREADS_MAX: usize = 4;

/// Most connections: above them the local ports become few.
const CONNECTIONS_MAX: u32 = 10_000;

/// Between the moment at which all threads are ready and the first request: every connection waits by then.
const HEAD_START: Duration = Duration::from_millis(250);

/// How long after its end a load may wait for answers.
const ANSWERS_WAIT_MAX: Duration = Duration::from_secs(20);

/// A load before it is carried out.
pub(super) struct Run<'a, S> {
    target: &'a Target,
    connections: u32,
    lasts: Duration,
    pace: Pace,
    script: &'a Arc<S>,
}

impl<'a, S: Script> Run<'a, S> {
    pub(super) const fn new(
        target: &'a Target,
        connections: u32,
        lasts: Duration,
        pace: Pace,
        script: &'a Arc<S>,
    ) -> Self {
        Self {
            target,
            connections,
            lasts,
            pace,
            script,
        }
    }

    pub(super) async fn carry_out(self) -> anyhow::Result<Outcome> {
        let Self {
            target,
            connections,
            lasts,
            pace,
            script,
        } = self;
        let is_none = matches!(pace, Pace::Steady { per_second: 0 });
        anyhow::ensure!(!is_none, "a steady load needs requests");
        anyhow::ensure!(
            (1..=CONNECTIONS_MAX).contains(&connections),
            "expected 1 to {CONNECTIONS_MAX} connections, not {connections}"
        );
        let to = target.clone();
        let open = move || {
            (0..connections)
                .map(|_| to.connect())
                .collect::<Result<Vec<_>, _>>()
        };
        let sockets = spawn_blocking(open)
            .await
            .context("connecting was ended")??;

        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let hands = dealt(sockets, cores.min(THREADS_MAX));
        let threads = u64::try_from(hands.len())?;
        let start = Arc::new(Start::of(hands.len()));
        let running = hands.into_iter().zip(0..).map(|(sockets, thread)| {
            let (start, script) = (start.clone(), script.clone());
            let schedule = move |begin| Schedule::new(pace, begin, lasts, thread, threads);
            spawn_blocking(move || one_thread(sockets, script, &start, schedule))
        });
        let tallies = try_join_all(running).await;
        let tallies = tallies.context("a thread of the load generator ended")?;
        let tallies = tallies.into_iter().collect::<anyhow::Result<_>>()?;
        Ok(Tally::outcome(
            tallies,
            start.begin.get().copied().context("no thread began")?,
        ))
    }
}

/// The moment at which all threads begin. A load that began before the generator is ready would count its delay as one of
/// the server.
struct Start {
    ready: Barrier,
    begin: OnceLock<Instant>,
}

impl Start {
    fn of(threads: usize) -> Self {
        Self {
            ready: Barrier::new(threads),
            begin: OnceLock::new(),
        }
    }

    /// Blocks until all threads ask.
    fn wait(&self) -> Instant {
        self.ready.wait();
        *self.begin.get_or_init(|| Instant::now() + HEAD_START)
    }
}

/// Deals `sockets` to at most `hands`; nobody goes away empty-handed.
fn dealt(sockets: Vec<TcpStream>, hands: usize) -> Vec<Vec<TcpStream>> {
    let hands = hands.min(sockets.len()).max(1);
    let mut dealt: Vec<Vec<TcpStream>> = (0..hands).map(|_| Vec::new()).collect();
    for (at, socket) in sockets.into_iter().enumerate() {
        dealt[at % hands].push(socket);
    }
    dealt
}

/// The life of a thread: all its connections to their end, at most until no answer is waited for any longer.
fn one_thread<S: Script>(
    sockets: Vec<TcpStream>,
    script: Arc<S>,
    start: &Start,
    schedule: impl FnOnce(Instant) -> Schedule,
) -> anyhow::Result<Tally> {
    let event_loop = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no event loop for the load generator");
    let ready = event_loop.and_then(|event_loop| {
        let open = async {
            let opened = sockets.into_iter().map(Connection::open);
            try_join_all(opened).await
        };
        let connections = event_loop.block_on(open)?;
        anyhow::Ok((event_loop, connections))
    });
    // Also with an error: the others wait.
    let begin = start.wait();
    let (event_loop, connections) = ready?;
    let cpu_before = cpu::of_this_thread()?;
    let shared = Arc::new(Shared {
        schedule: schedule(begin),
        script,
        tally: Mutex::default(),
    });
    let give_up = shared.schedule.end() + ANSWERS_WAIT_MAX;
    let all = async {
        let mut running = JoinSet::new();
        for connection in connections {
            running.spawn(connection.run(shared.clone()));
        }
        while let Some(done) = running.join_next().await {
            done.context("a connection's task ended")??;
        }
        anyhow::Ok(())
    };
    event_loop
        .block_on(async { timeout_at(give_up.into(), all).await })
        .with_context(|| format!("answers did not come within {ANSWERS_WAIT_MAX:?}"))??;
    let cpu = cpu::of_this_thread()?.saturating_sub(cpu_before);
    let mut tally =
        std::mem::take(&mut *shared.tally.lock().unwrap_or_else(PoisonError::into_inner));
    tally.close(shared.schedule.unsent(), cpu);
    Ok(tally)
}
