//! Who else was busy: before the run the whole machine, during it whatever is neither ours nor a server that we started.

use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use crate::cpu;

/// How long the machine is watched before anything is started.
const WATCH_BEFORE: Duration = Duration::from_secs(2);

/// Above this share of all cores other programs disturb what is measured, percent.
const PERCENT_MAX: f64 = 10.0;

/// Rounds that the report names, the worst first.
const NAMED_MAX: usize = 5;

/// How long a tick of the kernel's counters is (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// How busy other programs were.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Noise {
    /// Share of all cores that were busy before anything was started, percent.
    pub(super) before_percent: f64,
    /// Each round.
    pub(super) during: Vec<RoundNoise>,
}

/// What others did during a round.
#[derive(Debug, Clone, Serialize)]
pub(super) struct RoundNoise {
    /// What was measured.
    pub(super) measure: String,
    /// Its round, from 1.
    pub(super) round: u32,
    /// Share of all cores that others used, percent.
    pub(super) percent: f64,
}

impl Noise {
    /// Too busy for figures that mean something.
    #[must_use]
    pub(super) fn is_loud(&self) -> bool {
        self.before_percent > PERCENT_MAX || self.loud_rounds().next().is_some()
    }

    fn loud_rounds(&self) -> impl Iterator<Item = &RoundNoise> {
        self.during
            .iter()
            .filter(|round| round.percent > PERCENT_MAX)
    }

    /// The rounds in which others were too busy, the worst first.
    #[must_use]
    pub(super) fn loud(&self) -> String {
        let mut loud: Vec<_> = self.loud_rounds().collect();
        loud.sort_by(|a, b| b.percent.total_cmp(&a.percent));
        let of = self.during.len();
        let named = loud.iter().take(NAMED_MAX).map(|it| {
            let RoundNoise {
                measure,
                round,
                percent,
            } = it;
            format!("{measure} (round {round}: {percent:.0} %)")
        });
        let named: Vec<_> = named.collect();
        match loud.len() {
            0 => "before the run".to_owned(),
            count => format!("in {count} of {of} rounds: {}", named.join(", ")),
        }
    }
}

impl fmt::Display for Noise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} % of all cores before the run",
            self.before_percent
        )?;
        let percents = self.during.iter().map(|round| round.percent);
        if let Some(most) = percents.clone().max_by(f64::total_cmp) {
            let spread = crate::stats::Spread::of(percents.collect());
            let median = spread.median;
            write!(f, ", {median:.0} % during it (at most {most:.0} %)")?;
        }
        Ok(())
    }
}

/// Watches the machine for a moment. Nothing of ours may run yet.
pub(super) async fn before() -> anyhow::Result<Noise> {
    let watch = Watch::begin()?;
    tokio::time::sleep(WATCH_BEFORE).await;
    Ok(Noise {
        before_percent: watch.others_percent()?,
        during: Vec::new(),
    })
}

/// The counters at the beginning of a round.
pub(super) struct Watch {
    machine: CpuTimes,
    ours: Duration,
}

impl Watch {
    pub(super) fn begin() -> anyhow::Result<Self> {
        Ok(Self {
            machine: CpuTimes::read()?,
            ours: ours()?,
        })
    }

    /// Share of all cores that other programs used since [`Watch::begin`], percent.
    pub(super) fn others_percent(&self) -> anyhow::Result<f64> {
        let machine = CpuTimes::read()?;
        let ours = ours()?.saturating_sub(self.ours);
        Ok(self.machine.others_percent(&machine, ours))
    }
}

/// CPU time of this process and of everything that it started: the servers end with it, so that they are its children.
fn ours() -> anyhow::Result<Duration> {
    cpu::of_tree(std::process::id())
}

/// Ticks of all cores together; only differences mean something, so that they may wrap.
struct CpuTimes {
    all: u32,
    /// In programs, or taken by the hypervisor. Interrupts are left out: the kernel serves our own loopback in them and
    /// counts that for nobody.
    busy: u32,
}

impl CpuTimes {
    fn read() -> anyhow::Result<Self> {
        let text = std::fs::read_to_string("/proc/stat").context("could not read /proc/stat")?;
        Self::parse(&text).context("/proc/stat does not begin with `cpu`")
    }

    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        // user nice system idle iowait irq softirq steal; guest times are in user already.
        let ticks: Vec<u64> = line
            .split_whitespace()
            .take(8)
            .map(str::parse)
            .collect::<Result<_, _>>()
            .ok()?;
        let busy = [0, 1, 2, 7]
            .into_iter()
            .map(|at| ticks.get(at).copied())
            .sum::<Option<u64>>()?;
        let wrapped = |ticks: u64| u32::try_from(ticks % (1 << 32)).unwrap_or(0);
        Some(Self {
            all: wrapped(ticks.iter().sum()),
            busy: wrapped(busy),
        })
    }

    /// What `ours` does not explain, percent of all ticks until `later`.
    fn others_percent(&self, later: &Self, ours: Duration) -> f64 {
        let all = f64::from(later.all.wrapping_sub(self.all)).max(1.0);
        let busy = f64::from(later.busy.wrapping_sub(self.busy));
        let ours = ours.as_secs_f64() / TICK.as_secs_f64();
        (100.0 * (busy - ours) / all).clamp(0.0, 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_time_and_all_time_of_the_kernels_line() {
        let times = CpuTimes::parse("cpu  10 1 20 300 4 5 6 7 0 0\ncpu0 1 1 1 1\n").unwrap();
        assert_eq!((times.all, times.busy), (353, 38));
        assert!(CpuTimes::parse("intr 1 2 3").is_none());
    }

    #[test]
    fn others_are_what_we_do_not_explain() {
        let early = CpuTimes {
            all: u32::MAX - 99,
            busy: u32::MAX,
        };
        let later = CpuTimes { all: 100, busy: 99 };
        let percent = early.others_percent(&later, Duration::from_millis(600));
        assert!((percent - 20.0).abs() < 1e-9, "{percent}");
        let explained = early.others_percent(&later, Duration::from_secs(5));
        assert!(explained.abs() < 1e-9, "{explained}");
    }

    #[test]
    fn a_run_is_loud_when_a_tenth_of_the_machine_is_busy_with_others() {
        let round = |round, percent| RoundNoise {
            measure: "four shards".to_owned(),
            round,
            percent,
        };
        let mut noise = Noise {
            before_percent: 3.0,
            during: vec![round(1, 2.0), round(2, 4.0)],
        };
        assert!(!noise.is_loud());
        assert_eq!(
            noise.to_string(),
            "3 % of all cores before the run, 3 % during it (at most 4 %)"
        );
        noise.during.push(round(3, 31.0));
        assert!(noise.is_loud());
        assert_eq!(
            noise.loud(),
            "in 1 of 3 rounds: four shards (round 3: 31 %)"
        );
        noise.during.clear();
        noise.before_percent = 60.0;
        assert!(noise.is_loud());
        assert_eq!(noise.loud(), "before the run");
    }
}
