//! `arrange_pairs`: `(group, value)` pairs with their counts, sorted, shared by all calls of one aggregation.
//!
//! Sorting is done here in long runs, not left to the batcher's short chunks: a pair then goes through a handful of
//! merges instead of a dozen.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use differential_dataflow::operators::arrange::{Arranged, TraceAgent, arrangement::arrange_core};
use differential_dataflow::trace::implementations::KeySpine;
use differential_dataflow::trace::rc_blanket_impls::RcBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use super::batch::{PairBatcher, PairBuilder, Run, Runs, Value};
use super::parcel::{Pairs, Parcel};
use super::partial::AggregateError;
use crate::Faults;
use crate::dictionary::Dictionary;

/// A `(group, value)` pair; the group is an id of the worker's own dictionary.
pub type Pair<V> = (u32, V);
/// Sorted pairs with their counts.
pub type PairTrace<V> = TraceAgent<KeySpine<Pair<V>, u64, i64>>;

/// Pairs sorted at once: 4 MiB of ids.
const RUN: usize = 1 << 18;

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

/// Sends pairs to their owners and arranges them there. `groups` learns the groups' keys.
pub fn arrange_pairs<'scope, V: Values>(
    stream: Stream<'scope, u64, Vec<Parcel<Pairs>>>,
    name: &str,
    faults: Faults,
    groups: Rc<RefCell<Dictionary>>,
    mut values: V,
) -> Arranged<'scope, PairTrace<V::Value>> {
    let operator = format!("{name}: sort");
    let exchange = Exchange::new(|parcel: &Parcel<Pairs>| parcel.to);
    let sorted = stream.unary_frontier(exchange, &operator.clone(), move |_, _| {
        let mut unsorted: BTreeMap<u64, Vec<(Pair<V::Value>, i64)>> = BTreeMap::new();
        let mut open: Option<Capability<u64>> = None;
        move |(input, frontier), output| {
            input.for_each(|time, parcels| {
                // What waits may be of several epochs; all of it is sent with the right of the earliest.
                match &mut open {
                    Some(open) if open.time() <= time.time() => {}
                    open => *open = Some(time.retain(0)),
                }
                let pairs = unsorted.entry(*time.time()).or_default();
                for Parcel { body, .. } in parcels.drain(..) {
                    faults.catch(
                        &operator,
                        append(&mut groups.borrow_mut(), &mut values, &body, pairs),
                    );
                    if pairs.len() >= RUN {
                        output.session(&time).give(Run::sort(*time.time(), pairs));
                    }
                }
            });
            if let Some(capability) =
                open.take_if(|capability| !frontier.less_equal(capability.time()))
            {
                let mut session = output.session(&capability);
                session.give_iterator(
                    std::mem::take(&mut unsorted)
                        .into_iter()
                        .map(|(time, mut pairs)| Run::sort(time, &mut pairs)),
                );
            }
        }
    });
    arrange_core::<_, _, Runs<_>, PairBatcher<_>, RcBuilder<PairBuilder<_>>, _>(
        sorted,
        Pipeline,
        &format!("{name}: arrange"),
    )
}

/// Translates a parcel's own indices into this worker's ids.
fn append<V: Values>(
    groups: &mut Dictionary,
    values: &mut V,
    parcel: &Pairs,
    pairs: &mut Vec<(Pair<V::Value>, i64)>,
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
