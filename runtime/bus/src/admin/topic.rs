//! Topics: made, compared, grown, changed, deleted. Each call may be repeated.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AlterConfig, ConfigResource, ConfigSource, NewPartitions, NewTopic, OwnedResourceSpecifier,
    ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;

use super::{BusAdmin, READ_DEADLINE, blocking, missing, options};
use crate::error::BusError;

/// How long a topic that was just made may take until the brokers show it with a leader for each partition.
const VISIBLE_DEADLINE: Duration = Duration::from_secs(10);

/// Between two looks at a topic that was just made.
const VISIBLE_WAIT: Duration = Duration::from_millis(20);

/// How many copies of each partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// As the brokers' `default.replication.factor` says. Never a conflict.
    BrokerDefault,
    /// Exactly so many; a cluster with fewer brokers refuses it.
    Copies(u16),
}

/// A topic as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// At least 1.
    pub partitions: u32,
    /// Copies.
    pub replication: Replication,
    /// Topic settings (`retention.ms` ...); what is not named keeps the brokers' default.
    pub config: BTreeMap<String, String>,
}

impl TopicSpec {
    /// A topic with the brokers' default settings.
    #[must_use]
    pub fn new(name: impl Into<String>, partitions: u32, replication: Replication) -> Self {
        Self {
            name: name.into(),
            partitions,
            replication,
            config: BTreeMap::new(),
        }
    }

    /// With one more setting.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.insert(name.into(), value.into());
        self
    }

    /// What is there instead of what is wanted; `None` if the topic is as wanted.
    #[must_use]
    pub fn difference(&self, found: &TopicState) -> Option<String> {
        let mut differences = Vec::new();
        if self.partitions != found.partitions {
            differences.push(format!(
                "partitions {} instead of {}",
                found.partitions, self.partitions
            ));
        }
        if let Replication::Copies(copies) = self.replication
            && copies != found.replication
        {
            differences.push(format!(
                "replication {} instead of {copies}",
                found.replication
            ));
        }
        for (name, wanted) in &self.config {
            let there = found.config.get(name).map_or("nothing", String::as_str);
            if there != wanted {
                differences.push(format!("{name} {there} instead of {wanted}"));
            }
        }
        (!differences.is_empty()).then(|| differences.join(", "))
    }
}

/// A topic as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicState {
    /// Its name.
    pub name: String,
    /// Number of partitions.
    pub partitions: u32,
    /// Copies of the partition that has the fewest.
    pub replication: u16,
    /// All settings that hold, the brokers' defaults included.
    pub config: BTreeMap<String, String>,
    /// Those of them that were set on this topic.
    pub own_config: BTreeMap<String, String>,
}

/// What [`BusAdmin::create_topic`] met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It was made by this call.
    Fresh,
    /// It was there, as wanted.
    AlreadyThere,
}

impl BusAdmin {
    /// The topic as it is; `None` if there is none.
    pub async fn topic(&self, name: &str) -> Result<Option<TopicState>, BusError> {
        let Some((partitions, replication)) = self.shape(name).await? else {
            return Ok(None);
        };
        let Some(resource) = self.describe(name).await? else {
            return Ok(None);
        };
        let mut config = BTreeMap::new();
        let mut own_config = BTreeMap::new();
        for entry in resource.entries {
            let Some(value) = entry.value else { continue };
            if entry.source == ConfigSource::DynamicTopic {
                own_config.insert(entry.name.clone(), value.clone());
            }
            config.insert(entry.name, value);
        }
        Ok(Some(TopicState {
            name: name.to_owned(),
            partitions,
            replication,
            config,
            own_config,
        }))
    }

    /// Every topic of the cluster with its partitions and the copies of the one that has the fewest. One question for all.
    pub async fn all_topics(&self) -> Result<HashMap<String, (u32, u16)>, BusError> {
        let what = "metadata of all topics".to_owned();
        let reader = self.reader()?;
        blocking(what.clone(), move || {
            let found = reader
                .fetch_metadata(None, READ_DEADLINE)
                .map_err(|cause| BusError::Read { what, cause })?;
            let there = found
                .topics()
                .iter()
                .filter(|topic| topic.error().is_none() && !topic.partitions().is_empty());
            let shape = |topic: &MetadataTopic| {
                let copies = topic.partitions().iter().map(|part| part.replicas().len());
                let partitions = u32::try_from(topic.partitions().len()).unwrap_or(u32::MAX);
                let copies = u16::try_from(copies.min().unwrap_or(0)).unwrap_or(u16::MAX);
                (topic.name().to_owned(), (partitions, copies))
            };
            Ok(there.map(shape).collect())
        })
        .await
    }

