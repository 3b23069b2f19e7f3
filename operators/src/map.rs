//! `map`: a function from batch to batch. Filters, projections and unnests are maps.

use std::fmt::Display;

use arrow::array::RecordBatch;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use crate::{Delta, DeltaStream, Faults};

/// Applies `logic` to the batch of each delta. The sign stays the same, and empty batches are dropped.
pub fn map<'scope, E: Display>(
    stream: DeltaStream<'scope>,
    name: &str,
    faults: Faults,
    mut logic: impl FnMut(&RecordBatch) -> Result<RecordBatch, E> + 'static,
) -> DeltaStream<'scope> {
    let operator = name.to_owned();
    stream.unary(Pipeline, name, move |_, _| {
        move |input, output| {
            input.for_each(|time, deltas| {
                let mut session = output.session(&time);
                for Delta { batch, sign } in deltas.drain(..) {
                    if let Some(batch) = faults.catch(&operator, logic(&batch))
                        && batch.num_rows() > 0
                    {
                        session.give(Delta { batch, sign });
                    }
                }
            });
        }
    })
}
