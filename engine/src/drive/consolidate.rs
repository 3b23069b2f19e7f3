//! Consolidates the deltas of all workers into the net change: each row once, with its count.

use std::collections::BTreeMap;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use tidewater_operators::Delta;
use tidewater_operators::plain::plain;

/// The rows that `deltas` insert and those that they retract, net, in canonical order: `(batch, 1)` and `(batch,
/// -1)`, each left out if empty.
///
/// # Errors
/// When rows cannot be encoded.
pub fn consolidate(
    schema: &SchemaRef,
    deltas: &[Delta],
) -> Result<Vec<(RecordBatch, i64)>, ArrowError> {
    if schema.fields().is_empty() {
        return Ok(count_only(schema, deltas)?.into_iter().collect());
    }
    let converter = RowConverter::new(
        schema
            .fields()
            .iter()
            .map(|f| SortField::new(f.data_type().clone()))
            .collect(),
    )?;
    let mut counts: BTreeMap<Box<[u8]>, i64> = BTreeMap::new();
    for Delta { batch, sign } in deltas {
        for row in &converter.convert_columns(plain(batch)?.columns())? {
            *counts.entry(row.data().into()).or_insert(0) += sign.diff();
        }
    }
    let parser = converter.parser();
    let mut changes = Vec::new();
    for sign in [1, -1] {
        let rows = counts.iter().flat_map(|(row, &count)| {
            let times = usize::try_from(count * sign).unwrap_or(0);
            std::iter::repeat_n(parser.parse(row), times)
        });
        let columns = converter.convert_rows(rows)?;
        if columns.first().is_some_and(|column| !column.is_empty()) {
            changes.push((RecordBatch::try_new(schema.clone(), columns)?, sign));
        }
    }
    Ok(changes)
}

fn count_only(
    schema: &SchemaRef,
    deltas: &[Delta],
) -> Result<Option<(RecordBatch, i64)>, ArrowError> {
    let rows = |delta: &Delta| {
        i64::try_from(delta.batch.num_rows()).unwrap_or(i64::MAX) * delta.sign.diff()
    };
    let count: i64 = deltas.iter().map(rows).sum();
    if count == 0 {
        return Ok(None);
    }
    let rows = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(Some((
        RecordBatch::try_new_with_options(schema.clone(), Vec::new(), &options)?,
        count.signum(),
    )))
}
