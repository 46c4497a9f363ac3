//! Arrows between packages: who may use whom. Source: the table in DESIGN section 5. A new arrow is a decision, so it is
//! written down here first.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// Normal dependencies between our packages.
const ALLOWED: &[(&str, &[&str])] = &[
    ("ticket-admin", &["ticket-core"]),
    ("ticket-bus", &["ticket-core"]),
    ("ticket-core", &[]),
    ("ticket-crds", &[]),
    ("ticket-ledger", &["ticket-core"]),
    ("ticket-payments", &["ticket-core"]),
    ("ticket-plan", &["ticket-core", "ticket-crds"]),
    ("ticket-stock", &["ticket-core"]),
    ("ticket-telemetry", &["ticket-core"]),
    // One implementation of warm-ups for operator, keeper and admin API.
    (
        "ticket-warmup",
        &[
            "ticket-bus",
            "ticket-core",
            "ticket-ledger",
            "ticket-stock",
            "ticket-telemetry",
        ],
    ),
    (
        "ticket-operator",
        &[
            "ticket-bus",
            "ticket-core",
            "ticket-crds",
            "ticket-ledger",
            "ticket-plan",
            "ticket-stock",
            "ticket-telemetry",
            "ticket-warmup",
        ],
    ),
    (
        "ticket-runtime",
        &[
            "ticket-admin",
            "ticket-bus",
            "ticket-core",
            "ticket-ledger",
            "ticket-payments",
            "ticket-stock",
            "ticket-telemetry",
            "ticket-warmup",
        ],
    ),
    (
        "ticketctl",
        &["ticket-admin", "ticket-core", "ticket-crds", "ticket-plan"],
    ),
    // Not shipped: the local stack, the load generator and the baselines.
    ("ticket-testkit", &["ticket-core"]),
    (
        "ticket-bench",
        &[
            "ticket-admin",
            "ticket-bus",
            "ticket-core",
            "ticket-ledger",
            "ticket-payments",
            "ticket-stock",
            "ticket-testkit",
        ],
    ),
];

/// The one package that may use a client library; bench and testkit aside.
const SOLE_OWNERS: &[(&str, &str)] = &[
    ("rdkafka", "ticket-bus"),
    ("redis", "ticket-stock"),
    ("sqlx", "ticket-ledger"),
];

const NOT_SHIPPED: &[&str] = &["ticket-bench", "ticket-testkit"];

/// Package -> its normal dependencies (no dev- or build-dependencies).
fn packages() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    list(&metadata["packages"])
        .iter()
        .map(|package| {
            let normal = list(&package["dependencies"]);
            let normal = normal
                .iter()
                .filter(|dependency| dependency["kind"].is_null());
            (
                text(&package["name"]),
                normal.map(|dependency| text(&dependency["name"])).collect(),
            )
        })
        .collect()
}

#[test]
fn packages_use_only_whom_they_may() {
    let packages = packages();
    let known: Vec<_> = ALLOWED.iter().map(|(package, _)| *package).collect();
    for (package, dependencies) in &packages {
        let allowed = ALLOWED.iter().find(|(known, _)| known == package);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{package} is not in the table"));
        for dependency in dependencies
            .iter()
            .filter(|name| known.contains(&name.as_str()))
        {
            let may = allowed.contains(&dependency.as_str());
            assert!(may, "the arrow {package} -> {dependency} is not allowed");
        }
    }
    assert_eq!(
        packages.len(),
        known.len(),
        "the table names a package that is gone"
    );
}

#[test]
fn each_client_library_has_one_owner() {
    for (library, owner) in SOLE_OWNERS {
        let packages = packages();
        let uses = |dependencies: &Vec<String>| dependencies.iter().any(|name| name == library);
        let names: Vec<_> = packages
            .iter()
            .filter(|(package, _)| !NOT_SHIPPED.contains(&package.as_str()))
            .filter_map(|(package, dependencies)| uses(dependencies).then_some(package.as_str()))
            .collect();
        assert_eq!(names, [*owner], "users of {library}");
    }
}

#[test]
fn the_runtime_does_not_know_kubernetes_and_the_cockpit_knows_no_server() {
    let packages = packages();
    let must_not = [
        ("ticket-runtime", "kube"),
        ("ticket-plan", "tokio"),
        ("ticket-plan", "kube"),
        ("ticketctl", "rdkafka"),
        ("ticketctl", "sqlx"),
        ("ticketctl", "redis"),
    ];
    for (package, library) in must_not {
        let uses = packages[package].iter().any(|name| name == library);
        assert!(!uses, "the arrow {package} -> {library} is not allowed");
    }
}
