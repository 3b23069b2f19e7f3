//! `replay`.

use std::path::PathBuf;

use clap::Args;
use tidewater_engine::drive::{Step, parse_time};

use super::{AllowArgs, JobArgs, ProcessArgs};

/// `tidewater replay`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidewater replay jobs/card.sql --step '1 day' --set input=data/transactions\n  \
    tidewater replay jobs/card.sql --step '1 hour' --from 2024-03-10 --to 2024-03-11\n  \
    tidewater replay jobs/card.sql --step '1 month' --by transaction_date --changes changes.jsonl\n\n\
    Nothing is published and no state is kept. Steps without rows are skipped.")]
pub struct ReplayArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArgs,

    /// Length of a step, such as '1 day', '15 minutes' or '1 month', counted from 1970-01-01; of topics also '10000
    /// messages', counted by offset in each partition
    #[arg(long, value_name = "LENGTH", value_parser = Step::parse)]
    pub step: Step,

    /// Assign rows to steps by this column, or SOURCE.COLUMN; repeat for more sources. Sources without one are loaded in
    /// full in the first step [default: the first TIMESTAMP or DATE that each source declares]
    #[arg(long, value_name = "COLUMN")]
    pub by: Vec<String>,

    /// Leave out rows before this date or timestamp
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub from: Option<i64>,

    /// Leave out messages before this offset, in each partition of every topic
    #[arg(long, value_name = "OFFSET", conflicts_with_all = ["from", "from_time"], value_parser = clap::value_parser!(i64).range(0..))]
    pub from_offset: Option<i64>,

    /// Leave out messages that were sent before this date or timestamp
    #[arg(long, value_name = "TIME", conflicts_with_all = ["from"], value_parser = parse_time)]
    pub from_time: Option<i64>,

    /// Leave out what is at this date or timestamp and later; with --from-offset at this offset, with --from-time what
    /// was sent then
    #[arg(long, value_name = "END")]
    pub to: Option<String>,

    /// Write every inserted and deleted row to FILE as JSON Lines; - for standard output, in place of the steps
    #[arg(long, value_name = "FILE")]
    pub changes: Option<PathBuf>,

    /// The problems that are accepted.
    #[command(flatten)]
    pub allow: AllowArgs,

    /// Threads and output.
    #[command(flatten)]
    pub process: ProcessArgs,
}
