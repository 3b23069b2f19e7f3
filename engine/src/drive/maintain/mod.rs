//! `maintain`: what changed since the last commit, in one epoch, then a commit. The first commit takes in everything.
//! [`follow`] does the same again and again, until it is stopped.
//!
//! 1. What is read: deliveries that came, those that went (from what was kept of them), and for views that are built
//!    anew those that stayed too.
//! 2. Views whose plan is as it was go on from their state, and pay for what changed; others begin with nothing.
//! 3. Nothing is changed, neither state nor tables, unless all of it can be committed ([`commit`]).

mod announce;
pub mod commit;
mod fill;
mod fingerprints;
mod follow;
pub mod inputs;
mod own_commits;
mod published_record;
mod reports;
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
use crate::state::panic;

/// How to maintain a job's tables.
pub struct MaintainOptions<'a> {
    /// Workers, and the report.
    pub run: RunOptions,
    /// The state's directory.
    pub state: PathBuf,
    /// Whether to wait for another process that uses the state.
    pub wait: bool,
    /// Whether to build everything anew, from what was kept.
    pub rebuild: bool,
    /// Whether the content of all files is compared, even of those that look unchanged.
    pub rehash: bool,
    /// Files modified since less than this are left for a later run.
    pub settle: Duration,
    /// Sizes from which on things are done in another way; the default ones but in tests.
    pub thresholds: Thresholds,
    /// The time, since 1970.
    pub now: &'a (dyn Fn() -> Duration + Sync),
    /// Told what is about to be done that the user may not expect.
    pub notice: &'a (dyn Fn(&str) + Sync),
}

/// Brings the tables of `job` up to date with what its sources hold.
///
/// # Errors
/// When anything fails. State and tables are then as they were; if the error came after the commit's record, the next
/// run finishes it.
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

/// How often systems that cannot be reached are tried again by a run that has an end, about a second apart.
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
