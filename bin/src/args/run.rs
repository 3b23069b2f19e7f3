//! `run` and `follow`, and their common options.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tidewater_engine::Job;
use tidewater_engine::job::{Acceptance, Allowance};
use tidewater_engine::state::directory::LockWait;

use super::job::JobArgs;
use super::values::{parse_duration, worker_count};
use crate::failure::Failure;

/// `tidewater run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidewater run jobs/card.sql --set input=data/transactions --set output=out\n  \
    tidewater run jobs/card.sql --state state/     # again: reads only what changed\n  \
    tidewater run jobs/card.sql --workers 4 --json > summary.json\n\n\
    Tables appear only when all are complete: a run that fails leaves the old ones as they were.\n\
    Rows that cannot be read go to a quarantine: `tidewater quarantine JOB` shows file, line, column and reason.")]
pub struct RunArgs {
    /// The job, what it reads, and what is accepted.
    #[command(flatten)]
    pub common: CommonArgs,

    /// Keep a state in DIR: the first run reads everything, later ones only what changed
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// Rebuild all tables and the state from the stored inputs
    #[arg(long, requires = "state")]
    pub rebuild: bool,

    /// The exit code where nothing is new.
    #[command(flatten)]
    pub skip: SkipArgs,
}

/// `tidewater audit`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidewater audit jobs/card-quality.sql --state state/ && tidewater run jobs/card-quality.sql --state state/\n  \
    tidewater audit jobs/card-quality.sql --state state/ --json --skip-code 99\n\n\
    Reads what waits, computes the tables and judges the assertions as `run` does, and commits nothing.\n\
    Exit code 0: a run would publish. 3: it would be refused. 1: the audit itself failed.")]
pub struct AuditArgs {
    /// The job, what it reads, and what is accepted.
    #[command(flatten)]
    pub common: CommonArgs,

    /// The state that `tidewater run JOB --state DIR` keeps
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,

    /// The exit code where nothing is new.
    #[command(flatten)]
    pub skip: SkipArgs,
}

/// What a scheduler is told where nothing is new.
#[derive(Clone, Copy, Debug, Args)]
pub struct SkipArgs {
    /// End with this exit code where nothing is new, so that a scheduler can skip what comes after
    #[arg(long, requires = "state", value_name = "CODE", value_parser = clap::value_parser!(u8).range(4..))]
    pub skip_code: Option<u8>,
}

/// `tidewater follow`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidewater follow jobs/card-kafka.sql --state state/\n  \
    tidewater follow jobs/card-kafka.sql --state state/ --every 5s --rows 2000000\n\n\
    Ctrl-C or SIGTERM stops it after the current epoch; a second one stops it at once. The next run or follow continues\n\
    from the last commit. When it is behind, epochs grow up to --rows so that it catches up quickly.")]
pub struct FollowArgs {
    /// The job, what it reads, and what is accepted.
    #[command(flatten)]
    pub common: CommonArgs,

    /// The state: created if it does not exist, otherwise continued
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,

    /// Commit at this interval, such as 1s, 500ms or 1m
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    pub every: Duration,

    /// Commit after this many rows at the latest: an epoch is held in memory
    #[arg(long, value_name = "N", default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub rows: u64,
}

/// What `run`, `audit` and `follow` have in common.
#[derive(Debug, Args)]
pub struct CommonArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArgs,

    /// Which files are read, and which tables are replaced.
    #[command(flatten)]
    pub intake: IntakeArgs,

    /// The problems that are accepted.
    #[command(flatten)]
    pub allow: AllowArgs,

    /// The failing assertions that are accepted.
    #[command(flatten)]
    pub accept: AcceptArgs,

    /// Threads and output.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// Threads and output of a command that works for a while.
#[derive(Debug, Args)]
pub struct ProcessArgs {
    /// Worker threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = worker_count())]
    pub workers: Option<usize>,

