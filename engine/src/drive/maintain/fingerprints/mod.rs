//! Fingerprints of the items that a state is kept for: sources, views and published tables.
//!
//! 1. A view's fingerprint covers its plan, how its windows close, the names of its operators' state, and everything
//!    that it reads.
//! 2. Equal fingerprints mean equal states, whichever versions of the libraries planned the job, because fingerprints
//!    are hashes of [canonical texts](crate::plan::canonical).
//! 3. Fingerprints of format 1 are still recognised ([`legacy`]), and so are those of format 2 that omit the rules of
//!    topics, so that older states continue.

mod legacy;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tidewater_connectors::file::sink::QUARANTINE_TABLE;
use tidewater_connectors::format::options::{Gate, OnError};

use self::legacy::LegacyFingerprints;
use crate::job::{Job, Source};
use crate::plan::assemble::add_scanned;
use crate::plan::canonical::{CanonicalText, VERSION};
use crate::plan::{Node, PlannedView};

/// The fingerprints of a job.
#[derive(Debug)]
pub struct Fingerprints {
    /// Fingerprints of relations and of the quarantine, by name.
    relations: BTreeMap<String, String>,
    /// Fingerprints of tables, by name.
    tables: BTreeMap<String, String>,
    /// Fingerprints of relations and of the quarantine as earlier versions made them, without the rules of topics.
    without_rules: BTreeMap<String, String>,
    legacy: LegacyFingerprints,
}

/// How a recorded fingerprint compares with the job's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FingerprintMatch {
    /// Equal.
    Same,
    /// Equal, in the format of an earlier version. The record must be upgraded.
    SameInOldFormat,
    /// Different.
    Different,
    /// The recorded fingerprint has the format of another version and cannot be compared.
    OtherFormat,
}

impl FingerprintMatch {
    /// Whether the state is of the same plan.
    pub fn is_same(self) -> bool {
        matches!(self, Self::Same | Self::SameInOldFormat)
    }
}

impl Fingerprints {
    /// The fingerprints of a job with these views. `copies` is the directory of copies of tables that are published
    /// to other systems.
    pub fn of(job: &Job, views: &[PlannedView], copies: &Path) -> Self {
        let tables = job.sinks.iter().map(|sink| {
            let mut text = CanonicalText::default();
            text.string(&sink.view);
            text.option(job.view(&sink.view).map(|view| &view.schema));
            text.value(&sink.files(copies));
            (sink.name.to_string(), text.fingerprint())
        });
        Self {
            relations: relations(job, views, CanonicalText::of),
            tables: tables.collect(),
            without_rules: relations(job, views, Source::without_rules_of_streams),
            legacy: LegacyFingerprints::of(job, views, copies),
        }
    }

    /// The names of the relations, and of the quarantine.
    pub fn relations(&self) -> impl Iterator<Item = &String> {
        self.relations.keys()
    }

    /// The fingerprint of a relation, or of the quarantine.
    pub fn relation(&self, name: &str) -> Option<&String> {
        self.relations.get(name)
    }

    /// The fingerprint of a table; `None` for the quarantine and late rows.
    pub fn table(&self, name: &str) -> Option<&String> {
        self.tables.get(name)
    }

    /// Compares a relation, or the quarantine, with its record.
    pub fn compare_relation(&self, name: &str, recorded: &str) -> FingerprintMatch {
        let earlier = [&self.without_rules, &self.legacy.relations];
        compare(
            recorded,
            self.relation(name),
            earlier.map(|of| of.get(name)),
        )
    }

    /// Compares a table with its record.
    pub fn compare_table(&self, name: &str, recorded: &str) -> FingerprintMatch {
        compare(recorded, self.table(name), [self.legacy.tables.get(name)])
    }
}

fn compare<const N: usize>(
    recorded: &str,
    current: Option<&String>,
    earlier: [Option<&String>; N],
) -> FingerprintMatch {
    let is = |fingerprint: Option<&String>| fingerprint.is_some_and(|one| one == recorded);
    let version = recorded.split_once('-').map(|(version, _)| version);
    match version {
        _ if is(current) => FingerprintMatch::Same,
        _ if earlier.into_iter().any(is) => FingerprintMatch::SameInOldFormat,
        Some(version) if version == VERSION.to_string() => FingerprintMatch::Different,
        _ => FingerprintMatch::OtherFormat,
    }
}

/// Writes the views whose expressions decide which rows of a source are rejected.
fn write_checks(job: &Job, source: &Source, views: &[PlannedView], text: &mut CanonicalText) {
    let gate = Gate::parse(&source.spec.options).unwrap_or_default();
    if gate.on_error != OnError::Quarantine {
        return;
    }
    let mut read = BTreeSet::from([source.spec.name.clone()]);
    // Views come after the views that they read.
    for view in &job.views {
        let planned = views.iter().find(|planned| planned.name == view.name);
        let mut scanned = BTreeSet::new();
        if let Some(planned) = planned {
            add_scanned(&planned.node, &mut scanned);
        }
        if !scanned.is_disjoint(&read) {
            text.string(&view.name);
            text.value(&view.plan);
            read.insert(view.name.clone());
        }
    }
}

fn relations(
    job: &Job,
    views: &[PlannedView],
    text_of: impl Fn(&Source) -> CanonicalText,
) -> BTreeMap<String, String> {
    let mut fingerprints = BTreeMap::new();
    let mut quarantine = CanonicalText::default();
    for source in &job.sources {
        let mut text = text_of(source);
        write_checks(job, source, views, &mut text);
        let fingerprint = text.fingerprint();
        quarantine.string(&source.spec.name);
        quarantine.word(&fingerprint);
        fingerprints.insert(source.spec.name.clone(), fingerprint);
    }
    fingerprints.insert(QUARANTINE_TABLE.to_owned(), quarantine.fingerprint());
    // Views come after the views that they read.
    for view in &job.views {
        let planned = views.iter().find(|planned| planned.name == view.name);
        let Some(PlannedView { node, .. }) = planned else {
            continue;
        };
        let mut text = CanonicalText::of(&view.plan);
        let mut sinks = job.sinks.iter().filter(|sink| sink.view == view.name);
        match sinks.find_map(|sink| sink.retain.as_ref()) {
            Some(retain) => text.node("retained", |text| text.word(retain.column)),
            None => text.word("kept"),
        }
        write_state_names(node, &mut text);
        let mut read = BTreeSet::new();
        add_scanned(node, &mut read);
        for relation in &read {
            text.string(relation);
            text.word(fingerprints.get(relation).map_or("unknown", String::as_str));
        }
        fingerprints.insert(view.name.clone(), text.fingerprint());
    }
    fingerprints
}

/// Appends the names by which operators find their state, in the order of rendering.
fn write_state_names(node: &Node, text: &mut CanonicalText) {
    if let Some(name) = node.state_name() {
        text.string(&name);
    }
    let inputs = node.inputs().into_iter();
    inputs.for_each(|input| write_state_names(input, text));
}
