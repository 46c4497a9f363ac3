//! The background tasks: they ask the admin API for what is wanted, carry commands out, and put what comes into the mailbox.
//! They have a thread and a runtime of their own, so that whatever blocks there (a name look-up, a program that fetches
//! credentials, a large answer) is never felt at the keys.

mod rebalances;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use ticket_admin::{LockRequest, OrdersQuery, StockStream, UnlockRequest};
use ticket_core::clock;

use super::action::Deed;
use super::mailbox::Mailbox;
use super::reading::{Answer, Command, Outcome, Reading, Target, Topic, Trouble};
use super::wanted::{Ask, Wanted};
use crate::clients::Clients;
use crate::exit::{Exit, Failure};
use crate::rebalance::wish::Wish;

/// Longest wait for the answer to a question that is asked again and again. A person sees the age of the numbers meanwhile.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait for the end of a command: a warm-up waits for the markers of every partition.
const COMMAND_TIMEOUT: Duration = Duration::from_mins(2);

/// First wait after a failure. It doubles up to [`RETRY_WAIT_MAX`].
const RETRY_WAIT: Duration = Duration::from_millis(500);

/// Longest wait between two tries: a platform that comes back is seen within this time.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(8);

/// Time between two answers about something that moves.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// Time between two answers about what moves slowly or is large.
const POLL_SLOWLY_EVERY: Duration = Duration::from_secs(2);

/// Reason that a lock or a warm-up from here carries.
const REASON: &str = "ticketctl tui";

/// Starts the background tasks. They end when the senders are gone; whoever reads the mailbox sees it closed when they end for
/// any other reason.
pub(crate) fn start(
    clients: Clients,
    mailbox: Arc<Mailbox>,
    wanted: watch::Receiver<Wanted>,
    commands: mpsc::Receiver<Command>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Nobody waits for the thread: the process ends without it, also while it is stuck.
    std::thread::Builder::new()
        .name("feed".to_owned())
        .spawn(move || {
            let _closes = Closes(Arc::clone(&mailbox));
            runtime.block_on(Box::pin(supervise(clients, mailbox, wanted, commands)));
        })?;
    Ok(())
}

/// Closes the mailbox also when the thread panics.
struct Closes(Arc<Mailbox>);

impl Drop for Closes {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Keeps one task per question, and one per command.
async fn supervise(
    clients: Clients,
    mailbox: Arc<Mailbox>,
    mut wanted: watch::Receiver<Wanted>,
    mut commands: mpsc::Receiver<Command>,
) {
    let mut tasks = JoinSet::new();
    let mut asking: HashMap<Topic, (Ask, AbortHandle)> = HashMap::new();
    let mut round = 0;
    loop {
        let Wanted { asks, round: now } = wanted.borrow_and_update().clone();
        let is_new_round = std::mem::replace(&mut round, now) != now;
        asking.retain(|topic, (ask, task)| {
            let stays = !is_new_round && asks.contains(ask);
            if !stays {
                task.abort();
                // Unless it is the same question once more, its answer is about something that nobody looks at.
                if !asks.contains(ask) {
                    mailbox.forget(*topic);
                }
            }
            stays
        });
        for ask in asks {
            asking.entry(ask.topic()).or_insert_with(|| {
                let (clients, mailbox) = (clients.clone(), Arc::clone(&mailbox));
                let task = tasks.spawn(Box::pin(follow(clients, mailbox, ask.clone())));
                (ask, task)
            });
        }
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            command = commands.recv() => {
                let Some(command) = command else { return };
                let (clients, mailbox) = (clients.clone(), Arc::clone(&mailbox));
                tasks.spawn(Box::pin(async move {
                    let result = carry_out(&clients, &command).await;
                    mailbox.put_outcome(Outcome { command, result });
                }));
            }
            Some(ended) = tasks.join_next() => {
                // A task ends by itself only after a command; a panic must not leave a screen that stands still.
                if ended.is_err_and(|error| error.is_panic()) { return }
            }
        }
    }
}

/// Asks again and again.
async fn follow(clients: Clients, mailbox: Arc<Mailbox>, ask: Ask) {
    let topic = ask.topic();
    let put = |result| {
        mailbox.put(Reading {
            topic,
            at: clock::now(),
            result,
        });
    };
    let mut wait = RETRY_WAIT;
    loop {
        let ended = if let Ask::Stock { event } = &ask {
            stream(&clients, event, |answer| {
                wait = RETRY_WAIT;
                put(Ok(answer));
            })
            .await
        } else {
            within(ANSWER_TIMEOUT, answer(&clients, &ask))
                .await
                .map(|answer| {
                    wait = RETRY_WAIT;
                    put(Ok(answer));
                })
        };
        match ended {
            Ok(()) => sleep(every(topic)).await,
            Err(trouble) => {
                put(Err(trouble));
                sleep(wait).await;
                wait = (wait * 2).min(RETRY_WAIT_MAX);
            }
        }
    }
}

const fn every(topic: Topic) -> Duration {
    match topic {
        Topic::Stock | Topic::Warmup | Topic::Order | Topic::Lag | Topic::Rebalances => POLL_EVERY,
        Topic::Access | Topic::Events | Topic::Shards | Topic::Orders => POLL_SLOWLY_EVERY,
    }
}

