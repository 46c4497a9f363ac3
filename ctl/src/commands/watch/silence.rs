//! A server that does not answer somebody who watches.

use std::time::{Duration, Instant};

use ticket_admin::AdminError;

use crate::exit::Failure;
use crate::output::Output;

/// Longest silence that is borne: ten minutes outlast a restart, and a forgotten window gives up.
const PATIENCE: Duration = Duration::from_mins(10);

/// Since when nobody answers.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    since: Option<Instant>,
}

impl Silence {
    /// There was an answer.
    pub(crate) fn end(&mut self) {
        self.since = None;
    }

    /// Goes on when the same question may find an answer later, and says so once.
    ///
    /// # Errors
    /// `error` itself when it stays, or when the silence lasts for too long.
    pub(crate) fn bear(
        &mut self,
        error: AdminError,
        output: &mut Output<'_>,
    ) -> Result<(), Failure> {
        self.bear_at(Instant::now(), error, output)
    }

    fn bear_at(
        &mut self,
        now: Instant,
        error: AdminError,
        output: &mut Output<'_>,
    ) -> Result<(), Failure> {
        let is_new = self.since.is_none();
        let since = *self.since.get_or_insert(now);
        if !error.is_passing() || now.duration_since(since) >= PATIENCE {
            return Err(error.into());
        }
        if is_new {
            output.word(&format!("{error}; asking again"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    fn silent() -> AdminError {
        AdminError::Silent {
            silence: Duration::from_secs(10),
        }
    }

    #[test]
    fn a_server_that_restarts_is_waited_for_and_one_that_stays_away_is_not() {
        let (mut data, mut words) = (Vec::new(), Vec::new());
        let mut output = Output::new(&mut data, &mut words, Format::Table, false);
        let mut silence = Silence::default();
        let start = Instant::now();
        for second in 0..3 {
            let now = start + Duration::from_secs(second);
            silence.bear_at(now, silent(), &mut output).unwrap();
        }
        let end = start + PATIENCE;
        assert!(silence.bear_at(end, silent(), &mut output).is_err());
        silence.end();
        silence.bear_at(end, silent(), &mut output).unwrap();
        let lasting = AdminError::Address { url: String::new() };
        assert!(silence.bear_at(end, lasting, &mut output).is_err());
        // Once per silence.
        let words = String::from_utf8(words).unwrap();
        assert_eq!(words.matches("asking again").count(), 2, "{words}");
    }
}
