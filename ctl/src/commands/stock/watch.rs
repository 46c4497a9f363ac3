//! `ticketctl stock EVENT -w`: a line for whatever moved, for as long as somebody looks.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use ticket_admin::{Counts, StockStream, StockView};

use super::View;
use crate::clients::Clients;
use crate::commands::Ended;
use crate::commands::watch::Silence;
use crate::exit::Failure;
use crate::output::{Output, known, short_time};

/// Wait before a broken stream is opened again: long enough to spare a server that comes up, short enough that nobody
/// looks at an old number for long.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// Until somebody stops it. A stream that breaks is opened again; one that cannot be opened at first is a failure.
pub(super) async fn run(event: &str, clients: &Clients, output: &mut Output<'_>) -> Ended {
    let mut changes = Changes::default();
    let mut silence = Silence::default();
    let mut stream = clients.admin().await?.watch_stock(event).await?;
    loop {
        match stream.next().await {
            Ok(Some(stock)) => {
                silence.end();
                changes.show(stock, output)?;
                continue;
            }
            Ok(None) => output.word("the stream ended; opening it again"),
            Err(error) => silence.bear(error, output)?,
        }
        stream = reopen(event, clients, &mut silence, output).await?;
    }
}

async fn reopen(
    event: &str,
    clients: &Clients,
    silence: &mut Silence,
    output: &mut Output<'_>,
) -> Result<StockStream, Failure> {
    loop {
        tokio::time::sleep(REOPEN_AFTER).await;
        // A client each time: its token may have to be renewed.
        match clients.admin().await?.watch_stock(event).await {
            Ok(stream) => return Ok(stream),
            Err(error) => silence.bear(error, output)?,
        }
    }
}

/// `PER-S`: tickets taken per second since the line before; negative when more came back.
const HEADER: [&str; 9] = [
    "TIME",
    "CATEGORY",
    "STOCK-SHARD",
    "NODE",
    "AVAILABLE",
    "HELD",
    "SOLD",
    "STORE",
    "PER-S",
];

/// Category, and the stock shard if it is one.
type Name = (String, Option<i64>);

/// When something was read, and its numbers then.
type Before = (Timestamp, Counts);

/// What is followed: a category, for `wide` each of its stock shards.
struct Part<'a> {
    category: &'a str,
    /// Id and node of a stock shard.
    shard: Option<(i64, &'a str)>,
    counts: Counts,
    store: Option<i64>,
}

impl Part<'_> {
    fn name(&self) -> Name {
        (self.category.to_owned(), self.shard.map(|(id, _)| id))
    }
}

fn parts(stock: &StockView, is_wide: bool) -> Vec<Part<'_>> {
    let categories = stock.categories.iter();
    if is_wide {
        let shards = categories.flat_map(|category| {
            category.shards.iter().map(|shard| Part {
                category: &category.name,
                shard: Some((shard.stock_shard_id, &shard.node)),
                counts: shard.counts,
                store: shard.store_available,
            })
        });
        return shards.collect();
    }
    let whole = categories.map(|category| Part {
        category: &category.name,
        shard: None,
        counts: category.counts,
        store: category.store_available,
    });
    whole.collect()
}

/// A line per part whose numbers moved.
#[derive(Debug, Default)]
struct Changes {
    has_header: bool,
    before: BTreeMap<Name, Before>,
}

impl Changes {
    /// Lines for people, names of what moved for `name`, every snapshot for other programs.
    fn show(&mut self, stock: StockView, output: &mut Output<'_>) -> Result<(), Failure> {
        if output.is_for_people() {
            self.lines(&stock, output)
        } else if output.is_for_names() {
            self.names(&stock, output)
        } else {
            Ok(output.stream(&View(stock))?)
        }
    }

