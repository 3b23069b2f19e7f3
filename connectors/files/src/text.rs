//! Reads text files in blocks of whole records, in order, for all workers.
//!
//! 1. A block has whole records: the incomplete record at the end of a read begins the next block.
//! 2. Reading, cutting and counting are done under the lock; decoding is done by the workers.
//! 3. Memory holds the blocks in flight and one tail. A record larger than a block enlarges the block, up to a limit.
//!    Beyond that limit, the record's first line is rejected and reading continues after that line.
//! 4. After an error every worker gets that error: no piece is handed out twice, and none after a gap.
//! 5. The rows of a text and their places do not depend on the blocks, so stored text gives the same rows as the
//!    file.
//! 6. In an appended file, only whole records are read. Bytes after the last one are left, as if they were not there
//!    yet. The parts that are read in several runs together have the rows of the whole file.

use std::iter;
use std::mem;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use self::input::Input;
pub(super) use self::input::Rules;
use super::content_store::ContentStore;
use super::delivery::{Content, Delivery};
use super::keep::Keeping;
use super::latch::Latch;
use super::reader::{FilePiece, FileReader, ReadDelivery};
use super::storage::Storage;
use tidewater_contract::error::{SourceError, shown_path};
use tidewater_contract::source::{
    DecodeText, Decoded, LineEnd, Piece, Rejected, RowPlaces, SourceSpec, TextBlock, TextFormat,
};
use tidewater_formats::compression::packed;
use tidewater_formats::options::{Gate, OnChange, OnError};

mod input;

/// The limits of a reader.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The size of a block, unless a record is larger.
    pub block_bytes: usize,
    /// The largest size of a record.
    pub record_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            block_bytes: 4 << 20,
            // This value must not change: which rows are too long decides which rows were inserted, and another limit
            // would retract different ones.
            record_bytes: 64 << 20,
        }
    }
}

/// The number of bytes of a too long record that the quarantine shows.
const SHOWN_BYTES: usize = 4 << 10;

/// Hands out the blocks of a source's text files.
pub(super) struct TextReader<F> {
    format: F,
    source: Arc<str>,
    schema: SchemaRef,
    ordinals: bool,
    /// Whether rows have their places.
    places: bool,
    deliveries: Vec<Delivery>,
    storage: Arc<dyn Storage>,
    store: Option<Arc<ContentStore>>,
    rules: Rules,
    limits: Limits,
    state: Latch<TextReaderState>,
}

#[derive(Default)]
struct TextReaderState {
    /// The index of the next delivery to open.
    next: usize,
    open: Option<OpenFile>,
    ended: Vec<Ended>,
    warnings: Vec<String>,
}

/// A delivery whose blocks were all handed out. Its content may still be in the process of being stored.
struct Ended {
    taken: ReadDelivery,
    keeping: Option<Arc<Keeping>>,
}

