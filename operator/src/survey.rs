//! Drift without watch events: Kafka, Redis and the ledger tell nobody when somebody changes something behind our back. So every
//! few seconds a survey reads what there is of all Events, in a handful of calls however many there are, and whatever is not as
//! it was a survey ago is looked at. A thousand idle Events cost these calls, and not a few for each.
//!
//! It finds out that something has changed, not what is wanted: that stays with the look. A change that is the operator's own
//! costs one look more, which finds nothing to do.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use kube::runtime::reflector::{ObjectRef, Store};
use ticket_core::{Epoch, EventId, EventName};
use ticket_ledger::{EventMark, StockMark};
use ticket_stock::StockError;
use ticket_telemetry::chain;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::apply::RETENTION;
use crate::context::Context;
use crate::reconcile::Guarded;

/// Between two surveys. While a sale is on this is also how often its stock is reported. A topic that vanished is seen within
/// this, and is back long before the 60 s that are promised.
const SURVEY_EVERY: Duration = Duration::from_secs(5);

/// How long the first survey may keep the first looks waiting. Without its result every Event is looked at twice.
const FIRST_WITHIN: Duration = Duration::from_secs(3);

/// Surveys at most until the settings of every topic were asked for once. An answer has all settings of a topic, which is by
/// far the most expensive thing to ask for, so many topics take turns.
const SETTINGS_ROUNDS_MAX: usize = 6;

/// Topics whose settings one call asks for, and a survey if that is often enough.
const SETTINGS_TOPICS: usize = 200;

/// Questions to the store that are under way at the same time: a part of what its connection pipelines.
const QUESTIONS_AT_ONCE_MAX: usize = 64;

/// Surveys in a row that a server leaves without an answer until every Event is looked at, and says so. One may be a server
/// that was just restarted.
const SILENT_SURVEYS_MAX: u32 = 2;

/// Events that wait for their look; a survey that finds more waits itself.
const FOUND_MAX: usize = 64;

/// What a server says of one Event.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said<T> {
    /// It does not answer.
    Silent,
    /// There is nothing.
    Absent,
    Is(T),
}

/// What one server says of all Events.
#[derive(Debug)]
struct Answers<K, V> {
    last: Option<HashMap<K, V>>,
    silent_surveys: u32,
    /// The last survey was the one that gave it up.
    has_fallen_silent: bool,
}

impl<K, V> Default for Answers<K, V> {
    fn default() -> Self {
        Self {
            last: None,
            silent_surveys: 0,
            has_fallen_silent: false,
        }
    }
}

impl<K: Eq + Hash, V: Clone> Answers<K, V> {
    fn take<E: std::error::Error + 'static>(
        &mut self,
        server: &'static str,
        answer: Result<HashMap<K, V>, E>,
    ) {
        self.has_fallen_silent = false;
        let error = match answer {
            Ok(said) => {
                if self.silent_surveys >= SILENT_SURVEYS_MAX {
                    info!(server, "answers surveys again");
                }
                self.silent_surveys = 0;
                self.last = Some(said);
                return;
            }
            Err(error) => error,
        };
        self.silent_surveys = self.silent_surveys.saturating_add(1);
        debug!(server, error = %chain(&error), "not surveyed");
        if self.silent_surveys == SILENT_SURVEYS_MAX {
            warn!(server, error = %chain(&error), "does not answer surveys, looking at every event");
            self.last = None;
            self.has_fallen_silent = true;
        }
    }

    fn of(&self, key: &K) -> Said<V> {
        match &self.last {
            None => Said::Silent,
            Some(said) => said.get(key).cloned().map_or(Said::Absent, Said::Is),
        }
    }
}

/// What the ledger says of an Event: change number, stock, and what its last audit found.
type Books = (i64, StockMark, Option<Vec<String>>);

/// All that is compared of one Event.
#[derive(Debug, Clone)]
struct Mark {
    books: Said<Books>,
    armed: Said<Epoch>,
    topic: Said<(u32, u16)>,
    /// `None`: it was not its turn yet.
    retention: Option<String>,
}

impl Mark {
    fn is_as(&self, before: &Self) -> bool {
        let is_turn_new = before.retention.is_none();
        self.books == before.books
            && self.armed == before.armed
            && self.topic == before.topic
            && (is_turn_new || self.retention == before.retention)
    }
}

/// What the surveys so far have found.
#[derive(Default)]
pub(crate) struct Survey {
    /// Events of the ledger, as it last named them.
    known: Vec<EventMark>,
    books: Answers<EventId, Books>,
    armed: Answers<EventId, Epoch>,
    topics: Answers<String, (u32, u16)>,
    /// Renewed part by part.
    retentions: HashMap<String, String>,
    settings_round: usize,
    marks: HashMap<EventName, Mark>,
}

