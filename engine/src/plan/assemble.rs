//! The plans of a job's relations. Drivers, fingerprints and `explain` all get them here, so one place decides what
//! is rendered.
//!
//! 1. Views come after the views that they read.
//! 2. A source of which not every row counts is read through a view of the same name, which returns the rows that
//!    count.
//! 3. The view of a table with `retain` aggregates rows of open windows only.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use super::primary_key::{counting, counts_all};
use super::retain::retain;
use super::{Node, PlanError, PlannedView, lower};
use crate::job::{Job, Sink};

/// A view that has no dataflow.
#[derive(Debug, thiserror::Error)]
#[error("view {view}: {error}")]
pub struct ViewError {
    /// The view.
    pub view: String,
    /// Why.
    #[source]
    pub error: PlanError,
}

/// The views that the job's tables depend on, with the views of all sources, since the rows that are set aside must
/// not depend on the readers.
///
/// # Errors
/// When a view has no dataflow.
pub fn published_views(job: &Job) -> Result<Vec<PlannedView>, ViewError> {
    let sources = job.sources.iter().filter(|source| !counts_all(source));
    let sources = sources.map(|source| source.spec.name.clone());
    let published = job.sinks.iter().map(|sink| sink.view.clone());
    views(job, published.chain(sources))
}

/// The views that `wanted` relations depend on.
///
/// # Errors
/// When a view has no dataflow.
pub fn views(
    job: &Job,
    wanted: impl IntoIterator<Item = String>,
) -> Result<Vec<PlannedView>, ViewError> {
    let mut needed: BTreeSet<String> = wanted.into_iter().collect();
    let mut views = lowered(job, &mut needed)?;
    for sink in &job.sinks {
        if let Some(view) = views.iter_mut().find(|view| view.name == sink.view) {
            retain_windows(sink, view)?;
        }
    }
    let read = job.sources.iter();
    let read = read.filter(|source| needed.contains(&source.spec.name));
    views.splice(0..0, read.filter_map(counting));
    Ok(views)
}

/// The views that `wanted` relations depend on, over sources of which every row counts, regardless of their
/// declarations.
///
/// # Errors
/// When a view has no dataflow.
pub fn unkeyed_views(
    job: &Job,
    wanted: impl IntoIterator<Item = String>,
) -> Result<Vec<PlannedView>, ViewError> {
    lowered(job, &mut wanted.into_iter().collect())
}

/// Adds the relations that a plan reads.
pub fn add_scanned(node: &Node, relations: &mut BTreeSet<String>) {
    if let Node::Scan { relation, .. } = node {
        relations.insert(relation.clone());
    }
    for input in node.inputs() {
        add_scanned(input, relations);
    }
}

/// The views that the `needed` relations depend on. Adds everything that they read to `needed`.
fn lowered(job: &Job, needed: &mut BTreeSet<String>) -> Result<Vec<PlannedView>, ViewError> {
    let mut views = Vec::new();
    // Views come after the views that they read, so one pass from the end finds everything needed.
    for view in job.views.iter().rev() {
        if needed.contains(&view.name) {
            let node = lower(view).map_err(failed(&view.name))?;
            add_scanned(&node, needed);
            let name = view.name.clone();
            views.push(PlannedView { name, node });
        }
    }
    views.reverse();
    Ok(views)
}

fn retain_windows(sink: &Sink, view: &mut PlannedView) -> Result<(), ViewError> {
    let Some(kept) = &sink.retain else {
        return Ok(());
    };
    let nothing = Node::Constant {
        batch: RecordBatch::new_empty(Arc::new(Schema::empty())),
    };
    let node = std::mem::replace(&mut view.node, nothing);
    view.node = retain(node, kept.column).map_err(failed(&view.name))?;
    Ok(())
}

fn failed(view: &str) -> impl Fn(PlanError) -> ViewError {
    move |error| ViewError {
        view: view.to_owned(),
        error,
    }
}
