//! Where logs end, what groups committed, and the lag between the two.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::{BusAdmin, READ_DEADLINE, blocking};
use crate::config::BusConfig;
use crate::context::LogContext;
use crate::error::{BusError, code_of};
use crate::record::TopicPartition;

/// How long a partition may be without a leader that serves it before its end counts as unreadable.
const LEADER_DEADLINE: Duration = Duration::from_secs(2);

/// Between two questions to a partition whose leader does not serve it yet.
const LEADER_WAIT: Duration = Duration::from_millis(50);

/// How far a group is on one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionLag {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Offset of the next record that the group will handle; `None` if it never committed: unknown, not 0.
    pub committed: Option<i64>,
    /// Offset that the next record of the partition gets.
    pub end: i64,
}

impl PartitionLag {
    /// Records that wait; `None` if unknown. Never negative, although the two numbers are read one after the other.
    #[must_use]
    pub fn lag(&self) -> Option<i64> {
        self.committed
            .map(|committed| (self.end - committed).max(0))
    }
}

impl BusAdmin {
    /// For each partition of a topic, in order, the offset that its next record gets.
    pub async fn end_offsets(&self, topic: &str) -> Result<Vec<i64>, BusError> {
        let asked = self.list_of(&[topic.to_owned()]).await?;
        let ends = self.ends(asked).await?;
        Ok(ends.into_iter().map(|(_, end)| end).collect())
    }

    /// How far `group` is on every partition of `topics`, in the order of `topics` and partitions.
    ///
    /// # Errors
    /// [`BusError::TopicMissing`] if one of the topics is not there.
    pub async fn lag(&self, group: &str, topics: &[String]) -> Result<Vec<PartitionLag>, BusError> {
        let asked = self.list_of(topics).await?;
        // Committed first: a lag that is read while the group works is then too large rather than too small.
        let committed = self.committed_of(group, asked.clone()).await?;
        let ends = self.ends(asked).await?;
        let pairs = committed.into_iter().zip(ends);
        Ok(pairs
            .map(|((at, committed), (_, end))| PartitionLag {
                topic: at.topic.to_string(),
                partition: at.partition,
                committed,
                end,
            })
            .collect())
    }

    /// What `group` committed on every partition of `topics`: the offset of the next record that it will handle, `None`
    /// if it never committed. One round trip, so it may be asked several times a second.
    pub async fn committed(
        &self,
        group: &str,
        topics: &[String],
    ) -> Result<Vec<(TopicPartition, Option<i64>)>, BusError> {
        let asked = self.list_of(topics).await?;
        self.committed_of(group, asked).await
    }

    async fn committed_of(
        &self,
        group: &str,
        asked: TopicPartitionList,
    ) -> Result<Vec<(TopicPartition, Option<i64>)>, BusError> {
        if asked.count() == 0 {
            return Ok(Vec::new());
        }
        let reader = self.group_reader(group)?;
        let what = format!("committed offsets of group {group}");
        blocking(what.clone(), move || {
            let failed = |cause| BusError::Read {
                what: what.clone(),
                cause,
            };
            let found = reader
                .committed_offsets(asked, READ_DEADLINE)
                .map_err(failed)?;
            let mut committed = Vec::with_capacity(found.count());
            for element in found.elements() {
                element.error().map_err(failed)?;
                let at = TopicPartition::new(element.topic(), element.partition());
                committed.push((at, offset_of(element.offset())));
            }
            Ok(committed)
        })
        .await
    }

    /// One request per leader for all partitions; a question per partition would take a round trip each.
    async fn ends(
        &self,
        asked: TopicPartitionList,
    ) -> Result<Vec<(TopicPartition, i64)>, BusError> {
        if asked.count() == 0 {
            return Ok(Vec::new());
        }
        let reader = self.reader()?;
        blocking("end offsets".to_owned(), move || {
            end_offsets(&reader, asked)
        })
        .await
    }

    async fn list_of(&self, topics: &[String]) -> Result<TopicPartitionList, BusError> {
        let mut list = TopicPartitionList::new();
        for topic in topics {
            for partition in 0..self.recent_partitions_of(topic).await? {
                list.add_partition(topic, i32::try_from(partition).unwrap_or(i32::MAX));
            }
        }
        Ok(list)
    }

    fn group_reader(&self, group: &str) -> Result<Arc<BaseConsumer<LogContext>>, BusError> {
        let mut groups = self
            .inner
            .groups
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(reader) = groups.get(group) {
            return Ok(Arc::clone(reader));
        }
        let reader = Arc::new(bystander(&self.inner.bus, group)?);
        groups.insert(group.to_owned(), Arc::clone(&reader));
        Ok(reader)
    }
}

/// A consumer that names a group and never joins it or commits for it.
pub(crate) fn bystander(
    bus: &BusConfig,
    group: &str,
) -> Result<BaseConsumer<LogContext>, BusError> {
    bus.client()
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("allow.auto.create.topics", "false")
        .create_with_context(LogContext)
        .map_err(|cause| BusError::Setup {
            what: "offset reader",
            cause,
        })
}

/// Blocking: the end of each listed partition, in the list's order.
pub(crate) fn end_offsets(
    reader: &BaseConsumer<LogContext>,
    mut asked: TopicPartitionList,
) -> Result<Vec<(TopicPartition, i64)>, BusError> {
    let failed = |cause| BusError::Read {
        what: "end offsets".to_owned(),
        cause,
    };
    // `End` instead of a time asks for the end itself.
    asked.set_all_offsets(Offset::End).map_err(failed)?;
    let began = Instant::now();
    loop {
        match try_end_offsets(reader, asked.clone()) {
            Ok(ends) => return Ok(ends),
            Err(cause) if is_leader_moving(&cause) && began.elapsed() < LEADER_DEADLINE => {
                std::thread::sleep(LEADER_WAIT);
            }
            Err(cause) => return Err(failed(cause)),
        }
    }
}

fn try_end_offsets(
    reader: &BaseConsumer<LogContext>,
    asked: TopicPartitionList,
) -> Result<Vec<(TopicPartition, i64)>, KafkaError> {
    let found = reader.offsets_for_times(asked, READ_DEADLINE)?;
    let mut ends = Vec::with_capacity(found.count());
    for element in found.elements() {
        element.error()?;
        let at = TopicPartition::new(element.topic(), element.partition());
        let unknown = KafkaError::OffsetFetch(RDKafkaErrorCode::LeaderNotAvailable);
        ends.push((at, offset_of(element.offset()).ok_or(unknown)?));
    }
    Ok(ends)
}

/// The brokers show a new or moved partition a moment before its leader serves it.
fn is_leader_moving(cause: &KafkaError) -> bool {
    matches!(
        code_of(cause),
        Some(
            RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::UnknownTopicOrPartition
        )
    )
}

fn offset_of(offset: Offset) -> Option<i64> {
    match offset {
        Offset::Offset(offset) => Some(offset),
        Offset::Beginning
        | Offset::End
        | Offset::Stored
        | Offset::Invalid
        | Offset::OffsetTail(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_unknown_without_a_commit_and_never_negative() {
        let mut at = PartitionLag {
            topic: "t".to_owned(),
            partition: 0,
            committed: None,
            end: 7,
        };
        assert_eq!(at.lag(), None);
        at.committed = Some(5);
        assert_eq!(at.lag(), Some(2));
        at.committed = Some(9);
        assert_eq!(at.lag(), Some(0));
    }
}
