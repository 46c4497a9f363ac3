//! The command line of `ticket-bench`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand};
use ticket_core::EventName;
use ticket_testkit::stack::{self, Given, Roles};
use ticket_testkit::{Citus, workspace_dir};

use crate::campaign::{self, Campaign};
use crate::chaos::{self, fault::Fault};
use crate::demo::{self, Demo};
use crate::http::{self, bare::BareArgs};
use crate::profile::{self, Profiled};
use crate::sale::{self, Sale};
use crate::stack_env::StackEnv;
use crate::suite::plan::Plan;
use crate::{report, say, suite};

/// Simulated buyers, the demo and the benchmarks of the ticket platform.
#[derive(Parser)]
#[command(version)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Start the stack, apply the example, let the buyers buy it out, print the report, stop the stack.
    Demo {
        #[command(flatten)]
        crowd: Crowd,
        /// Leave the stack running and say how to go on.
        #[arg(long, env = "KEEP", value_parser = clap::builder::BoolishValueParser::new(), num_args = 0..=1, default_value = "false", default_missing_value = "true")]
        keep: bool,
        /// The runtime as one process, or one per role.
        #[arg(long, env = "ROLES", default_value = "all")]
        roles: Roles,
        /// Folder of the stack [default: .stack in the checkout].
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        #[command(flatten)]
        given: Given,
    },
    /// Let the buyers come to an event of a stack that runs.
    Buyers {
        /// `<namespace>.<name>`; it must be on sale.
        event: EventName,
        #[command(flatten)]
        crowd: Crowd,
        /// Folder of the stack [default: .stack in the checkout].
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Hold a sale on a stack of its own while webhooks come late, twice, shuffled or never; stops the stack.
    Campaign {
        #[command(flatten)]
        campaign: CampaignArgs,
        /// Folder of the stack [default: .stack/campaign in the checkout].
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Hold sale after sale while processes and servers are killed, paused and robbed of their data; report in target/chaos.
    Chaos(ChaosArgs),
    /// Measure the platform's paths beside their baselines; report in target/bench.
    Suite {
        /// One round over fewer orders.
        #[arg(long, env = "QUICK", value_parser = clap::builder::BoolishValueParser::new(), num_args = 0..=1, default_value = "false", default_missing_value = "true")]
        quick: bool,
        /// Only what has one of these words in its name, reported in target/bench/only; name the baseline, too.
        #[arg(long, env = "ONLY", value_name = "WORD", value_delimiter = ',')]
        only: Vec<String>,
        /// Without Citus, also where it is installed.
        #[arg(long)]
        plain: bool,
    },
    /// Sample where a program spends its CPU time under a load of the benchmarks; report in target/profile.
    Profile {
        /// Which program.
        program: Profiled,
        /// How long it is sampled, seconds.
        #[arg(long, env = "SECONDS_SAMPLED", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=60))]
        seconds: u64,
    },
    /// The baseline of the HTTP path: answers orders without doing anything. Started by the suite.
    #[command(hide = true)]
    Bare(BareArgs),
}

#[derive(ClapArgs)]
struct CampaignArgs {
    /// Tickets on sale; three times as many buyers come.
    #[arg(long, env = "TICKETS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    tickets: u32,
    /// Which buyers come.
    #[arg(long, env = "SEED", default_value_t = 1)]
    seed: u64,
    /// The runtime as one process, one per role, or two per role.
    #[arg(long, env = "ROLES", default_value = "all")]
    roles: Roles,
    /// Kill one process of each role in the middle, and start it again. With `all` it is the only one.
    #[arg(long)]
    kill: bool,
}

#[derive(ClapArgs)]
struct ChaosArgs {
    /// Seed of the first run; the others follow.
    #[arg(long, env = "SEED", default_value_t = 1)]
    seed: u64,
    /// How many runs.
    #[arg(long, env = "RUNS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: u32,
    /// Only these faults.
    #[arg(long, env = "ONLY", value_name = "FAULT", value_delimiter = ',')]
    only: Vec<Fault>,
    /// One sale without the fence instead, which must not add up.
    #[arg(long)]
    control: bool,
    /// Folder of the platform; emptied first [default: .stack/chaos in the checkout].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(ClapArgs)]
struct Crowd {
    /// How many buyers come.
    #[arg(long, env = "BUYERS", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    buyers: u32,
    /// Which buyers come: the same seed is the same crowd.
    #[arg(long, env = "SEED", default_value_t = 1)]
    seed: u64,
}

/// Carries out what was asked for. Says whether everything added up.
pub async fn run(args: Args) -> anyhow::Result<bool> {
    match args.verb {
        Verb::Demo {
            crowd: Crowd { buyers, seed },
            keep,
            roles,
            dir,
            given,
        } => {
            let dir = dir.unwrap_or_else(stack::default_dir);
            Box::pin(demo::run(Demo {
                dir,
                roles,
                given,
                buyers,
                seed,
                keep,
            }))
            .await
        }
        Verb::Buyers {
            event,
            crowd: Crowd { buyers, seed },
            dir,
        } => {
            let env = StackEnv::read(&dir.unwrap_or_else(stack::default_dir))?;
            let sale = Sale {
                event,
                buyers,
                seed,
                faults: sale::Faults::default(),
            };
            let outcome = Box::pin(sale::hold(&env, &sale)).await?;
            say::report(&report::of_sale(&sale, &outcome));
            Ok(outcome.holds())
        }
        Verb::Campaign { campaign, dir } => {
            let CampaignArgs {
                tickets,
                seed,
                roles,
                kill,
            } = campaign;
            let dir = dir.unwrap_or_else(|| stack::default_dir().join("campaign"));
            let campaign = Campaign {
                tickets,
                seed,
                roles,
                kill,
            };
            let (sale, outcome) = Box::pin(campaign::run(&campaign, &dir)).await?;
            say::report(&report::of_sale(&sale, &outcome));
            Ok(outcome.holds())
        }
        Verb::Chaos(args) => Box::pin(run_chaos(args)).await,
        Verb::Suite { quick, only, plain } => {
            let plan = if quick { Plan::quick() } else { Plan::full() };
            let citus = if plain {
                Citus::Never
            } else {
                Citus::IfInstalled
            };
            Box::pin(suite::run(plan, &only, citus)).await?;
            Ok(true)
        }
        Verb::Bare(bare) => {
            http::bare::serve(bare).await?;
            Ok(true)
        }
        Verb::Profile { program, seconds } => {
            Box::pin(profile::run(program, Duration::from_secs(seconds))).await?;
            Ok(true)
        }
    }
}

/// Says whether the campaign held, or the control did not.
async fn run_chaos(args: ChaosArgs) -> anyhow::Result<bool> {
    let ChaosArgs {
        seed,
        runs,
        only,
        control,
        dir,
    } = args;
    let dir = dir.unwrap_or_else(|| stack::default_dir().join("chaos"));
    if control {
        return chaos::control::run(seed, &dir).await;
    }
    let out = workspace_dir().join("target/chaos");
    let campaign = chaos::Campaign {
        seed,
        runs,
        only,
        dir,
        kept: out.clone(),
    };
    let told = chaos::run(&campaign).await?;
    told.write(&out)?;
    say::report(&told.text());
    Ok(told.holds())
}
