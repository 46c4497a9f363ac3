//! `ticketctl plan -f FILE | EVENT`: what would happen before it happens. A file is checked with the rules of the API
//! server and planned as a new event, without asking anybody; of an event that is there the operator's own plan is shown.

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use ticket_core::names::TopicPrefix;
use ticket_core::share::LANES_MAX;
use ticket_core::{EventId, clock};
use ticket_crds::{Isolation, TicketEvent, validate};
use ticket_plan::{Desired, Observed, ObservedLanes, Step, plan};

use super::{Ended, events};
use crate::cli;
use crate::clients::Clients;
use crate::exit::{Exit, Failure};
use crate::output::{Document, Output, Table};

/// Largest file that is read, bytes: the API server takes no larger object.
const FILE_BYTES_MAX: u64 = 3 * 1024 * 1024;

/// What to do about a file that cannot be read.
const NAME_A_FILE: &str = "-f takes a file with one Event as YAML or JSON, or - for standard input";

/// What to do about an Event that cannot be.
const CORRECT_IT: &str =
    "correct the file and plan again; `kubectl explain tkev.spec` has every field with its limits";

/// What a person reads instead of the id that only the ledger can give.
const ID_TO_COME: &str = "<id>";

pub(crate) async fn run(flags: &cli::Plan, clients: &Clients, output: &mut Output<'_>) -> Ended {
    match (&flags.file, &flags.event) {
        (Some(path), _) => of_file(path, clients, output).await,
        (None, Some(event)) => of_event(event, clients, output).await,
        (None, None) => {
            let missing = anyhow::anyhow!("neither a file nor an event is named");
            Err(Failure::new(Exit::Usage, missing).or_next("ticketctl plan -f FILE"))
        }
    }
}

async fn of_file(path: &Path, clients: &Clients, output: &mut Output<'_>) -> Ended {
    let mut event =
        read(path).map_err(|cause| Failure::new(Exit::Error, cause).or_next(NAME_A_FILE))?;
    if event.metadata.namespace.is_none() {
        event.metadata.namespace = Some(clients.namespace().await);
    }
    let broken = broken_rules(&event);
    if !broken.is_empty() {
        for rule in &broken {
            output.word(&format!("error: {rule}"));
        }
        let refused = anyhow::anyhow!("{}: the API server would refuse this", path.display());
        return Err(Failure::new(Exit::Error, refused).or_next(CORRECT_IT));
    }
    let planned =
        planned(&event).map_err(|cause| Failure::new(Exit::Error, cause).or_next(CORRECT_IT))?;
    output.show(&planned)?;
    output.word("these are the steps for a new event; the operator plans from what it finds");
    if event.spec.placement.isolation == Isolation::Dedicated {
        output.word("lanes are for a ledger on Citus; on plain PostgreSQL their steps fall away");
    }
    Ok(Exit::Ok)
}

async fn of_event(event: &str, clients: &Clients, output: &mut Output<'_>) -> Ended {
    let namespace = clients.namespace().await;
    let api = events::api(clients, Some(&namespace)).await?;
    let object = clients
        .ask(&format!("get event {event}"), api.get(event))
        .await?;
    let row = events::Row::of(&object);
    let phase = row.phase();
    let steps = row.status.map(|status| status.plan).unwrap_or_default();
    if steps.is_empty() {
        output.word(&format!("event {event} is {phase}: nothing is left to do"));
    }
    output.show(&Left(steps))?;
    Ok(Exit::Ok)
}

fn read(path: &Path) -> anyhow::Result<TicketEvent> {
    let shown = path.display();
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin()
            .take(FILE_BYTES_MAX)
            .read_to_string(&mut text)
    } else {
        let file = std::fs::File::open(path).with_context(|| format!("could not open {shown}"))?;
        file.take(FILE_BYTES_MAX).read_to_string(&mut text)
    };
    read.with_context(|| format!("could not read {shown}"))?;
    serde_saphyr::from_str(&text).with_context(|| format!("{shown} is not an Event"))
}

