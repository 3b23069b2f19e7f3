//! Batches of neighbouring updates of a part, on their way from a worker to the store, encoded like the entries of blocks.
//! Where the part was empty, a block is put together of whole batches.
//!
//! 1. Updates are in ascending order of their keys, each key once, all of one kind.
//! 2. No other worker has updates between those of a batch.

use tidewater_operators::state::{EntryUpdate, StateEntry, StateVisitor};

use super::block::BlockWriter;

/// Bytes of a batch, about: four make a block.
const BATCH_BYTES: usize = 450;

/// What the updates of a batch do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateKind {
    /// They add their counts.
    Add,
    /// They set them.
    Count,
    /// They put their payloads.
    Put,
    /// They remove.
    Remove,
}

/// Neighbouring updates.
#[derive(Debug)]
pub struct UpdateBatch {
    /// What they do.
    pub kind: UpdateKind,
    /// The first key.
    pub first: Vec<u8>,
    /// The last key.
    pub last: Vec<u8>,
    /// The updates as entries of a block that begins with them.
    pub entries: Vec<u8>,
    /// Whether one of them has a negative count.
    pub is_negative: bool,
}

/// Cuts updates into batches and hands them on.
pub struct UpdateBatches<F> {
    writer: BlockWriter,
    /// The batch that is being written, without its entries; `None` before its first update.
    open: Option<UpdateBatch>,
    hand: F,
}

impl<F: FnMut(UpdateBatch)> UpdateBatches<F> {
    /// Hands batches to `hand`.
    pub fn new(hand: F) -> Self {
        Self {
            writer: BlockWriter::default(),
            open: None,
            hand,
        }
    }

    /// Hands on what is left.
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
        self.cut();
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
