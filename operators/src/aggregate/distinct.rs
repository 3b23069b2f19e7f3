//! `distinct`: counts the distinct values of each group by the pairs whose count leaves or reaches zero.
//!
//! The work is proportional to the pairs that changed, however large their groups are.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Float64Type};
use arrow::row::RowConverter;
use timely::dataflow::Stream;

use super::exact_sum::ExactSum;
use super::kept_pairs::{NotedPairs, kept_counts};
use super::keys::{owner, unsliced, untag, value_converter};
use super::parcel::{Pairs, Parcel, Sums};
use super::partial::AggregateError;
use super::runs::{Past, Run};
use super::sort::{Values, sort_pairs};
use super::spec::{Aggregation, Carrier, Layout};
use super::values::each_integer;
use crate::Faults;
use crate::dictionary::Dictionary;
use crate::hash::hash;
use crate::state::Part;

/// Values as ids of a dictionary, which the sorting of pairs and the counting share. Each has its slice before it.
#[derive(Clone, Default)]
pub struct Interned(Rc<RefCell<Dictionary>>);

impl Values for Interned {
    type Value = u32;

    fn value(&mut self, bytes: &[u8]) -> Result<u32, AggregateError> {
        Ok(self.0.borrow_mut().intern(bytes)?)
    }
}

/// A value that came (`change` 1) or went (-1).
struct Change {
    value: u32,
    change: i64,
}

/// Turns changes of pairs into amounts for their groups' sums.
pub fn distinct<'scope>(
    pairs: Stream<'scope, u64, Vec<Parcel<Pairs>>>,
    aggregation: &Aggregation,
    layout: &Layout,
    faults: Faults,
    part: Part,
) -> Stream<'scope, u64, Vec<Parcel<Sums>>> {
    let groups = Rc::new(RefCell::new(Dictionary::default()));
    let values = Interned::default();
    let mut counter = Counter {
        aggregation: aggregation.clone(),
        layout: layout.clone(),
        groups: Rc::clone(&groups),
        values: values.clone(),
        peers: pairs.scope().peers(),
        past: Past::default(),
        part,
    };
    let operator = format!("{}: distinct", aggregation.name);
    sort_pairs(pairs, operator, faults, groups, values, move |run| {
        counter.count(run)
    })
}

struct Counter {
    aggregation: Aggregation,
    layout: Layout,
    groups: Rc<RefCell<Dictionary>>,
    values: Interned,
    peers: usize,
    past: Past<u32>,
    part: Part,
}

impl Counter {
    /// What the pairs of an epoch change: those whose count leaves zero, or returns to it.
    fn count(&mut self, run: Run<u32>) -> Result<Vec<Parcel<Sums>>, AggregateError> {
        let run = Rc::new(run);
        let groups = self.groups.borrow();
        let kept = self.part.kept();
        let kept = kept.map(|kept| kept_counts(kept, &run, &groups, &self.values.0.borrow()));
        // What was kept of a pair becomes how often it is there now.
        let mut counts = kept.transpose()?;
        let mut past = self.past.lookup();
        let (mut parcels, mut changes) = (BTreeMap::new(), Vec::new());
        for range in run.groups() {
            let group = run.pair(range.start).0;
            changes.clear();
            for (at, pair, diff) in run.sums(range) {
                let kept = counts.as_mut().map(|counts| &mut counts[at]);
                let before = kept.as_deref().unwrap_or(&0) + past.count(pair);
                if let Some(count) = kept {
                    *count = before + diff;
                }
                if before + diff < 0 {
                    return Err(AggregateError::NegativePair(before + diff));
                }
                let change = i64::from(before + diff > 0) - i64::from(before > 0);
                if change != 0 {
                    let value = pair.1;
                    changes.push(Change { value, change });
                }
            }
            if !changes.is_empty() {
                self.sum(groups.get(group), &changes, &mut parcels)?;
            }
        }
        self.part.note(|| {
            Box::new(NotedPairs {
                run: Rc::clone(&run),
                groups: Rc::clone(&self.groups),
                values: Rc::clone(&self.values.0),
                counts,
            })
        });
        self.past.push(run);
        let parcels = parcels.into_iter().map(|((to, _), body)| Parcel {
            to: u64::try_from(to).unwrap_or_default(),
            body,
        });
        Ok(parcels.collect())
    }

    /// Adds the amounts of a group, whose key is tagged with its call, to the parcel of its owner and call.
    fn sum(
        &self,
        key: &[u8],
        changes: &[Change],
        parcels: &mut BTreeMap<(usize, usize), Sums>,
    ) -> Result<(), AggregateError> {
        let Some((call, group)) = untag(key) else {
            return Ok(());
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
                let total = self.values.sum_floats(&self.aggregation, call, changes)?;
                sums.floats.push(total);
            }
            Carrier::Extreme(_) => {}
        }
        Ok(())
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
                .map(|change| parser.parse(unsliced(values.get(change.value)))),
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
