//! The pairs of a run and the state: the stored counts of the pairs, and the updates of the state that a run causes.
//!
//! The graph orders pairs by its own ids, the state by bytes. Ids are ranked by their bytes once a run, so that bringing
//! pairs into the order of the state compares integers.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use super::pair_counter::pack;
use super::pair_run::{GroupValue, PairRun, PairSum, PairValue};
use super::radix::sort_by_digits;
use super::value_codec::ValueCodec;
use crate::dictionary::{KeyDictionary, PackedRows};
use crate::key_order::in_key_order;
use crate::state::{EntryUpdate, StateDelta, StateError, StateVisitor, StoredEntries};

/// The stored counts of the pairs of `run`, each at the index of its first entry.
///
/// # Errors
/// When the state cannot be read.
pub fn stored_counts(
    stored: &dyn StoredEntries,
    run: &PairRun<u32>,
    groups: &KeyDictionary,
    values: &KeyDictionary,
) -> Result<Vec<i64>, StateError> {
    let group_ranks = Ranks::new(run.pairs().map(|pair| pair.group), groups);
    let value_ranks = Ranks::new(run.pairs().map(|pair| pair.value), values);
    let ranked = run.sums(0..run.len()).map(|PairSum { at, pair, .. }| {
        let ranks = pack(group_ranks.rank(pair.group), value_ranks.rank(pair.value));
        (ranks, at)
    });
    let mut order: Vec<(u64, usize)> = ranked.collect();
    sort_by_digits(&mut order, |&(ranks, _)| [0, ranks]);
    let mut counts = vec![0; run.len()];
    let mut entries = stored.lookup();
    let mut key = Vec::new();
    for (_, at) in order {
        let &GroupValue { group, value } = run.pair(at);
        key.clear();
        key.extend_from_slice(groups.get(group));
        key.extend_from_slice(values.get(value));
        counts[at] = entries.count(&key)?;
    }
    Ok(counts)
}

/// Some ids of a dictionary in the order of their bytes.
struct Ranks {
    /// The rank of each id. Ids that were not given have no meaningful rank.
    ranks: Vec<u32>,
    /// The id of each rank.
    ids: Vec<u32>,
}

impl Ranks {
    fn new(ids: impl Iterator<Item = u32>, dictionary: &KeyDictionary) -> Self {
        let mut ranks = vec![u32::MAX; dictionary.len()];
        let mut present = Vec::new();
        for id in ids {
            if ranks[id as usize] == u32::MAX {
                ranks[id as usize] = 0;
                present.push(id);
            }
        }
        let present = dictionary.in_order(present.into_iter());
        for (rank, &id) in (0..).zip(&present) {
            ranks[id as usize] = rank;
        }
        Self {
            ranks,
            ids: present,
        }
    }

    fn rank(&self, id: u32) -> u32 {
        self.ranks[id as usize]
    }
}

/// The groups of a run in the order of their bytes: their ids, and the ranges of their pairs.
fn groups_in_order<V: PairValue>(
    run: &PairRun<V>,
    groups: &KeyDictionary,
) -> Vec<(u32, Range<usize>)> {
    let id = |range: Range<usize>| (run.pair(range.start).group, range);
    in_key_order(run.groups().map(id), |(group, _)| groups.get(*group))
}

/// The updates of a run of distinct pairs. Values are ids; their bytes begin with the value's slice.
pub struct DistinctPairDelta {
    /// The run.
    pub run: Rc<PairRun<u32>>,
    /// The keys of its groups.
    pub groups: Rc<RefCell<KeyDictionary>>,
    /// The bytes of its values.
    pub values: Rc<RefCell<KeyDictionary>>,
    /// The counts of its pairs after the run, each at the index of the first entry; `None` where nothing was stored.
    pub counts: Option<Vec<i64>>,
}

