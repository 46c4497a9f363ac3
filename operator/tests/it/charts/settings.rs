//! The settings of both programs as a schema, from their own command lines: a new flag is in the schema with the next
//! `make generate`, and cannot be forgotten before.

use std::any::TypeId;
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::Command;

use clap::builder::Arg;
use ticket_runtime::config::Cli;
use ticket_telemetry::settings;
use ticket_testkit::Binary;

use super::helm::{EVERYTHING, MINIMAL, Mounted, Release, name, of_kind};

/// Groups of settings that the operator has too.
const SHARED_GROUPS: [&str; 3] = [
    "Kafka",
    "Ledger (PostgreSQL or Citus)",
    "Stock store (Redis)",
];

/// The same, of the group of what every process has.
const SHARED: [&str; 2] = ["log", "log-format"];

/// What the chart says itself, because Services, probes and policies must agree with it.
const CHARTS_OWN: [&str; 6] = [
    "admin-listen",
    "api-listen",
    "config",
    "metrics-listen",
    "sandbox-listen",
    "webhook-url",
];

/// Flags of the operator that the chart says itself or has no use for.
const OPERATORS_OWN: [&str; 9] = [
    "config",
    "help",
    "identity",
    "kubeconfig",
    "lease-name",
    "lease-namespace",
    "metrics-listen",
    "namespace",
    "version",
];

/// Settings that name a file or an address.
const FILE_OR_URL: [&str; 2] = ["admin-jwks", "buyer-jwks"];

/// All settings of the runtime.
fn all() -> Vec<Arg> {
    let command = settings::command::<Cli>();
    let settings = command
        .get_arguments()
        .filter(|argument| argument.get_env().is_some() && !CHARTS_OWN.contains(&flag(argument)));
    settings.cloned().collect()
}

fn flag(argument: &Arg) -> &str {
    argument.get_long().unwrap_or_default()
}

fn is_secret(argument: &Arg) -> bool {
    argument.is_hide_env_values_set()
}

fn is_shared(argument: &Arg) -> bool {
    let group = argument.get_help_heading().unwrap_or_default();
    SHARED_GROUPS.contains(&group) || SHARED.contains(&flag(argument))
}

fn is_of(argument: &Arg, kind: TypeId) -> bool {
    argument.get_value_parser().type_id() == kind
}

