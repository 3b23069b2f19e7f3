//! The commit: positions, operators' state and tables move together, or not at all.
//!
//! ```text
//! read, compute ─ stage ─ sync ─ RECORD ─ swap ─ clean
//!                 changed files  redb:    rename into place
//!                 beside theirs  positions, state, what is published, the swaps
//! ```
//!
//! Crash points, and what the next run does after each ([`CRASH_POINTS`], and those of the swaps):
//!
//! | point | what is there | the next run |
//! |---|---|---|
//! | `commit: computed` | kept inputs, perhaps without an owner | begins again |
//! | `commit: filled`, in a first run | parts of which no view says that they are its own | forgets them, begins again |
//! | `commit: staged` | staged files too | removes them, begins again |
//! | `commit: before the record` | all of it durable | the same |
//! | `commit: after the record` | the record | makes the swaps, all of them once more |
//! | `publish: …` | some of the swaps | the same |
//! | `commit: published` | all of them | removes what was staged |
//!
//! 1. The record is one transaction: before it nothing has happened, after it everything has. A first run, which has nothing
//!    to lose, commits the parts beside the staging of tables, in a transaction before that: they are most of what is
//!    written, and what no epoch stands behind is forgotten.
//! 2. What the record speaks of is durable before it: kept inputs, staged files, lists of changes.
//! 3. Swaps can be made again. They are made before anything else is done with a state, until nothing is staged.
//! 4. What no position refers to is removed after the record and not before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use tidewater_connectors::disk;
use tidewater_connectors::file::sink::{
    DEFAULT_SHARD_BYTES, Published as PublishedRecord, PublishedPartition, PublishedTable, Run,
    StagedChange, Staging, TableChange, TableShard, WriteOptions, apply_swaps, stage_changes,
    sync_all, write_changes,
};
use tidewater_connectors::file::{Depot, Position};
use tidewater_connectors::kafka::StreamPosition;
use tidewater_connectors::sink::{Encoding, SinkError, TableSpec};

use super::views::{QUARANTINE, Views, table_name};
use crate::drive::RunError;
use crate::drive::graph::{Epoch, From, Plan, Table};
use crate::state::directory::Directory;
use crate::state::{
    DeliveryRecord, EPOCHS, EpochRecord, PARTITIONS, POSITIONS, Reading, STATE, STREAMS,
    StateRecord, Store, StoreError, TABLES, TableChangeRecord, TableRecord, VIEWS, ViewRecord,
    Writing, pair_key, panic,
};

/// Where a commit can be cut short, for tests; those of the swaps come between the last two.
pub const CRASH_POINTS: &[&str] = &[COMPUTED, STAGED, BEFORE, AFTER, PUBLISHED];

/// Where a first commit can be cut short besides.
pub const FILLED: &str = "commit: filled";

const COMPUTED: &str = "commit: computed";
const STAGED: &str = "commit: staged";
const BEFORE: &str = "commit: before the record";
const AFTER: &str = "commit: after the record";
const PUBLISHED: &str = "commit: published";

/// Finishes what a run that was cut short left half done.
///
/// # Errors
/// When the swaps cannot be made, or what is left not be removed.
pub fn recover(store: &Store, depot: &Depot) -> Result<(), RunError> {
    let reading = store.read()?;
    let state: Option<StateRecord> = reading.record(STATE, "")?;
    let state = state.unwrap_or_default();
    let is_committed = is_staged(&state, state.epoch)?;
    if is_half_done(&state)? {
        tracing::info!(epoch = state.epoch, "finishing what the last run committed");
        apply_swaps(&state.swaps)?;
    }
    if is_committed || state.epoch == 0 || is_staged(&state, state.epoch + 1)? {
        let positions: BTreeMap<String, Position> = reading.records(POSITIONS, "")?;
        remove_unused(depot, positions.values())?;
    }
    let tables = state.table_paths.iter().map(PathBuf::as_path);
    Ok(Staging::clean(tables, &state.id)?)
}

/// Whether the last commit's files may not all be in their places.
///
/// # Errors
/// When the place of a table cannot be told.
pub fn is_half_done(state: &StateRecord) -> Result<bool, SinkError> {
    Ok(!state.swaps.is_empty() && is_staged(state, state.epoch)?)
}

