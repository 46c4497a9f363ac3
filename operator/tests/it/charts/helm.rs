//! Helm as the tests use it: it renders, and it refuses.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use ticket_testkit::{Tools, workspace_dir};

/// Values that lie beside the chart of the platform.
pub(super) const MINIMAL: &str = "minimal";
pub(super) const EVERYTHING: &str = "everything";

/// A file of a chart.
pub(super) fn chart(path: &str) -> PathBuf {
    workspace_dir().join("charts").join(path)
}

/// The text of a file of a chart.
pub(super) fn text(path: &str) -> String {
    std::fs::read_to_string(chart(path)).unwrap_or_default()
}

/// Helm with these arguments. It keeps what it keeps below the checkout.
pub(super) fn helm(arguments: &[&str]) -> Output {
    let home = workspace_dir().join(".stack/helm");
    Command::new(Tools.helm().unwrap())
        .args(arguments)
        .env("HELM_CACHE_HOME", home.join("cache"))
        .env("HELM_CONFIG_HOME", home.join("config"))
        .env("HELM_DATA_HOME", home.join("data"))
        .output()
        .unwrap()
}

/// What Helm says when it succeeds.
pub(super) fn succeed(arguments: &[&str]) -> String {
    let answer = helm(arguments);
    assert!(
        answer.status.success(),
        "helm {arguments:?}: {}",
        String::from_utf8_lossy(&answer.stderr)
    );
    String::from_utf8(answer.stdout).unwrap()
}

/// What Helm says when it refuses.
pub(super) fn refuse(arguments: &[&str]) -> String {
    let answer = helm(arguments);
    assert!(!answer.status.success(), "helm {arguments:?} succeeds");
    String::from_utf8(answer.stderr).unwrap()
}

/// A release of the platform's chart.
pub(super) struct Release<'a> {
    pub(super) namespace: &'a str,
    /// `ci/<name>.yaml`
    pub(super) values: &'a str,
    /// `key=value`, over the values.
    pub(super) set: &'a [&'a str],
}

impl Release<'_> {
    /// Arguments of a verb for this release.
    pub(super) fn arguments(&self, verb: &[&str]) -> Vec<String> {
        let mut arguments: Vec<String> = verb.iter().map(ToString::to_string).collect();
        arguments.extend([
            "tickets".to_owned(),
            chart("ticket-platform").display().to_string(),
            format!("--namespace={}", self.namespace),
            format!(
                "--values={}",
                chart(&format!("ticket-platform/ci/{}.yaml", self.values)).display()
            ),
        ]);
        for set in self.set {
            arguments.push(format!("--set={set}"));
        }
        arguments
    }

    /// What `helm template` makes of it.
    pub(super) fn text(&self) -> String {
        let arguments = self.arguments(&["template"]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        succeed(&arguments)
    }

    /// The same as objects.
    pub(super) fn objects(&self) -> Vec<Value> {
        objects(&self.text())
    }
}

/// The objects of a rendered chart.
pub(super) fn objects(text: &str) -> Vec<Value> {
    let parts = text
        .split("\n---\n")
        .map(|part| part.trim_start_matches("---\n"));
    let object = |part| {
        let object: Result<Value, _> = serde_saphyr::from_str(part);
        assert!(object.is_ok(), "{object:?} in {part}");
        object.unwrap()
    };
    parts
        .map(object)
        .filter(|object| !object.is_null())
        .collect()
}

/// Objects of a kind.
pub(super) fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let found = objects.iter().filter(|object| object["kind"] == kind);
    found.collect()
}

pub(super) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

/// A scratch folder with the settings file of each component, and a file for each secret and file that these name.
pub(super) struct Mounted {
    dir: tempfile::TempDir,
}

impl Mounted {
    /// What the pods of `objects` would find. `secrets` are contents by key; all others get a harmless one.
    pub(super) fn new(objects: &[Value], secrets: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["secrets", "files", "kubernetes"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let all = Self { dir };
        for name in ["kubernetes/ca.crt", "kubernetes/token"] {
            std::fs::write(all.dir.path().join(name), "x").unwrap();
        }
        for object in of_kind(objects, "ConfigMap") {
            let component = object["metadata"]["labels"]["app.kubernetes.io/component"].as_str();
            let text = object["data"]["settings.toml"].as_str().unwrap();
            let here = all.dir.path().display().to_string();
            let text = text.replace("/run/ticket", &here);
            std::fs::write(all.settings(component.unwrap()), text).unwrap();
        }
        for pod in objects
            .iter()
            .map(|object| &object["spec"]["template"]["spec"])
        {
            for volume in pod["volumes"].as_array().into_iter().flatten() {
                let folder = volume["name"].as_str().unwrap();
                for source in volume["projected"]["sources"]
                    .as_array()
                    .into_iter()
                    .flatten()
                {
                    for item in
                        ["secret", "configMap"].map(|kind| &source[kind]["items"][0]["path"])
                    {
                        let Some(key) = item.as_str() else { continue };
                        let given = secrets.iter().find(|(name, _)| *name == key);
                        let content = given.map_or_else(|| harmless(key), |(_, content)| content);
                        std::fs::write(all.dir.path().join(folder).join(key), content).unwrap();
                    }
                }
            }
        }
        all
    }

    pub(super) fn settings(&self, component: &str) -> PathBuf {
        self.dir.path().join(format!("{component}.toml"))
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }
}

fn harmless(key: &str) -> &'static str {
    match key {
        "database-url" => "postgres://tickets@database/tickets",
        "redis-url" => "rediss://redis",
        _ => "x",
    }
}
