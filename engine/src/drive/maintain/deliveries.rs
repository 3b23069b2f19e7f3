//! What became of each source's deliveries since the last commit, and what has to be read for it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidewater_connectors::error::SourceError;
use tidewater_connectors::file::{
    Change, Content, Delivery, Depot, ListedFile, OnChange, Position, compare, list, list_or_empty,
};
use tidewater_operators::Sign;

use super::views::Views;
use crate::drive::RunError;
use crate::drive::graph::{GraphSet, Plan};
use crate::drive::ingest::{Entry, Incoming, Intake};
use crate::job::{Job, Source};
use crate::plan::assemble::add_scanned;
use crate::plan::primary_key::incoming_schema;
use crate::state::{DeliveryRecord, POSITIONS, Reading, StateRecord, pair_key};

/// What a run does about one source.
#[derive(Clone, Default)]
pub struct SourceChanges {
    /// Deliveries to take in.
    pub added: Vec<Incoming>,
    /// What each of them is called in the record of the epoch.
    pub kinds: Vec<&'static str>,
    /// Deliveries to take back.
    pub removed: Vec<Incoming>,
    /// Deliveries that stay: read only for what is built anew.
    pub rest: Vec<Incoming>,
    /// Positions that stay or move without anything to be read.
    pub positions: Vec<Position>,
    /// Paths whose positions go.
    pub forgotten: BTreeSet<String>,
    /// What is recorded of deliveries that are taken back or renamed.
    pub records: Vec<DeliveryRecord>,
    /// What the user should hear of.
    pub notes: Vec<String>,
}

impl SourceChanges {
    /// Compares the files that a source names with what was taken in. Files modified after `settled_ns` are left for a
    /// later run. A source that never had a file must have one.
    ///
    /// # Errors
    /// When files cannot be listed or compared, or changed where they must not.
    pub fn compare(
        source: &Source,
        state: &StateRecord,
        reading: &Reading,
        settled_ns: i64,
    ) -> Result<Self, RunError> {
        let failed = RunError::of_source(source);
        let name = &source.spec.name;
        let known = reading.records::<Position>(POSITIONS, &pair_key(name, ""))?;
        let known: Vec<Position> = known.into_values().collect();
        place_is_there(&source.spec.location, &known).map_err(&failed)?;
        let listed = if state.sources.contains(&*source.spec.name) {
            list_or_empty(&source.spec.location)
        } else {
            list(&source.spec.location)
        };
        let mut found = Self::default();
        let (listed, known) = found.settle(listed.map_err(&failed)?, known, settled_ns);
        let on_change = OnChange::parse(&source.spec.options)?;
        let changes = compare(name, listed, known, on_change).map_err(&failed)?;
        for change in changes {
            found.apply(source, change);
        }
        Ok(found)
    }

    /// Leaves out files that were modified lately: new ones are not there yet, others are as they were.
    fn settle(
        &mut self,
        listed: Vec<ListedFile>,
        known: Vec<Position>,
        settled_ns: i64,
    ) -> (Vec<ListedFile>, Vec<Position>) {
        let (fresh, listed): (Vec<_>, Vec<_>) = listed
            .into_iter()
            .partition(|file| file.modified_ns > settled_ns);
        if fresh.is_empty() {
            return (listed, known);
        }
        let paths: BTreeSet<String> = fresh
            .iter()
            .map(|file| file.path.display().to_string())
            .collect();
        let (left, known): (Vec<_>, Vec<_>) = known
            .into_iter()
            .partition(|position| paths.contains(&position.path));
        let as_it_was: BTreeSet<(&str, i64)> = left
            .iter()
            .map(|position| (position.path.as_str(), position.modified_ns))
            .collect();
        let changed = fresh.iter().filter(|file| {
            let path = file.path.display().to_string();
            !as_it_was.contains(&(path.as_str(), file.modified_ns))
        });
        self.notes.extend(changed.map(|file| {
            format!(
                "{} was modified within the time given by --settle: it is left for a later run",
                file.path.display()
            )
        }));
        for position in left {
            self.stay(position);
        }
        (listed, known)
    }

    fn apply(&mut self, source: &Source, change: Change) {
        match change {
            Change::New(new) => self.add("new", new, None),
            Change::Unchanged(old) => self.stay(old),
            Change::Withdrawn(old) => self.remove(source, "withdrawn", old),
            Change::Replaced { old, new } => {
                self.add("replaced", new, Some(old.clone()));
                self.take_back(&old);
            }
            // A delivery with a key has one time for all of its rows.
            Change::Appended { old, new } if source.spec.ordinals => {
                self.add("appended", new, Some(old.clone()));
                self.take_back(&old);
            }
            Change::Appended { old, new } => self.append(old, &new),
            // What counts among rows of one key depends on time and path.
            Change::Touched { old, new } if source.spec.ordinals => {
                self.add("touched", new, None);
                self.take_back(&old);
            }
            Change::Touched { old, new } => self.stay(moved(old, &new)),
            // Rejected rows tell the path that they come from.
            Change::Renamed { old, new } if source.spec.ordinals || old.rejected > 0 => {
                self.add("renamed", new, None);
                self.remove(source, "renamed", old);
            }
            Change::Renamed { old, new } => {
                self.forgotten.insert(old.path.clone());
                let position = moved(old, &new);
                self.record(source, "renamed", &position.path, 0);
                self.stay(position);
            }
        }
    }

    fn add(&mut self, kind: &'static str, new: ListedFile, replaces: Option<Position>) {
        self.kinds.push(kind);
        self.added.push(Incoming {
            modified_ns: new.modified_ns,
            delivery: Delivery::from(new),
            replaces,
        });
    }

