//! Picks rows out of several batches.

use arrow::array::RecordBatch;
use arrow::compute::{concat_batches, interleave_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

/// Stretches of fewer rows on average are picked one by one.
const STRETCH_ROWS_MIN: usize = 16;

/// The rows at `picks`, `(source, row)` each, in that order. Rows that follow each other in their source are copied as
/// one stretch.
pub(super) fn gather(
    schema: &SchemaRef,
    sources: &[&RecordBatch],
    picks: &[(usize, usize)],
) -> Result<RecordBatch, ArrowError> {
    let follows = |a: &(usize, usize), b: &(usize, usize)| a.0 == b.0 && a.1 + 1 == b.1;
    let stretches = || picks.chunk_by(follows);
    let count = stretches().count();
    if count == 0 {
        return Ok(RecordBatch::new_empty(schema.clone()));
    }
    if count * STRETCH_ROWS_MIN > picks.len() && count > 1 {
        return interleave_record_batch(sources, picks);
    }
    let slices: Vec<RecordBatch> = stretches()
        .map(|picks| sources[picks[0].0].slice(picks[0].1, picks.len()))
        .collect();
    match slices.as_slice() {
        [one] => Ok(one.clone()),
        several => concat_batches(schema, several),
    }
}