impl<F: TextFormat> TextReader<F> {
    pub(super) fn new(
        spec: &SourceSpec,
        deliveries: Vec<Delivery>,
        storage: Arc<dyn Storage>,
        store: Option<Arc<ContentStore>>,
        rules: Rules,
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
            ordinals: spec.ordinals,
            places: Gate::parse(&spec.options)?.on_error == OnError::Quarantine,
            deliveries,
            storage,
            store,
            rules,
            limits: Limits::default(),
            state: Latch::default(),
        })
    }

    #[cfg(test)]
    pub(super) fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    fn advance(&self, state: &mut TextReaderState) -> Result<Option<FilePiece>, SourceError> {
        loop {
            if let Some(open) = &mut state.open
                && let Some(piece) = self.next_of(open)?
            {
                let delivery = open.delivery;
                return Ok(Some(FilePiece { delivery, piece }));
            }
            if let Some(open) = state.open.take() {
                open.end(state)?;
            }
            let Some(delivery) = self.deliveries.get(state.next) else {
                return Ok(None);
            };
            state.open = Some(self.open(state.next, delivery, &mut state.warnings)?);
            state.next += 1;
        }
    }

    fn open(
        &self,
        index: usize,
        delivery: &Delivery,
        warnings: &mut Vec<String>,
    ) -> Result<OpenFile, SourceError> {
        let name = &delivery.name;
        let mut input = Input::open(delivery, self.rules, &*self.storage, self.store.as_ref())?;
        let whole_rows_only = self.rules.on_change == OnChange::Append && input.is_stored();
        let (mut head, ready) = self.head(&mut input)?;
        if let Some(what) = packed(&head).filter(|_| input.is_compressed()) {
            let message = format!("its decompressed content is {what}; unpack it");
            return Err(SourceError::file(name, message));
        }
        // The head of an unfinished file has no information yet.
        let unknown = whole_rows_only && !ready;
        let begun = self.format.begin(name, if unknown { b"" } else { &head })?;
        if !unknown || head.is_empty() {
            warnings.extend(begun.warnings);
        }
        let mut open = OpenFile {
            delivery: index,
            keeping: input.keeping()?,
            input,
            decoder: begun.decoder,
            tail: Vec::new(),
            trailer: Vec::new(),
            line: 1,
            byte_offset: 0,
            stored_bytes: 0,
            blocks: 0,
            first_line: 1,
            places: self.places,
            whole_rows_only,
            left: 0,
        };
        if let Content::Tail {
            after, first_line, ..
        } = &delivery.from
            && *after > 0
        {
            open.skip_to(*after, *first_line, begun.header_bytes)?;
        } else if unknown {
            open.leave(head.len());
        } else {
            open.tail = head.split_off(begun.header_bytes.min(head.len()));
            open.pass(&head);
            open.keep(head)?;
        }
        Ok(open)
    }

    /// The beginning of a file, and whether it has a whole record.
    fn head(&self, input: &mut Input) -> Result<(Vec<u8>, bool), SourceError> {
        let mut head = Vec::new();
        let mut target = self.limits.block_bytes;
        loop {
            input.fill(&mut head, target)?;
            let ready = self.format.is_head(&head);
            if ready || input.ended || head.len() >= self.limits.record_bytes {
                return Ok((head, ready));
            }
            target = larger(head.len(), self.limits);
        }
    }

    fn next_of(&self, open: &mut OpenFile) -> Result<Option<Box<dyn Piece>>, SourceError> {
        let mut bytes = mem::take(&mut open.tail);
        let mut target = self.limits.block_bytes;
        loop {
            open.input.fill(&mut bytes, target)?;
            let rows_end = open.decoder.rows_end(&bytes, open.input.ended);
            if open.input.ended && !open.whole_rows_only {
                open.trailer = bytes.split_off(rows_end);
                return Ok((!bytes.is_empty()).then(|| open.deal(bytes, true)));
            }
            let rows = bytes.get(..rows_end).unwrap_or_default();
            let whole = open.decoder.whole_records(rows);
            if whole > 0 {
                open.tail = bytes.split_off(whole);
                return Ok(Some(open.deal(bytes, false)));
            }
            if bytes.len() >= self.limits.record_bytes {
                return self.over_long(open, bytes);
            }
            if open.input.ended {
                open.leave(bytes.len());
                return Ok(None);
            }
            target = larger(bytes.len(), self.limits);
        }
    }

    /// Rejects the line at the beginning of `bytes`, whose record does not end within the limit.
    fn over_long(
        &self,
        open: &mut OpenFile,
        mut bytes: Vec<u8>,
    ) -> Result<Option<Box<dyn Piece>>, SourceError> {
        // A quoted field exceeds the limit. Its first line alone is not a record, and the decoder says why.
        let line_end = open.decoder.line_end();
        if let Some(end) = line_end.first(&bytes) {
            open.tail = bytes.split_off(end);
            return Ok(Some(open.deal(bytes, false)));
        }
        if open.whole_rows_only && !open.input.has_line_end_ahead()? {
            open.leave(bytes.len());
            return Ok(None);
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
            let end = line_end.first(&bytes);
            let passed = end.unwrap_or(bytes.len());
            let rest = bytes.split_off(passed);
            open.pass(&bytes);
            open.keep(mem::take(&mut bytes))?;
            if end.is_some() || open.input.ended {
                open.tail = rest;
                break;
            }
            open.input.fill(&mut bytes, self.limits.block_bytes)?;
        }
        let batch = RecordBatch::new_empty(Arc::clone(&self.schema));
        let decoded = Decoded {
            batch,
            rejected: vec![rejected],
            ordinals: self.ordinals.then(Vec::new),
            places: None,
            bytes: open.take_stored_bytes(),
        };
        Ok(Some(Box::new(iter::once(Ok(decoded)))))
    }
}

