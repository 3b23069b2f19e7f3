//! The rows of a small table in memory.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;

use super::hive::with_partition_columns;
use super::layout::Layout;
use super::merge::Merge;
use super::run::Run;
use super::write::partitions;
use tidewater_contract::sink::{SinkError, TableSpec};

/// The rows that the changes in `runs` add up to, in canonical order.
///
/// # Errors
/// When a run cannot be read, or a row is retracted more often than inserted.
pub fn rows_of(spec: &Arc<TableSpec>, runs: Vec<Run>) -> Result<RecordBatch, SinkError> {
    let layout = Layout::new(Arc::clone(spec))?;
    let failed = |source| layout.sort_error(source);
    let mut batches = Vec::new();
    for (key, segments) in partitions(&layout, runs, false, false)? {
        let values = layout.partition_values(&key)?;
        let mut merge = Merge::new(&layout, segments)?;
        while let Some(batch) = merge.next_batch()? {
            batches.push(with_partition_columns(&layout, &values, &batch).map_err(failed)?);
        }
    }
    let schema = batches
        .first()
        .map_or_else(|| Arc::clone(&spec.schema), RecordBatch::schema);
    concat_batches(&schema, &batches).map_err(failed)
}
