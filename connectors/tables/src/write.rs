//! Writes tables from their runs. Partitions are written in parallel, each streamed from its merge into its files.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use arrow::array::RecordBatch;
use arrow::compute::{concat_batches, interleave_record_batch};
use arrow::error::ArrowError;

use super::codes::{Coding, as_text};
use super::files::{Files, Form};
use super::hive::{partition_path, with_partition_columns};
use super::layout::Layout;
use super::manifest::PublishedFile;
use super::merge::Merge;
use super::owner::TableOwner;
use super::run::{Run, RunSegment};
use super::staging::Staging;
use super::stop::StopFlag;
use tidewater_contract::disk;
use tidewater_contract::sink::{SinkError, TableSpec, WrittenTable};

/// Options for writing tables.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// The number of threads that write partitions. Each has one row group in memory.
    pub threads: usize,
    /// The most rows of [`WrittenTable::preview`].
    pub preview_rows: usize,
    /// The most rows of a data file. A larger partition has several files.
    pub file_rows_max: usize,
    /// Stops the writing when it is set.
    pub stop: StopFlag,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            threads: 1,
            preview_rows: 0,
            file_rows_max: 8 * 1024 * 1024,
            stop: StopFlag::default(),
        }
    }
}

/// A table to write: the runs of all its shards.
#[derive(Debug)]
pub struct TableRuns {
    /// The table.
    pub spec: Arc<TableSpec>,
    /// The results of [`TableShard::finish`](super::TableShard::finish) of all shards, in any order.
    pub runs: Vec<Run>,
    /// The owner for the table's mark.
    pub owner: Option<TableOwner>,
}

/// A table that is staged but not yet published.
#[derive(Debug)]
pub struct StagedTable {
    /// The table.
    pub spec: Arc<TableSpec>,
    /// What was written.
    pub written: WrittenTable,
}

/// A partition, as work for one thread.
struct Item {
    table: usize,
    key: Box<[u8]>,
    segments: Vec<RunSegment>,
    weight: u64,
}

/// A partition that was written.
pub(super) struct WrittenPartition {
    /// Its path below its table.
    pub path: PathBuf,
    pub files: Vec<PublishedFile>,
    /// Its first rows, without the partition columns.
    pub head: RecordBatch,
}

impl WrittenPartition {
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }
}

/// A table that is being written.
pub(super) struct TableWrite {
    pub layout: Layout,
    pub form: Form,
    /// The directory for its files.
    pub directory: PathBuf,
}

/// Writes `tables` into `staging` with up to `options.threads` threads, largest partitions first. The result has the
/// order of `tables`.
///
/// # Errors
/// When a row was retracted more often than inserted, a value does not fit its format, or the file system fails.
/// Nothing is published then.
pub fn write_tables(
    staging: &Staging,
    tables: Vec<TableRuns>,
    options: &WriteOptions,
) -> Result<Vec<StagedTable>, SinkError> {
    let mut writing = Vec::with_capacity(tables.len());
    let mut marks = Vec::new();
    for TableRuns { spec, runs, owner } in tables {
        let directory = staging.staged(&spec.path)?;
        marks.extend(owner.map(|owner| (directory.clone(), owner)));
        let form = Form::of(&spec.encoding);
        let layout = Layout::new(spec)?;
        writing.push((
            TableWrite {
                layout,
                form,
                directory,
            },
            runs,
        ));
    }
    let (writing, runs): (Vec<_>, Vec<_>) = writing.into_iter().unzip();
    let written = write_whole(&writing, runs, options)?;
    for (directory, owner) in marks {
        owner.stage(&directory)?;
    }
    let staged = writing.iter().zip(written).map(|(table, partitions)| {
        let files: usize = partitions.values().map(|p| p.files.len()).sum();
        Ok(StagedTable {
            spec: Arc::clone(&table.layout.spec),
            written: WrittenTable {
                rows: partitions.values().map(WrittenPartition::rows).sum(),
                files: u64::try_from(files).unwrap_or(u64::MAX),
                preview: preview(&table.layout, &partitions, options.preview_rows)?,
            },
        })
    });
    staged.collect()
}

/// Writes whole tables from their runs; the result is by table and partition key.
pub(super) fn write_whole(
    tables: &[TableWrite],
    runs: Vec<Vec<Run>>,
    options: &WriteOptions,
) -> Result<Vec<BTreeMap<Box<[u8]>, WrittenPartition>>, SinkError> {
    let mut items = Vec::new();
    for (number, (table, runs)) in tables.iter().zip(runs).enumerate() {
        disk::create_dir(&table.directory)
            .map_err(SinkError::io("create the directory", &table.directory))?;
        let columns = u64::try_from(table.layout.file_columns.len()).unwrap_or(u64::MAX);
        let stay = matches!(table.form, Form::Parquet(_));
        for (key, segments) in partitions(&table.layout, runs, true, stay)? {
            let rows = segments.iter().map(|segment| segment.rows).sum::<u64>();
            items.push(Item {
                table: number,
                key,
                segments,
                weight: rows.saturating_mul(columns),
            });
        }
    }
    items.sort_by(|a, b| {
        b.weight
            .cmp(&a.weight)
            .then_with(|| (a.table, &a.key).cmp(&(b.table, &b.key)))
    });
    let write = |item: Item| {
        let (table, key) = (item.table, item.key.clone());
        Ok((table, key, write_partition(&tables[table], item, options)?))
    };
    let mut written: Vec<BTreeMap<_, _>> = tables.iter().map(|_| BTreeMap::new()).collect();
    for (table, key, partition) in in_threads(items, options.threads, write)? {
        written[table].insert(key, partition);
    }
    Ok(written)
}

