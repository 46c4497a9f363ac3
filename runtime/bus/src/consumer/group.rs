//! The thread of a group member: polls the group's events, starts and ends the tasks of its partitions, commits.
//!
//! Everything that blocks (draining inside the rebalance callback, the last commit, leaving the group) happens on this
//! thread or on a helper of its own, never on a worker of the async runtime.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientContext, Message, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::handler::BatchHandler;
use super::intake::{Gathering, Intake};
use super::monitor::StuckBatch;
use super::task::PartitionTask;
use super::{ABORT_DEADLINE, COMMIT_DEADLINE, ConsumerConfig};
use crate::context::{log_error, log_line};
use crate::error::BusError;
use crate::record::TopicPartition;

/// How long one poll for group events waits; also how soon a stop, a failure or a new list of topics is seen.
const POLL_WAIT: Duration = Duration::from_millis(50);

/// Between two commits of what was stored.
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);

/// An error that did not come for so long is news when it comes again.
const ERROR_FORGOTTEN_AFTER: Duration = Duration::from_mins(1);

/// The consumer of a group member.
pub(super) type GroupConsumer = BaseConsumer<GroupContext>;

/// Starts the task of a partition on its queue. Holds the user's factory, so that nothing else here is generic.
type StartTask = Box<
    dyn Fn(Arc<GroupConsumer>, PartitionQueue<GroupContext>, TopicPartition) -> RunningTask
        + Send
        + Sync,
>;

/// What tasks tell the thread.
#[derive(Default)]
pub(super) struct Signals {
    has_stored: AtomicBool,
    failure: Mutex<Option<BusError>>,
}

impl Signals {
    /// An offset waits to be committed.
    pub(super) fn stored(&self) {
        self.has_stored.store(true, Ordering::Release);
    }

    /// The process must end. The first reason counts.
    pub(super) fn fail(&self, error: BusError) {
        self.lock_failure().get_or_insert(error);
    }

    fn take_stored(&self) -> bool {
        self.has_stored.swap(false, Ordering::AcqRel)
    }

    fn take_failure(&self) -> Option<BusError> {
        self.lock_failure().take()
    }

    fn lock_failure(&self) -> MutexGuard<'_, Option<BusError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task as the thread sees it.
struct RunningTask {
    stop: CancellationToken,
    abort: AbortHandle,
    /// Disconnected when the task is gone, its queue and its share of the consumer included.
    gone: mpsc::Receiver<Infallible>,
}

/// Receives librdkafka's callbacks. They run on the member's thread, inside its polls.
pub(super) struct GroupContext {
    group: Arc<str>,
    drain_deadline: Duration,
    start: StartTask,
    /// Set right after the consumer is made; weak, because the consumer owns this context.
    consumer: OnceLock<Weak<GroupConsumer>>,
    tasks: Mutex<HashMap<TopicPartition, RunningTask>>,
    signals: Arc<Signals>,
}

/// A member before and while it runs.
pub(super) struct Member {
    config: ConsumerConfig,
    consumer: Arc<GroupConsumer>,
    stop: CancellationToken,
}

impl Member {
    /// Makes the client; joins nothing yet. Must be called on the async runtime that the tasks shall run on.
    pub(super) fn new<F, H>(
        config: ConsumerConfig,
        factory: F,
        stop: CancellationToken,
    ) -> Result<Self, BusError>
    where
        F: Fn(TopicPartition) -> H + Send + Sync + 'static,
        H: BatchHandler,
    {
        let signals = Arc::new(Signals::default());
        let context = GroupContext {
            group: Arc::from(config.group.as_str()),
            drain_deadline: config.drain_deadline,
            start: starter(&config, factory, Arc::clone(&signals)),
            consumer: OnceLock::new(),
            tasks: Mutex::default(),
            signals,
        };
        let consumer: GroupConsumer =
            config
                .client()
                .create_with_context(context)
                .map_err(|cause| BusError::Setup {
                    what: "consumer",
                    cause,
                })?;
        let consumer = Arc::new(consumer);
        // Nothing was polled yet, so no callback can have missed it; set once.
        consumer
            .context()
            .consumer
            .get_or_init(|| Arc::downgrade(&consumer));
        Ok(Self {
            config,
            consumer,
            stop,
        })
    }

