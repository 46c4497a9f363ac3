//! How a command ends: exit codes (CONTRACT section 5), and failures that say what to do next.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use ticket_admin::AdminError;
use ticket_core::Code;

use crate::output::Output;

/// What to do when the platform says "not now".
const BUSY: &str = "`ticketctl doctor` says what is down or busy; then try again";

/// What to do when nobody or somebody else answers.
const UNREACHABLE: &str = "check --admin-url and whether the runtime is up: `ticketctl doctor`";

/// Exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, and all is well.
    Ok = 0,
    /// Something failed, or an audit or a check found something.
    Error = 1,
    /// The command cannot be understood.
    Usage = 2,
    /// There is no such thing.
    NotFound = 3,
    /// Refused by a lock or a precondition.
    Refused = 4,
    /// It took too long.
    Timeout = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it should.
#[derive(Debug)]
pub enum Failure {
    /// Whoever read our output has enough. Nobody is left to tell.
    ReaderGone,
    /// Something failed.
    Failed {
        /// Exit code.
        exit: Exit,
        /// Stable code, if there is one.
        code: Option<String>,
        /// What and why.
        cause: anyhow::Error,
        /// What to do next.
        next: Option<String>,
    },
}

impl Failure {
    /// A failure without a code.
    #[must_use]
    pub fn new(exit: Exit, cause: anyhow::Error) -> Self {
        Self::Failed {
            exit,
            code: None,
            cause,
            next: None,
        }
    }

    /// What to do next; the first word on it stands.
    #[must_use]
    pub fn or_next(mut self, step: impl Into<String>) -> Self {
        if let Self::Failed { next, .. } = &mut self {
            next.get_or_insert_with(|| step.into());
        }
        self
    }

    /// What to do next, said by somebody who knows better than who spoke first.
    #[must_use]
    pub fn but_next(mut self, step: impl Into<String>) -> Self {
        if let Self::Failed { next, .. } = &mut self {
            *next = Some(step.into());
        }
        self
    }

    /// An answer of the API server that is missing or a refusal. `action` completes "could not ...".
    #[must_use]
    pub fn kube(action: &str, error: kube::Error) -> Self {
        let kube::Error::Api(status) = error else {
            let text = format!("could not {action}");
            let next = "check the API server and your kubeconfig: `ticketctl doctor`";
            return Self::new(Exit::Error, anyhow::Error::new(error).context(text)).or_next(next);
        };
        // A missing object is named in `details`; a path that the server does not know has none.
        let is_object = status
            .details
            .as_ref()
            .is_some_and(|it| !it.name.is_empty());
        let (exit, next) = match status.code {
            404 if is_object => (
                Exit::NotFound,
                "`ticketctl events list -A` shows what there is",
            ),
            404 => (
                Exit::Error,
                "the resource definitions are missing: kubectl apply -f crds/",
            ),
            401 => (
                Exit::Error,
                "log in again: the kubeconfig's credentials are not accepted",
            ),
            403 => (
                Exit::Error,
                "ask for the role ticketctl-event-viewer to look or ticketctl-event-manager to change, or use another --context",
            ),
            409 => (
                Exit::Refused,
                "somebody else changed it meanwhile: look again",
            ),
            _ => (
                Exit::Error,
                "`ticketctl doctor` checks the way to the API server",
            ),
        };
        let what = status.message.trim();
        Self::new(exit, anyhow::anyhow!("could not {action}: {what}")).or_next(next)
    }

    /// Nothing came for so long.
    #[must_use]
    pub fn timeout(what: impl std::fmt::Display) -> Self {
        Self::new(Exit::Timeout, anyhow::anyhow!("{what}"))
    }

    /// The command as a whole took longer than `--timeout` allows. What it had begun may go on without it.
    #[must_use]
    pub(crate) fn out_of_time(limit: Duration) -> Self {
        let what = format!("not at its end after {limit:?}");
        Self::timeout(what).or_next(
            "a longer --timeout; if something was to be changed, look first whether it was",
        )
    }

