//! `ticketctl`: look at a sale and steer it. Control goes through Kubernetes, looking goes through the admin API; it
//! talks to neither Kafka, the database nor Redis. As a library so that tests can run whole commands without a process.

mod access;
pub mod cli;
mod clients;
mod commands;
pub mod completion;
mod exit;
pub mod output;
pub mod rebalance;
pub mod tui;

use cli::Cli;
use clients::Clients;
use output::Output;

pub use exit::{Exit, Failure};

/// Carries `cli` out. What goes wrong is told on the words' side of `output`.
pub async fn run(cli: Cli, output: &mut Output<'_>) -> Exit {
    let clients = Clients::new(cli.global, cli.command.role());
    // Whoever waits for something by itself says what it waited for.
    let limit = clients.limit().filter(|_| !cli.command.is_a_wait());
    let command = Box::pin(commands::run(cli.command, &clients, output));
    let ended = match limit {
        None => command.await,
        Some(limit) => tokio::time::timeout(limit, command)
            .await
            .unwrap_or_else(|_| Err(Failure::out_of_time(limit))),
    };
    match ended {
        Ok(exit) => exit,
        Err(failure) => failure.tell(output),
    }
}

/// The process cannot even start.
#[must_use]
pub fn no_runtime(error: &std::io::Error) -> Exit {
    let (mut data, mut words) = (std::io::sink(), std::io::stderr());
    let mut output = Output::new(&mut data, &mut words, output::Format::Table, false);
    Failure::new(Exit::Error, anyhow::anyhow!("could not start: {error}"))
        .or_next("look at the limits of this user's processes: ulimit -a")
        .tell(&mut output)
}
