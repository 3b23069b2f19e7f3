//! The rows of one row group, batch by batch.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use crate::schema_of;
use tidewater_contract::error::SourceError;
use tidewater_contract::source::{Decoded, Rejected};

use super::coded;
use super::convert::Fault;
use super::open::{OpenFile, ParquetInput};

/// Reads one row group; nothing is opened before the first batch is asked for.
pub struct RowGroupPiece<I> {
    file: Arc<OpenFile<I>>,
    row_group: usize,
    /// Row of the file that comes next, from 0.
    next_row: u64,
    /// Row of the file after the last one of this group.
    end_row: u64,
    reader: Option<ParquetRecordBatchReader>,
    finished: bool,
}

impl<I: ParquetInput> RowGroupPiece<I> {
    /// Rows `first_row..first_row + rows` of `file`, which are those of `row_group`.
    pub fn new(file: Arc<OpenFile<I>>, row_group: usize, first_row: u64, rows: u64) -> Self {
        Self {
            file,
            row_group,
            next_row: first_row,
            end_row: first_row + rows,
            reader: None,
            finished: false,
        }
    }

    fn step(&mut self) -> Result<Option<Decoded>, SourceError> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            None => self
                .reader
                .insert(self.file.read_row_group(self.row_group)?),
        };
        let damaged = |error: &dyn std::fmt::Display| self.file.damaged(self.row_group, error);
        let Some(batch) = reader.next().transpose().map_err(|error| damaged(&error))? else {
            let missing = self.end_row - self.next_row;
            if missing > 0 {
                return Err(damaged(&format!(
                    "{missing} rows fewer than its footer says"
                )));
            }
            return Ok(None);
        };
        let (first_row, rows) = (self.next_row, batch.num_rows() as u64);
        if rows > self.end_row - first_row {
            return Err(damaged(&"more rows than its footer says"));
        }
        self.next_row += rows;
        let mut decoded =
            convert(&self.file, &batch, first_row).map_err(|error| damaged(&error))?;
        let group_rows = self.file.row_group_rows(self.row_group).unwrap_or(rows);
        decoded.batch =
            coded::if_worth_it(decoded.batch, group_rows).map_err(|error| damaged(&error))?;
        decoded.bytes =
            bytes_before(&self.file, self.next_row) - bytes_before(&self.file, first_row);
        Ok(Some(decoded))
    }
}

impl<I: ParquetInput> Iterator for RowGroupPiece<I> {
    type Item = Result<Decoded, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let step = self.step().transpose();
        self.finished = !matches!(step, Some(Ok(_)));
        step
    }
}

/// The share of the file's bytes that its rows before `row` take, as if all took the same.
fn bytes_before<I>(file: &OpenFile<I>, row: u64) -> u64 {
    let share = u128::from(file.bytes) * u128::from(row) / u128::from(file.rows.max(1));
    u64::try_from(share).unwrap_or(file.bytes)
}

/// The declared columns of `batch`, without the rows that have a value that does not fit; and those.
fn convert<I>(
    file: &OpenFile<I>,
    batch: &RecordBatch,
    first_row: u64,
) -> Result<Decoded, ArrowError> {
    let (columns, faults) = apply(file, batch)?;
    let mut ordinals: Option<Vec<u64>> = file
        .ordinals
        .then(|| (first_row..).take(batch.num_rows()).collect());
    if faults.is_empty() {
        return Ok(Decoded {
            batch: declared(file, columns, batch.num_rows())?,
            retracted: None,
            rejected: Vec::new(),
            ordinals,
            bytes: 0,
        });
    }
    let mut at_fault = vec![None; batch.num_rows()];
    for (column, fault) in faults.iter().rev() {
        if let Some(row) = at_fault.get_mut(fault.index) {
            *row = Some((*column, fault));
        }
    }
    let kept: BooleanArray = at_fault.iter().map(|fault| Some(fault.is_none())).collect();
    let good = filter_record_batch(batch, &kept)?;
    let (columns, faults) = apply(file, &good)?;
    if let Some((_, fault)) = faults.first() {
        return Err(ArrowError::CastError(fault.reason.clone()));
    }
    let mut rejected = Vec::new();
    for (index, fault) in at_fault.into_iter().enumerate() {
        if let Some((column, fault)) = fault {
            let raw = row_as_json(&batch.slice(index, 1))?;
            rejected.push(reject(
                file,
                column,
                fault,
                first_row + index as u64 + 1,
                raw,
            ));
        }
    }
    if let Some(ordinals) = &mut ordinals {
        let mut kept = kept.values().iter();
        ordinals.retain(|_| kept.next().unwrap_or(true));
    }
    Ok(Decoded {
        batch: declared(file, columns, good.num_rows())?,
        retracted: None,
        rejected,
        ordinals,
        bytes: 0,
    })
}

/// All columns converted, and their faults with the place of the column.
fn apply<I>(
    file: &OpenFile<I>,
    batch: &RecordBatch,
) -> Result<(Vec<ArrayRef>, Vec<(usize, Fault)>), ArrowError> {
    let mut columns = Vec::with_capacity(file.columns.len());
    let mut all_faults = Vec::new();
    for (place, (source, target)) in file.columns.iter().enumerate() {
        let mut faults = Vec::new();
        columns.push(match source {
            Some(index) => target.apply(batch.column(*index), None, &mut faults)?,
            None => target.all_null(batch.num_rows()),
        });
        all_faults.extend(faults.into_iter().map(|fault| (place, fault)));
    }
    Ok((columns, all_faults))
}

fn declared<I>(
    file: &OpenFile<I>,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch, ArrowError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let schema = schema_of(&file.schema, &columns);
    RecordBatch::try_new_with_options(schema, columns, &options)
}

fn reject<I>(file: &OpenFile<I>, column: usize, fault: &Fault, line: u64, raw: String) -> Rejected {
    let path = format!("{}{}", file.schema.field(column).name(), fault.path);
    Rejected {
        source: Arc::clone(&file.source),
        file: Arc::clone(&file.name),
        line,
        byte_offset: 0,
        column: Some(path.into()),
        reason: fault.reason.clone(),
        raw,
    }
}

/// A batch of one row as a JSON object; columns of types that JSON does not know as text.
fn row_as_json(row: &RecordBatch) -> Result<String, ArrowError> {
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, LineDelimited>(Vec::new());
    if writer.write(row).is_ok() && writer.finish().is_ok() {
        let bytes = writer.into_inner();
        return Ok(String::from_utf8_lossy(bytes.trim_ascii_end()).into_owned());
    }
    let options = FormatOptions::default();
    let mut object = serde_json::Map::new();
    for (field, column) in row.schema().fields().iter().zip(row.columns()) {
        let value = ArrayFormatter::try_new(column.as_ref(), &options)?
            .value(0)
            .try_to_string()?;
        object.insert(field.name().clone(), value.into());
    }
    Ok(serde_json::Value::Object(object).to_string())
}
