//! `GET /admin/v1/events/{event}/stock`, once or as a stream. All listeners of an event share one reading, so that a
//! hundred open screens cost the servers as much as one.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt, stream};
use ticket_admin::stock::STREAM_EVENT;
use ticket_admin::{CategoryStock, ShardStock, StockView};
use ticket_core::{Code, EventId, StockShardId, clock};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;

use super::document::LookProblems;
use super::events::{counts, sum};
use super::platform::waiting;
use super::{Admin, refusal};
use crate::catalog::EventEntry;
use crate::path::PathPart;
use crate::problem::Problem;

/// How often a stream sends a snapshot. The contract wants one at least each second, so reading takes its time off.
const SNAPSHOT_EVERY: Duration = Duration::from_millis(800);

/// A snapshot that is not older than this is shown to whoever asks.
const FRESH_FOR: Duration = Duration::from_millis(500);

/// Longest wait for what is shown beside the ledger's numbers; what does not come in time is absent.
const EXTRAS_DEADLINE: Duration = Duration::from_millis(700);

/// A line now and then while nothing else can be sent, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

#[utoipa::path(get, path = "/admin/v1/events/{event}/stock", tag = "events", operation_id = "getStock",
    summary = "Where every unit is",
    params(("event" = String, Path, description = "`<namespace>.<name>`.")), security(("manager" = [])),
    responses(
        (status = 200, description = "A snapshot, or with `Accept: text/event-stream` one at least each second, as events `stock`.",
            content((StockView = "application/json"), (StockEvent = "text/event-stream"))),
        LookProblems,
    ))]
pub(super) async fn get(
    State(admin): State<Arc<Admin>>,
    PathPart(event): PathPart,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let event = admin.event(&event).await?;
    let wanted = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    if wanted.is_some_and(|types| types.contains("text/event-stream")) {
        let full = || {
            Problem::new(
                Code::Overloaded,
                "more stock streams are open than there is room for",
            )
        };
        let open = admin.streams.clone().try_acquire_owned();
        let open = open.map_err(|_| full())?;
        let events = follow(admin, event.name().to_string(), open);
        let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
        return Ok(Sse::new(events).keep_alive(keep_alive).into_response());
    }
    let view = admin.snapshots.get(&admin, &event).await?;
    Ok(Json(&*view).into_response())
}

/// The fields of an event on the stream.
#[derive(ToSchema)]
#[expect(dead_code, reason = "says how an event looks")]
struct StockEvent {
    /// `stock`.
    #[schema(pattern = "^stock$")]
    event: String,
    /// The snapshot as JSON.
    #[schema(content_media_type = "application/json")]
    data: String,
}

