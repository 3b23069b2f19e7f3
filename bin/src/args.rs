//! What was typed: the command line as clap reads it. What is valid beyond a single option's form is decided later.

use std::path::PathBuf;
use std::time::Duration;

use chrono::NaiveDate;
use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use tidewater_engine::drive::{Step, parse_time};

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
        Exit codes: 0 done, 1 failed or differs, 2 usage or invalid job, 3 too many bad rows (nothing was published).",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
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
    Produce(ProduceArgs),
}

/// A job and its variables.
#[derive(Debug, Args)]
pub struct JobArgs {
    /// The job: a SQL file
    #[arg(value_name = "JOB")]
    pub job: PathBuf,

    /// Fill ${NAME} in the job; repeat for more. What is not set is taken from the environment
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse_setting)]
    pub settings: Vec<(String, String)>,
}

/// `tidewater run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidewater run jobs/card.sql --set input=data/transactions --set output=out\n  \
    tidewater run jobs/card.sql --state state/     # again: takes in what changed, and only that\n  \
    tidewater run jobs/card.sql --workers 4 --json > summary.json\n\n\
    Tables appear only when all are complete: a run that fails leaves the old ones as they were.\n\
    Rows that cannot be read go to <output>/_quarantine/ with file, line, column and reason.")]
#[allow(clippy::struct_excessive_bools)] // flags are what they are
pub struct RunArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArgs,

    #[arg(
        long,
        value_name = "DIR",
        help = "Keep a state in DIR: the first run takes in everything, later ones what changed since"
    )]
    pub state: Option<PathBuf>,

    /// Build all tables and the state anew from the kept inputs
    #[arg(long, requires = "state")]
    pub rebuild: bool,

    /// Leave files for a later run that were modified within this time, such as 30s or 5m
    #[arg(long, requires = "state", value_name = "TIME", default_value = "0s", value_parser = parse_duration)]
    pub settle: Duration,

    /// Wait for another process that uses the state, rather than fail
    #[arg(long, requires = "state")]
    pub wait: bool,

    /// Worker threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = worker_count())]
    pub workers: Option<usize>,

    /// Print the summary as one JSON object on standard output, and nothing else there
    #[arg(long)]
    pub json: bool,

    /// Print neither progress nor summary: only warnings and errors
    #[arg(long, short)]
    pub quiet: bool,

    #[arg(
        long,
        short,
        conflicts_with = "quiet",
        help = "Log what the engine and its operators do to standard error; RUST_LOG narrows or widens it"
    )]
    pub verbose: bool,
}

/// `tidewater produce`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    tidewater produce data/transactions --to kafka://localhost:9092/transactions --rate 50000\n\n\
    A record of a CSV file becomes a JSON object: what is a number in every byte is one, empty is null, all else is text.\n\
    Lines of JSON files go as they are. Ctrl-C stops it; what was sent stays.")]
pub struct ProduceArgs {
    /// A file, a directory or a glob, of CSV with a header or of JSON Lines
    #[arg(value_name = "FILES")]
    pub files: String,

    /// The topic
    #[arg(long, value_name = "kafka://HOST:PORT/TOPIC")]
    pub to: String,

    /// Make the topic with so many partitions if it is not there
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: Option<i32>,

    /// Rows a second [default: as fast as possible]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: Option<u64>,

    /// Send the text of this column as the key of each message
    #[arg(long, value_name = "COLUMN")]
    pub key: Option<String>,

    /// Leave this column text though it looks like a number; repeat for more
    #[arg(long, value_name = "COLUMN")]
    pub text: Vec<String>,

    /// Send records of CSV files as JSON objects or as they are
    #[arg(long = "as", value_enum, value_name = "FORMAT", default_value_t = Payload::Json)]
    pub payload: Payload,

    /// Print no progress
    #[arg(long, short)]
    pub quiet: bool,
}

/// What `produce` sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Payload {
    /// Objects.
    Json,
    /// Records, without their line end.
    Csv,
}

/// `tidewater follow`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidewater follow jobs/card-kafka.sql --state state/\n  \
    tidewater follow jobs/card-kafka.sql --state state/ --every 5s --rows 2000000\n\n\
    Ctrl-C or SIGTERM stop it after the epoch that it is at; a second one stops it at once. The next run or follow goes on\n\
    where the last commit ended. While much waits beside what an epoch has taken in, it lasts longer, up to --rows.")]
