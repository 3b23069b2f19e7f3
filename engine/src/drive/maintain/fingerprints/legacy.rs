//! Fingerprints of format 1: hashes of the texts that Arrow and `DataFusion` print for a plan. They are computed only
//! to recognise states of versions before 2, as long as these libraries print the same texts.
//!
//! This module can be removed when [`VERSION`](crate::plan::canonical::VERSION) is incremented because states change
//! their meaning.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use tidewater_connectors::file::sink::QUARANTINE_TABLE;
use tidewater_connectors::sink::{Encoding, SortKey};
use tidewater_operators::hash::hash;

use crate::job::{Job, Sink};
use crate::plan::assemble::add_scanned;
use crate::plan::{Node, PlannedView};

const PLANNER: u32 = 1;

/// The fingerprints of a job in format 1.
#[derive(Debug)]
pub struct LegacyFingerprints {
    /// Fingerprints of relations and of the quarantine, by name.
    pub relations: BTreeMap<String, String>,
    /// Fingerprints of tables, by name.
    pub tables: BTreeMap<String, String>,
}

impl LegacyFingerprints {
    /// The fingerprints of a job with these views.
    pub fn of(job: &Job, views: &[PlannedView], copies: &Path) -> Self {
        let tables = job.sinks.iter().map(|sink| {
            let schema = job.view(&sink.view).map(|view| &view.schema);
            let table = TableSpec::of(sink, copies);
            let text = format!("{} {schema:?} {table:?}", sink.view);
            (sink.name.to_string(), fingerprint(&text))
        });
        Self {
            relations: relations(job, views),
            tables: tables.collect(),
        }
    }
}

/// A table's declaration, with the type name and fields that were printed.
#[derive(Debug)]
#[expect(dead_code, reason = "printed")]
struct TableSpec {
    name: Arc<str>,
    path: PathBuf,
    schema: SchemaRef,
    partition_by: Vec<usize>,
    order_by: Vec<SortKey>,
    encoding: Encoding,
}

impl TableSpec {
    fn of(sink: &Sink, copies: &Path) -> Self {
        let files = sink.files(copies);
        Self {
            name: files.name,
            path: files.path,
            schema: files.schema,
            partition_by: files.partition_by,
            order_by: files.order_by,
            encoding: files.encoding,
        }
    }
}

fn relations(job: &Job, views: &[PlannedView]) -> BTreeMap<String, String> {
    let mut fingerprints = BTreeMap::new();
    let mut sources = String::new();
    for source in &job.sources {
        let spec = &source.spec;
        let text = format!(
            "{PLANNER} {:?} {:?} {:?} {:?} {:?}",
            spec.format, spec.schema, spec.projection, spec.options, source.primary_key
        );
        let fingerprint = fingerprint(&text);
        let _ = write!(sources, "{} {fingerprint} ", spec.name);
        fingerprints.insert(spec.name.clone(), fingerprint);
    }
    fingerprints.insert(QUARANTINE_TABLE.to_owned(), fingerprint(&sources));
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
            let fingerprint = fingerprints.get(relation).map_or("", String::as_str);
            let _ = write!(text, " {relation} {fingerprint}");
        }
        fingerprints.insert(view.name.clone(), fingerprint(&text));
    }
    fingerprints
}

/// The constant rows of a plan, of which its text shows only the first few.
fn constants(node: &Node, text: &mut String) {
    if let Node::Constant { batch } = node {
        let _ = write!(text, "{batch:?}");
    }
    for input in node.inputs() {
        constants(input, text);
    }
}

fn fingerprint(text: &str) -> String {
    format!("{:016x}", hash(text.as_bytes()))
}
