//! Pairs of a batch against those of the state: how often each was kept, and what the batch changes of it.
//!
//! The graph orders pairs by its own ids, the state by bytes. Ids are ranked by their bytes once a batch, so that pairs
//! are brought into the order of the state by comparing integers.

use std::cell::RefCell;
use std::rc::Rc;

use differential_dataflow::ExchangeData;
use differential_dataflow::trace::{Cursor, Navigable, TraceReader};

use super::arrange::{Pair, PairTrace};
use super::extremes::Ordered;
use super::radix::sort_by_digits;
use crate::dictionary::Dictionary;
use crate::state::{Give, Kept, KeptCursor, Noted, StateError, Update};

/// A batch of pairs.
pub type PairBatch<V> = <PairTrace<V> as TraceReader>::Batch;

/// How often the pairs of `batch`, in its order, were kept.
///
/// # Errors
/// When the state cannot be read.
pub fn kept_counts(
    kept: &dyn Kept,
    batch: &PairBatch<u32>,
    groups: &Dictionary,
    values: &Dictionary,
) -> Result<Vec<i64>, StateError> {
    let mut pairs = Vec::new();
    let mut cursor = batch.cursor();
    while let Some(&pair) = cursor.get_key(batch) {
        pairs.push(pair);
        cursor.step_key(batch);
    }
    let group_ranks = Ranks::new(pairs.iter().map(|pair| pair.0), groups);
    let value_ranks = Ranks::new(pairs.iter().map(|pair| pair.1), values);
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    order.sort_unstable_by_key(|&at| {
        let (group, value) = pairs[at];
        (group_ranks.of(group), value_ranks.of(value))
    });
    let mut counts = vec![0; pairs.len()];
    let mut entries = kept.cursor();
    let mut key = Vec::new();
    for at in order {
        let (group, value) = pairs[at];
        key.clear();
        key.extend_from_slice(groups.get(group));
        key.extend_from_slice(values.get(value));
        counts[at] = count_at(entries.as_mut(), &key)?;
    }
    Ok(counts)
}

/// How often `key` was kept.
fn count_at(entries: &mut dyn KeptCursor, key: &[u8]) -> Result<i64, StateError> {
    entries.seek(key)?;
    let entry = entries.entry().filter(|entry| entry.key == key);
    Ok(entry.map_or(0, |entry| entry.count))
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

/// The pairs of a batch whose values are ids.
pub struct NotedPairs {
    /// The batch.
    pub batch: PairBatch<u32>,
    /// What its groups are ids of.
    pub groups: Rc<RefCell<Dictionary>>,
    /// What its values are ids of.
    pub values: Rc<RefCell<Dictionary>>,
}

impl Noted for NotedPairs {
    fn give(&self, give: &mut Give<'_>) {
        let (groups, values) = (self.groups.borrow(), self.values.borrow());
        let value_ranks = Ranks::new(ids(&self.batch, |pair| pair.1), &values);
        let group_ranks = Ranks::new(ids(&self.batch, |pair| pair.0), &groups);
        let mut cursor = self.batch.cursor();
        let (mut key, mut of_group) = (Vec::new(), Vec::<(u32, i64)>::new());
        for &group in &group_ranks.ids {
            cursor.rewind_keys(&self.batch);
            cursor.seek_key(&self.batch, &(group, 0));
            of_group.clear();
            while let Some(&(_, value)) = cursor.get_key(&self.batch).filter(|pair| pair.0 == group)
            {
                let mut diff = 0;
                cursor.map_times(&self.batch, |_, more| diff += more);
                of_group.push((value_ranks.of(value), diff));
                cursor.step_key(&self.batch);
            }
            sort_by_digits(&mut of_group, |&(rank, _)| [0, rank.into()]);
            key.clear();
            key.extend_from_slice(groups.get(group));
            let prefix = key.len();
            for &(rank, diff) in of_group.iter().filter(|(_, diff)| *diff != 0) {
                key.truncate(prefix);
                key.extend_from_slice(values.get(value_ranks.ids[rank as usize]));
                give(&key, Update::Add(diff));
            }
        }
    }
}

/// The pairs of a batch whose values are in the order of their bytes.
pub struct NotedValues<O: Ordered> {
    /// The batch.
    pub batch: PairBatch<O::Value>,
    /// What its groups are ids of.
    pub groups: Rc<RefCell<Dictionary>>,
}

impl<O: Ordered> Noted for NotedValues<O> {
    fn give(&self, give: &mut Give<'_>) {
        let groups = self.groups.borrow();
        let ranks = Ranks::new(ids(&self.batch, |pair| pair.0), &groups);
        let mut cursor = self.batch.cursor();
        let mut key = Vec::new();
        for &group in &ranks.ids {
            cursor.rewind_keys(&self.batch);
            cursor.seek_key(&self.batch, &(group, O::LEAST));
            key.clear();
            key.extend_from_slice(groups.get(group));
            let prefix = key.len();
            while let Some((_, value)) = cursor.get_key(&self.batch).filter(|pair| pair.0 == group)
            {
                key.truncate(prefix);
                O::write(value, &mut key);
                let mut diff = 0;
                cursor.map_times(&self.batch, |_, more| diff += more);
                if diff != 0 {
                    give(&key, Update::Add(diff));
                }
                cursor.step_key(&self.batch);
            }
        }
    }
}

/// An id of each pair of a batch, in its order.
fn ids<V: ExchangeData>(
    batch: &PairBatch<V>,
    id: impl Fn(&Pair<V>) -> u32,
) -> impl Iterator<Item = u32> {
    let mut cursor = batch.cursor();
    std::iter::from_fn(move || {
        let id = id(cursor.get_key(batch)?);
        cursor.step_key(batch);
        Some(id)
    })
}
