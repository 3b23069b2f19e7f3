//! Types that all sinks share. A table is a multiset of rows, and its changes are batches with a sign.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use thiserror::Error;

/// Rows of a Parquet row group, unless `OPTIONS` say otherwise.
pub const DEFAULT_ROW_GROUP_ROWS: usize = 1024 * 1024;

/// How a published file is encoded. `parse_encoding` builds it from `STORED AS` and `OPTIONS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Apache Parquet.
    Parquet {
        /// Page compression.
        compression: Compression,
        /// Most rows of a row group.
        row_group_rows: usize,
    },
    /// Comma-separated values, RFC 4180, with a header.
    Csv {
        /// Field delimiter.
        delimiter: u8,
        /// How NULL is written.
        null_text: String,
    },
    /// One JSON object a line.
    JsonLines,
}

impl Default for Encoding {
    /// Parquet with default options.
    fn default() -> Self {
        Self::Parquet {
            compression: Compression::SNAPPY,
            row_group_rows: DEFAULT_ROW_GROUP_ROWS,
        }
    }
}

impl Encoding {
    /// Extension of the data files' names, without the dot.
    #[must_use]
    pub fn extension(&self) -> &'static str {
        match self {
            Self::Parquet { .. } => "parquet",
            Self::Csv { .. } => "csv",
            Self::JsonLines => "jsonl",
        }
    }

    /// The format's name as users write it after `STORED AS`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Parquet { .. } => "PARQUET",
            Self::Csv { .. } => "CSV",
            Self::JsonLines => "JSON",
        }
    }

    /// `Some` if the format can hold values of the stored type without changing their meaning.
    pub fn holds(&self, data_type: &DataType) -> Option<()> {
        match data_type {
            DataType::Null
            | DataType::Union(_, _)
            | DataType::Interval(_)
            | DataType::Duration(_) => None,
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                self.nests().and_then(|()| self.holds(item.data_type()))
            }
            DataType::Struct(fields) => {
                self.nests().filter(|()| !fields.is_empty())?;
                fields
                    .iter()
                    .try_for_each(|field| self.holds(field.data_type()))
            }
            nested if nested.is_nested() => None,
            _ => Some(()),
        }
    }

    fn nests(&self) -> Option<()> {
        (!matches!(self, Self::Csv { .. })).then_some(())
    }
}

/// One `ORDER BY` term of a published table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortKey {
    /// Index into the table's schema.
    pub column: usize,
    /// `DESC`.
    pub descending: bool,
    /// `NULLS FIRST`.
    pub nulls_first: bool,
}

/// A table as its `COPY … TO …` statement declares it.
#[derive(Clone, Debug)]
pub struct TableSpec {
    /// The materialized view's name.
    pub name: Arc<str>,
    /// Directory that will hold the table.
    pub path: PathBuf,
    /// All columns, partition columns among them.
    pub schema: SchemaRef,
    /// Hive partition columns, as indices into `schema`, outermost first.
    pub partition_by: Vec<usize>,
    /// The view's `ORDER BY`. Ties, and tables without it, are ordered by all columns from the left.
    pub order_by: Vec<SortKey>,
    /// File format.
    pub encoding: Encoding,
}

/// The result of writing a table.
#[derive(Clone, Debug)]
pub struct WrittenTable {
    /// Rows in the table.
    pub rows: u64,
    /// Data files written.
    pub files: u64,
    /// The table's first rows, in its order. It has all columns; dictionary and view columns are plain ones.
    pub preview: RecordBatch,
}

/// Turns batches of one schema into the bytes of one file. Does no I/O itself; `W` receives the bytes.
pub trait EncodeRows<W> {
    /// Appends the rows of `batch`.
    ///
    /// # Errors
    /// When `W` fails, or the format cannot hold a value.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), EncodeError>;

    /// Ends the file and returns `W`, flushed.
    ///
    /// # Errors
    /// When `W` fails.
    fn finish(self: Box<Self>) -> Result<W, EncodeError>;
}

/// Why rows could not be encoded.
#[derive(Debug, Error)]
pub enum EncodeError {
    /// The bytes could not be written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The Parquet writer failed.
    #[error("{0}")]
    Parquet(#[from] ParquetError),
    /// A value could not be converted.
    #[error("{0}")]
    Arrow(#[from] ArrowError),
    /// Published Parquet files hold microseconds, which every reader understands; this column holds finer times.
    #[error(
        "column {column} holds a time finer than a microsecond; publish date_trunc('microsecond', {column}) instead"
    )]
    TimeTooFine {
        /// The column's name.
        column: String,
    },
}

