//! Batches of updates of a part, on their way from a worker to the store, encoded like the entries of blocks. In an
//! empty part, blocks are assembled from whole batches.
//!
//! 1. Updates are of one kind, in ascending order of their keys, and each key occurs once.
//! 2. The batches of a worker are in ascending order too, and no other worker has updates of their keys. Other workers
//!    may have keys between those of a batch, but not between those of a [run](StateVisitor::begin_run).

use tidewater_operators::state::{EntryUpdate, StateEntry, StateVisitor};

use super::block::BlockWriter;

/// Approximate size of a batch. Four batches make a block.
const BATCH_BYTES: usize = 450;
/// A run begins a batch of its own if the open one has this size. Entries of smaller batches are cheaper to merge one by
/// one than to send apart.
const RUN_BYTES: usize = BATCH_BYTES / 4;

/// The kind of a batch's updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateKind {
    /// Add to counts.
    Add,
    /// Set counts.
    Count,
    /// Set payloads.
    Put,
    /// Remove entries.
    Remove,
}

impl UpdateKind {
    /// The update that an entry of a batch stands for.
    pub fn update(self, entry: StateEntry<'_>) -> EntryUpdate<'_> {
        match self {
            Self::Add => EntryUpdate::Add(entry.count),
            Self::Count => EntryUpdate::Count(entry.count),
            Self::Put => EntryUpdate::Put(entry.payload),
            Self::Remove => EntryUpdate::Remove,
        }
    }
}

/// Some updates of a worker.
#[derive(Debug)]
pub struct UpdateBatch {
    /// The kind of all updates.
    pub kind: UpdateKind,
    /// The first key.
    pub first: Vec<u8>,
    /// The last key.
    pub last: Vec<u8>,
    /// The updates, encoded like the first entries of a block.
    pub entries: Vec<u8>,
    /// Whether any update has a negative count.
    pub is_negative: bool,
}

/// Cuts updates into batches and passes them on.
pub struct UpdateBatches<F> {
    writer: BlockWriter,
    /// The batch that is being written, without its entries; `None` before its first update.
    open: Option<UpdateBatch>,
    hand: F,
}

impl<F: FnMut(UpdateBatch)> UpdateBatches<F> {
    /// Passes batches to `hand`.
    pub fn new(hand: F) -> Self {
        Self {
            writer: BlockWriter::default(),
            open: None,
            hand,
        }
    }

    /// Passes on the last batch.
    pub fn finish(mut self) {
        self.cut();
    }

    fn cut(&mut self) {
        if let Some(mut batch) = self.open.take() {
            (batch.entries, batch.last) = self.writer.take();
            (self.hand)(batch);
        }
    }
}

impl<F: FnMut(UpdateBatch)> StateVisitor for UpdateBatches<F> {
    fn begin_run(&mut self) {
        if self.writer.bytes() >= RUN_BYTES {
            self.cut();
        }
    }

    fn update(&mut self, key: &[u8], update: EntryUpdate<'_>) {
        let (kind, count, payload): (UpdateKind, i64, &[u8]) = match update {
            EntryUpdate::Add(more) => (UpdateKind::Add, more, &[]),
            EntryUpdate::Count(count) => (UpdateKind::Count, count, &[]),
            EntryUpdate::Put(payload) => (UpdateKind::Put, 1, payload),
            EntryUpdate::Remove => (UpdateKind::Remove, 0, &[]),
        };
        let goes_on = |batch: &UpdateBatch| batch.kind == kind && self.writer.bytes() < BATCH_BYTES;
        if !self.open.as_ref().is_some_and(goes_on) {
            self.cut();
        }
        let batch = self.open.get_or_insert_with(|| UpdateBatch {
            kind,
            first: key.to_vec(),
            last: Vec::new(),
            entries: Vec::new(),
            is_negative: false,
        });
        batch.is_negative |= count < 0;
        self.writer.push(StateEntry {
            key,
            count,
            payload,
        });
    }
}
