//! `extremes`: the first value of each group, for `min` and (with values encoded in descending order) `max`.
//!
//! The pairs are sorted by group and value, so the first value is found by one seek: the cost follows the change and
//! not the size of the group.

use std::cell::RefCell;
use std::rc::Rc;

use arrow::datatypes::DataType;
use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::trace::{BatchReader, Cursor, Navigable, TraceReader};
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::progress::Antichain;

use super::arrange::{Pair, PairTrace, Values};
use super::kept_pairs::NotedValues;
use super::keys::{owner, untag};
use super::parcel::{Bests, Parcel};
use super::partial::AggregateError;
use crate::Faults;
use crate::dictionary::Dictionary;
use crate::hash::hash;
use crate::row::Row;
use crate::state::{Kept, KeptCursor, Part, StateError};

/// Values of `min` and `max`: in the order of their bytes, whatever they are kept as.
pub trait Ordered: Values {
    /// The least value, or one before it.
    const LEAST: Self::Value;

    /// The value of some bytes; none when they are not of one.
    fn read(bytes: &[u8]) -> Option<Self::Value>;

    /// Appends the value's bytes.
    fn write(value: &Self::Value, bytes: &mut Vec<u8>);
}

/// Values of any type, as their own order-preserving bytes.
pub struct AsBytes;

impl Ordered for AsBytes {
    const LEAST: Row = Row::EMPTY;

    fn read(bytes: &[u8]) -> Option<Row> {
        Some(Row::from(bytes))
    }

    fn write(value: &Row, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(value.as_bytes());
    }
}

/// Values of eight bytes, as one number: a pair is sorted by digits then, and takes a third of the memory.
pub struct AsNumber;

/// What precedes the bytes of a value that is not NULL in Arrow's row format; NULL is never arranged.
const PRESENT: u8 = 1;

impl AsNumber {
    /// Whether values of that type are eight bytes.
    pub fn holds(data_type: &DataType) -> bool {
        matches!(
            data_type,
            DataType::Int64
                | DataType::UInt64
                | DataType::Float64
                | DataType::Timestamp(..)
                | DataType::Date64
                | DataType::Time64(_)
                | DataType::Decimal64(..)
        )
    }
}

impl Ordered for AsNumber {
    const LEAST: u64 = 0;

    fn read(bytes: &[u8]) -> Option<u64> {
        let (&PRESENT, value) = bytes.split_first()? else {
            return None;
        };
        value.try_into().ok().map(u64::from_be_bytes)
    }

    fn write(value: &u64, bytes: &mut Vec<u8>) {
        bytes.push(PRESENT);
        bytes.extend_from_slice(&value.to_be_bytes());
    }
}

impl Values for AsBytes {
    type Value = Row;

    fn value(&mut self, bytes: &[u8]) -> Result<Row, AggregateError> {
        Ok(Row::from(bytes))
    }
}

impl Values for AsNumber {
    type Value = u64;

    fn value(&mut self, bytes: &[u8]) -> Result<u64, AggregateError> {
        Self::read(bytes).ok_or(AggregateError::ValueBytes(bytes.len()))
    }
}

