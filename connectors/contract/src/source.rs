//! Rows of a source: a reader hands out pieces, pieces decode into batches and rejected rows.
//!
//! All workers of a process share a [`Reader`]. An idle worker asks it for the next [`Piece`]. Reading happens under the
//! reader's lock and is cheap; decoding happens in the worker that took the piece. So one large file keeps all workers
//! busy, and memory holds no more of a file than the pieces that are being decoded.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::connector::Source;
use crate::error::SourceError;

/// A text or binary layout of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// Comma-separated values, RFC 4180.
    Csv,
    /// One JSON object a line.
    JsonLines,
    /// Apache Parquet.
    Parquet,
    /// Lines, or payloads, that are the one column as they stand.
    Text,
}

/// A source as its `CREATE EXTERNAL TABLE` statement declares it.
#[derive(Clone, Debug)]
pub struct SourceSpec {
    /// The table's name in the job.
    pub name: String,
    /// `LOCATION`: a file, a directory or a glob.
    pub location: String,
    /// `STORED AS`.
    pub format: Format,
    /// The declared columns.
    pub schema: SchemaRef,
    /// Indices into `schema` of the columns that the job reads, ascending. Decoded batches hold these alone.
    pub projection: Vec<usize>,
    /// `OPTIONS (…)`, keys in lower case, already validated.
    pub options: BTreeMap<String, String>,
    /// Whether decoded batches tell the [place of each row](Decoded::ordinals).
    pub ordinals: bool,
    /// Whether columns of text may come as dictionaries, `Dictionary(UInt32, Utf8)`, where they have few values. The
    /// schema of a batch says which do.
    pub dictionaries: bool,
    /// The source, as its connector parsed it; `None` where a format alone reads the declaration.
    pub source: Option<Arc<dyn Source>>,
}

/// A row that could not be decoded or cast, on its way to the quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The source's name in the job.
    pub source: Arc<str>,
    /// Path of the file, as listed.
    pub file: Arc<str>,
    /// Line on which the row begins, from 1.
    pub line: u64,
    /// Offset of the row's first byte in the (decompressed) file, from 0.
    pub byte_offset: u64,
    /// The column at fault, where a single one is.
    pub column: Option<Arc<str>>,
    /// Why, in a sentence that a user can act on.
    pub reason: String,
    /// The row as it stands in the file, invalid UTF-8 replaced.
    pub raw: String,
}

/// Some rows of a piece: those of `batch`, `retracted` and `rejected` were read.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The rows that decoded: the projected columns of the source, those of text perhaps as
    /// [dictionaries](SourceSpec::dictionaries).
    pub batch: RecordBatch,
    /// Rows that are taken back by what was read, such as the row before a change.
    pub retracted: Option<RecordBatch>,
    /// The rows that did not.
    pub rejected: Vec<Rejected>,
    /// When the source asks for them, the place of each row of `batch`: of text the offset of its first byte in the
    /// (decompressed) file, of Parquet its number in the file, from 0; of a message its offset. They increase in file order and do not depend on
    /// how the file was cut into pieces.
    pub ordinals: Option<Vec<u64>>,
    /// Bytes of the stored file that this step took in, for progress.
    pub bytes: u64,
}

/// A part of one file, to be decoded by the worker that took it: an iterator so that no more than one batch of it
/// need be in memory.
pub trait Piece: Iterator<Item = Result<Decoded, SourceError>> + Send {}

impl<T: Iterator<Item = Result<Decoded, SourceError>> + Send> Piece for T {}

/// Whether rows are inserted or retracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// They are inserted.
    Insert,
    /// They are retracted.
    Retract,
}

/// A piece, and how its rows count.
pub struct Dealt {
    /// Index among the reader's deliveries.
    pub delivery: usize,
    /// Whether its rows are inserted or retracted, in a reader of rows that are inserted.
    pub change: RowChange,
    /// Whether the reader corrects what it handed out before: such rows were counted already.
    pub is_correction: bool,
    /// Rows of the delivery.
    pub piece: Box<dyn Piece>,
}