    /// One setting of each of these topics, as it holds; topics that are not there are left out. One question for all.
    pub async fn setting_of(
        &self,
        topics: &[&str],
        setting: &str,
    ) -> Result<HashMap<String, String>, BusError> {
        if topics.is_empty() {
            return Ok(HashMap::new());
        }
        let failed = |cause| BusError::Read {
            what: format!("setting {setting} of {} topics", topics.len()),
            cause,
        };
        let options = options().request_timeout(Some(READ_DEADLINE));
        let asked: Vec<_> = topics
            .iter()
            .map(|name| ResourceSpecifier::Topic(name))
            .collect();
        let answers = self
            .admin()?
            .describe_configs(&asked, &options)
            .await
            .map_err(failed)?;
        let mut found = HashMap::with_capacity(topics.len());
        for answer in answers {
            let resource = match answer {
                Ok(resource) => resource,
                Err(RDKafkaErrorCode::UnknownTopicOrPartition) => continue,
                Err(code) => return Err(failed(KafkaError::AdminOp(code))),
            };
            let OwnedResourceSpecifier::Topic(name) = resource.specifier else {
                continue;
            };
            let mut entries = resource.entries.into_iter();
            let value = entries
                .find(|entry| entry.name == setting)
                .and_then(|it| it.value);
            found.extend(value.map(|value| (name, value)));
        }
        Ok(found)
    }

