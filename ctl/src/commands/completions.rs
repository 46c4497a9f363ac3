//! `ticketctl completions SHELL`.

use super::Ended;
use crate::cli::Completions;
use crate::completion;
use crate::exit::Exit;
use crate::output::Output;

pub(crate) fn run(flags: &Completions, output: &mut Output<'_>) -> Ended {
    let mut script = Vec::new();
    completion::script(&flags.shell.to_string(), &mut script)?;
    output.text(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
