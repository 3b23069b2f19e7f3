//! Rows of a batch's keys as the state keeps them, and what the batch changes of them.

use differential_dataflow::trace::implementations::BatchContainer;
use differential_dataflow::trace::{Builder, Description};
use timely::progress::Antichain;

use crate::exchange_rows::{RowBatch, RowBuilder, Update as RowUpdate};
use crate::group::Span;
use crate::row::Row;
use crate::state::{Give, Kept, Noted, StateError, Update};

/// The kept rows of the keys of `fresh`, as a batch that is older than any of the graph's. Of each key no more than the
/// first `reach` rows are wanted, before or after `fresh`: since every update of the graph can take away no more than one
/// of the rows kept, so many more are enough.
///
/// # Errors
/// When the state cannot be read.
pub fn recall(
    kept: &dyn Kept,
    old: &[RowBatch],
    fresh: &RowBatch,
    reach: u64,
) -> Result<RowBatch, StateError> {
    let mut entries = kept.cursor();
    let mut updates: Vec<RowUpdate> = Vec::new();
    let keys = &fresh.storage.keys;
    for index in 0..keys.len() {
        let key = keys.index(index);
        let mut left = reach;
        if reach < u64::MAX {
            left = left.saturating_add(Span::new(fresh, index).updates_of_key());
            for batch in old {
                let keys = &batch.storage.keys;
                let at = keys.advance(0, keys.len(), |other| other < key);
                if keys.get(at) == Some(key) {
                    left = left.saturating_add(Span::new(batch, at).updates_of_key());
                }
            }
        }
        entries.seek(key)?;
        let owned = Row::from(key);
        while let Some(entry) = entries.entry().filter(|_| left > 0)
            && let Some(row) = entry.key.strip_prefix(key)
        {
            updates.push(((owned.clone(), Row::from(row)), 0, entry.count));
            entries.step()?;
            left -= 1;
        }
    }
    let mut builder = RowBuilder::with_capacity(keys.len(), updates.len(), updates.len());
    builder.push(&mut updates);
    let zero = || Antichain::from_elem(0);
    Ok(builder.done(Description::new(zero(), zero(), zero())))
}

/// What a batch changes.
pub struct NotedBatch(pub RowBatch);

impl Noted for NotedBatch {
    fn give(&self, give: &mut dyn Give) {
        let keys = &self.0.storage.keys;
        let mut entry = Vec::new();
        for index in 0..keys.len() {
            give.run();
            Span::new(&self.0, index).for_each(|row, diff| {
                entry.clear();
                entry.extend_from_slice(keys.index(index));
                entry.extend_from_slice(row);
                if diff != 0 {
                    give.update(&entry, Update::Add(diff));
                }
            });
        }
    }
}

/// The first row of each key of a batch, where it comes before the one that was kept: it takes its place.
pub struct NotedFirst {
    old: Vec<RowBatch>,
    fresh: RowBatch,
}

impl NotedFirst {
    /// What `fresh` changes of the first rows in `old`.
    pub fn new(old: &[RowBatch], fresh: &RowBatch) -> Self {
        Self {
            old: old.to_vec(),
            fresh: fresh.clone(),
        }
    }
}

impl Noted for NotedFirst {
    fn give(&self, give: &mut dyn Give) {
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
                give.run();
                give.update(&[key, first].concat(), Update::Add(1));
                if let Some(before) = before {
                    give.update(&[key, before].concat(), Update::Add(-1));
                }
            }
        }
    }
}
