//! What every source speaks: readers deal out pieces, pieces decode into batches and rejected rows.
//!
//! A [`Reader`] is shared by all workers of a process. A worker that has nothing to do asks it for the next
//! [`Piece`]; reading happens under the reader's lock and is cheap, decoding happens in the worker that took
//! the piece. So one large file keeps all workers busy, and no more of a file is in memory than the pieces being
//! decoded.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};

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
    /// What the source's connector made of the declaration, for itself alone.
    pub connector: Option<Arc<dyn ConnectorOptions>>,
}

/// What a connector makes of a declaration, for itself alone.
pub trait ConnectorOptions: Any + Debug + Send + Sync {}

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

/// A piece, and the delivery that it is of.
pub struct Dealt {
    /// Index among the deliveries that the reader was opened with.
    pub delivery: usize,
    /// Rows of it.
    pub piece: Box<dyn Piece>,
}

/// What was kept of one delivery, or of one addition to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeptPart {
    /// BLAKE3 of its (decompressed) bytes, in hex: its name in the depot.
    pub hash: String,
    /// Its (decompressed) bytes.
    pub bytes: u64,
    /// The bytes that it takes in the depot.
    pub stored_bytes: u64,
    /// Its line ends; 0 for a format that has no lines.
    pub lines: u64,
}

/// What was taken in of a delivery that was read from where it was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Index among the deliveries that the reader was opened with.
    pub delivery: usize,
    /// Bytes of the stored file, from its beginning, that are taken in: all of them, but for a file that is appended to
    /// and does not end with a whole row.
    pub bytes: u64,
    /// When the stored file was last modified, in nanoseconds since 1970, as of opening it.
    pub modified_ns: i64,
    /// BLAKE3 of these bytes, in hex; empty when nothing is kept.
    pub hash: String,
    /// What was kept by this reading: one part, or none when nothing is kept or there was nothing to keep.
    pub parts: Vec<KeptPart>,
    /// Whether the file stayed as it was while it was read. Otherwise it was still being written, and what was taken
    /// in is neither its old nor its new content.
    pub settled: bool,
}

/// Deals out the pieces of a source's deliveries, in their order. Shared by all workers of a process.
pub trait Reader: Send + Sync {
    /// The next piece, or `None` when all have been dealt.
    ///
    /// # Errors
    /// When a file cannot be read, or is not what the source declares.
    fn next_piece(&self) -> Result<Option<Dealt>, SourceError>;

    /// What was taken in of each delivery that was not read from what is kept, in their order. Complete once all
    /// pieces were dealt and decoded.
    ///
    /// # Errors
    /// When a piece was not decoded, or not kept as it should have been.
    fn taken(&self) -> Result<Vec<Taken>, SourceError>;

    /// Stored bytes of all deliveries, for progress.
    fn bytes_total(&self) -> u64;

    /// What the user should hear of though nothing failed (an empty file, say). Complete once all pieces were dealt.
    fn warnings(&self) -> Vec<String>;
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
