//! `extremes`: the first value of each group, for `min` and (with values encoded in descending order) `max`.
//!
//! The pairs are sorted by group and value, so the first value is found by one seek: the cost follows the change and
//! not the size of the group.

use std::cell::RefCell;
use std::rc::Rc;

use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::trace::{BatchReader, Cursor, Navigable, TraceReader};
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::progress::Antichain;

use super::arrange::{Pair, PairTrace, Values};
use super::kept_pairs::NotedRows;
use super::keys::{owner, untag};
use super::parcel::{Bests, Parcel};
use crate::Faults;
use crate::dictionary::{Dictionary, DictionaryFull};
use crate::hash::hash;
use crate::row::Row;
use crate::state::{Kept, KeptCursor, Part, StateError};

/// Values as their own order-preserving bytes.
pub struct Ordered;

impl Values for Ordered {
    type Value = Row;

    fn value(&mut self, bytes: &[u8]) -> Result<Row, DictionaryFull> {
        Ok(Row::from(bytes))
    }
}

/// Tells the first value of every group whose pairs changed.
pub fn extremes<'scope>(
    pairs: Arranged<'scope, PairTrace<Row>>,
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
                        Box::new(NotedRows {
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
                            let best = first(&mut all, &storage, (group, time), kept);
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
fn touched<B>(batch: &B) -> Vec<(u64, u32)>
where
    B: Navigable,
    B::Cursor:
        for<'a> Cursor<Key<'a> = &'a Pair<Row>, TimeGat<'a> = &'a u64, DiffGat<'a> = &'a i64>,
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
fn first<'k, C>(
    cursor: &mut C,
    storage: &C::Storage,
    (group, time): (u32, u64),
    mut kept: Option<(&mut (dyn KeptCursor + 'k), &[u8])>,
) -> Result<Option<Row>, StateError>
where
    C: for<'a> Cursor<Key<'a> = &'a Pair<Row>, TimeGat<'a> = &'a u64, DiffGat<'a> = &'a i64>,
{
    cursor.seek_key(storage, &(group, Row::from([].as_slice())));
    if let Some((kept, key)) = &mut kept {
        kept.seek(key)?;
    }
    loop {
        let fresh = cursor.get_key(storage).filter(|pair| pair.0 == group);
        let fresh = fresh.map(|(_, value)| value.clone());
        let old = kept.as_ref().and_then(|(kept, key)| {
            let entry = kept.entry()?;
            Some((Row::from(entry.key.strip_prefix(*key)?), entry.count))
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
            return Ok(Some(value));
        }
    }
}
