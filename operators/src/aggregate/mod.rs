//! `aggregate`: maintains `GROUP BY`.
//!
//! Linear aggregates (`count`, `sum`, `avg`) add amounts to a group, and a retraction is a negative amount. Aggregates of
//! `DISTINCT` values become linear once it is known which `(group, value)` pairs appeared or vanished. `min` and `max` are
//! the ends of a group's sorted values. So the cost of each kind follows the change and not the size of the group. The
//! header of `accumulate` draws the graph.

mod accumulate;
mod accumulator_codec;
mod accumulators;
mod dense_codes;
mod distinct;
mod error;
mod exact_sum;
mod extremes;
mod finish;
mod group_ends;
mod group_numbers;
mod group_table;
mod integers;
mod keys;
mod pair_counter;
mod pair_run;
mod pair_spine;
mod pair_state;
mod parcel;
mod partial;
mod preaggregate;
mod quotient;
mod radix;
mod repetition;
mod row_mask;
mod sort_pairs;
mod spec;
mod sum_table;
mod value_codec;

use timely::dataflow::operators::Concatenate;
use timely::dataflow::operators::generic::operator::empty;

use self::finish::Finisher;
use self::preaggregate::PreaggregateStreams;
use self::value_codec::{BytesCodec, NumberCodec};
use crate::interner::Interner;
use crate::state::StateHandle;
use crate::{DeltaStream, Faults};

pub use self::error::AggregateError;
pub use self::exact_sum::ExactSum;
pub use self::partial::{FlushedParcels, PartialAggregate};
pub use self::quotient::{decimal_average, divide_rounded, integer_average};
pub use self::spec::{
    AccumulatorLayout, Aggregation, Call, CallSlots, Function, PairSet, UnsupportedAggregate,
};

/// Maintains `aggregation` over a stream of deltas: rows of `aggregation.input` in, changes of `aggregation.output` out.
/// The operators of a worker share an `interner`; `state` returns the state of the operator with a name.
///
/// # Errors
/// When a call is not supported for its type.
pub fn aggregate<'scope>(
    stream: DeltaStream<'scope>,
    aggregation: &Aggregation,
    interner: &Interner,
    state: impl Fn(&str) -> StateHandle,
    faults: &Faults,
) -> Result<DeltaStream<'scope>, AggregateError> {
    let name = &aggregation.name;
    let layout = aggregation.layout()?;
    let finisher = Finisher::new(aggregation)?;
    let scope = stream.scope();
    let partial = PartialAggregate::new(aggregation.clone(), interner.clone())?;
    let PreaggregateStreams {
        mut sums,
        distinct,
        extremes,
    } = preaggregate::preaggregate(stream, name, faults.clone(), partial);

    if layout.pairs.iter().any(|set| set.distinct) {
        let state = state(&format!("{name}: distinct"));
        let counted = distinct::distinct(distinct, aggregation, &layout, faults.clone(), state);
        sums = scope.concatenate([sums, counted]);
    }
    let extreme_sets = layout.pairs.iter().filter(|set| !set.distinct);
    let mut types = extreme_sets
        .map(|set| aggregation.argument_type(&aggregation.calls[set.calls[0]]))
        .peekable();
    let extremes = if types.peek().is_none() {
        empty(scope)
    } else {
        let state = state(&format!("{name}: extremes"));
        let faults = faults.clone();
        if types.all(NumberCodec::supports) {
            extremes::extremes(extremes, NumberCodec, aggregation, &layout, faults, state)
        } else {
            extremes::extremes(extremes, BytesCodec, aggregation, &layout, faults, state)
        }
    };
    Ok(accumulate::accumulate(
        sums,
        extremes,
        aggregation,
        &layout,
        finisher,
        faults.clone(),
        state(&format!("{name}: groups")),
    ))
}
