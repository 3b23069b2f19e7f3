//! Determines which views continue from their stored state, and which are rebuilt. A view is rebuilt if its plan, or
//! the plan of anything it reads, has changed since its state was made, or if its table is published in another way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidewater_connectors::file::sink::QUARANTINE_TABLE;

use super::fingerprints::{FingerprintMatch, Fingerprints};
use super::retention::{Retention, ViewWindows};
use super::standing::Standing;
use crate::drive::RunError;
use crate::drive::graph::GraphPlan;
use crate::drive::graph_set::Graph;
use crate::job::{Job, LATE_TABLE};
use crate::plan::PlannedView;
use crate::plan::assemble::{add_scanned, published_views};
use crate::render::RetainedWindows;
use crate::state::{
    StateSnapshot, StateTransaction, StoreError, TABLES, TableRecord, VIEWS, ViewRecord,
};

/// The views of a job, by what a run does with them.
pub struct Views {
    /// Views that continue from their stored state.
    pub kept: GraphPlan,
    /// Views that are rebuilt, with everything that they read. `keeps` names the rebuilt ones.
    pub rebuilt: GraphPlan,
    /// Whether the quarantine is rebuilt.
    pub quarantine: bool,
    /// Whether the table of late rows is rebuilt.
    pub late: bool,
    /// The fingerprints of relations, tables and the quarantine.
    pub fingerprints: Fingerprints,
    /// Views that are rebuilt because windows were closed by mistake.
    pub reopened: BTreeSet<String>,
    /// Recorded relations and tables that are no longer in the job.
    pub gone: Gone,
    /// Records whose fingerprints match the job in the format of an earlier version.
    pub upgrades: Upgrades,
    /// Relations that are rebuilt only because one of their tables is damaged.
    pub only_lost: BTreeSet<String>,
    /// Whether something is rebuilt because its fingerprint has the format of another version.
    pub other_format: bool,
}

/// Records that get fingerprints of this version.
#[derive(Default)]
pub struct Upgrades {
    /// Records of views and the quarantine.
    pub views: BTreeMap<String, ViewRecord>,
    /// Records of tables.
    pub tables: BTreeMap<String, TableRecord>,
}

/// Views and tables that are no longer in the job.
#[derive(Default)]
pub struct Gone {
    /// Views, with their parts.
    pub views: BTreeMap<String, ViewRecord>,
    /// Tables.
    pub tables: BTreeMap<String, TableRecord>,
}

