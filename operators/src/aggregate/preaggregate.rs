//! `preaggregate`: each worker groups its own rows before anything crosses workers.

use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::parcel::{PairDeltas, Parcel, SumDeltas};
use super::partial::{FlushedParcels, PartialAggregate};
use crate::{Delta, DeltaStream, Faults};

/// The output streams of a pre-aggregation.
pub struct PreaggregateStreams<'scope> {
    /// For the owners of the groups.
    pub sums: Stream<'scope, u64, Vec<Parcel<SumDeltas>>>,
    /// For the owners of the slices of groups: values of `DISTINCT` calls.
    pub distinct: Stream<'scope, u64, Vec<Parcel<PairDeltas>>>,
    /// For the owners of the groups: values of `min` and `max`.
    pub extremes: Stream<'scope, u64, Vec<Parcel<PairDeltas>>>,
}

/// Groups deltas into `partial` and flushes it when it is full or its epoch is complete.
pub fn preaggregate<'scope>(
    stream: DeltaStream<'scope>,
    name: &str,
    faults: Faults,
    mut partial: PartialAggregate,
) -> PreaggregateStreams<'scope> {
    let scope = stream.scope();
    let peers = scope.peers();
    let operator = format!("{name}: pre-aggregate");
    let mut builder = OperatorBuilder::new(operator.clone(), scope);
    let mut input = builder.new_input(stream, Pipeline);
    let (sums_output, sums) = builder.new_output();
    let (distinct_output, distinct) = builder.new_output();
    let (extremes_output, extremes) = builder.new_output();
    let mut sums_output = OutputBuilder::from(sums_output);
    let mut distinct_output = OutputBuilder::from(distinct_output);
    let mut extremes_output = OutputBuilder::from(extremes_output);

    builder.build(move |_initial| {
        // The capabilities of the outputs for the epoch of the rows in `partial`.
        let mut open: Option<[Capability<u64>; 3]> = None;
        move |frontiers| {
            let mut flush = |capabilities: &[Capability<u64>; 3],
                             partial: &mut PartialAggregate| {
                let FlushedParcels {
                    mut sums,
                    mut distinct,
                    mut extremes,
                } = partial.flush(peers);
                let [to_sums, to_distinct, to_extremes] = capabilities;
                sums_output
                    .activate()
                    .session(to_sums)
                    .give_container(&mut sums);
                distinct_output
                    .activate()
                    .session(to_distinct)
                    .give_container(&mut distinct);
                extremes_output
                    .activate()
                    .session(to_extremes)
                    .give_container(&mut extremes);
            };
            input.for_each(|time, deltas| {
                if let Some(capabilities) =
                    open.take_if(|capabilities| capabilities[0].time() != time.time())
                {
                    flush(&capabilities, &mut partial);
                }
                let capabilities =
                    open.get_or_insert_with(|| [0, 1, 2].map(|output| time.retain(output)));
                for Delta { batch, sign } in deltas.drain(..) {
                    if partial.is_due() {
                        flush(capabilities, &mut partial);
                    }
                    faults.catch(&operator, partial.update(&batch, sign));
                }
            });
            if let Some(capabilities) =
                open.take_if(|capabilities| !frontiers[0].less_equal(capabilities[0].time()))
            {
                flush(&capabilities, &mut partial);
            }
        }
    });
    PreaggregateStreams {
        sums,
        distinct,
        extremes,
    }
}
