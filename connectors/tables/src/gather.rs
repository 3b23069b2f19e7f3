//! Picks rows out of several batches.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, RecordBatch};
use arrow::compute::{concat, interleave};
use arrow::datatypes::{SchemaRef, UInt32Type};
use arrow::error::ArrowError;

/// If stretches have fewer rows than this on average, rows are picked one by one.
const STRETCH_ROWS_MIN: usize = 16;

/// The rows at `picks`, `(source, row)` each, in that order. Rows that follow each other in their source are copied as
/// one stretch. Columns are of one type in all sources; those that are codes are of one dictionary.
pub(super) fn gather(
    schema: &SchemaRef,
    sources: &[&RecordBatch],
    picks: &[(usize, usize)],
) -> Result<RecordBatch, ArrowError> {
    if picks.is_empty() {
        return Ok(RecordBatch::new_empty(Arc::clone(schema)));
    }
    let schema = sources
        .first()
        .map_or_else(|| Arc::clone(schema), |source| source.schema());
    let follows = |a: &(usize, usize), b: &(usize, usize)| a.0 == b.0 && a.1 + 1 == b.1;
    let stretches: Vec<_> = picks.chunk_by(follows).collect();
    if let [one] = stretches.as_slice() {
        return Ok(sources[one[0].0].slice(one[0].1, one.len()));
    }
    let one_by_one = stretches.len() * STRETCH_ROWS_MIN > picks.len();
    let column = |at: usize| {
        let columns: Vec<&ArrayRef> = sources.iter().map(|source| source.column(at)).collect();
        let coded = columns.iter().map(|c| c.as_dictionary_opt::<UInt32Type>());
        let Some(coded) = coded.collect::<Option<Vec<_>>>() else {
            let columns: Vec<&dyn Array> = columns
                .iter()
                .map(|column| AsRef::as_ref(*column))
                .collect();
            return picked(&columns, picks, &stretches, one_by_one);
        };
        let codes: Vec<&dyn Array> = coded.iter().map(|coded| coded.keys() as _).collect();
        let codes = picked(&codes, picks, &stretches, one_by_one)?;
        let codes = codes.as_primitive::<UInt32Type>().clone();
        let coded = DictionaryArray::try_new(codes, Arc::clone(coded[0].values()))?;
        Ok(Arc::new(coded) as ArrayRef)
    };
    let columns = (0..schema.fields().len()).map(column);
    let columns = columns.collect::<Result<_, _>>()?;
    RecordBatch::try_new(schema, columns)
}

/// The rows of one column.
fn picked(
    columns: &[&dyn Array],
    picks: &[(usize, usize)],
    stretches: &[&[(usize, usize)]],
    one_by_one: bool,
) -> Result<ArrayRef, ArrowError> {
    if one_by_one {
        return interleave(columns, picks);
    }
    let slices = stretches.iter();
    let slices: Vec<ArrayRef> = slices
        .map(|picks| columns[picks[0].0].slice(picks[0].1, picks.len()))
        .collect();
    let slices: Vec<&dyn Array> = slices.iter().map(AsRef::as_ref).collect();
    concat(&slices)
}
