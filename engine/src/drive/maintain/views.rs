//! Which views go on from their kept state, and which are built anew: those whose plan, or that of anything they read,
//! is not the one their state was made with, and those whose table is published in another way.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use tidewater_connectors::file::rows_depend_on_projection;
use tidewater_connectors::file::sink::QUARANTINE_TABLE;
use tidewater_connectors::sink::TableSpec;
use tidewater_operators::hash::hash;

use crate::drive::RunError;
use crate::drive::graph::{Graph, Plan};
use crate::drive::late::LATE_TABLE;
use crate::job::Job;
use crate::plan::Node;
use crate::plan::PlannedView;
use crate::plan::assemble::{add_scanned, published_views};
use crate::plan::retain::horizon;
use crate::render::RetainedWindows;
use crate::state::{Reading, TABLES, TableRecord, VIEWS, ViewRecord};

/// Counts up when the same plan means something else, or its state looks otherwise.
const PLANNER: u32 = 1;

/// What a run does with the views of a job.
pub struct Views {
    /// Go on from what was kept.
    pub kept: Plan,
    /// Are built anew, with all that they read; `keeps` names those that are.
    pub rebuilt: Plan,
    /// Whether the quarantine is made anew.
    pub quarantine: bool,
    /// Whether the table of late rows is.
    pub late: bool,
    /// Of relations, tables and the quarantine.
    pub fingerprints: BTreeMap<String, String>,
    /// Relations and tables that are kept and no longer in the job.
    pub gone: Gone,
}

/// What a job had and has no longer.
#[derive(Default)]
pub struct Gone {
    /// Views, with their parts.
    pub views: BTreeMap<String, ViewRecord>,
    /// Tables.
    pub tables: BTreeMap<String, TableRecord>,
}

impl Views {
    /// Compares the job with what is kept. `copies` holds copies of tables that go to other systems; `all` is to build everything
    /// anew.
    ///
    /// # Errors
    /// When a view cannot be rendered, or the state not be read.
    pub fn compare(
        job: &Job,
        reading: &Reading,
        copies: &Path,
        all: bool,
    ) -> Result<Self, RunError> {
        let known: BTreeMap<String, ViewRecord> = reading.records(VIEWS, "")?;
        let tables: BTreeMap<String, TableRecord> = reading.records(TABLES, "")?;
        let views = published_views(job)?;
        let mut fingerprints = fingerprints(job, &views);
        let same = |name: &str| {
            known
                .get(name)
                .is_some_and(|known| known.fingerprint == fingerprints[name])
        };
        let mut changed: BTreeSet<String> = job
            .sinks
            .iter()
            .filter(|sink| {
                let print = table_print(job, &sink.view, &sink.files(copies));
                let known = tables.get(&*sink.name);
                // A directory that is gone cannot be amended: whoever removed it wants it made anew.
                known.is_none_or(|known| known.fingerprint != print || !known.path.is_dir())
            })
            .map(|sink| sink.view.clone())
            .collect();
        for name in fingerprints.keys().filter(|name| *name != QUARANTINE_TABLE) {
            if all || !same(name) {
                changed.insert(name.clone());
            }
        }
        let is_there = |name: &str| tables.get(name).is_some_and(|table| table.path.is_dir());
        let quarantine = all || !same(QUARANTINE_TABLE) || !is_there(QUARANTINE_TABLE);
        let late = !is_there(LATE_TABLE);
        for sink in &job.sinks {
            let print = table_print(job, &sink.view, &sink.files(copies));
            fingerprints.insert(table_name(&sink.name), print);
        }
        let gone = Gone {
            views: known
                .iter()
                .filter(|(name, _)| !fingerprints.contains_key(*name))
                .map(|(name, view)| (name.clone(), view.clone()))
                .collect(),
            tables: tables
                .into_iter()
                .filter(|(name, _)| {
                    name != QUARANTINE_TABLE
                        && name != LATE_TABLE
                        && !fingerprints.contains_key(&table_name(name))
                })
                .collect(),
        };
        let (mut kept, mut rebuilt) = split(&views, &changed);
        for sink in &job.sinks {
            let (Some(retain), Some(view)) = (&sink.retain, job.view(&sink.view)) else {
                continue;
            };
            let is_new = changed.contains(&sink.view);
            let newest = known.get(&sink.view).filter(|_| !is_new);
            let newest = newest.and_then(|known| known.newest);
            let data_type = view.schema.field(retain.column).data_type();
            let retained = Arc::new(RetainedWindows {
                horizon: newest.map(|newest| horizon(newest, retain.length_us, data_type)),
                newest: AtomicI64::new(newest.unwrap_or(i64::MIN)),
            });
            let plan = if is_new { &mut rebuilt } else { &mut kept };
            plan.retained.insert(sink.view.clone(), retained);
        }
        Ok(Self {
            kept,
            rebuilt,
            quarantine,
            late,
            fingerprints,
            gone,
        })
    }