impl StateDelta for DistinctPairDelta {
    fn visit(&self, visitor: &mut dyn StateVisitor) {
        let (groups, values) = (self.groups.borrow(), self.values.borrow());
        let value_ranks = Ranks::new(self.run.pairs().map(|pair| pair.value), &values);
        // Copied into order, because they are read for every group.
        let mut in_order = PackedRows::default();
        let ids = value_ranks.ids.iter();
        ids.for_each(|&id| in_order.push(values.get(id)));
        let (mut key, mut ranked) = (Vec::new(), RankSorter::new(in_order.len()));
        for (group, range) in groups_in_order(&self.run, &groups) {
            key.clear();
            key.extend_from_slice(groups.get(group));
            let prefix = key.len();
            // Other workers have other slices of the group: before or after all of these.
            visitor.begin_run();
            let mut visit_value = |rank: u32, update: EntryUpdate<'_>| {
                key.truncate(prefix);
                key.extend_from_slice(in_order.get(rank as usize));
                visitor.update(&key, update);
            };
            let many = range.len();
            match &self.counts {
                None => {
                    let updates = self.run.updates(range);
                    let updates = updates.map(|(pair, diff)| (value_ranks.rank(pair.value), diff));
                    ranked.sort(many, updates, |rank, diff| {
                        visit_value(rank, EntryUpdate::Add(diff));
                    });
                }
                Some(counts) => {
                    // The sorter takes no zeros, but counts may be zero: they are sorted as one more.
                    let sums = self.run.sums(range);
                    let sums =
                        sums.map(|sum| (value_ranks.rank(sum.pair.value), counts[sum.at] + 1));
                    ranked.sort(many, sums, |rank, count| {
                        visit_value(rank, EntryUpdate::Count(count - 1));
                    });
                }
            }
        }
    }
}

/// Sorts amounts by the ranks of their values, for one group after another.
struct RankSorter {
    /// The amount of each rank, where a group has many values; 0 for none.
    amounts: Vec<i64>,
    /// Ranks and amounts, where a group has few values.
    few: Vec<(u32, i64)>,
}

/// A group has many values when it has more than one in this many of all ranks.
const RANKS_PER_VALUE: usize = 16;

impl RankSorter {
    fn new(ranks: usize) -> Self {
        Self {
            amounts: vec![0; ranks],
            few: Vec::new(),
        }
    }

    /// Passes about `count` amounts to `visit` in the order of their ranks. Amounts of one rank, which must be adjacent, are
    /// summed; sums must not be zero.
    fn sort(
        &mut self,
        count: usize,
        amounts: impl Iterator<Item = (u32, i64)>,
        mut visit: impl FnMut(u32, i64),
    ) {
        if count > self.amounts.len() / RANKS_PER_VALUE {
            amounts.for_each(|(rank, amount)| self.amounts[rank as usize] += amount);
            for (rank, amount) in (0..).zip(&mut self.amounts) {
                if *amount != 0 {
                    visit(rank, std::mem::take(amount));
                }
            }
            return;
        }
        self.few.extend(amounts);
        sort_by_digits(&mut self.few, |&(rank, _)| [0, rank.into()]);
        for same in self.few.chunk_by(|one, other| one.0 == other.0) {
            visit(same[0].0, same.iter().map(|(_, amount)| amount).sum());
        }
        self.few.clear();
    }
}

/// The updates of a run of pairs whose values are ordered like their bytes.
pub struct ExtremePairDelta<C: ValueCodec> {
    /// The run.
    pub run: Rc<PairRun<C::Value>>,
    /// The keys of its groups.
    pub groups: Rc<RefCell<KeyDictionary>>,
}

impl<C: ValueCodec> StateDelta for ExtremePairDelta<C> {
    fn visit(&self, visitor: &mut dyn StateVisitor) {
        let groups = self.groups.borrow();
        let mut key = Vec::new();
        for (group, range) in groups_in_order(&self.run, &groups) {
            key.clear();
            key.extend_from_slice(groups.get(group));
            let prefix = key.len();
            visitor.begin_run();
            for PairSum { pair, diff, .. } in self.run.sums(range) {
                key.truncate(prefix);
                C::encode(&pair.value, &mut key);
                visitor.update(&key, EntryUpdate::Add(diff));
            }
        }
    }
}
