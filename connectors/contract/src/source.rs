//! Rows of a source. A reader hands out pieces, and pieces decode into batches and rejected rows.
//!
//! All workers of a process share a [`Reader`]. An idle worker asks it for the next [`Piece`]. The reader reads the
//! bytes under its lock, which is cheap. The worker that took the piece decodes it, so one large file keeps all
//! workers busy. Memory holds only the pieces that are being decoded.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::connector::Source;
use crate::error::SourceError;
use crate::hold::{HoldReason, JudgeDeliveries};

/// A text or binary layout of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// Comma-separated values, RFC 4180.
    Csv,
    /// One JSON object a line.
    JsonLines,
    /// Apache Parquet.
    Parquet,
    /// Lines, or payloads, that are the value of the only column.
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
    /// Indices into `schema` of the columns that the job reads, ascending. Decoded batches have these columns only.
    pub projection: Vec<usize>,
    /// `OPTIONS (…)`, keys in lower case, already validated.
    pub options: BTreeMap<String, String>,
    /// Whether decoded batches have the [place of each row](Decoded::ordinals).
    pub ordinals: bool,
    /// Whether text columns with few distinct values may be decoded as `Dictionary(UInt32, Utf8)`. The schema of a
    /// batch says which are.
    pub dictionaries: bool,
    /// The source, as its connector parsed it. `None` if only a format reads the declaration.
    pub source: Option<Arc<dyn Source>>,
}

/// A row that could not be decoded or cast, on its way to the quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The source's name in the job.
    pub source: Arc<str>,
    /// Path of the file, as listed.
    pub file: Arc<str>,
    /// The line on which the row begins, from 1; 0 if there are no lines or if the whole delivery is rejected.
    pub line: u64,
    /// Offset of the row's first byte in the (decompressed) file, from 0.
    pub byte_offset: u64,
    /// The column at fault, if it is a single one.
    pub column: Option<Arc<str>>,
    /// Why, in a sentence that a user can act on.
    pub reason: String,
    /// The row as it is in the file, with invalid UTF-8 replaced.
    pub raw: String,
}

/// Some rows of a piece. The rows of `batch` and `rejected` together are those that were read.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The rows that decoded, with the projected columns of the source. Text columns may be
    /// [dictionaries](SourceSpec::dictionaries).
    pub batch: RecordBatch,
    /// The rows that did not decode.
    pub rejected: Vec<Rejected>,
    /// The place of each row of `batch`, if the source asks for it. For text, the offset of the row's first byte in
    /// the (decompressed) file. For Parquet, the row's number in the file, from 0. For a message, its offset. Places
    /// increase in file order and do not depend on how the file was cut into pieces.
    pub ordinals: Option<Vec<u64>>,
    /// The place of each row of `batch`, for messages, if the source asks for it (`on_error`).
    pub places: Option<RowPlaces>,
    /// Bytes of the stored file that this step consumed, for progress.
    pub bytes: u64,
}

/// The places of rows, in the form of [`Rejected`] rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowPlaces {
    /// The path of the file, or the topic and partition.
    pub file: Arc<str>,
    /// The line of each row, from 1; empty if there are no lines.
    pub lines: Vec<u64>,
    /// The offset of each row.
    pub byte_offsets: Vec<u64>,
}

/// The place of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowPlace {
    /// The path of the file, or the topic and partition.
    pub file: Arc<str>,
    /// Its line, from 1; 0 if there are no lines.
    pub line: u64,
    /// Its offset.
    pub byte_offset: u64,
}

impl RowPlaces {
    /// The place of a row.
    pub fn of(&self, row: usize) -> RowPlace {
        RowPlace {
            file: Arc::clone(&self.file),
            line: self.lines.get(row).copied().unwrap_or_default(),
            byte_offset: self.byte_offsets.get(row).copied().unwrap_or_default(),
        }
    }
}

/// A part of one delivery, decoded by the worker that took it. It is an iterator, so that memory need hold only one
/// batch of it.
pub trait Piece: Iterator<Item = Result<Decoded, SourceError>> + Send {}

impl<T: Iterator<Item = Result<Decoded, SourceError>> + Send> Piece for T {}

/// Whether a piece inserts or retracts its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// It inserts them.
    Insert,
    /// It retracts them.
    Retract,
}

