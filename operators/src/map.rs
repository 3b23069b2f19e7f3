//! `map`: one record batch into another, vectorised; filters, projections and unnests are all this.

use std::fmt::Display;

use arrow::array::RecordBatch;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use crate::{Delta, Faults};

/// Applies `logic` to each delta's batch and keeps its sign. Batches that come out empty end here.
pub fn map<'scope, E: Display>(
    stream: Stream<'scope, u64, Vec<Delta>>,
    name: &str,
    faults: Faults,
    mut logic: impl FnMut(&RecordBatch) -> Result<RecordBatch, E> + 'static,
) -> Stream<'scope, u64, Vec<Delta>> {
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
