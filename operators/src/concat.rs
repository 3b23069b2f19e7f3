//! `concat`: UNION ALL.

use timely::dataflow::operators::Concatenate;
use timely::dataflow::{Scope, Stream};

use crate::Delta;

/// The deltas of all streams; none of none. Their batches must be of one schema.
pub fn concat<'scope>(
    scope: Scope<'scope, u64>,
    streams: impl IntoIterator<Item = Stream<'scope, u64, Vec<Delta>>>,
) -> Stream<'scope, u64, Vec<Delta>> {
    scope.concatenate(streams)
}