    /// Works until it is told to stop or must; then drains and commits, tells how it ended, and leaves the group. Blocks.
    pub(super) fn run(mut self, ended: oneshot::Sender<Result<(), BusError>>) {
        let outcome = self.poll_until_stopped();
        let context = Arc::clone(self.consumer.context());
        context.end_all_tasks();
        context.commit_now("leaving");
        self.config.monitor.stopped();
        let outcome = outcome.and_then(|()| context.signals.take_failure().map_or(Ok(()), Err));
        drop(context);
        // Nobody listens if the caller is gone; the group is left in order all the same.
        drop(ended.send(outcome));
        // Dropping the consumer leaves the group. It must happen here: a worker of the runtime may not wait for it.
        if let Ok(consumer) = Arc::try_unwrap(self.consumer) {
            drop(consumer);
        } else {
            warn!(
                group = self.config.group,
                "the consumer is still in use, the group is left later"
            );
        }
    }

    fn poll_until_stopped(&mut self) -> Result<(), BusError> {
        let mut subscribed = Vec::new();
        let mut committed_at = Instant::now();
        let mut failing = None;
        let mut stuck = None;
        while !self.stop.is_cancelled() {
            self.watch(&mut stuck);
            self.subscribe(&mut subscribed)?;
            match self.consumer.poll(POLL_WAIT) {
                None => {}
                Some(Ok(message)) => {
                    let at = TopicPartition::new(message.topic(), message.partition());
                    return Err(BusError::Stray {
                        at,
                        offset: message.offset(),
                    });
                }
                Some(Err(cause @ KafkaError::MessageConsumptionFatal(_))) => {
                    return Err(BusError::Fatal { cause });
                }
                Some(Err(cause)) => note(&self.config.group, cause, &mut failing),
            }
            let context = self.consumer.context();
            context.find_ended_tasks();
            if let Some(error) = context.signals.take_failure() {
                return Err(error);
            }
            if committed_at.elapsed() >= COMMIT_INTERVAL && context.signals.take_stored() {
                self.commit_soon();
                committed_at = Instant::now();
            }
        }
        Ok(())
    }

    /// Reports a batch that runs too long, once.
    fn watch(&self, known: &mut Option<(TopicPartition, i64)>) {
        let monitor = &self.config.monitor;
        monitor.polled(self.config.stuck_after);
        let stuck = monitor.stuck(self.config.stuck_after);
        let key = stuck.as_ref().map(StuckBatch::key);
        if let Some(stuck) = stuck
            && key != *known
        {
            metrics::counter!("ticket_bus_stuck_batches_total", "group" => self.config.group.clone())
                .increment(1);
            warn!(group = self.config.group, %stuck, "a batch makes no progress");
        }
        *known = key;
    }

    /// Follows the list of topics.
    fn subscribe(&mut self, subscribed: &mut Vec<String>) -> Result<(), BusError> {
        let mut wanted = self.config.topics.borrow_and_update().clone();
        wanted.sort_unstable();
        wanted.dedup();
        if wanted == *subscribed {
            return Ok(());
        }
        info!(
            group = self.config.group,
            topics = wanted.len(),
            "topics of the group change"
        );
        if wanted.is_empty() {
            self.consumer.unsubscribe();
        } else {
            let names: Vec<&str> = wanted.iter().map(String::as_str).collect();
            let group = &self.config.group;
            let failed = |cause| BusError::Subscribe {
                group: group.clone(),
                cause,
            };
            self.consumer.subscribe(&names).map_err(failed)?;
        }
        *subscribed = wanted;
        Ok(())
    }