    fn lines(&mut self, stock: &StockView, output: &mut Output<'_>) -> Result<(), Failure> {
        let is_wide = output.is_wide();
        if !self.has_header {
            self.has_header = true;
            output.text(&columns(is_wide, HEADER))?;
        }
        for (part, before) in self.moved(stock, is_wide) {
            let rate = before.and_then(|before| per_second(before, (stock.as_of, part.counts)));
            let (shard, node) = part.shard.unzip();
            output.text(&columns(
                is_wide,
                [
                    &short_time(stock.as_of),
                    part.category,
                    &known(shard),
                    node.unwrap_or_default(),
                    &part.counts.available.to_string(),
                    &part.counts.held.to_string(),
                    &part.counts.sold.to_string(),
                    &known(part.store),
                    &known(rate),
                ],
            ))?;
        }
        Ok(())
    }

    fn names(&mut self, stock: &StockView, output: &mut Output<'_>) -> Result<(), Failure> {
        for (part, _) in self.moved(stock, false) {
            output.text(part.category)?;
        }
        Ok(())
    }

    /// The parts whose numbers are not those of the reading before, each with that reading.
    fn moved<'a>(
        &mut self,
        stock: &'a StockView,
        is_wide: bool,
    ) -> Vec<(Part<'a>, Option<Before>)> {
        let mut moved = Vec::new();
        for part in parts(stock, is_wide) {
            let before = self.before.insert(part.name(), (stock.as_of, part.counts));
            if before.is_none_or(|(_, counts)| counts != part.counts) {
                moved.push((part, before));
            }
        }
        moved
    }
}

/// Columns of a table that grows: their widths cannot be known before, so they are fixed.
fn columns(
    is_wide: bool,
    [
        time,
        category,
        shard,
        node,
        available,
        held,
        sold,
        store,
        rate,
    ]: [&str; 9],
) -> String {
    let place = if is_wide {
        format!("   {shard:<16}   {node:<20}")
    } else {
        String::new()
    };
    format!(
        "{time:<8}   {category:<16}{place} {available:>9} {held:>9} {sold:>9} {store:>9} {rate:>9}"
    )
}

/// Tickets taken per second between two readings; `None` when no time passed.
fn per_second(before: Before, now: Before) -> Option<i64> {
    let millis = i64::try_from(now.0.duration_since(before.0).as_millis()).ok()?;
    let taken = before.1.available - now.1.available;
    (millis > 0).then(|| taken.saturating_mul(1_000) / millis)
}

#[cfg(test)]
mod tests {
    use super::super::tests::reading;
    use super::*;
    use crate::output::Format;

    fn watched(format: Format, stock: impl IntoIterator<Item = StockView>) -> String {
        let (mut data, mut words) = (Vec::new(), Vec::new());
        let mut output = Output::new(&mut data, &mut words, format, false);
        let mut changes = Changes::default();
        for stock in stock {
            changes.show(stock, &mut output).unwrap();
        }
        String::from_utf8(data).unwrap()
    }

    #[test]
    fn a_watch_shows_only_what_moved_and_how_fast() {
        let stock = || {
            [
                reading(0, 0, Some(100)),
                reading(1, 0, Some(100)),
                reading(3, 50, Some(50)),
            ]
        };
        insta::assert_snapshot!(watched(Format::Table, stock()), @r"
        TIME       CATEGORY         AVAILABLE      HELD      SOLD     STORE     PER-S
        00:00:00   vip                    100         0         0       100         -
        00:00:03   vip                     50         0        50        50        25
        ");
        insta::assert_snapshot!(watched(Format::Wide, stock()), @r"
        TIME       CATEGORY           STOCK-SHARD        NODE                 AVAILABLE      HELD      SOLD     STORE     PER-S
        00:00:00   vip                7                  postgres                   100         0         0       100         -
        00:00:03   vip                7                  postgres                    50         0        50        50        25
        ");
    }

    #[test]
    fn a_watch_of_names_says_which_category_moved() {
        let stock = [0, 0, 50].map(|sold| reading(0, sold, None));
        assert_eq!(watched(Format::Name, stock), "vip\nvip\n");
    }
}
