//! The report of a run, for people: circumstances, all bars, then what every measure says.

use super::circumstances::Circumstances;
use super::plan::Plan;
use super::section::{Bar, Section, Table};

/// The whole report.
pub(super) fn report(circumstances: &Circumstances, plan: &Plan, sections: &[Section]) -> String {
    let mut lines = head(circumstances, plan);
    lines.extend(bars(sections));
    for it in sections {
        lines.extend(section(it));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn head(it: &Circumstances, plan: &Plan) -> Vec<String> {
    let settings: Vec<_> = it
        .settings
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let mut lines = vec![
        "# Benchmark".to_owned(),
        String::new(),
        format!(
            "- {}, commit {}, profile {}, in {}",
            it.at, it.commit, it.profile, it.took
        ),
        format!("- `{}`", it.command),
        format!("- {} cores, {}", it.cores, it.cpu),
        format!("- PostgreSQL {}", it.postgres),
        format!("- Kafka {}; Redis {}", it.kafka, it.redis),
        format!(
            "- settings where a path says nothing else: {}",
            settings.join(", ")
        ),
        format!("- busy with other programs: {}", it.noise),
        match plan.rounds {
            1 => "- one round of everything".to_owned(),
            rounds => format!(
                "- median (smallest-largest) of {rounds} interleaved rounds; a single figure is of one round"
            ),
        },
    ];
    lines.extend(it.speed.iter().map(|speed| format!("- {speed}")));
    let mut warn = |warning: String| lines.extend([String::new(), format!("**{warning}**")]);
    if it.noise.is_loud() {
        let loud = it.noise.loud();
        warn(format!(
            "Other programs were busy {loud}: trust ratios, not rates."
        ));
    }
    if it.profile != "release" {
        warn("Not a release build: these rates say nothing about the product.".to_owned());
    }
    if plan.quick {
        warn(
            "A quick run: less of everything, once. Only a whole run decides whether a bar holds."
                .to_owned(),
        );
    }
    lines
}

fn bars(sections: &[Section]) -> Vec<String> {
    let bars: Vec<&Bar> = sections.iter().flat_map(|section| &section.bars).collect();
    if bars.is_empty() {
        return Vec::new();
    }
    let missed = bars.iter().filter(|bar| !bar.holds).count();
    let of = bars.len();
    let verdict = match missed {
        0 => format!("All {of} hold."),
        missed => format!("{missed} of {of} were MISSED."),
    };
    let mut table = Table::new(["what", "wanted", "reached", ""]);
    for bar in bars {
        let holds = if bar.holds { "holds" } else { "**MISSED**" };
        table.row([&bar.what, &bar.wanted, &bar.reached, holds]);
    }
    let mut lines = vec![String::new(), "## Bars".to_owned(), String::new(), verdict];
    lines.extend(table_lines(&table));
    lines
}

fn section(it: &Section) -> Vec<String> {
    let mut lines = vec![String::new(), format!("## {}", it.title)];
    for paragraph in &it.intro {
        lines.extend([String::new(), paragraph.clone()]);
    }
    for table in &it.tables {
        lines.extend(table_lines(table));
    }
    for bar in it.bars.iter().filter(|bar| !bar.holds) {
        let Bar {
            what,
            wanted,
            reached,
            ..
        } = bar;
        lines.extend([
            String::new(),
            format!("**MISSED**: {what}: {wanted}, reached {reached}."),
        ]);
    }
    if !it.notes.is_empty() {
        lines.push(String::new());
        lines.extend(it.notes.iter().map(|note| format!("- {note}")));
    }
    for plot in &it.plots {
        lines.extend([
            String::new(),
            format!("![{}]({}.svg)", plot.title(), plot.file()),
        ]);
    }
    lines
}

fn table_lines(table: &Table) -> Vec<String> {
    let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
    let mut lines = vec![
        String::new(),
        line(&table.columns),
        format!("|{}", "---|".repeat(table.columns.len())),
    ];
    lines.extend(table.rows.iter().map(|row| line(row)));
    lines
}

#[cfg(test)]
mod tests {
    use super::super::noise::{Noise, RoundNoise};
    use super::*;

    fn circumstances(busy_percent: f64, profile: &'static str) -> Circumstances {
        let text = |text: &str| text.to_owned();
        Circumstances {
            at: text("2026-01-01 00:00 UTC"),
            took: text("20 min"),
            commit: text("0123456789ab"),
            command: text("ticket-bench suite"),
            profile,
            cpu: text("a processor"),
            cores: 2,
            speed: Some(text("speed of this machine: half")),
            postgres: text("15.20, plain, fsync on, synchronous_commit on"),
            kafka: text("4.1.0, one broker"),
            redis: text("7.0.15"),
            settings: vec![(text("TICKET_CONSUMER_GATHER_MS"), text("5"))],
            noise: Noise {
                before_percent: 1.0,
                during: vec![RoundNoise {
                    measure: text("naive"),
                    round: 1,
                    percent: busy_percent,
                }],
            },
        }
    }

    fn ledger(holds: bool) -> Section {
        let text = |text: &str| text.to_owned();
        let mut table = Table::new(["path", "orders/s"]);
        table.row(["one hot stock shard", "115,000"]);
        Section {
            title: text("Ledger path"),
            intro: vec![text("A full log.")],
            tables: vec![table],
            plots: vec![super::super::section::Plot::cpu_per_order(
                "one",
                &[("Kafka", 1.0)],
            )],
            bars: vec![Bar {
                what: text("one hot stock shard"),
                wanted: text("at least x40 naive"),
                reached: text("x45 (43-51)"),
                holds,
            }],
            notes: vec![text("Of one machine.")],
        }
    }

    #[test]
    fn a_report_has_figures_bars_and_what_they_were_measured_on() {
        let report = report(
            &circumstances(1.0, "release"),
            &Plan::full(),
            &[ledger(true)],
        );
        for part in [
            "commit 0123456789ab, profile release",
            "fsync on",
            "TICKET_CONSUMER_GATHER_MS=5",
            "interleaved rounds",
            "- speed of this machine: half",
            "All 1 hold.",
            "| one hot stock shard | at least x40 naive | x45 (43-51) | holds |",
            "| path | orders/s |\n|---|---|\n| one hot stock shard | 115,000 |",
            "- Of one machine.",
            "![CPU per order by process](cpu-per-order.svg)",
        ] {
            assert!(report.contains(part), "{part}\n{report}");
        }
        assert!(!report.contains("**"), "{report}");
    }

    #[test]
    fn a_missed_bar_is_said_twice() {
        let report = report(
            &circumstances(1.0, "release"),
            &Plan::full(),
            &[ledger(false)],
        );
        assert!(report.contains("1 of 1 were MISSED."), "{report}");
        assert_eq!(report.matches("**MISSED**").count(), 2, "{report}");
    }

    #[test]
    fn noisy_quick_and_debug_runs_say_so() {
        let report = report(&circumstances(38.0, "dev"), &Plan::quick(), &[]);
        for part in [
            "**Other programs were busy in 1 of 1 rounds: naive (round 1: 38 %): trust ratios, not rates.**",
            "**Not a release build",
            "**A quick run",
        ] {
            assert!(report.contains(part), "{part}\n{report}");
        }
    }
}
