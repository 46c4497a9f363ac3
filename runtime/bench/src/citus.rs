//! One ledger on four kinds of cluster: plain PostgreSQL, Citus with every call over the coordinator, and Citus with calls that go
//! straight to the owners, on one, two and three workers. Calls only: no order log and no facts, which are the same everywhere.
//!
//! - `nodes`: the servers, and stock shards on wanted nodes.

mod nodes;

use std::time::Duration;

use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use serde::Serialize;

use crate::ledger::rig::Rig;
use crate::say;
use crate::stats::Spread;
use crate::suite::measure::{Board, Measure};
use crate::suite::plan::Plan;
use crate::suite::section::{Plot, Section, Table};
use nodes::{Clusters, Way};

/// What is measured of the ledger on different clusters.
#[must_use]
pub fn measures(plan: &Plan) -> Vec<Box<dyn Measure>> {
    vec![Box::new(Ways {
        lasts: plan.seconds(5, 2),
        clusters: None,
        seen: Vec::new(),
    })]
}

/// A round of one way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Round {
    way: Way,
    orders_per_s: f64,
    /// CPU microseconds of all PostgreSQL processes per order.
    us_per_order: f64,
    /// The same of this process, which makes the calls.
    caller_us_per_order: f64,
}

/// The measure.
struct Ways {
    /// How long a round of each way is.
    lasts: Duration,
    clusters: Option<Clusters>,
    seen: Vec<Round>,
}

impl Ways {
    async fn measure(&mut self) -> anyhow::Result<()> {
        if !nodes::is_citus_installed() {
            say::progress("the ledger on Citus is SKIPPED: this PostgreSQL has no Citus extension");
            return Ok(());
        }
        if self.clusters.is_none() {
            let clusters = Clusters::start().await?;
            // Connections, plans, the first pages of every index: not measured.
            for way in Way::ALL {
                clusters.sell(way, self.lasts / 2).await?;
            }
            self.clusters = Some(clusters);
        }
        let clusters = self.clusters.as_ref().context("no clusters")?;
        for way in Way::ALL {
            let round = clusters.sell(way, self.lasts).await?;
            say::progress(&format!(
                "{way}: {:.0} orders/s, {:.1} us per order in PostgreSQL",
                round.orders_per_s, round.us_per_order
            ));
            self.seen.push(round);
        }
        Ok(())
    }

    fn spread(&self, way: Way, of: impl Fn(&Round) -> f64) -> Spread {
        let rounds = self.seen.iter().filter(|round| round.way == way);
        Spread::of(rounds.map(of).collect())
    }

    /// Round by round, as multiples of the plain server's.
    fn ratio(&self, way: Way) -> Spread {
        let rates = |way: Way| {
            let rounds = self.seen.iter().filter(move |round| round.way == way);
            rounds.map(|round| round.orders_per_s)
        };
        let pairs = rates(way).zip(rates(Way::Plain));
        Spread::of(pairs.map(|(mine, plain)| mine / plain).collect())
    }
}

impl Measure for Ways {
    fn name(&self) -> &'static str {
        "citus"
    }

    fn takes(&self) -> Duration {
        if !nodes::is_citus_installed() {
            return Duration::ZERO;
        }
        let ways = u32::try_from(Way::ALL.len()).unwrap_or(u32::MAX);
        // The clusters are started once; spread over the rounds it is a few seconds each.
        self.lasts * ways + Duration::from_secs(8)
    }

    // Five more servers would be in the way of everything else.
    fn is_last(&self) -> bool {
        true
    }

    fn round<'a>(
        &'a mut self,
        _rig: &'a Rig,
        _board: &'a mut Board,
    ) -> LocalBoxFuture<'a, anyhow::Result<()>> {
        self.measure().boxed_local()
    }

    fn section(&self, _board: &Board) -> Section {
        let mut table = Table::new([
            "way",
            "orders/s",
            "of plain",
            "PostgreSQL, us per order",
            "caller, us per order",
        ]);
        let (mut groups, mut servers, mut callers) = (Vec::new(), Vec::new(), Vec::new());
        for way in Way::ALL {
            if self.seen.is_empty() {
                continue;
            }
            let us = self.spread(way, |round| round.us_per_order);
            let caller = self.spread(way, |round| round.caller_us_per_order);
            groups.push(way.to_string());
            servers.push(us.median);
            callers.push(caller.median);
            table.row([
                way.to_string(),
                self.spread(way, |round| round.orders_per_s).to_string(),
                format!("x{}", self.ratio(way)),
                us.to_string(),
                caller.to_string(),
            ]);
        }
        let plot = Plot::Stacked {
            file: "citus-cpu-per-order".to_owned(),
            title: "CPU per order by cluster".to_owned(),
            y_label: "CPU microseconds per order".to_owned(),
            groups,
            series: vec![
                ("PostgreSQL".to_owned(), servers),
                ("caller".to_owned(), callers),
            ],
        };
        let plots = if self.seen.is_empty() {
            Vec::new()
        } else {
            vec![plot]
        };
        let notes = if self.seen.is_empty() {
            vec!["Skipped: the Citus extension is not installed on this machine.".to_owned()]
        } else {
            vec![
                "All nodes share this machine's cores and its disk, so that more workers cannot sell more here: what the figures \
                 show is what a hop and a distributed plan cost, and not how a cluster grows. A worker on a machine of its own \
                 brings its own cores and its own log."
                    .to_owned(),
            ]
        };
        Section {
            title: "The ledger on Citus".to_owned(),
            intro: vec![format!(
                "{} stock shards, a caller for each, {} orders of one ticket per call; the same calls on each cluster, in turns. \
                 No order log and no facts: they are the same everywhere.",
                nodes::STOCK_SHARDS,
                nodes::BATCH_ORDERS
            )],
            tables: vec![table],
            plots,
            bars: Vec::new(),
            notes,
        }
    }

    fn results(&self, _board: &Board) -> serde_json::Value {
        serde_json::to_value(&self.seen).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_compared_within_their_round() {
        let round = |way, orders_per_s| Round {
            way,
            orders_per_s,
            us_per_order: 10.0,
            caller_us_per_order: 1.0,
        };
        let mut ways = Ways {
            lasts: Duration::from_secs(1),
            clusters: None,
            seen: Vec::new(),
        };
        let skipped = ways.section(&Board::default());
        assert!(skipped.notes[0].starts_with("Skipped"), "{skipped:?}");
        assert!(skipped.tables[0].rows.is_empty(), "{skipped:?}");
        ways.seen = vec![
            round(Way::Plain, 100.0),
            round(Way::Coordinator, 50.0),
            round(Way::Plain, 200.0),
            round(Way::Coordinator, 50.0),
        ];
        assert_eq!(ways.ratio(Way::Coordinator).values, [0.5, 0.25]);
        assert_eq!(ways.section(&Board::default()).tables[0].rows.len(), 5);
    }
}
