//! Reads text files in blocks of whole records, one after the other, for all workers.
//!
//! 1. A block begins and ends at a record: the tail of a read that is not a whole record opens the next block.
//! 2. Under the lock bytes are read, cut and counted; decoding is the worker's.
//! 3. In memory are the blocks in flight and one tail. A record larger than a block grows the block up to a bound;
//!    beyond it the record's first line is rejected and reading goes on behind that line.
//! 4. After an error every worker gets that error: no piece is dealt twice and none after a gap.

use std::iter;
use std::mem;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use memchr::{memchr, memchr_iter};

use super::compression::Content;
use super::list::ListedFile;
use crate::error::SourceError;
use crate::format::options::Compression;
use crate::source::{
    DecodeText, Decoded, Piece, Reader, Rejected, SourceSpec, TextBlock, TextFormat,
};

/// How much a reader takes in at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of a block, unless a record is larger.
    pub block_bytes: usize,
    /// Bytes of a record at most.
    pub record_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            block_bytes: 4 << 20,
            record_bytes: 64 << 20,
        }
    }
}

/// How much of an over-long record the quarantine shows.
const SHOWN_BYTES: usize = 4 << 10;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Deals out the blocks of a source's text files.
pub(super) struct TextReader<F> {
    format: F,
    source: Arc<str>,
    schema: SchemaRef,
    files: Vec<ListedFile>,
    compression: Compression,
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The next file to open.
    next: usize,
    open: Option<OpenFile>,
    failed: Option<SourceError>,
    warnings: Vec<String>,
}

impl<F: TextFormat> TextReader<F> {
    pub(super) fn new(
        spec: &SourceSpec,
        files: Vec<ListedFile>,
        compression: Compression,
        format: F,
    ) -> Result<Self, SourceError> {
        let schema =
            spec.schema
                .project(&spec.projection)
                .map_err(|error| SourceError::Declaration {
                    table: spec.name.clone(),
                    column: format!("{:?}", spec.projection),
                    message: error.to_string(),
                })?;
        Ok(Self {
            format,
            source: spec.name.as_str().into(),
            schema: Arc::new(schema),
            files,
            compression,
            limits: Limits::default(),
            state: Mutex::default(),
        })
    }

    #[cfg(test)]
    pub(super) fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    fn advance(&self, state: &mut State) -> Result<Option<Box<dyn Piece>>, SourceError> {
        loop {
            if let Some(open) = &mut state.open {
                if let Some(piece) = self.next_of(open)? {
                    return Ok(Some(piece));
                }
                state.open = None;
            }
            let Some(file) = self.files.get(state.next) else {
                return Ok(None);
            };
            state.open = Some(self.open(file, &mut state.warnings)?);
            state.next += 1;
        }
    }

    fn open(&self, file: &ListedFile, warnings: &mut Vec<String>) -> Result<OpenFile, SourceError> {
        let name = file.name();
        let mut input = Input::open(&file.path, Arc::clone(&name), self.compression)?;
        let mut head = Vec::new();
        let mut target = self.limits.block_bytes;
        loop {
            input.fill(&mut head, target)?;
            let ready = head.len() > BYTE_ORDER_MARK.len()
                && self.format.whole_records(first_record(&head)) > 0;
            if ready || input.ended || head.len() >= self.limits.record_bytes {
                break;
            }
            target = larger(head.len(), self.limits);
        }
        let begun = self.format.begin(&name, &head)?;
        warnings.extend(begun.warnings);
        let tail = head.split_off(begun.header_bytes.min(head.len()));
        let mut open = OpenFile {
            input,
            decoder: begun.decoder,
            tail,
            line: 1,
            byte_offset: 0,
            stored_bytes: 0,
        };
        open.pass(&head);
        Ok(open)
    }

    fn next_of(&self, open: &mut OpenFile) -> Result<Option<Box<dyn Piece>>, SourceError> {
        let mut bytes = mem::take(&mut open.tail);
        let mut target = self.limits.block_bytes;
        loop {
            open.input.fill(&mut bytes, target)?;
            if open.input.ended {
                return Ok((!bytes.is_empty()).then(|| open.deal(bytes)));
            }
            let whole = self.format.whole_records(&bytes);
            if whole > 0 {
                open.tail = bytes.split_off(whole);
                return Ok(Some(open.deal(bytes)));
            }
            if bytes.len() >= self.limits.record_bytes {
                return self.over_long(open, bytes).map(Some);
            }
            target = larger(bytes.len(), self.limits);
        }
    }