impl Survey {
    /// The survey that all others are compared with. Taken before the first look at anything, so that nothing that changes
    /// after such a look is missed.
    pub(crate) async fn first(context: &Context) -> Self {
        let mut survey = Self::default();
        if tokio::time::timeout(FIRST_WITHIN, survey.look(context))
            .await
            .is_err()
        {
            warn!("the first survey took too long, every event will be looked at twice");
        }
        survey
    }

    /// Asks all servers, and answers with the Events that are not as they were.
    async fn look(&mut self, context: &Context) -> Vec<EventName> {
        let marks = context.ledger.event_marks().await;
        let of_event = |mark: &EventMark| {
            let audited = mark.failed_checks.clone();
            (mark.event, (mark.change, mark.stock, audited))
        };
        if let Ok(marks) = &marks {
            self.known.clone_from(marks);
        }
        let books = marks.map(|marks| marks.iter().map(of_event).collect());
        self.books.take("ledger", books);
        let (armed, topics) = tokio::join!(armed(context, &self.known), context.bus.all_topics());
        self.armed.take("redis", armed);
        self.topics.take("kafka", topics);
        self.renew_retentions(context).await;
        self.compare()
    }

    /// Whether a server has just been given up: that concerns every Event, also those that no survey has met.
    fn is_anyone_lost(&self) -> bool {
        self.books.has_fallen_silent
            || self.armed.has_fallen_silent
            || self.topics.has_fallen_silent
    }

    /// Of a part of the topics, another one each time.
    async fn renew_retentions(&mut self, context: &Context) {
        let is_there = |topic: &String| matches!(self.topics.of(topic), Said::Is(_));
        let topics = self.known.iter().map(|mark| &mark.topic);
        let mut topics: Vec<String> = topics.filter(|topic| is_there(topic)).cloned().collect();
        topics.sort_unstable();
        let rounds = topics.len().div_ceil(SETTINGS_TOPICS);
        let rounds = rounds.clamp(1, SETTINGS_ROUNDS_MAX);
        self.settings_round = (self.settings_round + 1) % rounds;
        let turn = topics.iter().skip(self.settings_round).step_by(rounds);
        let turn: Vec<&str> = turn.map(String::as_str).collect();
        for part in turn.chunks(SETTINGS_TOPICS) {
            match context.bus.setting_of(part, RETENTION).await {
                Ok(found) => self.retentions.extend(found),
                Err(error) => {
                    debug!(error = %chain(&error), "settings of topics not surveyed");
                    return;
                }
            }
        }
    }

    fn compare(&mut self) -> Vec<EventName> {
        let mut marks = HashMap::with_capacity(self.known.len());
        let mut found = Vec::new();
        for known in &self.known {
            let mark = Mark {
                books: self.books.of(&known.event),
                armed: self.armed.of(&known.event),
                topic: self.topics.of(&known.topic),
                retention: self.retentions.get(&known.topic).cloned(),
            };
            // One that is new was looked at before this survey, and may have changed in between.
            let before = self.marks.get(&known.name);
            if before.is_none_or(|before| !mark.is_as(before)) {
                found.push(known.name.clone());
            }
            marks.insert(known.name.clone(), mark);
        }
        let is_gone = |name: &&EventName| !marks.contains_key(*name);
        found.extend(self.marks.keys().filter(is_gone).cloned());
        let topics: HashSet<&String> = self.known.iter().map(|known| &known.topic).collect();
        self.retentions.retain(|topic, _| topics.contains(topic));
        self.marks = marks;
        found
    }
}

/// What the store is armed with; a store that does not answer for one Event does not answer.
async fn armed(
    context: &Context,
    known: &[EventMark],
) -> Result<HashMap<EventId, Epoch>, StockError> {
    let events: Vec<EventId> = known.iter().map(|mark| mark.event).collect();
    stream::iter(events)
        .map(|event| async move { Ok((event, context.stock.state(event).await?)) })
        .buffer_unordered(QUESTIONS_AT_ONCE_MAX)
        .try_filter_map(|(event, armed)| async move { Ok(armed.map(|epoch| (event, epoch))) })
        .try_collect()
        .await
}

/// Where a survey sends what it finds, and where looks come from.
pub(crate) fn channel() -> (
    mpsc::Sender<ObjectRef<Guarded>>,
    mpsc::Receiver<ObjectRef<Guarded>>,
) {
    mpsc::channel(FOUND_MAX)
}

