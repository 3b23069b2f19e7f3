//! The commit: checkpoints, operators' state and tables change together or not at all.
//!
//! ```text
//! read, compute ─ stage ─ sync ─ RECORD ─ apply ─ clean
//!                 changed files  redb:    rename into place
//!                 beside theirs  positions, state, what is published, publish steps
//! ```
//!
//! Crash points, and what the next run does after each ([`CRASH_POINTS`], and those of the publish steps):
//!
//! | point | what is there | the next run |
//! |---|---|---|
//! | `commit: computed` | stored inputs, perhaps without an owner | begins again |
//! | `commit: filled`, in a first run | operators' state without a record | drops it, begins again |
//! | `commit: staged` | staged files too | removes them, begins again |
//! | `commit: before the record` | all of it durable | the same |
//! | `commit: after the record` | the record | applies the publish steps, all of them once more |
//! | `publish: …` | some of the publish steps | the same |
//! | `commit: published` | all of them | removes what was staged |
//!
//! 1. The record is one transaction. Before it nothing has changed; after it everything has. Operators' state is
//!    written in it, or by a first run in a transaction of its own before it ([`StateFill`](super::fill::StateFill)).
//! 2. Everything that the record refers to is durable before it: stored inputs, staged files, files of changes.
//! 3. Publish steps can be repeated. They are applied before anything else is done with a state, until nothing is staged.
//! 4. Content that no checkpoint refers to is removed after the record and not before.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidewater_connectors::connector::SourceChanges;
use tidewater_connectors::disk;
use tidewater_connectors::file::sink::{
    AmendSizes, QUARANTINE_TABLE, Run, StagedChange, Staging, TableChange, WriteOptions,
    apply_steps, rows_of, stage_changes, sync_all, write_changes,
};
use tidewater_connectors::sink::SinkError;
use tidewater_connectors::sink_connector::StagedSinks;

use super::holds::HoldRecords;
use super::inputs::{CommittedSource, connectors, remove_unused};
use super::own_commits::next_mark;
use super::published_record::FromState;
use super::retracted::{no_longer_late, retracted, rows_after};
use super::shadow::{paths, shadow};
use super::standing::{CarriedTable, Standing};
use super::views::Views;
use crate::drive::RunError;
use crate::drive::assertions::{AssertionReport, judge};
use crate::drive::balance;
use crate::drive::graph::Epoch;
use crate::drive::row_counts::signed;
use crate::drive::tables::{Origin, PerTable, Table};
use crate::job::Job;
use crate::state::directory::{Directory, StateLayout};
use crate::state::{
    DeliveryRecord, EPOCHS, EpochRecord, JOB, JobRecord, PARTITIONS, STATE, StateRecord,
    StateSnapshot, StateTransaction, Store, StoreError, TABLES, TableChangeRecord, TableRecord,
    VIEWS, ViewRecord, epoch_key, pair_key,
};

/// Points where tests interrupt a commit. Those of the publish steps come between the last two.
pub const CRASH_POINTS: &[&str] = &[COMPUTED, STAGED, BEFORE, AFTER, PUBLISHED];

/// A further point of a first commit.
pub const FILLED: &str = "commit: filled";

const COMPUTED: &str = "commit: computed";
const STAGED: &str = "commit: staged";
const BEFORE: &str = "commit: before the record";
const AFTER: &str = "commit: after the record";
const PUBLISHED: &str = "commit: published";

/// Finishes the commit of a run that was interrupted.
///
/// # Errors
/// When the publish steps cannot be applied, or remains cannot be removed.
pub fn recover(job: &Job, store: &Store, layout: &StateLayout) -> Result<(), RunError> {
    let snapshot = store.read()?;
    let state: Option<StateRecord> = snapshot.record(STATE, "")?;
    let state = state.unwrap_or_default();
    let is_committed = is_staged(&state, state.epoch)?;
    if is_half_done(&state)? {
        tracing::info!(epoch = state.epoch, "finishing what the last run committed");
        apply_steps(&state.publish_steps)?;
    }
    if is_committed || state.epoch == 0 || is_staged(&state, state.epoch + 1)? {
        remove_unused(&connectors(job), layout, &snapshot)?;
    }
    let tables = state.table_paths.iter().map(PathBuf::as_path);
    Ok(Staging::clean(tables, &state.id)?)
}

