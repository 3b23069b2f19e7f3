//! `accumulate`: the groups themselves. Adds up what the partial results say, and at the end of each epoch takes back
//! the old row of every group that changed and gives the new one.
//!
//! ```text
//! pre-aggregate ── sums ───────────────────────────┐
//!      ├── pairs ── exchange, sort, distinct ──────┤ exchange by group ── accumulate ── deltas
//!      └── pairs ── exchange, sort, extremes ──────┘
//! ```
//!
//! Invariants:
//! 1. What was emitted for a group is the row of its accumulators as the last closed epoch left them, or nothing when
//!    it had no rows.
//! 2. Epochs are applied in order: amounts of an epoch wait until all earlier epochs are complete.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use arrow::compute::filter_record_batch;
use hashbrown::HashMap;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use super::exact_sum::ExactSum;
use super::finish::{Finisher, Group};
use super::kept_groups::{put_group, take_group};
use super::keys::{owner, untag};
use super::parcel::{Bests, Parcel, Sums};
use super::partial::AggregateError;
use super::spec::{Aggregation, Carrier, Layout};
use crate::dictionary::Dictionary;
use crate::hash::hash;
use crate::row::Row;
use crate::state::{Give, Noted, Part, Update};
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
    part: Part,
) -> Stream<'scope, u64, Vec<Delta>> {
    let scope = sums.scope();
    let operator = aggregation.name.clone();
    // Over no columns there is exactly one group, even when there are no rows; one worker owns it.
    let always = aggregation.group.is_empty() && owner(hash(&[]), scope.peers()) == scope.index();
    let groups = Groups::new(layout.clone(), aggregation.group.is_empty(), part.clone());
    let groups = Rc::new(RefCell::new(groups));
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
                faults.catch(&operator, groups.borrow_mut().touch(&[]));
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
                            groups
                                .borrow_mut()
                                .apply(std::mem::take(&mut entry.get_mut().1)),
                        );
                    }
                    if sums_frontier.less_equal(&epoch) || bests_frontier.less_equal(&epoch) {
                        break;
                    }
                    let (capability, _) = entry.remove();
                    let mut changed = Vec::new();
                    let deltas = groups.borrow_mut().close(&finisher, &mut changed);
                    let deltas = faults.catch(&operator, deltas);
                    part.note(|| {
                        Box::new(NotedGroups {
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
    /// Where groups come from that were kept before the graph began.
    part: Part,
}

impl Groups {
    fn new(layout: Layout, keeps_empty: bool, part: Part) -> Self {
        Self {
            layout,
            keys: Dictionary::default(),
            integers: Vec::new(),
            floats: Vec::new(),
            bests: Vec::new(),
            emitted: Vec::new(),
            before: HashMap::new(),
            keeps_empty,
            part,
        }
    }

    /// The group's id, its accumulators there and what they were before this epoch kept.
    fn touch(&mut self, key: &[u8]) -> Result<u32, AggregateError> {
        let id = self.keys.intern(key)?;
        if self.keys.len() > self.emitted.len() {
            self.emitted.push(false);
            self.integers
                .resize(self.keys.len() * self.layout.integers, 0);
            self.floats
                .resize(self.keys.len() * self.layout.floats, ExactSum::default());
            self.bests
                .resize(self.keys.len() * self.layout.extremes, None);
            self.recall(id, key)?;
        }
        if !self.before.contains_key(&id) {
            let before = self.emitted[id as usize].then(|| self.group(id));
            self.before.insert(id, before);
        }
        Ok(id)
    }

    /// Sets a group that is new to the graph to what was kept of it.
    fn recall(&mut self, id: u32, key: &[u8]) -> Result<(), AggregateError> {
        let Some(kept) = self.part.kept() else {
            return Ok(());
        };
        let mut entries = kept.cursor();
        entries.seek(key)?;
        let Some(entry) = entries.entry().filter(|entry| entry.key == key) else {
            return Ok(());
        };
        let group = take_group(entry.payload, &self.layout).ok_or(AggregateError::KeptGroup)?;
        let id = id as usize;
        let Layout {
            integers,
            floats,
            extremes,
            ..
        } = self.layout;
        self.integers[id * integers..][..integers].copy_from_slice(&group.integers);
        self.floats[id * floats..][..floats].clone_from_slice(&group.floats);
        self.bests[id * extremes..][..extremes].clone_from_slice(&group.bests);
        self.emitted[id] = true;
        Ok(())
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

    fn apply(&mut self, waiting: Waiting) -> Result<(), AggregateError> {
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

    /// Ends the epoch: the old rows of the groups it changed, and the new ones. `touched` learns the groups whose
    /// accumulators changed.
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
            let present = rows > 0 || self.keeps_empty;
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

/// The groups that an epoch changed.
struct NotedGroups {
    groups: Rc<RefCell<Groups>>,
    changed: Vec<u32>,
}

impl Noted for NotedGroups {
    /// Gives the groups as they are now, which is later than the epoch where more have followed.
    fn give(&self, give: &mut dyn Give) {
        let groups = self.groups.borrow();
        let mut ids = self.changed.clone();
        ids.sort_unstable_by(|&a, &b| groups.keys.get(a).cmp(groups.keys.get(b)));
        let mut payload = Vec::new();
        for id in ids {
            let key = groups.keys.get(id);
            give.run();
            if groups.emitted[id as usize] {
                payload.clear();
                put_group(&groups.group(id), &mut payload);
                give.update(key, Update::Put(&payload));
            } else {
                give.update(key, Update::Remove);
            }
        }
    }
}
