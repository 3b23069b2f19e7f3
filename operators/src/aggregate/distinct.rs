//! `distinct`: maintains aggregates of distinct values. A pair whose count leaves zero adds its value to the group, and a
//! pair whose count returns to zero removes it.
//!
//! The work is proportional to the number of changed pairs, however large their groups are.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Float64Type};
use arrow::row::RowConverter;
use timely::dataflow::Stream;

use super::error::AggregateError;
use super::exact_sum::ExactSum;
use super::integers::{each_integer, high_half};
use super::keys::{owner, unsliced, untag, value_converter};
use super::pair_run::{PairRun, PairSum};
use super::pair_spine::PairSpine;
use super::pair_state::{DistinctPairDelta, stored_counts};
use super::parcel::{PairDeltas, Parcel, SumDeltas};
use super::sort_pairs::{ValueReader, sort_pairs};
use super::spec::{AccumulatorLayout, Aggregation, CallSlots};
use crate::Faults;
use crate::dictionary::KeyDictionary;
use crate::hash::hash;
use crate::state::StateHandle;

/// Values as ids of a dictionary, which the sorting and the counting of pairs share. Each value is preceded by its slice.
#[derive(Clone, Default)]
pub struct InternedValues(Rc<RefCell<KeyDictionary>>);

impl ValueReader for InternedValues {
    type Value = u32;

    fn read(&mut self, bytes: &[u8]) -> Result<u32, AggregateError> {
        Ok(self.0.borrow_mut().intern(bytes)?)
    }
}

/// A value that a group gained (`diff` 1) or lost (-1).
struct ValueChange {
    value: u32,
    diff: i64,
}

/// Turns changes of pairs into amounts for the sums of their groups.
pub fn distinct<'scope>(
    pairs: Stream<'scope, u64, Vec<Parcel<PairDeltas>>>,
    aggregation: &Aggregation,
    layout: &AccumulatorLayout,
    faults: Faults,
    state: StateHandle,
) -> Stream<'scope, u64, Vec<Parcel<SumDeltas>>> {
    let groups = Rc::new(RefCell::new(KeyDictionary::default()));
    let values = InternedValues::default();
    let mut counter = DistinctCounter {
        aggregation: aggregation.clone(),
        layout: layout.clone(),
        groups: Rc::clone(&groups),
        values: values.clone(),
        peers: pairs.scope().peers(),
        spine: PairSpine::default(),
        state,
    };
    let operator = format!("{}: distinct", aggregation.name);
    sort_pairs(pairs, operator, faults, groups, values, move |run| {
        counter.count(run)
    })
}

struct DistinctCounter {
    aggregation: Aggregation,
    layout: AccumulatorLayout,
    groups: Rc<RefCell<KeyDictionary>>,
    values: InternedValues,
    peers: usize,
    spine: PairSpine<u32>,
    state: StateHandle,
}

impl DistinctCounter {
    /// The changes of the sums that the pairs of an epoch cause.
    fn count(&mut self, run: PairRun<u32>) -> Result<Vec<Parcel<SumDeltas>>, AggregateError> {
        let run = Rc::new(run);
        let groups = self.groups.borrow();
        let stored = self.state.stored();
        let stored =
            stored.map(|stored| stored_counts(stored, &run, &groups, &self.values.0.borrow()));
        // Each stored count is replaced by the count after this epoch.
        let mut counts = stored.transpose()?;
        let mut earlier = self.spine.lookup();
        let (mut parcels, mut changes) = (BTreeMap::new(), Vec::new());
        for range in run.groups() {
            let group = run.pair(range.start).group;
            changes.clear();
            for PairSum { at, pair, diff } in run.sums(range) {
                let stored = counts.as_mut().map(|counts| &mut counts[at]);
                let before = stored.as_deref().unwrap_or(&0) + earlier.count(pair);
                let after = before + diff;
                if let Some(count) = stored {
                    *count = after;
                }
                if after < 0 {
                    return Err(AggregateError::NegativePair(after));
                }
                let diff = i64::from(after > 0) - i64::from(before > 0);
                if diff != 0 {
                    let value = pair.value;
                    changes.push(ValueChange { value, diff });
                }
            }
            if !changes.is_empty() {
                self.sum(groups.get(group), &changes, &mut parcels)?;
            }
        }
        self.state.record(|| {
            Box::new(DistinctPairDelta {
                run: Rc::clone(&run),
                groups: Rc::clone(&self.groups),
                values: Rc::clone(&self.values.0),
                counts,
            })
        });
        self.spine.push(run);
        let parcels = parcels.into_iter().map(|((to, _), body)| Parcel {
            to: to as u64,
            body,
        });
        Ok(parcels.collect())
    }

    /// Adds the amounts of a group to the parcel of its owner and call. `key` is the group's, tagged with its call.
    fn sum(
        &self,
        key: &[u8],
        changes: &[ValueChange],
        parcels: &mut BTreeMap<(usize, usize), SumDeltas>,
    ) -> Result<(), AggregateError> {
        let Some((call, group)) = untag(key) else {
            return Ok(());
        };
        let count: i128 = changes.iter().map(|change| i128::from(change.diff)).sum();
        let sums = parcels
            .entry((owner(hash(group), self.peers), call))
            .or_default();
        sums.groups.push(group);
        match self.layout.slots[call] {
            CallSlots::Count(slot) => {
                sums.integer_slots = vec![slot];
                sums.integers.push(count);
            }
            CallSlots::Integer {
                sum,
                high,
                count: slot,
            } => {
                let total = self.values.sum_integers(&self.aggregation, call, changes)?;
                sums.integer_slots = vec![sum, slot];
                sums.integer_slots.extend(high);
                sums.integers.extend([total.low, count]);
                sums.integers.extend(high.map(|_| total.high));
            }
            CallSlots::Float { sum, count: slot } => {
                sums.integer_slots = vec![slot];
                sums.integers.push(count);
                sums.float_slots = vec![sum];
                let total = self.values.sum_floats(&self.aggregation, call, changes)?;
                sums.floats.push(total);
            }
            CallSlots::Extreme(_) => {}
        }
        Ok(())
    }
}

/// A sum modulo 2^128, and the sum of the values' upper halves.
struct IntegerSum {
    low: i128,
    high: i128,
}

impl InternedValues {
    /// The values of these changes as a column.
    fn decode(
        &self,
        aggregation: &Aggregation,
        call: usize,
        changes: &[ValueChange],
    ) -> Result<arrow::array::ArrayRef, AggregateError> {
        let converter: RowConverter = value_converter(aggregation, call)?;
        let parser = converter.parser();
        let values = self.0.borrow();
        let columns = converter.convert_rows(
            changes
                .iter()
                .map(|change| parser.parse(unsliced(values.get(change.value)))),
        )?;
        Ok(columns[0].clone())
    }

    fn sum_integers(
        &self,
        aggregation: &Aggregation,
        call: usize,
        changes: &[ValueChange],
    ) -> Result<IntegerSum, AggregateError> {
        let mut sum = IntegerSum { low: 0, high: 0 };
        each_integer(&self.decode(aggregation, call, changes)?, |row, value| {
            let diff = i128::from(changes[row].diff);
            sum.low = sum.low.wrapping_add(value.wrapping_mul(diff));
            sum.high += high_half(value) * diff;
        })?;
        Ok(sum)
    }

    fn sum_floats(
        &self,
        aggregation: &Aggregation,
        call: usize,
        changes: &[ValueChange],
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
            sum.add(value, change.diff);
        }
        Ok(sum)
    }
}