fn is_file(argument: &Arg) -> bool {
    is_of(argument, TypeId::of::<PathBuf>()) || FILE_OR_URL.contains(&flag(argument))
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// The type of a setting's value.
fn kind(argument: &Arg) -> String {
    let is = |kind| is_of(argument, kind);
    let whole = [
        TypeId::of::<u16>(),
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
        TypeId::of::<NonZeroU32>(),
    ];
    if argument.get_value_delimiter().is_some() {
        return "\"type\": [\"string\", \"array\"], \"items\": {\"type\": \"string\"}".to_owned();
    }
    if whole.into_iter().any(is) {
        return "\"type\": \"integer\"".to_owned();
    }
    if is(TypeId::of::<f64>()) {
        return "\"type\": \"number\"".to_owned();
    }
    if is(TypeId::of::<bool>()) {
        return "\"type\": \"boolean\"".to_owned();
    }
    let names: Vec<String> = argument
        .get_possible_values()
        .iter()
        .map(|value| quoted(value.get_name()))
        .collect();
    if names.is_empty() {
        return "\"type\": \"string\"".to_owned();
    }
    format!("\"enum\": [{}]", names.join(", "))
}

fn setting(argument: &Arg) -> String {
    let help = argument
        .get_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    format!("{{{}, \"description\": {}}}", kind(argument), quoted(&help))
}

fn reference(argument: &Arg, definition: &str) -> String {
    let help = argument
        .get_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    format!(
        "{{\"$ref\": \"#/definitions/{definition}\", \"description\": {}}}",
        quoted(&help)
    )
}

/// One definition, a property a line, in the order of their names.
fn definition(key: &str, mut properties: Vec<(String, String)>) -> String {
    properties.sort();
    let lines: Vec<String> = properties
        .into_iter()
        .map(|(flag, what)| format!("        {}: {what}", quoted(&flag)))
        .collect();
    format!(
        "\n    {}: {{\n      \"type\": \"object\",\n      \"additionalProperties\": false,\n      \
         \"properties\": {{\n{}\n      }}\n    }}",
        quoted(key),
        lines.join(",\n")
    )
}

/// The generated part of the schema.
pub(super) fn definitions() -> String {
    let all = all();
    let secrets: BTreeSet<&str> = all.iter().filter(|one| is_secret(one)).map(flag).collect();
    // `x-file` of the secret `x` is what the chart makes of `secrets.x`.
    let is_plain = |one: &&Arg| {
        let base = flag(one).strip_suffix("-file").unwrap_or_default();
        !is_secret(one) && !secrets.contains(base)
    };
    let named = |one: &Arg, what: String| (flag(one).to_owned(), what);
    let plain: Vec<&Arg> = all.iter().filter(is_plain).collect();
    let settings = |only: &dyn Fn(&Arg) -> bool| {
        let found = plain.iter().filter(|one| only(one));
        found
            .map(|one| named(one, setting(one)))
            .collect::<Vec<_>>()
    };
    let parts = [
        definition(
            "files",
            plain
                .iter()
                .filter(|one| is_file(one))
                .map(|one| named(one, reference(one, "file")))
                .collect(),
        ),
        definition("runtimeSettings", settings(&|_| true)),
        definition(
            "secrets",
            all.iter()
                .filter(|one| is_secret(one))
                .map(|one| named(one, reference(one, "secret")))
                .collect(),
        ),
        definition("settings", settings(&is_shared)),
    ];
    format!("{}\n  }}\n", parts.join(","))
}

#[test]
fn the_operator_has_the_shared_settings_and_no_others_that_the_chart_does_not_say() {
    let help = Command::new(env!("CARGO_BIN_EXE_ticket-operator"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let flags = help.lines().filter_map(|line| {
        let (_, flag) = line
            .trim()
            .split_once("--")
            .filter(|(short, _)| short.len() <= 4)?;
        flag.split([' ', '\n']).next()
    });
    let mut found: BTreeSet<&str> = flags.collect();
    for own in OPERATORS_OWN {
        assert!(found.remove(own), "--{own} in {help}");
    }
    let all = all();
    let shared = all.iter().filter(|one| is_shared(one)).map(flag);
    assert_eq!(found, shared.collect());
}

#[test]
fn every_role_starts_with_the_settings_that_the_chart_gives_it() {
    for values in [MINIMAL, EVERYTHING] {
        let release = Release {
            namespace: "ticketing",
            values,
            set: &[],
        };
        let objects = release.objects();
        let mounted = Mounted::new(&objects, &[]);
        let mut roles = 0;
        for object in of_kind(&objects, "ConfigMap") {
            let component = object["metadata"]["labels"]["app.kubernetes.io/component"]
                .as_str()
                .unwrap();
            assert!(name(object).ends_with(component));
            if component == "operator" {
                continue;
            }
            let config = format!("--config={}", mounted.settings(component).display());
            let checked = Command::new(Binary::Runtime.path().unwrap())
                .args(["config", "check", component, &config])
                .env_clear()
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&checked.stderr);
            assert!(checked.status.success(), "{values}, {component}: {said}");
            roles += 1;
        }
        assert!(roles >= 8, "{roles} roles in {values}");
    }
}

#[test]
fn later_layers_win_and_a_process_gets_only_the_secrets_that_it_uses() {
    let objects = Release {
        namespace: "ticketing",
        values: EVERYTHING,
        set: &["runtime.roles.api.settings.kafka-tls=false"],
    }
    .objects();
    let settings = |component: &str| {
        let maps = of_kind(&objects, "ConfigMap");
        let found = maps
            .iter()
            .find(|map| name(map) == format!("tickets-{component}"));
        found.unwrap()["data"]["settings.toml"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let api = settings("api");
    // A false is a value, too; a million stays a number.
    for line in [
        "kafka-tls = false",
        "api-in-flight-max = 1000000",
        "drain-s = 30",
        "trace-sample = 0.5",
    ] {
        assert!(api.lines().any(|found| found == line), "{line} in {api}");
    }
    let operator = settings("operator");
    for line in [
        "database-connections = 4",
        "log = \"debug\"",
        "namespace = \"ticketing\"",
    ] {
        assert!(
            operator.lines().any(|found| found == line),
            "{line} in {operator}"
        );
    }
    let uses = |component: &str, key: &str| settings(component).contains(key);
    assert!(uses("admin", "admin-token-file") && !uses("api", "admin-token"));
    assert!(uses("api", "webhook-secret-file") && !uses("payments", "webhook-secret"));
    assert!(!uses("migrate", "redis-") && !uses("migrate", "kafka-"));
    let sandbox = settings("sandbox");
    assert!(
        !sandbox.contains("database-") && sandbox.contains("webhook-secret-file"),
        "{sandbox}"
    );
    // What is named is mounted, and nothing else.
    for object in objects
        .iter()
        .filter(|object| !object["spec"]["template"].is_null())
    {
        let component = object["metadata"]["labels"]["app.kubernetes.io/component"]
            .as_str()
            .unwrap();
        let spec = object["spec"]["template"].to_string();
        for key in [
            "admin-token",
            "payments-key",
            "webhook-secret",
            "database-url",
        ] {
            let is_mounted = spec.contains(&format!("\"path\":\"{key}\""));
            assert_eq!(
                is_mounted,
                uses(component, &format!("{key}-file")),
                "{component} {key}"
            );
        }
    }
}