/// What the API server would say, and what the operator would.
fn broken_rules(event: &TicketEvent) -> Vec<String> {
    let mut broken: Vec<String> = match event.validate_cel() {
        Ok(()) => Vec::new(),
        Err(errors) => errors.as_slice().iter().map(ToString::to_string).collect(),
    };
    // Most rules are in both; the operator's word is for what the schema says with its patterns and limits.
    if broken.is_empty()
        && let Err(invalid) = validate(event)
    {
        broken.push(invalid.to_string());
    }
    broken
}

fn planned(event: &TicketEvent) -> anyhow::Result<Planned> {
    let spec = validate(event)?;
    let id = EventId::random();
    let desired = Desired::new(&spec, id, &TopicPrefix::default(), clock::now())?;
    // Nobody is asked, so lanes are shown as where there is Citus.
    let nothing = Observed {
        is_distributed: desired.is_dedicated,
        lanes: ObservedLanes {
            left: LANES_MAX,
            ..ObservedLanes::default()
        },
        ..Observed::default()
    };
    let steps = plan(&desired, &nothing).steps;
    let lines = steps
        .iter()
        .map(|step| [step.name().to_owned(), cost(step), detail(step)])
        .collect();
    // The real id comes from the ledger; a made-up one would be taken for it.
    let text = serde_json::to_string(&steps)?.replace(&id.short(), ID_TO_COME);
    Ok(Planned {
        lines,
        steps: serde_json::from_str(&text)?,
        made_up: id.short(),
    })
}

/// What a step adds to the servers for as long as the event is there, or what it takes from buyers; empty where it does neither.
fn cost(step: &Step) -> String {
    match step {
        Step::CreateTopic {
            partitions,
            replication_factor,
            ..
        } => match replication_factor {
            Some(copies) => format!(
                "{} partitions on brokers",
                i64::from(*partitions) * i64::from(*copies)
            ),
            None => {
                format!("{partitions} partitions, each as often as the broker copies by default")
            }
        },
        Step::GrowPartitions { from, to, .. } => {
            format!("{} more partitions", to.saturating_sub(*from))
        }
        Step::CreateStockShards { shards, .. } => format!("{} ledger rows", shards.len()),
        Step::LeaseLanes { lanes, seen } => {
            format!("{} lanes of {LANES_MAX}", lanes.saturating_sub(*seen))
        }
        // Each lane leaves what was around it in two pieces.
        Step::SplitShard { lanes } => format!("up to {} Citus shards, for good", lanes * 2),
        Step::WriteEvent { settings } => format!("{} ledger rows", settings.categories.len() + 1),
        Step::RequireWarmUp { .. } => "the sale waits for a warm-up".to_owned(),
        Step::SetTopicConfig { .. }
        | Step::SeedStock { .. }
        | Step::AdjustStock { .. }
        | Step::Blocked { .. }
        | Step::DeleteTopic { .. }
        | Step::CloseSales
        | Step::OpenSales
        | Step::CloseStock
        | Step::DeleteEvent
        | Step::ReleaseLanes { .. }
        | Step::ReleaseEvent => String::new(),
    }
}