impl Views {
    /// Compares the job with what is kept. `copies` holds copies of tables that go to other systems; `all` means to
    /// rebuild everything, `taken` has tables that are taken over from other owners, and `standing` has the damaged
    /// tables. Without the time, `now`, windows are closed as the last commit left them.
    ///
    /// # Errors
    /// When a view cannot be rendered, or the state not be read.
    pub fn compare(
        job: &Job,
        snapshot: &StateSnapshot,
        copies: &Path,
        all: bool,
        taken: &BTreeSet<String>,
        standing: &Standing,
        now: Option<Duration>,
    ) -> Result<Self, RunError> {
        let recorded = Recorded::read(snapshot)?;
        let views = published_views(job)?;
        let fingerprints = Fingerprints::of(job, &views, copies);
        let is_lost = |table: &str| taken.contains(table) || standing.lost.contains(table);
        let mut changed = recorded.changed(job, &fingerprints, all, &is_lost);
        let otherwise = recorded.changed(job, &fingerprints, all, &|_| false);
        let only_lost = changed.difference(&otherwise).cloned().collect();
        let retentions = recorded.retentions(job, snapshot, &changed, now)?;
        let reopened = retentions.iter().filter(|(_, found)| found.reopens);
        let reopened: BTreeSet<String> = reopened.map(|(view, _)| view.clone()).collect();
        changed.extend(reopened.iter().cloned());
        // Views that read a view with closed windows have rows that it no longer has.
        let retained = job.sinks.iter().filter(|sink| sink.retain.is_some());
        let retained = retained.map(|sink| sink.view.clone());
        let retained = retained.filter(|view| changed.contains(view)).collect();
        changed.extend(with_readers(&views, retained));
        // The quarantine has the unmatched changes of sources, so either both or neither must be rebuilt.
        let of_changes = sources_of_changes(job);
        let quarantine = all
            || standing.lost.contains(QUARANTINE_TABLE)
            || !recorded.is_same_view(QUARANTINE_TABLE, &fingerprints)
            || !of_changes.is_disjoint(&changed);
        if quarantine {
            changed.extend(with_readers(&views, of_changes));
        }
        let late = all || standing.lost.contains(LATE_TABLE);
        let other_format = recorded.is_of_other_format(&fingerprints);
        let upgrades = recorded.upgrades(&fingerprints, &changed);
        let (mut kept, mut rebuilt) = split(&views, &changed);
        for sink in job.sinks.iter().filter(|sink| sink.retain.is_some()) {
            let is_new = changed.contains(&sink.view);
            let found = retentions.get(&sink.view).filter(|_| !is_new);
            let horizon = found.and_then(|found| found.horizon);
            let plan = if is_new { &mut rebuilt } else { &mut kept };
            let retained = Arc::new(RetainedWindows::new(horizon));
            plan.retained.insert(sink.view.clone(), retained);
        }
        Ok(Self {
            kept,
            rebuilt,
            quarantine,
            late,
            gone: recorded.gone(&fingerprints),
            fingerprints,
            upgrades,
            only_lost,
            other_format,
            reopened,
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

    /// The fingerprint of a relation, or of the quarantine.
    pub fn fingerprint(&self, name: &str) -> String {
        let fingerprint = self.fingerprints.relation(name);
        fingerprint.cloned().unwrap_or_default()
    }

    /// Whether the relation is rebuilt.
    pub fn is_rebuilt(&self, relation: &str) -> bool {
        self.rebuilt.keeps.contains(relation)
    }
}

/// The views whose closed windows must be opened again at `now`, the time since 1970.
///
/// # Errors
/// When the state cannot be read.
pub fn reopened(
    job: &Job,
    snapshot: &StateSnapshot,
    now: Duration,
) -> Result<BTreeSet<String>, RunError> {
    if job.sinks.iter().all(|sink| sink.retain.is_none()) {
        return Ok(BTreeSet::new());
    }
    let retentions =
        Recorded::read(snapshot)?.retentions(job, snapshot, &BTreeSet::new(), Some(now))?;
    let reopened = retentions.into_iter().filter(|(_, found)| found.reopens);
    Ok(reopened.map(|(view, _)| view).collect())
}

/// The sources whose rows are changes.
fn sources_of_changes(job: &Job) -> BTreeSet<String> {
    let sources = job.sources.iter();
    let sources = sources.filter(|source| source.primary_key.is_empty());
    let sources = sources.filter(|source| source.input.changes().is_some());
    sources.map(|source| source.spec.name.clone()).collect()
}

/// The `wanted` views and all that read them, directly or not. Views come after the views that they read.
fn with_readers(views: &[PlannedView], mut wanted: BTreeSet<String>) -> BTreeSet<String> {
    for PlannedView { name, node } in views {
        let mut read = BTreeSet::new();
        add_scanned(node, &mut read);
        if !read.is_disjoint(&wanted) {
            wanted.insert(name.clone());
        }
    }
    wanted
}

/// The views that continue, and those that are rebuilt with everything that they read. `keeps` of the latter also
/// names published sources, though they have no state.
fn split(views: &[PlannedView], changed: &BTreeSet<String>) -> (GraphPlan, GraphPlan) {
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
        GraphPlan {
            keeps: kept.iter().map(|view| view.name.clone()).collect(),
            views: kept,
            retained: BTreeMap::new(),
        },
        GraphPlan {
            keeps: changed.clone(),
            views: of(&|name| needed.contains(name)),
            retained: BTreeMap::new(),
        },
    )
}

/// The state's records of views and tables.
struct Recorded {
    views: BTreeMap<String, ViewRecord>,
    tables: BTreeMap<String, TableRecord>,
}

impl Recorded {
    fn read(snapshot: &StateSnapshot) -> Result<Self, RunError> {
        Ok(Self {
            views: snapshot.records(VIEWS, "")?,
            tables: snapshot.records(TABLES, "")?,
        })
    }

    fn compare_view(&self, name: &str, fingerprints: &Fingerprints) -> Option<FingerprintMatch> {
        let record = self.views.get(name)?;
        Some(fingerprints.compare_relation(name, &record.fingerprint))
    }

    fn is_same_view(&self, name: &str, fingerprints: &Fingerprints) -> bool {
        self.compare_view(name, fingerprints)
            .is_some_and(FingerprintMatch::is_same)
    }

    /// The relations that are rebuilt: those with another fingerprint, and those whose table is published in another
    /// way.
    fn changed(
        &self,
        job: &Job,
        fingerprints: &Fingerprints,
        all: bool,
        is_lost: &dyn Fn(&str) -> bool,
    ) -> BTreeSet<String> {
        let is_published = |name: &str| {
            let record = self.tables.get(name);
            record.is_some_and(|record| {
                let comparison = fingerprints.compare_table(name, &record.fingerprint);
                comparison.is_same()
            })
        };
        let sinks = job.sinks.iter();
        let sinks = sinks.filter(|sink| is_lost(&sink.name) || !is_published(&sink.name));
        let relations = fingerprints.relations();
        let relations = relations.filter(|name| *name != QUARANTINE_TABLE);
        let relations = relations.filter(|name| all || !self.is_same_view(name, fingerprints));
        let published = sinks.map(|sink| sink.view.clone());
        published.chain(relations.cloned()).collect()
    }

    /// The retained windows of the views that continue. Without `now`, as of the last commit.
    fn retentions(
        &self,
        job: &Job,
        snapshot: &StateSnapshot,
        changed: &BTreeSet<String>,
        now: Option<Duration>,
    ) -> Result<BTreeMap<String, Retention>, RunError> {
        let mut found = BTreeMap::new();
        for sink in &job.sinks {
            let record = self.views.get(&sink.view);
            let record = record.filter(|_| !changed.contains(&sink.view));
            if let (Some(windows), Some(record)) = (ViewWindows::of(job, sink), record) {
                let retention = match now {
                    Some(now) => windows.retention(snapshot, record, now)?,
                    None => windows.recorded(record),
                };
                found.insert(sink.view.clone(), retention);
            }
        }
        Ok(found)
    }

    /// Whether a fingerprint has the format of another version, and cannot be compared.
    fn is_of_other_format(&self, fingerprints: &Fingerprints) -> bool {
        let views = fingerprints.relations();
        let views = views.filter_map(|name| self.compare_view(name, fingerprints));
        let tables = self.tables.iter();
        let tables = tables.filter(|(name, _)| fingerprints.table(name).is_some());
        let tables =
            tables.map(|(name, table)| fingerprints.compare_table(name, &table.fingerprint));
        views
            .chain(tables)
            .any(|comparison| comparison == FingerprintMatch::OtherFormat)
    }

    fn upgrades(&self, fingerprints: &Fingerprints, changed: &BTreeSet<String>) -> Upgrades {
        let mut upgrades = Upgrades::default();
        for (name, record) in &self.views {
            let comparison = fingerprints.compare_relation(name, &record.fingerprint);
            if let (FingerprintMatch::SameInOldFormat, Some(fingerprint), false) = (
                comparison,
                fingerprints.relation(name),
                changed.contains(name),
            ) {
                let fingerprint = fingerprint.clone();
                let record = record.clone();
                let record = ViewRecord {
                    fingerprint,
                    ..record
                };
                upgrades.views.insert(name.clone(), record);
            }
        }
        for (name, record) in &self.tables {
            let comparison = fingerprints.compare_table(name, &record.fingerprint);
            if let (FingerprintMatch::SameInOldFormat, Some(fingerprint), false) = (
                comparison,
                fingerprints.table(name),
                changed.contains(&record.view),
            ) {
                let fingerprint = fingerprint.clone();
                let record = record.clone();
                let record = TableRecord {
                    fingerprint,
                    ..record
                };
                upgrades.tables.insert(name.clone(), record);
            }
        }
        upgrades
    }

    /// Recorded items that are no longer in the job.
    fn gone(self, fingerprints: &Fingerprints) -> Gone {
        let is_own = |name: &str| name == QUARANTINE_TABLE || name == LATE_TABLE;
        let views = self.views.into_iter();
        let tables = self.tables.into_iter();
        Gone {
            views: views
                .filter(|(name, _)| fingerprints.relation(name).is_none())
                .collect(),
            tables: tables
                .filter(|(name, _)| !is_own(name) && fingerprints.table(name).is_none())
                .collect(),
        }
    }
}

impl Upgrades {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.views.is_empty() && self.tables.is_empty()
    }

    /// Writes the records.
    ///
    /// # Errors
    /// When the store fails.
    pub fn write(&self, transaction: &StateTransaction) -> Result<(), StoreError> {
        for (name, record) in &self.views {
            transaction.put(VIEWS, name, record)?;
        }
        for (name, record) in &self.tables {
            transaction.put(TABLES, name, record)?;
        }
        Ok(())
    }
}