    /// Makes a topic and waits until it can be written. A topic that is there already is fine if it is as wanted.
    ///
    /// # Errors
    /// [`BusError::TopicConflict`] if it is there and differs: nothing is changed then.
    pub async fn create_topic(&self, spec: &TopicSpec) -> Result<Created, BusError> {
        match self.try_create(spec).await {
            Ok(()) => {
                self.visible(spec).await?;
                Ok(Created::Fresh)
            }
            Err(error) if is_code(&error, RDKafkaErrorCode::TopicAlreadyExists) => {
                let found = self.visible(spec).await?;
                match spec.difference(&found) {
                    None => Ok(Created::AlreadyThere),
                    Some(difference) => Err(BusError::TopicConflict {
                        topic: spec.name.clone(),
                        difference,
                    }),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Makes a topic if there is none, and returns it as it is, whatever its settings.
    pub async fn ensure_topic(&self, spec: &TopicSpec) -> Result<TopicState, BusError> {
        if let Some(found) = self.topic(&spec.name).await? {
            return Ok(found);
        }
        match self.try_create(spec).await {
            Ok(()) => {}
            Err(error) if is_code(&error, RDKafkaErrorCode::TopicAlreadyExists) => {}
            Err(error) => return Err(error),
        }
        self.visible(spec).await
    }

    /// Adds partitions. Only while nothing is sold: a new partition changes where keys go. Has `to` already: fine.
    ///
    /// # Errors
    /// [`BusError::TopicConflict`] if the topic has neither `from` nor `to` partitions.
    pub async fn grow_partitions(&self, name: &str, from: u32, to: u32) -> Result<(), BusError> {
        let there = self.partitions_of(name).await?;
        if there == to {
            return Ok(());
        }
        if there != from || to < from {
            let difference = format!("partitions {there}, to grow from {from} to {to}");
            return Err(BusError::TopicConflict {
                topic: name.to_owned(),
                difference,
            });
        }
        let failed = |cause| BusError::Admin {
            action: "grow",
            topic: name.to_owned(),
            cause,
        };
        let wanted = NewPartitions::new(name, to as usize);
        let answer = self
            .admin()?
            .create_partitions([&wanted], &options())
            .await
            .map_err(failed)?;
        self.forget(name);
        first_result(answer, failed)?;
        self.until_visible(name, |partitions| partitions == to)
            .await
    }

    /// Sets the named settings and keeps the others that were set before.
    pub async fn set_config(
        &self,
        name: &str,
        config: &BTreeMap<String, String>,
    ) -> Result<(), BusError> {
        let found = self.topic(name).await?.ok_or_else(|| missing(name))?;
        // The call sets what is not named back to its default, so everything that was set goes along.
        let mut all = found.own_config.clone();
        all.extend(config.clone());
        if all == found.own_config {
            return Ok(());
        }
        let failed = |cause| BusError::Admin {
            action: "configure",
            topic: name.to_owned(),
            cause,
        };
        let change = all.iter().fold(
            AlterConfig::new(ResourceSpecifier::Topic(name)),
            |change, (setting, value)| change.set(setting, value),
        );
        let answer = self
            .admin()?
            .alter_configs([&change], &options())
            .await
            .map_err(failed)?;
        match answer.into_iter().next() {
            Some(Ok(_)) => Ok(()),
            Some(Err((_, code))) => Err(failed(KafkaError::AdminOp(code))),
            None => Err(failed(KafkaError::Canceled)),
        }
    }

    /// Deletes a topic with all its records. `false` if there was none.
    pub async fn delete_topic(&self, name: &str) -> Result<bool, BusError> {
        let failed = |cause| BusError::Admin {
            action: "delete",
            topic: name.to_owned(),
            cause,
        };
        let answer = self
            .admin()?
            .delete_topics(&[name], &options())
            .await
            .map_err(failed)?;
        self.forget(name);
        match first_result(answer, failed) {
            Ok(()) => Ok(true),
            Err(error) if is_code(&error, RDKafkaErrorCode::UnknownTopicOrPartition) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn try_create(&self, spec: &TopicSpec) -> Result<(), BusError> {
        let failed = |cause| BusError::Admin {
            action: "create",
            topic: spec.name.clone(),
            cause,
        };
        let partitions = i32::try_from(spec.partitions)
            .map_err(|_| failed(KafkaError::AdminOp(RDKafkaErrorCode::InvalidPartitions)))?;
        let copies = match spec.replication {
            Replication::BrokerDefault => -1,
            Replication::Copies(copies) => i32::from(copies),
        };
        let topic = NewTopic::new(&spec.name, partitions, TopicReplication::Fixed(copies));
        let topic = spec
            .config
            .iter()
            .fold(topic, |topic, (name, value)| topic.set(name, value));
        let answer = self
            .admin()?
            .create_topics([&topic], &options())
            .await
            .map_err(failed)?;
        first_result(answer, failed)
    }

    /// The topic, as soon as it can be written.
    async fn visible(&self, spec: &TopicSpec) -> Result<TopicState, BusError> {
        self.until_visible(&spec.name, |_| true).await?;
        self.topic(&spec.name)
            .await?
            .ok_or_else(|| missing(&spec.name))
    }

    async fn until_visible(
        &self,
        name: &str,
        is_wanted: impl Fn(u32) -> bool,
    ) -> Result<(), BusError> {
        let began = Instant::now();
        loop {
            match self.shape(name).await {
                Ok(Some((partitions, _))) if is_wanted(partitions) => return Ok(()),
                Ok(_) | Err(BusError::Read { .. }) if began.elapsed() < VISIBLE_DEADLINE => {}
                Ok(_) => {
                    let action = format!("show topic {name} to its clients");
                    return Err(BusError::Deadline {
                        action,
                        after: VISIBLE_DEADLINE,
                    });
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(VISIBLE_WAIT).await;
        }
    }

    async fn describe(&self, name: &str) -> Result<Option<ConfigResource>, BusError> {
        let failed = |cause| BusError::Read {
            what: format!("settings of topic {name}"),
            cause,
        };
        let options = options().request_timeout(Some(READ_DEADLINE));
        let asked = [ResourceSpecifier::Topic(name)];
        let answer = self
            .admin()?
            .describe_configs(&asked, &options)
            .await
            .map_err(failed)?;
        match answer.into_iter().next() {
            Some(Ok(resource)) => Ok(Some(resource)),
            Some(Err(RDKafkaErrorCode::UnknownTopicOrPartition)) => Ok(None),
            Some(Err(code)) => Err(failed(KafkaError::AdminOp(code))),
            None => Err(failed(KafkaError::Canceled)),
        }
    }
}

/// The calls name one topic and get one answer.
fn first_result(
    answer: Vec<rdkafka::admin::TopicResult>,
    failed: impl Fn(KafkaError) -> BusError,
) -> Result<(), BusError> {
    match answer.into_iter().next() {
        Some(Ok(_)) => Ok(()),
        Some(Err((_, code))) => Err(failed(KafkaError::AdminOp(code))),
        None => Err(failed(KafkaError::Canceled)),
    }
}

fn is_code(error: &BusError, code: RDKafkaErrorCode) -> bool {
    matches!(error, BusError::Admin { cause: KafkaError::AdminOp(found), .. } if *found == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_what_is_there_and_what_is_wanted() {
        let found = TopicState {
            name: "t".to_owned(),
            partitions: 4,
            replication: 1,
            config: BTreeMap::from([("retention.ms".to_owned(), "1".to_owned())]),
            own_config: BTreeMap::new(),
        };
        let wanted = TopicSpec::new("t", 4, Replication::BrokerDefault).with("retention.ms", "1");
        assert_eq!(wanted.difference(&found), None);
        let wanted = TopicSpec::new("t", 2, Replication::Copies(3)).with("retention.ms", "2");
        let shown = wanted.difference(&found).unwrap();
        assert_eq!(
            shown,
            "partitions 4 instead of 2, replication 1 instead of 3, retention.ms 1 instead of 2"
        );
    }
}