    /// Sends what is stored; the answer comes to [`GroupContext::commit_callback`].
    fn commit_soon(&self) {
        match self.consumer.commit_consumer_state(CommitMode::Async) {
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => {
                // Kept for the next time.
                self.consumer.context().signals.stored();
                self.consumer.context().count_commit_failure(&error);
            }
        }
    }
}

/// Boxes everything that a new task needs.
fn starter<F, H>(config: &ConsumerConfig, factory: F, signals: Arc<Signals>) -> StartTask
where
    F: Fn(TopicPartition) -> H + Send + Sync + 'static,
    H: BatchHandler,
{
    let runtime = Handle::current();
    let group: Arc<str> = Arc::from(config.group.as_str());
    let monitor = config.monitor.clone();
    let gathering = Gathering {
        max_batch: config.max_batch,
        enough: config.gather_enough,
        wait: config.gather_wait,
    };
    Box::new(move |consumer, queue, at| {
        let stop = CancellationToken::new();
        let task = PartitionTask {
            at: at.clone(),
            group: Arc::clone(&group),
            consumer,
            signals: Arc::clone(&signals),
            monitor: monitor.clone(),
            stop: stop.clone(),
        };
        let _on_runtime = runtime.enter();
        monitor.assigned(&at);
        let intake = Intake::new(at.clone(), queue, gathering);
        let handler = factory(at);
        let (here, gone) = mpsc::channel::<Infallible>();
        let running = runtime.spawn(async move {
            // Dropped last, also when the task is broken off: whoever waits for it knows that all else is gone.
            let _here = here;
            task.run(intake, handler).await;
        });
        RunningTask {
            stop,
            abort: running.abort_handle(),
            gone,
        }
    })
}

/// Logs an error of the group once; librdkafka goes on trying by itself.
fn note(group: &str, error: KafkaError, failing: &mut Option<(KafkaError, Instant)>) {
    let is_known = |(known, last): &(KafkaError, Instant)| {
        *known == error && last.elapsed() < ERROR_FORGOTTEN_AFTER
    };
    if !failing.as_ref().is_some_and(is_known) {
        warn!(group, %error, "group member meets an error, trying again");
    }
    *failing = Some((error, Instant::now()));
}

impl GroupContext {
    fn start_tasks(&self, partitions: &TopicPartitionList) {
        let Some(consumer) = self.consumer.get().and_then(Weak::upgrade) else {
            return;
        };
        for element in partitions.elements() {
            let at = TopicPartition::new(element.topic(), element.partition());
            // Split here and not later: what is fetched before comes out of the common queue.
            let Some(queue) = consumer.split_partition_queue(element.topic(), element.partition())
            else {
                self.signals.fail(BusError::Queue { at });
                continue;
            };
            info!(group = &*self.group, %at, "partition assigned");
            let task = (self.start)(Arc::clone(&consumer), queue, at.clone());
            self.lock_tasks().insert(at, task);
        }
    }

    fn end_tasks(&self, partitions: &TopicPartitionList) {
        let mut tasks = self.lock_tasks();
        let ending = partitions.elements().into_iter().filter_map(|element| {
            tasks.remove_entry(&TopicPartition::new(element.topic(), element.partition()))
        });
        let ending: Vec<_> = ending.collect();
        drop(tasks);
        self.drain(ending);
    }

    fn end_all_tasks(&self) {
        let ending = self.lock_tasks().drain().collect();
        self.drain(ending);
    }

    /// Lets running batches end, breaks off what is late, and returns when all tasks are gone.
    fn drain(&self, ending: Vec<(TopicPartition, RunningTask)>) {
        for (_, task) in &ending {
            task.stop.cancel();
        }
        let until = Instant::now() + self.drain_deadline;
        let late: Vec<_> = ending
            .into_iter()
            .filter(|(_, task)| !is_gone_by(task, until))
            .collect();
        for (at, task) in &late {
            warn!(group = &*self.group, %at, "batch did not end in time, broken off");
            metrics::counter!("ticket_bus_drain_timeouts_total", "group" => self.group.to_string())
                .increment(1);
            task.abort.abort();
        }
        let until = Instant::now() + ABORT_DEADLINE;
        for (at, task) in late {
            if !is_gone_by(&task, until) {
                error!(group = &*self.group, %at, "batch cannot be broken off, this process must end");
                self.signals.fail(BusError::TaskStuck { at });
            }
        }
    }

