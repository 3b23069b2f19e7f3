//! Decodes blocks of a CSV file into Arrow.
//!
//! 1. Every record that is not a blank line or a comment becomes either a row of the batch or a rejected row. In a
//!    file of one column, a blank line is a record.
//! 2. A rejected row has one reason: a fault of its structure if it has one, else the fault of the first declared
//!    column that has one. Which rows are rejected does not depend on which columns are read, unless the source
//!    checks only those.
//! 3. Rows and rejected rows keep the file's order.
//! 4. Rows and rejected rows are the same whether texts are dictionary-encoded or plain.
//! 5. No more than some thousand rejected rows are in memory at a time.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use memchr::memchr_iter;

use super::column::{CsvColumn, nulls};
use super::dictionary::{Dictionary, Pool};
use super::fault::{FaultReason, RowFault};
use super::field::{Build, Rows};
use super::index::Index;
use super::record::Dialect;
use super::split::{Misfit, Splitter};
use crate::layout::{Converted, FileLayout};
use crate::options::RaggedRows;
use crate::schema_of;
use crate::trailer::Trailer;
use tidewater_contract::source::{DecodeText, Decoded, LineEnd, Rejected, TextBlock};

/// Rows that are split and decoded at a time. Their bytes and positions stay in a core's cache.
const ROWS_AT_A_TIME: usize = 256;

/// A step ends when it has this number of rejected rows.
const REJECTED_AT_A_TIME: usize = 4096;

/// What all files of a source have in common.
#[derive(Debug)]
pub(super) struct CsvTable {
    pub source: Arc<str>,
    /// The projected columns.
    pub schema: SchemaRef,
    /// The declared columns.
    pub columns: Vec<CsvColumn>,
    /// The declared columns that are read, ascending.
    pub projection: Vec<usize>,
    /// Whether values of the other columns are checked.
    pub checks_all: bool,
    pub dialect: Dialect,
    pub ragged: RaggedRows,
    pub trailer: Trailer,
    /// The first of the unquoted texts that mean NULL. The others are in `other_nulls`.
    pub null: Vec<u8>,
    pub other_nulls: Vec<Vec<u8>>,
    /// Whether rows have their position in the file.
    pub ordinals: bool,
    /// The dictionaries of text columns, if these may be dictionary-encoded.
    pub dictionaries: Option<Pool>,
}

/// Decodes the blocks of one file.
pub(super) struct Decoder {
    pub table: Arc<CsvTable>,
    pub layout: FileLayout,
    /// The field of each declared column, `None` when the file has none.
    pub fields: Vec<Option<usize>>,
    /// The name of each field, for messages.
    pub names: Vec<Arc<str>>,
}

/// A declared column while a block is decoded.
struct ColumnInWork<'a> {
    build: Box<dyn Build + 'a>,
    column: usize,
    field: usize,
    /// Whether its values are read, and not only checked.
    is_read: bool,
}

/// The text of a block.
#[derive(Clone, Copy)]
struct BlockText<'a> {
    block: &'a TextBlock,
    converted: &'a Converted,
    /// The text in UTF-8 with line feeds.
    bytes: &'a [u8],
    /// The text before its line ends were unified.
    original: Option<&'a [u8]>,
}

impl<'a> BlockText<'a> {
    fn new(block: &'a TextBlock, converted: &'a Converted) -> Self {
        Self {
            block,
            converted,
            bytes: converted.plain(&block.bytes),
            original: converted.original(&block.bytes),
        }
    }
}

/// A block being decoded step by step.
struct Steps {
    decoder: Arc<Decoder>,
    block: Arc<TextBlock>,
    converted: Converted,
    /// The number of bytes that are decoded, and the number of the next line.
    at: usize,
    line: u64,
    check_utf8: bool,
    is_begun: bool,
}

impl Iterator for Steps {
    type Item = Decoded;

    fn next(&mut self) -> Option<Decoded> {
        let text = BlockText::new(&self.block, &self.converted);
        if self.is_begun && self.at >= text.bytes.len() {
            return None;
        }
        let (mut decoded, end) = self.decoder.part(
            text,
            self.at,
            self.line,
            self.check_utf8,
            REJECTED_AT_A_TIME,
        );
        if std::mem::replace(&mut self.is_begun, true) {
            decoded.bytes = 0;
        }
        let passed = text.bytes.get(self.at..end).unwrap_or_default();
        self.line += count(memchr_iter(b'\n', passed).count());
        self.at = end;
        Some(decoded)
    }
}

