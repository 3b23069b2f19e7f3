//! `concat`: `UNION ALL`.

use timely::dataflow::Scope;
use timely::dataflow::operators::Concatenate;

use crate::DeltaStream;

/// The deltas of all streams, whose batches must have one schema. Without streams there are no deltas.
pub fn concat<'scope>(
    scope: Scope<'scope, u64>,
    streams: impl IntoIterator<Item = DeltaStream<'scope>>,
) -> DeltaStream<'scope> {
    scope.concatenate(streams)
}