/// A snapshot every [`SNAPSHOT_EVERY`] until the process stops or the listener goes. An event that is deleted ends it.
fn follow(
    admin: Arc<Admin>,
    event: String,
    open: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> + Send + 'static {
    let stop = admin.parts.stop.clone();
    let mut ticks = tokio::time::interval(SNAPSHOT_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let snapshots = stream::unfold(
        (admin, event, ticks, open),
        |(admin, event, mut ticks, open)| async move {
            ticks.tick().await;
            let sent = snapshot(&admin, &event).await?;
            Some((Ok(sent), (admin, event, ticks, open)))
        },
    );
    snapshots.take_until(stop.cancelled_owned())
}

/// `None` when the event is gone.
async fn snapshot(admin: &Admin, event: &str) -> Option<Event> {
    let view = match admin.event(event).await {
        Ok(event) => admin.snapshots.get(admin, &event).await,
        Err(problem) => Err(problem),
    };
    match view {
        Ok(view) => Event::default().event(STREAM_EVENT).json_data(&*view).ok(),
        Err(problem) if problem.code == Code::NotFound => None,
        // The listener sees that the age of its numbers grows; the next snapshot comes when the ledger is back.
        Err(problem) => Some(Event::default().comment(problem.detail.as_ref())),
    }
}

type Cell = Arc<tokio::sync::Mutex<Option<(Instant, Arc<StockView>)>>>;

/// The newest snapshot per event. As many as there are events.
#[derive(Default)]
pub(super) struct Snapshots {
    cells: Mutex<HashMap<EventId, Cell>>,
}

impl Snapshots {
    /// A snapshot that is not older than [`FRESH_FOR`]. Who asks while one is being read waits for that one.
    pub(super) async fn get(
        &self,
        admin: &Admin,
        event: &Arc<EventEntry>,
    ) -> Result<Arc<StockView>, Problem> {
        let cell = self.cell(admin, event.id());
        let mut newest = cell.lock().await;
        if let Some((at, view)) = newest.as_ref()
            && at.elapsed() < FRESH_FOR
        {
            return Ok(view.clone());
        }
        let view = Arc::new(read(admin, event).await?);
        *newest = Some((Instant::now(), view.clone()));
        Ok(view)
    }

    fn cell(&self, admin: &Admin, event: EventId) -> Cell {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = cells.get(&event) {
            return cell.clone();
        }
        let known = admin.parts.catalog.snapshot();
        cells.retain(|id, _| known.events().any(|event| event.id() == *id));
        cells.entry(event).or_default().clone()
    }
}

async fn read(admin: &Admin, event: &Arc<EventEntry>) -> Result<StockView, Problem> {
    let rows = admin.parts.ledger.stock(event.id());
    let (rows, store, lag) = tokio::join!(rows, store(admin, event), lag(admin, event));
    let rows = rows.map_err(|error| refusal::of_ledger(&error))?;
    let Store { armed_epoch, left } = store.unwrap_or_default();
    let mut categories = Vec::with_capacity(event.categories.len());
    for category in &event.categories {
        let of_category = || rows.iter().filter(|row| row.category == category.name);
        let shards: Vec<ShardStock> = of_category()
            .map(|row| ShardStock {
                stock_shard_id: row.id.get(),
                node: row.node.clone(),
                partition: row.partition,
                counts: counts(row.counts),
                store_available: left.get(&row.id).copied(),
                lag: lag.get(&row.partition).copied(),
            })
            .collect();
        categories.push(CategoryStock {
            name: category.name.to_string(),
            counts: sum(of_category()),
            // Known only if every part of it is.
            store_available: shards
                .iter()
                .map(|shard| shard.store_available)
                .sum::<Option<i64>>()
                .filter(|_| !shards.is_empty()),
            shards,
        });
    }
    Ok(StockView {
        event: event.name().to_string(),
        epoch: event.epoch().0,
        armed_epoch,
        as_of: clock::now(),
        categories,
    })
}

/// What the stock store says.
#[derive(Default)]
struct Store {
    armed_epoch: Option<i64>,
    left: HashMap<StockShardId, i64>,
}

/// `None` when it does not answer in time.
async fn store(admin: &Admin, event: &EventEntry) -> Option<Store> {
    let stock = &admin.parts.stock;
    let asked = async {
        let armed_epoch = stock.state(event.id()).await.ok()?.map(|epoch| epoch.0);
        let mut left = HashMap::new();
        for category in &event.categories {
            left.extend(stock.counts(event.id(), &category.name).await.ok()?);
        }
        Some(Store { armed_epoch, left })
    };
    tokio::time::timeout(EXTRAS_DEADLINE, asked)
        .await
        .ok()
        .flatten()
}

/// Commands that wait, by partition; a partition whose lag is not known is absent.
async fn lag(admin: &Admin, event: &EventEntry) -> HashMap<i32, i64> {
    let (group, topics) = (
        admin.parts.prefix.group("processor"),
        [event.topic().to_owned()],
    );
    let asked = admin.parts.kafka.lag(&group, &topics);
    let Ok(Ok(lags)) = tokio::time::timeout(EXTRAS_DEADLINE, asked).await else {
        return HashMap::new();
    };
    lags.into_iter()
        .filter_map(|lag| Some((lag.partition, waiting(&lag)?)))
        .collect()
}