fn is_staged(state: &StateRecord, epoch: u64) -> Result<bool, SinkError> {
    // Beside a table whose place is gone nothing is staged, and nothing shall be made there.
    let is_there = |table: &&Path| {
        let beside = table.parent();
        beside.is_none_or(|beside| fs::exists(beside).unwrap_or(true))
    };
    let tables = state.table_paths.iter().map(PathBuf::as_path);
    Staging::is_staged(tables.filter(is_there), &state.id, epoch)
}

/// Removes what is kept and no position refers to.
fn remove_unused<'a>(
    depot: &Depot,
    positions: impl Iterator<Item = &'a Position>,
) -> Result<(), RunError> {
    let used = positions.flat_map(|position| &position.parts);
    let used: BTreeSet<String> = used.map(|part| part.hash.clone()).collect();
    let removed = depot.remove_unreferenced(&used);
    removed.map_err(StoreError::Source)?;
    Ok(())
}

/// What is published, as the state tells it.
struct FromState<'a>(&'a Reading);

impl FromState<'_> {
    fn told<T>(table: &str, result: Result<T, StoreError>) -> Result<T, SinkError> {
        result.map_err(|error| SinkError::Record {
            table: table.to_owned(),
            message: error.to_string(),
        })
    }
}

impl PublishedRecord for FromState<'_> {
    fn partition(&self, table: &str, path: &str) -> Result<Option<PublishedPartition>, SinkError> {
        Self::told(table, self.0.record(PARTITIONS, &pair_key(table, path)))
    }

    fn partitions(&self, table: &str) -> Result<Vec<String>, SinkError> {
        let prefix = pair_key(table, "");
        let records: Result<BTreeMap<String, PublishedPartition>, _> =
            self.0.records(PARTITIONS, &prefix);
        Ok(Self::told(table, records)?.into_keys().collect())
    }
}

/// What became of one source's positions.
pub struct SourcePositions {
    /// The source.
    pub source: String,
    /// Its positions now.
    pub positions: Vec<Position>,
    /// Paths that have none any more.
    pub forgotten: BTreeSet<String>,
    /// What is recorded of its deliveries.
    pub records: Vec<DeliveryRecord>,
    /// Hashes that were kept by this run.
    pub kept: Vec<String>,
    /// Whether something that was kept is of no use any more.
    pub has_unused: bool,
    /// Where it stands, when it is a stream.
    pub stream: Option<StreamPosition>,
}

/// What was committed.
pub struct Committed {
    /// The state's record now.
    pub state: StateRecord,
    /// Where streams stand now.
    pub streams: Vec<(String, StreamPosition)>,
}

/// An epoch on its way to be committed.
pub struct Commit<'a> {
    /// Where the state is.
    pub directory: &'a Directory,
    /// Where inputs are kept.
    pub depot: &'a Depot,
    /// The last commit.
    pub reading: &'a Reading,
    /// The state's record as it was.
    pub state: StateRecord,
    /// What became of the views.
    pub views: &'a Views,
    /// Names of the parts of each view whose state is kept.
    pub parts: BTreeMap<String, Vec<String>>,
    /// By source.
    pub positions: Vec<SourcePositions>,
    /// When, in seconds since 1970.
    pub now_s: u64,
}

