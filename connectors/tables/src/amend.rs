//! Maintained tables: applies an epoch's net changes to the published files, and writes only what changed.
//!
//! ```text
//! runs (with negative counts) ─ net changes, by partition ─ stage ─ sync │ the engine's commit │ apply ─ sync │ clean
//!                                        │                              │ (holds the steps)   │
//!              published files ─ check, read back                  before: the old         after: the new
//! ```
//!
//! 1. Call [`Staging::for_state`] with the directories of all tables and of their shadows.
//! 2. [`stage_changes`] writes all new files beside the tables and makes them durable.
//! 3. Call [`Staging::keep`]. Then the engine commits a record with all [`StagedChange::steps`] and
//!    [`StagedChange::partitions`]. From there on, the change can only go forward.
//! 4. Call `apply_steps`; the engine records that they are applied; then call [`Staging::clean`].
//!
//! A process that dies before the commit leaves the tables unchanged, and staged files for [`Staging::clean`]. A
//! process that dies after the commit leaves steps to apply: the next process calls `apply_steps` with all of them
//! before it does anything else. It may die again at any of the [`CRASH_POINTS`].
//!
//! Text does not keep types. A table in CSV or JSON therefore has a *shadow*: a directory with a Parquet copy of each
//! of its files. The engine reads these copies back.
//!
//! # Invariants
//! 1. **Durable first.** All files that a commit needs are on disk when [`stage_changes`] returns.
//! 2. **Idempotent.** Steps can be applied again after some or all of them were applied, with the same result. A file
//!    is either staged or in its place; a directory is identified by its inode.
//! 3. **Old or new, by partition.** A reader of a partition finds either its old or its new files: one file is
//!    renamed, several are published by exchanging the partition's directory. If the file system cannot exchange
//!    directories, the partition is absent for a moment between two renames.
//! 4. **Only what changed.** Files of other partitions are not touched. Files of a changed partition that stay are
//!    linked into its new directory. Changes that cancel out write nothing.
//! 5. **The same rows.** A partition has the same multiset of rows as if the table had been written whole. Each file
//!    is in canonical order. A view with `ORDER BY` is written whole, so that its files are in order too.
//! 6. **Exact.** Rows are read back with exactly the bits that were written. If a retracted row is in no file,
//!    staging fails.
//! 7. **Checked.** A published file is read back only if its bytes are unchanged. A directory is changed only if it
//!    has exactly the published files and, possibly, markers.
//! 8. **Few files.** A partition has at most eight files that are not full. The number of times that a row is
//!    rewritten grows with the logarithm of its partition's size (see the module `partition`).
//!
//! # Guarantee
//! Each epoch is published exactly once: tables follow the engine's commit record, and applying it again changes
//! nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use parquet::basic::Compression;

use super::amended::{AmendSizes, AmendedTable, Changed, PartitionChanges, Root};
use super::durable::{sync, sync_all_below};
use super::files::Form;
use super::hive::partition_path;
use super::layout::Layout;
use super::manifest::{PublishedPartition, PublishedRecord};
use super::owner::{MARK, TableOwner};
use super::place::{PartitionPlace, check_writable};
use super::publish_step::PublishStep;
use super::run::Run;
use super::staging::Staging;
use super::target;
use super::write::{
    TableWrite, WriteOptions, WrittenPartition, in_threads, partitions, preview, write_whole,
};
use tidewater_contract::disk;
use tidewater_contract::sink::{Encoding, SinkError, TableSpec};
use tidewater_formats::parquet::encode::{DEFAULT_ROW_GROUP_ROWS, ParquetWriteOptions};

/// The change of a table in an epoch.
#[derive(Debug)]
pub struct TableChange {
    /// The table.
    pub spec: Arc<TableSpec>,
    /// Its net changes from all shards, in any order.
    pub runs: Vec<Run>,
    /// Whether the table is rebuilt: all its files are replaced, and `runs` are its rows. This is the case in a
    /// table's first epoch.
    pub replace: bool,
    /// The shadow's directory, which only text tables need.
    pub shadow: Option<PathBuf>,
    /// The owner for the table's mark; `None` for a table that nobody else reads.
    pub owner: Option<TableOwner>,
}

/// A change that is staged but not yet published.
#[derive(Debug)]
pub struct StagedChange {
    /// The table.
    pub spec: Arc<TableSpec>,
    /// Inserted rows.
    pub rows_inserted: u64,
    /// Deleted rows.
    pub rows_deleted: u64,
    /// Data files that were written, not counting shadows.
    pub files_written: u64,
    /// The changed partitions as [`PublishedRecord`] must return them after the commit; `None` for removed ones.
    pub partitions: Vec<(String, Option<PublishedPartition>)>,
    /// The steps for `apply_steps` after the commit.
    pub steps: Vec<PublishStep>,
    /// The first rows of a replaced table; empty otherwise.
    pub preview: RecordBatch,
}

