//! A short fault campaign with fixed seeds, and the control that it can say no. By hand and long: `make chaos RUNS=100`.

use ticket_bench::chaos::{self, Campaign, fault::Fault};
use ticket_testkit::{Home, workspace_dir};

/// The faults of the short campaign. Neighbouring seeds go through the list, one of them certain in each run, so the first
/// ones are those that may cost most.
const FAULTS: [&str; 10] = [
    "kill-processor",
    "kill-redis",
    "old-dump",
    "kill-postgres",
    "kill-keeper-in-warm-up",
    "kill-kafka",
    "promote-replica",
    "kill-api",
    "pause-redis",
    "cut-sessions",
];

/// So many of them are certain.
const RUNS: u32 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_campaign_loses_nothing() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let home = Home::own("chaos").unwrap();
    let only: Vec<Fault> = FAULTS.iter().map(|name| name.parse().unwrap()).collect();
    let campaign = Campaign {
        seed: 0,
        runs: RUNS,
        only,
        dir: home.dir().join("platform"),
        kept: workspace_dir().join("target/chaos/test"),
    };
    let report = Box::pin(chaos::run(&campaign)).await.unwrap();
    println!("{}", report.text());
    assert!(report.holds());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_fence_the_campaign_says_no() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let home = Home::own("chaos-control").unwrap();
    let dir = home.dir().join("platform");
    assert!(Box::pin(chaos::control::run(1, &dir)).await.unwrap());
}