    /// The graph that renders a relation.
    pub fn graph(&self, relation: &str) -> Graph {
        if self.is_rebuilt(relation) {
            Graph::Rebuilt
        } else {
            Graph::Resumed
        }
    }

    /// Whether the relation is built anew.
    pub fn is_rebuilt(&self, relation: &str) -> bool {
        self.rebuilt.keeps.contains(relation)
    }
}

/// The name of a table's fingerprint among those of the views.
pub fn table_name(table: &str) -> String {
    format!("table {table}")
}

/// The views that go on, and those that are built anew with all that they read. `keeps` of the latter also names the
/// sources that are published as they are, though nothing is kept of them.
fn split(views: &[PlannedView], changed: &BTreeSet<String>) -> (Plan, Plan) {
    let mut needed = changed.clone();
    for PlannedView { name, node } in views.iter().rev() {
        if needed.contains(name) {
            add_scanned(node, &mut needed);
        }
    }
    let of = |keep: &dyn Fn(&str) -> bool| -> Vec<PlannedView> {
        let views = views.iter().filter(|view| keep(&view.name));
        views.cloned().collect()
    };
    let kept = of(&|name| !changed.contains(name));
    (
        Plan {
            keeps: kept.iter().map(|view| view.name.clone()).collect(),
            views: kept,
            retained: BTreeMap::new(),
        },
        Plan {
            keeps: changed.clone(),
            views: of(&|name| needed.contains(name)),
            retained: BTreeMap::new(),
        },
    )
}

/// Of each relation, and of the quarantine: of its plan and of all that it reads.
fn fingerprints(job: &Job, views: &[PlannedView]) -> BTreeMap<String, String> {
    let mut prints = BTreeMap::new();
    let mut sources = String::new();
    for source in &job.sources {
        let spec = &source.spec;
        // A view that is added or removed must not rebuild those that read other columns.
        let projection = rows_depend_on_projection(spec).then_some(&spec.projection);
        let text = format!(
            "{PLANNER} {:?} {:?} {:?} {:?} {:?}",
            spec.format, spec.schema, projection, spec.options, source.primary_key
        );
        let print = print(&text);
        let _ = write!(sources, "{} {print} ", spec.name);
        prints.insert(spec.name.clone(), print);
    }
    prints.insert(QUARANTINE_TABLE.to_owned(), print(&sources));
    for view in &job.views {
        let planned = views.iter().find(|planned| planned.name == view.name);
        let Some(PlannedView { node, .. }) = planned else {
            continue;
        };
        let mut text = format!("{PLANNER} {}", view.plan.display_indent_schema());
        let mut sinks = job.sinks.iter().filter(|sink| sink.view == view.name);
        if let Some(retain) = sinks.find_map(|sink| sink.retain.as_ref()) {
            let _ = write!(text, " retained by {}", retain.column);
        }
        constants(node, &mut text);
        let mut read = BTreeSet::new();
        add_scanned(node, &mut read);
        for relation in &read {
            let print = prints.get(relation).map_or("", String::as_str);
            let _ = write!(text, " {relation} {print}");
        }
        prints.insert(view.name.clone(), print(&text));
    }
    prints
}

/// The rows that are in the plan itself, of which its text shows the first few.
fn constants(node: &Node, text: &mut String) {
    if let Node::Constant { batch } = node {
        let _ = write!(text, "{batch:?}");
    }
    for input in node.inputs() {
        constants(input, text);
    }
}

/// Of how a table is published. `ORDER BY` is in its spec.
fn table_print(job: &Job, view: &str, table: &TableSpec) -> String {
    let schema = job.view(view).map(|view| &view.schema);
    print(&format!("{view} {schema:?} {table:?}"))
}

fn print(text: &str) -> String {
    format!("{:016x}", hash(text.as_bytes()))
}