impl Commit<'_> {
    /// [Stages](Self::stage) the changes of the tables; of a first run it commits the parts in `writing` beside that. Gives
    /// the transaction that the records are for.
    ///
    /// # Errors
    /// When a table cannot be written, or the state. Nothing is published then.
    pub fn stage_and_fill(
        &self,
        store: &Store,
        writing: Writing,
        epoch: &Epoch,
        runs: Vec<Vec<Run>>,
        options: WriteOptions,
    ) -> Result<(Vec<StagedChange>, Writing), RunError> {
        if self.state.epoch > 0 {
            return Ok((self.stage(epoch, runs, options)?, writing));
        }
        let (filled, staged) = thread::scope(|scope| {
            let filling = scope.spawn(|| panic::guarded(|| self.fill(writing)));
            let staged = self.stage(epoch, runs, options);
            let filled = filling.join();
            (filled.unwrap_or_else(|panic| resume_unwind(panic)), staged)
        });
        filled?;
        Ok((staged?, store.write()?))
    }

    /// Commits the parts, which belong to epoch 0: to none.
    fn fill(&self, writing: Writing) -> Result<(), StoreError> {
        let mut state = self.state.clone();
        state.sizes = writing.sizes()?;
        writing.put(STATE, "", &state)?;
        writing.commit()?;
        disk::crash_point(FILLED);
        Ok(())
    }

    /// Stages the changes of the tables, those with runs and those that are made anew.
    ///
    /// # Errors
    /// When a table cannot be written. Nothing is published then.
    pub fn stage(
        &self,
        epoch: &Epoch,
        runs: Vec<Vec<Run>>,
        options: WriteOptions,
    ) -> Result<Vec<StagedChange>, RunError> {
        disk::crash_point(COMPUTED);
        let changes = self.directory.join("changes");
        let of_epoch = changes.join(format!("{:020}", self.state.epoch + 1));
        remove_and_make(&of_epoch)?;
        let mut tables = Vec::new();
        let mut written = Vec::new();
        for (table, runs) in epoch.tables.iter().zip(runs) {
            let replace = self.is_replaced(table);
            if runs.is_empty() && !replace {
                continue;
            }
            if !replace {
                let path = of_epoch.join(format!("{}.parquet", table.spec.name));
                write_changes(&path, &table.spec, &runs)?;
                written.push(path);
            } else if table.is_topic {
                // Who reads the topic has what it was: it is made another one, not made anew.
                let path = of_epoch.join(format!("{}.parquet", table.spec.name));
                let all = [runs.clone(), self.taken_back(epoch, table)?].concat();
                write_changes(&path, &table.spec, &all)?;
                written.push(path);
            }
            tables.push(TableChange {
                spec: Arc::clone(&table.spec),
                runs,
                replace,
                shadow: shadow(self.directory, &table.spec),
            });
        }
        written.extend([of_epoch, changes]);
        sync_all(written)?;
        let staged = stage_changes(&epoch.staging, tables, &FromState(self.reading), options)?;
        disk::crash_point(STAGED);
        Ok(staged)
    }

    /// What the copy of a table holds that goes to Kafka, taken back. Nothing, when it cannot be read or has other columns:
    /// all rows are published then, and those that are gone stay.
    fn taken_back(&self, epoch: &Epoch, table: &Table) -> Result<Vec<Run>, RunError> {
        let name = &*table.spec.name;
        let partitions: BTreeMap<String, PublishedPartition> =
            self.reading.records(PARTITIONS, &pair_key(name, ""))?;
        let published = PublishedTable::new(Arc::clone(&table.spec), None)?;
        let mut shard =
            TableShard::new(Arc::clone(&table.spec), &epoch.staging, DEFAULT_SHARD_BYTES)?;
        for file in published.files(&partitions)? {
            let read = published.read(&file.path, |batch| shard.push(&batch, -1));
            if let Err(error) = read {
                tracing::warn!(
                    "what {name} was cannot be told ({error}): the topic gets all rows anew, and keys that are gone stay"
                );
                return Ok(Vec::new());
            }
        }
        Ok(shard.finish()?)
    }

    /// The number of rows that entered the quarantine, less those that left it, is what its table says.
    ///
    /// # Errors
    /// When it is not: a bug.
    pub fn balance(&self, epoch: &Epoch, staged: &[StagedChange]) -> Result<(), RunError> {
        let quarantine = epoch.tables.last().map(|table| &table.spec.name);
        let staged = staged
            .iter()
            .find(|staged| Some(&staged.spec.name) == quarantine);
        let signed = |rows: u64| i64::try_from(rows).unwrap_or(i64::MAX);
        // Where it is made anew nothing is taken back, and all that was there goes unread.
        let written = staged.map_or(0, |staged| {
            if self.views.quarantine {
                signed(staged.rows_inserted)
            } else {
                signed(staged.rows_inserted) - signed(staged.rows_deleted)
            }
        });
        let counted = epoch.rows_quarantined.load(Ordering::Relaxed);
        if written == counted {
            return Ok(());
        }
        Err(RunError::Workers(format!(
            "the quarantine changed by {written} rows where {counted} were counted; nothing was published. This is a bug in \
             Tidewater: please report it"
        )))
    }

    /// Whether a table is made anew.
    pub fn is_replaced(&self, table: &Table) -> bool {
        match &table.from {
            From::Relation(_, relation) => self.views.is_rebuilt(relation),
            From::Quarantine => self.views.quarantine,
            From::Late => self.views.late,
        }
    }

    /// Records everything in one transaction, and brings the staged files to their places.
    ///
    /// # Errors
    /// When the state cannot be written, or files not be moved. Once the record is there the next run finishes.
    pub fn finish(
        mut self,
        writing: Writing,
        mut epoch: Epoch,
        staged: &[StagedChange],
        seconds: f64,
    ) -> Result<Committed, RunError> {
        self.state.epoch += 1;
        self.state.swaps = staged
            .iter()
            .flat_map(|table| table.swaps.clone())
            .collect();
        self.state.table_paths = paths(self.directory, &epoch.tables);
        let delivered = self.positions.iter();
        let delivered = delivered.filter(|source| !source.positions.is_empty());
        let delivered = delivered.map(|source| source.source.clone());
        self.state.sources.extend(delivered);
        self.record_positions(&writing)?;
        self.record_views(&writing)?;
        let changed = self.record_tables(&writing, &epoch, staged)?;
        let number = self.state.epoch;
        let record = EpochRecord {
            epoch: number,
            committed_at: self.now_s,
            seconds,
            deliveries: self
                .positions
                .iter()
                .flat_map(|source| source.records.clone())
                .collect(),
            rows_in: total(&self.positions, |record| record.rows_in),
            rows_out: total(&self.positions, |record| record.rows_out),
            tables: changed,
            rebuilt: self.views.rebuilt.keeps.iter().cloned().collect(),
        };
        writing.put(EPOCHS, &format!("{number:020}"), &record)?;
        self.state.sizes = writing.sizes()?;
        self.state.sizes.remove(STATE.name());
        writing.put(STATE, "", &self.state)?;
        let kept = self.positions.iter().flat_map(|source| &source.kept);
        self.depot
            .sync(kept.map(String::as_str))
            .map_err(StoreError::Source)?;
        // From here on what is staged belongs to the record.
        epoch.staging.keep();
        disk::crash_point(BEFORE);
        writing.commit()?;
        disk::crash_point(AFTER);
        apply_swaps(&self.state.swaps)?;
        disk::crash_point(PUBLISHED);
        self.tidy(&epoch)?;
        let streams = std::mem::take(&mut self.positions).into_iter();
        let streams = streams.filter_map(|source| Some((source.source, source.stream?)));
        Ok(Committed {
            state: self.state,
            streams: streams.collect(),
        })
    }

    fn record_positions(&self, writing: &Writing) -> Result<(), RunError> {
        for source in &self.positions {
            if let Some(stream) = &source.stream {
                writing.put(STREAMS, &source.source, stream)?;
            }
            let known: BTreeMap<String, Position> = self
                .reading
                .records(POSITIONS, &pair_key(&source.source, ""))?;
            for path in &source.forgotten {
                writing.remove(POSITIONS, &pair_key(&source.source, path))?;
            }
            for position in &source.positions {
                if known.get(&position.path) != Some(position) {
                    let key = pair_key(&source.source, &position.path);
                    writing.put(POSITIONS, &key, position)?;
                }
            }
        }
        Ok(())
    }

    fn record_views(&self, writing: &Writing) -> Result<(), RunError> {
        for name in self.views.gone.views.keys() {
            writing.remove(VIEWS, name)?;
        }
        for name in &self.views.rebuilt.keeps {
            let record = ViewRecord {
                fingerprint: self.views.fingerprints[name].clone(),
                parts: self.parts.get(name).cloned().unwrap_or_default(),
                newest: newest(&self.views.rebuilt, name),
            };
            writing.put(VIEWS, name, &record)?;
        }
        for name in self.views.kept.retained.keys() {
            if let Some(record) = self.reading.record::<ViewRecord>(VIEWS, name)? {
                let newest = newest(&self.views.kept, name);
                writing.put(VIEWS, name, &ViewRecord { newest, ..record })?;
            }
        }
        if self.views.quarantine {
            let record = ViewRecord {
                fingerprint: self.views.fingerprints[QUARANTINE].clone(),
                parts: Vec::new(),
                newest: None,
            };
            writing.put(VIEWS, QUARANTINE, &record)?;
        }
        Ok(())
    }

    fn record_tables(
        &self,
        writing: &Writing,
        epoch: &Epoch,
        staged: &[StagedChange],
    ) -> Result<Vec<TableChangeRecord>, RunError> {
        for name in self.views.gone.tables.keys() {
            writing.remove(TABLES, name)?;
            writing.remove_all(PARTITIONS, &pair_key(name, ""))?;
        }
        let mut changed = Vec::new();
        for staged in staged {
            let name = staged.spec.name.to_string();
            let Some(table) = epoch
                .tables
                .iter()
                .find(|table| table.spec.name == staged.spec.name)
            else {
                continue;
            };
            let replaced = self.is_replaced(table);
            let old: Option<TableRecord> = self.reading.record(TABLES, &name)?;
            let before = old.map_or(0, |old| old.rows);
            if replaced {
                writing.remove_all(PARTITIONS, &pair_key(&name, ""))?;
            }
            for (path, partition) in &staged.partitions {
                let key = pair_key(&name, path);
                match partition {
                    Some(partition) => writing.put(PARTITIONS, &key, partition)?,
                    None => writing.remove(PARTITIONS, &key)?,
                }
            }
            let record = TableRecord {
                fingerprint: self
                    .views
                    .fingerprints
                    .get(&table_name(&name))
                    .cloned()
                    .unwrap_or_default(),
                path: staged.spec.path.clone(),
                view: match &table.from {
                    From::Relation(_, view) => view.clone(),
                    From::Late | From::Quarantine => String::new(),
                },
                rows: (before + staged.rows_inserted).saturating_sub(staged.rows_deleted),
                epoch: self.state.epoch,
            };
            writing.put(TABLES, &name, &record)?;
            if replaced || staged.rows_inserted + staged.rows_deleted > 0 {
                changed.push(TableChangeRecord {
                    table: name,
                    inserted: staged.rows_inserted,
                    deleted: staged.rows_deleted,
                    replaced,
                });
            }
        }
        Ok(changed)
    }

    /// Removes what is of no use any more. The commit stands whether that succeeds or not.
    fn tidy(&self, epoch: &Epoch) -> Result<(), RunError> {
        // What is staged goes last: as long as it is there the next run knows that this one did not end.
        if self.positions.iter().any(|source| source.has_unused) {
            let positions = self.positions.iter().flat_map(|source| &source.positions);
            remove_unused(self.depot, positions)?;
        }
        let tables = paths(self.directory, &epoch.tables);
        Ok(Staging::clean(
            tables.iter().map(PathBuf::as_path),
            &self.state.id,
        )?)
    }
}

