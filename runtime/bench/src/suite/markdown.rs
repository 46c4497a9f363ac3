//! The report of a run, for people.

use super::Suite;
use crate::ledger::CLIENTS;
use crate::text::grouped;

/// The whole report.
pub(super) fn report(suite: &Suite) -> String {
    [head(suite), ledger(suite)].join("\n")
}

fn head(suite: &Suite) -> String {
    let it = &suite.circumstances;
    let mut lines = vec![
        "# Benchmark".to_owned(),
        String::new(),
        format!("- {}, commit {}, profile {}", it.at, it.commit, it.profile),
        format!("- `{}`", it.command),
        format!("- {} cores, {}", it.cores, it.cpu),
        format!("- PostgreSQL {}", it.postgres),
        format!("- Kafka {}; Redis {}", it.kafka, it.redis),
        format!("- busy with other programs: {}", it.noise),
    ];
    if it.noise.is_loud() {
        let warning = "**Other programs were busy during this run: trust ratios, not rates.**";
        lines.extend([String::new(), warning.to_owned()]);
    }
    if it.profile != "release" {
        let warning = "**Not a release build: these rates say nothing about the product.**";
        lines.extend([String::new(), warning.to_owned()]);
    }
    lines.push(String::new());
    lines.join("\n")
}

fn ledger(suite: &Suite) -> String {
    let (results, plan) = (&suite.ledger, &suite.ledger_plan);
    let rounds = match plan.rounds {
        1 => "One round.".to_owned(),
        rounds => format!("Median (smallest-largest) of {rounds} interleaved rounds."),
    };
    let mut lines = vec![
        "## Ledger path".to_owned(),
        String::new(),
        "A full order log; the real `ticket-runtime processor`; the clock runs from the first fact until every \
         order's fact was read and every offset is committed. After each round facts, counters and rows agree to \
         the order."
            .to_owned(),
        rounds,
        String::new(),
        "| path | orders | batch | orders/s | x naive | CPU us/order: PostgreSQL | Kafka | Redis | processor |"
            .to_owned(),
        "|---|---|---|---|---|---|---|---|---|".to_owned(),
    ];
    for result in &results.paths {
        let (path, cpu) = (&result.path, &result.cpu_us);
        lines.push(format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            path.name,
            grouped(path.orders.into()),
            grouped(path.batch_max.into()),
            result.orders_per_s,
            result.times_naive,
            cpu.postgres,
            cpu.kafka,
            cpu.redis,
            cpu.processor,
        ));
    }
    lines.push(format!(
        "| naive: {CLIENTS} clients, `BEGIN; UPDATE one row; INSERT; COMMIT` | - | 1 | {} | 1 | - | - | - | - |",
        results.naive_per_s,
    ));
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{CpuPerOrder, PathResult, Plan, Results};
    use crate::stats::Spread;
    use crate::suite::circumstances::{Circumstances, Noise};

    fn suite(busy_percent: f64, profile: &'static str) -> Suite {
        let plan = Plan::full();
        let of = |value: f64| Spread::of(vec![value, value * 1.1, value * 0.9]);
        let paths = plan.paths.iter().map(|path| PathResult {
            path: path.clone(),
            orders_per_s: of(100_000.0),
            times_naive: of(45.0),
            cpu_us: CpuPerOrder {
                postgres: of(8.0),
                kafka: of(2.0),
                redis: of(1.0),
                processor: of(3.0),
            },
        });
        let ledger = Results {
            naive_per_s: of(2_400.0),
            paths: paths.collect(),
        };
        let text = |text: &str| text.to_owned();
        let circumstances = Circumstances {
            at: text("2026-01-01 00:00 UTC"),
            commit: text("0123456789ab"),
            command: text("ticket-bench suite"),
            profile,
            cpu: text("a processor"),
            cores: 2,
            postgres: text("15.20, plain, fsync on, synchronous_commit on"),
            kafka: text("4.1.0, one broker"),
            redis: text("7.0.15"),
            noise: Noise { busy_percent },
        };
        Suite {
            circumstances,
            ledger_plan: plan,
            ledger,
        }
    }

    #[test]
    fn a_report_has_both_sides_and_what_they_were_measured_on() {
        let report = report(&suite(1.0, "release"));
        for part in [
            "commit 0123456789ab, profile release",
            "fsync on",
            "| one hot stock shard | 400,000 | 1,000 | 100,000 (90,000-110,000) | 45.0 (40.5-49.5) |",
            "| naive: 8 clients, `BEGIN; UPDATE one row; INSERT; COMMIT` | - | 1 | 2,400 (2,160-2,640) |",
            "5 interleaved rounds",
        ] {
            assert!(report.contains(part), "{part}\n{report}");
        }
        assert!(!report.contains("**"), "{report}");
    }

    #[test]
    fn a_noisy_run_and_a_run_that_is_no_release_say_so() {
        let report = report(&suite(38.0, "dev"));
        assert!(report.contains("**Other programs were busy"), "{report}");
        assert!(report.contains("**Not a release build"), "{report}");
    }
}
