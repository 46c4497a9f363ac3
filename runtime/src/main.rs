//! Wiring only: arguments, telemetry, the role.

use anyhow::Context;
use clap::Parser;
use ticket_runtime::config::Cli;
use ticket_runtime::roles;
use ticket_telemetry::LogFormat;

/// Takes a tenth of the API's CPU time away against the system's (measured, `make bench`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let Cli { role, settings } = Cli::parse();
    ticket_telemetry::init(role.service(), &settings.log, LogFormat::Auto)?;
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider is installed already"))?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("could not start the async runtime")?
        .block_on(roles::run(role, settings))
}
