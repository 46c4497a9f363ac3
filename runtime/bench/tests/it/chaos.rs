//! A short fault campaign with fixed seeds, and the control that it can say no. By hand and long: `make chaos RUNS=100`.

use ticket_bench::chaos::{self, Campaign, fault::Fault};
use ticket_testkit::{Home, workspace_dir};

/// Neighbouring seeds go through the list of faults, one of them certain in each run.
const RUNS: u32 = 8;

async fn holds(name: &str, seed: u64, only: Vec<Fault>) {
    drop(rustls::crypto::ring::default_provider().install_default());
    let home = Home::own(name).unwrap();
    let campaign = Campaign {
        seed,
        runs: RUNS,
        only,
        dir: home.dir().join("platform"),
        kept: workspace_dir().join("target/chaos").join(name),
    };
    let report = Box::pin(chaos::run(&campaign)).await.unwrap();
    println!("{}", report.text());
    assert!(report.holds());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_campaign_loses_nothing() {
    let stays: Vec<_> = Fault::all()
        .into_iter()
        .filter(|fault| !fault.loses_the_store())
        .collect();
    holds("chaos", 1, stays).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_fence_the_campaign_says_no() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let home = Home::own("chaos-control").unwrap();
    let dir = home.dir().join("platform");
    assert!(Box::pin(chaos::control::run(1, &dir)).await.unwrap());
}