async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Trouble> {
    match timeout(limit, answer).await {
        Ok(answer) => answer.map_err(Trouble::from),
        Err(_) => Err(Trouble {
            what: format!("no answer in {limit:?}"),
            next: None,
        }),
    }
}

async fn answer(clients: &Clients, ask: &Ask) -> Result<Answer, Failure> {
    let admin = || clients.admin();
    Ok(match ask {
        Ask::Access => Answer::Access(admin().await?.dependencies().await?),
        Ask::Events => Answer::Events(admin().await?.events().await?.items),
        Ask::Stock { event } => Answer::Stock(admin().await?.stock(event).await?),
        Ask::Shards => Answer::Shards(admin().await?.shards().await?),
        Ask::Warmup { event } => Answer::Warmup(admin().await?.warmup(event).await?),
        Ask::Orders {
            event,
            cursor,
            limit,
        } => {
            let query = OrdersQuery {
                limit: Some(*limit),
                cursor: cursor.clone(),
                ..OrdersQuery::default()
            };
            Answer::Orders(event.clone(), admin().await?.orders(event, &query).await?)
        }
        Ask::Order { id } => Answer::Order(Box::new(admin().await?.order(id).await?)),
        Ask::Lag => Answer::Lag(admin().await?.lag().await?.items),
        Ask::Rebalances => Answer::Rebalances(rebalances::all(clients).await?),
    })
}

/// Snapshots as they come, until the stream ends or breaks. `put` must not wait.
async fn stream(
    clients: &Clients,
    event: &str,
    mut put: impl FnMut(Answer),
) -> Result<(), Trouble> {
    let opened = within(ANSWER_TIMEOUT, async {
        Ok(clients.admin().await?.watch_stock(event).await?)
    });
    let mut stream: StockStream = opened.await?;
    loop {
        // Its own limit on silence is within.
        match stream.next().await {
            Ok(Some(stock)) => put(Answer::Stock(stock)),
            Ok(None) => return Ok(()),
            Err(error) => return Err(Failure::from(error).into()),
        }
    }
}

async fn carry_out(clients: &Clients, command: &Command) -> Result<String, Trouble> {
    within(COMMAND_TIMEOUT, done(clients, command)).await
}

async fn done(clients: &Clients, command: &Command) -> Result<String, Failure> {
    let target = &command.target;
    let reason = LockRequest {
        reason: Some(REASON.to_owned()),
    };
    let unlock = |force, event: &str| UnlockRequest {
        force,
        confirm: force.then(|| event.to_owned()),
    };
    Ok(match command.deed {
        Deed::RunWarmup => {
            let admin = clients.admin().await?;
            let epoch = admin.run_warmup(event(target)?, &reason).await?.epoch;
            format!("it sells at epoch {epoch}")
        }
        Deed::Lock => {
            let admin = clients.admin().await?;
            let epoch = admin.lock_warmup(event(target)?, &reason).await?.epoch;
            format!("the sale is held at epoch {epoch}")
        }
        Deed::Unlock => {
            let (admin, event) = (clients.admin().await?, event(target)?);
            admin.unlock_warmup(event, &unlock(false, event)).await?;
            "a keeper warms it up".to_owned()
        }
        Deed::BreakLock => {
            let (admin, event) = (clients.admin().await?, event(target)?);
            admin.unlock_warmup(event, &unlock(true, event)).await?;
            "the lock is gone, a keeper warms it up".to_owned()
        }
        Deed::Cancel => {
            clients.admin().await?.cancel_order(order(target)?).await?;
            "accepted; it is cancelled in a moment".to_owned()
        }
        Deed::Refund => {
            clients.admin().await?.refund_order(order(target)?).await?;
            "accepted; it is refunded in a moment".to_owned()
        }
        Deed::PlanBalance | Deed::PlanDrain | Deed::PlanPin => {
            rebalances::plan(clients, target).await?
        }
        Deed::Approve => rebalances::change(clients, Wish::Approve, target).await?,
        Deed::Stop => rebalances::change(clients, Wish::Stop, target).await?,
        Deed::Resume => rebalances::change(clients, Wish::Resume, target).await?,
    })
}

fn event(target: &Target) -> Result<&str, Failure> {
    if let Target::Event(event) = target {
        return Ok(event);
    }
    Err(not_named("event"))
}

fn order(target: &Target) -> Result<&str, Failure> {
    if let Target::Order { id, .. } = target {
        return Ok(id);
    }
    Err(not_named("order"))
}

/// A deed without what it is done to: a mistake of this program.
fn not_named(what: &str) -> Failure {
    Failure::new(Exit::Usage, anyhow::anyhow!("no {what} is named"))
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::ReaderGone => Self {
                what: "nobody reads".to_owned(),
                next: None,
            },
            Failure::Failed {
                code, cause, next, ..
            } => {
                let code = code.map(|code| format!(" [{code}]")).unwrap_or_default();
                // What and why; the layers between are for whoever runs `ticketctl doctor`.
                let (what, why) = (cause.to_string(), cause.root_cause().to_string());
                let why = if what.ends_with(&why) {
                    String::new()
                } else {
                    format!(": {why}")
                };
                Self {
                    what: format!("{what}{why}{code}"),
                    next,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