/// Tells the first value of every group whose pairs changed.
pub fn extremes<'scope, O: Ordered>(
    pairs: Arranged<'scope, PairTrace<O::Value>>,
    name: &str,
    faults: Faults,
    groups: Rc<RefCell<Dictionary>>,
    part: Part,
) -> Stream<'scope, u64, Vec<Parcel<Bests>>> {
    let Arranged { stream, mut trace } = pairs;
    let peers = stream.scope().peers();
    let operator = format!("{name}: extremes");
    stream.unary_frontier(Pipeline, &operator.clone(), move |_, _| {
        let mut upper = Antichain::from_elem(0);
        move |(input, _), output| {
            input.for_each(|capability, batches| {
                for batch in batches.drain(..).filter(|batch| !batch.is_empty()) {
                    upper.clone_from(batch.upper());
                    part.note(|| {
                        Box::new(NotedValues::<O> {
                            batch: batch.clone(),
                            groups: Rc::clone(&groups),
                        })
                    });
                    let mut kept = part.kept().map(Kept::cursor);
                    let touched = touched(&batch);
                    for epoch in touched.chunk_by(|a, b| a.0 == b.0) {
                        let Some((mut all, storage)) = trace.cursor_through(batch.upper().borrow())
                        else {
                            faults
                                .raise(&operator, "earlier pairs are gone: a defect of the engine");
                            continue;
                        };
                        let groups = groups.borrow();
                        let mut parcels: Vec<Parcel<Bests>> = (0..)
                            .take(peers)
                            .map(|to| Parcel {
                                to,
                                body: Bests::default(),
                            })
                            .collect();
                        for &(time, group) in epoch {
                            let key = groups.get(group);
                            let body = &mut parcels
                                [owner(hash(untag(key).map_or(key, |(_, group)| group)), peers)]
                            .body;
                            body.groups.push(key);
                            let kept = kept.as_deref_mut().map(|kept| (kept, key));
                            let best = first::<O, _>(&mut all, &storage, (group, time), kept);
                            body.best
                                .push(faults.catch(&operator, best).unwrap_or_default());
                        }
                        parcels.retain(|parcel| !parcel.body.groups.is_empty());
                        output
                            .session(&capability.delayed(&epoch[0].0, 0))
                            .give_container(&mut parcels);
                    }
                }
            });
            trace.advance_upper(&mut upper);
            trace.set_logical_compaction(upper.borrow());
            trace.set_physical_compaction(upper.borrow());
        }
    })
}

/// The groups that a batch changes, with the epoch; sorted by epoch, then group.
fn touched<B, V: 'static>(batch: &B) -> Vec<(u64, u32)>
where
    B: Navigable,
    B::Cursor: for<'a> Cursor<Key<'a> = &'a Pair<V>, TimeGat<'a> = &'a u64, DiffGat<'a> = &'a i64>,
{
    let mut touched: Vec<(u64, u32)> = Vec::new();
    let mut cursor = batch.cursor();
    while let Some((group, _)) = cursor.get_key(batch) {
        let group = *group;
        cursor.map_times(batch, |&time, _| {
            // Pairs of a group lie side by side: most repeats are caught here.
            if touched.last() != Some(&(time, group)) {
                touched.push((time, group));
            }
        });
        cursor.step_key(batch);
    }
    touched.sort_unstable();
    touched.dedup();
    touched
}

/// The first value of `group` that is there at `time`, those that were kept under its key counted in. Groups are asked
/// for in ascending order.
fn first<'k, O: Ordered, C>(
    cursor: &mut C,
    storage: &C::Storage,
    (group, time): (u32, u64),
    mut kept: Option<(&mut (dyn KeptCursor + 'k), &[u8])>,
) -> Result<Option<Row>, StateError>
where
    C: for<'a> Cursor<Key<'a> = &'a Pair<O::Value>, TimeGat<'a> = &'a u64, DiffGat<'a> = &'a i64>,
{
    cursor.seek_key(storage, &(group, O::LEAST));
    if let Some((kept, key)) = &mut kept {
        kept.seek(key)?;
    }
    loop {
        let fresh = cursor.get_key(storage).filter(|pair| pair.0 == group);
        let fresh = fresh.map(|(_, value)| value.clone());
        let old = kept.as_ref().and_then(|(kept, key)| {
            let entry = kept.entry()?;
            Some((O::read(entry.key.strip_prefix(*key)?)?, entry.count))
        });
        let old_value = old.as_ref().map(|(value, _)| value);
        let Some(value) = fresh.iter().chain(old_value).min().cloned() else {
            return Ok(None);
        };
        let mut count = 0;
        if fresh.as_ref() == Some(&value) {
            cursor.map_times(storage, |&at, diff| {
                if at <= time {
                    count += diff;
                }
            });
            cursor.step_key(storage);
        }
        if let (Some((kept, _)), Some((_, more))) =
            (&mut kept, old.filter(|(old, _)| *old == value))
        {
            count += more;
            kept.step()?;
        }
        if count > 0 {
            let mut bytes = Vec::new();
            O::write(&value, &mut bytes);
            return Ok(Some(Row::from(bytes.as_slice())));
        }
    }
}