/// Why a table could not be read, written or published. Nothing was published, unless the error is
/// [`SinkError::RollBack`].
#[derive(Debug, Error)]
pub enum SinkError {
    /// The file system refused.
    #[error("cannot {action} {}: {source}; {}", path.display(), advice(source))]
    Io {
        /// What was tried, such as `create the directory`.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A data file could not be encoded.
    #[error("table {table}: cannot write {}: {source}", path.display())]
    Encode {
        /// The table's name.
        table: Arc<str>,
        /// The file.
        path: PathBuf,
        /// Why.
        source: EncodeError,
    },
    /// A published file could not be read back.
    #[error(
        "table {table}: cannot read back {}: {source}; restore it, or run `tidewater run JOB --state DIR --rebuild`",
        path.display()
    )]
    ReadBack {
        /// The table's name.
        table: Arc<str>,
        /// The file.
        path: PathBuf,
        /// Why.
        source: EncodeError,
    },
    /// A published file or directory is missing or was changed.
    #[error(
        "table {table}: {} {fault}; nothing was published. Restore it as it was, or run `tidewater run JOB --state \
         DIR --rebuild` to rebuild all tables", path.display()
    )]
    Changed {
        /// The table's name.
        table: Arc<str>,
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The record of the published files could not be read.
    #[error("cannot tell what is published of table {table}: {message}")]
    Record {
        /// The table's name.
        table: String,
        /// Why.
        message: String,
    },
    /// A staged file of a commit is missing, so the commit cannot be published.
    #[error(
        "cannot publish {}: its staged copy {} is gone; run `tidewater run JOB --state DIR --rebuild` to rebuild \
         all tables", target.display(), staged.display()
    )]
    StagedGone {
        /// The path to publish to.
        target: PathBuf,
        /// The path of the staged file.
        staged: PathBuf,
    },
    /// Rows could not be sorted, spilled or merged.
    #[error("table {table}: cannot sort its rows: {source}")]
    Sort {
        /// The table's name.
        table: Arc<str>,
        /// Why.
        source: ArrowError,
    },
    /// Pushed columns are not those of the table.
    #[error("table {table}: column {column} should be {expected} but a batch brought {found}")]
    SchemaMismatch {
        /// The table's name.
        table: Arc<str>,
        /// Name of the column, or its number if there is no such column.
        column: String,
        /// Declared type.
        expected: String,
        /// Type in the batch.
        found: String,
    },
    /// A column of a type that the file format or a partition directory cannot hold.
    #[error("table {table}: {place} cannot hold column {column} of type {data_type}; {remedy}")]
    UnsupportedColumn {
        /// The table's name.
        table: Arc<str>,
        /// `PARQUET`, `CSV`, `JSON` or `PARTITIONED BY`.
        place: &'static str,
        /// The column.
        column: String,
        /// Its type.
        data_type: DataType,
        /// What to write instead.
        remedy: &'static str,
    },
    /// Every column is a partition column.
    #[error(
        "table {table}: every column is in PARTITIONED BY, so its files would have none; leave at least one out"
    )]
    NoFileColumns {
        /// The table's name.
        table: Arc<str>,
    },
    /// A column index out of range, or a partition column named twice.
    #[error("table {table}: {clause} names column number {column}, which {fault}")]
    InvalidColumn {
        /// The table's name.
        table: Arc<str>,
        /// `PARTITIONED BY` or `ORDER BY`.
        clause: &'static str,
        /// Index into the schema.
        column: usize,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A partition value that cannot be the name of a Hive partition.
    #[error(
        "table {table}: partition column {column} holds {value:?}, which readers of Hive partitions take for NULL or \
         refuse; publish NULLIF({column}, '{value}') instead"
    )]
    PartitionValue {
        /// The table's name.
        table: Arc<str>,
        /// The partition column.
        column: String,
        /// The value.
        value: String,
    },
    /// A partition value whose folder would have too long a name.
    #[error(
        "table {table}: partition column {column} holds a text of {bytes} bytes, '{begins}…', and the name of its folder \
         would be too long; publish left({column}, 50), or take the column out of PARTITIONED BY"
    )]
    PartitionTooLong {
        /// The table's name.
        table: Arc<str>,
        /// The partition column.
        column: String,
        /// The length of the value.
        bytes: usize,
        /// Its beginning.
        begins: String,
    },
    /// A row was retracted more often than it was inserted.
    #[error(
        "table {table}: a row was retracted more often than it was inserted (total {total}): {row}; the tables were \
         not changed, please report this with the job"
    )]
    RetractedTooOften {
        /// The table's name.
        table: Arc<str>,
        /// The row, `column=value` pairs without the partition columns.
        row: String,
        /// Its negative count.
        total: i64,
    },
    /// The output directory holds something that is not part of a table.
    #[error(
        "{} is not a table: it holds {}; publishing would delete it, so nothing was written. Choose another path, or \
         move that away", path.display(), entry.display()
    )]
    ForeignContent {
        /// The table's directory.
        path: PathBuf,
        /// The first such entry.
        entry: PathBuf,
    },
    /// The output path is not a directory, or has no parent directory.
    #[error("{} cannot hold a table: {reason}; choose a directory of its own for it", path.display())]
    InvalidTarget {
        /// The path as given.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// Two tables have the same directory, or one contains the other.
    #[error(
        "tables {} and {} would overwrite one another; give each a directory outside the other's",
        first.display(), second.display()
    )]
    OverlappingTargets {
        /// One path.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// `STORED AS` names no format.
    #[error("STORED AS {0} is not known; write PARQUET, CSV or JSON")]
    UnknownFormat(String),
    /// `OPTIONS` has a key that the format does not know.
    #[error("option '{option}' is not known for STORED AS {format}; known: {known}")]
    UnknownOption {
        /// The format.
        format: &'static str,
        /// What was given.
        option: String,
        /// The known options.
        known: String,
    },
    /// An option's value cannot be used.
    #[error("option '{option}' cannot be '{value}'; write {expected}")]
    OptionValue {
        /// The option.
        option: &'static str,
        /// What was given.
        value: String,
        /// What is accepted.
        expected: &'static str,
    },
    /// A stop was requested before anything was published.
    #[error("stopped: nothing was published")]
    Stopped,
    /// Kafka refused, or could not be reached.
    #[error("{place}: {message}")]
    Kafka {
        /// The table and its topic, or the brokers.
        place: String,
        /// What happened, and what to do.
        message: String,
    },
    /// Rows could not be encoded as messages.
    #[error("table {table}: cannot write its rows as JSON: {source}")]
    Message {
        /// The table's name.
        table: Arc<str>,
        /// Why.
        source: EncodeError,
    },
    /// Several rows of a table that is published to a topic by key have the same key.
    #[error(
        "table {table}: {rows} rows have the key {key}, and a topic holds one row a key; nothing was written. Write \
         'key' with columns that tell rows apart, or 'mode' 'changelog'"
    )]
    KeyNotUnique {
        /// The table's name.
        table: Arc<str>,
        /// How many rows.
        rows: u64,
        /// Their key, as JSON.
        key: String,
    },
    /// A message that is too large for Kafka.
    #[error(
        "table {table}: a message is {bytes} bytes large, and {limit} is the most; nothing was written. Set \
         'kafka.message.max.bytes' to more (the topic's max.message.bytes too), or publish less in a row: {row}"
    )]
    MessageTooLarge {
        /// The table's name.
        table: Arc<str>,
        /// Its key or row, as JSON, cut short.
        row: String,
        /// Its size.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Publishing failed half-way, and a table could not be restored. Its old content is kept.
    #[error(
        "cannot put {} back after publishing failed ({cause}): {source}; its old content is in {}: move it back by hand",
        path.display(), kept.display()
    )]
    RollBack {
        /// The table's directory.
        path: PathBuf,
        /// Where its old content is.
        kept: PathBuf,
        /// Why publishing failed.
        cause: Box<SinkError>,
        /// Why it could not be restored.
        source: io::Error,
    },
}

impl SinkError {
    /// Wraps an I/O error with what was tried, and where.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

/// What a user can do about an I/O error.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "give this user write permission there, or choose another output directory"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free space there (about twice the table's size is needed while it is written) and run again"
        }
        io::ErrorKind::NotADirectory => {
            "a part of the path is a file; choose another output directory"
        }
        io::ErrorKind::InvalidFilename => {
            "a name in the path is too long; choose shorter names or partition values"
        }
        _ => "the tables were left as they were; run again once the cause is removed",
    }
}
