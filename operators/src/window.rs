//! `window`: window functions over the ordered rows of a partition.
//!
//! A changed partition is evaluated as it was before the epoch and as it is after it, and the difference is emitted. So the
//! state is the input alone, and rows whose results stay the same are not emitted.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use crate::exchange_rows::RowEncoder;
use crate::key_rows::{KeyRow, KeyRows};
use crate::per_key::{KeyedOperator, RowChanges, RowError, StoredRows, per_key};
use crate::row_codec::{EncodedRows, KeyedCodec, OrderKey, RowBuffer, RowCodec, RowDecoder};
use crate::state::StateHandle;
use crate::{DeltaStream, Faults};

/// Computes the window columns of one partition from its rows in window order.
pub type Evaluate =
    Arc<dyn Fn(&RecordBatch) -> Result<Vec<ArrayRef>, Box<dyn Error + Send + Sync>> + Send + Sync>;

/// The specification of a [`window`] operator.
#[derive(Clone)]
pub struct WindowSpec {
    /// The input's schema.
    pub input: SchemaRef,
    /// The columns to partition by; without any, all rows are one partition.
    pub partition: Vec<usize>,
    /// The window's order. Ties are ordered by all columns, left to right, ascending, NULLs first.
    pub order: Vec<OrderKey>,
    /// Computes the columns that follow the input's; must depend on its argument alone.
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
/// A spec that does not fit the schema is a fault, and nothing is emitted.
pub fn window<'scope>(
    stream: DeltaStream<'scope>,
    name: &str,
    spec: &WindowSpec,
    state: StateHandle,
    faults: Faults,
) -> DeltaStream<'scope> {
    per_key(vec![stream], name, operator(spec), state, faults)
}

fn operator(spec: &WindowSpec) -> Result<KeyedOperator, ArrowError> {
    let codec = KeyedCodec::new(&spec.input, &spec.partition, &spec.order)?;
    let rows = codec.row_codec()?;
    let width = codec.width();
    let appended = spec.output.fields().iter().skip(width);
    let results = RowCodec::new(
        appended
            .map(|field| (field.data_type().clone(), SortOptions::default()))
            .collect(),
    )?;
    let whole = RowCodec::concat(&[&rows, &results])?;
    let places = codec
        .places()
        .into_iter()
        .chain(width..spec.output.fields().len())
        .collect();
    let evaluator = Evaluator {
        input: RowDecoder::new(rows, codec.places(), spec.input.clone())?,
        results,
        evaluate: Arc::clone(&spec.evaluate),
    };
    Ok(KeyedOperator {
        encoders: vec![RowEncoder::untagged(codec)],
        decoder: RowDecoder::new(whole, places, spec.output.clone())?,
        reach: u64::MAX,
        stored: StoredRows::All,
        logic: Box::new(move |rows, changes| evaluator.emit(rows, changes)),
    })
}

struct Evaluator {
    /// Decodes rows of the input.
    input: RowDecoder,
    evaluate: Evaluate,
    /// Encodes the window columns.
    results: RowCodec,
}

impl Evaluator {
    /// Emits the difference between the partition before and after the epoch.
    fn emit(&self, partition: &KeyRows<'_>, changes: &mut RowChanges<'_>) -> Result<(), RowError> {
        let rows: Vec<_> = partition.walk(&[]).collect();
        let before = self.results(partition.key, &rows, |row| row.before)?;
        let after = self.results(partition.key, &rows, |row| row.after)?;
        let (mut old, mut new) = (0, 0);
        for row in &rows {
            let was = old..old + count(row.before)?;
            let is = new..new + count(row.after)?;
            (old, new) = (was.end, is.end);
            if was.len() == 1 && is.len() == 1 && before.get(was.start) == after.get(is.start) {
                continue;
            }
            // Equal rows may have different results (row_number), which are compared as a multiset.
            let retracted = was.map(|at| (before.get(at), -1));
            let mut results: Vec<_> = retracted.chain(is.map(|at| (after.get(at), 1))).collect();
            results.sort_unstable();
            for same in results.chunk_by(|one, other| one.0 == other.0) {
                let diff = same.iter().map(|(_, diff)| diff).sum();
                changes.push(&[partition.key, row.value, same[0].0], diff);
            }
        }
        Ok(())
    }

    /// The encoded window columns of a partition in which each row occurs `count_of` times.
    fn results(
        &self,
        key: &[u8],
        rows: &[KeyRow<'_>],
        count_of: impl Fn(&KeyRow<'_>) -> i64,
    ) -> Result<EncodedRows, RowError> {
        let mut buffer = RowBuffer::default();
        for row in rows {
            buffer.push(&[key, row.value], count(count_of(row))?);
        }
        if buffer.is_empty() {
            return Ok(EncodedRows::default());
        }
        let partition = self.input.decode(&buffer)?;
        let columns = (self.evaluate)(&partition).map_err(RowError::Expression)?;
        match columns.iter().find(|column| column.len() != buffer.len()) {
            Some(column) => {
                let (have, want) = (column.len(), buffer.len());
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
    usize::try_from(times).map_err(|_| RowError::NegativeCount)
}
