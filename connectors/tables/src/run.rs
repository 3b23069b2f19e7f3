//! Sorted runs, which are the output of a shard: one segment for each partition, in memory or on disk.
//!
//! A segment on disk is an Arrow IPC stream in the one spill file of its shard. That file has no name, so it
//! disappears with its last handle, however the process ends.
//!
//! In memory and on disk, columns may be codes, whose texts the run has. They are read by the segment's [`Coding`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

use super::codes::{Coding, Dictionaries};
use super::layout::Layout;
use tidewater_contract::sink::{EncodeError, SinkError};
use tidewater_formats::parquet::encode::{ParquetWriteOptions, RowGroups, read_back};

const READ_BACK: &str = "read back a temporary file in";
const WRITE_BUFFER_BYTES: usize = 1024 * 1024;
const READ_BUFFER_BYTES: usize = 16 * 1024;

/// Rows of one table, partition by partition, in canonical order and with equal rows summed.
///
/// A clone is another handle to the same rows.
#[derive(Clone, Debug)]
pub struct Run {
    /// The segments by partition key. The key is empty if the table has no partitions.
    pub(super) segments: BTreeMap<Box<[u8]>, RunSegment>,
    /// The texts of the columns that are codes.
    pub(super) dictionaries: Arc<Dictionaries>,
}

/// The rows of one partition in a run.
#[derive(Clone, Debug)]
pub(super) struct RunSegment {
    /// Its number of distinct rows.
    pub rows: u64,
    pub place: SegmentPlace,
    /// How its codes are read, if it has any. Set when all runs of its table are known.
    pub coding: Coding,
}

/// The location of a segment's rows.
#[derive(Clone, Debug)]
pub(super) enum SegmentPlace {
    Memory(Vec<Counted>),
    Disk {
        spill: Arc<SpillFile>,
        start: u64,
        end: u64,
    },
    /// A data file, in which equal rows are adjacent.
    File(KeptFile),
}

/// A Parquet file that this program wrote.
#[derive(Clone, Debug)]
pub(super) struct KeptFile {
    pub table: Arc<str>,
    pub path: PathBuf,
    pub options: ParquetWriteOptions,
}

impl KeptFile {
    /// Opens the file and reads its footer.
    pub fn open(&self, file: &SchemaRef) -> Result<(File, RowGroups), SinkError> {
        let opened = File::open(&self.path).map_err(SinkError::io("read back", &self.path))?;
        let groups = RowGroups::open(&opened, file, self.options);
        Ok((opened, groups.map_err(|error| self.error(error))?))
    }

    pub fn error(&self, source: impl Into<EncodeError>) -> SinkError {
        SinkError::ReadBack {
            table: Arc::clone(&self.table),
            path: self.path.clone(),
            source: source.into(),
        }
    }
}

/// Distinct rows of file columns, and their counts.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    pub batch: RecordBatch,
    /// `None` if every count is 1.
    pub counts: Option<Int64Array>,
}

/// A file without a name, with the spilled runs of one shard one after another.
#[derive(Debug)]
pub(super) struct SpillFile {
    file: File,
    /// Its directory, for messages.
    directory: PathBuf,
}

impl SpillFile {
    pub fn create(directory: &Path) -> Result<Self, SinkError> {
        let file = tempfile::tempfile_in(directory)
            .map_err(SinkError::io("create a temporary file in", directory))?;
        Ok(Self {
            file,
            directory: directory.to_path_buf(),
        })
    }

    fn error(&self, action: &'static str, error: ArrowError) -> SinkError {
        let source = match error {
            ArrowError::IoError(_, source) => source,
            other => io::Error::other(other),
        };
        SinkError::Io {
            action,
            path: self.directory.clone(),
            source,
        }
    }
}

/// Appends runs to a spill file.
pub(super) struct SpillWriter {
    spill: Arc<SpillFile>,
    end: u64,
}

impl SpillWriter {
    pub fn create(directory: &Path) -> Result<Self, SinkError> {
        Ok(Self {
            spill: Arc::new(SpillFile::create(directory)?),
            end: 0,
        })
    }

    /// Writes the batches of one segment in order. Their columns are those of `file`, or codes.
    pub fn segment(
        &mut self,
        file: &SchemaRef,
        batches: impl Iterator<Item = Result<Counted, SinkError>>,
    ) -> Result<RunSegment, SinkError> {
        let failed = |error| self.spill.error("write a temporary file in", error);
        let start = self.end;
        let appender = Appender {
            file: &self.spill.file,
            position: start,
        };
        let appender = BufWriter::with_capacity(WRITE_BUFFER_BYTES, appender);
        let mut rows = 0;
        let mut batches = batches.peekable();
        let (columns, counted) = match batches.peek() {
            Some(Ok(first)) => (first.batch.schema(), first.counts.is_some()),
            _ => (Arc::clone(file), false),
        };
        let schema = spilled_schema(&columns, counted);
        let mut writer = StreamWriter::try_new(appender, &schema).map_err(failed)?;
        for batch in batches {
            let Counted { batch, counts } = batch?;
            rows += row_count(&batch);
            let mut columns = batch.columns().to_vec();
            columns.extend(counts.map(|counts| Arc::new(counts) as _));
            RecordBatch::try_new(Arc::clone(&schema), columns)
                .and_then(|b| writer.write(&b))
                .map_err(failed)?;
        }
        let appender = writer.into_inner().map_err(failed)?.into_inner();
        let appender = appender.map_err(|error| failed(error.into_error().into()))?;
        self.end = appender.position;
        Ok(RunSegment {
            rows,
            place: SegmentPlace::Disk {
                spill: Arc::clone(&self.spill),
                start,
                end: self.end,
            },
            coding: Coding::default(),
        })
    }
}

