//! How a job's tables are maintained.

use std::path::PathBuf;
use std::time::Duration;

use super::candidate::Candidate;
use super::thresholds::Thresholds;
use crate::drive::RunOptions;
use crate::state::JobRecord;
use crate::state::directory::LockWait;

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
    /// Whether to stop before the commit: an audit.
    pub audit: bool,
    /// For an audit, a table whose changes are looked at before they are judged.
    pub candidate: Option<Candidate<'a>>,
    /// Files that were modified within this time are left for a later run.
    pub settle: Duration,
    /// Thresholds; only tests change the default.
    pub thresholds: Thresholds,
    /// The time, since 1970.
    pub now: &'a (dyn Fn() -> Duration + Sync),
    /// Called before something that the user may not expect.
    pub notice: &'a (dyn Fn(&str) + Sync),
}