    /// Tells it to the person and gives the exit code.
    pub fn tell(self, output: &mut Output<'_>) -> Exit {
        match self {
            Self::ReaderGone => Exit::Ok,
            Self::Failed {
                exit,
                code,
                cause,
                next,
            } => {
                let code = code.map(|code| format!(" [{code}]")).unwrap_or_default();
                output.word(&format!("error: {}{code}", line(&cause)));
                if let Some(next) = next {
                    output.word(&format!("next: {next}"));
                }
                exit
            }
        }
    }
}

/// The whole story on one line; what a cause repeats is said once.
pub(crate) fn line(error: &anyhow::Error) -> String {
    let mut story = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if story.ends_with(&text) {
            continue;
        }
        if !story.is_empty() {
            story.push_str(": ");
        }
        story.push_str(&text);
    }
    story
}

impl From<io::Error> for Failure {
    /// Of writing our output: nothing else here writes or reads.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ReaderGone;
        }
        Self::new(
            Exit::Error,
            anyhow::Error::new(error).context("could not write the output"),
        )
        .or_next("make room there, or write to another place")
    }
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        let exit = match &error {
            AdminError::Address { .. } => Exit::Usage,
            AdminError::Problem { problem } => match problem.status {
                404 => Exit::NotFound,
                409 | 423 => Exit::Refused,
                _ => Exit::Error,
            },
            AdminError::Broken { cause, .. } if cause.is_timeout() => Exit::Timeout,
            AdminError::Silent { .. } => Exit::Timeout,
            AdminError::Client { .. }
            | AdminError::Unreachable { .. }
            | AdminError::Broken { .. }
            | AdminError::Foreign { .. } => Exit::Error,
        };
        let code = error.code().to_owned();
        let next = match code.parse::<Code>() {
            // The code's own page speaks to buyers, who repeat a request.
            Ok(_) if error.is_passing() => BUSY.to_owned(),
            Ok(known) => known.next_step().to_owned(),
            Err(()) => UNREACHABLE.to_owned(),
        };
        // A problem prints its code itself.
        let code = (!matches!(error, AdminError::Problem { .. })).then_some(code);
        Self::Failed {
            exit,
            code,
            cause: error.into(),
            next: Some(next),
        }
    }
}

#[cfg(test)]
mod tests {
    use ticket_admin::Problem;

    use super::*;

    fn problem(code: Code) -> Failure {
        let problem = Problem {
            kind: code.problem_type().to_owned(),
            title: code.title().to_owned(),
            status: code.http_status(),
            detail: None,
            code: code.as_str().to_owned(),
            trace_id: None,
        };
        AdminError::Problem {
            problem: Box::new(problem),
        }
        .into()
    }

    fn told(failure: Failure) -> (Exit, String) {
        let (mut data, mut words) = (Vec::new(), Vec::new());
        let mut output = Output::new(&mut data, &mut words, crate::output::Format::Table, false);
        let exit = failure.tell(&mut output);
        assert!(data.is_empty());
        (exit, String::from_utf8(words).unwrap())
    }

    #[test]
    fn a_problem_decides_the_exit_code_and_brings_its_next_step() {
        let (exit, words) = told(problem(Code::NotFound));
        assert_eq!(exit, Exit::NotFound);
        assert_eq!(
            words,
            format!(
                "error: {} (not-found)\nnext: {}\n",
                Code::NotFound.title(),
                Code::NotFound.next_step()
            )
        );
        assert_eq!(told(problem(Code::IllegalTransition)).0, Exit::Refused);
        assert_eq!(told(problem(Code::Overloaded)).0, Exit::Error);
    }

    #[test]
    fn a_closed_pipe_is_told_to_nobody() {
        let gone = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(told(gone.into()), (Exit::Ok, String::new()));
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(told(full.into()).0, Exit::Error);
    }
}
