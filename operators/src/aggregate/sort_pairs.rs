//! `sort_pairs`: sends `(group, value)` pairs to the workers that own them and sorts them there, one epoch at a time.
//!
//! The calls of an aggregation share two of these operators: one for distinct values, one for extremes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use super::error::AggregateError;
use super::pair_run::{GroupValue, PairRun, PairValue};
use super::pair_spine::PairBatcher;
use super::parcel::{PairDeltas, Parcel};
use crate::Faults;
use crate::dictionary::KeyDictionary;

/// Reads the bytes of values into a worker's own representation.
pub trait ValueReader: 'static {
    /// The representation.
    type Value: PairValue;

    /// Reads one value.
    ///
    /// # Errors
    /// When ids run out, or the bytes are not those of a value.
    fn read(&mut self, bytes: &[u8]) -> Result<Self::Value, AggregateError>;
}

/// Sends pairs to their owners, sorts them there, and emits what `close` returns for the run of each complete epoch. The
/// keys of the groups are added to `groups`.
pub fn sort_pairs<V: ValueReader, B: Clone + 'static>(
    stream: Stream<'_, u64, Vec<Parcel<PairDeltas>>>,
    operator: String,
    faults: Faults,
    groups: Rc<RefCell<KeyDictionary>>,
    mut values: V,
    mut close: impl FnMut(PairRun<V::Value>) -> Result<Vec<Parcel<B>>, AggregateError> + 'static,
) -> Stream<'_, u64, Vec<Parcel<B>>> {
    let exchange = Exchange::new(|parcel: &Parcel<PairDeltas>| parcel.to);
    stream.unary_frontier(exchange, &operator.clone(), move |_, _| {
        let mut open: BTreeMap<u64, (Capability<u64>, PairBatcher<V::Value>)> = BTreeMap::new();
        move |(input, frontier), output| {
            input.for_each(|time, parcels| {
                let (_, batcher) = open
                    .entry(*time.time())
                    .or_insert_with(|| (time.retain(0), PairBatcher::default()));
                for Parcel { body, .. } in parcels.drain(..) {
                    let mut groups = groups.borrow_mut();
                    let appended = append(&mut groups, &mut values, &body, &mut batcher.unsorted);
                    faults.catch(&operator, appended);
                    batcher.sort_if_full();
                }
            });
            while let Some(epoch) = open.first_entry()
                && !frontier.less_equal(epoch.key())
            {
                let (capability, batcher) = epoch.remove();
                let run = batcher.finish();
                if !run.is_empty()
                    && let Some(mut parcels) = faults.catch(&operator, close(run))
                {
                    output.session(&capability).give_container(&mut parcels);
                }
            }
        }
    })
}

/// Translates the indices of a parcel into this worker's ids.
fn append<V: ValueReader>(
    groups: &mut KeyDictionary,
    values: &mut V,
    parcel: &PairDeltas,
    pairs: &mut Vec<(GroupValue<V::Value>, i32)>,
) -> Result<(), AggregateError> {
    let group_ids = parcel
        .groups
        .iter()
        .map(|group| groups.intern(group))
        .collect::<Result<Vec<_>, _>>()?;
    let value_ids = parcel
        .values
        .iter()
        .map(|value| values.read(value))
        .collect::<Result<Vec<_>, _>>()?;
    pairs.extend(parcel.pairs.iter().map(|pair| {
        let group = group_ids[pair.group as usize];
        let value = value_ids[pair.value as usize].clone();
        (GroupValue { group, value }, pair.diff)
    }));
    Ok(())
}
