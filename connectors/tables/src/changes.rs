//! Writes an epoch's net changes to a file.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::basic::Compression;

use super::files::encode_error;
use super::hive::with_partition_columns;
use super::layout::Layout;
use super::merge::Merge;
use super::run::{Run, row_count};
use super::write::partitions;
use tidewater_contract::disk::{self, DiskFile};
use tidewater_contract::sink::{EncodeRows, Encoding, SinkError, TableSpec};
use tidewater_formats::parquet::encode::{
    DEFAULT_ROW_GROUP_ROWS, ParquetEncoder, ParquetWriteOptions,
};

/// The column with the number of times that a row was inserted (positive) or deleted (negative).
const COUNT: &str = "_count";

/// Writes the net changes in `runs` to the Parquet file `path`: all columns of the table in order, then `_count`.
/// Each row occurs once; partitions follow one another, each in canonical order. Returns the number of rows. Runs are
/// handles, so clones of those that go to [`stage_changes`](crate::stage_changes) suffice. The file is durable once
/// it is [synced](crate::sync_all).
///
/// # Errors
/// When a run cannot be read, or the file cannot be written.
pub fn write_changes(path: &Path, spec: &Arc<TableSpec>, runs: &[Run]) -> Result<u64, SinkError> {
    let layout = Layout::new(Arc::clone(spec))?;
    let mut fields = layout.stored.fields().to_vec();
    fields.push(Arc::new(Field::new(COUNT, DataType::Int64, true)));
    let schema = Arc::new(Schema::new(fields));
    disk::remove_file(path).map_err(SinkError::io("remove", path))?;
    let file = DiskFile::create_new(path).map_err(SinkError::io("create the file", path))?;
    let options = ParquetWriteOptions {
        compression: Compression::SNAPPY,
        row_group_rows: DEFAULT_ROW_GROUP_ROWS,
        // A text table may have finer timestamps than other readers of Parquet support.
        exact: !matches!(spec.encoding, Encoding::Parquet { .. }),
    };
    let failed = |error| encode_error(&layout, path, error);
    let mut encoder = Box::new(ParquetEncoder::new(file, &schema, options).map_err(failed)?);
    let mut rows = 0;
    for (key, segments) in partitions(&layout, runs.to_vec(), false, false)? {
        let values = layout.partition_values(&key)?;
        let mut merge = Merge::new(&layout, segments)?;
        while let Some(changes) = merge.next_change()? {
            let whole = with_partition_columns(&layout, &values, &changes.batch);
            let whole = whole.map_err(|source| layout.sort_error(source))?;
            let mut columns = whole.columns().to_vec();
            columns.extend(changes.counts.map(|counts| Arc::new(counts) as ArrayRef));
            let batch = RecordBatch::try_new(Arc::clone(&schema), columns);
            let batch = batch.map_err(|source| layout.sort_error(source))?;
            encoder.write(&batch).map_err(failed)?;
            rows += row_count(&batch);
        }
    }
    encoder.finish().map_err(failed)?;
    Ok(rows)
}
