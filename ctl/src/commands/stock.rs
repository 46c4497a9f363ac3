//! `ticketctl stock EVENT [-w]`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use ticket_admin::{CategoryStock, Counts, StockStream, StockView};

use super::Ended;
use super::watch::Silence;
use crate::cli::Stock;
use crate::clients::Clients;
use crate::exit::{Exit, Failure};
use crate::output::{Document, Output, Table, known, short_time};

/// Wait before a broken stream is opened again: long enough to spare a server that comes up, short enough that nobody
/// looks at an old number for long.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

pub(crate) async fn run(flags: &Stock, clients: &Clients, output: &mut Output<'_>) -> Ended {
    let event = clients.event_name(&flags.event).await?;
    if flags.watch {
        return watch(&event, clients, output).await;
    }
    let stock = clients.admin().await?.stock(&event).await?;
    if stock.armed_epoch != Some(stock.epoch) {
        let armed = stock
            .armed_epoch
            .map_or_else(|| "no epoch".to_owned(), |it| format!("epoch {it}"));
        output.word(&format!(
            "{event}: the stock store is down or warming up (armed with {armed}, the ledger has epoch {})",
            stock.epoch
        ));
    }
    output.show(&View(stock))?;
    Ok(Exit::Ok)
}

/// Until somebody stops it. A stream that breaks is opened again; one that cannot be opened at first is a failure.
async fn watch(event: &str, clients: &Clients, output: &mut Output<'_>) -> Ended {
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
const HEADER: [&str; 7] = [
    "TIME",
    "CATEGORY",
    "AVAILABLE",
    "HELD",
    "SOLD",
    "STORE",
    "PER-S",
];

/// When a category was read, and its numbers then.
type Before = (Timestamp, Counts);

/// A line per category whose numbers moved.
#[derive(Debug, Default)]
struct Changes {
    has_header: bool,
    /// Per category.
    before: BTreeMap<String, Before>,
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
        if !self.has_header {
            self.has_header = true;
            output.text(&columns(HEADER))?;
        }
        for (category, before) in self.moved(stock) {
            let rate = before.and_then(|before| per_second(before, (stock.as_of, category.counts)));
            output.text(&columns([
                &short_time(stock.as_of),
                &category.name,
                &category.counts.available.to_string(),
                &category.counts.held.to_string(),
                &category.counts.sold.to_string(),
                &known(category.store_available),
                &known(rate),
            ]))?;
        }
        Ok(())
    }

    fn names(&mut self, stock: &StockView, output: &mut Output<'_>) -> Result<(), Failure> {
        for (category, _) in self.moved(stock) {
            output.text(&category.name)?;
        }
        Ok(())
    }

    /// The categories whose numbers are not those of the reading before, each with that reading.
    fn moved<'a>(&mut self, stock: &'a StockView) -> Vec<(&'a CategoryStock, Option<Before>)> {
        let mut moved = Vec::new();
        for category in &stock.categories {
            let now = (stock.as_of, category.counts);
            let before = self.before.insert(category.name.clone(), now);
            if before.is_none_or(|(_, counts)| counts != category.counts) {
                moved.push((category, before));
            }
        }
        moved
    }
}

/// Columns of a table that grows: their widths cannot be known before, so they are fixed.
fn columns([time, category, available, held, sold, store, rate]: [&str; 7]) -> String {
    format!("{time:<8}   {category:<16} {available:>9} {held:>9} {sold:>9} {store:>9} {rate:>9}")
}

/// Tickets taken per second between two readings; `None` when no time passed.
fn per_second(before: Before, now: Before) -> Option<i64> {
    let millis = i64::try_from(now.0.duration_since(before.0).as_millis()).ok()?;
    let taken = before.1.available - now.1.available;
    (millis > 0).then(|| taken.saturating_mul(1_000) / millis)
}

struct View(StockView);

impl Document for View {
    type Object = StockView;

    fn object(&self) -> &StockView {
        &self.0
    }

    fn table(&self, is_wide: bool) -> String {
        if is_wide {
            return self.shards().to_string();
        }
        let mut table = Table::new(&[
            "CATEGORY",
            "CAPACITY",
            "AVAILABLE",
            "HELD",
            "SOLD",
            "STORE",
            "SHARDS",
        ]);
        for category in &self.0.categories {
            let counts = counts(&category.counts);
            let store = known(category.store_available);
            let shards = category.shards.len().to_string();
            table.row(
                [category.name.clone()]
                    .into_iter()
                    .chain(counts)
                    .chain([store, shards]),
            );
        }
        if self.0.categories.len() > 1 {
            let (total, store) = self.total();
            let shards: usize = self.0.categories.iter().map(|it| it.shards.len()).sum();
            let tail = [known(store), shards.to_string()];
            table.row(
                ["total".to_owned()]
                    .into_iter()
                    .chain(counts(&total))
                    .chain(tail),
            );
        }
        table.to_string()
    }

