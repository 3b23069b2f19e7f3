//! The rows of a key before and after an epoch.
//!
//! Differential's `CursorList` seeks the cursors of all batches. Here only the batches that contain the key take part, each
//! with the range of its values.

use differential_dataflow::trace::implementations::BatchContainer;

use crate::exchange_rows::RowBatch;

/// The values of one key within one batch, from the current one on.
#[derive(Clone, Copy)]
pub struct Span<'a> {
    batch: &'a RowBatch,
    next: usize,
    end: usize,
}

impl<'a> Span<'a> {
    /// All values of the batch's key at index `key`.
    pub fn new(batch: &'a RowBatch, key: usize) -> Self {
        let (next, end) = batch.storage.vals.bounds(key);
        Self { batch, next, end }
    }

    /// The current value; `None` past the end.
    pub fn value(&self) -> Option<&'a [u8]> {
        (self.next < self.end).then(|| self.batch.storage.vals.get_abs(self.next))
    }

    fn seek(&mut self, from: &[u8]) {
        self.next += self
            .batch
            .storage
            .vals
            .vals
            .advance(self.next, self.end, |value| value < from);
    }

    /// Epochs and differences of the current value.
    fn updates(&self) -> impl Iterator<Item = (u64, i64)> + use<'a> {
        let upds = &self.batch.storage.upds;
        let (start, end) = upds.bounds(self.next);
        (start..end)
            .map(|index| upds.get_abs(index))
            .map(|(epoch, diff)| (*epoch, *diff))
    }

    /// Number of updates of all values.
    pub fn update_count(mut self) -> u64 {
        let mut count = 0;
        while self.next < self.end {
            count += self
                .updates()
                .map(|(_, diff)| diff.unsigned_abs())
                .sum::<u64>();
            self.next += 1;
        }
        count
    }

    /// Visits each value with the sum of its differences over all epochs.
    pub fn for_each(mut self, mut visit: impl FnMut(&[u8], i64)) {
        while let Some(value) = self.value() {
            visit(value, self.updates().map(|(_, diff)| diff).sum());
            self.next += 1;
        }
    }

    /// Sets `epochs` to those in which a value changes, ascending.
    pub fn epochs(mut self, epochs: &mut Vec<u64>) {
        epochs.clear();
        while self.next < self.end {
            for (epoch, _) in self.updates() {
                if epochs.last() != Some(&epoch) {
                    epochs.push(epoch);
                }
            }
            self.next += 1;
        }
        epochs.sort_unstable();
        epochs.dedup();
    }
}

/// The rows of one key, and an epoch that changes some of them.
pub struct KeyRows<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The epoch.
    pub epoch: u64,
    /// The rows in batches of earlier epochs.
    pub old: &'a [Span<'a>],
    /// The rows in the batch of the epoch, which may also contain earlier and later epochs.
    pub fresh: Span<'a>,
}

/// A value of a key, and its counts before and after the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRow<'a> {
    /// The value.
    pub value: &'a [u8],
    /// The count before the epoch.
    pub before: i64,
    /// The count after it.
    pub after: i64,
}

impl<'a> KeyRows<'a> {
    /// The values that the epoch changes, ascending, with the differences. The cost depends on the batch of the epoch alone.
    pub fn changes(&self) -> impl Iterator<Item = (&'a [u8], i64)> + use<'a> {
        let (mut span, now) = (self.fresh, self.epoch);
        std::iter::from_fn(move || {
            let value = span.value()?;
            let diff: i64 = span
                .updates()
                .filter(|(epoch, _)| *epoch == now)
                .map(|(_, diff)| diff)
                .sum();
            span.next += 1;
            Some((value, diff))
        })
        .filter(|(_, diff)| *diff != 0)
    }

    /// The values not less than `from` that exist before or after the epoch, ascending.
    pub fn walk(&self, from: &[u8]) -> RowWalk<'a> {
        let mut spans: Vec<_> = self.old.iter().copied().chain([self.fresh]).collect();
        for span in &mut spans {
            span.seek(from);
        }
        RowWalk {
            spans,
            epoch: self.epoch,
        }
    }
}

/// See [`KeyRows::walk`].
pub struct RowWalk<'a> {
    /// The spans of the old batches, then that of the epoch's batch.
    spans: Vec<Span<'a>>,
    epoch: u64,
}

impl<'a> RowWalk<'a> {
    /// The least value; moves past it.
    fn step(&mut self) -> Option<KeyRow<'a>> {
        let value = self.spans.iter().filter_map(Span::value).min()?;
        let mut row = KeyRow {
            value,
            before: 0,
            after: 0,
        };
        let fresh = self.spans.len() - 1;
        for (index, span) in self.spans.iter_mut().enumerate() {
            if span.value() != Some(value) {
                continue;
            }
            for (epoch, diff) in span.updates() {
                // Compaction advances the epochs of old batches, but never beyond the current one.
                if index < fresh || epoch < self.epoch {
                    row.before += diff;
                }
                if index < fresh || epoch <= self.epoch {
                    row.after += diff;
                }
            }
            span.next += 1;
        }
        Some(row)
    }
}

impl<'a> Iterator for RowWalk<'a> {
    type Item = KeyRow<'a>;

    fn next(&mut self) -> Option<KeyRow<'a>> {
        loop {
            let row = self.step()?;
            if (row.before, row.after) != (0, 0) {
                return Some(row);
            }
        }
    }
}
