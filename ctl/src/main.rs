//! `ticketctl`: wiring only. Data goes to standard output, words go to standard error.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Parser;
use ticketctl::cli::Cli;
use ticketctl::output::Output;

fn main() -> ExitCode {
    // The process is young and nobody else installs one; a second install would only be refused.
    drop(rustls::crypto::ring::default_provider().install_default());
    // A shell that asks for completions gets them and nothing else.
    ticketctl::completion::answer_shell();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return explain_usage(&error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return ticketctl::no_runtime(&error).into(),
    };
    let is_terminal = io::stdout().is_terminal();
    let (mut data, mut words) = (io::stdout(), io::stderr());
    let mut output = Output::new(
        &mut data,
        &mut words,
        cli.global.output,
        cli.global.is_coloured(is_terminal),
    );
    runtime.block_on(ticketctl::run(cli, &mut output)).into()
}

/// `--help` and `--version` are answers; everything else is a usage error (exit code 2).
fn explain_usage(error: &clap::Error) -> ExitCode {
    // Nobody is left to tell if this cannot be written.
    drop(error.print());
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}
