//! Pairs of a run against those of the state: how often each was kept, and what the run changes of it.
//!
//! The graph orders pairs by its own ids, the state by bytes. Ids are ranked by their bytes once a run, so that pairs
//! are brought into the order of the state by comparing integers.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use super::extremes::Ordered;
use super::paired::pack;
use super::radix::sort_by_digits;
use super::runs::{Run, Value};
use crate::dictionary::{Dictionary, PackedRows};
use crate::state::{Give, Kept, Noted, StateError, Update};

/// How often the pairs of `run` were kept, by where they stand first.
///
/// # Errors
/// When the state cannot be read.
pub fn kept_counts(
    kept: &dyn Kept,
    run: &Run<u32>,
    groups: &Dictionary,
    values: &Dictionary,
) -> Result<Vec<i64>, StateError> {
    let group_ranks = Ranks::new(run.pairs().map(|pair| pair.0), groups);
    let value_ranks = Ranks::new(run.pairs().map(|pair| pair.1), values);
    let ranked = run.sums(0..run.len()).map(|(at, &(group, value), _)| {
        let ranks = pack(group_ranks.of(group), value_ranks.of(value));
        (ranks, at)
    });
    let mut order: Vec<(u64, usize)> = ranked.collect();
    sort_by_digits(&mut order, |&(ranks, _)| [0, ranks]);
    let mut counts = vec![0; run.len()];
    let mut entries = kept.lookup();
    let mut key = Vec::new();
    for (_, at) in order {
        let &(group, value) = run.pair(at);
        key.clear();
        key.extend_from_slice(groups.get(group));
        key.extend_from_slice(values.get(value));
        counts[at] = entries.count(&key)?;
    }
    Ok(counts)
}

/// Some ids of a dictionary in the order of their bytes.
struct Ranks {
    /// By id; only those of the ids given mean something.
    ranks: Vec<u32>,
    ids: Vec<u32>,
}

impl Ranks {
    fn new(ids: impl Iterator<Item = u32>, dictionary: &Dictionary) -> Self {
        let mut ranks = vec![u32::MAX; dictionary.len()];
        let mut present = Vec::new();
        for id in ids {
            if ranks[id as usize] == u32::MAX {
                ranks[id as usize] = 0;
                present.push(id);
            }
        }
        present.sort_unstable_by(|&a, &b| dictionary.get(a).cmp(dictionary.get(b)));
        for (rank, &id) in (0..).zip(&present) {
            ranks[id as usize] = rank;
        }
        Self {
            ranks,
            ids: present,
        }
    }

    fn of(&self, id: u32) -> u32 {
        self.ranks[id as usize]
    }
}

/// The groups of a run in the order of their bytes: their ids, and where their pairs are.
fn groups_in_order<V: Value>(run: &Run<V>, groups: &Dictionary) -> Vec<(u32, Range<usize>)> {
    let id = |range: Range<usize>| (run.pair(range.start).0, range);
    let mut all: Vec<_> = run.groups().map(id).collect();
    all.sort_unstable_by(|(a, _), (b, _)| groups.get(*a).cmp(groups.get(*b)));
    all
}

/// The pairs of a run whose values are ids; their bytes begin with the value's slice.
pub struct NotedPairs {
    /// The run.
    pub run: Rc<Run<u32>>,
    /// What its groups are ids of.
    pub groups: Rc<RefCell<Dictionary>>,
    /// What its values are ids of.
    pub values: Rc<RefCell<Dictionary>>,
    /// How often its pairs are there now, by where they stand first; none where nothing was kept.
    pub counts: Option<Vec<i64>>,
}

impl Noted for NotedPairs {
    fn give(&self, give: &mut dyn Give) {
        let (groups, values) = (self.groups.borrow(), self.values.borrow());
        let value_ranks = Ranks::new(self.run.pairs().map(|pair| pair.1), &values);
        // Side by side, as they are gone through for every group.
        let mut in_order = PackedRows::default();
        let ids = value_ranks.ids.iter();
        ids.for_each(|&id| in_order.push(values.get(id)));
        let (mut key, mut ranked) = (Vec::new(), Ranked::new(in_order.len()));
        for (group, range) in groups_in_order(&self.run, &groups) {
            key.clear();
            key.extend_from_slice(groups.get(group));
            let prefix = key.len();
            // What other workers have of the group is in slices before or behind.
            give.run();
            let mut give_value = |rank: u32, update: Update<'_>| {
                key.truncate(prefix);
                key.extend_from_slice(in_order.get(rank as usize));
                give.update(&key, update);
            };
            let many = range.len();
            match &self.counts {
                None => {
                    let updates = self.run.updates(range);
                    let updates = updates.map(|(pair, diff)| (value_ranks.of(pair.1), diff));
                    ranked.sort(many, updates, |rank, diff| {
                        give_value(rank, Update::Add(diff));
                    });
                }
                Some(counts) => {
                    // What is sorted is never zero: counts, which may be, are one more there.
                    let sums = self.run.sums(range);
                    let sums = sums.map(|(at, pair, _)| (value_ranks.of(pair.1), counts[at] + 1));
                    ranked.sort(many, sums, |rank, count| {
                        give_value(rank, Update::Count(count - 1));
                    });
                }
            }
        }
    }
}

/// Sorts the values of one group after another by their ranks.
struct Ranked {
    /// By rank, of values that are many among all; 0 where there is none.
    amounts: Vec<i64>,
    /// Of values that are few.
    few: Vec<(u32, i64)>,
}

/// Values are many when of so many ranks one is theirs.
const MANY: usize = 16;

impl Ranked {
    fn new(ranks: usize) -> Self {
        Self {
            amounts: vec![0; ranks],
            few: Vec::new(),
        }
    }

    /// Gives about `count` amounts in the order of their ranks: of those of one rank, which follow one another, the sum,
    /// which is not zero.
    fn sort(
        &mut self,
        count: usize,
        amounts: impl Iterator<Item = (u32, i64)>,
        mut give: impl FnMut(u32, i64),
    ) {
        if count > self.amounts.len() / MANY {
            amounts.for_each(|(rank, amount)| self.amounts[rank as usize] += amount);
            for (rank, amount) in (0..).zip(&mut self.amounts) {
                if *amount != 0 {
                    give(rank, std::mem::take(amount));
                }
            }
            return;
        }
        self.few.extend(amounts);
        sort_by_digits(&mut self.few, |&(rank, _)| [0, rank.into()]);
        for same in self.few.chunk_by(|one, other| one.0 == other.0) {
            give(same[0].0, same.iter().map(|(_, amount)| amount).sum());
        }
        self.few.clear();
    }
}

/// The pairs of a run whose values are in the order of their bytes.
pub struct NotedValues<O: Ordered> {
    /// The run.
    pub run: Rc<Run<O::Value>>,
    /// What its groups are ids of.
    pub groups: Rc<RefCell<Dictionary>>,
}

impl<O: Ordered> Noted for NotedValues<O> {
    fn give(&self, give: &mut dyn Give) {
        let groups = self.groups.borrow();
        let mut key = Vec::new();
        for (group, range) in groups_in_order(&self.run, &groups) {
            key.clear();
            key.extend_from_slice(groups.get(group));
            let prefix = key.len();
            give.run();
            for (_, (_, value), diff) in self.run.sums(range) {
                key.truncate(prefix);
                O::write(value, &mut key);
                give.update(&key, Update::Add(diff));
            }
        }
    }
}