    /// Print JSON on standard output, and nothing else there: the summary, or an object for each commit of `follow`
    #[arg(long)]
    pub json: bool,

    /// Print only warnings and errors
    #[arg(long, short)]
    pub quiet: bool,

    /// Log what the engine and its operators do to standard error; `RUST_LOG` narrows or widens it
    #[arg(long, short, conflicts_with = "quiet")]
    pub verbose: bool,
}

/// Problems that a run accepts although it stops at them by default.
#[derive(Debug, Args)]
pub struct AllowArgs {
    /// Go on, for this time, where a run stops by default (exit code 3); repeat for more
    #[arg(long = "allow", value_name = "WHAT", value_enum)]
    pub allowances: Vec<AllowedStop>,
}

/// A problem at which a run stops by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AllowedStop {
    /// At bad files, damaged or without one good row: they are set aside as a whole
    BadFiles,
    /// At sources that have lost most of their files
    Withdrawn,
}

impl AllowArgs {
    /// Lets the job's runs accept these problems.
    pub fn apply(&self, job: &mut Job) {
        for allowed in &self.allowances {
            job.allow(match allowed {
                AllowedStop::BadFiles => Allowance::BadFiles,
                AllowedStop::Withdrawn => Allowance::Withdrawn,
            });
        }
    }
}

/// Failing assertions that a run publishes over.
#[derive(Debug, Args)]
pub struct AcceptArgs {
    /// Publish although this assertion fails, for all deliveries or for one; repeat for more
    #[arg(
        long = "accept",
        value_name = "ASSERTION[=DELIVERY]",
        requires = "because"
    )]
    pub failures: Vec<String>,

    /// Why failing assertions are accepted; the history keeps it
    #[arg(long, value_name = "WHY", requires = "failures")]
    pub because: Option<String>,
}

impl AcceptArgs {
    /// Lets the job's runs publish although these assertions fail.
    ///
    /// # Errors
    /// When the job has no such assertion, or it is not judged by delivery.
    pub fn apply(&self, job: &mut Job) -> Result<(), Failure> {
        for failure in &self.failures {
            let (name, delivery) = match failure.split_once('=') {
                Some((name, delivery)) => (name, Some(delivery.to_owned())),
                None => (failure.as_str(), None),
            };
            let acceptance = Acceptance {
                delivery,
                because: self.because.clone().unwrap_or_default(),
            };
            let accepted = job.accept(name, acceptance);
            accepted.map_err(|error| Failure::usage(error.to_string()))?;
        }
        Ok(())
    }
}

/// Conditions under which a state, a file and a table are used.
#[derive(Debug, Args)]
pub struct IntakeArgs {
    /// Leave files that were modified within this time, such as 30s or 5m, for a later commit
    #[arg(long, requires = "state", value_name = "TIME", default_value = "0s", value_parser = parse_duration)]
    pub settle: Duration,

    /// Compare the content of all files, even of those whose size, times and inode are as they were; `follow` does so
    /// when it starts
    #[arg(long, requires = "state")]
    pub rehash: bool,

    /// Publish over tables of another job or another state; without this, they are refused
    #[arg(long)]
    pub take_over: bool,

    /// Wait for another process that uses the state: until it ends, or with --wait=30s no longer than that [default: 10s]
    #[arg(
        long,
        requires = "state",
        value_name = "TIME",
        num_args = 0..=1,
        require_equals = true,
        value_parser = parse_duration
    )]
    pub wait: Option<Option<Duration>>,
}

/// How long to wait for another process that uses the state, unless it is asked for otherwise: a run that takes longer is no
/// neighbour that is about to end.
pub const WAIT: Duration = Duration::from_secs(10);

impl IntakeArgs {
    /// How long to wait for another process that uses the state.
    pub fn lock_wait(&self) -> LockWait {
        match self.wait {
            None => LockWait::AtMost(WAIT),
            Some(Some(time)) => LockWait::AtMost(time),
            Some(None) => LockWait::Forever,
        }
    }
}