/// What a step does, in one line.
fn detail(step: &Step) -> String {
    match step {
        Step::CreateTopic {
            topic,
            partitions,
            replication_factor,
            retention_ms,
        } => {
            let copies = replication_factor.map(|copies| format!(", {copies} copies each"));
            let hours = retention_ms / 3_600_000;
            let copies = copies.unwrap_or_default();
            format!("{topic}: {partitions} partitions{copies}, kept for {hours} h")
        }
        Step::GrowPartitions { topic, from, to } => format!("{topic}: {from} to {to} partitions"),
        Step::SetTopicConfig {
            topic,
            retention_ms,
        } => {
            format!("{topic}: kept for {} h", retention_ms / 3_600_000)
        }
        Step::LeaseLanes { lanes, .. } => format!("{lanes} in all, spread evenly over the workers"),
        Step::SplitShard { .. } => {
            "each lane alone in its Citus shard, as far as the pool has none that is".to_owned()
        }
        Step::ReleaseLanes { lanes } => format!("{lanes} lanes"),
        Step::CreateStockShards {
            category,
            shards,
            first_lane,
        } => {
            let units: u64 = shards.iter().map(|shard| u64::from(shard.capacity)).sum();
            let place = first_lane.map_or("", |_| " in lanes of their own");
            format!(
                "{category}: {units} tickets on {} stock shards{place}",
                shards.len()
            )
        }
        Step::SeedStock { epoch } => format!("epoch {epoch}"),
        Step::AdjustStock {
            category, from, to, ..
        } => format!("{category}: {from} to {to} tickets"),
        Step::RequireWarmUp { epoch } => format!("newer than epoch {epoch}"),
        Step::Blocked { reason } => reason.to_string(),
        Step::WriteEvent { settings } => format!("{} categories", settings.categories.len()),
        Step::DeleteTopic { topic } => topic.clone(),
        Step::CloseSales
        | Step::OpenSales
        | Step::CloseStock
        | Step::DeleteEvent
        | Step::ReleaseEvent => String::new(),
    }
}

/// The plan of a file.
struct Planned {
    lines: Vec<[String; 3]>,
    steps: serde_json::Value,
    made_up: String,
}

impl Document for Planned {
    type Object = serde_json::Value;

    fn object(&self) -> &serde_json::Value {
        &self.steps
    }

    fn table(&self, _is_wide: bool) -> String {
        let mut table = Table::new(&["STEP", "COST", "DETAIL"]);
        for [step, cost, detail] in &self.lines {
            let detail = detail.replace(&self.made_up, ID_TO_COME);
            table.row([step.clone(), cost.clone(), detail]);
        }
        table.to_string()
    }

    fn names(&self) -> Vec<String> {
        self.lines.iter().map(|[step, ..]| step.clone()).collect()
    }
}

/// What is left of an event's plan.
struct Left(Vec<String>);

impl Document for Left {
    type Object = Vec<String>;

    fn object(&self) -> &Vec<String> {
        &self.0
    }

    fn table(&self, _is_wide: bool) -> String {
        self.0.join("\n")
    }

    fn names(&self) -> Vec<String> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo() -> TicketEvent {
        serde_saphyr::from_str(include_str!("../../../crds/examples/demo.yaml")).unwrap()
    }

    #[test]
    fn a_new_event_shows_its_steps_without_a_made_up_id() {
        let planned = planned(&demo()).unwrap();
        let table = planned.table(false);
        assert!(
            table.contains("orders.default.demo.<id>: 6 partitions"),
            "{table}"
        );
        assert!(
            table.contains("standing: 1600 tickets on 4 stock shards"),
            "{table}"
        );
        assert!(table.contains("6 partitions on brokers"), "{table}");
        assert!(table.contains("4 ledger rows"), "{table}");
        assert!(
            !serde_json::to_string(&planned.steps)
                .unwrap()
                .contains(&planned.made_up)
        );
        assert_eq!(
            planned.names().last().map(String::as_str),
            Some("OpenSales")
        );
    }

    #[test]
    fn a_dedicated_event_shows_its_lanes_and_what_they_cost() {
        let mut event = demo();
        event.spec.placement.isolation = Isolation::Dedicated;
        let table = planned(&event).unwrap().table(false);
        for words in [
            "LeaseLanes",
            "6 lanes of 1024",
            "SplitShard",
            "up to 12 Citus shards, for good",
            "standing: 1600 tickets on 4 stock shards in lanes of their own",
        ] {
            assert!(table.contains(words), "{words}: {table}");
        }
        assert!(!planned(&demo()).unwrap().table(false).contains("lane"));
    }

    #[test]
    fn a_file_that_the_api_server_would_refuse_names_its_rules() {
        let mut event = demo();
        event.spec.sales.closes_at = event.spec.sales.opens_at;
        let broken = broken_rules(&event);
        assert!(
            broken
                .iter()
                .any(|rule| rule.contains("closesAt must be later")),
            "{broken:?}"
        );
        assert!(broken_rules(&demo()).is_empty());
    }
}
