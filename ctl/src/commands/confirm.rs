//! What hurts is only done when the name of what it is done to was said twice: by `--confirm`, or typed when somebody sits there.

use std::io::{self, BufRead, IsTerminal};

use crate::clients::Clients;
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Goes on only if the name of what it is about, an event or a rebalance, was confirmed. `hurts` completes "this ...".
pub(super) fn confirmed(
    name: &str,
    confirm: Option<&str>,
    hurts: &str,
    clients: &Clients,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let typed = match confirm {
        Some(confirm) => Some(confirm.to_owned()),
        None if clients.may_ask() && is_somebody_there() => {
            output.word(&format!("this {hurts}; type its name, {name}, to go on:"));
            Some(line()?)
        }
        None => None,
    };
    check(name, typed.as_deref(), hurts)
}

fn is_somebody_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

fn line() -> Result<String, Failure> {
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.map_err(|error| {
        let cause = anyhow::Error::new(error).context("could not read the answer");
        Failure::new(Exit::Error, cause).or_next("say the name with --confirm")
    })?;
    Ok(line.trim().to_owned())
}

fn check(name: &str, confirm: Option<&str>, hurts: &str) -> Result<(), Failure> {
    let cause = match confirm {
        Some(confirm) if confirm == name => return Ok(()),
        Some(other) => anyhow::anyhow!("this {hurts}, and {other:?} is not {name:?}"),
        None => anyhow::anyhow!("this {hurts} and was not confirmed"),
    };
    Err(Failure::new(Exit::Refused, cause).or_next(format!("add --confirm={name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hurts_wants_the_events_name_twice() {
        assert!(check("demo", Some("demo"), "hurts").is_ok());
        for wrong in [None, Some("other"), Some("")] {
            assert!(matches!(
                check("demo", wrong, "hurts"),
                Err(Failure::Failed {
                    exit: Exit::Refused,
                    ..
                })
            ));
        }
    }
}
