//! A sale with everything at once, carried out as short as it can be: each measure compares answers, facts, rows and store
//! itself, so a round that passes has lost nothing. How fast it was is not judged here.

use std::time::Duration;

use ticket_bench::ledger::rig::Rig;
use ticket_bench::suite::measure::Board;
use ticket_bench::{growth, memory, together};
use ticket_testkit::Citus;

use crate::measures::one_round;

const SHORT: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_loses_nothing_however_it_is_measured() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let rig = Rig::start(Citus::IfInstalled).await.unwrap();
    let mut board = Board::default();

    let results = one_round(together::everything(SHORT), &rig, &mut board).await;
    assert!(
        results["rounds"][0]["orders"].as_u64().unwrap() > 0,
        "{results:#}"
    );

    let results = one_round(together::steady_rates(SHORT), &rig, &mut board).await;
    assert_eq!(results["rounds"][0].as_array().unwrap().len(), 3);

    let results = one_round(together::paying(SHORT), &rig, &mut board).await;
    let half = &results[0]["half"];
    assert!(
        half["webhooks_per_s"].as_f64().unwrap() > 0.0,
        "{results:#}"
    );
    assert!(half["paid_p99_ms"].as_f64().unwrap() > 0.0, "{results:#}");

    let burst = Duration::from_millis(500);
    let results = one_round(together::burst(SHORT, burst), &rig, &mut board).await;
    assert!(results["lag_max"].as_i64().unwrap() > 0, "{results:#}");

    let results = one_round(memory::queued(2_000), &rig, &mut board).await;
    assert!(results["waiting"].as_i64().unwrap() >= 2_000, "{results:#}");
    assert!(
        results["looks"].as_array().unwrap().len() > 1,
        "{results:#}"
    );

    for row in growth::rows(2_000, &[1, 30], &[1, 20], &[1, 16]) {
        let results = one_round(row, &rig, &mut board).await;
        for size in results.as_array().unwrap() {
            assert!(
                size["all_us"]["median"].as_f64().unwrap() > 0.0,
                "{results:#}"
            );
        }
    }
}
