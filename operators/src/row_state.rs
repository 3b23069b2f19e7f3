//! The stored rows of a batch's keys, and the updates of the state that a batch causes.

use std::collections::BTreeMap;

use differential_dataflow::trace::implementations::BatchContainer;
use differential_dataflow::trace::{Builder, Description};
use timely::progress::Antichain;

use crate::exchange_rows::{RowBatch, RowBuilder, RowUpdate};
use crate::key_rows::{KeyRows, Span};
use crate::row::EncodedRow;
use crate::state::{EntryUpdate, StateDelta, StateError, StateVisitor, StoredEntries};

/// The stored rows of the keys of `fresh`, as a batch that is older than all of the graph's.
///
/// The operator reads at most the first `reach` rows of a key, before or after `fresh`. Each update of the graph removes
/// at most one stored row from these, so `reach` rows and one more for each update are enough.
///
/// # Errors
/// When the state cannot be read.
pub fn stored_rows(
    stored: &dyn StoredEntries,
    old: &[RowBatch],
    fresh: &RowBatch,
    reach: u64,
) -> Result<RowBatch, StateError> {
    let mut entries = stored.cursor();
    let mut updates: Vec<RowUpdate> = Vec::new();
    let keys = &fresh.storage.keys;
    for index in 0..keys.len() {
        let key = keys.index(index);
        let mut wanted = reach;
        if reach < u64::MAX {
            wanted = wanted.saturating_add(Span::new(fresh, index).update_count());
            for batch in old {
                let keys = &batch.storage.keys;
                let at = keys.advance(0, keys.len(), |other| other < key);
                if keys.get(at) == Some(key) {
                    wanted = wanted.saturating_add(Span::new(batch, at).update_count());
                }
            }
        }
        entries.seek(key)?;
        let owned = EncodedRow::from(key);
        while let Some(entry) = entries.entry().filter(|_| wanted > 0)
            && let Some(row) = entry.key.strip_prefix(key)
        {
            updates.push(((owned.clone(), EncodedRow::from(row)), 0, entry.count));
            entries.step()?;
            wanted -= 1;
        }
    }
    let mut builder = RowBuilder::with_capacity(keys.len(), updates.len(), updates.len());
    builder.push(&mut updates);
    let zero = || Antichain::from_elem(0);
    Ok(builder.done(Description::new(zero(), zero(), zero())))
}

/// The updates of a batch, where all rows are stored.
pub struct BatchDelta(pub RowBatch);

impl StateDelta for BatchDelta {
    fn visit(&self, visitor: &mut dyn StateVisitor) {
        let keys = &self.0.storage.keys;
        let mut entry = Vec::new();
        for index in 0..keys.len() {
            visitor.begin_run();
            Span::new(&self.0, index).for_each(|row, diff| {
                entry.clear();
                entry.extend_from_slice(keys.index(index));
                entry.extend_from_slice(row);
                if diff != 0 {
                    visitor.update(&entry, EntryUpdate::Add(diff));
                }
            });
        }
    }
}

/// The updates of a batch, where the first row of each key is stored: a row that precedes it replaces it.
pub struct FirstRowDelta {
    old: Vec<RowBatch>,
    fresh: RowBatch,
}

impl FirstRowDelta {
    /// The updates of `fresh`, where `old` has the first rows so far.
    pub fn new(old: &[RowBatch], fresh: &RowBatch) -> Self {
        Self {
            old: old.to_vec(),
            fresh: fresh.clone(),
        }
    }
}

impl StateDelta for FirstRowDelta {
    fn visit(&self, visitor: &mut dyn StateVisitor) {
        let keys = &self.fresh.storage.keys;
        let mut at = vec![0; self.old.len()];
        for index in 0..keys.len() {
            let key = keys.index(index);
            let mut before: Option<&[u8]> = None;
            for (batch, at) in self.old.iter().zip(&mut at) {
                let others = &batch.storage.keys;
                *at += others.advance(*at, others.len(), |other| other < key);
                if others.get(*at) == Some(key) {
                    before = before
                        .into_iter()
                        .chain(Span::new(batch, *at).value())
                        .min();
                }
            }
            let Some(first) = Span::new(&self.fresh, index).value() else {
                continue;
            };
            if before.is_none_or(|before| first < before) {
                visitor.begin_run();
                visitor.update(&[key, first].concat(), EntryUpdate::Add(1));
                if let Some(before) = before {
                    visitor.update(&[key, before].concat(), EntryUpdate::Add(-1));
                }
            }
        }
    }
}

/// Computes the entries that the state stores for rows of a key, which are given in ascending order with their
/// counts.
pub type Summarize = fn(&mut dyn Iterator<Item = (&[u8], i64)>) -> BTreeMap<Vec<u8>, i64>;

/// The updates of a batch, where a summary of the rows of each key is stored.
pub struct SummaryDelta {
    old: Vec<RowBatch>,
    fresh: RowBatch,
    summarize: Summarize,
}

impl SummaryDelta {
    /// The updates of `fresh`, where `old` has the rows so far, stored ones summarized.
    pub fn new(old: &[RowBatch], fresh: &RowBatch, summarize: Summarize) -> Self {
        Self {
            old: old.to_vec(),
            fresh: fresh.clone(),
            summarize,
        }
    }
}

impl StateDelta for SummaryDelta {
    fn visit(&self, visitor: &mut dyn StateVisitor) {
        let keys = &self.fresh.storage.keys;
        let mut at = vec![0; self.old.len()];
        for index in 0..keys.len() {
            let key = keys.index(index);
            let mut old = Vec::with_capacity(self.old.len());
            for (batch, at) in self.old.iter().zip(&mut at) {
                let others = &batch.storage.keys;
                *at += others.advance(*at, others.len(), |other| other < key);
                if others.get(*at) == Some(key) {
                    old.push(Span::new(batch, *at));
                }
            }
            // The rows before all epochs of the batch, and after them.
            let rows = |epoch| KeyRows {
                key,
                epoch,
                old: &old,
                fresh: Span::new(&self.fresh, index),
            };
            let (first, last) = (rows(0), rows(u64::MAX));
            let mut before = first.walk(&[]).map(|row| (row.value, row.before));
            let mut after = last.walk(&[]).map(|row| (row.value, row.after));
            let mut updates: BTreeMap<Vec<u8>, i64> = (self.summarize)(&mut after);
            for (value, count) in (self.summarize)(&mut before) {
                *updates.entry(value).or_default() -= count;
            }
            visitor.begin_run();
            for (value, diff) in updates.iter().filter(|(_, diff)| **diff != 0) {
                visitor.update(&[key, value].concat(), EntryUpdate::Add(*diff));
            }
        }
    }
}