    fn append(&mut self, old: Position, new: &ListedFile) {
        let lines: u64 = old.parts.iter().map(|part| part.lines).sum();
        self.kinds.push("appended");
        self.added.push(Incoming {
            modified_ns: new.modified_ns,
            delivery: Delivery {
                name: new.name(),
                bytes: new.bytes - old.bytes,
                from: Content::Tail {
                    path: new.path.clone(),
                    after: old.bytes,
                    first_line: lines + 1,
                    hash: old.hash.clone(),
                },
            },
            replaces: None,
        });
        self.stay(old);
    }

    fn stay(&mut self, position: Position) {
        self.rest.push(kept(&position));
        self.positions.push(position);
    }

    /// Takes a delivery back whose path has another one now.
    fn take_back(&mut self, old: &Position) {
        self.removed.push(kept(old));
    }

    fn remove(&mut self, source: &Source, kind: &'static str, old: Position) {
        self.take_back(&old);
        self.record(source, kind, &old.path, old.rows + old.rejected);
        self.forgotten.insert(old.path);
    }

    fn record(&mut self, source: &Source, kind: &str, path: &str, rows_out: u64) {
        self.records.push(DeliveryRecord {
            source: source.spec.name.clone(),
            path: path.to_owned(),
            change: kind.to_owned(),
            rows_in: 0,
            rows_out,
        });
    }

    /// Whether there is anything to do but to note positions.
    pub fn is_nothing(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.records.is_empty()
    }
}

/// Fails when a directory is gone with all the files that were taken in from it: it is more likely not mounted, or
/// misspelt, than all of it withdrawn.
fn place_is_there(location: &str, known: &[Position]) -> Result<(), SourceError> {
    let plain = location.strip_prefix("file://").unwrap_or(location);
    let fixed = Path::new(plain)
        .components()
        .take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']));
    let place: PathBuf = fixed.collect();
    let is_directory = known.iter().any(|old| Path::new(&old.path) != place);
    if !is_directory || place.as_os_str().is_empty() || place.exists() {
        return Ok(());
    }
    Err(SourceError::Location {
        location: location.to_owned(),
        message: format!(
            "{} is not there, and {} deliveries were taken in from it; bring it back, or make an empty directory in its \
             place if all of them are withdrawn",
            place.display(),
            known.len()
        ),
    })
}

/// A delivery read from what was kept of it.
fn kept(position: &Position) -> Incoming {
    Incoming {
        delivery: Delivery {
            name: position.path.as_str().into(),
            from: Content::Kept(position.parts.clone()),
            bytes: position.parts.iter().map(|part| part.bytes).sum(),
        },
        modified_ns: position.modified_ns,
        replaces: None,
    }
}

/// The position of content that is known, where it is now.
fn moved(old: Position, new: &ListedFile) -> Position {
    Position {
        path: new.path.display().to_string(),
        bytes: new.bytes,
        modified_ns: new.modified_ns,
        ..old
    }
}

/// The sources that each graph reads.
pub struct SourcesRead {
    resumed: BTreeSet<String>,
    rebuilt: BTreeSet<String>,
    /// Whether the quarantine is made anew.
    quarantine: bool,
}

impl SourcesRead {
    /// What the graphs of a run read.
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

    /// The graphs that rows enter that were taken in before, when they have to be read.
    pub fn again(&self, source: &str) -> Option<GraphSet> {
        let graphs = GraphSet {
            resumed: false,
            ..self.all(source)
        };
        (!graphs.is_empty() || self.quarantine).then_some(graphs)
    }

    /// The graphs that rows leave, when they have to be read.
    fn back(&self, source: &str) -> Option<GraphSet> {
        let graphs = GraphSet {
            rebuilt: false,
            ..self.all(source)
        };
        (!graphs.is_empty() || !self.quarantine).then_some(graphs)
    }
}

/// The sources that a graph reads: those of its views, and those that are published as they are.
fn sources_of(plan: &Plan, published: impl Iterator<Item = String>) -> BTreeSet<String> {
    let mut read: BTreeSet<String> = published.collect();
    for view in &plan.views {
        add_scanned(&view.node, &mut read);
    }
    read
}

/// The intakes of a run from the files of a source: of what is added, of what is removed, of what stays.
///
/// # Errors
/// When the source cannot be opened.
pub fn intakes(
    source: &Source,
    read: &SourcesRead,
    changes: &SourceChanges,
    depot: &Arc<Depot>,
) -> Result<[Option<Arc<Intake>>; 3], RunError> {
    let spec = Arc::new(source.spec.clone());
    let open = |sign, graphs: Option<GraphSet>, quarantines, incoming: &[Incoming]| {
        let Some(graphs) = graphs.filter(|_| !incoming.is_empty()) else {
            return Ok(None);
        };
        let schema = incoming_schema(source);
        let entry = Entry {
            sign,
            graphs,
            quarantines,
        };
        let intake = Intake::open(spec.clone(), schema, entry, incoming.to_vec(), Some(depot));
        let intake = intake.map_err(RunError::of_source(source))?;
        Ok::<_, RunError>(Some(Arc::new(intake)))
    };
    let name = &source.spec.name;
    Ok([
        open(Sign::Plus, Some(read.all(name)), true, &changes.added)?,
        open(
            Sign::Minus,
            read.back(name),
            !read.quarantine,
            &changes.removed,
        )?,
        open(Sign::Plus, read.again(name), read.quarantine, &changes.rest)?,
    ])
}