#[allow(clippy::struct_excessive_bools)] // flags are what they are
pub struct FollowArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArgs,

    #[arg(
        long,
        value_name = "DIR",
        help = "The state: made when it is not there, else gone on from"
    )]
    pub state: PathBuf,

    /// Commit at this interval, such as 1s, 500ms or 1m
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    pub every: Duration,

    /// Commit after so many rows at the latest: memory is that of an epoch
    #[arg(long, value_name = "N", default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub rows: u64,

    /// Leave files for a later epoch that were modified within this time, such as 30s or 5m
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_duration)]
    pub settle: Duration,

    /// Wait for another process that uses the state, rather than fail
    #[arg(long)]
    pub wait: bool,

    /// Worker threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = worker_count())]
    pub workers: Option<usize>,

    /// Print a JSON object a commit on standard output
    #[arg(long)]
    pub json: bool,

    /// Print no status: only warnings and errors
    #[arg(long, short)]
    pub quiet: bool,

    #[arg(
        long,
        short,
        conflicts_with = "quiet",
        help = "Log what the engine and its operators do to standard error; RUST_LOG narrows or widens it"
    )]
    pub verbose: bool,
}

/// A job and its state, to be looked at.
#[derive(Debug, Args)]
pub struct StateArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArgs,

    /// The state that `tidewater run JOB --state DIR` keeps
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,

    /// Wait for a run that uses the state, rather than fail
    #[arg(long)]
    pub wait: bool,

    /// Print JSON on standard output, and nothing else there
    #[arg(long)]
    pub json: bool,
}

/// `tidewater status`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    tidewater status jobs/card.sql --state state/\n\n\
    Changes nothing. What waits at a LOCATION is told by size and time of change; no file is read.")]
pub struct StatusArgs {
    /// The job and its state.
    #[command(flatten)]
    pub state: StateArgs,

    /// List every delivery that is taken in
    #[arg(long)]
    pub files: bool,
}

/// `tidewater history`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidewater history jobs/card.sql --state state/ --last 10\n  \
    tidewater history jobs/card.sql --state state/ monthly_trend")]
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

/// `tidewater changes`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidewater changes jobs/card.sql monthly_trend --state state/            # what the last commit changed\n  \
    tidewater changes jobs/card.sql monthly_trend --state state/ --since 7 --net --format csv\n\n\
    A row that was inserted counts +1, one that was deleted -1: a corrected row is both. --net adds up all commits.")]
pub struct ChangesArgs {
    /// The job and its state.
    #[command(flatten)]
    pub state: StateArgs,

    /// The table
    #[arg(value_name = "TABLE")]
    pub table: String,

    /// Commits after this epoch [default: the last commit alone]
    #[arg(long, value_name = "EPOCH")]
    pub since: Option<u64>,

    /// Commits up to this epoch; without --since this one alone
    #[arg(long, value_name = "N")]
    pub epoch: Option<u64>,

    /// Add up the changes of all commits
    #[arg(long)]
    pub net: bool,

    /// How to print rows; --json is --format jsonl
    #[arg(long, value_enum, default_value_t = RowFormat::Table)]
    pub format: RowFormat,

    /// Rows to print at most [default: 50 as a table, otherwise all]
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
}

/// Forms of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RowFormat {
    /// Aligned columns, for people
    Table,
    /// RFC 4180, with a header
    Csv,
    /// One JSON object a line
    Jsonl,
}

/// `tidewater verify`.
#[derive(Debug, Args)]
#[cfg_attr(not(feature = "verify"), allow(dead_code))]
#[command(after_help = "Examples:\n  \
    tidewater verify jobs/card.sql --state state/\n  \
    tidewater verify jobs/card.sql --state state/ monthly_trend _quarantine\n\n\
    Computes the tables with DataFusion over the inputs as they were last taken in, and compares all rows with the \
    files that are published. Changes nothing. Exit code 0 when all rows are the same, 1 when any differs.")]
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

/// `tidewater replay`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidewater replay jobs/card.sql --step '1 day' --set input=data/transactions\n  \
    tidewater replay jobs/card.sql --step '1 hour' --from 2024-03-10 --to 2024-03-11\n  \
    tidewater replay jobs/card.sql --step '1 month' --by transaction_date --changes changes.jsonl\n\n\
    Nothing is published and no state is kept. Steps without rows are passed over.")]
pub struct ReplayArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArgs,

    #[arg(
        long,
        value_name = "LENGTH",
        value_parser = Step::parse,
        help = "Length of a step, such as '1 day', '15 minutes' or '1 month', counted from 1970-01-01; of topics also \
                '10000 messages', counted by offset in each partition"
    )]
    pub step: Step,

    #[arg(
        long,
        value_name = "COLUMN",
        help = "Deal rows to steps by this column, or SOURCE.COLUMN; repeat for more sources. Those that have none \
                enter whole with the first step [default: the first TIMESTAMP or DATE that each source declares]"
    )]
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

    #[arg(
        long,
        value_name = "END",
        help = "Leave out what is at this date or timestamp and later; with --from-offset at this offset, with --from-time what \
                was sent then"
    )]
    pub to: Option<String>,

    #[arg(
        long,
        value_name = "FILE",
        help = "Write every row that comes or goes to FILE as JSON Lines; - for standard output, in place of the steps"
    )]
    pub changes: Option<PathBuf>,

    /// Worker threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = worker_count())]
    pub workers: Option<usize>,

    /// Print all steps as one JSON object on standard output, and nothing else there
    #[arg(long)]
    pub json: bool,

    /// Print neither progress nor steps: only warnings and errors
    #[arg(long, short)]
    pub quiet: bool,

    #[arg(
        long,
        short,
        conflicts_with = "quiet",
        help = "Log what the engine and its operators do to standard error; RUST_LOG narrows or widens it"
    )]
    pub verbose: bool,
}

