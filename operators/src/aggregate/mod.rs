//! `aggregate`: `GROUP BY`, maintained.
//!
//! Linear aggregates (`count`, `sum`, `avg`) are the difference: what crosses workers is an amount to add to a group,
//! and a retraction is a negative amount. `count(DISTINCT …)` and its kin become linear once it is known which
//! `(group, value)` pairs came or went; `min` and `max` are the ends of a group's sorted values. So every
//! kind costs what changed, however large the group (`accumulate` draws the graph).

mod accumulate;
mod distinct;
mod ends;
mod exact_sum;
mod extremes;
mod finish;
mod kept_groups;
mod kept_pairs;
mod keys;
mod numbers;
mod paired;
mod parcel;
mod partial;
mod preaggregate;
mod radix;
mod runs;
mod sort;
mod spec;
mod values;

use timely::dataflow::Stream;
use timely::dataflow::operators::Concatenate;
use timely::dataflow::operators::generic::operator::empty;

use self::extremes::{AsBytes, AsNumber};
use self::finish::Finisher;
use self::preaggregate::Preaggregated;
use crate::interner::Interner;
use crate::state::Part;
use crate::{Delta, Faults};

pub use self::exact_sum::ExactSum;
pub use self::partial::{AggregateError, Flushed, Partial};
pub use self::spec::{Aggregation, Call, Carrier, Function, Layout, PairSet, UnsupportedAggregate};

/// Maintains `aggregation` over a stream of deltas: rows of `aggregation.input` in, changes of `aggregation.output` out.
/// Operators of one worker share an `interner`; `part` gives the state of the operator of that name.
///
/// # Errors
/// When a call is not supported for its type.
pub fn aggregate<'scope>(
    stream: Stream<'scope, u64, Vec<Delta>>,
    aggregation: &Aggregation,
    interner: &Interner,
    part: impl Fn(&str) -> Part,
    faults: &Faults,
) -> Result<Stream<'scope, u64, Vec<Delta>>, AggregateError> {
    let name = &aggregation.name;
    let layout = aggregation.layout()?;
    let finisher = Finisher::new(aggregation)?;
    let scope = stream.scope();
    let partial = Partial::new(aggregation.clone(), interner.clone())?;
    let Preaggregated {
        mut sums,
        distinct,
        extremes,
    } = preaggregate::preaggregate(stream, name, faults.clone(), partial);

    let is_extreme = |carrier: &Carrier| matches!(carrier, Carrier::Extreme(_));
    let distinct_calls = aggregation.calls.iter().zip(&layout.carriers);
    if distinct_calls
        .into_iter()
        .any(|(call, carrier)| call.distinct && !is_extreme(carrier))
    {
        let part = part(&format!("{name}: distinct"));
        let counted = distinct::distinct(distinct, aggregation, &layout, faults.clone(), part);
        sums = scope.concatenate([sums, counted]);
    }
    let extreme_calls = aggregation.calls.iter().zip(&layout.carriers);
    let mut types = extreme_calls
        .filter(|(_, carrier)| is_extreme(carrier))
        .map(|(call, _)| aggregation.argument_type(call))
        .peekable();
    let bests = if types.peek().is_none() {
        empty(scope)
    } else {
        let part = part(&format!("{name}: extremes"));
        let faults = faults.clone();
        if types.all(AsNumber::holds) {
            extremes::extremes(extremes, AsNumber, aggregation, &layout, faults, part)
        } else {
            extremes::extremes(extremes, AsBytes, aggregation, &layout, faults, part)
        }
    };
    Ok(accumulate::accumulate(
        sums,
        bests,
        aggregation,
        &layout,
        finisher,
        faults.clone(),
        part(&format!("{name}: groups")),
    ))
}
