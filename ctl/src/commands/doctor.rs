//! `ticketctl doctor`: from the kubeconfig to consumer lag. Every finding that is not fine says what to do next; a check
//! that cannot be made because an earlier one failed is not made.

mod admin;
mod kubernetes;

use serde::Serialize;

use super::Ended;
use crate::clients::Clients;
use crate::exit::{Exit, Failure};
use crate::output::{Document, Level, Output, Table};

pub(crate) async fn run(clients: &Clients, output: &mut Output<'_>) -> Ended {
    let mut findings = kubernetes::check(clients).await;
    findings.extend(admin::check(clients).await);
    let failed = findings
        .iter()
        .filter(|finding| finding.level == Level::Fail)
        .count();
    let warned = findings
        .iter()
        .filter(|finding| finding.level == Level::Warn)
        .count();
    if output.is_for_people() {
        for finding in &findings {
            output.graded(
                finding.level,
                &format!("{:<20} {}", finding.check, finding.detail),
            )?;
            if let Some(next) = &finding.next {
                output.text(&format!("      {:<20} next: {next}", ""))?;
            }
        }
    } else {
        output.show(&Findings(findings))?;
    }
    output.word(&match (failed, warned) {
        (0, 0) => "everything is fine".to_owned(),
        (0, warned) => format!("nothing is broken, {warned} worth a look"),
        (failed, _) => format!("error: {failed} broken"),
    });
    Ok(if failed == 0 { Exit::Ok } else { Exit::Error })
}

/// What a check found.
#[derive(Debug, Serialize)]
struct Finding {
    check: String,
    level: Level,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Finding {
    fn ok(check: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            level: Level::Ok,
            detail: detail.into(),
            next: None,
        }
    }

    fn warn(check: &str, detail: impl Into<String>, next: impl Into<String>) -> Self {
        let next = Some(next.into());
        Self {
            check: check.to_owned(),
            level: Level::Warn,
            detail: detail.into(),
            next,
        }
    }

    fn fail(check: impl Into<String>, detail: impl Into<String>, next: impl Into<String>) -> Self {
        let next = Some(next.into());
        Self {
            check: check.into(),
            level: Level::Fail,
            detail: detail.into(),
            next,
        }
    }

    /// A command's failure is a check's finding.
    fn failed(check: &str, failure: Failure) -> Self {
        match failure {
            Failure::ReaderGone => Self::fail(check, "nobody reads", "try again"),
            Failure::Failed {
                cause, next, code, ..
            } => {
                let code = code.map(|code| format!(" [{code}]")).unwrap_or_default();
                let detail = format!("{}{code}", crate::exit::line(&cause));
                Self {
                    check: check.to_owned(),
                    level: Level::Fail,
                    detail,
                    next,
                }
            }
        }
    }
}

struct Findings(Vec<Finding>);

impl Document for Findings {
    type Object = Vec<Finding>;

    fn object(&self) -> &Vec<Finding> {
        &self.0
    }

    fn table(&self, _is_wide: bool) -> String {
        let mut table = Table::new(&["CHECK", "DETAIL"]);
        for finding in &self.0 {
            table.row([finding.check.clone(), finding.detail.clone()]);
        }
        table.to_string()
    }

    /// What is not fine.
    fn names(&self) -> Vec<String> {
        let bad = self.0.iter().filter(|finding| finding.level != Level::Ok);
        bad.map(|finding| finding.check.clone()).collect()
    }
}
