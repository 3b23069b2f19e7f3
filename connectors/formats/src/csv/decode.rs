//! Decodes blocks of a CSV file into Arrow.
//!
//! 1. Every record that is not a blank line is a row of the batch or a rejected row, never both, never neither.
//! 2. A row is rejected for its first fault alone: of structure, else of the first projected column at fault.
//! 3. Rows and rejected rows keep the file's order.
//! 4. Both are the same whether texts come as dictionaries or plain.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use memchr::memchr_iter;

use super::column::{Column, nulls};
use super::dictionary::{Dictionary, Pool};
use super::field::{Build, Rows};
use super::record::Dialect;
use super::split::{Index, Misfit, Splitter};
use crate::schema_of;
use tidewater_contract::source::{DecodeText, Decoded, Rejected, TextBlock};

/// Rows split and then decoded at a time: their bytes and positions stay in a core's cache.
const ROWS_AT_A_TIME: usize = 256;

/// What all files of a source share.
#[derive(Debug)]
pub(super) struct Table {
    pub source: Arc<str>,
    /// The projected columns.
    pub schema: SchemaRef,
    /// The projected columns, in the order of `schema`.
    pub columns: Vec<Column>,
    pub dialect: Dialect,
    /// The unquoted text that means NULL.
    pub null: Vec<u8>,
    /// Whether rows tell their place.
    pub ordinals: bool,
    /// The dictionaries of text columns, where there may be any.
    pub dictionaries: Option<Pool>,
}

/// Decodes the blocks of one file.
pub(super) struct Decoder {
    pub table: Arc<Table>,
    /// The field of each projected column, `None` when the file has none.
    pub fields: Vec<Option<usize>>,
    /// The name of each field, for what is wrong with it.
    pub names: Vec<Arc<str>>,
}

/// A row that is left out.
struct Fault {
    /// Its place among the rows that were split; `None` for a record that is no row.
    row: Option<usize>,
    bytes: Range<usize>,
    column: Option<Arc<str>>,
    reason: String,
}

impl DecodeText for Decoder {
    fn decode(&self, block: &TextBlock) -> Decoded {
        // Texts are tested for UTF-8 a column at a time, and one by one only when that fails.
        let pool = self.table.dictionaries.as_ref();
        let mut dictionaries = pool.map_or_else(Vec::new, |pool| pool.take(self.fields.len()));
        let decoded = self
            .attempt(block, false, &mut dictionaries)
            .or_else(|_| self.attempt(block, true, &mut dictionaries));
        if let Some(pool) = pool {
            pool.put(dictionaries);
        }
        decoded.unwrap_or_else(|error| self.reject_all(block, &error))
    }
}

impl Decoder {
    fn attempt(
        &self,
        block: &TextBlock,
        check_utf8: bool,
        dictionaries: &mut [Dictionary],
    ) -> Result<Decoded, ArrowError> {
        let mut splitter = Splitter::new(&block.bytes, self.table.dialect, self.names.len());
        let (mut index, mut misfits, mut faults) = (Index::default(), Vec::new(), Vec::new());
        let mut columns: Vec<Box<dyn Build + '_>> = Vec::new();
        let mut dictionaries = dictionaries.iter_mut();
        let mut begin = |rows| {
            let column = |column: &Column| column.builder(rows, check_utf8, dictionaries.next());
            self.table.columns.iter().map(column).collect()
        };
        let mut ordinals = self.table.ordinals.then(Vec::new);
        let mut rows = 0;
        while splitter.fill(&mut index, ROWS_AT_A_TIME, &mut misfits) {
            if columns.is_empty() {
                columns = begin(self.expected_rows(&block.bytes, &index));
            }
            faults.extend(misfits.drain(..).map(|misfit| self.fault(misfit)));
            self.take(
                &block.bytes,
                &index,
                splitter.quote(),
                &mut columns,
                rows,
                &mut faults,
            );
            if let Some(ordinals) = &mut ordinals {
                let start = |row| index.row(row, self.names.len()).start;
                ordinals.extend((0..index.len()).map(|row| block.byte_offset + count(start(row))));
            }
            rows += index.len();
        }
        if columns.is_empty() {
            columns = begin(0);
        }
        let arrays = columns
            .into_iter()
            .zip(&self.table.columns)
            .zip(&self.fields)
            .map(|((built, column), field)| {
                if field.is_some() {
                    built.finish()
                } else {
                    Ok(nulls(column, rows))
                }
            });
        let arrays = arrays.collect::<Result<Vec<ArrayRef>, _>>()?;
        faults.sort_by_key(|fault| fault.bytes.start);
        faults.dedup_by_key(|fault| fault.bytes.start);
        let kept = kept(rows, &faults);
        if let (Some(ordinals), Some(kept)) = (&mut ordinals, &kept) {
            let mut kept = kept.iter();
            ordinals.retain(|_| kept.next().is_none_or(|kept| *kept));
        }
        Ok(Decoded {
            batch: self.batch(arrays, rows, kept)?,
            retracted: None,
            rejected: self.rejected(block, faults),
            ordinals,
            bytes: block.stored_bytes,
        })
    }

