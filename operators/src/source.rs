//! `source`: deltas from outside the graph, one epoch at a time.

use timely::dataflow::Scope;
use timely::dataflow::operators::generic::operator;

use crate::{Delta, DeltaStream};

/// One step of a source.
#[derive(Debug)]
pub enum SourceStep {
    /// Deltas of the epoch.
    Emit(Vec<Delta>),
    /// Epochs before this one are complete.
    Advance(u64),
    /// There are no more deltas.
    Done,
}

/// Calls `next` once each time the worker schedules the operator, so that the graph processes what was emitted before
/// more is read: one step bounds the memory.
pub fn source<'scope>(
    scope: Scope<'scope, u64>,
    name: &str,
    mut next: impl FnMut() -> SourceStep + 'static,
) -> DeltaStream<'scope> {
    operator::source(scope, name, move |capability, info| {
        let activator = scope.activator_for(info.address);
        let mut capability = Some(capability);
        move |output| {
            let Some(epoch) = &mut capability else { return };
            match next() {
                SourceStep::Emit(mut deltas) => output.session(&epoch).give_container(&mut deltas),
                SourceStep::Advance(time) => epoch.downgrade(&time),
                SourceStep::Done => capability = None,
            }
            if capability.is_some() {
                activator.activate();
            }
        }
    })
}
