//! Drivers. They divide deliveries into epochs and run them; the graph is the same for all.
//!
//! - [`run()`] reads everything that the sources hold in one epoch, then publishes the tables.
//! - [`maintain()`] reads what changed since a state's last commit in one epoch, then commits.
//! - [`follow()`] repeats that until it is stopped.
//! - [`Replay`] runs a bounded history in steps of event time, each an epoch. It publishes and keeps nothing.
//! - [`Resident`] is a graph that stays in memory and is fed by its caller.

mod assertions;
mod balance;
mod blame;
mod broken_rows;
mod checked;
mod consolidate;
mod error;
mod gate;
mod graph;
mod graph_set;
mod held_reports;
mod hold;
mod ingest;
mod inspect;
mod late;
mod locate;
mod maintain;
mod not_owned;
mod ownership;
mod piece_reader;
mod progress;
mod quarantine;
mod replay;
mod report;
mod resident;
mod row_counts;
mod run;
mod search;
mod stages;
mod state_writers;
mod tables;
mod unmatched;
mod workers;

pub use self::assertions::{AssertionPart, AssertionReport};
pub use self::blame::Blame;
pub use self::checked::RowCheck;
pub use self::error::RunError;
pub use self::inspect::{Inspection, KeptInputs, KeptSource, OpenRows, StateSizes};
pub use self::maintain::{
    CRASH_POINTS, Candidate, FILLED, FollowOptions, MaintainOptions, Pace, Thresholds, follow,
    maintain,
};
pub use self::not_owned::{NotOwned, Owner};
pub use self::progress::{Counters, Progress};
pub use self::quarantine::{Quarantine, QuarantinedRow};
pub use self::replay::{History, OffsetBound, Replay, ReplayOptions, Replayed, Step, parse_time};
pub use self::report::{Publication, RunOutcome, RunReport, SetAsideFile, TableReport};
pub use self::resident::{Resident, TableChanges};
pub use self::run::{RunOptions, run};
pub use self::unmatched::UnmatchedPlaces;
