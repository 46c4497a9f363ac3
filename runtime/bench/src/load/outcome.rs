//! What came back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::body::Bytes;

use super::Answer;
use crate::latency::Latency;

/// Bytes of an answer's body that an error shows.
const SHOWN_BYTES_MAX: usize = 300;

/// What a load reached.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Number of answers by status.
    pub answers: BTreeMap<u16, u64>,
    /// From the moment a request was due to the last byte of its answer.
    pub latency: Latency,
    /// The same by status.
    latencies: BTreeMap<u16, Latency>,
    /// From the first request to the last answer.
    pub took: Duration,
    /// Requests of a steady load that were due and were never sent, because no connection became free in time.
    pub unsent: u64,
    /// CPU time of the generator's threads.
    pub generator_cpu: Duration,
    /// Body of the first answer of each status.
    firsts: BTreeMap<u16, Bytes>,
}

impl Outcome {
    /// All answers.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.answers.values().sum()
    }

    /// Answers with `status`.
    #[must_use]
    pub fn of(&self, status: StatusCode) -> u64 {
        self.answers.get(&status.as_u16()).copied().unwrap_or(0)
    }

    /// Answers per second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        float(self.total()) / self.took.as_secs_f64().max(f64::EPSILON)
    }

    /// Microseconds of `cpu` per answer.
    #[must_use]
    pub fn us_per_answer(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() * 1e6 / float(self.total().max(1))
    }

    /// The latency that `percent` of all answers did not exceed, milliseconds; 0 without answers.
    #[must_use]
    pub fn percentile_ms(&self, percent: f64) -> f64 {
        let percentile = self.latency.percentile(percent).unwrap_or_default();
        percentile.as_secs_f64() * 1e3
    }

    /// The same of the answers with `status`.
    #[must_use]
    pub fn percentile_ms_of(&self, status: StatusCode, percent: f64) -> f64 {
        let latency = self.latencies.get(&status.as_u16());
        let percentile = latency.and_then(|latency| latency.percentile(percent));
        percentile.unwrap_or_default().as_secs_f64() * 1e3
    }

    /// Part of the answers that have `status`.
    #[must_use]
    pub fn share(&self, status: StatusCode) -> f64 {
        float(self.of(status)) / float(self.total().max(1))
    }

    /// How many answers there are, if there are any and all of them have `status`.
    ///
    /// # Errors
    /// Says what else came, with the first such answer.
    pub fn all(&self, status: StatusCode) -> anyhow::Result<u64> {
        self.only(&[status])
    }

    /// How many answers there are, if there are any and all of them have one of `statuses`.
    ///
    /// # Errors
    /// As [`Outcome::all`].
    pub fn only(&self, statuses: &[StatusCode]) -> anyhow::Result<u64> {
        let is_wanted = |code: u16| statuses.iter().any(|status| status.as_u16() == code);
        let others = self.answers.iter().filter(|(code, _)| !is_wanted(**code));
        let others: Vec<_> = others
            .map(|(code, count)| {
                let body = self.firsts.get(code).cloned().unwrap_or_default();
                let shown =
                    String::from_utf8_lossy(&body[..body.len().min(SHOWN_BYTES_MAX)]).into_owned();
                format!("{count} x {code}, the first: {shown}")
            })
            .collect();
        let wanted = statuses.iter().map(|status| self.of(*status)).sum();
        let named: Vec<_> = statuses.iter().map(ToString::to_string).collect();
        let named = named.join(" or ");
        anyhow::ensure!(
            wanted > 0 && others.is_empty(),
            "expected only answers with {named}, got {wanted} of them and {}",
            if others.is_empty() {
                "nothing else".to_owned()
            } else {
                others.join("; ")
            }
        );
        Ok(wanted)
    }
}

