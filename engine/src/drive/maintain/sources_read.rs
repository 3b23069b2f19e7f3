//! Determines the sources that the graphs of a run read, and the graphs that their rows enter.

use std::collections::BTreeSet;

use super::views::Views;
use crate::drive::graph::GraphPlan;
use crate::drive::graph_set::GraphSet;
use crate::job::Job;
use crate::plan::assemble::add_scanned;

/// The sources that each graph reads.
pub struct SourcesRead {
    resumed: BTreeSet<String>,
    rebuilt: BTreeSet<String>,
    /// Whether the quarantine is rebuilt.
    pub quarantine: bool,
}

impl SourcesRead {
    /// The sources that the graphs of a run read.
    pub fn of(job: &Job, views: &Views) -> Self {
        let published = |rebuilt: bool| {
            let relations = job.sinks.iter().map(|sink| sink.view.clone());
            relations.filter(move |relation| views.is_rebuilt(relation) == rebuilt)
        };
        Self {
            resumed: sources_of(&views.kept, published(false)),
            rebuilt: sources_of(&views.rebuilt, published(true)),
            quarantine: views.quarantine,
        }
    }

    /// The graphs that new rows of a source enter.
    pub fn all(&self, source: &str) -> GraphSet {
        GraphSet {
            resumed: self.resumed.contains(source),
            rebuilt: self.rebuilt.contains(source),
        }
    }

    /// The graphs that rows of earlier epochs enter; `None` if they need not be read.
    pub fn again(&self, source: &str) -> Option<GraphSet> {
        let graphs = GraphSet {
            resumed: false,
            ..self.all(source)
        };
        (!graphs.is_empty() || self.quarantine).then_some(graphs)
    }

    /// Whether all views of a source's rows start empty.
    pub fn judges_again(&self, source: &str) -> bool {
        self.quarantine && !self.all(source).resumed
    }

    /// The graphs from which rows are retracted; `None` if they need not be read.
    pub fn back(&self, source: &str) -> Option<GraphSet> {
        let graphs = GraphSet {
            rebuilt: false,
            ..self.all(source)
        };
        (!graphs.is_empty() || !self.quarantine).then_some(graphs)
    }
}

/// The sources that a graph reads: those of its views, and those that are published directly.
fn sources_of(plan: &GraphPlan, published: impl Iterator<Item = String>) -> BTreeSet<String> {
    let mut read: BTreeSet<String> = published.collect();
    for view in &plan.views {
        add_scanned(&view.node, &mut read);
    }
    read
}
