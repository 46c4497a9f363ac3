//! Admin API, what the runtime needs, consumer lag.

use ticket_admin::{AdminClient, AdminError, DependenciesView, Dependency, LagEntry};
use ticket_core::Code;

use super::Finding;
use crate::clients::Clients;
use crate::commands::lag::by_topic;

/// Lag that is worth a look, messages over all partitions of a topic: some seconds of work for one processor.
const LAG_WORTH_A_LOOK_MESSAGES: i64 = 50_000;

pub(super) async fn check(clients: &Clients) -> Vec<Finding> {
    let admin = match clients.admin().await {
        Ok(admin) => admin,
        Err(failure) => return vec![Finding::failed("admin-api", failure)],
    };
    let dependencies = match admin.dependencies().await {
        Ok(dependencies) => dependencies,
        Err(error) => return vec![unreachable(&admin, error)],
    };
    let mut findings = vec![reached(&admin, &dependencies)];
    findings.extend(dependencies.items.iter().map(dependency));
    match admin.lag().await {
        Ok(list) => findings.extend(lag(&list.items)),
        Err(error) => findings.push(Finding::failed("lag", error.into())),
    }
    findings
}

fn reached(admin: &AdminClient, dependencies: &DependenciesView) -> Finding {
    let DependenciesView { role, version, .. } = dependencies;
    let url = admin.url();
    Finding::ok(
        "admin-api",
        format!("{url}, version {version}, you are {role}"),
    )
}

fn unreachable(admin: &AdminClient, error: AdminError) -> Finding {
    let next = match &error {
        AdminError::Unreachable { .. } => {
            "start the runtime with the role admin (or all), or correct --admin-url".to_owned()
        }
        AdminError::Foreign { .. } => {
            "correct --admin-url: something else answers there".to_owned()
        }
        AdminError::Problem { problem } => match problem.code.parse::<Code>() {
            Ok(code) => code.next_step().to_owned(),
            Err(()) => "look into the runtime's log".to_owned(),
        },
        AdminError::Address { .. }
        | AdminError::Client { .. }
        | AdminError::Broken { .. }
        | AdminError::Silent { .. } => "look into the runtime's log".to_owned(),
    };
    let url = admin.url().to_owned();
    let cause = anyhow::Error::new(error);
    Finding::fail(
        "admin-api",
        format!("{url}: {}", crate::exit::line(&cause)),
        next,
    )
}

fn dependency(dependency: &Dependency) -> Finding {
    let Dependency {
        name,
        ok,
        detail,
        answered_in_ms,
        code,
    } = dependency;
    if *ok {
        let time = answered_in_ms
            .map(|ms| format!(" ({ms} ms)"))
            .unwrap_or_default();
        return Finding::ok(name, format!("{detail}{time}"));
    }
    let next = match code.as_deref().map(str::parse::<Code>) {
        Some(Ok(code)) => code.next_step(),
        Some(Err(())) | None => "check that this server is up and that the runtime may reach it",
    };
    Finding::fail(name, detail, next)
}

fn lag(entries: &[LagEntry]) -> Vec<Finding> {
    const CHECK: &str = "lag";
    let topics = by_topic(entries);
    let mut findings = Vec::new();
    for ((group, topic), waiting) in &topics {
        if waiting.messages > LAG_WORTH_A_LOOK_MESSAGES {
            let detail = format!("{group} is {} messages behind on {topic}", waiting.messages);
            let next = "is the group's role running? `ticketctl lag -o wide` shows the partitions";
            findings.push(Finding::warn(CHECK, detail, next));
        }
        if waiting.unknown == waiting.partitions {
            let detail = format!("{group} has not read anything of {topic} yet");
            let next = "fine for a new topic; else check that the group's role is running";
            findings.push(Finding::warn(CHECK, detail, next));
        }
    }
    if findings.is_empty() {
        let messages: i64 = topics.values().map(|waiting| waiting.messages).sum();
        let detail = format!("{messages} messages wait on {} topics", topics.len());
        findings.push(Finding::ok(CHECK, detail));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Level;

    #[test]
    fn a_dependency_that_is_down_brings_the_next_step_of_its_code() {
        let kafka = Dependency {
            name: "kafka".to_owned(),
            ok: false,
            detail: "no broker answers".to_owned(),
            answered_in_ms: None,
            code: Some("log-unreachable".to_owned()),
        };
        let finding = dependency(&kafka);
        assert_eq!(finding.level, Level::Fail);
        assert_eq!(
            finding.next.as_deref(),
            Some(Code::LogUnreachable.next_step())
        );
    }

    #[test]
    fn a_group_that_never_read_is_worth_a_look_and_a_small_lag_is_not() {
        let entry = |lag| LagEntry {
            group: "processor".to_owned(),
            topic: "orders".to_owned(),
            partition: 0,
            committed: None,
            end: 5,
            lag,
        };
        assert_eq!(lag(&[entry(Some(5))])[0].level, Level::Ok);
        assert_eq!(lag(&[entry(None)])[0].level, Level::Warn);
        assert_eq!(
            lag(&[entry(Some(LAG_WORTH_A_LOOK_MESSAGES + 1))])[0].level,
            Level::Warn
        );
        assert_eq!(lag(&[])[0].level, Level::Ok);
    }
}
