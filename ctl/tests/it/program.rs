//! The program itself: exit codes, streams, a reader that goes away.

use std::process::{Command, Output};

fn ticketctl(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ticketctl"));
    command
        .args(args)
        .env_remove("KUBECONFIG")
        .env_remove("TICKET_ADMIN_URL");
    command
}

fn run(args: &[&str]) -> Output {
    ticketctl(args).output().unwrap()
}

#[test]
fn no_command_is_a_usage_error_and_help_is_an_answer() {
    assert_eq!(run(&[]).status.code(), Some(2));
    let wrong = run(&["nonsense"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(wrong.stdout.is_empty() && !wrong.stderr.is_empty());
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&help.stdout).contains("ticketctl doctor"));
}

#[test]
fn codes_are_explained_in_both_spellings_and_an_unknown_one_is_not_found() {
    let kebab = run(&["explain", "sold-out"]);
    let pascal = run(&["explain", "SoldOut"]);
    assert_eq!(kebab.status.code(), Some(0));
    assert_eq!(kebab.stdout, pascal.stdout);
    assert!(String::from_utf8_lossy(&kebab.stdout).contains("HTTP 409"));
    assert_eq!(run(&["explain", "no-such-code"]).status.code(), Some(3));
}

#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]);
        assert_eq!(script.status.code(), Some(0), "{shell}");
        // The script asks the program.
        let script = String::from_utf8_lossy(&script.stdout).into_owned();
        assert!(
            script.contains("COMPLETE") && script.contains("ticketctl"),
            "{shell}"
        );
    }
    assert_eq!(completed(&["ticketctl", "do"]), ["doctor"]);
    assert_eq!(completed(&["ticketctl", "orders", "ca"]), ["cancel"]);
    // Names that cannot be had are left out without a word.
    let none = completed(&["ticketctl", "--kubeconfig=/nonexistent", "stock", "dem"]);
    assert!(none.is_empty(), "{none:?}");
}

/// What a shell gets for a line whose last word is not whole.
pub(crate) fn completed(line: &[&str]) -> Vec<String> {
    let asked = ticketctl(&[&["--"], line].concat())
        .env("COMPLETE", "fish")
        .output()
        .unwrap();
    assert_eq!(asked.status.code(), Some(0), "{asked:?}");
    assert!(asked.stderr.is_empty(), "{asked:?}");
    let text = String::from_utf8(asked.stdout).unwrap();
    let word = |line: &str| line.split('\t').next().unwrap_or_default().to_owned();
    text.lines().map(word).collect()
}

#[test]
fn there_is_a_manual_page_for_every_command() {
    let whole = run(&["man"]);
    assert_eq!(whole.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&whole.stdout).contains(".TH ticketctl"));
    let page = run(&["man", "events", "wait"]);
    assert!(String::from_utf8_lossy(&page.stdout).contains("ticketctl\\-events\\-wait"));
    assert_eq!(run(&["man", "fly"]).status.code(), Some(3));
    let folder = tempfile::tempdir().unwrap();
    let written = run(&["man", "--dir", folder.path().to_str().unwrap()]);
    assert_eq!(written.status.code(), Some(0));
    assert!(folder.path().join("ticketctl-orders-refund.1").is_file());
}

#[test]
fn it_is_a_plugin_of_kubectl_under_another_name() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("kubectl-ticket");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ticketctl"), &plugin).unwrap();
    let explained = Command::new(plugin)
        .args(["explain", "sold-out"])
        .output()
        .unwrap();
    assert_eq!(explained.status.code(), Some(0));
    assert_eq!(explained.stdout, run(&["explain", "sold-out"]).stdout);

    let plugin_completions = folder.path().join("kubectl_complete-ticket");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ticketctl"), &plugin_completions).unwrap();
    let ran = Command::new(plugin_completions)
        .args(["rebalance", "app"])
        .output()
        .unwrap();
    let answer = String::from_utf8_lossy(&ran.stdout);
    assert!(answer.starts_with("approve\t"), "{answer}");
    assert!(answer.ends_with("\n:4\n"), "{answer}");
}

#[test]
fn the_cockpit_needs_a_terminal_and_names_what_does_not() {
    let ended = run(&["tui"]);
    assert_eq!(ended.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("next: every view has a command"));
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    // The reader is gone before the program writes its first byte.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = ticketctl(&["completions", "zsh"])
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}

#[test]
fn a_plan_of_a_file_needs_no_cluster() {
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/examples/demo.yaml");
    let plan = run(&["plan", "-f", demo]);
    assert_eq!(plan.status.code(), Some(0), "{plan:?}");
    assert!(String::from_utf8_lossy(&plan.stdout).contains("CreateTopic"));
    let missing = run(&["plan", "-f", "/nonexistent/event.yaml"]);
    assert_eq!(missing.status.code(), Some(1));
    assert_eq!(run(&["plan"]).status.code(), Some(2));
}