/// Exact up to 2^53, far above any count here.
fn float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Counts the answers of one thread.
#[derive(Debug, Default)]
pub(super) struct Tally {
    answers: BTreeMap<u16, u64>,
    latencies: BTreeMap<u16, Latency>,
    firsts: BTreeMap<u16, Bytes>,
    last: Option<Instant>,
    unsent: u64,
    cpu: Duration,
}

impl Tally {
    pub(super) fn count(&mut self, answer: &Answer) {
        let status = answer.status.as_u16();
        let count = self.answers.entry(status).or_default();
        if *count == 0 {
            self.firsts.insert(status, answer.body.clone());
        }
        *count += 1;
        let latency = self.latencies.entry(status).or_default();
        latency.record(answer.at.saturating_duration_since(answer.due));
        self.last = self.last.max(Some(answer.at));
    }

    /// What the thread knows when all its connections are done.
    pub(super) const fn close(&mut self, unsent: u64, cpu: Duration) {
        self.unsent = unsent;
        self.cpu = cpu;
    }

    /// Everything that was counted since `begin`.
    pub(super) fn outcome(tallies: Vec<Self>, begin: Instant) -> Outcome {
        let mut all = Self::default();
        let mut latency = Latency::default();
        for tally in tallies {
            for (status, count) in tally.answers {
                *all.answers.entry(status).or_default() += count;
            }
            for (status, body) in tally.firsts {
                all.firsts.entry(status).or_insert(body);
            }
            for (status, of_status) in tally.latencies {
                latency.add(&of_status);
                all.latencies.entry(status).or_default().add(&of_status);
            }
            all.last = all.last.max(tally.last);
            all.unsent += tally.unsent;
            all.cpu += tally.cpu;
        }
        let took = all.last.map(|last| last.saturating_duration_since(begin));
        Outcome {
            answers: all.answers,
            latency,
            latencies: all.latencies,
            took: took.unwrap_or_default(),
            unsent: all.unsent,
            generator_cpu: all.cpu,
            firsts: all.firsts,
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;

    use super::*;

    fn tally(begin: Instant, answers: &[(u16, u64)]) -> Tally {
        let mut tally = Tally::default();
        for (status, ms) in answers {
            tally.count(&Answer {
                status: StatusCode::from_u16(*status).unwrap(),
                headers: HeaderMap::new(),
                body: Bytes::from(format!("body {status}")),
                due: begin,
                at: begin + Duration::from_millis(*ms),
            });
        }
        tally
    }

    #[test]
    fn threads_add_up_and_a_stranger_among_the_answers_is_shown() {
        let begin = Instant::now();
        let tallies = vec![
            tally(begin, &[(202, 10), (202, 20)]),
            tally(begin, &[(202, 500)]),
        ];
        let outcome = Tally::outcome(tallies, begin);
        assert_eq!(outcome.all(StatusCode::ACCEPTED).unwrap(), 3);
        assert_eq!(outcome.took, Duration::from_millis(500));
        assert!((outcome.per_second() - 6.0).abs() < 1e-9);
        assert!((outcome.percentile_ms(100.0) - 500.0).abs() < 1.0);
        assert!((outcome.us_per_answer(Duration::from_micros(300)) - 100.0).abs() < 1e-9);

        let outcome = Tally::outcome(vec![tally(begin, &[(202, 1), (503, 2)])], begin);
        assert!((outcome.share(StatusCode::SERVICE_UNAVAILABLE) - 0.5).abs() < 1e-9);
        let refused = outcome.percentile_ms_of(StatusCode::SERVICE_UNAVAILABLE, 99.0);
        assert!((refused - 2.0).abs() < 0.1, "{refused}");
        assert!(outcome.percentile_ms_of(StatusCode::OK, 99.0).abs() < 1e-9);
        let error = outcome.all(StatusCode::ACCEPTED).unwrap_err().to_string();
        assert!(error.contains("1 x 503, the first: body 503"), "{error}");
        assert!(
            Tally::outcome(Vec::new(), begin)
                .all(StatusCode::ACCEPTED)
                .is_err()
        );
    }
}
