//! `ticketctl completions SHELL`.

use clap::CommandFactory;

use super::Ended;
use crate::cli::{Cli, Completions};
use crate::exit::Exit;
use crate::output::Output;

pub(crate) fn run(flags: &Completions, output: &mut Output<'_>) -> Ended {
    let mut script = Vec::new();
    clap_complete::generate(flags.shell, &mut Cli::command(), "ticketctl", &mut script);
    output.text(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
