//! `accumulate`: the groups themselves. Adds up what the partial results say, and at the end of each epoch takes back
//! the old row of every group that changed and gives the new one.
//!
//! ```text
//! pre-aggregate ── sums ───────────────────────────┐
//!      ├── pairs ── sort ── arrange ── distinct ───┤ exchange by group ── accumulate ── deltas
//!      └── pairs ── sort ── arrange ── extremes ───┘
//! ```
//!
//! Invariants:
//! 1. What was emitted for a group is the row of its accumulators as the last closed epoch left them, or nothing when
//!    it had no rows.
//! 2. Epochs are applied in order: amounts of an epoch wait until all earlier epochs are complete.

use std::collections::BTreeMap;

use arrow::compute::filter_record_batch;
use hashbrown::HashMap;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use super::exact_sum::ExactSum;
use super::finish::{Finisher, Group};
use super::keys::{owner, untag};
use super::parcel::{Bests, Parcel, Sums};
use super::partial::AggregateError;
use super::spec::{Aggregation, Carrier, Layout};
use crate::dictionary::{Dictionary, DictionaryFull};
use crate::hash::hash;
use crate::row::Row;
use crate::{Delta, Faults};

/// Rows of a batch that leaves.
const BATCH_ROWS: usize = 8192;

/// Partial results of one epoch.
#[derive(Default)]
struct Waiting {
    sums: Vec<Sums>,
    bests: Vec<Bests>,
}

/// Keeps the groups that this worker owns and emits their rows as they change.
pub fn accumulate<'scope>(
    sums: Stream<'scope, u64, Vec<Parcel<Sums>>>,
    bests: Stream<'scope, u64, Vec<Parcel<Bests>>>,
    aggregation: &Aggregation,
    layout: &Layout,
    finisher: Finisher,
    faults: Faults,
) -> Stream<'scope, u64, Vec<Delta>> {
    let scope = sums.scope();
    let operator = aggregation.name.clone();
    // Over no columns there is exactly one group, even when there are no rows; one worker owns it.
    let always = aggregation.group.is_empty() && owner(hash(&[]), scope.peers()) == scope.index();
    let mut groups = Groups::new(layout.clone(), aggregation.group.is_empty());
    let by_owner = Exchange::new(|parcel: &Parcel<Sums>| parcel.to);
    let best_by_owner = Exchange::new(|parcel: &Parcel<Bests>| parcel.to);
    sums.binary_frontier(
        bests,
        by_owner,
        best_by_owner,
        &operator.clone(),
        move |initial, _| {
            let mut waiting: BTreeMap<u64, (Capability<u64>, Waiting)> = BTreeMap::new();
            if always {
                waiting.insert(0, (initial, Waiting::default()));
                faults.catch(&operator, groups.touch(&[]));
            }
            move |(sums, sums_frontier), (bests, bests_frontier), output| {
                let lowest = waiting.keys().next().copied();
                sums.for_each(|time, parcels| {
                    let epoch = *time.time();
                    let (_, wait) = waiting
                        .entry(epoch)
                        .or_insert_with(|| (time.retain(0), Waiting::default()));
                    wait.sums
                        .extend(parcels.drain(..).map(|parcel| parcel.body));
                });
                bests.for_each(|time, parcels| {
                    let epoch = *time.time();
                    let (_, wait) = waiting
                        .entry(epoch)
                        .or_insert_with(|| (time.retain(0), Waiting::default()));
                    wait.bests
                        .extend(parcels.drain(..).map(|parcel| parcel.body));
                });
                debug_assert!(lowest.is_none_or(|lowest| {
                    waiting.keys().next().is_some_and(|&epoch| epoch <= lowest)
                }));
                while let Some(mut entry) = waiting.first_entry() {
                    let epoch = *entry.key();
                    // Amounts of the lowest epoch that can still come may be added as they come: memory stays small.
                    let lowest_possible =
                        !sums_frontier.less_than(&epoch) && !bests_frontier.less_than(&epoch);
                    if lowest_possible {
                        faults.catch(
                            &operator,
                            groups.apply(std::mem::take(&mut entry.get_mut().1)),
                        );
                    }
                    if sums_frontier.less_equal(&epoch) || bests_frontier.less_equal(&epoch) {
                        break;
                    }
                    let (capability, _) = entry.remove();
                    let deltas = faults.catch(&operator, groups.close(&finisher));
                    let mut session = output.session(&capability);
                    session.give_iterator(deltas.into_iter().flatten());
                }
            }
        },
    )
}

