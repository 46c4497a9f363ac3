//! `ticketctl warmup status|run|lock|unlock`.

use ticket_admin::{LockRequest, UnlockRequest, WarmupView};

use super::Ended;
use super::confirm::confirmed;
use super::watch::{self, Page};
use crate::cli::{WarmupLock, WarmupStatus, WarmupUnlock};
use crate::clients::Clients;
use crate::exit::Exit;
use crate::output::{Document, Output, Table, age};

pub(crate) async fn status(
    flags: &WarmupStatus,
    clients: &Clients,
    output: &mut Output<'_>,
) -> Ended {
    let event = clients.event_name(&flags.event).await?;
    if flags.watch {
        return follow(&event, clients, output).await;
    }
    let view = clients.admin().await?.warmup(&event).await?;
    output.show(&Status(view))?;
    Ok(Exit::Ok)
}

async fn follow(event: &str, clients: &Clients, output: &mut Output<'_>) -> Ended {
    let mut page = Page::new();
    watch::poll(
        clients,
        async |admin| admin.warmup(event).await,
        |view, output| page.show(Status(view), output),
        output,
    )
    .await
}

pub(crate) async fn run(flags: WarmupLock, clients: &Clients, output: &mut Output<'_>) -> Ended {
    let event = clients.event_name(&flags.event).await?;
    if clients.is_dry_run() {
        return would("warm up", &event, clients, output).await;
    }
    // It gives the sale back by itself within a moment, so nobody must say the name twice; who does must mean the same event.
    if let Some(confirm) = flags.confirm.as_deref() {
        let hurts = "refills the stock store";
        confirmed(&flags.event, Some(confirm), hurts, clients, output)?;
    }
    let wish = LockRequest {
        reason: flags.reason,
    };
    let view = clients.admin().await?.run_warmup(&event, &wish).await?;
    let epoch = view.epoch;
    output.show(&Status(view))?;
    output.word(&format!("{event} sells at epoch {epoch}"));
    Ok(Exit::Ok)
}

pub(crate) async fn lock(flags: WarmupLock, clients: &Clients, output: &mut Output<'_>) -> Ended {
    let event = clients.event_name(&flags.event).await?;
    if clients.is_dry_run() {
        return would("hold", &event, clients, output).await;
    }
    let confirm = flags.confirm.as_deref();
    confirmed(&flags.event, confirm, "stops the sale", clients, output)?;
    let wish = LockRequest {
        reason: flags.reason,
    };
    let view = clients.admin().await?.lock_warmup(&event, &wish).await?;
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
    let name = event;
    let event = clients.event_name(&name).await?;
    if clients.is_dry_run() {
        return would("unlock", &event, clients, output).await;
    }
    if force {
        let hurts = "breaks somebody's lock";
        confirmed(&name, confirm.as_deref(), hurts, clients, output)?;
    }
    let wish = UnlockRequest {
        force,
        confirm: force.then(|| event.clone()),
    };
    let view = clients.admin().await?.unlock_warmup(&event, &wish).await?;
    output.show(&Status(view))?;
    output.word(&format!("{event} is unlocked; a keeper warms it up"));
    Ok(Exit::Ok)
}

/// Shows what it would be done to.
async fn would(what: &str, event: &str, clients: &Clients, output: &mut Output<'_>) -> Ended {
    let view = clients.admin().await?.warmup(event).await?;
    output.show(&Status(view))?;
    output.word(&format!("dry run: would {what} {event}; nothing was done"));
    Ok(Exit::Ok)
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
