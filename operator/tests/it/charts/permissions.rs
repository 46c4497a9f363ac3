//! What the charts grant, and what for. A grant that nobody can say the use of is refused here, and so is a wildcard.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::generated::definitions;
use super::helm::{MINIMAL, Release, chart, name, objects, succeed};

/// What a permission is for.
struct Feature {
    /// The end of the role's name.
    role: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
    why: &'static str,
}

const fn feature(
    role: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
    why: &'static str,
) -> Feature {
    Feature {
        role,
        resource,
        verbs,
        why,
    }
}

/// In the order of the table.
const FEATURES: [Feature; 22] = [
    feature(
        "operator",
        "ticketctl.io/events",
        &["get", "list", "watch"],
        "sees what is wanted",
    ),
    feature(
        "operator",
        "ticketctl.io/events",
        &["patch"],
        "puts its finalizer on and takes it off, so that a deletion ends the sale first",
    ),
    feature(
        "operator",
        "ticketctl.io/events/status",
        &["patch"],
        "reports phase, conditions, stock, plan and the last error",
    ),
    feature(
        "operator",
        "ticketctl.io/shardrebalances",
        &["get", "list", "watch"],
        "sees which shards of the ledger shall be moved",
    ),
    feature(
        "operator",
        "ticketctl.io/shardrebalances/status",
        &["patch"],
        "shows the moves before they are approved, and how far they are",
    ),
    feature(
        "operator",
        "events.k8s.io/events",
        &["create", "patch"],
        "tells each step under `kubectl describe`",
    ),
    feature(
        "operator-lease",
        "coordination.k8s.io/leases",
        &["create"],
        "leader election: makes the lease (what is made has no name yet that could be asked for)",
    ),
    feature(
        "operator-lease",
        "coordination.k8s.io/leases",
        &["get", "update"],
        "leader election: holds its own lease and hands it over",
    ),
    feature(
        "operator-identity",
        "namespaces",
        &["get"],
        "names the cluster in the ledger by this namespace's uid (`operator.clusterIdentity`)",
    ),
    feature(
        "event-viewer",
        "ticketctl.io/events",
        &["get", "list", "watch"],
        "`kubectl get tkev`, `ticketctl events`, `ticketctl plan EVENT`",
    ),
    feature(
        "event-viewer",
        "ticketctl.io/shardrebalances",
        &["get", "list", "watch"],
        "`kubectl get tksr`, `ticketctl rebalance status`, where it is bound for the whole cluster",
    ),
    feature(
        "event-viewer",
        "apiextensions.k8s.io/customresourcedefinitions",
        &["get"],
        "`ticketctl doctor`, where it is bound for the whole cluster",
    ),
    feature(
        "event-manager",
        "ticketctl.io/events",
        &[
            "get", "list", "watch", "create", "update", "patch", "delete",
        ],
        "`kubectl apply`, annotations, `kubectl delete`",
    ),
    feature(
        "event-manager",
        "ticketctl.io/shardrebalances",
        &[
            "get", "list", "watch", "create", "update", "patch", "delete",
        ],
        "`ticketctl rebalance plan`, `approve`, `stop` and `resume`, where it is bound for the whole cluster",
    ),
    feature(
        "admin-viewer",
        "serviceaccounts/token",
        &["create"],
        "a viewer's token for the audience `ticket-admin`",
    ),
    feature("admin-viewer", "services", &["get"], "finds the admin API"),
    feature(
        "admin-viewer",
        "pods",
        &["get", "list"],
        "finds the pod behind it",
    ),
    feature(
        "admin-viewer",
        "pods/portforward",
        &["get", "create"],
        "the way to it",
    ),
    feature(
        "admin-manager",
        "serviceaccounts/token",
        &["create"],
        "a manager's token for the audience `ticket-admin`",
    ),
    feature("admin-manager", "services", &["get"], "finds the admin API"),
    feature(
        "admin-manager",
        "pods",
        &["get", "list"],
        "finds the pod behind it",
    ),
    feature(
        "admin-manager",
        "pods/portforward",
        &["get", "create"],
        "the way to it",
    ),
];

/// A resource that a rule grants.
struct Grant {
    role: String,
    is_cluster: bool,
    resource: String,
    verbs: Vec<String>,
    names: Vec<String>,
}

fn words(value: &Value) -> Vec<String> {
    let words = value.as_array().into_iter().flatten();
    words
        .map(|word| word.as_str().unwrap().to_owned())
        .collect()
}

fn grants(objects: &[Value]) -> Vec<Grant> {
    let is_role = |object: &&Value| object["kind"] == "Role" || object["kind"] == "ClusterRole";
    let mut found = Vec::new();
    for role in objects.iter().filter(is_role) {
        for rule in role["rules"].as_array().unwrap() {
            for group in words(&rule["apiGroups"]) {
                for resource in words(&rule["resources"]) {
                    let resource = match group.as_str() {
                        "" => resource,
                        group => format!("{group}/{resource}"),
                    };
                    found.push(Grant {
                        role: name(role).to_owned(),
                        is_cluster: role["kind"] == "ClusterRole",
                        resource,
                        verbs: words(&rule["verbs"]),
                        names: words(&rule["resourceNames"]),
                    });
                }
            }
        }
    }
    assert!(!found.is_empty());
    found
}

impl Feature {
    fn is_of(&self, grant: &Grant) -> bool {
        let role = grant.role.strip_suffix(self.role);
        role.is_some_and(|rest| rest.ends_with(['-', ':']))
            && grant.resource == self.resource
            && self
                .verbs
                .iter()
                .all(|verb| grant.verbs.iter().any(|granted| granted == verb))
    }
}

