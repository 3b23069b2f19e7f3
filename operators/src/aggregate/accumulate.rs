//! `accumulate`: maintains the groups. It adds up partial results, and at the end of each epoch retracts the old row of
//! every group that changed and inserts the new one.
//!
//! ```text
//! pre-aggregate ── sums ───────────────────────────┐
//!      ├── pairs ── exchange, sort, distinct ──────┤ exchange by group ── accumulate ── deltas
//!      └── pairs ── exchange, sort, extremes ──────┘
//! ```
//!
//! Epochs are applied in order: the amounts of an epoch wait until all earlier epochs are complete.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use super::finish::Finisher;
use super::group_table::{GroupTable, GroupTableDelta, PendingEpoch};
use super::keys::owner;
use super::parcel::{GroupExtremes, Parcel, SumDeltas};
use super::spec::{AccumulatorLayout, Aggregation};
use crate::hash::hash;
use crate::state::StateHandle;
use crate::{DeltaStream, Faults};

/// Maintains the groups that this worker owns and emits the changes of their rows.
pub fn accumulate<'scope>(
    sums: Stream<'scope, u64, Vec<Parcel<SumDeltas>>>,
    extremes: Stream<'scope, u64, Vec<Parcel<GroupExtremes>>>,
    aggregation: &Aggregation,
    layout: &AccumulatorLayout,
    finisher: Finisher,
    faults: Faults,
    state: StateHandle,
) -> DeltaStream<'scope> {
    let scope = sums.scope();
    let operator = aggregation.name.clone();
    // An aggregation without keys has exactly one group, even without rows; one worker owns it.
    let owns_sole_group =
        aggregation.group.is_empty() && owner(hash(&[]), scope.peers()) == scope.index();
    let groups = GroupTable::new(layout.clone(), aggregation.group.is_empty(), state.clone());
    let groups = Rc::new(RefCell::new(groups));
    let by_owner = Exchange::new(|parcel: &Parcel<SumDeltas>| parcel.to);
    let extremes_by_owner = Exchange::new(|parcel: &Parcel<GroupExtremes>| parcel.to);
    sums.binary_frontier(
        extremes,
        by_owner,
        extremes_by_owner,
        &operator.clone(),
        move |initial, _| {
            let mut pending: BTreeMap<u64, (Capability<u64>, PendingEpoch)> = BTreeMap::new();
            if owns_sole_group {
                pending.insert(0, (initial, PendingEpoch::default()));
                faults.catch(&operator, groups.borrow_mut().touch(&[]));
            }
            move |(sums, sums_frontier), (extremes, extremes_frontier), output| {
                let lowest = pending.keys().next().copied();
                sums.for_each(|time, parcels| {
                    let (_, epoch) = pending
                        .entry(*time.time())
                        .or_insert_with(|| (time.retain(0), PendingEpoch::default()));
                    epoch
                        .sums
                        .extend(parcels.drain(..).map(|parcel| parcel.body));
                });
                extremes.for_each(|time, parcels| {
                    let (_, epoch) = pending
                        .entry(*time.time())
                        .or_insert_with(|| (time.retain(0), PendingEpoch::default()));
                    epoch
                        .extremes
                        .extend(parcels.drain(..).map(|parcel| parcel.body));
                });
                debug_assert!(lowest.is_none_or(|lowest| {
                    pending.keys().next().is_some_and(|&epoch| epoch <= lowest)
                }));
                while let Some(mut entry) = pending.first_entry() {
                    let epoch = *entry.key();
                    // Amounts of the lowest open epoch are added as they arrive, so that memory stays small.
                    let is_lowest_open =
                        !sums_frontier.less_than(&epoch) && !extremes_frontier.less_than(&epoch);
                    if is_lowest_open {
                        faults.catch(
                            &operator,
                            groups
                                .borrow_mut()
                                .apply(std::mem::take(&mut entry.get_mut().1)),
                        );
                    }
                    if sums_frontier.less_equal(&epoch) || extremes_frontier.less_equal(&epoch) {
                        break;
                    }
                    let (capability, _) = entry.remove();
                    let closed = groups.borrow_mut().close(&finisher);
                    if let Some(changes) = faults.catch(&operator, closed) {
                        state.record(|| Box::new(GroupTableDelta::new(&groups, changes.groups)));
                        let mut session = output.session(&capability);
                        session.give_iterator(changes.deltas.into_iter());
                    }
                }
            }
        },
    )
}