    fn names(&self) -> Vec<String> {
        self.0
            .categories
            .iter()
            .map(|category| category.name.clone())
            .collect()
    }
}

impl View {
    fn shards(&self) -> Table {
        let mut table = Table::new(&[
            "CATEGORY",
            "STOCK-SHARD",
            "NODE",
            "PARTITION",
            "CAPACITY",
            "AVAILABLE",
            "HELD",
            "SOLD",
            "STORE",
            "LAG",
        ]);
        for category in &self.0.categories {
            for shard in &category.shards {
                let place = [
                    category.name.clone(),
                    shard.stock_shard_id.to_string(),
                    shard.node.clone(),
                    shard.partition.to_string(),
                ];
                let tail = [known(shard.store_available), known(shard.lag)];
                table.row(place.into_iter().chain(counts(&shard.counts)).chain(tail));
            }
        }
        table
    }

    /// The store's sum is known only if every part of it is.
    fn total(&self) -> (Counts, Option<i64>) {
        let mut total = Counts::default();
        for Counts {
            capacity,
            available,
            held,
            sold,
        } in self.0.categories.iter().map(|category| category.counts)
        {
            total.capacity += capacity;
            total.available += available;
            total.held += held;
            total.sold += sold;
        }
        (
            total,
            self.0
                .categories
                .iter()
                .map(|category| category.store_available)
                .sum(),
        )
    }
}

fn counts(counts: &Counts) -> [String; 4] {
    [counts.capacity, counts.available, counts.held, counts.sold].map(|units| units.to_string())
}

#[cfg(test)]
mod tests {
    use ticket_admin::ShardStock;

    use super::*;
    use crate::output::Format;

    fn reading(second: i64, sold: i64, store: Option<i64>) -> StockView {
        let counts = Counts {
            capacity: 100,
            available: 100 - sold,
            held: 0,
            sold,
        };
        StockView {
            event: "default.demo".to_owned(),
            epoch: 1,
            armed_epoch: Some(1),
            as_of: Timestamp::from_second(second).unwrap(),
            categories: vec![CategoryStock {
                name: "vip".to_owned(),
                counts,
                store_available: store,
                shards: vec![ShardStock {
                    stock_shard_id: 7,
                    node: "postgres".to_owned(),
                    partition: 0,
                    counts,
                    store_available: store,
                    lag: None,
                }],
            }],
        }
    }

    #[test]
    fn a_watch_shows_only_what_moved_and_how_fast() {
        let (mut data, mut words) = (Vec::new(), Vec::new());
        let mut output = Output::new(&mut data, &mut words, Format::Table, false);
        let mut changes = Changes::default();
        for stock in [
            reading(0, 0, Some(100)),
            reading(1, 0, Some(100)),
            reading(3, 50, Some(50)),
        ] {
            changes.show(stock, &mut output).unwrap();
        }
        insta::assert_snapshot!(String::from_utf8(data).unwrap(), @r"
        TIME       CATEGORY         AVAILABLE      HELD      SOLD     STORE     PER-S
        00:00:00   vip                    100         0         0       100         -
        00:00:03   vip                     50         0        50        50        25
        ");
    }

    #[test]
    fn a_watch_of_names_says_which_category_moved() {
        let (mut data, mut words) = (Vec::new(), Vec::new());
        let mut output = Output::new(&mut data, &mut words, Format::Name, false);
        let mut changes = Changes::default();
        for sold in [0, 0, 50] {
            changes.show(reading(0, sold, None), &mut output).unwrap();
        }
        assert_eq!(String::from_utf8(data).unwrap(), "vip\nvip\n");
    }

    #[test]
    fn a_store_that_does_not_answer_is_not_zero() {
        insta::assert_snapshot!(View(reading(0, 1, None)).table(false), @r"
        CATEGORY   CAPACITY   AVAILABLE   HELD   SOLD   STORE   SHARDS
        vip        100        99          0      1      -       1
        ");
        insta::assert_snapshot!(View(reading(0, 1, Some(99))).table(true), @r"
        CATEGORY   STOCK-SHARD   NODE       PARTITION   CAPACITY   AVAILABLE   HELD   SOLD   STORE   LAG
        vip        7             postgres   0           100        99          0      1      99      -
        ");
    }
}