/// Surveys until `stop`.
pub(crate) async fn watch(
    mut survey: Survey,
    context: Arc<Context>,
    events: Store<Guarded>,
    found: mpsc::Sender<ObjectRef<Guarded>>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SURVEY_EVERY) => {}
        }
        let changed = tokio::select! {
            () = stop.cancelled() => return,
            changed = survey.look(&context) => changed,
        };
        let changed: Vec<ObjectRef<Guarded>> = if survey.is_anyone_lost() {
            let all = events.state();
            all.iter().map(|event| ObjectRef::from(&**event)).collect()
        } else {
            let named = changed
                .iter()
                .map(|name| ObjectRef::new(name.name()).within(name.namespace()));
            // Others' Events are in the ledger, too.
            named.filter(|event| events.get(event).is_some()).collect()
        };
        metrics::counter!("ticket_survey_changes_total")
            .increment(u64::try_from(changed.len()).unwrap_or(u64::MAX));
        for event in changed {
            debug!(%event, "changed, looking");
            if found.send(event).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(number: u128, change: i64) -> EventMark {
        let name = EventName::new("default", &format!("e{number}")).unwrap();
        EventMark {
            event: EventId(uuid::Uuid::from_u128(number)),
            topic: format!("orders.{name}"),
            name,
            change,
            stock: StockMark::default(),
            failed_checks: None,
        }
    }

    /// A survey of these events whose servers all answer.
    fn survey(survey: &mut Survey, events: &[EventMark], topics: &[&EventMark]) -> Vec<String> {
        survey.known = events.to_vec();
        let books = events
            .iter()
            .map(|it| (it.event, (it.change, it.stock, it.failed_checks.clone())));
        survey
            .books
            .take("ledger", Ok::<_, StockError>(books.collect()));
        let armed = events.iter().map(|it| (it.event, Epoch::FIRST));
        survey
            .armed
            .take("redis", Ok::<_, StockError>(armed.collect()));
        let topics = topics.iter().map(|it| (it.topic.clone(), (1, 1)));
        survey
            .topics
            .take("kafka", Ok::<_, StockError>(topics.collect()));
        names(survey)
    }

    fn names(survey: &mut Survey) -> Vec<String> {
        let mut names: Vec<_> = survey
            .compare()
            .iter()
            .map(|name| name.name().to_owned())
            .collect();
        names.sort();
        names
    }

    fn silence(survey: &mut Survey) -> Vec<String> {
        survey
            .armed
            .take("redis", Err(std::io::Error::other("gone")));
        names(survey)
    }

    #[test]
    fn only_what_has_changed_is_looked_at() {
        let (one, two) = (known(1, 1), known(2, 2));
        let mut state = Survey::default();
        let all = [one.clone(), two.clone()];
        // New ones may have changed since they were made.
        assert_eq!(survey(&mut state, &all, &[&one, &two]), ["e1", "e2"]);
        assert!(survey(&mut state, &all, &[&one, &two]).is_empty());
        // A topic vanished, and came back.
        assert_eq!(survey(&mut state, &all, &[&one]), ["e2"]);
        assert!(survey(&mut state, &all, &[&one]).is_empty());
        assert_eq!(survey(&mut state, &all, &[&one, &two]), ["e2"]);
        // Somebody wrote a row, and removed one.
        let written = [known(1, 3), two.clone()];
        assert_eq!(survey(&mut state, &written, &[&one, &two]), ["e1"]);
        assert_eq!(survey(&mut state, &written[..1], &[&one, &two]), ["e2"]);
    }

    #[test]
    fn retention_counts_from_its_second_turn_on() {
        let one = known(1, 1);
        let mut state = Survey::default();
        let all = std::slice::from_ref(&one);
        survey(&mut state, all, &[&one]);
        let set = |state: &mut Survey, value: &str| {
            state.retentions.insert(one.topic.clone(), value.to_owned());
            survey(state, all, &[&one])
        };
        assert!(set(&mut state, "1").is_empty());
        assert!(set(&mut state, "1").is_empty());
        assert_eq!(set(&mut state, "2"), ["e1"]);
    }

    #[test]
    fn a_server_that_stays_silent_and_one_that_is_back_concern_every_event() {
        let one = known(1, 1);
        let mut state = Survey::default();
        let all = std::slice::from_ref(&one);
        survey(&mut state, all, &[&one]);
        assert!(silence(&mut state).is_empty(), "once is a restart");
        assert!(!state.is_anyone_lost());
        assert_eq!(silence(&mut state), ["e1"]);
        assert!(state.is_anyone_lost());
        assert!(silence(&mut state).is_empty(), "they know");
        assert_eq!(survey(&mut state, all, &[&one]), ["e1"]);
    }
}
