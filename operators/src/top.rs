//! `top`: `ORDER BY … LIMIT … OFFSET …`, over all rows or within each partition.
//!
//! Values are arranged in window order, so a change costs a walk over the first `offset + limit` rows of the partitions that
//! it changes, however many rows follow.

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use crate::exchange_rows::RowEncoder;
use crate::key_rows::KeyRows;
use crate::per_key::{KeyedOperator, RowChanges, RowError, StoredRows, per_key};
use crate::row_codec::{KeyedCodec, OrderKey, RowDecoder};
use crate::state::StateHandle;
use crate::{DeltaStream, Faults};

/// The specification of a [`top`] operator.
#[derive(Clone, Debug)]
pub struct TopSpec {
    /// The schema of the input and the output.
    pub schema: SchemaRef,
    /// The columns to partition by; without any, all rows are one partition.
    pub partition: Vec<usize>,
    /// The order. Ties are ordered by all columns, left to right, ascending, NULLs first.
    pub order: Vec<OrderKey>,
    /// Rows to skip in each partition.
    pub offset: u64,
    /// Maximum rows of each partition after those.
    pub limit: u64,
    /// Whether the state stores only the first row of each partition. For inputs without retractions, with `offset` 0 and
    /// `limit` 1: a row that was superseded is never needed again.
    pub forgets: bool,
}

/// Selects the rows from `offset` on, at most `limit`, of each partition in its order. Copies of a row count separately.
///
/// A spec that does not fit the schema is a fault, and nothing is emitted.
pub fn top<'scope>(
    stream: DeltaStream<'scope>,
    name: &str,
    spec: &TopSpec,
    state: StateHandle,
    faults: Faults,
) -> DeltaStream<'scope> {
    per_key(vec![stream], name, operator(spec), state, faults)
}

fn operator(spec: &TopSpec) -> Result<KeyedOperator, ArrowError> {
    let codec = KeyedCodec::new(&spec.schema, &spec.partition, &spec.order)?;
    let decoder = RowDecoder::new(codec.row_codec()?, codec.places(), spec.schema.clone())?;
    let selected = TopRange {
        start: spec.offset,
        end: spec.offset.saturating_add(spec.limit),
    };
    Ok(KeyedOperator {
        encoders: vec![RowEncoder::untagged(codec)],
        decoder,
        reach: selected.end,
        stored: if spec.forgets {
            StoredRows::First
        } else {
            StoredRows::All
        },
        logic: Box::new(move |rows, changes| selected.emit(rows, changes)),
    })
}

/// The positions that are selected.
#[derive(Clone, Copy)]
struct TopRange {
    start: u64,
    end: u64,
}

impl TopRange {
    /// Emits the difference between the rows selected before and after the epoch.
    fn emit(self, partition: &KeyRows<'_>, changes: &mut RowChanges<'_>) -> Result<(), RowError> {
        let (mut before, mut after) = (0, 0);
        for row in partition.walk(&[]) {
            if before >= self.end && after >= self.end {
                break;
            }
            let was = self.select(&mut before, row.before)?;
            let is = self.select(&mut after, row.after)?;
            changes.push(&[partition.key, row.value], is - was);
        }
        Ok(())
    }

    /// The number of selected rows among `count` equal rows at `position`, which moves past them.
    fn select(self, position: &mut u64, count: i64) -> Result<i64, RowError> {
        let start = *position;
        let count = u64::try_from(count).map_err(|_| RowError::NegativeCount)?;
        *position = start.saturating_add(count);
        let selected = self
            .end
            .min(*position)
            .saturating_sub(self.start.max(start));
        i64::try_from(selected).map_err(|_| RowError::NegativeCount)
    }
}
