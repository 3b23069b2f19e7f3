//! One worker's part of a table, which gets rows in any order and returns sorted runs.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::compute::concat_batches;

use super::codes::{Codes, Coding, as_codes, as_dictionaries};
use super::gather::gather;
use super::layout::{Keyed, Layout};
use super::run::{Counted, Run, RunSegment, SegmentPlace, SpillWriter, row_count};
use super::staging::Staging;
use tidewater_contract::sink::{SinkError, TableSpec};

/// The default number of bytes that a shard holds before it spills them.
pub const DEFAULT_SHARD_BYTES: usize = 16 * 1024 * 1024;

/// Smaller batches are concatenated first, since each batch has a fixed cost.
const SMALL_BATCH_ROWS: usize = 4096;
/// The memory of a row besides its values while it is sorted: its position and its key.
const ROW_OVERHEAD_BYTES: usize = 64;
/// The size of the batches in a run. A merge has one batch of each run in memory.
const RUN_BATCH_BYTES: usize = 128 * 1024;
const RUN_BATCH_ROWS_MAX: usize = 8192;

/// Collects one worker's rows of a table and sorts them into runs. Rows beyond the byte budget are spilled to disk.
pub struct TableShard {
    layout: Layout,
    budget_bytes: usize,
    spill_directory: PathBuf,
    spill: Option<SpillWriter>,
    codes: Codes,
    small: Vec<(RecordBatch, i64)>,
    small_rows: usize,
    chunks: Vec<Chunk>,
    partitions: BTreeMap<Box<[u8]>, Vec<RowPosition>>,
    bytes: usize,
    rows: usize,
    /// The segments of each run, and which of its columns are codes.
    runs: Vec<(BTreeMap<Box<[u8]>, RunSegment>, Vec<bool>)>,
}

/// Buffered rows of file columns.
struct Chunk {
    batch: RecordBatch,
    diffs: Diffs,
}

/// The counts of the rows of a chunk.
enum Diffs {
    All(i64),
    Each(Vec<i64>),
}

impl Diffs {
    fn of(&self, row: usize) -> i64 {
        match self {
            Self::All(diff) => *diff,
            Self::Each(diffs) => diffs[row],
        }
    }
}

/// A row: its chunk and its index there.
type RowPosition = (usize, usize);

impl TableShard {
    /// A shard of `spec`'s table that spills into `staging` when its rows take more than `budget_bytes`
    /// ([`DEFAULT_SHARD_BYTES`]). Sorting temporarily takes half as much again.
    ///
    /// # Errors
    /// When the spec is invalid: the format does not have a type, a partition column cannot name a directory, or no
    /// column is left for the files.
    pub fn new(
        spec: Arc<TableSpec>,
        staging: &Staging,
        budget_bytes: usize,
    ) -> Result<Self, SinkError> {
        let spill_directory = staging.directory_beside(&spec.path)?.to_path_buf();
        let layout = Layout::new(spec)?;
        Ok(Self {
            budget_bytes,
            spill_directory,
            spill: None,
            codes: Codes::new(layout.file_columns.len()),
            layout,
            small: Vec::new(),
            small_rows: 0,
            chunks: Vec::new(),
            partitions: BTreeMap::new(),
            bytes: 0,
            rows: 0,
            runs: Vec::new(),
        })
    }

    /// Adds the rows of `batch`, each `diff` times. A negative `diff` retracts rows, which may be added later. The
    /// columns are the table's, in order; dictionary and view columns are accepted in place of plain ones.
    ///
    /// # Errors
    /// When the columns are not the table's, or spilling fails.
    pub fn push(&mut self, batch: &RecordBatch, diff: i64) -> Result<(), SinkError> {
        if batch.num_rows() == 0 || diff == 0 {
            return Ok(());
        }
        let batch = self.layout.to_codes(batch, &mut self.codes)?;
        self.bytes += batch.get_array_memory_size() + batch.num_rows() * ROW_OVERHEAD_BYTES;
        self.rows += batch.num_rows();
        if batch.num_rows() >= SMALL_BATCH_ROWS {
            self.buffer(&batch, Diffs::All(diff))?;
        } else {
            self.small_rows += batch.num_rows();
            self.small.push((batch, diff));
            if self.small_rows >= SMALL_BATCH_ROWS {
                self.buffer_small()?;
            }
        }
        let are_many = self.codes.are_many();
        if self.bytes > self.budget_bytes || are_many {
            self.spill()?;
        }
        if are_many {
            self.codes.give_up();
        }
        Ok(())
    }