/// Whether some files of the last commit may not be in their places yet.
///
/// # Errors
/// When a table's directory cannot be determined.
pub fn is_half_done(state: &StateRecord) -> Result<bool, SinkError> {
    Ok(!state.publish_steps.is_empty() && is_staged(state, state.epoch)?)
}

fn is_staged(state: &StateRecord, epoch: u64) -> Result<bool, SinkError> {
    // If the directory beside a table is gone, nothing is staged there, and nothing may be created there.
    let is_there = |table: &&Path| {
        let beside = table.parent();
        beside.is_none_or(|beside| fs::exists(beside).unwrap_or(true))
    };
    let tables = state.table_paths.iter().map(PathBuf::as_path);
    Staging::is_staged(tables.filter(is_there), &state.id, epoch)
}

/// The result of a commit.
pub struct Committed {
    /// The state's new record.
    pub state: StateRecord,
    /// The outcome for each source.
    pub sources: Vec<CommittedSource>,
}

/// An epoch on its way to be committed.
pub struct Commit<'a> {
    /// The state's directory.
    pub directory: &'a Directory,
    /// The state.
    pub store: &'a Store,
    /// Its job.
    pub job: &'a Job,
    /// The job as given.
    pub declared: Option<&'a JobRecord>,
    /// The last commit.
    pub snapshot: &'a StateSnapshot,
    /// The state's record before the commit.
    pub state: StateRecord,
    /// Which views continue and which are rebuilt.
    pub views: &'a Views,
    /// The condition of the published tables.
    pub standing: &'a Standing,
    /// Names of the parts of each view whose state is kept.
    pub parts: BTreeMap<String, Vec<String>>,
    /// The changes of each source.
    pub changes: &'a [Box<dyn SourceChanges>],
    /// The outcome for each source.
    pub sources: Vec<CommittedSource>,
    /// What is recorded about held deliveries.
    pub hold_records: HoldRecords,
    /// The time, in seconds since 1970.
    pub now_s: u64,
    /// The sizes from which on partitions are amended instead of rewritten.
    pub sizes: AmendSizes,
}

/// An epoch that is staged.
pub struct StagedEpoch<'a> {
    /// The staged changes of the tables.
    pub tables: &'a PerTable<Option<StagedChange>>,
    /// The staged changes for other systems.
    pub sinks: StagedSinks,
    /// The results of the assertions.
    pub assertions: &'a [AssertionReport],
}

