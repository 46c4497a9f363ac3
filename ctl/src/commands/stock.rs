//! `ticketctl stock EVENT [-w]`.

mod watch;

use ticket_admin::{Counts, StockView};

use super::Ended;
use crate::cli::Stock;
use crate::clients::Clients;
use crate::exit::Exit;
use crate::output::{Document, Output, Table, known};

pub(crate) async fn run(flags: &Stock, clients: &Clients, output: &mut Output<'_>) -> Ended {
    let event = clients.event_name(&flags.event).await?;
    if flags.watch {
        return watch::run(&event, clients, output).await;
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
    use jiff::Timestamp;
    use ticket_admin::{CategoryStock, ShardStock};

    use super::*;

    pub(super) fn reading(second: i64, sold: i64, store: Option<i64>) -> StockView {
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
