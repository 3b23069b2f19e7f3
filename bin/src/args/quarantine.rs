//! `tidewater quarantine`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::JobArgs;

/// `tidewater quarantine`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidewater quarantine jobs/card.sql\n  \
    tidewater quarantine jobs/card.sql --state state/ --by file\n\n\
    Shows what the last run published. Changes nothing.")]
pub struct QuarantineArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArgs,

    /// The state that the job keeps, if it keeps one
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// Count the rows by this instead of showing them
    #[arg(long, value_enum)]
    pub by: Option<QuarantineGroup>,

    /// Rows to show of each reason
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub limit: usize,

    /// Print JSON on standard output, and nothing else there
    #[arg(long)]
    pub json: bool,
}

/// The property by which rows are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum QuarantineGroup {
    /// The reason, without the value
    Reason,
    /// The column that cannot be read
    Column,
    /// The file
    File,
    /// The source
    Source,
}

impl QuarantineGroup {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reason => "reason",
            Self::Column => "column",
            Self::File => "file",
            Self::Source => "source",
        }
    }
}