impl Commit<'_> {
    /// Judges the assertions by their numbers after the commit. `runs` are the changes of the tables.
    ///
    /// # Errors
    /// When the numbers cannot be read.
    pub fn judge(
        &self,
        epoch: &Epoch,
        runs: &PerTable<Vec<Run>>,
    ) -> Result<Vec<AssertionReport>, RunError> {
        judge(
            self.job,
            &epoch.tables,
            &self.state.accepted,
            &|at, table| {
                let runs = runs.sinks.get(at).cloned().unwrap_or_default();
                let layout = &self.directory.layout;
                if self.is_replaced(table) {
                    return Ok(rows_of(&table.spec, runs)?);
                }
                match self.carried(table) {
                    Some(carried) => {
                        let carried = carried.rows(&table.spec, &epoch.staging)?;
                        Ok(rows_of(&table.spec, [runs, carried].concat())?)
                    }
                    None => rows_after(self.snapshot, layout, table, runs, &epoch.staging),
                }
            },
        )
    }

    /// Stages the changes of tables that have runs or are rebuilt; `None` for the others.
    ///
    /// # Errors
    /// When a table cannot be written. Nothing is published then.
    pub fn stage(
        &self,
        epoch: &Epoch,
        runs: PerTable<Vec<Run>>,
        options: &WriteOptions,
    ) -> Result<PerTable<Option<StagedChange>>, RunError> {
        disk::crash_point(COMPUTED);
        let layout = &self.directory.layout;
        let next = self.state.epoch + 1;
        remove_and_make(&layout.changes_of(next))?;
        let mut written = Vec::new();
        let changes = epoch
            .tables
            .as_ref()
            .zip(runs)
            .try_map(|(table, mut runs)| {
                let carried = self.carried(table);
                let replace = self.is_replaced(table) || carried.is_some();
                if table.origin == Origin::Late && carried.is_none() {
                    runs.extend(no_longer_late(
                        self.views,
                        self.snapshot,
                        layout,
                        table,
                        &epoch.staging,
                    )?);
                }
                if runs.is_empty() && !replace {
                    return Ok(None);
                }
                if let Some(changes) = self.listed_changes(epoch, table, &runs)? {
                    let path = layout.changes(next, &table.spec.name);
                    write_changes(&path, &table.spec, &changes)?;
                    written.push(path);
                }
                if let Some(carried) = carried {
                    runs.extend(carried.rows(&table.spec, &epoch.staging)?);
                }
                Ok::<_, RunError>(Some(TableChange {
                    spec: Arc::clone(&table.spec),
                    runs,
                    replace,
                    shadow: shadow(layout, &table.spec),
                    owner: next_mark(&self.state, table, self.now_s),
                }))
            })?;
        written.extend([layout.changes_of(next), layout.all_changes()]);
        sync_all(written)?;
        let is_staged = changes.as_ref().map(Option::is_some);
        let changes = changes.into_values().into_iter().flatten().collect();
        let published = FromState {
            snapshot: self.snapshot,
            standing: self.standing,
        };
        let staged = stage_changes(&epoch.staging, changes, &published, options, self.sizes)?;
        disk::crash_point(STAGED);
        let mut staged = staged.into_iter();
        Ok(is_staged.map(|is_staged| if is_staged { staged.next() } else { None }))
    }

    /// The content of a table's file of changes. There is no such file for a table that is rebuilt.
    fn listed_changes(
        &self,
        epoch: &Epoch,
        table: &Table,
        runs: &[Run],
    ) -> Result<Option<Vec<Run>>, RunError> {
        if !self.is_replaced(table) {
            return Ok(Some(runs.to_vec()));
        }
        if !table.is_copy {
            return Ok(None);
        }
        // Another system has the old rows, so they are retracted and the new rows inserted.
        Ok(Some([runs, &self.copy_retracted(epoch, table)?].concat()))
    }

    /// The rows of the copy of a table that is published to another system, as retractions. `None` if the copy cannot
    /// be read or has other columns. Then all rows are published, and rows that are gone stay there.
    fn copy_retracted(&self, epoch: &Epoch, table: &Table) -> Result<Vec<Run>, RunError> {
        match retracted(
            self.snapshot,
            &self.directory.layout,
            table,
            &epoch.staging,
            Ok,
        ) {
            Err(RunError::Sink(error)) => {
                tracing::warn!(
                    "the old rows of {} cannot be read ({error}): all rows are published again, and keys that are gone stay in the other system",
                    table.spec.name
                );
                Ok(Vec::new())
            }
            rows => rows,
        }
    }

    /// Checks that no row was lost.
    ///
    /// # Errors
    /// When a row was lost or made up, which is a bug.
    pub fn balance(
        &self,
        epoch: &Epoch,
        staged: &PerTable<Option<StagedChange>>,
    ) -> Result<(), RunError> {
        let change = staged.quarantine.as_ref().map_or(0, |staged| {
            // A table that is rebuilt is not read, so its old rows do not count.
            let deleted = if self.views.quarantine {
                0
            } else {
                staged.rows_deleted
            };
            signed(staged.rows_inserted) - signed(deleted)
        });
        balance::check(epoch, change)
    }

    /// The history entries of all sources' deliveries.
    pub fn deliveries(&self) -> Vec<DeliveryRecord> {
        let records = self.sources.iter().flat_map(|source| {
            let deliveries = source.outcome.deliveries.iter();
            deliveries.map(|delivery| DeliveryRecord {
                source: source.source.clone(),
                path: delivery.name.clone(),
                change: delivery.kind.to_owned(),
                rows_in: delivery.rows_in,
                rows_out: delivery.rows_out,
            })
        });
        records.collect()
    }

    /// The rows from which a table is written whole, unless it is rebuilt.
    fn carried(&self, table: &Table) -> Option<&CarriedTable> {
        let carried = self.standing.carried(table);
        carried.filter(|_| !self.is_replaced(table))
    }

    /// Inserted and deleted rows of a table, not counting rows that were only written again.
    pub fn counts(&self, table: &Table, staged: &StagedChange) -> (u64, u64) {
        let (inserted, deleted) = (staged.rows_inserted, staged.rows_deleted);
        let again = match self.carried(table) {
            Some(_) => inserted.min(deleted),
            None => 0,
        };
        (inserted - again, deleted - again)
    }

    /// Whether a table is rebuilt.
    pub fn is_replaced(&self, table: &Table) -> bool {
        match &table.origin {
            Origin::Relation { name, .. } => self.views.is_rebuilt(name),
            Origin::Quarantine => self.views.quarantine,
            Origin::Late => self.views.late,
        }
    }

    /// Records everything in one transaction, and moves the staged files to their places.
    ///
    /// # Errors
    /// When the state cannot be written, or files cannot be moved. After the record, the next run finishes the
    /// commit.
    pub fn finish(
        mut self,
        transaction: StateTransaction,
        mut epoch: Epoch,
        staged_epoch: StagedEpoch<'_>,
        seconds: f64,
    ) -> Result<Committed, RunError> {
        let StagedEpoch {
            tables: staged,
            sinks,
            assertions,
        } = staged_epoch;
        self.state.epoch += 1;
        self.state
            .record_judgements(self.job, assertions, &self.hold_records);
        let steps = staged.present().flat_map(|table| table.steps.clone());
        let tables = epoch.tables.iter();
        let discarded = tables.filter_map(|table| self.standing.carried(table)?.discarded());
        self.state.publish_steps = steps.chain(discarded).collect();
        self.state.table_paths = paths(&self.directory.layout, &epoch.tables);
        self.state.staged = sinks;
        let delivered = self.sources.iter();
        let delivered = delivered.filter(|source| source.outcome.has_deliveries);
        let delivered = delivered.map(|source| source.source.clone());
        self.state.sources.extend(delivered);
        self.record_checkpoints(&transaction)?;
        self.record_views(&transaction)?;
        let changed = self.record_tables(&transaction, &epoch, staged)?;
        let number = self.state.epoch;
        let deliveries = self.deliveries();
        let record = EpochRecord {
            epoch: number,
            committed_at: self.now_s,
            seconds,
            rows_in: deliveries.iter().map(|record| record.rows_in).sum(),
            rows_out: deliveries.iter().map(|record| record.rows_out).sum(),
            deliveries,
            tables: changed,
            rebuilt: self.views.rebuilt.keeps.iter().cloned().collect(),
            assertions: assertions.iter().map(AssertionReport::record).collect(),
        };
        transaction.put(EPOCHS, &epoch_key(number), &record)?;
        if let Some(declared) = self.declared
            && !is_known(self.declared, self.snapshot)?
        {
            transaction.put(JOB, "", declared)?;
        }
        self.state.sizes = transaction.sizes()?;
        self.state.sizes.remove(STATE.name());
        transaction.put(STATE, "", &self.state)?;
        for (changes, source) in self.changes.iter().zip(&self.sources) {
            changes.sync(&source.outcome).map_err(StoreError::Source)?;
        }
        // From here on, the staged files belong to the record.
        epoch.staging.keep();
        disk::crash_point(BEFORE);
        transaction.commit()?;
        disk::crash_point(AFTER);
        apply_steps(&self.state.publish_steps)?;
        disk::crash_point(PUBLISHED);
        self.tidy(&epoch)?;
        Ok(Committed {
            state: self.state,
            sources: self.sources,
        })
    }

    fn record_checkpoints(&self, transaction: &StateTransaction) -> Result<(), RunError> {
        for source in &self.sources {
            let update = &source.outcome.checkpoint;
            transaction.update_checkpoint(source.connector, &source.source, update)?;
        }
        Ok(())
    }

    fn record_views(&self, transaction: &StateTransaction) -> Result<(), RunError> {
        self.views.upgrades.write(transaction)?;
        for name in self.views.gone.views.keys() {
            transaction.remove(VIEWS, name)?;
        }
        for name in &self.views.rebuilt.keeps {
            let record = ViewRecord {
                fingerprint: self.views.fingerprint(name),
                parts: self.parts.get(name).cloned().unwrap_or_default(),
                ..ViewRecord::default()
            };
            transaction.put(VIEWS, name, &record)?;
        }
        for (name, retained) in &self.views.kept.retained {
            if let Some(record) = self.snapshot.record::<ViewRecord>(VIEWS, name)? {
                let record = ViewRecord {
                    fingerprint: self.views.fingerprint(name),
                    closed: retained.horizon,
                    newest_late: record.newest_late.max(retained.newest_late()),
                    newest: None,
                    ..record
                };
                transaction.put(VIEWS, name, &record)?;
            }
        }
        if self.views.quarantine {
            let record = ViewRecord {
                fingerprint: self.views.fingerprint(QUARANTINE_TABLE),
                ..ViewRecord::default()
            };
            transaction.put(VIEWS, QUARANTINE_TABLE, &record)?;
        }
        Ok(())
    }

    fn record_tables(
        &self,
        transaction: &StateTransaction,
        epoch: &Epoch,
        staged: &PerTable<Option<StagedChange>>,
    ) -> Result<Vec<TableChangeRecord>, RunError> {
        self.standing.record(transaction)?;
        for name in self.views.gone.tables.keys() {
            transaction.remove(TABLES, name)?;
            transaction.remove_all(PARTITIONS, &pair_key(name, ""))?;
        }
        let mut changed = Vec::new();
        for (table, staged) in epoch.tables.iter().zip(staged.iter()) {
            let Some(staged) = staged else { continue };
            let name = staged.spec.name.to_string();
            let replaced = self.is_replaced(table);
            let (inserted, deleted) = self.counts(table, staged);
            let old: Option<TableRecord> = self.snapshot.record(TABLES, &name)?;
            let before = old.map_or(0, |old| old.rows);
            if replaced {
                transaction.remove_all(PARTITIONS, &pair_key(&name, ""))?;
            }
            for (path, partition) in &staged.partitions {
                let key = pair_key(&name, path);
                match partition {
                    Some(partition) => transaction.put(PARTITIONS, &key, partition)?,
                    None => transaction.remove(PARTITIONS, &key)?,
                }
            }
            let record = TableRecord {
                fingerprint: self
                    .views
                    .fingerprints
                    .table(&name)
                    .cloned()
                    .unwrap_or_default(),
                path: staged.spec.path.clone(),
                view: match &table.origin {
                    Origin::Relation { name, .. } => name.clone(),
                    Origin::Late | Origin::Quarantine => String::new(),
                },
                rows: (before + staged.rows_inserted).saturating_sub(staged.rows_deleted),
                epoch: self.state.epoch,
            };
            transaction.put(TABLES, &name, &record)?;
            if replaced || inserted + deleted > 0 {
                changed.push(TableChangeRecord {
                    table: name,
                    inserted,
                    deleted,
                    replaced,
                });
            }
        }
        Ok(changed)
    }

    /// Removes unused content. The commit stands whether that succeeds or not.
    fn tidy(&self, epoch: &Epoch) -> Result<(), RunError> {
        // Staged files are removed last. As long as they exist, the next run knows that this one did not end.
        if self.sources.iter().any(|source| source.outcome.has_unused) {
            let layout = &self.directory.layout;
            remove_unused(&connectors(self.job), layout, &self.store.read()?)?;
        }
        let tables = paths(&self.directory.layout, &epoch.tables);
        Ok(Staging::clean(
            tables.iter().map(PathBuf::as_path),
            &self.state.id,
        )?)
    }
}

/// Whether the state has the job as it was given.
///
/// # Errors
/// When the state is damaged.
pub fn is_known(
    declared: Option<&JobRecord>,
    snapshot: &StateSnapshot,
) -> Result<bool, StoreError> {
    let Some(declared) = declared else {
        return Ok(true);
    };
    let known: Option<JobRecord> = snapshot.record(JOB, "")?;
    Ok(known.as_ref() == Some(declared))
}

/// Makes an empty directory.
///
/// # Errors
/// When the file system fails.
pub fn remove_and_make(path: &Path) -> Result<(), StoreError> {
    disk::remove_dir_all(path).map_err(StoreError::io("remove", path))?;
    disk::create_dir_all(path).map_err(StoreError::io("create", path))
}

/// Removes the files of changes of an epoch that was not committed, left by an interrupted run.
///
/// # Errors
/// When the directory cannot be read.
pub fn remove_orphans(layout: &StateLayout, epoch: u64) -> Result<(), StoreError> {
    let path = layout.changes_of(epoch);
    if fs::exists(&path).map_err(StoreError::io("look up", &path))? {
        disk::remove_dir_all(&path).map_err(StoreError::io("remove", &path))?;
    }
    Ok(())
}
