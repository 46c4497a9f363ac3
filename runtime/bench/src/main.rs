//! `ticket-bench`: simulated buyers, the demo and the benchmarks, from a command line.

use std::process::ExitCode;

use clap::Parser as _;
use ticket_bench::{cli, say};

/// The allocator of the services, so that the bare endpoint is not handicapped.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let args = cli::Args::parse();
    // Every HTTP client asks for it, also where nothing is encrypted. An error means that it is set already.
    drop(rustls::crypto::ring::default_provider().install_default());
    match Box::pin(cli::run(args)).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say::progress(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
