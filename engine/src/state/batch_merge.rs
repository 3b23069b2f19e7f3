//! Writes the batches of several workers into a part, in the order of their keys.
//!
//! 1. The keys of a worker's batches are in ascending order, and no other worker has the same keys.
//! 2. A batch is applied as a whole if no other worker has keys between its own. Otherwise it is split: its updates are
//!    merged with those of the other workers one by one.

use super::block::BlockReader;
use super::error::StoreError;
use super::part_writer::PartWriter;
use super::update_batch::UpdateBatch;

/// The batches of some workers.
pub struct BatchMerge<I> {
    /// In any order.
    workers: Vec<BatchCursor<I>>,
}

/// The batches of one worker, at the first update that is not yet written.
struct BatchCursor<I> {
    batches: I,
    /// The current batch; `None` at the end.
    batch: Option<UpdateBatch>,
    /// Whether the current batch is split.
    is_split: bool,
    /// Reads the updates of a batch that is split.
    updates: BlockReader,
}

impl<I: Iterator<Item = UpdateBatch>> BatchMerge<I> {
    /// Waits for the first batch of each worker.
    pub fn new(workers: impl IntoIterator<Item = I>) -> Self {
        let workers = workers.into_iter().map(BatchCursor::new).collect();
        Self { workers }
    }

    /// Whether no worker has updates.
    pub fn is_empty(&self) -> bool {
        self.workers.iter().all(|worker| worker.batch.is_none())
    }

    /// Writes all updates.
    ///
    /// # Errors
    /// As [`PartWriter::apply`].
    pub fn write(&mut self, part: &mut PartWriter<'_, '_>) -> Result<(), StoreError> {
        while let Some(least) = self.least() {
            self.workers.swap(0, least);
            let Some((worker, others)) = self.workers.split_first_mut() else {
                break;
            };
            worker.write_below(others.iter().filter_map(BatchCursor::key).min(), part)?;
        }
        Ok(())
    }

    /// The worker with the least key.
    fn least(&self) -> Option<usize> {
        let keys = self.workers.iter().map(BatchCursor::key).enumerate();
        let keys = keys.filter_map(|(worker, key)| Some((key?, worker)));
        keys.min().map(|(_, worker)| worker)
    }
}

impl<I: Iterator<Item = UpdateBatch>> BatchCursor<I> {
    fn new(mut batches: I) -> Self {
        Self {
            batch: batches.next(),
            batches,
            is_split: false,
            updates: BlockReader::default(),
        }
    }

    /// The key of the current update; `None` at the end.
    fn key(&self) -> Option<&[u8]> {
        let batch = self.batch.as_ref()?;
        let split = self.updates.entry().filter(|_| self.is_split);
        Some(split.map_or(&batch.first, |entry| entry.key))
    }

    /// Writes the updates whose keys are less than `limit`, or all.
    fn write_below(
        &mut self,
        limit: Option<&[u8]>,
        part: &mut PartWriter<'_, '_>,
    ) -> Result<(), StoreError> {
        let is_below = |key: &[u8]| limit.is_none_or(|limit| key < limit);
        while self.key().is_some_and(is_below) {
            match &self.batch {
                Some(batch) if !self.is_split && is_below(&batch.last) => {
                    part.apply(batch)?;
                    self.batch = self.batches.next();
                }
                _ => self.write_one(part)?,
            }
        }
        Ok(())
    }

