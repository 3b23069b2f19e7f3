//! `top`: `ORDER BY … LIMIT … OFFSET …`, over all rows or within each partition.
//!
//! Values are arranged in window order, so a change costs a walk over the first `offset + limit` rows of the
//! partitions it touches, however many rows follow.

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use timely::dataflow::Stream;
use timely::dataflow::operators::generic::operator;

use crate::exchange_rows::{RowEncoder, arrange_rows, encode_rows};
use crate::group::Group;
use crate::per_key::{Changes, Keeps, Logic, RowError, per_key};
use crate::row_codec::{KeyedCodec, OrderKey, RowCodec, RowDecoder};
use crate::state::Part;
use crate::{Delta, Faults};

/// What [`top`] keeps.
#[derive(Clone, Debug)]
pub struct TopSpec {
    /// Of the input, and of the output.
    pub schema: SchemaRef,
    /// Columns within whose equal values rows are counted; none for all rows together.
    pub partition: Vec<usize>,
    /// First what counts most. Ties go by all columns, left to right, ascending, NULLs first.
    pub order: Vec<OrderKey>,
    /// Rows to skip.
    pub offset: u64,
    /// Rows to keep after them.
    pub limit: u64,
    /// Whether no more than the first row of each partition is kept in the state. For inputs whose rows are never taken
    /// back, with `offset` 0 and `limit` 1: what was superseded does not count again.
    pub forgets: bool,
}

/// Keeps the rows from `offset` on, `limit` at most, of each partition in its order, multiplicities counted.
///
/// A spec that does not fit the schema is a fault, and nothing comes out.
pub fn top<'scope>(
    stream: Stream<'scope, u64, Vec<Delta>>,
    name: &str,
    spec: &TopSpec,
    part: Part,
    faults: Faults,
) -> Stream<'scope, u64, Vec<Delta>> {
    let scope = stream.scope();
    let Some((encoder, decoder)) = faults.catch(name, prepare(spec)) else {
        return operator::empty(scope);
    };
    let end = spec.offset.saturating_add(spec.limit);
    let kept = Kept {
        start: spec.offset,
        end,
    };
    let keeps = if spec.forgets {
        Keeps::First
    } else {
        Keeps::All
    };
    let logic: Logic = Box::new(move |group, changes| kept.change(group, changes));
    let chunks = encode_rows(stream, name, encoder, faults.clone());
    per_key(
        arrange_rows(chunks, name),
        name,
        decoder,
        faults,
        part,
        (end, keeps),
        logic,
    )
}

fn prepare(spec: &TopSpec) -> Result<(RowEncoder, RowDecoder), ArrowError> {
    let codec = KeyedCodec::new(&spec.schema, &spec.partition, &spec.order)?;
    let rows = RowCodec::concat(&[&codec.key, &codec.value])?;
    let decoder = RowDecoder::new(rows, codec.places(), spec.schema.clone())?;
    Ok((
        RowEncoder {
            codec,
            tag: &[],
            drop_null_keys: false,
        },
        decoder,
    ))
}

/// The positions that are kept.
#[derive(Clone, Copy)]
struct Kept {
    start: u64,
    end: u64,
}

impl Kept {
    /// Emits the difference between the rows kept before and after the epoch.
    fn change(self, group: &Group<'_>, changes: &mut Changes<'_>) -> Result<(), RowError> {
        let (mut before, mut after) = (0, 0);
        for entry in group.walk(&[]) {
            if before >= self.end && after >= self.end {
                break;
            }
            let was = self.take(&mut before, entry.before)?;
            let is = self.take(&mut after, entry.after)?;
            changes.push(&[group.key, entry.value], is - was);
        }
        Ok(())
    }

    /// How many of `count` equal rows at `position` are kept; the position moves past them.
    fn take(self, position: &mut u64, count: i64) -> Result<i64, RowError> {
        let start = *position;
        *position = start.saturating_add(u64::try_from(count).map_err(|_| RowError::Negative)?);
        let kept = self
            .end
            .min(*position)
            .saturating_sub(self.start.max(start));
        i64::try_from(kept).map_err(|_| RowError::Negative)
    }
}
