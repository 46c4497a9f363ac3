//! Wiring only: settings, telemetry, the role.

use std::io::Write;

use anyhow::Context;
use ticket_runtime::config::{self, Config, ConfigVerb, Role, Verb};
use ticket_runtime::roles;
use ticket_telemetry::settings;

/// Takes a tenth of the API's CPU time away against the system's (measured, `make bench`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let config = config::load(std::env::args_os()).unwrap_or_else(|error| error.exit());
    match config.cli.verb {
        Verb::Role(role) => run(role, config),
        Verb::Config(ConfigVerb::Check { role }) => {
            fit(&config, role);
            say(&format!("the settings fit {}\n", role.service()))
        }
        Verb::Config(ConfigVerb::Print { style }) => say(&config.sources.print(style)),
    }
}

fn run(role: Role, config: Config) -> anyhow::Result<()> {
    fit(&config, role);
    let process = &config.cli.settings.process;
    ticket_telemetry::init(role.service(), &process.log, process.log_format)?;
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider is installed already"))?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("could not start the async runtime")?
        .block_on(roles::run(role, config))
}

/// Ends the process if anything is wrong with the settings.
fn fit(config: &Config, role: Role) {
    let problems = config.cli.settings.check(role);
    if !problems.is_empty() {
        settings::exit_with(&problems);
    }
}

fn say(text: &str) -> anyhow::Result<()> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}
