//! `distinct`: counts the distinct values of each group by the pairs whose count leaves or reaches zero.
//!
//! The work is proportional to the pairs that changed, however large their groups are.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Float64Type};
use arrow::row::RowConverter;
use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::trace::{BatchReader, Cursor, Navigable, TraceReader};
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::progress::Antichain;

use super::arrange::{PairTrace, Values};
use super::exact_sum::ExactSum;
use super::kept_pairs::{NotedPairs, kept_counts};
use super::keys::{owner, untag, value_converter};
use super::parcel::{Parcel, Sums};
use super::partial::AggregateError;
use super::spec::{Aggregation, Carrier, Layout};
use super::values::each_integer;
use crate::Faults;
use crate::dictionary::Dictionary;
use crate::hash::hash;
use crate::state::Part;

/// Values as ids of a dictionary, which the sorting of pairs and the counting share.
#[derive(Clone, Default)]
pub struct Interned(Rc<RefCell<Dictionary>>);

impl Values for Interned {
    type Value = u32;

    fn value(&mut self, bytes: &[u8]) -> Result<u32, AggregateError> {
        Ok(self.0.borrow_mut().intern(bytes)?)
    }
}

/// A pair that came (`change` 1) or went (-1).
struct Change {
    group: u32,
    value: u32,
    change: i64,
}

