//! The command line as clap parses it. Commands check everything that goes beyond the form of a single option.

mod demo;
mod job;
mod quarantine;
mod replay;
mod run;
mod state;
mod values;

use clap::{Parser, Subcommand};

pub use demo::GenerateArgs;
#[cfg(feature = "kafka")]
pub use demo::ProduceArgs;
pub use job::{CheckArgs, ExplainArgs, GraphFormat, JobArgs};
pub use quarantine::{QuarantineArgs, QuarantineGroup};
pub use replay::ReplayArgs;
pub use run::{AllowArgs, AuditArgs, CommonArgs, FollowArgs, ProcessArgs, RunArgs, SkipArgs, WAIT};
pub use state::{
    ChangesArgs, HistoryArgs, OutputFormat, QualityArgs, QualityFormat, StateArgs, StatusArgs,
    VerifyArgs,
};

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
    /// Judge what a run would publish, and publish nothing
    Audit(AuditArgs),
    /// Keep up with a job's sources until stopped: an epoch at an interval, each a commit
    Follow(FollowArgs),
    /// Show where a job's state stands: deliveries, what waits, sizes, tables
    Status(StatusArgs),
    /// Show the commits of a job's state, or those that changed a table
    History(HistoryArgs),
    /// Show the results of a job's assertions at its commits, with a score
    Quality(QualityArgs),
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
