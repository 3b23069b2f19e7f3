//! Drivers: they cut deliveries into epochs and see them through; the graph is the same for all.
//!
//! - [`run()`]: everything that the sources hold in one epoch, then the tables are published.
//! - [`maintain()`]: what changed since the last commit of a state in one epoch, then a commit.
//! - [`follow()`]: the same, epoch after epoch, until it is stopped.
//! - [`Replay`]: a bounded history in steps of event time, an epoch each; nothing is published or kept.
//! - [`Resident`]: a graph that stays, fed by hand.

mod balance;
mod checked;
mod consolidate;
mod error;
mod gate;
mod graph;
mod ingest;
mod inspect;
mod keep;
mod late;
mod locate;
mod maintain;
mod ownership;
mod progress;
mod quarantine;
mod replay;
mod report;
mod resident;
mod run;
mod stages;
mod tables;
mod workers;

pub use self::checked::RowCheck;
pub use self::error::RunError;
pub use self::inspect::{Inspection, KeptInputs, KeptSource, Open, StateSizes};
pub use self::maintain::{
    CRASH_POINTS, FILLED, FollowOptions, MaintainOptions, Pace, Thresholds, follow, maintain,
};
pub use self::ownership::{NotOwned, Owner};
pub use self::progress::{Counters, Progress};
pub use self::quarantine::{Quarantine, QuarantinedRow};
pub use self::replay::{History, OffsetBound, Replay, ReplayOptions, Replayed, Step, parse_time};
pub use self::report::{Published, RunReport, SetAsideFile, TableReport};
pub use self::resident::{Resident, TableChanges};
pub use self::run::{RunOptions, run};
