//! Completions. The script of a shell asks the program itself, so that they also know the names of events; a name that cannot be
//! had in time is left out, and nothing is ever said about it, since a shell would show it in the middle of a line.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use clap::{CommandFactory, Parser};
use clap_complete::engine::{self, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};
use kube::ResourceExt;
use kube::api::DynamicObject;

use crate::access::Role;
use crate::cli::Cli;
use crate::clients::Clients;
use crate::commands::{event_objects, rebalance_objects};
use crate::exit::Failure;

/// Name of the variable by which a script says that it wants completions.
const VARIABLE: &str = "COMPLETE";

/// By this name kubectl runs what completes the words of `kubectl ticket` (kubectl, "Extend kubectl with plugins"; the words
/// come as arguments, the last of them is the one that was begun).
const KUBECTL_ASKS: &str = "kubectl_complete-ticket";

/// The last line for kubectl: no names of files (cobra's `ShellCompDirectiveNoFileComp`).
const NO_FILES: &str = ":4";

/// Longest wait for names: somebody sits before a line that does not go on.
const NAMES_TIMEOUT: Duration = Duration::from_secs(2);

/// Flags that say where events and the admin API are, in both spellings.
const PLACE_FLAGS: [&str; 7] = [
    "-n",
    "--namespace",
    "--context",
    "--kubeconfig",
    "--admin-url",
    "--token-file",
    "--platform-namespace",
];

/// Answers a shell or kubectl that asks for completions and ends the process; does nothing otherwise.
pub fn answer_shell() {
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    if Path::new(&name).file_name() == Some(OsStr::new(KUBECTL_ASKS)) {
        // Whatever goes wrong, a shell would show it in the middle of a line.
        drop(io::stdout().write_all(for_kubectl(words).as_bytes()));
        std::process::exit(0);
    }
    CompleteEnv::with_factory(Cli::command)
        .var(VARIABLE)
        .complete();
}

/// What may stand where the last of `words` was begun: a line for each, then what the shell should make of them.
fn for_kubectl(words: impl Iterator<Item = OsString>) -> String {
    let line: Vec<OsString> = std::iter::once("ticketctl".into()).chain(words).collect();
    let last = line.len() - 1;
    let found = engine::complete(&mut Cli::command(), line, last, None).unwrap_or_default();
    let mut lines = String::new();
    for candidate in found.iter().filter(|candidate| !candidate.is_hide_set()) {
        lines += &candidate.get_value().to_string_lossy();
        if let Some(help) = candidate.get_help() {
            lines.push('\t');
            lines += &help.to_string();
        }
        lines.push('\n');
    }
    lines + NO_FILES + "\n"
}

/// The script of a shell.
pub(crate) fn script(shell: &str, into: &mut Vec<u8>) -> io::Result<()> {
    let shells = Shells::builtins();
    let Some(shell) = shells.completer(shell) else {
        return Err(io::Error::other("this shell is not known"));
    };
    let name = "ticketctl";
    shell.write_registration(VARIABLE, name, name, name, into)
}

/// Names of events that begin with `typed`.
pub(crate) fn events(typed: &OsStr) -> Vec<CompletionCandidate> {
    candidates(typed, &async |clients| {
        Ok(names(&event_objects(clients).await?))
    })
}

/// Names of rebalances that begin with `typed`.
pub(crate) fn rebalances(typed: &OsStr) -> Vec<CompletionCandidate> {
    candidates(typed, &async |clients| {
        Ok(names(&rebalance_objects(clients).await?))
    })
}

/// Names of ledger nodes that begin with `typed`.
pub(crate) fn nodes(typed: &OsStr) -> Vec<CompletionCandidate> {
    candidates(typed, &async |clients| {
        let shards = clients.admin().await?.shards().await?;
        Ok(shards.nodes.into_iter().map(|node| node.name).collect())
    })
}

fn names(objects: &[DynamicObject]) -> Vec<String> {
    objects.iter().map(ResourceExt::name_any).collect()
}

fn candidates(
    typed: &OsStr,
    names: &impl AsyncFn(&Clients) -> Result<Vec<String>, Failure>,
) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy().into_owned();
    let Some(clients) = clients(std::env::args_os().skip(1)) else {
        return Vec::new();
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return Vec::new();
    };
    let found = runtime.block_on(async {
        let found = tokio::time::timeout(NAMES_TIMEOUT, names(&clients)).await;
        found.ok().and_then(Result::ok).unwrap_or_default()
    });
    let fitting = found.into_iter().filter(|name| name.starts_with(&typed));
    fitting.map(CompletionCandidate::new).collect()
}

/// Clients for what the line says so far: it is not whole, so that only the flags that say where to ask can be read.
fn clients(line: impl Iterator<Item = OsString>) -> Option<Clients> {
    let words: Vec<String> = line
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let mut kept = vec!["ticketctl".to_owned(), "doctor".to_owned()];
    for (at, word) in words.iter().enumerate() {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) => (flag, Some(value)),
            None => (word.as_str(), words.get(at + 1).map(String::as_str)),
        };
        if PLACE_FLAGS.contains(&flag)
            && let Some(value) = value
        {
            kept.extend([flag.to_owned(), value.to_owned()]);
        }
    }
    let global = Cli::try_parse_from(kept).ok()?.global;
    Some(Clients::new(global, Role::Viewer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubectl_is_told_what_may_come_next() {
        let answer = |words: &[&str]| for_kubectl(words.iter().map(OsString::from));
        let verbs = answer(&["warmup", "l"]);
        assert!(verbs.starts_with("lock\tHolds the sale"), "{verbs}");
        assert!(verbs.ends_with("\n:4\n") && verbs.lines().count() == 2);
        assert_eq!(answer(&["warmup", "zz"]), ":4\n");
        assert!(answer(&["lag", "-o", "js"]).starts_with("json"));
    }

    #[tokio::test]
    async fn a_line_that_is_not_whole_says_where_events_are() {
        let line = [
            "--",
            "ticketctl",
            "-n",
            "shop",
            "--kubeconfig=/nonexistent",
            "stock",
            "",
        ];
        let clients = clients(line.into_iter().map(OsString::from)).unwrap();
        assert_eq!(clients.namespace().await, "shop");
    }
}
