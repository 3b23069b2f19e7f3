//! The groups that a worker owns: dense arrays of accumulators, by the ids of the groups.
//!
//! 1. The emitted row of a group is the row of its accumulators at the end of the last closed epoch. A group without rows
//!    has none.
//! 2. `touched` lists each group that the open epoch touched once. Of those that have an emitted row, `before` has the
//!    earlier accumulators.

use std::cell::RefCell;
use std::rc::Rc;

use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;
use hashbrown::HashMap;

use super::accumulator_codec::{decode_accumulators, encode_accumulators};
use super::accumulators::{AccumulatedGroup, AccumulatorArrays, Accumulators};
use super::error::AggregateError;
use super::finish::Finisher;
use super::keys::untag;
use super::parcel::{GroupExtremes, SumDeltas};
use super::spec::{AccumulatorLayout, CallSlots};
use crate::Delta;
use crate::dictionary::KeyDictionary;
use crate::state::{EntryUpdate, StateDelta, StateHandle, StateVisitor};

/// Rows of an output batch.
const BATCH_ROWS: usize = 8192;

/// The partial results of one epoch that are not yet applied.
#[derive(Default)]
pub struct PendingEpoch {
    /// Amounts for the sums.
    pub sums: Vec<SumDeltas>,
    /// New extremes.
    pub extremes: Vec<GroupExtremes>,
}

/// The accumulators of all groups, and their values before the open epoch.
pub struct GroupTable {
    layout: AccumulatorLayout,
    keys: KeyDictionary,
    /// By id.
    accumulators: AccumulatorArrays,
    /// By id.
    flags: Vec<GroupFlags>,
    /// The groups that the open epoch touched.
    touched: Vec<u32>,
    /// Where the earlier accumulators of touched groups with an emitted row are in `earlier`.
    before: HashMap<u32, usize>,
    earlier: AccumulatorArrays,
    /// Whether a group without rows has an output row: the sole group of an aggregation without keys.
    emits_empty: bool,
    /// The stored groups, from before the graph began.
    state: StateHandle,
}

/// What is known of a group.
#[derive(Clone, Copy, Default)]
struct GroupFlags {
    /// Whether a row of the group is emitted.
    is_emitted: bool,
    /// Whether the open epoch touched it.
    is_touched: bool,
}

/// What an epoch changed.
pub struct ClosedEpoch {
    /// The changes of the groups' rows.
    pub deltas: Vec<Delta>,
    /// The groups whose accumulators changed, by id.
    pub groups: Vec<u32>,
}

/// The touched groups whose accumulators changed, by id.
#[derive(Default)]
struct ChangedGroups {
    gone: Vec<u32>,
    changed: Vec<u32>,
    new: Vec<u32>,
}

impl GroupTable {
    /// No groups yet. `emits_empty` says whether a group without rows has an output row.
    pub fn new(layout: AccumulatorLayout, emits_empty: bool, state: StateHandle) -> Self {
        Self {
            layout,
            keys: KeyDictionary::default(),
            accumulators: AccumulatorArrays::default(),
            flags: Vec::new(),
            touched: Vec::new(),
            before: HashMap::new(),
            earlier: AccumulatorArrays::default(),
            emits_empty,
            state,
        }
    }

    /// The id of a group. Its accumulators exist afterwards, and their values before the open epoch are remembered.
    ///
    /// # Errors
    /// When ids run out, or the stored group cannot be read.
    pub fn touch(&mut self, key: &[u8]) -> Result<u32, AggregateError> {
        let id = self.keys.intern(key)?;
        let index = id as usize;
        if index == self.flags.len() {
            self.flags.push(GroupFlags::default());
            self.accumulators.resize(index + 1, &self.layout);
            self.restore(index, key)?;
        }
        let flags = &mut self.flags[index];
        if !std::mem::replace(&mut flags.is_touched, true) {
            self.touched.push(id);
            if flags.is_emitted {
                self.before.insert(id, self.before.len());
                self.earlier
                    .push(self.accumulators.get(index, &self.layout));
            }
        }
        Ok(id)
    }

    /// Restores the stored accumulators of a group that is new to the graph.
    fn restore(&mut self, index: usize, key: &[u8]) -> Result<(), AggregateError> {
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
        // It is the last group.
        self.accumulators.resize(index, &self.layout);
        self.accumulators.push(group.get(0, &self.layout));
        self.flags[index].is_emitted = true;
        Ok(())
    }

