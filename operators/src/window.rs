//! `window`: functions over the ordered rows of a partition.
//!
//! A touched partition is evaluated as it was before the epoch and as it is after it, and the difference is emitted;
//! so the state is the input alone, and rows whose result stays are not emitted.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use timely::dataflow::Stream;
use timely::dataflow::operators::generic::operator;

use crate::exchange_rows::{RowEncoder, arrange_rows, encode_rows};
use crate::group::{Entry, Group};
use crate::per_key::{Changes, Keeps, Logic, RowError, per_key};
use crate::row_codec::{EncodedRows, KeyedCodec, OrderKey, RowBuffer, RowCodec, RowDecoder};
use crate::state::Part;
use crate::{Delta, Faults};

/// Computes the window columns of one partition, given its rows in window order.
pub type Evaluate =
    Arc<dyn Fn(&RecordBatch) -> Result<Vec<ArrayRef>, Box<dyn Error + Send + Sync>> + Send + Sync>;

/// What [`window`] computes.
#[derive(Clone)]
pub struct WindowSpec {
    /// Of the input.
    pub input: SchemaRef,
    /// Columns whose equal values make a partition; none for all rows together.
    pub partition: Vec<usize>,
    /// The window's order. Ties go by all columns, left to right, ascending, NULLs first.
    pub order: Vec<OrderKey>,
    /// Computes the columns that follow the input's; must be a function of its argument alone.
    pub evaluate: Evaluate,
    /// The input's columns, then the window columns.
    pub output: SchemaRef,
}

impl fmt::Debug for WindowSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            partition,
            order,
            output,
            ..
        } = self;
        f.debug_struct("WindowSpec")
            .field("partition", partition)
            .field("order", order)
            .field("output", output)
            .finish_non_exhaustive()
    }
}

/// Appends window columns to the rows of each partition.
///
/// A spec that does not fit the schema is a fault, and nothing comes out.
pub fn window<'scope>(
    stream: Stream<'scope, u64, Vec<Delta>>,
    name: &str,
    spec: &WindowSpec,
    part: Part,
    faults: Faults,
) -> Stream<'scope, u64, Vec<Delta>> {
    let scope = stream.scope();
    let Some((encoder, evaluator, decoder)) = faults.catch(name, prepare(spec)) else {
        return operator::empty(scope);
    };
    let logic: Logic = Box::new(move |group, changes| evaluator.change(group, changes));
    let chunks = encode_rows(stream, name, encoder, faults.clone());
    per_key(
        arrange_rows(chunks, name),
        name,
        decoder,
        faults,
        part,
        (u64::MAX, Keeps::All),
        logic,
    )
}

fn prepare(spec: &WindowSpec) -> Result<(RowEncoder, Evaluator, RowDecoder), ArrowError> {
    let codec = KeyedCodec::new(&spec.input, &spec.partition, &spec.order)?;
    let rows = RowCodec::concat(&[&codec.key, &codec.value])?;
    let columns = spec.input.fields().len();
    let appended = spec.output.fields().iter().skip(columns);
    let results = RowCodec::new(
        appended
            .map(|field| (field.data_type().clone(), SortOptions::default()))
            .collect(),
    )?;
    let whole = RowCodec::concat(&[&rows, &results])?;
    let places = codec
        .places()
        .into_iter()
        .chain(columns..spec.output.fields().len())
        .collect();
    let decoder = RowDecoder::new(whole, places, spec.output.clone())?;
    let input = RowDecoder::new(rows, codec.places(), spec.input.clone())?;
    let evaluator = Evaluator {
        input,
        results,
        evaluate: Arc::clone(&spec.evaluate),
    };
    Ok((
        RowEncoder {
            codec,
            tag: &[],
            drop_null_keys: false,
        },
        evaluator,
        decoder,
    ))
}

struct Evaluator {
    input: RowDecoder,
    evaluate: Evaluate,
    results: RowCodec,
}

impl Evaluator {
    /// Emits the difference between the partition before and after the epoch.
    fn change(&self, group: &Group<'_>, changes: &mut Changes<'_>) -> Result<(), RowError> {
        let entries: Vec<_> = group.walk(&[]).collect();
        let before = self.results(group.key, &entries, |entry| entry.before)?;
        let after = self.results(group.key, &entries, |entry| entry.after)?;
        let (mut old, mut new) = (0, 0);
        for entry in &entries {
            let was = old..old + count(entry.before)?;
            let is = new..new + count(entry.after)?;
            (old, new) = (was.end, is.end);
            if was.len() == 1 && is.len() == 1 && before.get(was.start) == after.get(is.start) {
                continue;
            }
            // Equal rows may have results of their own (row_number), which only count together.
            let retracted = was.map(|row| (before.get(row), -1));
            let mut results: Vec<_> = retracted.chain(is.map(|row| (after.get(row), 1))).collect();
            results.sort_unstable();
            for same in results.chunk_by(|one, other| one.0 == other.0) {
                let diff = same.iter().map(|(_, diff)| diff).sum();
                changes.push(&[group.key, entry.value, same[0].0], diff);
            }
        }
        Ok(())
    }

    /// The encoded window columns of the rows, each entry's as many times as `times` says.
    fn results(
        &self,
        key: &[u8],
        entries: &[Entry<'_>],
        times: impl Fn(&Entry<'_>) -> i64,
    ) -> Result<EncodedRows, RowError> {
        let mut rows = RowBuffer::default();
        for entry in entries {
            rows.push(&[key, entry.value], count(times(entry))?);
        }
        if rows.is_empty() {
            return Ok(EncodedRows::default());
        }
        let columns = (self.evaluate)(&self.input.decode(&rows)?).map_err(RowError::Expression)?;
        match columns.iter().find(|column| column.len() != rows.len()) {
            Some(column) => {
                let (have, want) = (column.len(), rows.len());
                Err(ArrowError::ComputeError(format!(
                    "a window column has {have} values for {want} rows"
                ))
                .into())
            }
            None => Ok(self.results.encode(&columns)?),
        }
    }
}

fn count(times: i64) -> Result<usize, RowError> {
    usize::try_from(times).map_err(|_| RowError::Negative)
}