    /// Returns all rows. If they never exceeded the budget, they stay in memory.
    ///
    /// # Errors
    /// When spilling fails.
    pub fn finish(mut self) -> Result<Vec<Run>, SinkError> {
        if self.spill.is_some() {
            self.spill()?;
            return Ok(self.into_runs());
        }
        self.buffer_small()?;
        let mut keep =
            |_: &Layout, batches: &mut dyn Iterator<Item = Result<Counted, SinkError>>| {
                let batches = batches.collect::<Result<Vec<_>, _>>()?;
                Ok(RunSegment {
                    rows: batches.iter().map(|b| row_count(&b.batch)).sum(),
                    place: SegmentPlace::Memory(batches),
                    coding: Coding::default(),
                })
            };
        self.sort_into_run(&mut keep)?;
        Ok(self.into_runs())
    }

    fn into_runs(self) -> Vec<Run> {
        let dictionaries = self.codes.dictionaries();
        let run = |(segments, coded): (_, Vec<bool>)| {
            let texts = dictionaries.iter().zip(coded);
            let texts = texts.map(|(texts, coded)| texts.clone().filter(|_| coded));
            Run {
                segments,
                dictionaries: Arc::new(texts.collect()),
            }
        };
        self.runs.into_iter().map(run).collect()
    }

    fn spill(&mut self) -> Result<(), SinkError> {
        self.buffer_small()?;
        let mut spill = match self.spill.take() {
            Some(spill) => spill,
            None => SpillWriter::create(&self.spill_directory)?,
        };
        self.sort_into_run(&mut |layout, batches| spill.segment(&layout.file, batches))?;
        self.spill = Some(spill);
        Ok(())
    }

    fn buffer_small(&mut self) -> Result<(), SinkError> {
        let small = std::mem::take(&mut self.small);
        self.small_rows = 0;
        if small.is_empty() {
            return Ok(());
        }
        let schema = small[0].0.schema();
        let batch = concat_batches(&schema, small.iter().map(|(batch, _)| batch));
        let batch = batch.map_err(|source| self.layout.sort_error(source))?;
        let diffs = if small.iter().all(|(_, diff)| *diff == 1) {
            Diffs::All(1)
        } else {
            Diffs::Each(
                small
                    .iter()
                    .flat_map(|(batch, diff)| std::iter::repeat_n(*diff, batch.num_rows()))
                    .collect(),
            )
        };
        self.buffer(&batch, diffs)
    }

    /// Records each row's position in its partition.
    fn buffer(&mut self, stored: &RecordBatch, diffs: Diffs) -> Result<(), SinkError> {
        let chunk = self.chunks.len();
        match self.layout.partition_keys(stored)? {
            None => {
                let positions = self.partitions.entry(Box::default()).or_default();
                positions.extend((0..stored.num_rows()).map(|row| (chunk, row)));
            }
            Some(keys) => {
                for (row, key) in keys.iter().enumerate() {
                    match self.partitions.get_mut(key.data()) {
                        Some(positions) => positions.push((chunk, row)),
                        None => drop(
                            self.partitions
                                .insert(key.data().into(), vec![(chunk, row)]),
                        ),
                    }
                }
            }
        }
        let batch = stored
            .project(&self.layout.file_columns)
            .map_err(|source| self.layout.sort_error(source))?;
        self.chunks.push(Chunk { batch, diffs });
        Ok(())
    }

    /// Sorts the buffered rows by partition, and passes each partition's rows to `store`.
    fn sort_into_run(
        &mut self,
        store: &mut dyn FnMut(
            &Layout,
            &mut dyn Iterator<Item = Result<Counted, SinkError>>,
        ) -> Result<RunSegment, SinkError>,
    ) -> Result<(), SinkError> {
        let chunks = std::mem::take(&mut self.chunks);
        let partitions = std::mem::take(&mut self.partitions);
        let batch_rows = self.run_batch_rows();
        (self.bytes, self.rows) = (0, 0);
        let (batches, diffs): (Vec<_>, Vec<_>) =
            chunks.into_iter().map(|c| (c.batch, c.diffs)).unzip();
        let coded = self.codes.coded();
        let mut dictionaries = self.codes.dictionaries();
        for (texts, coded) in dictionaries.iter_mut().zip(&coded) {
            texts.take_if(|_| !coded);
        }
        let failed = |source| self.layout.sort_error(source);
        let key = |batch: &RecordBatch| {
            let batch = as_dictionaries(batch, &dictionaries).map_err(failed)?;
            self.layout.key(batch)
        };
        let keyed = batches.iter().map(key).collect::<Result<Vec<_>, _>>()?;
        let sources: Vec<&RecordBatch> = keyed.iter().map(|keyed| &keyed.batch).collect();

        let mut segments = BTreeMap::new();
        for (key, positions) in partitions {
            let (rows, counts) = sort(&self.layout, &keyed, &diffs, positions)?;
            if rows.is_empty() {
                continue;
            }
            let mut batches = (0..rows.len()).step_by(batch_rows).map(|start| {
                let end = rows.len().min(start + batch_rows);
                let batch = gather(&self.layout.file, &sources, &rows[start..end]);
                let batch = batch.and_then(|batch| as_codes(&batch)).map_err(failed)?;
                let counts = counts
                    .as_ref()
                    .map(|counts| Int64Array::from(counts[start..end].to_vec()));
                Ok(Counted { batch, counts })
            });
            segments.insert(key, store(&self.layout, &mut batches)?);
        }
        if !segments.is_empty() {
            self.runs.push((segments, coded));
        }
        Ok(())
    }

