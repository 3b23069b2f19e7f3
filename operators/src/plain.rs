//! Columns of the planned types.
//!
//! Where a plan says type `V` a delta may carry `Dictionary(UInt32, V)`: decoders emit texts that repeat so, and
//! expressions of one such column are evaluated a value and not a row at a time. Aggregations and sinks take
//! dictionaries as they are; operators that encode whole rows, and whoever hands rows out, ask for plain columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::take;
use arrow::datatypes::{DataType, Schema, UInt32Type};
use arrow::error::ArrowError;

/// `column` without its dictionary; itself when it has none.
///
/// # Errors
/// When the values cannot be taken.
pub fn plain_column(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match column.as_dictionary_opt::<UInt32Type>() {
        Some(dictionary) => take(dictionary.values(), dictionary.keys(), None),
        None => Ok(Arc::clone(column)),
    }
}

/// `batch` without dictionaries.
///
/// # Errors
/// As [`plain_column`].
pub fn plain(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let is_plain = |column: &ArrayRef| !matches!(column.data_type(), DataType::Dictionary(..));
    if batch.columns().iter().all(is_plain) {
        return Ok(batch.clone());
    }
    let columns = batch.columns().iter().map(plain_column);
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let fields = batch.schema_ref().fields().iter().zip(&columns);
    let fields = fields.map(|(field, column)| {
        let field = field.as_ref().clone();
        field.with_data_type(column.data_type().clone())
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema, columns, &options)
}