    /// Writes the current update. Its batch is split.
    fn write_one(&mut self, part: &mut PartWriter<'_, '_>) -> Result<(), StoreError> {
        let Some(batch) = &self.batch else {
            return Ok(());
        };
        if !std::mem::replace(&mut self.is_split, true) {
            self.updates.open_entries(&batch.entries);
            self.updates.step().map_err(|_| part.damaged())?;
        }
        if let Some(entry) = self.updates.entry() {
            part.change(entry.key, batch.kind.update(entry))?;
        }
        if !self.updates.step().map_err(|_| part.damaged())? {
            self.is_split = false;
            self.batch = self.batches.next();
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use tidewater_operators::state::{EntryUpdate, StateVisitor};

    use super::super::directory::{Directory, LockWait};
    use super::super::{Store, UpdateBatches};
    use super::*;

    type Update = (Vec<u8>, EntryUpdate<'static>);

    /// Updates of every kind that an empty part takes.
    fn updates() -> Vec<Update> {
        let kinds = [
            EntryUpdate::Put(b"payload"),
            EntryUpdate::Put(b""),
            EntryUpdate::Remove,
            EntryUpdate::Add(1),
        ];
        let keys = ["a", "ab", "b--1--", "b--2--"];
        let keys = keys.iter().map(|key| key.as_bytes().to_vec());
        keys.zip(kinds).collect()
    }

    /// The batches of some updates: one for each run of the same kind.
    fn batches(updates: &[Update]) -> Vec<UpdateBatch> {
        let mut all = Vec::new();
        let mut batches = UpdateBatches::new(|batch| all.push(batch));
        for (key, update) in updates {
            batches.update(key, *update);
        }
        batches.finish();
        all
    }

    /// What becomes of entries that are there.
    fn updated(
        mut entries: BTreeMap<Vec<u8>, (i64, Vec<u8>)>,
    ) -> BTreeMap<Vec<u8>, (i64, Vec<u8>)> {
        for (key, update) in updates() {
            let (count, payload) = entries.entry(key).or_default();
            match update {
                EntryUpdate::Add(more) => (*count, *payload) = (*count + more, Vec::new()),
                EntryUpdate::Put(put) => (*count, *payload) = (1, put.to_vec()),
                EntryUpdate::Remove => *count = 0,
                EntryUpdate::Count(_) => unreachable!("not among the updates"),
            }
        }
        entries.retain(|_, (count, _)| *count != 0);
        entries
    }

    fn stored(store: &Store, part: &str) -> BTreeMap<Vec<u8>, (i64, Vec<u8>)> {
        let snapshot = store.read().unwrap();
        let part = snapshot.part(part).unwrap().unwrap();
        let mut cursor = part.cursor();
        cursor.seek(&[]).unwrap();
        let mut found = BTreeMap::new();
        while let Some(entry) = cursor.entry() {
            found.insert(entry.key.to_vec(), (entry.count, entry.payload.to_vec()));
            cursor.step().unwrap();
        }
        found
    }

    /// Each of four updates belongs to one of three workers, and may begin a batch: every such case, in an empty part
    /// and in one with entries before, between and after the updates.
    #[test]
    fn every_division_among_workers_gives_the_same_part() {
        let directory = tempfile::tempdir().unwrap();
        let mut locked = Directory::open(directory.path(), LockWait::NONE, false).unwrap();
        let mut store = Store::open(&mut locked).unwrap();
        let updates = updates();
        let old: Vec<Update> = ["", "aa", "ab", "b--2--", "c", "d"]
            .map(|key| (key.as_bytes().to_vec(), EntryUpdate::Add(2)))
            .to_vec();
        let mut expected = Vec::new();
        let transaction = store.write().unwrap();
        for case in 0..3_usize.pow(4) << 5 {
            let (mut rest, cuts, has_old) = (case >> 5, case >> 1, case & 1 == 1);
            let mut workers: [Vec<Vec<Update>>; 3] = Default::default();
            for (at, update) in updates.iter().enumerate() {
                let worker = &mut workers[rest % 3];
                rest /= 3;
                if worker.is_empty() || cuts >> at & 1 == 1 {
                    worker.push(Vec::new());
                }
                worker.last_mut().unwrap().push(update.clone());
            }
            let name = format!("case {case}");
            let mut entries = BTreeMap::new();
            if has_old {
                entries.extend(old.iter().map(|(key, _)| (key.clone(), (2, Vec::new()))));
                let fill = |part: &mut PartWriter<'_, '_>| {
                    batches(&old).iter().try_for_each(|batch| part.apply(batch))
                };
                transaction.part(&name, fill).unwrap();
            }
            let workers = workers.map(|updates| {
                let batches: Vec<_> = updates.iter().flat_map(|some| batches(some)).collect();
                batches.into_iter()
            });
            let mut merge = BatchMerge::new(workers);
            assert!(!merge.is_empty());
            transaction.part(&name, |part| merge.write(part)).unwrap();
            assert!(merge.is_empty());
            expected.push((name, updated(entries)));
        }
        transaction.commit().unwrap();
        store.check().unwrap();
        for (name, expected) in expected {
            assert_eq!(stored(&store, &name), expected, "{name}");
        }
    }

    /// The second worker's key is in the middle of the first one's batch.
    #[test]
    fn a_split_batch_is_checked_like_a_whole_one() {
        let directory = tempfile::tempdir().unwrap();
        let mut locked = Directory::open(directory.path(), LockWait::NONE, false).unwrap();
        let store = Store::open(&mut locked).unwrap();
        let transaction = store.write().unwrap();
        for (update, message) in [
            (EntryUpdate::Add(-1), "retracted"),
            (EntryUpdate::Count(3), "damaged"),
        ] {
            let of = |keys: &[&str], update| -> Vec<Update> {
                let keys = keys.iter().map(|key| key.as_bytes().to_vec());
                keys.map(|key| (key, update)).collect()
            };
            let one = batches(&of(&["a", "c"], update));
            let other = batches(&of(&["b"], EntryUpdate::Add(1)));
            let mut merge = BatchMerge::new([one.into_iter(), other.into_iter()]);
            let error = transaction
                .part("view: join", |part| merge.write(part))
                .unwrap_err()
                .to_string();
            assert!(error.contains("view: join"), "{error}");
            assert!(error.contains(message), "{error}");
        }
    }
}