/// `tidewater check`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    tidewater check jobs/card.sql --set input=data --set output=out\n\n\
    Exit code 0 when the job is valid, 2 when it is not.")]
pub struct CheckArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArgs,
}

/// `tidewater explain`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidewater explain jobs/card.sql\n  \
    tidewater explain jobs/card.sql --format dot | dot -Tsvg > card.svg")]
pub struct ExplainArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArgs,

    /// How to draw the graph
    #[arg(long, value_enum, default_value_t = GraphFormat::Text)]
    pub format: GraphFormat,
}

/// Forms of a plan's graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// An indented tree
    Text,
    /// Graphviz
    Dot,
    /// Mermaid, as Markdown viewers draw it
    Mermaid,
}

/// `tidewater generate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidewater generate --records 1000000 --out data/transactions\n  \
    tidewater generate --records 50_000 --out data/march --start 2024-03-01 --end 2024-03-31 --seed 7\n\n\
    The same seed, range, records and cards give the same bytes on every machine, whatever the workers.")]
pub struct GenerateArgs {
    /// Rows to write over all files
    #[arg(long, value_name = "N", value_parser = parse_records)]
    pub records: u64,

    /// Directory for the files, made if missing
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,

    /// Names the data: another seed, other rows
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,

    /// First day
    #[arg(long, value_name = "DATE", default_value = "2024-01-01", value_parser = parse_date)]
    pub start: NaiveDate,

    /// Last day, included
    #[arg(long, value_name = "DATE", default_value = "2024-12-31", value_parser = parse_date)]
    pub end: NaiveDate,

    /// Cards in the pool; their masked numbers have at most 9,000 values
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub cards: u32,

    /// One file a day (2024-01-01.csv, …) or all rows in one (transactions.csv)
    #[arg(long, value_enum, default_value_t = FileLayout::Daily)]
    pub files: FileLayout,

    /// Write even if the directory holds other CSV files; they are kept
    #[arg(long)]
    pub force: bool,

    /// Threads that draw rows [default: one for each core]
    #[arg(long, value_name = "N", value_parser = worker_count())]
    pub workers: Option<usize>,

    /// Print nothing but errors
    #[arg(long, short)]
    pub quiet: bool,
}

/// How generated rows are dealt to files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileLayout {
    /// One file a day
    Daily,
    /// One file
    Single,
}

/// More workers than this is a mistake, not a machine.
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

fn parse_setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE, for example input=data/transactions".to_owned()),
    }
}

/// A number of rows that ten digits of an id can count; `_` may group its digits.
fn parse_records(text: &str) -> Result<u64, String> {
    match text.replace('_', "").parse() {
        Ok(records @ 1..=9_999_999_999) => Ok(records),
        _ => Err("give a whole number from 1 to 9_999_999_999".to_owned()),
    }
}

fn parse_date(text: &str) -> Result<NaiveDate, String> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .map_err(|_| "write a date of the calendar as 2024-01-31".to_owned())
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
    fn settings_split_at_the_first_equals_sign() {
        assert_eq!(
            parse_setting("a=b=c").unwrap(),
            ("a".to_owned(), "b=c".to_owned())
        );
        assert_eq!(
            parse_setting("a=").unwrap(),
            ("a".to_owned(), String::new())
        );
        assert!(parse_setting("a").is_err());
        assert!(parse_setting("=b").is_err());
    }

    #[test]
    fn records_are_whole_numbers_that_ids_can_count() {
        assert_eq!(parse_records("1_000_000").unwrap(), 1_000_000);
        assert_eq!(parse_records("9999999999").unwrap(), 9_999_999_999);
        for wrong in ["0", "-1", "1e6", "10_000_000_000", "", "_"] {
            assert!(parse_records(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn dates_are_of_the_calendar() {
        assert!(parse_date("2024-02-29").is_ok());
        for wrong in ["2023-02-29", "2024-13-01", "20240101", "yesterday"] {
            assert!(parse_date(wrong).is_err(), "{wrong}");
        }
    }
}