/// Rows of the table for `grants`, in the order of the features; notes which features they use.
fn rows(grants: &[Grant], used: &mut BTreeSet<usize>) -> String {
    let mut text = String::from("| role | may | named | for |\n|---|---|---|---|\n");
    for (number, feature) in FEATURES.iter().enumerate() {
        for grant in grants.iter().filter(|grant| feature.is_of(grant)) {
            used.insert(number);
            let names = match grant.names.as_slice() {
                [] => "any".to_owned(),
                names => format!("`{}`", names.join("`, `")),
            };
            let kind = if grant.is_cluster {
                "ClusterRole"
            } else {
                "Role"
            };
            let Feature {
                resource,
                verbs,
                why,
                ..
            } = feature;
            let (role, verbs) = (&grant.role, verbs.join(", "));
            writeln!(
                text,
                "| {kind} `{role}` | {verbs} `{resource}` | {names} | {why} |"
            )
            .unwrap();
        }
    }
    text
}

/// Every verb of every grant has a use.
fn assert_explained(grants: &[Grant]) {
    for grant in grants {
        let said = [&grant.verbs, &grant.names].map(|words| words.join(" "));
        let is_wild = said
            .iter()
            .chain([&grant.resource])
            .any(|word| word.contains('*'));
        assert!(
            !is_wild,
            "{} has a wildcard for {}",
            grant.role, grant.resource
        );
        for verb in &grant.verbs {
            let is_known = FEATURES
                .iter()
                .any(|feature| feature.is_of(grant) && feature.verbs.contains(&verb.as_str()));
            let Grant { role, resource, .. } = grant;
            assert!(
                is_known,
                "{role}: {verb} {resource} is in no row of FEATURES: what is it for?"
            );
        }
    }
}

/// `PERMISSIONS.md`.
pub(super) fn table() -> String {
    let platform = |scope: &str| {
        let objects = Release {
            namespace: "ticketing",
            values: MINIMAL,
            set: &[scope, "fullnameOverride=tickets"],
        }
        .objects();
        grants(&objects)
    };
    let (everywhere, confined) = (
        platform("operator.scope=Cluster"),
        platform("operator.scope=Namespace"),
    );
    let definitions = chart("ticket-crds").display().to_string();
    let mut people = grants(&objects(&succeed(&["template", "crds", &definitions])));
    let is_operators = |grant: &Grant| grant.role.contains("-operator");
    let (everywhere, admins): (Vec<Grant>, Vec<Grant>) =
        everywhere.into_iter().partition(is_operators);
    people.extend(admins);
    let confined: Vec<Grant> = confined.into_iter().filter(is_operators).collect();
    assert!(
        confined.iter().all(|grant| !grant.is_cluster),
        "with scope Namespace nothing is granted outside of it"
    );

    let mut used = BTreeSet::new();
    for grants in [&everywhere, &confined, &people] {
        assert_explained(grants);
    }
    let [everywhere, confined, people] =
        [&everywhere, &confined, &people].map(|grants| rows(grants, &mut used));
    for (number, Feature { role, resource, .. }) in FEATURES.iter().enumerate() {
        assert!(
            used.contains(&number),
            "no role {role} has what FEATURES says of {resource}"
        );
    }
    format!(
        "# Permissions\n\n<!-- Generated from the charts: make generate -->\n\n\
         What the charts grant to whom, and what for; for a release whose full name is `tickets`. Processes of the runtime \
         have no access to\nthe API server at all. No rule has a wildcard.\n\n\
         ## The operator, `operator.scope: Cluster`\n\n{everywhere}\n\
         ## The operator, `operator.scope: Namespace`\n\nNothing outside of the release's namespace and of the one that is \
         looked after.\n\n{confined}\n\
         ## People\n\nBind `ticketctl-event-viewer` and `ticketctl-event-manager` (chart ticket-crds) where the Events are, or \
         let the\ncluster's roles `view`, `edit` and `admin` have them. `access.viewers` and `access.managers` bind the roles of \
         the admin API. A port can be\nforwarded to every pod of the release's namespace: Kubernetes has no finer word for \
         it.\n\n{people}"
    )
}

#[test]
fn every_kind_that_is_defined_can_be_used_by_the_operator_and_by_people() {
    let platform = Release {
        namespace: "ticketing",
        values: MINIMAL,
        set: &[],
    }
    .objects();
    let crds = chart("ticket-crds").display().to_string();
    let crds = objects(&succeed(&["template", "crds", &crds]));
    for (file, definition) in definitions() {
        let definition: Value = serde_saphyr::from_str(&definition).unwrap();
        let [group, plural] = [
            &definition["spec"]["group"],
            &definition["spec"]["names"]["plural"],
        ]
        .map(|word| word.as_str().unwrap());
        let resource = format!("{group}/{plural}");
        let has = |objects: &[Value], role: &str, verb: &str| {
            grants(objects).iter().any(|grant| {
                grant.role.ends_with(role)
                    && grant.resource == resource
                    && grant.verbs.iter().any(|granted| granted == verb)
            })
        };
        assert!(
            has(&platform, "-operator", "watch"),
            "the operator cannot see what {file} defines"
        );
        assert!(
            has(&crds, "event-viewer", "watch"),
            "viewers cannot see what {file} defines"
        );
        assert!(
            has(&crds, "event-manager", "patch"),
            "managers cannot change what {file} defines"
        );
    }
}