/// The accumulators of all groups, and what they were before the open epoch.
struct Groups {
    layout: Layout,
    keys: Dictionary,
    integers: Vec<i128>,
    floats: Vec<ExactSum>,
    bests: Vec<Option<Row>>,
    /// Whether the group has a row out, by id.
    emitted: Vec<bool>,
    /// Accumulators before the open epoch of the groups it touched; `None` for those that had no row.
    before: HashMap<u32, Option<Group>>,
    /// Whether a group without rows still has a row out: the one group of an aggregation over no columns.
    keeps_empty: bool,
}

impl Groups {
    fn new(layout: Layout, keeps_empty: bool) -> Self {
        Self {
            layout,
            keys: Dictionary::default(),
            integers: Vec::new(),
            floats: Vec::new(),
            bests: Vec::new(),
            emitted: Vec::new(),
            before: HashMap::new(),
            keeps_empty,
        }
    }

    /// The group's id, its accumulators there and what they were before this epoch kept.
    fn touch(&mut self, key: &[u8]) -> Result<u32, DictionaryFull> {
        let id = self.keys.intern(key)?;
        if self.keys.len() > self.emitted.len() {
            self.emitted.push(false);
            self.integers
                .resize(self.keys.len() * self.layout.integers, 0);
            self.floats
                .resize(self.keys.len() * self.layout.floats, ExactSum::default());
            self.bests
                .resize(self.keys.len() * self.layout.extremes, None);
        }
        if !self.before.contains_key(&id) {
            let before = self.emitted[id as usize].then(|| self.group(id));
            self.before.insert(id, before);
        }
        Ok(id)
    }

    fn group(&self, id: u32) -> Group {
        fn slice<T: Clone>(all: &[T], id: u32, width: usize) -> Box<[T]> {
            all[id as usize * width..][..width].into()
        }
        Group {
            integers: slice(&self.integers, id, self.layout.integers),
            floats: slice(&self.floats, id, self.layout.floats),
            bests: slice(&self.bests, id, self.layout.extremes),
        }
    }

    fn apply(&mut self, waiting: Waiting) -> Result<(), DictionaryFull> {
        for sums in waiting.sums {
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
        for Bests { groups, best } in waiting.bests {
            for (key, best) in groups.iter().zip(best) {
                let Some((call, key)) = untag(key) else {
                    continue;
                };
                let Carrier::Extreme(slot) = self.layout.carriers[call] else {
                    continue;
                };
                let id = self.touch(key)? as usize;
                self.bests[id * self.layout.extremes + slot] = best;
            }
        }
        Ok(())
    }

    /// Ends the epoch: the old rows of the groups it changed, and the new ones.
    fn close(&mut self, finisher: &Finisher) -> Result<Vec<Delta>, AggregateError> {
        let (mut gone, mut new, mut changed) = (Vec::new(), Vec::new(), Vec::new());
        for (id, before) in std::mem::take(&mut self.before) {
            let after = self.group(id);
            let rows = after.integers[0];
            if rows < 0 {
                return Err(AggregateError::NegativeRows(rows));
            }
            let present = rows > 0 || self.keeps_empty;
            self.emitted[id as usize] = present;
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
            // Other accumulators may come to the same row: an average, say.
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
