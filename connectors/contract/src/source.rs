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

/// How the lines of a text end, in its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineEnd {
    /// With a line feed, perhaps behind a carriage return.
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
    /// Where the first line ends: one behind its line end.
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

    /// Where the last whole line ends, 0 when there is none. A carriage return at the very end may be half of a line
    /// end.
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

    /// How many lines end.
    pub fn count(self, bytes: &[u8]) -> usize {
        match self {
            Self::LineFeed => memchr::memchr_iter(b'\n', bytes).count(),
            Self::Any => self.ends(bytes).count(),
            Self::Utf16Le | Self::Utf16Be => self.utf16(bytes).count(),
        }
    }

    /// Where each line ends: one behind its line end.
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
    /// Reads the head of a file: `head` is its first bytes, at least a whole record or all of it.
    ///
    /// # Errors
    /// When the header does not fit the declared columns.
    fn begin(&self, file: &Arc<str>, head: &[u8]) -> Result<TextHead, SourceError>;

    /// Whether the first bytes of a file hold all that [`begin`](Self::begin) looks at.
    fn is_head(&self, bytes: &[u8]) -> bool;

    /// What the user should hear of after all files were decoded.
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
}

/// Decodes blocks of one file. Never fails: what does not decode is rejected, row by row.
pub trait DecodeText: Send + Sync + 'static {
    /// Rows and rejected rows of `block`, in file order each.
    fn decode(&self, block: &TextBlock) -> Decoded;

    /// The same in steps, each of which holds a bounded number of rejected rows.
    fn steps(self: Arc<Self>, block: Arc<TextBlock>) -> Box<dyn Iterator<Item = Decoded> + Send> {
        Box::new(std::iter::once_with(move || self.decode(&block)))
    }

    /// The same of the last block of a file, whose end may show that the file was cut short.
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

    /// Lines at the end of the file that are no rows, blank ones not counted.
    fn trailer_lines(&self) -> usize {
        0
    }
}

/// Whether `bytes` hold a whole line behind a byte order mark and blank lines.
pub fn has_line(bytes: &[u8]) -> bool {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let is_blank = |byte: &&u8| matches!(byte, b'\n' | b'\r');
    let blank = text.iter().take_while(is_blank).count();
    let text = text.get(blank..).unwrap_or_default();
    !BYTE_ORDER_MARK.starts_with(bytes) && LineEnd::LineFeed.first(text).is_some()
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