    /// Rejects the line that `bytes` begin with: a record that does not end within the bound.
    fn over_long(
        &self,
        open: &mut OpenFile,
        mut bytes: Vec<u8>,
    ) -> Result<Box<dyn Piece>, SourceError> {
        // A quoted field runs over the bound. Its first line alone is no record, and the decoder says why.
        if let Some(end) = memchr(b'\n', &bytes) {
            open.tail = bytes.split_off(end + 1);
            return Ok(open.deal(bytes));
        }
        let mut rejected = Rejected {
            source: Arc::clone(&self.source),
            file: Arc::clone(&open.input.name),
            line: open.line,
            byte_offset: open.byte_offset,
            column: None,
            reason: format!(
                "the row is longer than {} bytes, the most that is read; is its line end missing?",
                self.limits.record_bytes
            ),
            raw: String::new(),
        };
        let mut shown = bytes.clone();
        shown.truncate(SHOWN_BYTES);
        rejected.raw = format!("{}…", String::from_utf8_lossy(&shown));
        loop {
            let end = memchr(b'\n', &bytes).map(|end| end + 1);
            let passed = end.unwrap_or(bytes.len());
            open.pass(bytes.get(..passed).unwrap_or_default());
            if end.is_some() || open.input.ended {
                open.tail = bytes.split_off(passed);
                break;
            }
            bytes.clear();
            open.input.fill(&mut bytes, self.limits.block_bytes)?;
        }
        let batch = RecordBatch::new_empty(Arc::clone(&self.schema));
        let decoded = Decoded {
            batch,
            rejected: vec![rejected],
            bytes: open.take_stored_bytes(),
        };
        Ok(Box::new(iter::once(Ok(decoded))))
    }
}

impl<F: TextFormat> Reader for TextReader<F> {
    fn next_piece(&self) -> Result<Option<Box<dyn Piece>>, SourceError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        self.advance(&mut state)
            .inspect_err(|error| state.failed = Some(error.clone()))
    }

    fn bytes_total(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    fn warnings(&self) -> Vec<String> {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .warnings
            .clone()
    }
}

/// What follows the byte order mark and blank lines.
fn first_record(head: &[u8]) -> &[u8] {
    let text = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
    let blank = text
        .iter()
        .take_while(|byte| matches!(byte, b'\n' | b'\r'))
        .count();
    text.get(blank..).unwrap_or_default()
}

fn larger(bytes: usize, limits: Limits) -> usize {
    bytes
        .saturating_mul(2)
        .min(limits.record_bytes)
        .max(bytes + 1)
}

/// A file being read.
struct Input {
    name: Arc<str>,
    path: std::path::PathBuf,
    content: Content,
    ended: bool,
}

impl Input {
    fn open(path: &Path, name: Arc<str>, compression: Compression) -> Result<Self, SourceError> {
        let content = Content::open(path, compression)
            .map_err(|error| SourceError::io("open", path, error))?;
        Ok(Self {
            name,
            path: path.to_owned(),
            content,
            ended: false,
        })
    }

    /// Reads until `bytes` hold `target` bytes, or the file ends.
    fn fill(&mut self, bytes: &mut Vec<u8>, target: usize) -> Result<(), SourceError> {
        let wanted = target.saturating_sub(bytes.len());
        if wanted == 0 || self.ended {
            return Ok(());
        }
        match self.content.fill(bytes, wanted) {
            Ok(more) => {
                self.ended = !more;
                Ok(())
            }
            Err(error) if self.content.is_damage(&error) => Err(SourceError::Corrupt {
                file: Arc::clone(&self.name),
                byte_offset: self.content.stored_bytes(),
                message: error.to_string(),
            }),
            Err(error) => Err(SourceError::io("read", &self.path, error)),
        }
    }
}

/// A file being dealt.
struct OpenFile {
    input: Input,
    decoder: Arc<dyn DecodeText>,
    /// Read but not dealt; begins at a record.
    tail: Vec<u8>,
    /// Line on which `tail` begins, from 1.
    line: u64,
    /// Offset at which `tail` begins in the decompressed file.
    byte_offset: u64,
    /// Stored bytes accounted for.
    stored_bytes: u64,
}

impl OpenFile {
    fn deal(&mut self, bytes: Vec<u8>) -> Box<dyn Piece> {
        let (first_line, byte_offset) = (self.line, self.byte_offset);
        self.pass(&bytes);
        let block = TextBlock {
            file: Arc::clone(&self.input.name),
            first_line,
            byte_offset,
            bytes,
            stored_bytes: self.take_stored_bytes(),
        };
        let decoder = Arc::clone(&self.decoder);
        Box::new(iter::once_with(move || Ok(decoder.decode(&block))))
    }

    /// Moves line and offset behind `bytes`.
    fn pass(&mut self, bytes: &[u8]) {
        self.line += u64::try_from(memchr_iter(b'\n', bytes).count()).unwrap_or(0);
        self.byte_offset += u64::try_from(bytes.len()).unwrap_or(0);
    }

    fn take_stored_bytes(&mut self) -> u64 {
        let read = self.input.content.stored_bytes();
        read - mem::replace(&mut self.stored_bytes, read)
    }
}

#[cfg(test)]
mod tests;
