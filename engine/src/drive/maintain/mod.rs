//! `maintain` reads what changed since the last commit in one epoch, then commits. The first commit reads everything.
//! [`follow`] repeats this until it is stopped.
//!
//! 1. It reads deliveries that were added, and deliveries that are gone (from their stored content). For views that
//!    are rebuilt, it also reads deliveries that stay.
//! 2. Views with an unchanged plan continue from their state, and cost what changed. Others begin with an empty
//!    state.
//! 3. Neither state nor tables change unless everything can be committed ([`commit`]).

mod announce;
mod candidate;
pub mod commit;
mod compute;
mod epoch_plan;
mod fill;
mod fingerprints;
mod follow;
mod holds;
pub mod inputs;
mod open_state;
mod options;
mod own_commits;
mod published_record;
mod reports;
mod retention;
mod retracted;
mod session;
pub mod shadow;
mod sinks;
mod sources_read;
pub mod standing;
mod thresholds;
pub mod views;
mod windows;

pub use self::candidate::Candidate;
pub use self::commit::{CRASH_POINTS, FILLED};
pub use self::follow::{FollowOptions, Pace, follow};
pub use self::open_state::state_of;
pub use self::options::MaintainOptions;
pub use self::thresholds::Thresholds;

use tidewater_connectors::sink_connector::KeepTrying;

use self::session::Session;
use super::stages::Stages;
use super::{Progress, RunError, RunReport};
use crate::job::Job;
use crate::state::panic;

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