/// A piece that was handed out, and how its rows count.
pub struct Dealt {
    /// Index among the reader's deliveries.
    pub delivery: usize,
    /// Whether the piece inserts or retracts its rows, in a reader of inserted rows.
    pub change: RowChange,
    /// Whether the piece corrects pieces handed out before.
    pub is_correction: bool,
    /// The piece.
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

/// What a reader returns when it is asked for a piece.
pub enum NextPiece {
    /// A piece.
    Dealt(Dealt),
    /// There is no piece until others are decoded.
    Wait,
    /// There are no more pieces.
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

/// Hands out the pieces of a source's deliveries, in order. All workers of a process share it.
pub trait Reader: Send + Sync {
    /// The next piece.
    ///
    /// # Errors
    /// When the source cannot be read, or does not match its declaration.
    fn next_piece(&self) -> Result<NextPiece, SourceError>;

    /// The number of deliveries: files, or partitions. Rows are counted by the index of their delivery.
    fn deliveries(&self) -> usize;

    /// Stored bytes of all deliveries, for progress; 0 if unknown.
    fn bytes_total(&self) -> u64;

    /// Warnings about deliveries that did not fail, such as an empty file. Complete once all pieces are decoded.
    fn warnings(&self) -> Vec<String>;

    /// Deliveries that were set aside while they were read. Complete after all pieces were decoded.
    fn set_aside(&self) -> Vec<SetAsideDelivery> {
        Vec::new()
    }

    /// Lets a judge decide which new deliveries are held. It is asked once the rows of all deliveries were decoded, and
    /// deliveries that it holds are [set aside](Self::set_aside).
    fn judged_by(&self, _judge: Arc<dyn JudgeDeliveries>) {}

    /// Stops handing out pieces. This is how a reader without an end is ended.
    fn close(&self) {}
}

/// A bad or held delivery, none of whose rows count. It is one row of the quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAsideDelivery {
    /// Its name.
    pub name: String,
    /// Why, in a sentence that a user can act on.
    pub reason: String,
    /// The rules that it breaks, if it is held.
    pub hold: Option<HoldReason>,
}

/// Consecutive whole records of a text file.
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
    /// Stored bytes of this block, for progress.
    pub stored_bytes: u64,
}

/// What a text format learnt from the head of a file.
pub struct TextHead {
    /// Bytes to skip: byte order mark and header.
    pub header_bytes: usize,
    /// Decodes this file's blocks.
    pub decoder: Arc<dyn DecodeText>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

/// How the lines of a text end, in its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineEnd {
    /// With a line feed, perhaps after a carriage return.
    #[default]
    LineFeed,
    /// With a line feed, a carriage return, or both.
    Any,
    /// With the line feed of UTF-16, its lower byte first.
    Utf16Le,
    /// With the line feed of UTF-16, its upper byte first.
    Utf16Be,
}

impl LineEnd {
    /// Where the first line ends: the index after its line end.
    pub fn first(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::LineFeed => memchr::memchr(b'\n', bytes).map(|at| at + 1),
            Self::Any => {
                let at = memchr::memchr2(b'\n', b'\r', bytes)?;
                let feed = bytes.get(at) == Some(&b'\r') && bytes.get(at + 1) == Some(&b'\n');
                Some(at + 1 + usize::from(feed))
            }
            Self::Utf16Le | Self::Utf16Be => self.utf16(bytes).next(),
        }
    }

    /// Where the last whole line ends; 0 if there is none. A carriage return at the very end does not count, since it
    /// may be half of a line end.
    pub fn last(self, bytes: &[u8]) -> usize {
        match self {
            Self::LineFeed => memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1),
            Self::Any => {
                let sure = bytes.strip_suffix(b"\r").unwrap_or(bytes);
                memchr::memrchr2(b'\n', b'\r', sure).map_or(0, |at| at + 1)
            }
            Self::Utf16Le | Self::Utf16Be => self.utf16(bytes).last().unwrap_or(0),
        }
    }

    /// The number of line ends.
    pub fn count(self, bytes: &[u8]) -> usize {
        match self {
            Self::LineFeed => memchr::memchr_iter(b'\n', bytes).count(),
            Self::Any => self.ends(bytes).count(),
            Self::Utf16Le | Self::Utf16Be => self.utf16(bytes).count(),
        }
    }

    /// Where each line ends: the index after its line end.
    pub fn ends(self, bytes: &[u8]) -> impl Iterator<Item = usize> {
        let mut at = 0;
        std::iter::from_fn(move || {
            at += self.first(bytes.get(at..)?)?;
            Some(at)
        })
    }

    fn utf16(self, bytes: &[u8]) -> impl Iterator<Item = usize> {
        let feed = if self == Self::Utf16Le {
            [b'\n', 0]
        } else {
            [0, b'\n']
        };
        let (units, _) = bytes.as_chunks::<2>();
        let ends = units
            .iter()
            .zip(1..)
            .filter(move |(unit, _)| **unit == feed);
        ends.map(|(_, units)| units * 2)
    }
}

