//! What single parts of the path can do alone, in the same run: an update of one row, a decrement in Redis, records to Kafka.
//! None of them sells a ticket; they say how far the path is from what its servers can do at all.

mod produce;
mod redis_decr;
mod update;

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use serde::Serialize;

use crate::ledger::rig::{CpuUsed, Rig};
use crate::stats::Spread;
use crate::suite::measure::{Board, Measure};
use crate::suite::plan::Plan;
use crate::suite::section::{Section, Table};
use crate::text::grouped;

/// Commands in flight on the one connection to Redis, at two depths.
const REDIS_IN_FLIGHT: [u32; 2] = [128, 2_048];

/// All small baselines, as one measure.
#[must_use]
pub fn measures(plan: &Plan) -> Vec<Box<dyn Measure>> {
    vec![parts(plan.seconds(3, 1))]
}

/// All of them, each measured in each round for as long as it `lasts`.
#[must_use]
pub fn parts(lasts: Duration) -> Box<dyn Measure> {
    Box::new(Parts::new(lasts))
}

/// Something that was done again and again for a while.
#[derive(Debug, Clone, Copy)]
struct Done {
    times: u64,
    took: Duration,
}

impl Done {
    fn per_second(self) -> f64 {
        self.times() / self.took.as_secs_f64().max(f64::EPSILON)
    }

    fn times(self) -> f64 {
        f64::from(u32::try_from(self.times).unwrap_or(u32::MAX))
    }
}

/// The rounds of one part.
#[derive(Debug)]
struct Part {
    /// For people.
    name: String,
    /// For programs and the board.
    key: &'static str,
    /// The server whose CPU time is shown.
    server: &'static str,
    per_s: Vec<f64>,
    server_us: Vec<f64>,
}

impl Part {
    fn new(name: impl Into<String>, key: &'static str, server: &'static str) -> Self {
        Self {
            name: name.into(),
            key,
            server,
            per_s: Vec::new(),
            server_us: Vec::new(),
        }
    }

    fn note(&mut self, done: Done, cpu: Duration, board: &mut Board) {
        board.note(self.key, done.per_second());
        self.per_s.push(done.per_second());
        self.server_us
            .push(cpu.as_secs_f64() * 1e6 / done.times().max(1.0));
    }
}

#[derive(Debug, Serialize)]
struct PartResult<'a> {
    name: &'a str,
    per_s: Spread,
    server: &'static str,
    server_cpu_us: Spread,
}

/// All parts; a round is one of each.
struct Parts {
    lasts: Duration,
    row: Option<update::Row>,
    update: Part,
    redis: [(u32, Part); 2],
    produce: Part,
}

impl Parts {
    fn new(lasts: Duration) -> Self {
        let redis = |in_flight: u32, key| {
            let name = format!("Redis DECR, one connection, {in_flight} in flight");
            (in_flight, Part::new(name, key, "Redis"))
        };
        let update = format!("UPDATE of one row, {} clients", update::CLIENTS);
        Self {
            lasts,
            row: None,
            update: Part::new(update, "update", "PostgreSQL"),
            redis: [
                redis(REDIS_IN_FLIGHT[0], "redis-decr-128"),
                redis(REDIS_IN_FLIGHT[1], "redis-decr-2048"),
            ],
            produce: Part::new("records to Kafka, acknowledged by all", "produce", "Kafka"),
        }
    }

    async fn all(&mut self, rig: &Rig, board: &mut Board) -> anyhow::Result<()> {
        if let Some(row) = &self.row {
            let (done, used) = measured(rig, row.round(self.lasts)).await?;
            self.update.note(done, used.postgres, board);
        }
        for (in_flight, part) in &mut self.redis {
            let round = redis_decr::round(rig, *in_flight, self.lasts);
            let (done, used) = measured(rig, round).await?;
            part.note(done, used.redis, board);
        }
        let (done, used) = measured(rig, produce::round(rig, self.lasts)).await?;
        self.produce.note(done, used.kafka, board);
        Ok(())
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        let redis = self.redis.iter().map(|(_, part)| part);
        [&self.update]
            .into_iter()
            .chain(redis)
            .chain([&self.produce])
    }
}

/// Carries `round` out, with the CPU time that the servers used meanwhile.
async fn measured(
    rig: &Rig,
    round: impl Future<Output = anyhow::Result<Done>>,
) -> anyhow::Result<(Done, CpuUsed)> {
    let before = rig.cpu_used()?;
    let done = round.await?;
    let after = rig.cpu_used()?;
    let used = CpuUsed {
        postgres: after.postgres.saturating_sub(before.postgres),
        kafka: after.kafka.saturating_sub(before.kafka),
        redis: after.redis.saturating_sub(before.redis),
    };
    Ok((done, used))
}

impl Measure for Parts {
    fn name(&self) -> &'static str {
        "single parts: UPDATE, DECR, produce"
    }

    fn takes(&self) -> Duration {
        self.lasts * 4 + Duration::from_secs(1)
    }

    fn prepare<'a>(&'a mut self, rig: &'a Rig) -> LocalBoxFuture<'a, anyhow::Result<()>> {
        async {
            self.row = Some(update::Row::prepare(rig).await?);
            Ok(())
        }
        .boxed_local()
    }

    fn round<'a>(
        &'a mut self,
        rig: &'a Rig,
        board: &'a mut Board,
    ) -> LocalBoxFuture<'a, anyhow::Result<()>> {
        self.all(rig, board).boxed_local()
    }

    fn section(&self, _board: &Board) -> Section {
        let mut table = Table::new(["what", "per second", "CPU us each", "of"]);
        for part in self.parts() {
            table.row([
                part.name.clone(),
                Spread::of(part.per_s.clone()).to_string(),
                Spread::of(part.server_us.clone()).to_string(),
                part.server.to_owned(),
            ]);
        }
        Section {
            title: "What the parts can do alone".to_owned(),
            intro: vec![format!(
                "No tickets are sold here. The row is one row that all clients change, each change a durable transaction. The \
                 records are place commands of the size that the API writes, through the product's producer, up to {} under way.",
                grouped(produce::UNDER_WAY_MAX)
            )],
            tables: vec![table],
            ..Section::default()
        }
    }

    fn results(&self, _board: &Board) -> serde_json::Value {
        let results = self.parts().map(|part| {
            let result = PartResult {
                name: &part.name,
                per_s: Spread::of(part.per_s.clone()),
                server: part.server,
                server_cpu_us: Spread::of(part.server_us.clone()),
            };
            (part.key.to_owned(), serde_json::json!(result))
        });
        serde_json::Value::Object(results.collect())
    }
}
