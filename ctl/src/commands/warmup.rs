//! `ticketctl warmup status|run|lock|unlock`.

use ticket_admin::{LockRequest, UnlockRequest, WarmupView};

use super::Ended;
use crate::cli::{EventArg, WarmupHold, WarmupLock, WarmupUnlock};
use crate::clients::Clients;
use crate::exit::{Exit, Failure};
use crate::output::{Document, Output, Table, age};

pub(crate) async fn status(flags: &EventArg, clients: &Clients, output: &mut Output<'_>) -> Ended {
    let event = clients.event_name(&flags.event).await?;
    let view = clients.admin()?.warmup(&event).await?;
    output.show(&Status(view))?;
    Ok(Exit::Ok)
}

pub(crate) async fn run(flags: WarmupLock, clients: &Clients, output: &mut Output<'_>) -> Ended {
    let event = clients.event_name(&flags.event).await?;
    let wish = LockRequest {
        reason: flags.reason,
    };
    let view = clients.admin()?.run_warmup(&event, &wish).await?;
    let epoch = view.epoch;
    output.show(&Status(view))?;
    output.word(&format!("{event} sells at epoch {epoch}"));
    Ok(Exit::Ok)
}

pub(crate) async fn lock(flags: WarmupHold, clients: &Clients, output: &mut Output<'_>) -> Ended {
    confirmed(&flags.event, flags.confirm.as_deref(), "stops the sale")?;
    let event = clients.event_name(&flags.event).await?;
    let wish = LockRequest {
        reason: flags.reason,
    };
    let view = clients.admin()?.lock_warmup(&event, &wish).await?;
    output.show(&Status(view))?;
    output.word(&format!(
        "{event} is held; `ticketctl warmup unlock` lets it sell again"
    ));
    Ok(Exit::Ok)
}

pub(crate) async fn unlock(
    flags: WarmupUnlock,
    clients: &Clients,
    output: &mut Output<'_>,
) -> Ended {
    let WarmupUnlock {
        event,
        force,
        confirm,
    } = flags;
    if force {
        confirmed(&event, confirm.as_deref(), "breaks somebody's lock")?;
    }
    let event = clients.event_name(&event).await?;
    let wish = UnlockRequest {
        force,
        confirm: force.then(|| event.clone()),
    };
    let view = clients.admin()?.unlock_warmup(&event, &wish).await?;
    output.show(&Status(view))?;
    output.word(&format!("{event} is unlocked; a keeper warms it up"));
    Ok(Exit::Ok)
}

/// What hurts is only done when the event's name was typed twice.
fn confirmed(event: &str, confirm: Option<&str>, hurts: &str) -> Result<(), Failure> {
    if confirm == Some(event) {
        return Ok(());
    }
    let cause = anyhow::anyhow!("this {hurts} and was not confirmed");
    Err(Failure::new(Exit::Refused, cause).or_next(format!("add --confirm={event}")))
}

struct Status(WarmupView);

impl Document for Status {
    type Object = WarmupView;

    fn object(&self) -> &WarmupView {
        &self.0
    }

    fn table(&self, is_wide: bool) -> String {
        let now = ticket_core::clock::now();
        let view = &self.0;
        let armed = view
            .armed_epoch
            .map_or_else(|| "warming up".to_owned(), |epoch| epoch.to_string());
        let mut lines = vec![
            ("Event", view.event.clone()),
            ("Epoch", view.epoch.to_string()),
            ("Armed", armed),
        ];
        match &view.lock {
            None => lines.push(("Lock", "nobody".to_owned())),
            Some(lock) => {
                let since = age(lock.acquired_at, now);
                lines.push(("Lock", format!("{} since {since}", lock.holder)));
                lines.extend(lock.reason.clone().map(|reason| ("Reason", reason)));
                lines.push(("Expires", lock.expires_at.to_string()));
            }
        }
        let lines = lines
            .iter()
            .map(|(name, value)| format!("{name:<8} {value}"));
        let mut text = lines.collect::<Vec<_>>().join("\n");
        if view.history.is_empty() {
            return text;
        }
        let mut header = vec!["EPOCH", "RESULT", "AGE", "HOLDER"];
        if is_wide {
            header.extend(["REASON", "STARTED", "FINISHED"]);
        }
        let mut table = Table::new(&header);
        for run in &view.history {
            let mut row = vec![
                run.epoch.to_string(),
                run.result.clone().unwrap_or_else(|| "running".to_owned()),
                age(run.started_at, now),
                run.holder.clone(),
            ];
            if is_wide {
                row.extend([
                    run.reason.clone().unwrap_or_default(),
                    run.started_at.to_string(),
                    run.finished_at.map(|at| at.to_string()).unwrap_or_default(),
                ]);
            }
            table.row(row);
        }
        text.push_str("\n\n");
        text.push_str(&table.to_string());
        text
    }

    fn names(&self) -> Vec<String> {
        vec![self.0.event.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hurts_wants_the_events_name_twice() {
        assert!(confirmed("demo", Some("demo"), "hurts").is_ok());
        for wrong in [None, Some("other"), Some("")] {
            assert!(matches!(
                confirmed("demo", wrong, "hurts"),
                Err(Failure::Failed {
                    exit: Exit::Refused,
                    ..
                })
            ));
        }
    }
}