/// Turns changes of the arranged pairs into amounts for their groups' sums.
pub fn distinct<'scope>(
    pairs: Arranged<'scope, PairTrace<u32>>,
    aggregation: &Aggregation,
    layout: &Layout,
    faults: Faults,
    groups: Rc<RefCell<Dictionary>>,
    values: Interned,
    part: Part,
) -> Stream<'scope, u64, Vec<Parcel<Sums>>> {
    let Arranged { stream, mut trace } = pairs;
    let peers = stream.scope().peers();
    let name = format!("{}: distinct", aggregation.name);
    let operator = name.clone();
    let mut summer = Summer {
        aggregation: aggregation.clone(),
        layout: layout.clone(),
        groups: Rc::clone(&groups),
        values: values.clone(),
        peers,
    };
    stream.unary_frontier(Pipeline, &name, move |_, _| {
        let mut upper = Antichain::from_elem(0);
        move |(input, _), output| {
            input.for_each(|capability, batches| {
                for batch in batches.drain(..).filter(|batch| !batch.is_empty()) {
                    upper.clone_from(batch.upper());
                    let Some((mut past, past_storage)) =
                        trace.cursor_through(batch.lower().borrow())
                    else {
                        faults.raise(&operator, "earlier pairs are gone: a defect of the engine");
                        continue;
                    };
                    let kept = part.kept().map(|kept| {
                        kept_counts(kept, &batch, &groups.borrow(), &values.0.borrow())
                    });
                    let Some(kept) = faults.catch(&operator, kept.transpose()) else {
                        continue;
                    };
                    part.note(|| {
                        Box::new(NotedPairs {
                            batch: batch.clone(),
                            groups: Rc::clone(&groups),
                            values: Rc::clone(&values.0),
                        })
                    });
                    let kept = kept.unwrap_or_default();
                    for (time, changes) in changes(&batch, &mut past, &past_storage, &kept) {
                        let mut parcels = faults
                            .catch(&operator, summer.sum(&changes))
                            .unwrap_or_default();
                        output
                            .session(&capability.delayed(&time, 0))
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

/// Pairs of a batch that came or went, epoch by epoch, sorted; `past` holds the counts before the batch, beside those
/// that were `kept` (none when the state is empty).
fn changes<B, C>(
    batch: &B,
    past: &mut C,
    past_storage: &C::Storage,
    kept: &[i64],
) -> BTreeMap<u64, Vec<Change>>
where
    B: Navigable,
    B::Cursor:
        for<'a> Cursor<Key<'a> = &'a (u32, u32), TimeGat<'a> = &'a u64, DiffGat<'a> = &'a i64>,
    C: for<'a> Cursor<Key<'a> = &'a (u32, u32), TimeGat<'a> = &'a u64, DiffGat<'a> = &'a i64>,
{
    let mut changes: BTreeMap<u64, Vec<Change>> = BTreeMap::new();
    // Those of the epoch met last: most batches are of one.
    let (mut epoch, mut of_epoch) = (0, Vec::new());
    let mut cursor = batch.cursor();
    let mut kept = kept.iter();
    while let Some(&pair) = cursor.get_key(batch) {
        let mut count = kept.next().copied().unwrap_or_default();
        past.seek_key(past_storage, &pair);
        if past.get_key(past_storage) == Some(&pair) {
            past.map_times(past_storage, |_, diff| count += diff);
        }
        cursor.map_times(batch, |&time, diff| {
            let before = count > 0;
            count += diff;
            let change = i64::from(count > 0) - i64::from(before);
            if change != 0 {
                if time != epoch {
                    changes.entry(epoch).or_default().append(&mut of_epoch);
                    epoch = time;
                }
                let (group, value) = pair;
                of_epoch.push(Change {
                    group,
                    value,
                    change,
                });
            }
        });
        cursor.step_key(batch);
    }
    changes.entry(epoch).or_default().append(&mut of_epoch);
    changes.retain(|_, changes| !changes.is_empty());
    changes
}

/// Adds up changes, group by group.
struct Summer {
    aggregation: Aggregation,
    layout: Layout,
    groups: Rc<RefCell<Dictionary>>,
    values: Interned,
    peers: usize,
}

impl Summer {
    /// Parcels of sums from changes sorted by group. A group's key is tagged with its call.
    fn sum(&mut self, changes: &[Change]) -> Result<Vec<Parcel<Sums>>, AggregateError> {
        let mut parcels: BTreeMap<(usize, usize), Sums> = BTreeMap::new();
        for changes in changes.chunk_by(|a, b| a.group == b.group) {
            let groups = self.groups.borrow();
            let Some((call, group)) = untag(groups.get(changes[0].group)) else {
                continue;
            };
            let count: i128 = changes.iter().map(|change| i128::from(change.change)).sum();
            let sums = parcels
                .entry((owner(hash(group), self.peers), call))
                .or_default();
            sums.groups.push(group);
            match self.layout.carriers[call] {
                Carrier::Count(slot) => {
                    sums.integer_slots = vec![slot];
                    sums.integers.push(count);
                }
                Carrier::Integer { sum, count: slot } => {
                    let total = self.values.sum_integers(&self.aggregation, call, changes)?;
                    sums.integer_slots = vec![sum, slot];
                    sums.integers.extend([total, count]);
                }
                Carrier::Float { sum, count: slot } => {
                    sums.integer_slots = vec![slot];
                    sums.integers.push(count);
                    sums.float_slots = vec![sum];
                    sums.floats
                        .push(self.values.sum_floats(&self.aggregation, call, changes)?);
                }
                Carrier::Extreme(_) => {}
            }
        }
        let parcels = parcels.into_iter().map(|((to, _), body)| Parcel {
            to: u64::try_from(to).unwrap_or_default(),
            body,
        });
        Ok(parcels.collect())
    }
}

impl Interned {
    /// The values of some changes, decoded.
    fn decode(
        &self,
        aggregation: &Aggregation,
        call: usize,
        changes: &[Change],
    ) -> Result<arrow::array::ArrayRef, AggregateError> {
        let converter: RowConverter = value_converter(aggregation, call)?;
        let parser = converter.parser();
        let values = self.0.borrow();
        let columns = converter.convert_rows(
            changes
                .iter()
                .map(|change| parser.parse(values.get(change.value))),
        )?;
        Ok(columns[0].clone())
    }

    fn sum_integers(
        &self,
        aggregation: &Aggregation,
        call: usize,
        changes: &[Change],
    ) -> Result<i128, AggregateError> {
        let mut sum = 0_i128;
        each_integer(&self.decode(aggregation, call, changes)?, |row, value| {
            sum = sum.wrapping_add(value.wrapping_mul(i128::from(changes[row].change)));
        })?;
        Ok(sum)
    }

    fn sum_floats(
        &self,
        aggregation: &Aggregation,
        call: usize,
        changes: &[Change],
    ) -> Result<ExactSum, AggregateError> {
        let values = arrow::compute::cast(
            &self.decode(aggregation, call, changes)?,
            &DataType::Float64,
        )?;
        let mut sum = ExactSum::default();
        for (&value, change) in values
            .as_primitive::<Float64Type>()
            .values()
            .iter()
            .zip(changes)
        {
            sum.add(value, change.change);
        }
        Ok(sum)
    }
}
