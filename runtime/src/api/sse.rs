//! `GET /v1/orders/{id}/events`: one `state` event per change, with the order as data; ends at a final state.
//! An event's id is the version of the order, the same for every listener. How many streams are open is limited.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use ticket_core::{OrderRecord, OrderRef};
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::Api;
use super::buyer::Buyer;
use super::document::OrderProblems;
use super::order_view::OrderView;
use super::streams::OpenStream;
use super::turns::Turn;
use super::waiters::Waiter;
use crate::catalog::ShardEntry;
use crate::path::PathPart;
use crate::problem::Problem;

/// Events that a slow listener may be behind before we wait for it.
const LISTENER_EVENTS_MAX: usize = 4;

/// A line now and then, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Streams the order's states.
#[utoipa::path(get, path = "/v1/orders/{id}/events", tag = "orders", operation_id = "followOrder",
    summary = "The order's states as they change",
    params(
        ("id" = String, Path, description = "The order.", pattern = "^ord_[0-9a-f]{46}$"),
        ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event that was seen."),
    ),
    security(("buyer" = [])),
    responses(
        (status = 200, description = "Server-sent events: `event: state`, `id`, and the order as `data`. Ends at a final state.",
            body = StateEvent, content_type = "text/event-stream"),
        OrderProblems,
    ))]
pub(crate) async fn follow(
    State(api): State<Arc<Api>>,
    _turn: Turn,
    PathPart(id): PathPart,
    Buyer(buyer): Buyer,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    let id: OrderRef = id.parse().map_err(|_| Problem::not_found("this order"))?;
    let shard = api
        .shard(id.shard)
        .map_err(|_| Problem::not_found("this order"))?;
    // Listen first, read second: a change between the two is seen twice and dropped by its version.
    let open = api.streams.open(&buyer)?;
    let waiter = api.waiters.subscribe(id.order);
    let first = api.order_of(id, &shard, &buyer).await?;
    let record = api.reads.get(id).await?;
    let seen = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok());
    let seen = seen.and_then(event_version);

    let (events, mut sent) = mpsc::channel(LISTENER_EVENTS_MAX);
    let listener = Listener {
        api,
        id,
        shard,
        events,
        _open: open,
    };
    tokio::spawn(listener.run(waiter, first, record, seen));
    let stream = futures::stream::poll_fn(move |context| sent.poll_recv(context));
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// The fields of an event on the stream.
#[derive(ToSchema)]
#[expect(dead_code, reason = "says how an event looks")]
struct StateEvent {
    /// The same for every listener; grows with each change of the order.
    id: String,
    /// `state`.
    #[schema(pattern = "^state$")]
    event: String,
    /// The order as JSON.
    #[schema(content_media_type = "application/json")]
    data: String,
}

struct Listener {
    api: Arc<Api>,
    id: OrderRef,
    shard: ShardEntry,
    events: mpsc::Sender<Result<Event, Infallible>>,
    _open: OpenStream,
}

/// The version that an id of ours spells.
fn event_version(id: &str) -> Option<i64> {
    let version = id.parse::<i64>().ok()?;
    (version.to_string() == id).then_some(version)
}

impl Listener {
    /// Ends when the order is final, the listener is gone, or the process stops.
    async fn run(
        self,
        mut waiter: Waiter,
        first: OrderView,
        record: Option<OrderRecord>,
        seen: Option<i64>,
    ) {
        // Version 0 is `queued`, before the ledger has the order.
        let mut version = -1;
        let newest = record.as_ref().map_or(0, |record| record.version);
        // An id that we never gave out starts from the beginning.
        if let Some(seen) = seen.filter(|seen| (0..=newest).contains(seen)) {
            version = seen;
        }
        match record {
            None if version < 0 => {
                version = 0;
                if self.send(0, &first).await.is_err() {
                    return;
                }
            }
            None => {}
            Some(record) => {
                let is_over = self.tell(&mut version, record).await;
                if is_over {
                    return;
                }
            }
        }
        let stop = self.api.stop.clone();
        loop {
            let fact = tokio::select! {
                () = stop.cancelled() => return,
                () = self.events.closed() => return,
                fact = waiter.next() => fact,
            };
            // Some facts were missed: the ledger has the newest.
            let fact = match fact {
                Some(fact) => Some(fact),
                None => self.api.reads.get(self.id).await.ok().flatten(),
            };
            if let Some(fact) = fact
                && self.tell(&mut version, fact).await
            {
                return;
            }
        }
    }

    /// Sends `record` if it is news. True when the stream is at its end.
    async fn tell(&self, version: &mut i64, record: OrderRecord) -> bool {
        let is_final = record.state.is_final();
        let (new, is_news) = (record.version, record.version > *version);
        if is_news {
            *version = new;
            let view = OrderView::decided(self.id, record, &self.shard);
            if self.send(new, &view).await.is_err() {
                return true;
            }
        }
        is_final
    }

    async fn send(&self, version: i64, view: &OrderView) -> Result<(), ()> {
        let event = Event::default().event("state").id(version.to_string());
        let event = event.json_data(view).map_err(|_| ())?;
        self.events.send(Ok(event)).await.map_err(|_| ())
    }
}