/// The number of rows of a batch.
pub(super) fn row_count(batch: &RecordBatch) -> u64 {
    u64::try_from(batch.num_rows()).unwrap_or(u64::MAX)
}

fn spilled_schema(columns: &Schema, counted: bool) -> SchemaRef {
    let mut fields = columns.fields().to_vec();
    if counted {
        fields.push(Arc::new(Field::new("count", DataType::Int64, false)));
    }
    Arc::new(Schema::new(fields))
}

struct Appender<'a> {
    file: &'a File,
    position: u64,
}

impl Write for Appender<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write_at(bytes, self.position)?;
        self.position += u64::try_from(written).map_err(io::Error::other)?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a segment's batches in order.
pub(super) struct SegmentReader {
    source: SegmentSource,
    coding: Coding,
    /// The columns of a batch after decoding.
    columns: SchemaRef,
}

enum SegmentSource {
    Memory(std::vec::IntoIter<Counted>),
    Disk(Box<StreamReader<BufReader<SpillRange>>>),
    File {
        rows: Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>,
        kept: KeptFile,
    },
}

impl SegmentReader {
    pub fn open(segment: RunSegment, file: &SchemaRef) -> Result<Self, SinkError> {
        let source = match segment.place {
            SegmentPlace::Memory(batches) => SegmentSource::Memory(batches.into_iter()),
            SegmentPlace::File(kept) => {
                let (opened, groups) = kept.open(file)?;
                let rows = read_back(opened, &groups, None);
                SegmentSource::File {
                    rows: Box::new(rows.map_err(|error| kept.error(error))?),
                    kept,
                }
            }
            SegmentPlace::Disk { spill, start, end } => {
                let part = SpillRange {
                    spill: Arc::clone(&spill),
                    position: start,
                    end,
                };
                let reader = BufReader::with_capacity(READ_BUFFER_BYTES, part);
                let stream = StreamReader::try_new(reader, None);
                let stream = stream.map_err(|error| spill.error(READ_BACK, error))?;
                SegmentSource::Disk(Box::new(stream))
            }
        };
        Ok(Self {
            source,
            columns: segment.coding.schema(file),
            coding: segment.coding,
        })
    }

    /// Whether its rows are distinct.
    pub fn is_distinct(&self) -> bool {
        !matches!(self.source, SegmentSource::File { .. })
    }

    pub fn next(&mut self, layout: &Layout) -> Result<Option<Counted>, SinkError> {
        let next = match &mut self.source {
            SegmentSource::File { rows, kept } => {
                let batch = rows.next().transpose().map_err(|error| kept.error(error))?;
                batch.map(|batch| Counted {
                    batch,
                    counts: None,
                })
            }
            SegmentSource::Memory(batches) => batches.next(),
            SegmentSource::Disk(stream) => {
                let next = stream.next().transpose();
                let width = self.columns.fields().len();
                let next = next.and_then(|batch| batch.map(|b| split(&b, width)).transpose());
                next.map_err(|error| stream.get_ref().get_ref().spill.error(READ_BACK, error))?
            }
        };
        let Some(Counted { batch, counts }) = next else {
            return Ok(None);
        };
        let batch = self
            .decode(&batch)
            .map_err(|source| layout.sort_error(source))?;
        Ok(Some(Counted { batch, counts }))
    }

    fn decode(&self, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let columns = rows.columns().iter().enumerate();
        let columns = columns.map(|(at, column)| self.coding.decode(at, column));
        let columns = columns.collect::<Result<_, _>>()?;
        RecordBatch::try_new(Arc::clone(&self.columns), columns)
    }
}

/// Separates the counts from the other `width` columns of a spilled batch.
fn split(spilled: &RecordBatch, width: usize) -> Result<Counted, ArrowError> {
    let counts = spilled.columns().get(width);
    let counts = counts.map(|counts| counts.as_primitive::<Int64Type>().clone());
    let columns: Vec<usize> = (0..width).collect();
    let batch = spilled.project(&columns)?;
    Ok(Counted { batch, counts })
}

/// A range of a spill file. Several can be read at the same time, each at its own position.
pub(super) struct SpillRange {
    spill: Arc<SpillFile>,
    position: u64,
    end: u64,
}

impl Read for SpillRange {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let read = self
            .spill
            .file
            .read_at(&mut buffer[..wanted], self.position)?;
        self.position += u64::try_from(read).map_err(io::Error::other)?;
        Ok(read)
    }
}
