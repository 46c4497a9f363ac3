//! What is in the charts and follows from something else: the definitions, the settings that the schema knows, the table of
//! permissions, versions. `make generate` writes it again.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ticket_testkit::workspace_dir;

use super::helm::{chart, text};
use super::{permissions, settings};

/// Where the generated part of the schema begins; it reaches to the end of the file.
const GENERATED_FROM: &str = "  \"$defs\": {";

/// Helm reads the charts while they are written: one of these tests at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(
    clippy::disallowed_methods,
    reason = "UPDATE is the switch of these tests"
)]
fn assert_is(path: &str, wanted: &str) {
    if std::env::var("UPDATE").is_ok() && text(path) != wanted {
        std::fs::write(chart(path), wanted).unwrap();
    }
    assert!(
        text(path) == wanted,
        "charts/{path} is stale: make generate"
    );
}

/// A definition as a template: Helm's labels and its policy of keeping go into the metadata, all else stays as it is.
fn template(definition: &str, source: &str) -> String {
    assert!(
        !definition.contains("{{"),
        "{source} would be taken for a template"
    );
    let body: String = definition
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| [line, "\n"])
        .collect();
    let (head, rest) = body.split_once("\nmetadata:\n").unwrap();
    format!(
        "{{{{- /* Generated from {source}: make generate */}}}}\n{head}\nmetadata:\n  \
         {{{{- include \"ticket-crds.metadata\" . | nindent 2 }}}}\n{rest}"
    )
}

/// The definitions of the repository: file name and text. Written before this by the tests of their own package.
pub(super) fn definitions() -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for entry in std::fs::read_dir(workspace_dir().join("crds")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|kind| kind == "yaml") {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            found.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
    found.sort();
    assert!(!found.is_empty());
    found
}

#[test]
fn the_definitions_in_the_chart_are_those_of_the_types() {
    let _alone = alone();
    let definitions = definitions();
    for (name, definition) in &definitions {
        let wanted = template(definition, &format!("crds/{name}"));
        assert_is(&format!("ticket-crds/templates/{name}"), &wanted);
    }
    let templates = chart("ticket-crds/templates");
    let is_ours = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        ["_helpers.tpl", "roles.yaml"].contains(&name)
            || definitions.iter().any(|(known, _)| known == name)
    };
    for entry in std::fs::read_dir(templates).unwrap() {
        let path = entry.unwrap().path();
        assert!(
            is_ours(&path),
            "{} comes from no definition",
            path.display()
        );
    }
}

#[test]
fn the_schema_knows_every_setting_that_the_programs_know() {
    let _alone = alone();
    let path = "ticket-platform/values.schema.json";
    let whole = text(path);
    let (by_hand, _) = whole.split_once(GENERATED_FROM).unwrap();
    assert_is(
        path,
        &format!("{by_hand}{GENERATED_FROM}{}}}\n", settings::definitions()),
    );
}

#[test]
fn the_table_of_permissions_is_what_the_charts_grant() {
    let _alone = alone();
    assert_is("ticket-platform/PERMISSIONS.md", &permissions::table());
}

#[test]
fn the_charts_have_the_version_of_the_programs() {
    for name in ["ticket-crds", "ticket-platform"] {
        let chart = text(&format!("{name}/Chart.yaml"));
        for key in ["version", "appVersion"] {
            let line = format!("\n{key}: {}\n", env!("CARGO_PKG_VERSION"));
            assert!(chart.contains(&line), "{name}/Chart.yaml lacks{line}");
        }
    }
}
