//! `ticket-stack`: the local stack from a command line.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use ticket_testkit::TestkitError;
use ticket_testkit::image::{self, ImageOptions};
use ticket_testkit::stack::{self, Given, Roles, Say, StackOptions, Status};
use tokio::signal::unix::{SignalKind, signal};

/// What a shell reports of a program that was interrupted.
const INTERRUPTED: u8 = 130;

/// The local stack: kube-apiserver, Kafka, PostgreSQL, Redis, the sandbox of the payment provider, runtime and operator.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Folder of the stack [default: .stack in the checkout].
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Start what does not run, on the ports and data of the last time.
    Up {
        /// Without our own processes.
        #[arg(long)]
        servers_only: bool,
        /// The runtime as one process, or one per role.
        #[arg(long, env = "ROLES", default_value = "all")]
        roles: Roles,
        #[command(flatten)]
        given: Given,
    },
    /// Stop everything; data and ports stay.
    Down,
    /// Show what runs.
    Status,
    /// Stop everything and remove data, logs and settings; what was installed stays.
    Clean,
    /// Write an OCI image of each program as a tar ball.
    Image {
        /// Folder of the tar balls.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// The time that files and image carry, seconds since 1970, so that the same programs give the same bytes.
        #[arg(
            long,
            env = "SOURCE_DATE_EPOCH",
            default_value = "0",
            value_name = "SECONDS"
        )]
        created: i64,
        /// Programs of this workspace, as they are built.
        #[arg(required = true, value_name = "PROGRAM")]
        programs: Vec<PathBuf>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let dir = args.dir.unwrap_or_else(stack::default_dir);
    let work = Box::pin(run(dir, args.verb));
    // A start that is interrupted ends what it had started and what is not ready yet.
    let result = tokio::select! {
        result = work => result,
        () = interrupted() => {
            say("interrupted; what is ready runs on: make stack-down");
            return ExitCode::from(INTERRUPTED);
        }
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            say(&format!("error: {}", error.with_causes()));
            ExitCode::FAILURE
        }
    }
}

/// Ctrl-C, or the end of somebody's patience.
async fn interrupted() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signals) => signals.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated => {}
    }
}

async fn run(dir: PathBuf, verb: Verb) -> Result<ExitCode, TestkitError> {
    let say: Say = Arc::new(say);
    match verb {
        Verb::Up {
            servers_only,
            roles,
            given,
        } => {
            let roles = (!servers_only).then_some(roles);
            let env = dir.join("env");
            stack::up(&StackOptions {
                dir,
                roles,
                given,
                say: Arc::clone(&say),
            })
            .await?;
            say(&format!("up; addresses and tokens: {}", env.display()));
        }
        Verb::Down => stack::down(&dir, &say).await?,
        Verb::Clean => stack::clean(&dir, &say).await?,
        Verb::Image {
            out,
            created,
            programs,
        } => images(&out, created, programs)?,
        Verb::Status => {
            let status = stack::status(&dir)?;
            print(&status);
            if !status.is_up() {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn images(out_dir: &Path, created_s: i64, programs: Vec<PathBuf>) -> Result<(), TestkitError> {
    for program in programs {
        let made = image::write(&ImageOptions {
            program,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            created_s,
            out: out_dir.to_path_buf(),
        })?;
        let (mib, path) = (made.bytes.div_ceil(1 << 20), made.path.display());
        out(&format!("{} {} {mib} MiB {path}", made.name, made.digest));
    }
    Ok(())
}

fn print(status: &Status) {
    if status.processes.is_empty() {
        out("nothing runs");
        return;
    }
    out(&format!(
        "{:<20} {:>8} {:>6} {:>8}  {}",
        "NAME", "PID", "PORT", "MEMORY", "STATE"
    ));
    for process in &status.processes {
        let pid = process
            .pid
            .map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let memory = process
            .resident_kib
            .map_or_else(|| "-".to_owned(), |kib| format!("{} MiB", kib / 1024));
        let state = match (process.pid, process.is_listening) {
            (Some(_), true) => "running",
            (Some(_), false) => "running, does not listen",
            (None, _) => "dead",
        };
        out(&format!(
            "{:<20} {pid:>8} {:>6} {memory:>8}  {state}",
            process.name, process.port
        ));
    }
}

// A reader that went away (`| head`) is no reason to fail.
fn out(line: &str) {
    drop(writeln!(std::io::stdout(), "{line}"));
}

fn say(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}
