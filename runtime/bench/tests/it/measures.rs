//! Every measure is carried out once, as short as it can be: they compare what they measured with what the servers have, so a
//! round that passes has counted right. How fast it was is not judged here.

use std::time::Duration;

use ticket_bench::ledger::rig::Rig;
use ticket_bench::suite::measure::{Board, Measure};
use ticket_bench::{baselines, http};
use ticket_testkit::Citus;

const SHORT: Duration = Duration::from_millis(400);

/// Carries out a round and shows what a report would say of it.
pub(crate) async fn one_round(
    mut measure: Box<dyn Measure>,
    rig: &Rig,
    board: &mut Board,
) -> serde_json::Value {
    let name = measure.name().to_owned();
    measure.prepare(rig).await.unwrap();
    let begun = std::time::Instant::now();
    let done = measure.round(rig, board).await;
    assert!(done.is_ok(), "{name}: {:#}", done.unwrap_err());
    println!(
        "{name}: {:?}, expected {:?}",
        begun.elapsed(),
        measure.takes()
    );
    let section = measure.section(board);
    println!("{section:#?}");
    for table in &section.tables {
        assert!(!table.rows.is_empty(), "{name}: a table without rows");
        assert!(
            table
                .rows
                .iter()
                .all(|row| row.len() == table.columns.len())
        );
    }
    measure.results(board)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_http_path_and_the_single_parts_agree_with_their_servers() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let rig = Rig::start(Citus::Never).await.unwrap();
    let mut board = Board::default();

    let results = one_round(http::endpoints(1, SHORT), &rig, &mut board).await;
    for endpoint in ["bare", "accepted", "sold_out"] {
        let result = &results["endpoints"][endpoint];
        assert!(
            result["per_s"]["median"].as_f64().unwrap() > 1.0,
            "{results:#}"
        );
    }
    let step = Duration::from_millis(50);
    let results = one_round(http::latency_against_load(step), &rig, &mut board).await;
    let accepted = results["latency_against_load"]["accepted"]
        .as_array()
        .unwrap();
    assert_eq!(accepted.len(), 7);

    one_round(baselines::parts(SHORT), &rig, &mut board).await;
    for part in [
        "bare",
        "update",
        "redis-decr-128",
        "redis-decr-2048",
        "produce",
    ] {
        assert!(board.latest(part).unwrap() > 1.0, "{part}");
    }
}