/// The newest window of a view that was ever met.
fn newest(plan: &Plan, view: &str) -> Option<i64> {
    let retained = plan.retained.get(view)?;
    Some(retained.newest.load(Ordering::Relaxed)).filter(|newest| *newest > i64::MIN)
}

fn total(positions: &[SourcePositions], of: impl Fn(&DeliveryRecord) -> u64) -> u64 {
    let records = positions.iter().flat_map(|source| &source.records);
    records.map(of).sum()
}

/// Where the Parquet copy of a table is that is published as text.
pub fn shadow(directory: &Directory, spec: &TableSpec) -> Option<PathBuf> {
    match spec.encoding {
        Encoding::Parquet { .. } => None,
        Encoding::Csv { .. } | Encoding::JsonLines => {
            Some(directory.join("tables").join(&*spec.name))
        }
    }
}

/// The directories of the tables and of their shadows.
pub fn paths(directory: &Directory, tables: &[Table]) -> Vec<PathBuf> {
    let of_table = |table: &Table| {
        let shadow = shadow(directory, &table.spec);
        std::iter::once(table.spec.path.clone()).chain(shadow)
    };
    tables.iter().flat_map(of_table).collect()
}

fn remove_and_make(path: &Path) -> Result<(), StoreError> {
    disk::remove_dir_all(path).map_err(StoreError::io("remove", path))?;
    disk::create_dir_all(path).map_err(StoreError::io("create", path))
}

/// Removes the lists of changes that no epoch refers to: left by a run that was cut short.
///
/// # Errors
/// When the directory cannot be read.
pub fn remove_orphans(directory: &Directory, epoch: u64) -> Result<(), StoreError> {
    let path = directory.join("changes").join(format!("{:020}", epoch + 1));
    if fs::exists(&path).map_err(StoreError::io("look up", &path))? {
        disk::remove_dir_all(&path).map_err(StoreError::io("remove", &path))?;
    }
    Ok(())
}