impl Dealt {
    /// A piece of a delivery that is read for the first time.
    pub fn new(delivery: usize, piece: Box<dyn Piece>) -> Self {
        Self {
            delivery,
            change: RowChange::Insert,
            is_correction: false,
            piece,
        }
    }
}

/// What a reader hands out.
pub enum NextPiece {
    /// A piece.
    Dealt(Dealt),
    /// Nothing before other pieces are decoded.
    Wait,
    /// Nothing any more.
    Done,
}

impl NextPiece {
    /// The piece, if there is one.
    pub fn dealt(self) -> Option<Dealt> {
        match self {
            Self::Dealt(dealt) => Some(dealt),
            Self::Wait | Self::Done => None,
        }
    }
}

/// Hands out the pieces of a source's deliveries, in their order. All workers of a process share it.
pub trait Reader: Send + Sync {
    /// The next piece.
    ///
    /// # Errors
    /// When the source cannot be read, or is not what its declaration says.
    fn next_piece(&self) -> Result<NextPiece, SourceError>;

    /// The number of deliveries, by whose index rows are counted: files, or partitions.
    fn deliveries(&self) -> usize;

    /// Stored bytes of all deliveries, for progress; 0 where that is unknown.
    fn bytes_total(&self) -> u64;

    /// Messages for the user about deliveries that did not fail (an empty file, say). Complete once all pieces were
    /// decoded.
    fn warnings(&self) -> Vec<String>;

    /// Hands out no further piece. A reader without an end is closed to end it.
    fn close(&self) {}
}

/// A run of whole records of a text file.
#[derive(Debug)]
pub struct TextBlock {
    /// Path of the file, as listed.
    pub file: Arc<str>,
    /// Line on which the block begins, from 1.
    pub first_line: u64,
    /// Offset of the block's first byte in the (decompressed) file.
    pub byte_offset: u64,
    /// The records, the last one possibly without its line end.
    pub bytes: Vec<u8>,
    /// Stored bytes that this block took, for progress.
    pub stored_bytes: u64,
}

/// What a text format learnt from the head of a file.
pub struct TextHead {
    /// Bytes to skip: byte order mark and header.
    pub header_bytes: usize,
    /// Decodes this file's blocks.
    pub decoder: Arc<dyn DecodeText>,
    /// What the user should hear of.
    pub warnings: Vec<String>,
}

/// A text format without its I/O: where records end, and how a file begins.
pub trait TextFormat: Send + Sync {
    /// Reads the head of a file: `head` is its first bytes, at least a whole record or all of it.
    ///
    /// # Errors
    /// When the header does not fit the declared columns.
    fn begin(&self, file: &Arc<str>, head: &[u8]) -> Result<TextHead, SourceError>;

    /// Length of the longest prefix of `bytes` that is whole records with their line ends; `bytes` begins at a record.
    fn whole_records(&self, bytes: &[u8]) -> usize;
}

/// Decodes blocks of one file. Never fails: what does not decode is rejected, row by row.
pub trait DecodeText: Send + Sync {
    /// Rows and rejected rows of `block`, in file order each.
    fn decode(&self, block: &TextBlock) -> Decoded;
}

/// Decodes records that are held apart, such as the payloads of messages. Never fails: what does not decode is rejected,
/// record by record.
pub trait DecodeRecords: Send + Sync {
    /// A row for each record, or the reason why there is none.
    fn decode(&self, records: &[&[u8]]) -> DecodedRecords;
}

/// What became of some records.
#[derive(Clone, Debug)]
pub struct DecodedRecords {
    /// A row for each record that was not rejected, in their order: the projected columns of the source.
    pub batch: RecordBatch,
    /// The others, in their order.
    pub rejected: Vec<RejectedRecord>,
}

/// A record that could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRecord {
    /// Its place among the records, from 0.
    pub record: usize,
    /// The column at fault, where a single one is.
    pub column: Option<Arc<str>>,
    /// Why, in a sentence that a user can act on.
    pub reason: String,
}
