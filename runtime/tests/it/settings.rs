//! Settings through the real binary: what is wrong is named, and what is there can be shown without its secrets.

use std::process::{Command, Output};

use ticket_testkit::Binary;

/// The binary with nothing in its environment but `variables`.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(Binary::Runtime.path().unwrap());
    command.args(arguments).env_clear();
    command.envs(variables.iter().copied()).output().unwrap()
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const SERVERS: [(&str, &str); 3] = [
    (
        "TICKET_DATABASE_URL",
        "postgres://ticket:hunter2@nowhere/ticket",
    ),
    ("TICKET_KAFKA_BROKERS", "nowhere:9092"),
    ("TICKET_REDIS_URL", "redis://:hunter2@nowhere"),
];

#[test]
fn a_check_says_all_that_is_wrong_with_variable_flag_and_next_step() {
    let contradiction = [("TICKET_CONSUMER_DRAIN_MS", "9000")];
    let wrong = run(&["config", "check", "keeper"], &contradiction);
    assert_eq!(wrong.status.code(), Some(2));
    let said = words(&wrong.stderr);
    assert!(said.contains("4 settings cannot be used"), "{said}");
    for (variable, _) in SERVERS {
        assert!(said.contains(&format!("{variable} (--")), "{said}");
    }
    assert!(
        said.contains(
            "TICKET_CONSUMER_DRAIN_MS (--consumer-drain-ms) is 9000 ms and must be below"
        ),
        "{said}"
    );
    let out_of_range = run(&["keeper"], &[("TICKET_CONSUMER_MAX_BATCH", "0")]);
    assert_eq!(out_of_range.status.code(), Some(2));
    let said = words(&out_of_range.stderr);
    assert!(
        said.contains(
            "TICKET_CONSUMER_MAX_BATCH (--consumer-max-batch) is \"0\": 0 is not in 1..=2000"
        ),
        "{said}"
    );

    let fine = run(&["config", "check", "keeper"], &SERVERS);
    assert_eq!(fine.status.code(), Some(0), "{}", words(&fine.stderr));
    assert!(words(&fine.stdout).contains("fit runtime-keeper"));
}

#[test]
fn what_is_printed_names_its_source_hides_secrets_and_can_be_used_again() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "boss\n").unwrap();
    let path = file.path().to_str().unwrap();
    let mut variables = SERVERS.to_vec();
    variables.push(("TICKET_ADMIN_TOKEN_FILE", path));
    let print = ["config", "print", "--consumer-max-batch=7"];
    let printed = run(&print, &variables);
    assert_eq!(printed.status.code(), Some(0), "{}", words(&printed.stderr));
    let text = words(&printed.stdout);
    assert!(
        !text.contains("hunter2") && !text.contains("boss"),
        "{text}"
    );
    assert!(
        text.contains("consumer-max-batch = 7  # from the command line"),
        "{text}"
    );
    assert!(
        text.contains("kafka-brokers = \"nowhere:9092\"  # from TICKET_KAFKA_BROKERS"),
        "{text}"
    );
    assert!(
        text.contains(&format!(
            "admin-token is set and secret, from the file {path}"
        )),
        "{text}"
    );
    assert!(
        text.contains("consumer-gather-ms = 20  # the default"),
        "{text}"
    );

    std::fs::write(file.path(), &text).unwrap();
    let again = run(&["config", "print"], &[("TICKET_CONFIG", path)]);
    let again = words(&again.stdout);
    assert!(
        again.contains(&format!("consumer-max-batch = 7  # from {path}")),
        "{again}"
    );
    let env = run(
        &["config", "print", "--style", "env"],
        &[("TICKET_CONFIG", path)],
    );
    assert!(words(&env.stdout).contains("TICKET_KAFKA_BROKERS='nowhere:9092'"));
}

#[test]
fn help_begins_with_examples_and_groups_what_can_be_set() {
    let help = words(&run(&["--help"], &[]).stdout);
    let at = |text: &str| {
        help.find(text)
            .unwrap_or_else(|| panic!("no {text} in {help}"))
    };
    assert!(
        at("Examples:") < at("Usage:") && at("Usage:") < at("Kafka:"),
        "{help}"
    );
    for group in [
        "Buyer API:",
        "Admin API:",
        "Payments:",
        "Processor:",
        "Process:",
    ] {
        at(group);
    }
    at("TICKET_ADMIN_TOKEN_FILE");
}