    fn group(&self, id: u32) -> AccumulatedGroup<'_> {
        AccumulatedGroup {
            key: self.keys.get(id),
            accumulators: self.accumulators.get(id as usize, &self.layout),
        }
    }

    /// The accumulators behind the emitted row of a touched group; `None` without one.
    fn before(&self, id: u32) -> Option<Accumulators<'_>> {
        let at = *self.before.get(&id)?;
        Some(self.earlier.get(at, &self.layout))
    }

    /// Adds partial results to the open epoch.
    ///
    /// # Errors
    /// As [`touch`](Self::touch).
    pub fn apply(&mut self, pending: PendingEpoch) -> Result<(), AggregateError> {
        for sums in pending.sums {
            let mut integers = sums.integers.chunks(sums.integer_slots.len().max(1));
            let mut floats = sums.floats.chunks(sums.float_slots.len().max(1));
            for key in sums.groups.iter() {
                let id = self.touch(key)? as usize;
                let amounts = integers.next().unwrap_or_default();
                for (&slot, &amount) in sums.integer_slots.iter().zip(amounts) {
                    let sum = &mut self.accumulators.integers[id * self.layout.integers + slot];
                    *sum = sum.wrapping_add(amount);
                }
                let amounts = floats.next().unwrap_or_default();
                for (&slot, amount) in sums.float_slots.iter().zip(amounts) {
                    self.accumulators.floats[id * self.layout.floats + slot].merge(amount);
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
                self.accumulators.extremes[id * self.layout.extremes + slot] = extreme;
            }
        }
        Ok(())
    }

    /// Ends the epoch: retracts the old rows of the groups that it changed and inserts the new ones.
    ///
    /// # Errors
    /// When a group has fewer rows than none, or a row cannot be computed.
    pub fn close(&mut self, finisher: &Finisher) -> Result<ClosedEpoch, AggregateError> {
        let mut touched = std::mem::take(&mut self.touched);
        // Keys and accumulators are read in the order in which they lie in memory.
        touched.sort_unstable();
        let rows = self.row_changes(&touched)?;
        drop(touched);
        let deltas = self.deltas(&rows, finisher)?;
        self.before.clear();
        self.earlier = AccumulatorArrays::default();
        Ok(ClosedEpoch {
            deltas,
            groups: [rows.gone, rows.changed, rows.new].concat(),
        })
    }

    /// Decides for each touched group what becomes of its row.
    fn row_changes(&mut self, touched: &[u32]) -> Result<ChangedGroups, AggregateError> {
        let mut changes = ChangedGroups::default();
        for &id in touched {
            let index = id as usize;
            let after = self.accumulators.get(index, &self.layout);
            let rows = after.integers[0];
            if rows < 0 {
                return Err(AggregateError::NegativeRows(rows));
            }
            let is_emitted = rows > 0 || self.emits_empty;
            match (self.before(id), is_emitted) {
                (Some(before), true) if before != after => changes.changed.push(id),
                (Some(_), false) => changes.gone.push(id),
                (None, true) => changes.new.push(id),
                _ => {}
            }
            self.flags[index] = GroupFlags {
                is_emitted,
                is_touched: false,
            };
        }
        Ok(changes)
    }

    fn deltas(
        &self,
        rows: &ChangedGroups,
        finisher: &Finisher,
    ) -> Result<Vec<Delta>, AggregateError> {
        let old = |ids: &[u32]| {
            let groups = ids.iter().filter_map(|&id| {
                let (key, accumulators) = (self.keys.get(id), self.before(id)?);
                Some(AccumulatedGroup { key, accumulators })
            });
            finisher.finish(&groups.collect::<Vec<_>>())
        };
        let new = |ids: &[u32]| -> Result<RecordBatch, AggregateError> {
            let groups: Vec<_> = ids.iter().map(|&id| self.group(id)).collect();
            finisher.finish(&groups)
        };
        let mut deltas = Vec::new();
        for ids in rows.gone.chunks(BATCH_ROWS) {
            deltas.push(Delta::minus(old(ids)?));
        }
        for ids in rows.changed.chunks(BATCH_ROWS) {
            let (old, new) = (old(ids)?, new(ids)?);
            // Different accumulators may give the same row, for example the same average.
            let differs = finisher.differing(&old, &new)?;
            if differs.true_count() > 0 {
                deltas.push(Delta::minus(filter_record_batch(&old, &differs)?));
                deltas.push(Delta::plus(filter_record_batch(&new, &differs)?));
            }
        }
        for ids in rows.new.chunks(BATCH_ROWS) {
            deltas.push(Delta::plus(new(ids)?));
        }
        Ok(deltas)
    }
}

/// The groups that an epoch changed.
pub struct GroupTableDelta {
    groups: Rc<RefCell<GroupTable>>,
    changed: Vec<u32>,
}

impl GroupTableDelta {
    /// The groups of `changed`, by id.
    pub fn new(groups: &Rc<RefCell<GroupTable>>, changed: Vec<u32>) -> Self {
        Self {
            groups: Rc::clone(groups),
            changed,
        }
    }
}

impl StateDelta for GroupTableDelta {
    /// Reports the current accumulators of the groups, which include those of later epochs.
    fn visit(&self, visitor: &mut dyn StateVisitor) {
        let groups = self.groups.borrow();
        let mut payload = Vec::new();
        for id in groups.keys.in_order(self.changed.iter().copied()) {
            let AccumulatedGroup { key, accumulators } = groups.group(id);
            visitor.begin_run();
            if groups.flags[id as usize].is_emitted {
                payload.clear();
                encode_accumulators(accumulators, &mut payload);
                visitor.update(key, EntryUpdate::Put(&payload));
            } else {
                visitor.update(key, EntryUpdate::Remove);
            }
        }
    }
}
