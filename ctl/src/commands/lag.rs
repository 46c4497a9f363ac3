//! `ticketctl lag`.

use std::collections::BTreeMap;

use ticket_admin::{LagEntry, List};

use super::Ended;
use super::watch::{self, Lines, Rows};
use crate::cli::Watch;
use crate::clients::Clients;
use crate::exit::Exit;
use crate::output::{Document, Output, Table, known};

pub(crate) async fn run(flags: Watch, clients: &Clients, output: &mut Output<'_>) -> Ended {
    if flags.watch {
        return follow(clients, output).await;
    }
    let lag = clients.admin().await?.lag().await?;
    if lag.items.is_empty() {
        output.word("nobody consumes anything yet");
    }
    output.show(&Lag(lag))?;
    Ok(Exit::Ok)
}

async fn follow(clients: &Clients, output: &mut Output<'_>) -> Ended {
    let mut rows = Rows::new();
    watch::poll(
        clients,
        async |admin| admin.lag().await,
        |lag, output| rows.show(Lag(lag), output),
        output,
    )
    .await
}

struct Lag(List<LagEntry>);

/// What waits on the partitions of a topic for a group.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) partitions: usize,
    /// Over the partitions whose lag is known.
    pub(crate) messages: i64,
    /// Partitions whose lag is not known.
    pub(crate) unknown: usize,
}

/// Sums per group and topic.
pub(crate) fn by_topic(entries: &[LagEntry]) -> BTreeMap<(&str, &str), Waiting> {
    let mut topics: BTreeMap<(&str, &str), Waiting> = BTreeMap::new();
    for entry in entries {
        let waiting = topics.entry((&entry.group, &entry.topic)).or_default();
        waiting.partitions += 1;
        match entry.lag {
            Some(lag) => waiting.messages += lag,
            None => waiting.unknown += 1,
        }
    }
    topics
}

impl Document for Lag {
    type Object = List<LagEntry>;

    fn object(&self) -> &List<LagEntry> {
        &self.0
    }

    fn table(&self, is_wide: bool) -> String {
        self.lines(is_wide).to_string()
    }

    fn names(&self) -> Vec<String> {
        let topics = by_topic(&self.0.items);
        topics
            .keys()
            .map(|(group, topic)| format!("{group}/{topic}"))
            .collect()
    }
}

impl Lines for Lag {
    fn tables(&self, is_wide: bool) -> Vec<Table> {
        vec![self.lines(is_wide)]
    }
}

impl Lag {
    fn lines(&self, is_wide: bool) -> Table {
        if is_wide {
            let mut table = Table::new(&["GROUP", "TOPIC", "PARTITION", "COMMITTED", "END", "LAG"]);
            for entry in &self.0.items {
                table.row([
                    entry.group.clone(),
                    entry.topic.clone(),
                    entry.partition.to_string(),
                    known(entry.committed),
                    entry.end.to_string(),
                    known(entry.lag),
                ]);
            }
            return table;
        }
        let mut table = Table::new(&["GROUP", "TOPIC", "PARTITIONS", "LAG", "UNKNOWN"]);
        for ((group, topic), waiting) in by_topic(&self.0.items) {
            table.row([
                group.to_owned(),
                topic.to_owned(),
                waiting.partitions.to_string(),
                waiting.messages.to_string(),
                waiting.unknown.to_string(),
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_lag_is_counted_and_not_taken_for_nothing() {
        let entry = |partition, lag: Option<i64>| LagEntry {
            group: "processor".to_owned(),
            topic: "orders".to_owned(),
            partition,
            committed: lag.map(|lag| 10 - lag),
            end: 10,
            lag,
        };
        let entries = [entry(0, Some(3)), entry(1, None), entry(2, Some(4))];
        let topics = by_topic(&entries);
        assert_eq!(
            topics[&("processor", "orders")],
            Waiting {
                partitions: 3,
                messages: 7,
                unknown: 1
            }
        );
    }
}
