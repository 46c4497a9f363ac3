//! The stack from its command line: a second `up` finds what runs, starts only what is dead on the same port, and `clean`
//! leaves no process and no data behind. In a folder of its own, servers only.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use ticket_testkit::Home;

use crate::is_over;

/// Variables that would make the stack use somebody else's servers.
const GIVEN: [&str; 5] = [
    "KUBECONFIG",
    "TICKET_KAFKA_BROKERS",
    "TICKET_KAFKA_PREFIX",
    "TICKET_DATABASE_URL",
    "TICKET_REDIS_URL",
];

/// What the test kills: one that dies at once, one with children, and one that needs a moment to let go of its port.
const DEAD: [&str; 3] = ["redis", "postgres", "kafka"];

fn stack(dir: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ticket-stack"));
    command.arg("--dir").arg(dir).args(words);
    for name in GIVEN {
        command.env_remove(name);
    }
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn pids(dir: &Path) -> BTreeMap<String, u32> {
    let entries = std::fs::read_dir(dir.join("pids")).unwrap();
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (
                name,
                std::fs::read_to_string(path)
                    .unwrap()
                    .trim()
                    .parse()
                    .unwrap(),
            )
        })
        .collect()
}

/// Cleans up also when the test fails: the processes of a stack outlive the one that started them.
struct Cleaned<'a>(&'a Path);

impl Drop for Cleaned<'_> {
    fn drop(&mut self) {
        stack(self.0, &["clean"]);
    }
}

#[test]
fn up_starts_only_what_is_dead_and_clean_leaves_nothing() {
    let home = Home::own("whole-stack").unwrap();
    let dir = home.dir();
    let cleaned = Cleaned(dir);
    let first = stack(dir, &["up", "--servers-only"]);
    assert!(first.status.success(), "{}", said(&first));
    let before = pids(dir);
    for name in ["etcd", "kube-apiserver", "kafka", "postgres", "redis"] {
        assert!(before.contains_key(name), "{name} is missing in {before:?}");
    }
    let env = std::fs::read_to_string(dir.join("env")).unwrap();
    assert!(stack(dir, &["status"]).status.success());

    // Only what is dead, and on the same port: the addresses do not change.
    for name in DEAD {
        let pid = before[name].to_string();
        assert!(
            Command::new("kill")
                .args(["-9", &pid])
                .status()
                .unwrap()
                .success()
        );
    }
    std::fs::remove_file(dir.join("pids/etcd.pid")).unwrap();
    let second = stack(dir, &["up", "--servers-only"]);
    assert!(second.status.success(), "{}", said(&second));
    let after = pids(dir);
    for (name, pid) in &before {
        let is_new = DEAD.contains(&name.as_str());
        assert_eq!(after[name] != *pid, is_new, "{name}: {before:?} {after:?}");
    }
    assert_eq!(std::fs::read_to_string(dir.join("env")).unwrap(), env);

    // A shell that has read the file asks for the same stack, not for somebody else's servers.
    let third = Command::new("bash")
        .arg("-c")
        .arg("set -a; . \"$1/env\"; set +a; \"$2\" --dir \"$1\" up --servers-only")
        .arg("bash")
        .arg(dir)
        .arg(env!("CARGO_BIN_EXE_ticket-stack"))
        .output()
        .unwrap();
    assert!(third.status.success(), "{}", said(&third));
    assert!(
        said(&third).contains("redis: already runs"),
        "{}",
        said(&third)
    );

    let down = stack(dir, &["down"]);
    assert!(down.status.success(), "{}", said(&down));
    assert!(!dir.join("env").exists() && pids(dir).is_empty());
    for (name, pid) in &after {
        assert!(is_over(*pid), "{name} lives on");
    }
    assert!(!stack(dir, &["status"]).status.success());

    drop(cleaned);
    assert!(!dir.join("data").exists() && !dir.join("state.json").exists());
}

#[test]
fn a_given_server_is_used_and_not_started() {
    let home = Home::own("given").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_ticket-stack"))
        .arg("--dir")
        .arg(home.dir())
        .args(["up", "--servers-only"])
        // Nothing is started, so nothing is asked before the definitions are applied.
        .env("KUBECONFIG", "/nonexistent/kubeconfig")
        .env("TICKET_KAFKA_BROKERS", "127.0.0.1:1")
        .env("TICKET_DATABASE_URL", "postgres://127.0.0.1:1/x")
        .env("TICKET_REDIS_URL", "redis://127.0.0.1:1")
        .output()
        .unwrap();
    let said = said(&output);
    assert!(
        said.contains("kube-apiserver: the one of KUBECONFIG"),
        "{said}"
    );
    assert!(!said.contains("ready on"), "{said}");
    assert!(pids(home.dir()).is_empty());
}
