//! `source`: deltas from outside, an epoch at a time.

use timely::dataflow::operators::generic::operator;
use timely::dataflow::{Scope, Stream};

use crate::Delta;

/// What a source has to say when it is asked.
#[derive(Debug)]
pub enum Step {
    /// Deltas of the epoch.
    Emit(Vec<Delta>),
    /// Epochs before this one are complete.
    Advance(u64),
    /// Nothing more will come.
    Done,
}

/// Asks `next` for one step each time the worker comes round, so that what was emitted is worked off before more is
/// taken in: memory stays bounded by what one step emits.
pub fn source<'scope>(
    scope: Scope<'scope, u64>,
    name: &str,
    mut next: impl FnMut() -> Step + 'static,
) -> Stream<'scope, u64, Vec<Delta>> {
    operator::source(scope, name, move |capability, info| {
        let activator = scope.activator_for(info.address);
        let mut capability = Some(capability);
        move |output| {
            let Some(epoch) = &mut capability else { return };
            match next() {
                Step::Emit(mut deltas) => output.session(&epoch).give_container(&mut deltas),
                Step::Advance(time) => epoch.downgrade(&time),
                Step::Done => capability = None,
            }
            if capability.is_some() {
                activator.activate();
            }
        }
    })
}
