//! What can go wrong while servers are started and stopped.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use ticket_core::ErrorClass;

/// An action of the testkit that failed. Each says what to do next where that is not plain.
#[derive(Debug, thiserror::Error)]
pub enum TestkitError {
    /// A program that must be installed is not.
    #[error("{tool} is not installed ({looked}); next step: make install")]
    ToolMissing {
        /// Which one.
        tool: &'static str,
        /// Where it was looked for.
        looked: String,
    },
    /// One of our own binaries has not been built.
    #[error("{binary} is not built ({}); next step: make build", path.display())]
    NotBuilt {
        /// Name of the binary.
        binary: &'static str,
        /// Where it should be.
        path: PathBuf,
    },
    /// A file or folder could not be used.
    #[error("could not {action} {}", path.display())]
    File {
        /// A verb: `write`, `create`.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The remembered state of a stack cannot be read.
    #[error("could not understand {}; next step: make stack-clean", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: serde_json::Error,
    },
    /// No free port was found within a bounded number of tries.
    #[error("could not find a free port on 127.0.0.1")]
    NoFreePort,
    /// A port that a server must have again is somebody else's.
    #[error(
        "port {port} of {server} is taken by another process; next step: end that process, or make stack-clean"
    )]
    PortTaken {
        /// The server that needs it.
        server: String,
        /// The port.
        port: u16,
    },
    /// The operating system did not start a program.
    #[error("could not start {program}")]
    Spawn {
        /// The program.
        program: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A server ended before it was ready.
    #[error("{server} ended before it was ready; {} ends with:\n{tail}", log.display())]
    Died {
        /// Which server.
        server: String,
        /// Its log.
        log: PathBuf,
        /// The last lines of this start.
        tail: String,
    },
    /// A server lives but did not answer in time.
    #[error("{server} was not ready after {} s ({last}); its log is {}", waited.as_secs(), log.display())]
    NotReady {
        /// Which server.
        server: String,
        /// How long it was waited for.
        waited: Duration,
        /// What the last question got.
        last: String,
        /// Its log.
        log: PathBuf,
    },
    /// Something answers on the port, but it is not the process that was started.
    #[error("port {port} of {server} is answered by another process than ours ({pid})")]
    Stranger {
        /// Which server.
        server: String,
        /// The port.
        port: u16,
        /// The process that should own it.
        pid: u32,
    },
    /// A process could not be signalled.
    #[error("could not signal {server} (process {pid})")]
    Signal {
        /// Which server.
        server: String,
        /// Its process.
        pid: u32,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A process is still there after SIGKILL.
    #[error("{server} (process {pid}) does not end")]
    WouldNotStop {
        /// Which server.
        server: String,
        /// Its process.
        pid: u32,
    },
    /// A helper program came back with an error.
    #[error("{what} failed:\n{output}")]
    Command {
        /// What it was to do.
        what: String,
        /// What it said.
        output: String,
    },
    /// Certificates of public authorities are not there.
    #[error("{} is missing; next step: apt-get install ca-certificates", path.display())]
    NoAuthorities {
        /// Where they should be.
        path: PathBuf,
    },
    /// A statement on PostgreSQL failed.
    #[error("could not {action}")]
    Database {
        /// A verb with its object.
        action: String,
        /// Why.
        #[source]
        cause: sqlx::Error,
    },
    /// Kafka did not do what a reseller asked of it.
    #[error("the reseller could not {action}")]
    Kafka {
        /// A verb with its object.
        action: String,
        /// Why.
        #[source]
        cause: rdkafka::error::KafkaError,
    },
    /// What the platform told a reseller does not fit into its books.
    #[error("the reseller's books do not agree: {found}")]
    Books {
        /// What differs.
        found: String,
    },
    /// A setting from the environment cannot be used.
    #[error("{name} cannot be used: {reason}")]
    Setting {
        /// The variable.
        name: &'static str,
        /// Why.
        reason: String,
    },
    /// The worker thread of a blocking call is gone.
    #[error("a blocking call was cancelled")]
    Cancelled,
}

/// The result of everything in this crate.
pub(crate) type Result<T> = std::result::Result<T, TestkitError>;

impl TestkitError {
    /// What the caller may do: a server that was slow or lost its port may start when asked again.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotReady { .. } | Self::NoFreePort | Self::Stranger { .. } | Self::Cancelled => {
                ErrorClass::Retry
            }
            Self::PortTaken { .. } => ErrorClass::Conflict,
            Self::Database { .. } | Self::Kafka { .. } | Self::WouldNotStop { .. } => {
                ErrorClass::Ambiguous
            }
            Self::ToolMissing { .. }
            | Self::NotBuilt { .. }
            | Self::File { .. }
            | Self::State { .. }
            | Self::Spawn { .. }
            | Self::Died { .. }
            | Self::Signal { .. }
            | Self::Command { .. }
            | Self::NoAuthorities { .. }
            | Self::Books { .. }
            | Self::Setting { .. } => ErrorClass::Permanent,
        }
    }

    /// The stable name of what failed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::ToolMissing { .. } => "tool-missing",
            Self::NotBuilt { .. } => "not-built",
            Self::File { .. } => "file-failed",
            Self::State { .. } => "state-unreadable",
            Self::NoFreePort => "no-free-port",
            Self::PortTaken { .. } => "port-taken",
            Self::Spawn { .. } => "spawn-failed",
            Self::Died { .. } => "server-died",
            Self::NotReady { .. } => "server-not-ready",
            Self::Stranger { .. } => "stranger-on-port",
            Self::Signal { .. } => "signal-failed",
            Self::WouldNotStop { .. } => "would-not-stop",
            Self::Command { .. } => "command-failed",
            Self::NoAuthorities { .. } => "no-authorities",
            Self::Database { .. } => "database-failed",
            Self::Kafka { .. } => "kafka-failed",
            Self::Books { .. } => "books-differ",
            Self::Setting { .. } => "setting-refused",
            Self::Cancelled => "cancelled",
        }
    }

    /// The error with all its causes in one line, for people.
    #[must_use]
    pub fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}
