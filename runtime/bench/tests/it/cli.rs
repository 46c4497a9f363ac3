//! The program as people call it.

use std::process::Command;

use ticket_testkit::Home;

#[test]
fn without_a_stack_the_buyers_say_what_to_do() {
    let home = Home::own("no-stack").unwrap();
    let answer = Command::new(env!("CARGO_BIN_EXE_ticket-bench"))
        .args(["buyers", "default.demo", "--dir"])
        .arg(home.dir())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert_eq!(answer.status.code(), Some(1), "{said}");
    assert!(said.contains("make stack-up"), "{said}");
}

#[test]
fn nobody_is_no_crowd() {
    let answer = Command::new(env!("CARGO_BIN_EXE_ticket-bench"))
        .args(["buyers", "default.demo", "--buyers", "0"])
        .output()
        .unwrap();
    assert_eq!(answer.status.code(), Some(2));
}
