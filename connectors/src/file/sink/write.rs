//! Writes tables from their runs: partitions in parallel, each streamed from its merge into its files.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, interleave_record_batch, take};
use arrow::error::ArrowError;

use super::hive::partition_path;
use super::layout::Layout;
use super::merge::Merge;
use super::run::{Run, Segment, row_count};
use super::staging::Staging;
use crate::format::csv::encode::CsvEncoder;
use crate::format::json_lines::encode::JsonLinesEncoder;
use crate::format::parquet::encode::ParquetEncoder;
use crate::sink::{EncodeError, EncodeRows, Encoding, SinkError, TableSpec, WrittenTable};

/// How tables are written.
#[derive(Clone, Copy, Debug)]
pub struct WriteOptions {
    /// Threads that write partitions; each holds one row group in memory.
    pub threads: usize,
    /// Rows of [`WrittenTable::preview`] at most.
    pub preview_rows: usize,
    /// Rows of a data file at most; a partition of more goes on in the next file.
    pub file_rows_max: usize,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            threads: 1,
            preview_rows: 0,
            file_rows_max: 8 * 1024 * 1024,
        }
    }
}

/// A table to be written: the runs of all its shards.
#[derive(Debug)]
pub struct TableRuns {
    /// The table.
    pub spec: Arc<TableSpec>,
    /// What [`TableShard::finish`](super::TableShard::finish) gave, of every shard, in any order.
    pub runs: Vec<Run>,
}

/// A table that is written beside its place and not yet published.
#[derive(Debug)]
pub struct StagedTable {
    /// The table.
    pub spec: Arc<TableSpec>,
    /// What was written.
    pub written: WrittenTable,
}

/// Work for one thread: a partition.
struct Item {
    table: usize,
    key: Box<[u8]>,
    segments: Vec<Segment>,
    weight: u64,
}

/// What came of an item.
struct Partition {
    rows: u64,
    files: u64,
    /// Its first rows, file columns.
    head: RecordBatch,
}

/// Writes `tables` into `staging` with up to `options.threads` threads, the largest partitions first. The result has
/// their order.
///
/// # Errors
/// When a row was taken back more often than taken in, a value does not fit its format, or the file system refuses.
/// Nothing is published then.
pub fn write_tables(
    staging: &Staging,
    tables: Vec<TableRuns>,
    options: WriteOptions,
) -> Result<Vec<StagedTable>, SinkError> {
    let mut layouts = Vec::with_capacity(tables.len());
    let mut items = Vec::new();
    for (table, TableRuns { spec, runs }) in tables.into_iter().enumerate() {
        let directory = staging.staged(&spec.path)?;
        fs::create_dir(&directory).map_err(SinkError::io("create the directory", &directory))?;
        let layout = Layout::new(spec)?;
        items.extend(partitions(table, &layout, runs));
        layouts.push((layout, directory));
    }
    items.sort_by(|a, b| {
        b.weight
            .cmp(&a.weight)
            .then_with(|| (a.table, &a.key).cmp(&(b.table, &b.key)))
    });
    let mut results = run_pool(items, &layouts, options)?;
    layouts
        .iter()
        .enumerate()
        .map(|(table, (layout, _))| {
            let partitions = std::mem::take(&mut results[table]);
            Ok(StagedTable {
                spec: Arc::clone(&layout.spec),
                written: WrittenTable {
                    rows: partitions.values().map(|partition| partition.rows).sum(),
                    files: partitions.values().map(|partition| partition.files).sum(),
                    preview: preview(layout, &partitions, options.preview_rows)?,
                },
            })
        })
        .collect()
}

/// Brings the segments of each partition together.
fn partitions(table: usize, layout: &Layout, runs: Vec<Run>) -> Vec<Item> {
    let mut partitions: BTreeMap<Box<[u8]>, Vec<Segment>> = BTreeMap::new();
    if layout.spec.partition_by.is_empty() {
        partitions.insert(Box::default(), Vec::new());
    }
    for (key, segment) in runs.into_iter().flat_map(|run| run.segments) {
        partitions.entry(key).or_default().push(segment);
    }
    let columns = u64::try_from(layout.file_columns.len()).unwrap_or(u64::MAX);
    let item = |(key, segments): (_, Vec<Segment>)| {
        let rows = segments.iter().map(|segment| segment.rows).sum::<u64>();
        Item {
            table,
            key,
            segments,
            weight: rows.saturating_mul(columns),
        }
    };
    partitions.into_iter().map(item).collect()
}

/// Works off `items`; the result is by table and partition key.
fn run_pool(
    items: Vec<Item>,
    layouts: &[(Layout, PathBuf)],
    options: WriteOptions,
) -> Result<Vec<BTreeMap<Box<[u8]>, Partition>>, SinkError> {
    let threads = options.threads.clamp(1, items.len().max(1));
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
            let (layout, directory) = &layouts[item.table];
            let (table, key) = (item.table, item.key.clone());
            let partition = write_partition(layout, directory, item, options)
                .inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            done.push((table, key, partition));
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
    let mut results: Vec<BTreeMap<_, _>> = layouts.iter().map(|_| BTreeMap::new()).collect();
    for done in finished {
        for (table, key, partition) in done? {
            results[table].insert(key, partition);
        }
    }
    Ok(results)
}

