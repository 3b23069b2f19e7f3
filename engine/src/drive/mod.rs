//! Drivers: they cut deliveries into epochs and see them through; the graph is the same for all.
//!
//! - [`run()`]: everything that the sources hold in one epoch, then the tables are published.
//! - [`Resident`]: a graph that stays, fed by hand.

mod consolidate;
mod error;
mod ingest;
mod keep;
mod progress;
mod report;
mod resident;
mod run;
mod workers;

pub use self::error::RunError;
pub use self::progress::{Counters, Progress};
pub use self::report::{RunReport, TableReport};
pub use self::resident::Resident;
pub use self::run::{RunOptions, run};

use crate::job::Job;
use crate::plan::{Node, lower};

/// The views of a job that `wanted` ones depend on, lowered, in order.
fn views(job: &Job, wanted: impl Iterator<Item = String>) -> Result<Vec<(String, Node)>, RunError> {
    let mut needed: std::collections::BTreeSet<String> = wanted.collect();
    let mut views = Vec::new();
    // Views stand after those they read, so one pass from the end finds all that is needed.
    for view in job.views.iter().rev() {
        if needed.contains(&view.name) {
            let node = lower(view).map_err(|error| RunError::Plan {
                view: view.name.clone(),
                error,
            })?;
            scanned(&node, &mut needed);
            views.push((view.name.clone(), node));
        }
    }
    views.reverse();
    Ok(views)
}

fn scanned(node: &Node, relations: &mut std::collections::BTreeSet<String>) {
    if let Node::Scan { relation, .. } = node {
        relations.insert(relation.clone());
    }
    for input in node.inputs() {
        scanned(input, relations);
    }
}
