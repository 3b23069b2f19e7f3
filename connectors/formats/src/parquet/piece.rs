//! The rows of one row group, batch by batch.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;

use crate::row_json::row_as_json;
use crate::schema_of;
use tidewater_contract::error::SourceError;
use tidewater_contract::source::{Decoded, Rejected};

use super::coded;
use super::columns::{GroupColumn, GroupColumns};
use super::open::{ParquetFile, ParquetInput, RowGroupBatches};
use super::values::UnfitValue;

/// Reads one row group. Nothing is opened before the first batch is requested.
pub struct RowGroupPiece<I> {
    file: Arc<ParquetFile<I>>,
    row_group: usize,
    /// The next row of the file, from 0.
    next_row: u64,
    /// The row of the file after the last one of this group.
    end_row: u64,
    opened: Option<OpenRowGroup>,
    finished: bool,
}

/// A row group that is being read.
struct OpenRowGroup {
    columns: GroupColumns,
    batches: RowGroupBatches,
}

impl<I: ParquetInput> RowGroupPiece<I> {
    /// The piece for `row_group`, with the rows `first_row..first_row + rows` of `file`.
    pub fn new(file: Arc<ParquetFile<I>>, row_group: usize, first_row: u64, rows: u64) -> Self {
        Self {
            file,
            row_group,
            next_row: first_row,
            end_row: first_row + rows,
            opened: None,
            finished: false,
        }
    }

    fn open(&self) -> Result<OpenRowGroup, SourceError> {
        let columns = self.file.group_columns(self.row_group);
        let columns =
            columns.ok_or_else(|| self.file.damaged(self.row_group, &"it is not in the file"))?;
        let batches = self.file.read_row_group(self.row_group, &columns)?;
        Ok(OpenRowGroup { columns, batches })
    }

    fn step(&mut self) -> Result<Option<Decoded>, SourceError> {
        if self.opened.is_none() {
            self.opened = Some(self.open()?);
        }
        let Some(OpenRowGroup { columns, batches }) = &mut self.opened else {
            return Ok(None);
        };
        let damaged = |error: &dyn std::fmt::Display| self.file.damaged(self.row_group, error);
        let Some(batch) = batches
            .next()
            .transpose()
            .map_err(|error| damaged(&error))?
        else {
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
            convert(&self.file, columns, &batch, first_row).map_err(|error| damaged(&error))?;
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

/// The bytes of the rows before `row`, if all rows had the same size.
fn bytes_before<I>(file: &ParquetFile<I>, row: u64) -> u64 {
    let share = u128::from(file.bytes) * u128::from(row) / u128::from(file.rows.max(1));
    u64::try_from(share).unwrap_or(file.bytes)
}

/// The columns of `batch` that the job reads, without rows that have a bad value, and those rows.
fn convert<I>(
    file: &ParquetFile<I>,
    columns: &GroupColumns,
    batch: &RecordBatch,
    first_row: u64,
) -> Result<Decoded, ArrowError> {
    let (read, bad) = apply(file, columns, batch)?;
    let mut ordinals: Option<Vec<u64>> = file
        .ordinals
        .then(|| (first_row..).take(batch.num_rows()).collect());
    if bad.is_empty() {
        return Ok(Decoded {
            batch: declared(file, read, batch.num_rows())?,
            rejected: Vec::new(),
            ordinals,
            places: None,
            bytes: 0,
        });
    }
    let mut first_bad = vec![None; batch.num_rows()];
    for value in bad.iter().rev() {
        if let Some(row) = first_bad.get_mut(value.index) {
            *row = Some(value);
        }
    }
    let is_good: BooleanArray = first_bad.iter().map(|bad| Some(bad.is_none())).collect();
    let good = filter_record_batch(batch, &is_good)?;
    let (read, bad) = apply(file, columns, &good)?;
    if let Some(value) = bad.first() {
        return Err(ArrowError::CastError(value.reason.clone()));
    }
    let mut rejected = Vec::new();
    for (index, value) in first_bad.into_iter().enumerate() {
        if let Some(value) = value {
            let raw = row_as_json(&batch.slice(index, 1))?;
            rejected.push(reject(file, value, first_row + index as u64 + 1, raw));
        }
    }
    if let Some(ordinals) = &mut ordinals {
        let mut is_good = is_good.values().iter();
        ordinals.retain(|_| is_good.next().unwrap_or(true));
    }
    Ok(Decoded {
        batch: declared(file, read, good.num_rows())?,
        rejected,
        ordinals,
        places: None,
        bytes: 0,
    })
}

/// The converted columns that the job reads, and the bad values of all columns, whose paths begin with the column's
/// name.
fn apply<I>(
    file: &ParquetFile<I>,
    columns: &GroupColumns,
    batch: &RecordBatch,
) -> Result<(Vec<ArrayRef>, Vec<UnfitValue>), ArrowError> {
    let mut read = Vec::with_capacity(file.schema.fields().len());
    let mut all_bad = Vec::new();
    for GroupColumn { place, column } in &columns.columns {
        let Some(column) = file.columns.get(*column) else {
            continue;
        };
        let conversion = &column.conversion;
        let mut bad = Vec::new();
        let array = match place {
            Some(place) => conversion.apply(batch.column(*place), None, &mut bad)?,
            None => conversion.all_null(batch.num_rows()),
        };
        for value in &mut bad {
            value.path.insert_str(0, conversion.field.name());
        }
        all_bad.append(&mut bad);
        if column.is_read {
            read.push(array);
        }
    }
    Ok((read, all_bad))
}

fn declared<I>(
    file: &ParquetFile<I>,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch, ArrowError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let schema = schema_of(&file.schema, &columns);
    RecordBatch::try_new_with_options(schema, columns, &options)
}

fn reject<I>(file: &ParquetFile<I>, value: &UnfitValue, line: u64, raw: String) -> Rejected {
    Rejected {
        source: Arc::clone(&file.source),
        file: Arc::clone(&file.name),
        line,
        byte_offset: 0,
        column: Some(value.path.as_str().into()),
        reason: value.reason.clone(),
        raw,
    }
}