fn write_partition(
    layout: &Layout,
    directory: &Path,
    item: Item,
    options: WriteOptions,
) -> Result<Partition, SinkError> {
    let directory = directory.join(partition_path(
        layout,
        &layout.partition_values(&item.key)?,
    )?);
    let mut merge = Merge::new(layout, item.segments)?;
    let mut files = Files {
        layout,
        directory,
        rows_max: options.file_rows_max.max(1),
        open: None,
        rows: 0,
        count: 0,
    };
    let mut head = RecordBatch::new_empty(Arc::clone(&layout.file));
    while let Some(batch) = merge.next_batch()? {
        let missing = options
            .preview_rows
            .saturating_sub(head.num_rows())
            .min(batch.num_rows());
        if missing > 0 {
            head = extend(&head, &batch, missing).map_err(|source| layout.sort_error(source))?;
        }
        files.write(&batch)?;
    }
    if item.key.is_empty() && files.count == 0 {
        files.begin()?;
    }
    files.end()?;
    Ok(Partition {
        rows: files.rows,
        files: files.count,
        head,
    })
}

/// `head` and copies of the first `rows` rows of `batch`; copies, so that the batch can go.
fn extend(head: &RecordBatch, batch: &RecordBatch, rows: usize) -> Result<RecordBatch, ArrowError> {
    let picks: Vec<_> = (0..head.num_rows())
        .map(|row| (0, row))
        .chain((0..rows).map(|row| (1, row)))
        .collect();
    interleave_record_batch(&[head, batch], &picks)
}

/// The data files of one partition, one after another.
struct Files<'a> {
    layout: &'a Layout,
    directory: PathBuf,
    rows_max: usize,
    open: Option<OpenFile>,
    rows: u64,
    count: u64,
}

struct OpenFile {
    path: PathBuf,
    encoder: Box<dyn EncodeRows<File>>,
    rows_left: usize,
}

impl Files<'_> {
    /// Appends rows, in a new file where the present one is full.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), SinkError> {
        let mut start = 0;
        while start < batch.num_rows() {
            if self.open.as_ref().is_none_or(|file| file.rows_left == 0) {
                self.end()?;
                self.begin()?;
            }
            let Some(file) = &mut self.open else { continue };
            let rows = file.rows_left.min(batch.num_rows() - start);
            let written = file.encoder.write(&batch.slice(start, rows));
            written.map_err(|error| encode_error(self.layout, &file.path, error))?;
            file.rows_left -= rows;
            start += rows;
        }
        self.rows += row_count(batch);
        Ok(())
    }

    fn begin(&mut self) -> Result<(), SinkError> {
        if self.count == 0 {
            fs::create_dir_all(&self.directory)
                .map_err(SinkError::io("create the directory", &self.directory))?;
        }
        let encoding = &self.layout.spec.encoding;
        let path = self
            .directory
            .join(format!("part-{:05}.{}", self.count, encoding.extension()));
        let file = File::create_new(&path).map_err(SinkError::io("create the file", &path))?;
        let encoder =
            encoder(file, self.layout).map_err(|error| encode_error(self.layout, &path, error))?;
        self.open = Some(OpenFile {
            path,
            encoder,
            rows_left: self.rows_max,
        });
        self.count += 1;
        Ok(())
    }

    fn end(&mut self) -> Result<(), SinkError> {
        let Some(OpenFile { path, encoder, .. }) = self.open.take() else {
            return Ok(());
        };
        encoder
            .finish()
            .map_err(|error| encode_error(self.layout, &path, error))?;
        Ok(())
    }
}

fn encoder(file: File, layout: &Layout) -> Result<Box<dyn EncodeRows<File>>, EncodeError> {
    Ok(match &layout.spec.encoding {
        Encoding::Parquet {
            compression,
            row_group_rows,
        } => Box::new(ParquetEncoder::new(
            file,
            &layout.file,
            *compression,
            *row_group_rows,
        )?),
        Encoding::Csv {
            delimiter,
            null_text,
        } => Box::new(CsvEncoder::new(file, &layout.file, *delimiter, null_text)?),
        Encoding::JsonLines => Box::new(JsonLinesEncoder::new(file)),
    })
}

fn encode_error(layout: &Layout, path: &Path, source: EncodeError) -> SinkError {
    SinkError::Encode {
        table: layout.spec.name.clone(),
        path: path.to_path_buf(),
        source,
    }
}

/// The table's first rows, with its partition columns.
fn preview(
    layout: &Layout,
    partitions: &BTreeMap<Box<[u8]>, Partition>,
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

/// Puts the partition columns back among those of the file.
fn with_partition_columns(
    layout: &Layout,
    values: &[ArrayRef],
    batch: &RecordBatch,
) -> Result<RecordBatch, ArrowError> {
    let mut columns: Vec<Option<ArrayRef>> = vec![None; layout.stored.fields().len()];
    for (&index, column) in layout.file_columns.iter().zip(batch.columns()) {
        columns[index] = Some(Arc::clone(column));
    }
    let same_row = UInt32Array::from(vec![0; batch.num_rows()]);
    for (&index, value) in layout.spec.partition_by.iter().zip(values) {
        columns[index] = Some(take(value, &same_row, None)?);
    }
    RecordBatch::try_new(
        Arc::clone(&layout.stored),
        columns.into_iter().flatten().collect(),
    )
}
