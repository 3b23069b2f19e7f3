//! Plain columns from dictionary columns.
//!
//! Where a plan has the type `V`, a delta may have `Dictionary(UInt32, V)`. Decoders emit repeated strings this way,
//! so an expression over one such column is evaluated once a value and not once a row. Aggregations and sinks accept
//! dictionaries; operators that encode whole rows convert them to plain columns first.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::take;
use arrow::datatypes::{DataType, Schema, UInt32Type};
use arrow::error::ArrowError;

/// `column` without dictionary encoding.
///
/// # Errors
/// When the values cannot be taken.
pub fn plain_column(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match column.as_dictionary_opt::<UInt32Type>() {
        Some(dictionary) => take(dictionary.values(), dictionary.keys(), None),
        None => Ok(Arc::clone(column)),
    }
}

/// `batch` without dictionary encoding.
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
