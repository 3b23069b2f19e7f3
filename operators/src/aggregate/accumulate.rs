//! `accumulate`: maintains the groups. It adds up partial results, and at the end of each epoch retracts the old row of
//! every group that changed and inserts the new one.
//!
//! ```text
//! pre-aggregate ── sums ───────────────────────────┐
//!      ├── pairs ── exchange, sort, distinct ──────┤ exchange by group ── accumulate ── deltas
//!      └── pairs ── exchange, sort, extremes ──────┘
//! ```
//!
//! Invariants:
//! 1. The emitted row of a group is the row of its accumulators at the end of the last closed epoch. A group without rows
//!    has none.
//! 2. Epochs are applied in order: the amounts of an epoch wait until all earlier epochs are complete.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use arrow::compute::filter_record_batch;
use hashbrown::HashMap;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use super::accumulator_codec::{decode_accumulators, encode_accumulators};
use super::error::AggregateError;
use super::exact_sum::ExactSum;
use super::finish::{Accumulators, Finisher};
use super::keys::{owner, untag};
use super::parcel::{GroupExtremes, Parcel, SumDeltas};
use super::spec::{AccumulatorLayout, Aggregation, CallSlots};
use crate::dictionary::KeyDictionary;
use crate::hash::hash;
use crate::row::EncodedRow;
use crate::state::{EntryUpdate, StateDelta, StateHandle, StateVisitor};
use crate::{Delta, DeltaStream, Faults};

/// Rows of an output batch.
const BATCH_ROWS: usize = 8192;

/// The partial results of one epoch that are not yet applied.
#[derive(Default)]
struct PendingEpoch {
    sums: Vec<SumDeltas>,
    extremes: Vec<GroupExtremes>,
}

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
                    let mut changed = Vec::new();
                    let deltas = groups.borrow_mut().close(&finisher, &mut changed);
                    let deltas = faults.catch(&operator, deltas);
                    state.record(|| {
                        Box::new(GroupTableDelta {
                            groups: Rc::clone(&groups),
                            changed,
                        })
                    });
                    let mut session = output.session(&capability);
                    session.give_iterator(deltas.into_iter().flatten());
                }
            }
        },
    )
}

/// The accumulators of all groups, and their values before the open epoch.
struct GroupTable {
    layout: AccumulatorLayout,
    keys: KeyDictionary,
    integers: Vec<i128>,
    floats: Vec<ExactSum>,
    extremes: Vec<Option<EncodedRow>>,
    /// Whether a row of the group is emitted, by id.
    emitted: Vec<bool>,
    /// The earlier accumulators of the groups that the open epoch touched; `None` for groups without an emitted row.
    before: HashMap<u32, Option<Accumulators>>,
    /// Whether a group without rows has an output row: the sole group of an aggregation without keys.
    emits_empty: bool,
    /// The stored groups, from before the graph began.
    state: StateHandle,
}

impl GroupTable {
    fn new(layout: AccumulatorLayout, emits_empty: bool, state: StateHandle) -> Self {
        Self {
            layout,
            keys: KeyDictionary::default(),
            integers: Vec::new(),
            floats: Vec::new(),
            extremes: Vec::new(),
            emitted: Vec::new(),
            before: HashMap::new(),
            emits_empty,
            state,
        }
    }

    /// The id of a group. Its accumulators exist afterwards, and their values before the open epoch are remembered.
    fn touch(&mut self, key: &[u8]) -> Result<u32, AggregateError> {
        let id = self.keys.intern(key)?;
        if self.keys.len() > self.emitted.len() {
            self.emitted.push(false);
            self.integers
                .resize(self.keys.len() * self.layout.integers, 0);
            self.floats
                .resize(self.keys.len() * self.layout.floats, ExactSum::default());
            self.extremes
                .resize(self.keys.len() * self.layout.extremes, None);
            self.restore(id, key)?;
        }
        if !self.before.contains_key(&id) {
            let before = self.emitted[id as usize].then(|| self.group(id));
            self.before.insert(id, before);
        }
        Ok(id)
    }

    /// Restores the stored accumulators of a group that is new to the graph.
    fn restore(&mut self, id: u32, key: &[u8]) -> Result<(), AggregateError> {
        let Some(stored) = self.state.stored() else {
            return Ok(());
        };
        let mut entries = stored.cursor();
        entries.seek(key)?;
        let Some(entry) = entries.entry().filter(|entry| entry.key == key) else {
            return Ok(());
        };
        let group =
            decode_accumulators(entry.payload, &self.layout).ok_or(AggregateError::StoredGroup)?;
        let id = id as usize;
        let AccumulatorLayout {
            integers,
            floats,
            extremes,
            ..
        } = self.layout;
        self.integers[id * integers..][..integers].copy_from_slice(&group.integers);
        self.floats[id * floats..][..floats].clone_from_slice(&group.floats);
        self.extremes[id * extremes..][..extremes].clone_from_slice(&group.extremes);
        self.emitted[id] = true;
        Ok(())
    }