/// Groups the segments of all runs by partition. With `never_none`, a table without partitions always has its one
/// partition. With `stay`, codes stay codes when they are read; otherwise they become text.
pub(super) fn partitions(
    layout: &Layout,
    runs: Vec<Run>,
    never_none: bool,
    stay: bool,
) -> Result<BTreeMap<Box<[u8]>, Vec<RunSegment>>, SinkError> {
    let mut partitions: BTreeMap<Box<[u8]>, Vec<RunSegment>> = BTreeMap::new();
    if never_none && layout.spec.partition_by.is_empty() {
        partitions.insert(Box::default(), Vec::new());
    }
    let dictionaries: Vec<_> = runs.iter().map(|run| run.dictionaries.as_ref()).collect();
    let codings = Coding::of_runs(&dictionaries, stay);
    let codings = codings.map_err(|source| layout.sort_error(source))?;
    for (run, coding) in runs.into_iter().zip(codings) {
        for (key, mut segment) in run.segments {
            segment.coding = coding.clone();
            partitions.entry(key).or_default().push(segment);
        }
    }
    Ok(partitions)
}

/// Processes `items` with up to `threads` threads. Results are in no particular order.
pub(super) fn in_threads<I: Send, O: Send>(
    items: Vec<I>,
    threads: usize,
    work: impl Fn(I) -> Result<O, SinkError> + Sync,
) -> Result<Vec<O>, SinkError> {
    let threads = threads.clamp(1, items.len().max(1));
    let queue = Mutex::new(VecDeque::from(items));
    let failed = AtomicBool::new(false);
    let work = || {
        let mut done = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let Some(item) = queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front()
            else {
                break;
            };
            done.push(work(item).inspect_err(|_| failed.store(true, Ordering::Relaxed))?);
        }
        Ok(done)
    };
    let finished: Vec<Result<Vec<_>, SinkError>> = thread::scope(|scope| {
        let handles: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = work();
        let others = handles.into_iter().map(|handle| {
            handle
                .join()
                .unwrap_or_else(|p| std::panic::resume_unwind(p))
        });
        std::iter::once(own).chain(others).collect()
    });
    let mut all = Vec::new();
    for done in finished {
        all.extend(done?);
    }
    Ok(all)
}

fn write_partition(
    table: &TableWrite,
    item: Item,
    options: &WriteOptions,
) -> Result<WrittenPartition, SinkError> {
    let layout = &table.layout;
    let path = partition_path(layout, &layout.partition_values(&item.key)?)?;
    let mut merge = Merge::new(layout, item.segments)?;
    let directory = table.directory.join(&path);
    let mut files = Files::new(layout, &table.form, directory, options.file_rows_max, 0);
    let mut head = RecordBatch::new_empty(Arc::clone(&layout.file));
    while let Some(batch) = merge.next_batch()? {
        options.stop.check()?;
        let missing = options
            .preview_rows
            .saturating_sub(head.num_rows())
            .min(batch.num_rows());
        if missing > 0 {
            let rows = as_text(&batch.slice(0, missing));
            let rows = rows.and_then(|rows| extend(&head, &rows, missing));
            head = rows.map_err(|source| layout.sort_error(source))?;
        }
        files.write(&batch)?;
    }
    Ok(WrittenPartition {
        path,
        files: files.finish(item.key.is_empty())?,
        head,
    })
}

/// `head` followed by copies of the first `rows` rows of `batch`. They are copies so that the batch can be freed.
fn extend(head: &RecordBatch, batch: &RecordBatch, rows: usize) -> Result<RecordBatch, ArrowError> {
    let picks: Vec<_> = (0..head.num_rows())
        .map(|row| (0, row))
        .chain((0..rows).map(|row| (1, row)))
        .collect();
    interleave_record_batch(&[head, batch], &picks)
}

/// The table's first rows, with its partition columns.
pub(super) fn preview(
    layout: &Layout,
    partitions: &BTreeMap<Box<[u8]>, WrittenPartition>,
    rows_max: usize,
) -> Result<RecordBatch, SinkError> {
    let mut missing = rows_max;
    let mut heads = Vec::new();
    for (key, partition) in partitions {
        let rows = partition.head.num_rows().min(missing);
        if rows > 0 {
            let values = layout.partition_values(key)?;
            let whole = with_partition_columns(layout, &values, &partition.head.slice(0, rows));
            heads.push(whole.map_err(|source| layout.sort_error(source))?);
            missing -= rows;
        }
    }
    concat_batches(&layout.stored, &heads).map_err(|source| layout.sort_error(source))
}
