//! `ticketctl audit EVENT`.

use ticket_admin::{AuditReport, Check};

use super::Ended;
use crate::cli::EventArg;
use crate::clients::Clients;
use crate::exit::Exit;
use crate::output::{Document, Level, Output};

pub(crate) async fn run(flags: &EventArg, clients: &Clients, output: &mut Output<'_>) -> Ended {
    let event = clients.event_name(&flags.event).await?;
    let report = clients.admin().await?.audit(&event).await?;
    if output.is_for_people() {
        for check in &report.checks {
            output.graded(
                level(check),
                &format!("{:<13} {}", check.name, check.detail),
            )?;
        }
    } else {
        output.show(&Report(&report))?;
    }
    if report.ok {
        output.word(&format!("{event}: everything adds up"));
        return Ok(Exit::Ok);
    }
    output.word(&format!("error: {event}: something does not add up"));
    let name = &flags.event;
    output.word(&format!(
        "next: `ticketctl stock {name} -o wide` shows each stock shard; `ticketctl warmup lock {name} --confirm={name}` holds the sale meanwhile"
    ));
    Ok(Exit::Error)
}

const fn level(check: &Check) -> Level {
    match (check.ok, check.skipped) {
        (false, _) => Level::Fail,
        (true, true) => Level::Warn,
        (true, false) => Level::Ok,
    }
}

struct Report<'a>(&'a AuditReport);

impl Document for Report<'_> {
    type Object = AuditReport;

    fn object(&self) -> &AuditReport {
        self.0
    }

    fn table(&self, _is_wide: bool) -> String {
        String::new()
    }

    /// What does not hold.
    fn names(&self) -> Vec<String> {
        self.0
            .checks
            .iter()
            .filter(|check| !check.ok)
            .map(|check| check.name.clone())
            .collect()
    }
}
