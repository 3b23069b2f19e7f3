//! `arrange_pairs`: `(group, value)` pairs with their counts, sorted, shared by all calls of one aggregation.
//!
//! Sorting is done here in long runs, not left to the batcher's short chunks: a pair then goes through a handful of
//! merges instead of a dozen.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use differential_dataflow::ExchangeData;
use differential_dataflow::consolidation::consolidate_updates;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent, arrangement::arrange_core};
use differential_dataflow::trace::implementations::{KeyBatcher, KeyBuilder, KeySpine};
use timely::container::{ContainerBuilder, PushInto};
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use super::parcel::{Pairs, Parcel};
use crate::Faults;
use crate::dictionary::{Dictionary, DictionaryFull};

/// A `(group, value)` pair; the group is an id of the worker's own dictionary.
pub type Pair<V> = (u32, V);
/// Sorted pairs with their counts.
pub type PairTrace<V> = TraceAgent<KeySpine<Pair<V>, u64, i64>>;
type Update<V> = ((Pair<V>, ()), u64, i64);

/// Pairs sorted at once: 6 MiB of ids.
const RUN: usize = 1 << 18;

/// How a worker represents the values of pairs.
pub trait Values: 'static {
    /// The representation, ordered.
    type Value: ExchangeData;
    /// Represents one value.
    ///
    /// # Errors
    /// When ids run out.
    fn value(&mut self, bytes: &[u8]) -> Result<Self::Value, DictionaryFull>;
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
        let mut run: Vec<Update<V::Value>> = Vec::new();
        let mut open: Option<Capability<u64>> = None;
        move |(input, frontier), output| {
            input.for_each(|time, parcels| {
                let capability = match &mut open {
                    Some(capability) => {
                        // A run may mix epochs; it is sent with the right of the earliest.
                        if time.time() < capability.time() {
                            *capability = time.retain(0);
                        }
                        capability
                    }
                    None => open.insert(time.retain(0)),
                };
                for Parcel { body, .. } in parcels.drain(..) {
                    let added = append(&mut groups.borrow_mut(), &mut values, &body, *time.time(), &mut run);
                    faults.catch(&operator, added);
                    if run.len() >= RUN {
                        consolidate_updates(&mut run);
                        output.session(&*capability).give_container(&mut std::mem::take(&mut run));
                    }
                }
            });
            if let Some(capability) = open.take_if(|capability| !frontier.less_equal(capability.time())) {
                consolidate_updates(&mut run);
                output.session(&capability).give_container(&mut std::mem::take(&mut run));
            }
        }
    });
    arrange_core::<_, _, Presorted<_>, KeyBatcher<_, _, _>, KeyBuilder<_, _, _>, _>(
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
    time: u64,
    run: &mut Vec<Update<V::Value>>,
) -> Result<(), DictionaryFull> {
    let group_ids = parcel.groups.iter().map(|group| groups.intern(group)).collect::<Result<Vec<_>, _>>()?;
    let value_ids = parcel.values.iter().map(|value| values.value(value)).collect::<Result<Vec<_>, _>>()?;
    run.extend(parcel.pairs.iter().map(|&(group, value, diff)| {
        (((group_ids[group as usize], value_ids[value as usize].clone()), ()), time, diff)
    }));
    Ok(())
}

/// A chunker for containers that are sorted and consolidated already: hands each on as it is.
struct Presorted<C> {
    ready: VecDeque<C>,
    handed: C,
}

impl<C: Default> Default for Presorted<C> {
    fn default() -> Self {
        Self { ready: VecDeque::new(), handed: C::default() }
    }
}

impl<T> PushInto<&mut Vec<T>> for Presorted<Vec<T>> {
    fn push_into(&mut self, container: &mut Vec<T>) {
        self.ready.push_back(std::mem::take(container));
    }
}

impl<T: Clone + 'static> ContainerBuilder for Presorted<Vec<T>> {
    type Container = Vec<T>;

    fn extract(&mut self) -> Option<&mut Vec<T>> {
        self.handed = self.ready.pop_front()?;
        Some(&mut self.handed)
    }

    fn finish(&mut self) -> Option<&mut Vec<T>> {
        self.extract()
    }
}