impl<F: TextFormat> FileReader for TextReader<F> {
    fn next_piece(&self) -> Result<Option<FilePiece>, SourceError> {
        self.state.advance(|state| self.advance(state))
    }

    fn read_deliveries(&self) -> Result<Vec<ReadDelivery>, SourceError> {
        let taken = |state: &TextReaderState| state.ended.iter().map(Ended::taken).collect();
        self.state.look(taken)
    }

    fn bytes_total(&self) -> u64 {
        self.deliveries.iter().map(|delivery| delivery.bytes).sum()
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.state.look(|state| state.warnings.clone());
        warnings.extend(self.format.warnings());
        warnings
    }
}

impl Ended {
    fn taken(&self) -> Result<ReadDelivery, SourceError> {
        let mut taken = self.taken.clone();
        if let Some(keeping) = &self.keeping {
            let kept = keeping.kept()?;
            // For a compressed file, the stored bytes were hashed rather than the text.
            if taken.hash.is_empty() {
                taken.hash = kept.whole;
            }
            if kept.part.bytes > 0 {
                taken.parts.push(kept.part);
            }
        }
        Ok(taken)
    }
}

fn larger(bytes: usize, limits: Limits) -> usize {
    bytes
        .saturating_mul(2)
        .min(limits.record_bytes)
        .max(bytes + 1)
}

/// A file that is being handed out.
struct OpenFile {
    delivery: usize,
    input: Input,
    keeping: Option<Arc<Keeping>>,
    decoder: Arc<dyn DecodeText>,
    /// Bytes that were read but not handed out. They begin at a record.
    tail: Vec<u8>,
    /// The trailer lines, which are not rows, after everything was read.
    trailer: Vec<u8>,
    /// The line on which `tail` begins, from 1.
    line: u64,
    /// The offset of `tail` in the decompressed file.
    byte_offset: u64,
    /// The stored bytes of the blocks that were handed out.
    stored_bytes: u64,
    /// The number of blocks that were stored, or handed out to be stored.
    blocks: u64,
    /// The line on which reading began.
    first_line: u64,
    /// Whether rows have their places.
    places: bool,
    /// Whether an incomplete record at the end is left for a later run.
    whole_rows_only: bool,
    /// The number of bytes left at the end.
    left: usize,
}

impl OpenFile {
    fn deal(&mut self, bytes: Vec<u8>, is_last: bool) -> Box<dyn Piece> {
        let (first_line, byte_offset) = (self.line, self.byte_offset);
        self.pass(&bytes);
        let block = TextBlock {
            file: Arc::clone(&self.input.name),
            first_line,
            byte_offset,
            bytes,
            stored_bytes: self.take_stored_bytes(),
        };
        let block = Arc::new(block);
        let decoder = Arc::clone(&self.decoder);
        let line_end = decoder.line_end();
        let mut steps = if is_last {
            decoder.last_steps(Arc::clone(&block))
        } else {
            decoder.steps(Arc::clone(&block))
        };
        if self.places {
            let block = Arc::clone(&block);
            steps = Box::new(steps.map(move |decoded| {
                Decoded {
                    places: decoded
                        .ordinals
                        .as_ref()
                        .map(|ordinals| places(&block, line_end, ordinals)),
                    ..decoded
                }
            }));
        }
        let Some(keeping) = self.keeping.clone() else {
            return Box::new(steps.map(Ok));
        };
        let place = self.next_block();
        let keep = iter::once_with(move || {
            let bytes = Arc::try_unwrap(block)
                .map_or_else(|block| block.bytes.clone(), |block| block.bytes);
            keeping.keep(place, bytes)
        });
        Box::new(steps.map(Ok).chain(keep.filter_map(Result::err).map(Err)))
    }

