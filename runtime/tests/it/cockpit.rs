//! The cockpit as people meet it: the real program in a real terminal (tmux), against a live sale.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use ticket_testkit::Binary;

use crate::sale::{MANAGER, Sale, Terms, json};

/// Longest wait for something on the screen. An idle machine needs a tenth.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often the screen is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A tmux server of its own, so that nobody's sessions are touched; gone with the test.
struct Terminal {
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl Terminal {
    /// A terminal of 100x30 in which a shell runs `line`. When that has ended the shell says how, and stays.
    fn run(line: &str, env: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let terminal = Self {
            socket: folder.path().join("tmux"),
            _folder: folder,
        };
        let said =
            "echo \"ended with $?\"; stty -a | tr ' ;' '\\n\\n' | grep -x -e echo -e icanon; cat";
        let script = format!("{line}; {said}");
        let mut command = terminal.tmux(&["-f", "/dev/null", "new-session", "-d"]);
        command.args(["-x", "100", "-y", "30"]);
        for (name, value) in env {
            command.args(["-e", &format!("{name}={value}")]);
        }
        let started = command.args(["sh", "-c", &script]).output();
        succeeded(&started.expect("tmux is installed: make install-all"));
        terminal
    }

    fn tmux(&self, args: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket).args(args);
        command.env_remove("TMUX");
        command
    }

    /// Types letters as they are.
    fn types(&self, text: &str) {
        succeeded(&self.tmux(&["send-keys", "-l", text]).output().unwrap());
    }

    /// Presses a key by its name in tmux, e.g. `Enter`.
    fn presses(&self, key: &str) {
        succeeded(&self.tmux(&["send-keys", key]).output().unwrap());
    }

    fn screen(&self) -> String {
        let output = self.tmux(&["capture-pane", "-p"]).output().unwrap();
        succeeded(&output);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits until the screen contains all of `words`.
    async fn shows(&self, words: &[&str]) -> String {
        let begun = Instant::now();
        loop {
            let screen = self.screen();
            if words.iter().all(|word| screen.contains(word)) {
                return screen;
            }
            assert!(begun.elapsed() < PATIENCE, "never {words:?}:\n{screen}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It is gone already when the test ended it.
        drop(self.tmux(&["kill-server"]).output());
    }
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}

fn cockpit(sale: &Sale, flags: &str) -> Terminal {
    let program = Binary::Ctl.path().unwrap();
    let (namespace, name) = sale.name.split_once('.').unwrap();
    let line = format!("'{}' -n {namespace} tui {name} {flags}", program.display());
    let env = [
        ("TICKET_ADMIN_URL", sale.admin.as_str()),
        ("TICKET_ADMIN_TOKEN", MANAGER),
        ("KUBECONFIG", "/nonexistent"),
    ];
    Terminal::run(&line, &env)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_is_watched_held_and_released_from_a_terminal() {
    let sale = Sale::open(Terms::default()).await;
    let name = sale.name.split_once('.').unwrap().1;
    let terminal = cockpit(&sale, "--write");
    let all = "100 of 100 available, 0 held, 0 sold, store 100";
    terminal
        .shows(&[&sale.name, "manager WRITE", "no lock", all])
        .await;

    // A buyer comes, and is seen without a key.
    let order = sale.awaiting("ann", "k", 2).await;
    terminal
        .shows(&["98 of 100 available, 2 held, 0 sold, store 98"])
        .await;
    let id = order["id"].as_str().unwrap();
    terminal.types("5");
    terminal.shows(&["orders (1)", "awaiting_payment"]).await;
    terminal.presses("Enter");
    terminal.shows(&[id, "HISTORY", "ann"]).await;

    // The sale is held, and no order gets through; then it goes on.
    terminal.types("4t");
    terminal.shows(&["type the event's name"]).await;
    terminal.types("wrong");
    terminal.presses("Enter");
    terminal.shows(&["nothing was done", "no lock"]).await;
    terminal.types("t");
    terminal.types(name);
    terminal.presses("Enter");
    terminal
        .shows(&["LOCKED by", "the sale is held at epoch 2"])
        .await;
    let refused = sale.place("bob", "k", 1).send().await.unwrap();
    assert_eq!(json(refused, 503).await["code"], "warming-up");
    terminal.types("u");
    terminal.types(name);
    terminal.presses("Enter");
    terminal
        .shows(&["no lock", "the store sells with it"])
        .await;

    // Back to the events and out; the terminal is as it was before.
    terminal.presses("Escape");
    terminal.shows(&["events (1)"]).await;
    terminal.types("q");
    terminal
        .shows(&["ended with 0", "\necho\n", "\nicanon\n"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_goes_away_is_told_and_keys_are_served_until_it_is_back() {
    let mut sale = Sale::open(Terms::default()).await;
    let terminal = cockpit(&sale, "");
    terminal.shows(&["100 of 100 available", "s old"]).await;
    sale.runtime.kill().await.unwrap();
    terminal.shows(&["STALE", "these numbers are old"]).await;
    // What was known is still shown, and keys work.
    terminal.shows(&["100 of 100 available"]).await;
    terminal.types("?");
    terminal.shows(&["keys of stock"]).await;
    terminal.presses("Escape");
    sale.runtime.restart().await.unwrap();
    terminal.shows(&["100 of 100 available", "s old"]).await;
    let screen = terminal.screen();
    assert!(!screen.contains("these numbers are old"), "{screen}");

    // A signal ends it, and the terminal is as it was before.
    let children = terminal.tmux(&["list-panes", "-F", "#{pane_pid}"]).output();
    let shell = String::from_utf8(children.unwrap().stdout).unwrap();
    let shell = shell.trim();
    let tasks = format!("/proc/{shell}/task/{shell}/children");
    let program = std::fs::read_to_string(tasks).unwrap();
    let ended = Command::new("kill")
        .args(["-TERM", program.trim()])
        .output();
    succeeded(&ended.unwrap());
    terminal
        .shows(&["ended with 0", "\necho\n", "\nicanon\n"])
        .await;
}
