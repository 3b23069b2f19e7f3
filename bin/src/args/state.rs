//! The commands that inspect a state: `status`, `history`, `quality`, `changes` and `verify`.
//!
//! A state has the job with which it was last run, so the job need not be given. If a command also takes tables, a
//! first word that is not a file and does not end with `.sql` is a table.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::job::parse_setting;
use super::values::worker_count;

/// A job and its state, to be inspected.
#[derive(Clone, Debug, Args)]
pub struct StateArgs {
    /// The job: a SQL file [default: the one that the state was last run with, with its variables]
    #[arg(value_name = "JOB")]
    pub job: Option<PathBuf>,

    /// Fill ${NAME} in the job; repeat for more. Otherwise taken from the environment variable NAME
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse_setting)]
    pub settings: Vec<(String, String)>,

    /// The state that `tidewater run JOB --state DIR` keeps
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,

    /// Print JSON on standard output, and nothing else there
    #[arg(long)]
    pub json: bool,
}

impl StateArgs {
    /// If the first word is not a job, it counts as one of the `words` after it.
    pub fn with_words(&self, words: impl IntoIterator<Item = String>) -> (Self, Vec<String>) {
        let is_job =
            |job: &PathBuf| job.extension().is_some_and(|end| end == "sql") || job.exists();
        let (job, first) = match &self.job {
            Some(word) if !is_job(word) => (None, Some(word.display().to_string())),
            job => (job.clone(), None),
        };
        let args = Self {
            job,
            ..self.clone()
        };
        (args, first.into_iter().chain(words).collect())
    }
}

/// `tidewater status`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    tidewater status --state state/\n\n\
    Changes nothing. Waiting files are found by size, times and inode. Only the content of files in doubt is read, or with\n\
    --rehash that of all files.")]
pub struct StatusArgs {
    /// The job and its state.
    #[command(flatten)]
    pub state: StateArgs,

    /// List every delivery that the state holds
    #[arg(long)]
    pub files: bool,

    /// Compare the content of all files, even of those whose size, times and inode are as they were
    #[arg(long)]
    pub rehash: bool,
}

/// `tidewater history`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidewater history --state state/ --last 10\n  \
    tidewater history --state state/ monthly_trend")]
pub struct HistoryArgs {
    /// The job and its state.
    #[command(flatten)]
    pub state: StateArgs,

    /// Only the commits that changed this table
    #[arg(value_name = "TABLE")]
    pub table: Option<String>,

    /// Only the last N of them
    #[arg(long, value_name = "N")]
    pub last: Option<usize>,
}

/// `tidewater quality`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidewater quality --state state/\n  \
    tidewater quality jobs/card-quality.sql --state state/ --json > quality.json\n  \
    tidewater quality --state state/ --format dbt > run_results.json\n\n\
    The score of a commit is the share of its assertions that hold, from 0 to 100. A warning counts half.\n\
    An assertion of severity error weighs three times as much as one of severity warn.")]
pub struct QualityArgs {
    /// The job and its state.
    #[command(flatten)]
    pub state: StateArgs,

    /// Show the last N commits
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub last: usize,

    /// How to print the results; --json is --format json
    #[arg(long, value_enum, default_value_t = QualityFormat::Text)]
    pub format: QualityFormat,
}

/// Forms of the results of assertions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum QualityFormat {
    /// Tables, for people
    Text,
    /// The last results and the trend
    Json,
    /// dbt's `run_results.json`, with a test for each assertion
    Dbt,
    /// A run event of `OpenLineage`, with an assertion for each
    Openlineage,
}

/// `tidewater changes`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidewater changes monthly_trend --state state/            # what the last commit changed\n  \
    tidewater changes monthly_trend --state state/ --since 7 --net --format csv\n  \
    tidewater changes monthly_trend --state state/ --staged   # what a run would change now\n\n\
    A row that was inserted counts +1, one that was deleted -1: a corrected row is both. --net adds up all commits.")]
pub struct ChangesArgs {
    /// The job and its state.
    #[command(flatten)]
    pub state: StateArgs,

    /// The table
    #[arg(value_name = "TABLE")]
    pub table: Option<String>,

    /// Commits after this epoch [default: the last commit alone]
    #[arg(long, value_name = "EPOCH")]
    pub since: Option<u64>,

    /// Commits up to this epoch; without --since this one alone
    #[arg(long, value_name = "N")]
    pub epoch: Option<u64>,

    /// Add up the changes of all commits
    #[arg(long)]
    pub net: bool,

    /// Show what a run would change now, whether it would be published or refused; nothing is published
    #[arg(long, conflicts_with_all = ["since", "epoch", "net"])]
    pub staged: bool,

    /// How to print rows; --json is --format jsonl
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    pub format: OutputFormat,

    /// Rows to print at most [default: 50 as a table, otherwise all]
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
}

/// Forms of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Aligned columns, for people
    Table,
    /// RFC 4180, with a header
    Csv,
    /// One JSON object a line
    Jsonl,
}

/// `tidewater verify`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidewater verify --state state/\n  \
    tidewater verify --state state/ monthly_trend _quarantine\n\n\
    Computes the tables with DataFusion over the stored inputs, and compares all rows with the published files. \
    Changes nothing. Exit code 0 when all rows are the same, 1 when any differs.")]
pub struct VerifyArgs {
    /// The job and its state.
    #[command(flatten)]
    pub state: StateArgs,

    /// Tables to verify [default: all, the quarantine too]
    #[arg(value_name = "TABLE")]
    pub tables: Vec<String>,

    /// Tables that are verified at a time [default: one for each core]
    #[arg(long, value_name = "N", value_parser = worker_count())]
    pub workers: Option<usize>,

    /// Print nothing but differences
    #[arg(long, short)]
    pub quiet: bool,
}
