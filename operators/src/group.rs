//! A key's rows as an epoch finds and leaves them.
//!
//! Differential's `CursorList` seeks every batch's cursor, also those that are not at the key; here only the batches
//! that have the key take part, each as the range of its values.

use differential_dataflow::trace::implementations::BatchContainer;

use crate::exchange_rows::RowBatch;

/// The values of one key within one batch, from a position on.
#[derive(Clone, Copy)]
pub struct Span<'a> {
    batch: &'a RowBatch,
    next: usize,
    end: usize,
}

impl<'a> Span<'a> {
    /// All values of the batch's key number `key`.
    pub fn new(batch: &'a RowBatch, key: usize) -> Self {
        let (next, end) = batch.storage.vals.bounds(key);
        Self { batch, next, end }
    }

    /// Its first value that is left.
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

    /// Number of the key's updates.
    pub fn updates_of_key(mut self) -> u64 {
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

    /// Each value with the sum of its differences over all epochs.
    pub fn for_each(mut self, mut visit: impl FnMut(&[u8], i64)) {
        while let Some(value) = self.value() {
            visit(value, self.updates().map(|(_, diff)| diff).sum());
            self.next += 1;
        }
    }

    /// The epochs in which some value changes, ascending.
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

/// The rows of one key, around one epoch that changes some of them.
pub struct Group<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The epoch.
    pub epoch: u64,
    /// What batches of earlier epochs hold.
    pub old: &'a [Span<'a>],
    /// What the batch of the epoch holds; perhaps earlier and later epochs too.
    pub fresh: Span<'a>,
}

/// A value of a key, and how often it is there before and after the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The value.
    pub value: &'a [u8],
    /// How often before the epoch.
    pub before: i64,
    /// How often after it.
    pub after: i64,
}

impl<'a> Group<'a> {
    /// The values that the epoch changes, ascending, and by how much. Costs what the epoch's batch holds of the key.
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

    /// The values from `from` on that are there before or after the epoch, ascending.
    pub fn walk(&self, from: &[u8]) -> Walk<'a> {
        let mut spans: Vec<_> = self.old.iter().copied().chain([self.fresh]).collect();
        for span in &mut spans {
            span.seek(from);
        }
        Walk {
            spans,
            epoch: self.epoch,
        }
    }
}

/// See [`Group::walk`].
pub struct Walk<'a> {
    /// Of the old batches; the last is the epoch's.
    spans: Vec<Span<'a>>,
    epoch: u64,
}

impl<'a> Walk<'a> {
    /// The least value, and past it.
    fn step(&mut self) -> Option<Entry<'a>> {
        let value = self.spans.iter().filter_map(Span::value).min()?;
        let mut entry = Entry {
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
                // Compaction moves the epochs of old batches, never beyond what is now; those of the fresh are true.
                if index < fresh || epoch < self.epoch {
                    entry.before += diff;
                }
                if index < fresh || epoch <= self.epoch {
                    entry.after += diff;
                }
            }
            span.next += 1;
        }
        Some(entry)
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            let entry = self.step()?;
            if (entry.before, entry.after) != (0, 0) {
                return Some(entry);
            }
        }
    }
}
