//! Drivers: they cut deliveries into epochs and see them through; the graph is the same for all.
//!
//! - [`run()`]: everything that the sources hold in one epoch, then the tables are published.
//! - [`maintain()`]: what changed since the last commit of a state in one epoch, then a commit.
//! - [`follow()`]: the same, epoch after epoch, until it is stopped.
//! - [`Replay`]: a bounded history in steps of event time, an epoch each; nothing is published or kept.
//! - [`Resident`]: a graph that stays, fed by hand.

mod consolidate;
mod error;
mod graph;
mod inflow;
mod ingest;
mod inspect;
mod keep;
mod key;
mod late;
mod maintain;
mod progress;
mod replay;
mod report;
mod resident;
mod run;
mod stages;
mod workers;

pub use self::error::RunError;
pub use self::inspect::{Inspection, KeptInputs, Open, Pending, StateSizes};
pub use self::maintain::{
    CRASH_POINTS, FILLED, FollowOptions, MaintainOptions, Pace, follow, maintain,
};
pub use self::progress::{Counters, Progress};
pub use self::replay::{History, MessageBound, Replay, ReplayOptions, Replayed, Step, parse_time};
pub use self::report::{Published, RunReport, TableReport};
pub use self::resident::{Resident, TableChanges};
pub use self::run::{RunOptions, run};

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use crate::job::Job;
use crate::plan::retain::retain;
use crate::plan::{Node, lower};

/// The views of a job that `wanted` ones depend on, lowered, in order. Sources with a key are read through a view of
/// their name, which keeps the rows that count.
fn views(job: &Job, wanted: impl Iterator<Item = String>) -> Result<Vec<(String, Node)>, RunError> {
    let mut needed: BTreeSet<String> = wanted.collect();
    let mut views = unkeyed_views(job, &mut needed)?;
    for sink in &job.sinks {
        if let Some(kept) = &sink.retain
            && let Some((name, node)) = views.iter_mut().find(|(name, _)| *name == sink.view)
        {
            let nothing = Node::Constant {
                batch: RecordBatch::new_empty(Arc::new(Schema::empty())),
            };
            let retained = retain(std::mem::replace(node, nothing), kept.column);
            *node = retained.map_err(|error| RunError::Plan {
                view: name.clone(),
                error,
            })?;
        }
    }
    let read = job.sources.iter();
    let read = read.filter(|source| needed.contains(&source.spec.name));
    views.splice(0..0, read.filter_map(key::keyed));
    Ok(views)
}

/// The views that `needed` ones depend on, lowered, in order; `needed` learns all that they read.
fn unkeyed_views(
    job: &Job,
    needed: &mut BTreeSet<String>,
) -> Result<Vec<(String, Node)>, RunError> {
    let mut views = Vec::new();
    // Views stand after those they read, so one pass from the end finds all that is needed.
    for view in job.views.iter().rev() {
        if needed.contains(&view.name) {
            let node = lower(view).map_err(|error| RunError::Plan {
                view: view.name.clone(),
                error,
            })?;
            scanned(&node, needed);
            views.push((view.name.clone(), node));
        }
    }
    views.reverse();
    Ok(views)
}

fn scanned(node: &Node, relations: &mut BTreeSet<String>) {
    if let Node::Scan { relation, .. } = node {
        relations.insert(relation.clone());
    }
    for input in node.inputs() {
        scanned(input, relations);
    }
}