    fn group(&self, id: u32) -> Accumulators {
        fn slice<T: Clone>(all: &[T], id: u32, width: usize) -> Box<[T]> {
            all[id as usize * width..][..width].into()
        }
        Accumulators {
            integers: slice(&self.integers, id, self.layout.integers),
            floats: slice(&self.floats, id, self.layout.floats),
            extremes: slice(&self.extremes, id, self.layout.extremes),
        }
    }

    fn apply(&mut self, pending: PendingEpoch) -> Result<(), AggregateError> {
        for sums in pending.sums {
            let mut integers = sums.integers.chunks(sums.integer_slots.len().max(1));
            let mut floats = sums.floats.chunks(sums.float_slots.len().max(1));
            for key in sums.groups.iter() {
                let id = self.touch(key)? as usize;
                let amounts = integers.next().unwrap_or_default();
                for (&slot, &amount) in sums.integer_slots.iter().zip(amounts) {
                    let sum = &mut self.integers[id * self.layout.integers + slot];
                    *sum = sum.wrapping_add(amount);
                }
                let amounts = floats.next().unwrap_or_default();
                for (&slot, amount) in sums.float_slots.iter().zip(amounts) {
                    self.floats[id * self.layout.floats + slot].merge(amount);
                }
            }
        }
        for GroupExtremes { groups, extremes } in pending.extremes {
            for (key, extreme) in groups.iter().zip(extremes) {
                let Some((call, key)) = untag(key) else {
                    continue;
                };
                let CallSlots::Extreme(slot) = self.layout.slots[call] else {
                    continue;
                };
                let id = self.touch(key)? as usize;
                self.extremes[id * self.layout.extremes + slot] = extreme;
            }
        }
        Ok(())
    }

    /// Ends the epoch: retracts the old rows of the groups that it changed and inserts the new ones. The groups whose
    /// accumulators changed are added to `touched`.
    fn close(
        &mut self,
        finisher: &Finisher,
        touched: &mut Vec<u32>,
    ) -> Result<Vec<Delta>, AggregateError> {
        let (mut gone, mut new, mut changed) = (Vec::new(), Vec::new(), Vec::new());
        for (id, before) in std::mem::take(&mut self.before) {
            let after = self.group(id);
            let rows = after.integers[0];
            if rows < 0 {
                return Err(AggregateError::NegativeRows(rows));
            }
            let present = rows > 0 || self.emits_empty;
            self.emitted[id as usize] = present;
            if before.as_ref() != present.then_some(&after) {
                touched.push(id);
            }
            match (before, present) {
                (Some(before), true) if before != after => {
                    changed.push(((id, before), (id, after)));
                }
                (Some(before), false) => gone.push((id, before)),
                (None, true) => new.push((id, after)),
                _ => {}
            }
        }
        let mut deltas = Vec::new();
        for chunk in gone.chunks(BATCH_ROWS) {
            deltas.push(Delta::minus(finisher.finish(&self.keys, chunk)?));
        }
        for chunk in changed.chunks(BATCH_ROWS) {
            let (before, after): (Vec<_>, Vec<_>) = chunk.iter().cloned().unzip();
            let old = finisher.finish(&self.keys, &before)?;
            let new = finisher.finish(&self.keys, &after)?;
            // Different accumulators may give the same row, for example the same average.
            let differs = finisher.differing(&old, &new)?;
            if differs.true_count() > 0 {
                deltas.push(Delta::minus(filter_record_batch(&old, &differs)?));
                deltas.push(Delta::plus(filter_record_batch(&new, &differs)?));
            }
        }
        for chunk in new.chunks(BATCH_ROWS) {
            deltas.push(Delta::plus(finisher.finish(&self.keys, chunk)?));
        }
        Ok(deltas)
    }
}

/// The groups that an epoch changed.
struct GroupTableDelta {
    groups: Rc<RefCell<GroupTable>>,
    changed: Vec<u32>,
}

impl StateDelta for GroupTableDelta {
    /// Reports the current accumulators of the groups, which include those of later epochs.
    fn visit(&self, visitor: &mut dyn StateVisitor) {
        let groups = self.groups.borrow();
        let mut ids = self.changed.clone();
        ids.sort_unstable_by(|&a, &b| groups.keys.get(a).cmp(groups.keys.get(b)));
        let mut payload = Vec::new();
        for id in ids {
            let key = groups.keys.get(id);
            visitor.begin_run();
            if groups.emitted[id as usize] {
                payload.clear();
                encode_accumulators(&groups.group(id), &mut payload);
                visitor.update(key, EntryUpdate::Put(&payload));
            } else {
                visitor.update(key, EntryUpdate::Remove);
            }
        }
    }
}
