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
        assert!(
            String::from_utf8_lossy(&script.stdout).contains("doctor"),
            "{shell}"
        );
    }
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