impl DecodeText for Decoder {
    fn decode(&self, block: &TextBlock) -> Decoded {
        let converted = self.layout.convert(&block.bytes);
        let text = BlockText::new(block, &converted);
        let check_utf8 = self.has_bad_unread_text(text.bytes);
        self.part(text, 0, block.first_line, check_utf8, usize::MAX)
            .0
    }

    fn steps(self: Arc<Self>, block: Arc<TextBlock>) -> Box<dyn Iterator<Item = Decoded> + Send> {
        let converted = self.layout.convert(&block.bytes);
        let check_utf8 = self.has_bad_unread_text(converted.plain(&block.bytes));
        Box::new(Steps {
            converted,
            at: 0,
            line: block.first_line,
            check_utf8,
            is_begun: false,
            decoder: self,
            block,
        })
    }

    fn whole_records(&self, bytes: &[u8]) -> usize {
        let lines = self.layout.line_end.last(bytes);
        let bytes = bytes.get(..lines).unwrap_or_default();
        let converted = self.layout.convert(bytes);
        let end = self.table.dialect.whole_records(converted.plain(bytes));
        converted.place(bytes, end)
    }

    fn line_end(&self) -> LineEnd {
        self.layout.line_end
    }

    fn rows_end(&self, bytes: &[u8], ended: bool) -> usize {
        let FileLayout {
            line_end, encoding, ..
        } = self.layout;
        self.table.trailer.begin(bytes, ended, line_end, encoding)
    }
}

impl Decoder {
    /// Decodes the rows from `start` on, up to the end or until `rejected_max` rows are rejected. Returns the
    /// position after them as well.
    fn part(
        &self,
        text: BlockText<'_>,
        start: usize,
        line: u64,
        check_utf8: bool,
        rejected_max: usize,
    ) -> (Decoded, usize) {
        // UTF-8 is checked a column at a time. Only if that fails, each text is checked.
        let pool = self.table.dictionaries.as_ref();
        let mut dictionaries =
            pool.map_or_else(Vec::new, |pool| pool.take(self.table.projection.len()));
        let mut attempt = |check_utf8| {
            let at = Start {
                start,
                line,
                rejected_max,
            };
            self.attempt(text, at, check_utf8, &mut dictionaries)
        };
        let decoded = attempt(check_utf8).or_else(|_| attempt(true));
        if let Some(pool) = pool {
            pool.put(dictionaries);
        }
        decoded.unwrap_or_else(|error| self.reject_all(text, start, line, &error))
    }

    fn attempt(
        &self,
        text: BlockText<'_>,
        at: Start,
        check_utf8: bool,
        dictionaries: &mut [Dictionary],
    ) -> Result<(Decoded, usize), ArrowError> {
        let mut splitter = self.splitter(text, at.start);
        let (mut index, mut misfits, mut faults) = (Index::default(), Vec::new(), Vec::new());
        let mut columns: Option<Vec<ColumnInWork<'_>>> = None;
        let mut dictionaries = Some(dictionaries);
        let mut ordinals = self.table.ordinals.then(Vec::new);
        let mut rows = 0;
        while faults.len() < at.rejected_max
            && splitter.fill(&mut index, ROWS_AT_A_TIME, &mut misfits)
        {
            let columns = columns.get_or_insert_with(|| {
                let bytes = text.bytes.len() - at.start;
                let rows = self.expected_rows(bytes, &index);
                self.begin(rows, check_utf8, dictionaries.take().unwrap_or_default())
            });
            faults.extend(misfits.drain(..).map(RowFault::from));
            self.take(text, &index, splitter.quote(), columns, rows, &mut faults);
            if let Some(ordinals) = &mut ordinals {
                let place = |row| {
                    let start = index.row(row, self.names.len()).start;
                    count(text.converted.place(&text.block.bytes, start))
                };
                let places = (0..index.len()).map(|row| text.block.byte_offset + place(row));
                ordinals.extend(places);
            }
            rows += index.len();
        }
        let columns = columns
            .unwrap_or_else(|| self.begin(0, check_utf8, dictionaries.take().unwrap_or_default()));
        let arrays = self.arrays(columns, rows)?;
        faults.sort_by_key(|fault| fault.bytes.start);
        faults.dedup_by_key(|fault| fault.bytes.start);
        let good = good_rows(rows, &faults);
        if let (Some(ordinals), Some(good)) = (&mut ordinals, &good) {
            let mut good = good.iter();
            ordinals.retain(|_| good.next().is_none_or(|good| *good));
        }
        let decoded = Decoded {
            batch: self.batch(arrays, rows, good)?,
            rejected: self.rejected(text, at.start, at.line, faults),
            ordinals,
            places: None,
            bytes: text.block.stored_bytes,
        };
        Ok((decoded, splitter.at()))
    }

