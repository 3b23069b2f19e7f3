//! The command line as clap parses it. Commands check everything that goes beyond the form of a single option.

mod demo;
mod job;
mod quarantine;
mod replay;
mod run;
mod state;

use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use clap::{Parser, Subcommand};

pub use demo::GenerateArgs;
#[cfg(feature = "kafka")]
pub use demo::ProduceArgs;
pub use job::{CheckArgs, ExplainArgs, GraphFormat, JobArgs};
pub use quarantine::{QuarantineArgs, QuarantineGroup};
pub use replay::ReplayArgs;
pub use run::{AllowArgs, FollowArgs, IntakeArgs, ProcessArgs, RunArgs};
pub use state::{ChangesArgs, HistoryArgs, OutputFormat, StateArgs, StatusArgs, VerifyArgs};

/// A batch engine that never has to run the batch again.
#[derive(Debug, Parser)]
#[command(
    name = "tidewater",
    version,
    about,
    long_about = "A batch engine that never has to run the batch again.\n\n\
        A job is one SQL file: CREATE EXTERNAL TABLE names its sources, CREATE MATERIALIZED VIEW the tables it keeps, \
        COPY … TO where they are published.",
    after_help = "Examples:\n  \
        tidewater generate --records 1000000 --out data/transactions\n  \
        tidewater check jobs/card.sql\n  \
        tidewater run jobs/card.sql --set input=data/transactions --set output=out --state state\n  \
        tidewater verify jobs/card.sql --set input=data/transactions --set output=out --state state\n\n\
        Exit codes: 0 done, 1 failed or differs, 2 usage or invalid job, 3 data was refused (nothing was published).",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: CliCommand,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Run a job: read everything it names, publish its tables, exit
    Run(RunArgs),
    /// Keep up with a job's sources until stopped: an epoch at an interval, each a commit
    Follow(FollowArgs),
    /// Show where a job's state stands: deliveries, what waits, sizes, tables
    Status(StatusArgs),
    /// Show the commits of a job's state, or those that changed a table
    History(HistoryArgs),
    /// Show the rows that commits inserted into a table and deleted from it
    Changes(ChangesArgs),
    /// Show the rows of a job that could not be read, the most common reasons first
    Quarantine(QuarantineArgs),
    /// Recompute the tables of a job's state with another engine, and compare every row
    Verify(VerifyArgs),
    /// Check a job without reading data: all errors at once, each with its place and a hint
    Check(CheckArgs),
    /// Show a job's plan as a graph: operators, keys, and the state that each keeps
    Explain(ExplainArgs),
    /// Feed a job its history step by step: what changes in each step, and what that costs
    Replay(ReplayArgs),
    /// Write a card company's transactions as CSV files, to try jobs on
    Generate(GenerateArgs),
    /// Feed the rows of files into a Kafka topic, to try jobs on
    #[cfg(feature = "kafka")]
    Produce(ProduceArgs),
}

/// More workers than this are a mistake.
fn worker_count() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=1024)
}

/// A length of time: a number and `ms`, `s`, `m`, `h` or `d`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is no time; write a number and ms, s, m, h or d, such as 30s");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.trim().parse().map_err(|_| wrong())?;
    let unit_ms = match text[digits.len()..].trim() {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    let milliseconds = number.checked_mul(unit_ms).ok_or_else(wrong)?;
    Ok(Duration::from_millis(milliseconds))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_a_number_and_a_unit() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("30", 30_000),
            ("5 m", 300_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
        ] {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(parse_duration(text).unwrap(), duration, "{text}");
        }
        for wrong in ["", "s", "-1s", "1.5s", "1w", "1s1", "99999999999999999999s"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
