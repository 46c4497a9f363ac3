//! Values that cannot be used are refused before anything is installed, in words that say what to do.

use super::helm::{EVERYTHING, MINIMAL, Release, chart, refuse, succeed};

fn refused(set: &[&str]) -> String {
    let release = Release {
        namespace: "ticketing",
        values: MINIMAL,
        set,
    };
    let arguments = release.arguments(&["template"]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    refuse(&arguments)
}

#[test]
fn helm_finds_nothing_to_say_against_the_charts() {
    let platform = chart("ticket-platform").display().to_string();
    for values in [MINIMAL, EVERYTHING] {
        let values = chart(&format!("ticket-platform/ci/{values}.yaml"))
            .display()
            .to_string();
        succeed(&["lint", "--strict", &platform, "--values", &values]);
    }
    let definitions = chart("ticket-crds").display().to_string();
    succeed(&["lint", "--strict", &definitions]);
}

#[test]
fn all_that_is_missing_is_said_at_once_with_the_next_step() {
    let platform = chart("ticket-platform").display().to_string();
    let said = refuse(&["template", "tickets", &platform]);
    for words in [
        "settings.kafka-brokers: say the brokers",
        "secrets.database-url: say {name, key} of the Secret",
        "secrets.redis-url: say",
        "secrets.buyer-jwt-secret: say",
        "secrets.webhook-secret: say",
        "runtime.settings.payments-url: say the payment provider's address, or set runtime.roles.sandbox.enabled",
    ] {
        assert!(said.contains(words), "{words} in {said}");
    }
}

#[test]
fn a_value_that_cannot_be_used_is_named_with_what_it_may_be() {
    for (set, words) in [
        (
            &["settings.kafka-broker=a:1"][..],
            &["/settings", "kafka-broker", "not allowed"][..],
        ),
        (
            &["settings.database-connections=many"],
            &["/settings/database-connections", "integer"],
        ),
        (
            &["runtime.settings.complaint-policy=shrug"],
            &["/runtime/settings/complaint-policy", "flag", "refund"],
        ),
        (
            &["operator.scope=Universe"],
            &["/operator/scope", "Cluster", "Namespace"],
        ),
        (
            &["secrets.database-url.key="],
            &["/secrets/database-url/key", "minLength"],
        ),
        (
            &["secrets.database-urls.name=x"],
            &["/secrets", "database-urls", "not allowed"],
        ),
        (&["replicas=3"], &["replicas", "not allowed"]),
        (
            &["runtime.roles.api.service.port=99999"],
            &["/runtime/roles/api/service/port", "65"],
        ),
        // Secrets are no settings.
        (
            &["settings.database-url=postgres://a:b@c/d"],
            &["/settings", "database-url", "not allowed"],
        ),
        (
            &[
                "runtime.settings.buyer-jwks=https://a",
                "files.buyer-jwks.kind=Secret",
                "files.buyer-jwks.name=a",
                "files.buyer-jwks.key=b",
            ],
            &["files.buyer-jwks: is also a setting; keep one of the two"],
        ),
        (
            &["operator.namespace=elsewhere"],
            &["operator.namespace: counts only with operator.scope Namespace"],
        ),
        (
            &["runtime.roles.admin.kubernetesTokens=false"],
            &["secrets.admin-token: say"],
        ),
    ] {
        let said = refused(set);
        for word in words {
            assert!(said.contains(word), "{word} for {set:?} in {said}");
        }
    }
}