    /// Stores bytes that were read but not handed out: a header, or a record that is too long.
    fn keep(&mut self, bytes: Vec<u8>) -> Result<(), SourceError> {
        match self.keeping.clone() {
            Some(keeping) if !bytes.is_empty() => keeping.keep(self.next_block(), bytes),
            _ => Ok(()),
        }
    }

    fn next_block(&mut self) -> u64 {
        self.blocks += 1;
        self.blocks - 1
    }

    /// Moves line and offset past `bytes`.
    fn pass(&mut self, bytes: &[u8]) {
        self.line += count(self.decoder.line_end().count(bytes));
        self.byte_offset += count(bytes.len());
    }

    /// Continues after the old part of the file.
    fn skip_to(&mut self, after: u64, first_line: u64, header: usize) -> Result<(), SourceError> {
        if count(header) > after {
            let message = format!(
                "its header ends after byte {after}, up to which it was read before: it is another file; restore the \
                 old one, or declare on_change 'replace'"
            );
            return Err(SourceError::file(&self.input.name, message));
        }
        self.input.go_to(after);
        self.byte_offset = after;
        (self.line, self.first_line) = (first_line, first_line);
        Ok(())
    }

    /// Leaves `bytes` bytes that were read but not handed out, and all bytes after them.
    fn leave(&mut self, bytes: usize) {
        self.left += bytes;
        self.input.ended = true;
    }

    fn take_stored_bytes(&mut self) -> u64 {
        let read = self.input.stored_bytes();
        read - mem::replace(&mut self.stored_bytes, read)
    }

    /// Records what was read, after everything was handed out.
    fn end(mut self, state: &mut TextReaderState) -> Result<(), SourceError> {
        if let Some(warning) = self.input.warning() {
            state
                .warnings
                .push(format!("{}: {warning}", shown_path(&self.input.name)));
        }
        let trailer = mem::take(&mut self.trailer);
        self.pass(&trailer);
        self.keep(trailer)?;
        if self.left > 0 {
            state.warnings.push(format!(
                "{}: the bytes after {} are not a whole row yet; they are left for the next run",
                shown_path(&self.input.name),
                self.byte_offset
            ));
        }
        let appended = self.whole_rows_only.then_some(self.byte_offset);
        let Some(taken) = self.input.taken(self.delivery, appended)? else {
            return Ok(());
        };
        if let Some(keeping) = &self.keeping {
            keeping.end(self.blocks, self.line - self.first_line)?;
        }
        state.ended.push(Ended {
            taken,
            keeping: self.keeping,
        });
        Ok(())
    }
}

/// The places of the rows that begin at these offsets of a block.
fn places(block: &TextBlock, line_end: LineEnd, offsets: &[u64]) -> RowPlaces {
    let (mut line, mut passed) = (block.first_line, 0);
    let lines = offsets.iter().map(|offset| {
        let at = usize::try_from(offset - block.byte_offset).unwrap_or(usize::MAX);
        line += count(line_end.count(block.bytes.get(passed..at).unwrap_or_default()));
        passed = at;
        line
    });
    RowPlaces {
        lines: lines.collect(),
        file: Arc::clone(&block.file),
        byte_offsets: offsets.to_vec(),
    }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