/// Stages `changes` of the `published` tables, with up to `options.threads` threads. `sizes` decides which partitions
/// are amended and which are rewritten. The result has the order of `changes`; all staged files are durable.
///
/// # Errors
/// When a retracted row is not there, a published file is changed or missing, a value does not fit its format, or the
/// file system fails. Nothing is published then.
pub fn stage_changes(
    staging: &Staging,
    changes: Vec<TableChange>,
    published: &dyn PublishedRecord,
    options: &WriteOptions,
    sizes: AmendSizes,
) -> Result<Vec<StagedChange>, SinkError> {
    let mut staged: Vec<Option<StagedChange>> = changes.iter().map(|_| None).collect();
    let (mut whole, mut parts) = (Vec::new(), Vec::new());
    for (number, change) in changes.into_iter().enumerate() {
        let table = table(staging, &change, options, sizes)?;
        if change.replace {
            whole.push((number, table, change.runs));
        } else {
            parts.push((number, table, change.runs));
        }
    }
    for (number, change) in replace(whole, published, options)? {
        staged[number] = Some(change);
    }
    for (number, change) in amend(parts, published, options)? {
        staged[number] = Some(change);
    }
    staging.directories().try_for_each(sync_all_below)?;
    for directory in staging.directories() {
        directory.ancestors().skip(1).take(2).try_for_each(sync)?;
    }
    Ok(staged.into_iter().flatten().collect())
}

fn table(
    staging: &Staging,
    change: &TableChange,
    options: &WriteOptions,
    sizes: AmendSizes,
) -> Result<AmendedTable, SinkError> {
    let spec = &change.spec;
    let root = |path: &Path| {
        Ok::<_, SinkError>(Root {
            directory: staging.target(path)?.to_path_buf(),
            staged: staging.staged(path)?,
            aside: staging.set_aside(path)?,
        })
    };
    let layout = Layout::new(Arc::clone(spec))?;
    let spill_directory = staging.directory_beside(&spec.path)?.to_path_buf();
    let (parquet, kept, text) = match (&spec.encoding, &change.shadow) {
        (
            Encoding::Parquet {
                compression,
                row_group_rows,
            },
            _,
        ) => {
            let parquet = ParquetWriteOptions {
                compression: *compression,
                row_group_rows: sizes.group_rows_max.min(*row_group_rows),
                exact: false,
            };
            (parquet, root(&spec.path)?, None)
        }
        (text, Some(shadow)) => {
            let parquet = ParquetWriteOptions {
                compression: Compression::SNAPPY,
                row_group_rows: sizes.group_rows_max.min(DEFAULT_ROW_GROUP_ROWS),
                exact: true,
            };
            let text = (root(&spec.path)?, Form::of(text));
            (parquet, root(shadow)?, Some(text))
        }
        (_, None) => {
            return Err(SinkError::InvalidTarget {
                path: spec.path.clone(),
                reason: "a maintained table in text needs a shadow",
            });
        }
    };
    Ok(AmendedTable {
        owner: change.owner.clone(),
        layout,
        parquet,
        kept,
        text,
        spill_directory,
        options: options.clone(),
        sizes,
    })
}

/// Writes whole tables.
fn replace(
    tables: Vec<(usize, AmendedTable, Vec<Run>)>,
    published: &dyn PublishedRecord,
    options: &WriteOptions,
) -> Result<Vec<(usize, StagedChange)>, SinkError> {
    let mut runs = Vec::new();
    let mut writing = Vec::new();
    let mut all = Vec::new();
    for (number, table, own) in tables {
        for (root, _) in table.roots() {
            target::check(&root.directory)?;
            if root.directory.exists() {
                check_writable(&root.directory)?;
            }
        }
        writing.push(TableWrite {
            layout: Layout::new(Arc::clone(&table.layout.spec))?,
            form: Form::Parquet(table.parquet),
            directory: table.kept.staged.clone(),
        });
        runs.push(own);
        all.push((number, table));
    }
    let written = write_whole(&writing, runs, options)?;
    let mut staged = Vec::new();
    for ((number, table), partitions) in all.into_iter().zip(written) {
        staged.push((number, replaced(&table, partitions, published, options)?));
    }
    Ok(staged)
}

