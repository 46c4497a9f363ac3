//! The load generator: many keep-alive connections that send requests as fast as answers come ([`closed`]) or at a fixed rate
//! ([`steady`]), and count what comes back. It knows HTTP/1 and time; it does not know what a request means.
//!
//! It runs on threads and event loops of its own, one per core, so that neither the suite nor a reader of facts stands in
//! its way, and so that its CPU time can be told apart. A connection is one task that polls socket and requests together:
//! nothing is handed from task to task.

mod connection;
mod orders;
mod outcome;
mod schedule;
mod target;
mod threads;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use hyper::header::LOCATION;
use hyper::{HeaderMap, StatusCode};
use ticket_core::OrderRef;

pub use orders::{Buyers, Orders};
pub use outcome::Outcome;
use schedule::Pace;
pub use target::Target;
use threads::Run;

/// A request with its whole body.
pub type Request = hyper::Request<http_body_util::Full<Bytes>>;

/// What is sent, and who looks at the answers. Both are called on the generator's threads for every single request, so they
/// must be quick and never block.
pub trait Script: Send + Sync + 'static {
    /// The next request; it carries a `Host`.
    fn request(&self) -> Request;

    /// Sees an answer that was read to its end.
    fn answered(&self, _answer: &Answer) {}
}

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// When its request was to be sent: in a steady load by the plan, whether or not a connection was free then.
    pub due: Instant,
    /// When its last byte was here.
    pub at: Instant,
}

impl Answer {
    /// The order that a 202 tells of: `/v1/orders/{id}` in `Location`, which is cheaper than to read the body.
    #[must_use]
    pub fn order(&self) -> Option<OrderRef> {
        let location = self.headers.get(LOCATION)?.to_str().ok()?;
        location.rsplit('/').next()?.parse().ok()
    }
}

/// Each of `connections` sends its next request as soon as it has its answer, for as long as it `lasts`.
///
/// # Errors
/// No connection, one that broke off, or an answer that did not come: a load that was not carried out has no rate.
///
/// # Cancel safety
/// A load whose future is dropped goes on to its end.
pub async fn closed<S: Script>(
    target: &Target,
    connections: u32,
    lasts: Duration,
    script: &Arc<S>,
) -> anyhow::Result<Outcome> {
    let pace = Pace::AsFastAsAnswered;
    Run::new(target, connections, lasts, pace, script)
        .carry_out()
        .await
}

/// `per_second` requests in each second for as long as it `lasts`, on whichever of `connections` is free. When none is free,
/// requests wait and their latency counts from when they were due (no coordinated omission). Requests that are due together
/// within the timer's resolution of 1 ms leave together.
///
/// # Errors
/// As [`closed`].
///
/// # Cancel safety
/// As [`closed`].
pub async fn steady<S: Script>(
    target: &Target,
    connections: u32,
    per_second: u32,
    lasts: Duration,
    script: &Arc<S>,
) -> anyhow::Result<Outcome> {
    let pace = Pace::Steady { per_second };
    Run::new(target, connections, lasts, pace, script)
        .carry_out()
        .await
}
