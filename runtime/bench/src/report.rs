//! The report of a sale, for people: what was asked and answered, how fast, what it cost, and whether everything adds up.

use std::collections::BTreeMap;
use std::time::Duration;

use ticket_core::{Reason, State};

use crate::check::Verdict;
use crate::latency::Latency;
use crate::memory::{Memory, megabytes};
use crate::sale::{Outcome, Sale};
use crate::text::{Align, grouped, per_second, short, table};

/// The whole report.
#[must_use]
pub fn of_sale(sale: &Sale, outcome: &Outcome) -> String {
    let sections = [
        ("Requests by answer", answers(outcome)),
        ("Orders by state", states(outcome)),
        ("Stock", stock(outcome)),
        ("Speed", speed(outcome)),
        ("Latency, as buyers saw it", latency(outcome)),
        ("Memory", memory(&outcome.evidence.memory)),
        ("Does everything add up?", verdicts(&outcome.verdicts)),
    ];
    let units: i64 = outcome
        .evidence
        .before
        .iter()
        .map(|stock| stock.available)
        .sum();
    let buyers = grouped(u64::from(sale.buyers));
    let (event, seed) = (&sale.event, sale.seed);
    let head = format!("\nThe sale of {event}: {buyers} buyers for {units} tickets, seed {seed}\n");
    let mut parts = vec![head];
    parts.extend(sections.map(|(title, body)| format!("\n{title}\n{body}")));
    let conclusion = if outcome.holds() {
        "Everything adds up: nothing was oversold, nothing was lost."
    } else {
        "IT DOES NOT ADD UP. The lines above that begin with FAIL say what."
    };
    parts.push(format!("\n{conclusion}\n"));
    parts.concat()
}

fn answers(outcome: &Outcome) -> String {
    let answers = &outcome.evidence.book.tally.answers;
    let rows: Vec<_> = answers
        .iter()
        .map(|(kind, count)| {
            let status = if kind.status == 0 {
                "none".to_owned()
            } else {
                kind.status.to_string()
            };
            vec![
                kind.request.as_str().to_owned(),
                status,
                kind.code.clone(),
                grouped(*count),
            ]
        })
        .collect();
    table(
        &[Align::Left, Align::Left, Align::Left, Align::Right],
        &rows,
    )
}

fn states(outcome: &Outcome) -> String {
    let mut states: BTreeMap<(State, Option<Reason>), (u64, u64)> = BTreeMap::new();
    for order in outcome.evidence.read_again.values().flatten() {
        let (orders, units) = states.entry((order.state, order.reason)).or_default();
        *orders += 1;
        *units += u64::from(order.quantity);
    }
    let rows: Vec<_> = states
        .iter()
        .map(|((state, reason), (orders, units))| {
            let reason = reason.map_or("", Reason::as_str).to_owned();
            let units = format!("{} tickets", grouped(*units));
            vec![state.to_string(), reason, grouped(*orders), units]
        })
        .collect();
    table(
        &[Align::Left, Align::Left, Align::Right, Align::Right],
        &rows,
    )
}

fn stock(outcome: &Outcome) -> String {
    let heads = [
        "category",
        "capacity",
        "available",
        "held",
        "sold",
        "in the store",
    ];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for stock in &outcome.evidence.after {
        let counts = [stock.capacity, stock.available, stock.held, stock.sold];
        let mut row = vec![stock.name.to_string()];
        row.extend(counts.map(|count| count.to_string()));
        row.push(
            stock
                .store_available
                .map_or_else(|| "-".to_owned(), |count| count.to_string()),
        );
        rows.push(row);
    }
    let mut columns = vec![Align::Left];
    columns.resize(heads.len(), Align::Right);
    table(&columns, &rows)
}

fn speed(outcome: &Outcome) -> String {
    let evidence = &outcome.evidence;
    let tally = &evidence.book.tally;
    let mut rows = Vec::new();
    let mut line = |what: &str, value: String| rows.push(vec![what.to_owned(), value]);
    for (index, category) in evidence.categories.iter().enumerate() {
        let first = tally.first_sold_out.get(&index).copied();
        let value = first.map_or_else(|| "not sold out".to_owned(), short);
        line(&format!("{category} sold out after"), value);
    }
    if let Some(sold_out) = sold_out_after(outcome) {
        let in_time = |after: Duration| after <= sold_out;
        let orders = evidence
            .book
            .acknowledged()
            .filter(|(_, order)| in_time(order.after))
            .count();
        let orders = u64::try_from(orders).unwrap_or(u64::MAX);
        line("everything sold out after", short(sold_out));
        line("orders acknowledged until then", grouped(orders));
        line("orders/s until then", grouped(per_second(orders, sold_out)));
    }
    let requests = tally.order.count();
    line("first requests answered within", short(evidence.book.rush));
    line(
        "order requests/s meanwhile",
        grouped(per_second(requests, evidence.book.rush)),
    );
    line("last buyer gone after", short(evidence.book.lasted));
    table(&[Align::Left, Align::Right], &rows)
}

/// When the last category was sold out for the first time; `None` if one never was.
fn sold_out_after(outcome: &Outcome) -> Option<Duration> {
    let first = &outcome.evidence.book.tally.first_sold_out;
    let all = (0..outcome.evidence.categories.len()).map(|index| first.get(&index).copied());
    all.collect::<Option<Vec<_>>>()?.into_iter().max()
}

fn latency(outcome: &Outcome) -> String {
    let tally = &outcome.evidence.book.tally;
    let heads = ["", "p50", "p99", "max", "counted"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    let measured: [(&str, &Latency); 4] = [
        ("order: request to answer", &tally.order),
        ("read: request to answer", &tally.read),
        (
            "acknowledged to decided, looking every 20 ms and slower",
            &tally.decided,
        ),
        ("acknowledged to paid", &tally.paid),
    ];
    for (what, latency) in measured {
        let at = |percent| {
            latency
                .percentile(percent)
                .map_or_else(|| "-".to_owned(), short)
        };
        let row = [
            what.to_owned(),
            at(50.0),
            at(99.0),
            at(100.0),
            grouped(latency.count()),
        ];
        rows.push(row.to_vec());
    }
    let mut columns = vec![Align::Left];
    columns.resize(heads.len(), Align::Right);
    table(&columns, &rows)
}

fn memory(memory: &[Memory]) -> String {
    let mut rows = vec![["", "now", "most", "limit"].map(str::to_owned).to_vec()];
    for process in memory {
        let limit = process
            .limit_kib()
            .map_or_else(|| "-".to_owned(), megabytes);
        let (now, most) = (megabytes(process.resident_kib), megabytes(process.peak_kib));
        rows.push(vec![process.name.clone(), now, most, limit]);
    }
    table(
        &[Align::Left, Align::Right, Align::Right, Align::Right],
        &rows,
    )
}

fn verdicts(verdicts: &[Verdict]) -> String {
    let mut lines = Vec::new();
    for verdict in verdicts {
        let (mark, detail) = if verdict.holds() {
            ("ok  ", verdict.detail.as_str())
        } else {
            ("FAIL", "")
        };
        let line = format!("  {mark}  {:<38} {detail}", verdict.name);
        lines.push(line.trim_end().to_owned());
        lines.extend(
            verdict
                .lines()
                .iter()
                .map(|finding| format!("          {finding}")),
        );
    }
    lines.push(String::new());
    lines.join("\n")
}