    fn splitter<'a>(&self, text: BlockText<'a>, start: usize) -> Splitter<'a> {
        Splitter::new(
            text.bytes,
            start,
            self.table.dialect,
            self.names.len(),
            self.table.ragged,
        )
    }

    /// Empty builders of the columns that are read or checked.
    fn begin<'a>(
        &'a self,
        rows: usize,
        check_utf8: bool,
        dictionaries: &'a mut [Dictionary],
    ) -> Vec<ColumnInWork<'a>> {
        let mut dictionaries = dictionaries.iter_mut();
        let mut columns = Vec::with_capacity(self.fields.len());
        for (at, (column, field)) in self.table.columns.iter().zip(&self.fields).enumerate() {
            let is_read = self.table.projection.binary_search(&at).is_ok();
            let dictionary = if is_read { dictionaries.next() } else { None };
            let Some(field) = *field else { continue };
            let is_checked = self.table.checks_all && (check_utf8 || !column.takes_any_text());
            if is_read || is_checked {
                let rows = if is_read { rows } else { ROWS_AT_A_TIME };
                columns.push(ColumnInWork {
                    build: column.builder(rows, check_utf8, dictionary),
                    column: at,
                    field,
                    is_read,
                });
            }
        }
        columns
    }

    /// The arrays of the columns that are read, in their order.
    fn arrays(
        &self,
        columns: Vec<ColumnInWork<'_>>,
        rows: usize,
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        let mut read = columns
            .into_iter()
            .filter(|column| column.is_read)
            .peekable();
        let mut arrays = Vec::with_capacity(self.table.projection.len());
        for at in &self.table.projection {
            if let Some(column) = read.next_if(|column| column.column == *at) {
                arrays.push(column.build.finish()?);
            } else if let Some(column) = self.table.columns.get(*at) {
                arrays.push(nulls(column, rows));
            }
        }
        Ok(arrays)
    }

    /// Decodes the rows of `index`, column by column.
    fn take(
        &self,
        text: BlockText<'_>,
        index: &Index,
        quote: Option<u8>,
        columns: &mut [ColumnInWork<'_>],
        rows_before: usize,
        faults: &mut Vec<RowFault>,
    ) {
        let table = &self.table;
        let rows = Rows {
            bytes: text.bytes,
            original: text.original,
            index,
            fields: self.names.len(),
            quote,
            dialect: table.dialect,
            null: &table.null,
            other_nulls: &table.other_nulls,
            may_be_rare: table.dialect.escape.is_some()
                || table.ragged.pads()
                || !table.other_nulls.is_empty(),
        };
        for ColumnInWork {
            build,
            column,
            field,
            is_read,
        } in columns
        {
            let Some(declared) = table.columns.get(*column) else {
                continue;
            };
            build.take(&rows, *field, &mut |row, why| {
                if why.is_some() || !declared.is_nullable() {
                    faults.push(RowFault {
                        row: Some(rows_before + row),
                        bytes: self.row_bytes(text.bytes, index.row(row, rows.fields)),
                        reason: FaultReason::Value {
                            column: *column,
                            field: index.range(row, *field),
                            why,
                        },
                    });
                }
            });
            if !*is_read {
                build.forget();
            }
        }
    }

    /// The bytes of a row without its line end, including fields that were cut off.
    fn row_bytes(&self, bytes: &[u8], row: Range<usize>) -> Range<usize> {
        if self.table.ragged.cuts()
            && let Some(record) = self.table.dialect.record(bytes, row.start, true, |_| ())
        {
            return row.start..record.end;
        }
        let row_text = bytes.get(row.clone()).unwrap_or_default();
        row.start..row.end - usize::from(row_text.ends_with(b"\r"))
    }

    /// Whether the block is not valid UTF-8 and has text columns that are checked but not read.
    fn has_bad_unread_text(&self, bytes: &[u8]) -> bool {
        let is_unread = |column: &usize| self.table.projection.binary_search(column).is_err();
        let mut columns = 0..self.table.columns.len();
        let has_unread_text = self.table.checks_all
            && columns.any(|column| {
                is_unread(&column)
                    && self
                        .table
                        .columns
                        .get(column)
                        .is_some_and(CsvColumn::is_text)
            });
        has_unread_text && std::str::from_utf8(bytes).is_err()
    }

    /// An estimate of the rows in `bytes` bytes: the average of the first rows, plus a margin.
    fn expected_rows(&self, bytes: usize, first: &Index) -> usize {
        let fields = self.names.len();
        let begin = first.row(0, fields).start;
        let last = first.len().checked_sub(1);
        let split = last.map_or(0, |last| first.row(last, fields).end - begin);
        let estimate = bytes / (split / first.len().max(1)).max(1);
        (estimate + estimate / 16 + 1).min(bytes / fields.max(1) + 1)
    }

    /// The batch of the good rows; all are good if `good` is `None`.
    fn batch(
        &self,
        arrays: Vec<ArrayRef>,
        rows: usize,
        good: Option<Vec<bool>>,
    ) -> Result<RecordBatch, ArrowError> {
        let schema = schema_of(&self.table.schema, &arrays);
        if arrays.is_empty() {
            let good = good.map_or(rows, |good| good.iter().filter(|good| **good).count());
            let options = RecordBatchOptions::new().with_row_count(Some(good));
            return RecordBatch::try_new_with_options(schema, arrays, &options);
        }
        let Some(good) = good else {
            return RecordBatch::try_new(schema, arrays);
        };
        // A rejected row may hold NULL in a `NOT NULL` column. Only the good rows must fit the schema.
        let fields = schema.fields().iter();
        let loose = fields.map(|field| field.as_ref().clone().with_nullable(true));
        let loose = Schema::new(loose.collect::<Vec<_>>());
        let all = RecordBatch::try_new(Arc::new(loose), arrays)?;
        let good = filter_record_batch(&all, &BooleanArray::new(BooleanBuffer::from(good), None))?;
        RecordBatch::try_new(schema, good.columns().to_vec())
    }

    /// `faults` in file order, as the quarantine has them. The text from `start` on begins with `line`.
    fn rejected(
        &self,
        text: BlockText<'_>,
        start: usize,
        mut line: u64,
        faults: Vec<RowFault>,
    ) -> Vec<Rejected> {
        let mut counted = start;
        let mut rejected = Vec::with_capacity(faults.len());
        for fault in faults {
            let passed = text.bytes.get(counted..fault.bytes.start);
            line += count(memchr_iter(b'\n', passed.unwrap_or_default()).count());
            counted = fault.bytes.start;
            let (column, reason) = self.explain(text.original.unwrap_or(text.bytes), &fault.reason);
            let bytes = &text.block.bytes;
            rejected.push(Rejected {
                source: Arc::clone(&self.table.source),
                file: Arc::clone(&text.block.file),
                line,
                byte_offset: text.block.byte_offset + count(text.converted.place(bytes, counted)),
                column,
                reason,
                raw: text.converted.raw(bytes, fault.bytes),
            });
        }
        rejected
    }

    /// Rejects all rows of a block that Arrow cannot hold, so that none is lost.
    fn reject_all(
        &self,
        text: BlockText<'_>,
        start: usize,
        line: u64,
        error: &ArrowError,
    ) -> (Decoded, usize) {
        let mut splitter = self.splitter(text, start);
        let (mut index, mut misfits, mut faults) = (Index::default(), Vec::new(), Vec::new());
        let held: Arc<str> = format!("the rows of this block cannot be held: {error}").into();
        while splitter.fill(&mut index, ROWS_AT_A_TIME, &mut misfits) {
            faults.extend(misfits.drain(..).map(RowFault::from));
            faults.extend((0..index.len()).map(|row| RowFault {
                row: None,
                bytes: self.row_bytes(text.bytes, index.row(row, self.names.len())),
                reason: FaultReason::Block(Arc::clone(&held)),
            }));
        }
        faults.sort_by_key(|fault| fault.bytes.start);
        let decoded = Decoded {
            batch: RecordBatch::new_empty(Arc::clone(&self.table.schema)),
            rejected: self.rejected(text, start, line, faults),
            ordinals: self.table.ordinals.then(Vec::new),
            places: None,
            bytes: text.block.stored_bytes,
        };
        (decoded, text.bytes.len())
    }
}

/// Where a step begins, and the number of rejected rows after which it may end.
#[derive(Clone, Copy)]
struct Start {
    start: usize,
    line: u64,
    rejected_max: usize,
}

/// For each row that was split, whether it has no fault; `None` if no row has one.
fn good_rows(rows: usize, faults: &[RowFault]) -> Option<Vec<bool>> {
    let mut at_fault = faults.iter().filter_map(|fault| fault.row).peekable();
    at_fault.peek()?;
    let mut good = vec![true; rows];
    for row in at_fault {
        if let Some(good) = good.get_mut(row) {
            *good = false;
        }
    }
    Some(good)
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

impl From<Misfit> for RowFault {
    fn from(misfit: Misfit) -> Self {
        Self {
            row: None,
            bytes: misfit.bytes,
            reason: FaultReason::Misfit(misfit.why),
        }
    }
}