/// The staged change of a table that was written whole.
fn replaced(
    table: &AmendedTable,
    partitions: BTreeMap<Box<[u8]>, WrittenPartition>,
    published: &dyn PublishedRecord,
    options: &WriteOptions,
) -> Result<StagedChange, SinkError> {
    let spec = &table.layout.spec;
    let preview = preview(&table.layout, &partitions, options.preview_rows)?;
    let mut now: BTreeMap<String, Option<PublishedPartition>> = BTreeMap::new();
    let mut rows_deleted = 0;
    for path in published.partitions(&spec.name)? {
        let old = published.partition(&spec.name, &path)?;
        rows_deleted += old.map_or(0, |old| old.rows());
        now.insert(path, None);
    }
    if let Some((root, _)) = &table.text {
        disk::create_dir_all(&root.staged)
            .map_err(SinkError::io("create the directory", &root.staged))?;
    }
    let items: Vec<_> = partitions
        .into_values()
        .map(|p| (p.path, p.files))
        .collect();
    let publish = |(path, files): (PathBuf, _)| {
        let files = table.publish_files(&path, files)?;
        Ok((text(&path), files))
    };
    let (mut rows_inserted, mut files_written) = (0, 0);
    for (path, files) in in_threads(items, options.threads, publish)? {
        files_written += u64::try_from(files.len()).unwrap_or(u64::MAX);
        let partition = PublishedPartition { files };
        rows_inserted += partition.rows();
        if !partition.files.is_empty() {
            now.insert(path, Some(partition));
        }
    }
    let mut steps = Vec::new();
    if let Some(owner) = &table.owner {
        owner.stage(&table.published().staged)?;
    }
    for (root, _) in table.roots() {
        let place = PartitionPlace {
            staged: root.staged.clone(),
            target: root.directory.clone(),
            aside: root.aside.clone(),
            root: &root.directory,
        };
        steps.push(place.directory(std::iter::empty())?);
    }
    Ok(StagedChange {
        spec: Arc::clone(spec),
        rows_inserted,
        rows_deleted,
        files_written,
        partitions: now.into_iter().collect(),
        steps,
        preview,
    })
}

/// Applies changes to the published files, with all partitions of all tables in parallel.
fn amend(
    tables: Vec<(usize, AmendedTable, Vec<Run>)>,
    published: &dyn PublishedRecord,
    options: &WriteOptions,
) -> Result<Vec<(usize, StagedChange)>, SinkError> {
    let mut items = Vec::new();
    let mut all = Vec::new();
    for (number, table, runs) in tables {
        let name = Arc::clone(&table.layout.spec.name);
        for (key, segments) in partitions(&table.layout, runs, false, false)? {
            let path = partition_path(&table.layout, &table.layout.partition_values(&key)?)?;
            let old = published.partition(&name, &text(&path))?;
            let of_old = old.as_ref().map_or(0, PublishedPartition::rows);
            let weight = of_old + segments.iter().map(|segment| segment.rows).sum::<u64>();
            let work = PartitionChanges {
                path,
                segments,
                old,
            };
            items.push((weight, all.len(), work));
        }
        all.push((number, table));
    }
    items.sort_by(|a, b| (b.0, a.1, &a.2.path).cmp(&(a.0, b.1, &b.2.path)));
    let change =
        |(_, index, work): (u64, usize, PartitionChanges)| Ok((index, all[index].1.change(work)?));
    let mut changed: Vec<Vec<Changed>> = all.iter().map(|_| Vec::new()).collect();
    for (index, change) in in_threads(items, options.threads, change)? {
        changed[index].extend(change);
    }
    let staged = all
        .iter()
        .zip(changed)
        .map(|((number, table), mut changed)| {
            changed.sort_by(|a, b| a.path.cmp(&b.path));
            Ok((*number, amended(table, changed)?))
        });
    staged.collect()
}

/// The staged change of a table from its changed partitions.
fn amended(table: &AmendedTable, changed: Vec<Changed>) -> Result<StagedChange, SinkError> {
    let (mut rows_inserted, mut rows_deleted, mut files_written) = (0, 0, 0);
    let (mut partitions, mut steps) = (Vec::new(), Vec::new());
    for change in changed {
        rows_inserted += change.rows_inserted;
        rows_deleted += change.rows_deleted;
        files_written += change.files_written;
        steps.extend(change.steps);
        partitions.push((text(&change.path), change.new));
    }
    if !partitions.is_empty() {
        steps.extend(mark(table, &steps)?);
    }
    // Removals come last, since they also remove a parent directory that is empty for a moment.
    steps.sort_by_key(|step| matches!(step, PublishStep::Remove { .. }));
    Ok(StagedChange {
        spec: Arc::clone(&table.layout.spec),
        rows_inserted,
        rows_deleted,
        files_written,
        partitions,
        steps,
        preview: RecordBatch::new_empty(Arc::clone(&table.layout.stored)),
    })
}

/// The step for a changed table's mark; `None` if the mark is part of a whole directory that is swapped. A mark of the
/// same state is renamed, which costs one call a table. Any other is staged.
fn mark(table: &AmendedTable, steps: &[PublishStep]) -> Result<Option<PublishStep>, SinkError> {
    let (Some(owner), root) = (&table.owner, table.published()) else {
        return Ok(None);
    };
    check_writable(&root.directory)?;
    if steps.iter().any(|step| step.replaces(&root.directory)) {
        owner.stage(&root.staged)?;
        return Ok(None);
    }
    if let Some((before, after)) = owner.next_entry(&root.directory)? {
        return Ok(Some(PublishStep::Mark { before, after }));
    }
    let staged = owner.stage(&root.staged)?;
    let place = PartitionPlace {
        staged,
        target: root.directory.join(MARK),
        aside: root.aside.join(MARK),
        root: &root.directory,
    };
    place.directory(std::iter::empty()).map(Some)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