    fn run_batch_rows(&self) -> usize {
        let row_bytes = self.bytes / self.rows.max(1);
        (RUN_BATCH_BYTES / row_bytes.max(1)).clamp(64, RUN_BATCH_ROWS_MAX)
    }
}

/// A row, and the eight bytes of its key after the prefix that all keys share.
struct SortEntry {
    head: u64,
    at: RowPosition,
}

/// The distinct rows of one partition in canonical order, with their counts, which are omitted if all are 1. Input
/// that is nearly in order is sorted in nearly linear time.
fn sort(
    layout: &Layout,
    keyed: &[Keyed],
    diffs: &[Diffs],
    positions: Vec<RowPosition>,
) -> Result<(Vec<RowPosition>, Option<Vec<i64>>), SinkError> {
    let key = |at: RowPosition| keyed[at.0].prefix(at.1);
    let shared = shared_prefix(positions.iter().map(|&at| key(at)));
    let entry = |at| SortEntry {
        head: head(key(at), shared),
        at,
    };
    let mut entries: Vec<SortEntry> = positions.into_iter().map(entry).collect();
    entries.sort_by(|a, b| a.head.cmp(&b.head).then_with(|| key(a.at).cmp(key(b.at))));

    let mut rows = Vec::with_capacity(entries.len());
    let mut counts = Vec::with_capacity(entries.len());
    for ties in entries.chunk_by_mut(|a, b| a.head == b.head && key(a.at) == key(b.at)) {
        sort_ties(layout, keyed, ties)?;
        let mut ties = ties.iter().map(|entry| entry.at).peekable();
        while let Some(at) = ties.next() {
            let mut count = diffs[at.0].of(at.1);
            while let Some(&next) = ties.peek() {
                if layout
                    .compare_rest((&keyed[at.0], at.1), (&keyed[next.0], next.1))?
                    .is_ne()
                {
                    break;
                }
                count = layout.sum(count, diffs[next.0].of(next.1))?;
                ties.next();
            }
            if count != 0 {
                rows.push(at);
                counts.push(count);
            }
        }
    }
    let counts = counts.iter().any(|&count| count != 1).then_some(counts);
    Ok((rows, counts))
}

/// Sorts rows whose prefixes are equal by the rest of their keys.
fn sort_ties(layout: &Layout, keyed: &[Keyed], ties: &mut [SortEntry]) -> Result<(), SinkError> {
    if ties.len() < 2 {
        return Ok(());
    }
    let mut failure = None;
    ties.sort_by(|SortEntry { at: a, .. }, SortEntry { at: b, .. }| {
        layout
            .compare_rest((&keyed[a.0], a.1), (&keyed[b.0], b.1))
            .unwrap_or_else(|error| {
                failure.get_or_insert(error);
                Ordering::Equal
            })
    });
    failure.map_or(Ok(()), Err)
}

/// The length of the prefix that all keys share.
fn shared_prefix<'a>(mut keys: impl Iterator<Item = &'a [u8]>) -> usize {
    let Some(first) = keys.next() else { return 0 };
    keys.fold(first.len(), |shared, key| {
        if key.get(..shared) == Some(&first[..shared]) {
            return shared;
        }
        first
            .iter()
            .zip(key)
            .take(shared)
            .take_while(|(a, b)| a == b)
            .count()
    })
}

/// The eight bytes of `key` from `shared` on, as a number that compares like them.
fn head(key: &[u8], shared: usize) -> u64 {
    let mut bytes = [0; 8];
    let rest = key.get(shared..).unwrap_or_default();
    let length = rest.len().min(8);
    bytes[..length].copy_from_slice(&rest[..length]);
    u64::from_be_bytes(bytes)
}