    /// A task ends by itself only if it panicked or left a failure in the signals.
    fn find_ended_tasks(&self) {
        let mut tasks = self.lock_tasks();
        let ended: Vec<_> = tasks
            .iter()
            .filter(|(_, task)| task.abort.is_finished())
            .map(|(at, _)| at.clone())
            .collect();
        for at in ended {
            tasks.remove(&at);
            self.signals.fail(BusError::TaskEnded { at });
        }
    }

    /// Commits what is stored and waits for the answer, at most [`COMMIT_DEADLINE`]. Without an answer the next owner
    /// repeats what was not committed.
    fn commit_now(&self, why: &'static str) {
        let Some(consumer) = self.consumer.get().and_then(Weak::upgrade) else {
            return;
        };
        let (answered, answer) = mpsc::channel();
        // librdkafka gives this call no deadline of its own.
        let committing = std::thread::Builder::new()
            .name("bus-commit".to_owned())
            .spawn(move || {
                let result = consumer.commit_consumer_state(CommitMode::Sync);
                drop(consumer);
                // Nobody listens any more after the deadline.
                drop(answered.send(result));
            });
        if let Err(error) = committing {
            warn!(group = &*self.group, %error, why, "no thread for the last commit");
            return;
        }
        match answer.recv_timeout(COMMIT_DEADLINE) {
            Ok(Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset))) => {}
            Ok(Err(error)) => {
                self.count_commit_failure(&error);
                warn!(group = &*self.group, %error, why, "last commit refused, others will repeat");
            }
            Err(_) => {
                warn!(
                    group = &*self.group,
                    why, "last commit got no answer, others may repeat"
                );
            }
        }
    }

    fn count_commit_failure(&self, error: &KafkaError) {
        info!(group = &*self.group, %error, "offsets not committed");
        metrics::counter!("ticket_bus_commit_failures_total", "group" => self.group.to_string())
            .increment(1);
    }

    fn count_rebalance(&self, kind: &'static str) {
        metrics::counter!("ticket_bus_rebalances_total", "group" => self.group.to_string(), "kind" => kind)
            .increment(1);
    }

    fn lock_tasks(&self) -> MutexGuard<'_, HashMap<TopicPartition, RunningTask>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_gone_by(task: &RunningTask, until: Instant) -> bool {
    let left = until.saturating_duration_since(Instant::now());
    match task.gone.recv_timeout(left) {
        Err(RecvTimeoutError::Disconnected) => true,
        Err(RecvTimeoutError::Timeout) => false,
        Ok(never) => match never {},
    }
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        log_line(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ConsumerContext for GroupContext {
    fn pre_rebalance(&self, consumer: &GroupConsumer, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                self.count_rebalance("assign");
                self.start_tasks(partitions);
            }
            Rebalance::Revoke(partitions) if consumer.assignment_lost() => {
                self.count_rebalance("lost");
                warn!(
                    group = &*self.group,
                    partitions = partitions.count(),
                    "partitions lost"
                );
                self.end_tasks(partitions);
            }
            Rebalance::Revoke(partitions) => {
                self.count_rebalance("revoke");
                info!(
                    group = &*self.group,
                    partitions = partitions.count(),
                    "partitions given away"
                );
                self.end_tasks(partitions);
                if partitions.count() > 0 {
                    self.commit_now("given away");
                }
            }
            Rebalance::Error(error) => {
                warn!(group = &*self.group, %error, "rebalance failed");
            }
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        match result {
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => {
                // What is stored stays stored, so the next commit carries it.
                self.signals.stored();
                self.count_commit_failure(&error);
            }
        }
    }
}