/// A text format without its I/O: where records end, and how a file begins.
pub trait TextFormat: Send + Sync {
    /// Reads the head of a file. `head` is its first bytes: at least a whole record, or the whole file.
    ///
    /// # Errors
    /// When the header does not fit the declared columns.
    fn begin(&self, file: &Arc<str>, head: &[u8]) -> Result<TextHead, SourceError>;

    /// Whether the first bytes of a file hold all that [`begin`](Self::begin) looks at.
    fn is_head(&self, bytes: &[u8]) -> bool;

    /// Warnings for the user, once all files were decoded.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

impl<T: TextFormat + ?Sized> TextFormat for Box<T> {
    fn begin(&self, file: &Arc<str>, head: &[u8]) -> Result<TextHead, SourceError> {
        (**self).begin(file, head)
    }

    fn is_head(&self, bytes: &[u8]) -> bool {
        (**self).is_head(bytes)
    }

    fn warnings(&self) -> Vec<String> {
        (**self).warnings()
    }
}

/// Decodes blocks of one file. Never fails; rows that do not decode are rejected one by one.
pub trait DecodeText: Send + Sync + 'static {
    /// Rows and rejected rows of `block`, each in file order.
    fn decode(&self, block: &TextBlock) -> Decoded;

    /// Like [`decode`](Self::decode), in steps with a bounded number of rejected rows each.
    fn steps(self: Arc<Self>, block: Arc<TextBlock>) -> Box<dyn Iterator<Item = Decoded> + Send> {
        Box::new(std::iter::once_with(move || self.decode(&block)))
    }

    /// Like [`steps`](Self::steps), for the last block of a file, whose end may show that the file was cut short.
    fn last_steps(
        self: Arc<Self>,
        block: Arc<TextBlock>,
    ) -> Box<dyn Iterator<Item = Decoded> + Send> {
        self.steps(block)
    }

    /// Length of the longest prefix of `bytes` that is whole records with their line ends; `bytes` begins at a record.
    fn whole_records(&self, bytes: &[u8]) -> usize {
        self.line_end().last(bytes)
    }

    /// How the file's lines end.
    fn line_end(&self) -> LineEnd {
        LineEnd::LineFeed
    }

    /// Where the rows in `bytes` end for certain: before lines that are, or may become, the file's trailer. `ended`
    /// says that the file ends with these bytes.
    fn rows_end(&self, bytes: &[u8], _ended: bool) -> usize {
        bytes.len()
    }
}

/// Whether `bytes` hold a whole line after a byte order mark and blank lines.
pub fn has_line(bytes: &[u8]) -> bool {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let is_blank = |byte: &&u8| matches!(byte, b'\n' | b'\r');
    let blank = text.iter().take_while(is_blank).count();
    let text = text.get(blank..).unwrap_or_default();
    !BYTE_ORDER_MARK.starts_with(bytes) && LineEnd::LineFeed.first(text).is_some()
}

/// Decodes separate records, such as the payloads of messages. Never fails; records that do not decode are rejected
/// one by one.
pub trait DecodeRecords: Send + Sync {
    /// A row for each record, or the reason why there is none.
    fn decode(&self, records: &[&[u8]]) -> DecodedRecords;
}

/// The result of decoding some records.
#[derive(Clone, Debug)]
pub struct DecodedRecords {
    /// A row for each record that was not rejected, in order, with the projected columns of the source.
    pub batch: RecordBatch,
    /// The rejected records, in order.
    pub rejected: Vec<RejectedRecord>,
}

/// A record that could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRecord {
    /// Its place among the records, from 0.
    pub record: usize,
    /// The column at fault, if it is a single one.
    pub column: Option<Arc<str>>,
    /// Why, in a sentence that a user can act on.
    pub reason: String,
}
