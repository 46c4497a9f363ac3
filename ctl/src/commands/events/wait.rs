//! `ticketctl events wait EVENT`.

use std::time::Duration;

use futures::TryStreamExt;
use kube::api::{Api, DynamicObject};
use kube::runtime::{WatchStreamExt, watcher};
use ticket_crds::ConditionType;

use super::get::Event;
use super::{Row, api};
use crate::cli::{EventsWait, Until};
use crate::clients::Clients;
use crate::commands::Ended;
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Longest wait unless `--timeout` says otherwise: an event is ready within seconds where all servers answer.
const WAIT: Duration = Duration::from_mins(1);

pub(crate) async fn wait(flags: &EventsWait, clients: &Clients, output: &mut Output<'_>) -> Ended {
    let namespace = clients.namespace().await;
    let api = api(clients, Some(&namespace)).await?;
    let mut seen = format!("event {} was not seen yet", flags.event);
    let limit = clients.limit().unwrap_or(WAIT);
    let reached = tokio::time::timeout(limit, async {
        // A name that is not there is most likely a slip: say so at once instead of waiting for it.
        let action = format!("get event {}", flags.event);
        let first = clients.ask(&action, api.get(&flags.event)).await;
        match first {
            Ok(object) if flags.until.is_reached(&Row::of(&object)) => return Ok(Some(object)),
            Ok(object) => seen = said(&Row::of(&object)),
            Err(Failure::Failed {
                exit: Exit::NotFound,
                ..
            }) if flags.until == Until::Deleted => return Ok(None),
            Err(failure) => return Err(failure),
        }
        follow(api, flags, &mut seen, output).await
    })
    .await;
    match reached {
        Ok(Ok(object)) => {
            // People are told; a program that asks for the object gets it as it was then.
            if let Some(object) = object.filter(|_| !output.is_for_people()) {
                output.show(&Event::of(&object))?;
            }
            output.word(&format!("event {} is {}", flags.event, flags.until));
            Ok(Exit::Ok)
        }
        Ok(Err(failure)) => Err(failure),
        Err(_) => {
            let what = format!(
                "event {} is not {} after {limit:?}; {seen}",
                flags.event, flags.until
            );
            let next = format!(
                "`ticketctl events get {}` shows what hinders it",
                flags.event
            );
            Err(Failure::timeout(what).or_next(next))
        }
    }
}

/// Until it is as wanted, and the event as it is then; `None` for one that is gone. Keeps in `seen` how it last stood.
async fn follow(
    api: Api<DynamicObject>,
    flags: &EventsWait,
    seen: &mut String,
    output: &mut Output<'_>,
) -> Result<Option<DynamicObject>, Failure> {
    let changes = watcher::watch_object(api, &flags.event).default_backoff();
    let mut changes = std::pin::pin!(changes);
    loop {
        match changes.try_next().await {
            Ok(Some(Some(object))) => {
                let row = Row::of(&object);
                if flags.until.is_reached(&row) {
                    return Ok(Some(object));
                }
                *seen = said(&row);
            }
            Ok(Some(None)) if flags.until == Until::Deleted => return Ok(None),
            Ok(Some(None)) => {
                let gone = anyhow::anyhow!("event {} was deleted meanwhile", flags.event);
                return Err(Failure::new(Exit::NotFound, gone)
                    .or_next("`ticketctl events list` shows what there is"));
            }
            Ok(None) => {
                let ended = anyhow::anyhow!("the watch of the API server ended");
                return Err(Failure::new(Exit::Error, ended).or_next("wait again"));
            }
            Err(error) => output.word(&format!("the watch broke off, starting again: {error}")),
        }
    }
}

impl Until {
    fn is_reached(&self, row: &Row) -> bool {
        match self {
            Self::Ready => row.is(ConditionType::Ready.as_str()),
            Self::Phase(phase) => row.phase() == phase.as_str(),
            Self::SoldOut => row
                .stock
                .is_some_and(|stock| stock.capacity > 0 && stock.available == 0),
            Self::Deleted => false,
            Self::Condition(kind) => row.is(kind),
        }
    }
}

impl std::fmt::Display for Until {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::Phase(phase) => f.write_str(phase.as_str()),
            Self::SoldOut => f.write_str("sold out"),
            Self::Deleted => f.write_str("deleted"),
            Self::Condition(kind) => f.write_str(kind),
        }
    }
}

/// How it stands, with the reason.
fn said(row: &Row) -> String {
    let message = row.message();
    let message = if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    };
    format!("phase {}, ready {}{message}", row.phase(), row.ready())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::row::tests::{object, ready};
    use super::*;

    #[test]
    fn ready_and_phase_and_stock_decide() {
        let stock = |available| json!([{"category": "vip", "capacity": 9, "available": available, "held": 0, "sold": 9 - available}]);
        let at = |generation, available| {
            Row::of(&object(
                generation,
                &json!({
                    "phase": "OnSale", "conditions": [ready("True", "Ready", 1)],
                    "stock": stock(available),
                }),
            ))
        };
        let until = |text: &str| text.parse::<Until>().unwrap();
        assert!(until("ready").is_reached(&at(1, 9)));
        assert!(
            !until("ready").is_reached(&at(2, 9)),
            "the spec is newer than the condition"
        );
        assert!(until("on-sale").is_reached(&at(1, 9)));
        assert!(!until("closed").is_reached(&at(1, 9)));
        assert!(!until("sold-out").is_reached(&at(1, 1)));
        assert!(until("sold-out").is_reached(&at(1, 0)));
        assert!(!until("condition=TopicReady").is_reached(&at(1, 0)));
        assert!(!until("deleted").is_reached(&at(1, 0)));
    }
}
