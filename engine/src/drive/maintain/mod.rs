//! `maintain` reads what changed since the last commit in one epoch, then commits. The first commit reads everything.
//! [`follow`] repeats this until it is stopped.
//!
//! 1. It reads deliveries that were added, and deliveries that are gone (from their stored content). For views that
//!    are rebuilt, it also reads deliveries that stay.
//! 2. Views with an unchanged plan continue from their state, and cost what changed. Others begin with an empty
//!    state.
//! 3. Neither state nor tables change unless everything can be committed ([`commit`]).

mod announce;
pub mod commit;
mod fill;
mod fingerprints;
mod follow;
pub mod inputs;
mod own_commits;
mod published_record;
mod reports;
mod retention;
mod retracted;
mod session;
mod sinks;
mod sources_read;
pub mod standing;
mod thresholds;
pub mod views;
mod windows;

use std::path::PathBuf;
use std::time::Duration;

pub use self::commit::{CRASH_POINTS, FILLED};
pub use self::follow::{FollowOptions, Pace, follow};
pub use self::session::state_of;
pub use self::thresholds::Thresholds;

use tidewater_connectors::sink_connector::KeepTrying;

use self::session::Session;
use super::stages::Stages;
use super::{Progress, RunError, RunOptions, RunReport};
use crate::job::Job;
use crate::state::directory::LockWait;
use crate::state::{JobRecord, panic};

/// How to maintain a job's tables.
pub struct MaintainOptions<'a> {
    /// Number of workers, and options of the report.
    pub run: RunOptions,
    /// The state's directory.
    pub state: PathBuf,
    /// How long to wait for another process that uses the state.
    pub wait: LockWait,
    /// The job as given, for commands that read the state without naming it.
    pub declared: Option<JobRecord>,
    /// Whether to rebuild everything from stored inputs.
    pub rebuild: bool,
    /// Whether the content of all files is compared, even of those that look unchanged.
    pub rehash: bool,
    /// Files that were modified within this time are left for a later run.
    pub settle: Duration,
    /// Thresholds; only tests change the default.
    pub thresholds: Thresholds,
    /// The time, since 1970.
    pub now: &'a (dyn Fn() -> Duration + Sync),
    /// Called before something that the user may not expect.
    pub notice: &'a (dyn Fn(&str) + Sync),
}

/// Brings the tables of `job` up to date with what its sources hold.
///
/// # Errors
/// When anything fails. State and tables are unchanged then. If the error came after the commit's record, the next
/// run finishes the commit.
pub fn maintain(
    job: &Job,
    options: &MaintainOptions<'_>,
    progress: &Progress,
) -> Result<RunReport, RunError> {
    panic::guarded(|| {
        let mut clock = Stages::start(progress);
        clock.enter("open");
        let mut session = Session::open(job, options, progress, patience(options.notice))?;
        let report = session.epoch(clock, None);
        let report = report.map_err(|error| progress.told(error))?;
        session.close()?;
        Ok(report)
    })
}

/// How often a run retries systems that cannot be reached, about once a second.
const TRIES_MAX: u32 = 60;

fn patience(notice: &(dyn Fn(&str) + Sync)) -> Box<KeepTrying<'_>> {
    let mut tries = 0;
    Box::new(move |trouble| {
        tries += 1;
        if tries == 1 {
            notice(&format!("{trouble}; trying again"));
        }
        tries < TRIES_MAX
    })
}