    /// Decodes the rows of `index`, column by column.
    fn take(
        &self,
        bytes: &[u8],
        index: &Index,
        quote: Option<u8>,
        columns: &mut [Box<dyn Build + '_>],
        rows_before: usize,
        faults: &mut Vec<Fault>,
    ) {
        let rows = Rows {
            bytes,
            index,
            fields: self.names.len(),
            quote,
            null: &self.table.null,
        };
        for ((built, column), field) in columns
            .iter_mut()
            .zip(&self.table.columns)
            .zip(&self.fields)
        {
            let Some(field) = field else { continue };
            built.take(&rows, *field, &mut |row, text, why| {
                if text.is_some() || !column.is_nullable() {
                    let bytes = without_line_end(bytes, index.row(row, rows.fields));
                    let column_name = Some(Arc::clone(&column.name));
                    let reason = column.reason(text, why);
                    faults.push(Fault {
                        row: Some(rows_before + row),
                        bytes,
                        column: column_name,
                        reason,
                    });
                }
            });
        }
    }

    fn fault(&self, misfit: Misfit) -> Fault {
        let column = misfit
            .field
            .and_then(|field| self.names.get(field))
            .filter(|name| !name.is_empty())
            .cloned();
        Fault {
            row: None,
            bytes: misfit.bytes,
            column,
            reason: misfit.reason,
        }
    }

    /// Rows in the block, judged by the first ones and a little more.
    fn expected_rows(&self, bytes: &[u8], first: &Index) -> usize {
        let split = first
            .len()
            .checked_sub(1)
            .map_or(0, |last| first.row(last, self.names.len()).end);
        let estimate = bytes.len() / (split / first.len().max(1)).max(1);
        (estimate + estimate / 16 + 1).min(bytes.len() / self.names.len().max(1) + 1)
    }

    /// The rows that are kept: all, unless it is said which.
    fn batch(
        &self,
        arrays: Vec<ArrayRef>,
        rows: usize,
        kept: Option<Vec<bool>>,
    ) -> Result<RecordBatch, ArrowError> {
        let schema = schema_of(&self.table.schema, &arrays);
        let Some(kept) = kept.filter(|_| !arrays.is_empty()) else {
            // Without columns none of the rows can be at fault.
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            return RecordBatch::try_new_with_options(schema, arrays, &options);
        };
        // A row at fault may hold NULL where none may be: only what is kept must fit the schema.
        let fields = schema.fields().iter();
        let loose = fields.map(|field| field.as_ref().clone().with_nullable(true));
        let loose = Schema::new(loose.collect::<Vec<_>>());
        let all = RecordBatch::try_new(Arc::new(loose), arrays)?;
        let kept = filter_record_batch(&all, &BooleanArray::new(BooleanBuffer::from(kept), None))?;
        RecordBatch::try_new(schema, kept.columns().to_vec())
    }

    /// `faults` in file order, as the quarantine has them.
    fn rejected(&self, block: &TextBlock, faults: Vec<Fault>) -> Vec<Rejected> {
        let (mut line, mut counted) = (block.first_line, 0);
        let mut rejected = Vec::with_capacity(faults.len());
        for fault in faults {
            line += count(
                memchr_iter(
                    b'\n',
                    block
                        .bytes
                        .get(counted..fault.bytes.start)
                        .unwrap_or_default(),
                )
                .count(),
            );
            counted = fault.bytes.start;
            rejected.push(Rejected {
                source: Arc::clone(&self.table.source),
                file: Arc::clone(&block.file),
                line,
                byte_offset: block.byte_offset + count(counted),
                column: fault.column,
                reason: fault.reason,
                raw: String::from_utf8_lossy(block.bytes.get(fault.bytes).unwrap_or_default())
                    .into_owned(),
            });
        }
        rejected
    }

    /// When Arrow takes none of it (a block beyond its limits), no row may be lost.
    fn reject_all(&self, block: &TextBlock, error: &ArrowError) -> Decoded {
        let mut splitter = Splitter::new(&block.bytes, self.table.dialect, self.names.len());
        let (mut index, mut misfits, mut faults) = (Index::default(), Vec::new(), Vec::new());
        while splitter.fill(&mut index, ROWS_AT_A_TIME, &mut misfits) {
            faults.extend(misfits.drain(..).map(|misfit| self.fault(misfit)));
            faults.extend((0..index.len()).map(|row| Fault {
                row: None,
                bytes: without_line_end(&block.bytes, index.row(row, self.names.len())),
                column: None,
                reason: format!("the rows of this block cannot be held: {error}"),
            }));
        }
        faults.sort_by_key(|fault| fault.bytes.start);
        Decoded {
            batch: RecordBatch::new_empty(Arc::clone(&self.table.schema)),
            retracted: None,
            rejected: self.rejected(block, faults),
            ordinals: self.table.ordinals.then(Vec::new),
            bytes: block.stored_bytes,
        }
    }
}

/// Which of the rows that were split are not at fault; `None` when none is.
fn kept(rows: usize, faults: &[Fault]) -> Option<Vec<bool>> {
    let mut at_fault = faults.iter().filter_map(|fault| fault.row).peekable();
    at_fault.peek()?;
    let mut kept = vec![true; rows];
    for row in at_fault {
        if let Some(kept) = kept.get_mut(row) {
            *kept = false;
        }
    }
    Some(kept)
}

fn without_line_end(bytes: &[u8], row: Range<usize>) -> Range<usize> {
    let carriage_return = bytes
        .get(row.clone())
        .is_some_and(|row| row.ends_with(b"\r"));
    row.start..row.end - usize::from(carriage_return)
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
