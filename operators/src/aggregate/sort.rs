//! `sort_pairs`: `(group, value)` pairs to the workers that own them, sorted, an epoch at a time.
//!
//! All calls of one aggregation share it, for each kind of pairs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use super::parcel::{Pairs, Parcel};
use super::partial::AggregateError;
use super::runs::{Coming, Pair, Run, Value};
use crate::Faults;
use crate::dictionary::Dictionary;

/// How a worker represents the values of pairs.
pub trait Values: 'static {
    /// The representation, ordered.
    type Value: Value;
    /// Represents one value.
    ///
    /// # Errors
    /// When ids run out, or the bytes are not of a value.
    fn value(&mut self, bytes: &[u8]) -> Result<Self::Value, AggregateError>;
}

/// Sends pairs to their owners, sorts them there, and emits what `close` makes of each epoch's, once it is complete.
/// `groups` learns the groups' keys.
pub fn sort_pairs<V: Values, B: Clone + 'static>(
    stream: Stream<'_, u64, Vec<Parcel<Pairs>>>,
    operator: String,
    faults: Faults,
    groups: Rc<RefCell<Dictionary>>,
    mut values: V,
    mut close: impl FnMut(Run<V::Value>) -> Result<Vec<Parcel<B>>, AggregateError> + 'static,
) -> Stream<'_, u64, Vec<Parcel<B>>> {
    let exchange = Exchange::new(|parcel: &Parcel<Pairs>| parcel.to);
    stream.unary_frontier(exchange, &operator.clone(), move |_, _| {
        let mut open: BTreeMap<u64, (Capability<u64>, Coming<V::Value>)> = BTreeMap::new();
        move |(input, frontier), output| {
            input.for_each(|time, parcels| {
                let (_, coming) = open
                    .entry(*time.time())
                    .or_insert_with(|| (time.retain(0), Coming::default()));
                for Parcel { body, .. } in parcels.drain(..) {
                    let mut groups = groups.borrow_mut();
                    let appended = append(&mut groups, &mut values, &body, &mut coming.unsorted);
                    faults.catch(&operator, appended);
                    coming.sort_much();
                }
            });
            while let Some(epoch) = open.first_entry()
                && !frontier.less_equal(epoch.key())
            {
                let (capability, coming) = epoch.remove();
                let run = coming.finish();
                if !run.is_empty()
                    && let Some(mut parcels) = faults.catch(&operator, close(run))
                {
                    output.session(&capability).give_container(&mut parcels);
                }
            }
        }
    })
}

/// Translates a parcel's own indices into this worker's ids.
fn append<V: Values>(
    groups: &mut Dictionary,
    values: &mut V,
    parcel: &Pairs,
    pairs: &mut Vec<(Pair<V::Value>, i32)>,
) -> Result<(), AggregateError> {
    let group_ids = parcel
        .groups
        .iter()
        .map(|group| groups.intern(group))
        .collect::<Result<Vec<_>, _>>()?;
    let value_ids = parcel
        .values
        .iter()
        .map(|value| values.value(value))
        .collect::<Result<Vec<_>, _>>()?;
    pairs.extend(parcel.pairs.iter().map(|&(group, value, diff)| {
        (
            (group_ids[group as usize], value_ids[value as usize].clone()),
            diff,
        )
    }));
    Ok(())
}
