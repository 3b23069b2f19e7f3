//! Changes a level of a part, block by block.

use redb::{ReadableTable, Table};
use tidewater_operators::state::{EntryUpdate, StateEntry};

use super::block::{BlockReader, BlockWriter};
use super::error::{Damage, StoreError};
use super::lookup::PartLookup;
use super::merge_operand::MergeOperand;
use super::update_batch::{UpdateBatch, UpdateKind};

/// Size of a block when many are written at once.
const BLOCK_BYTES: usize = 1900;
/// Larger blocks are split.
const BLOCK_BYTES_MAX: usize = 3600;
/// Smaller blocks are joined with the next one when they are rewritten.
const BLOCK_BYTES_MIN: usize = 300;

/// A table of blocks by fence, in the transaction that changes it.
pub type BlockTable<'txn> = Table<'txn, &'static [u8], &'static [u8]>;

/// The level that is changed.
pub enum LevelKind<'a, 'txn> {
    /// The base, which holds entries.
    Base,
    /// The uppermost level, which holds operands. The lookup reads the levels below.
    Above(PartLookup<'a, BlockTable<'txn>>),
    /// A level between. Its operands were checked when they were written to the uppermost level.
    Between,
}

/// Writes changes into one level of a part, in ascending order of their keys.
pub struct PartWriter<'a, 'txn> {
    name: &'a str,
    table: &'a mut BlockTable<'txn>,
    level: LevelKind<'a, 'txn>,
    /// The block that is being changed; `None` before the first change.
    open: Option<OpenBlock>,
    /// Writes the changed block.
    writer: BlockWriter,
    /// The fence of the block that is being filled; the inner `None` if the part was not empty. The outer `None`
    /// means that this is not known before the first change.
    filling: Option<Option<Vec<u8>>>,
    /// Reads the updates of a batch.
    updates: BlockReader,
    /// The payload of an operand above the base.
    payload: Vec<u8>,
}

/// A block that is being changed: its entries that are not yet rewritten.
struct OpenBlock {
    fence: Vec<u8>,
    rest: BlockReader,
}

impl<'a, 'txn> PartWriter<'a, 'txn> {
    /// A writer for a level of the part `name`.
    pub fn new(
        name: &'a str,
        table: &'a mut BlockTable<'txn>,
        level: LevelKind<'a, 'txn>,
    ) -> PartWriter<'a, 'txn> {
        PartWriter {
            name,
            table,
            level,
            open: None,
            writer: BlockWriter::default(),
            filling: None,
            updates: BlockReader::default(),
            payload: Vec::new(),
        }
    }

    /// Applies a batch of updates, whose keys are greater than all earlier ones.
    ///
    /// # Errors
    /// When the store fails or is damaged, or a count would become negative.
    pub fn apply(&mut self, batch: &UpdateBatch) -> Result<(), StoreError> {
        let fills = self.fills()?;
        let mut updates = std::mem::take(&mut self.updates);
        updates.open_entries(&batch.entries);
        let applied = if fills {
            self.fill_batch(batch, &mut updates)
        } else {
            self.change_all(batch.kind, &mut updates)
        };
        self.updates = updates;
        applied
    }

    /// Changes the entry of `key`, which must be greater than all earlier keys.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn change(&mut self, key: &[u8], update: EntryUpdate<'_>) -> Result<(), StoreError> {
        if self.fills()? {
            self.fill(key, update)
        } else {
            self.merge(key, update.into())
        }
    }

    /// Whether the part was empty, so that blocks are written one after another.
    fn fills(&mut self) -> Result<bool, StoreError> {
        if self.filling.is_none() {
            let is_empty = self.is_base() && self.table.first()?.is_none();
            self.filling = Some(is_empty.then(Vec::new));
        }
        Ok(matches!(self.filling, Some(Some(_))))
    }

    /// Appends an entry to a part that was empty.
    fn fill(&mut self, key: &[u8], update: EntryUpdate<'_>) -> Result<(), StoreError> {
        let (count, payload): (_, &[u8]) = match update {
            EntryUpdate::Add(..0) => return Err(StoreError::Negative(self.name.to_owned())),
            EntryUpdate::Count(_) => return Err(self.damaged()),
            EntryUpdate::Remove => return Ok(()),
            EntryUpdate::Add(count) => (count, &[]),
            EntryUpdate::Put(payload) => (1, payload),
        };
        self.make_room(key.len() + payload.len(), key)?;
        self.writer.push(StateEntry {
            key,
            count,
            payload,
        });
        Ok(())
    }

    /// Appends a batch to a part that was empty. A first run merges nothing.
    fn fill_batch(
        &mut self,
        batch: &UpdateBatch,
        updates: &mut BlockReader,
    ) -> Result<(), StoreError> {
        if batch.is_negative {
            return Err(StoreError::Negative(self.name.to_owned()));
        }
        match batch.kind {
            // A count replaces an entry that the operator has read, but there is none. So the part that was read has
            // been lost.
            UpdateKind::Count => return Err(self.damaged()),
            UpdateKind::Remove => return Ok(()),
            UpdateKind::Add | UpdateKind::Put => {}
        }
        self.make_room(batch.entries.len(), &batch.first)?;
        updates.step().map_err(|_| self.damaged())?;
        if let Some(first) = updates.entry() {
            self.writer.push(first);
            self.writer.append(updates.rest(), &batch.last);
        }
        Ok(())
    }

    /// Ends the block that is being filled if `more` bytes do not fit. The next block begins with `key`.
    fn make_room(&mut self, more: usize, key: &[u8]) -> Result<(), StoreError> {
        let bytes = self.writer.bytes();
        if let Some(Some(fence)) = &mut self.filling
            && bytes > 0
            && bytes + more > BLOCK_BYTES
        {
            let block = self.writer.finish(fence, Some(key));
            self.table.insert(fence.as_slice(), block.as_slice())?;
            fence.clear();
            fence.extend_from_slice(key);
        }
        Ok(())
    }

    fn change_all(
        &mut self,
        kind: UpdateKind,
        updates: &mut BlockReader,
    ) -> Result<(), StoreError> {
        while updates.step().map_err(|_| self.damaged())? {
            let Some(entry) = updates.entry() else { break };
            self.merge(entry.key, kind.update(entry).into())?;
        }
        Ok(())
    }

    /// Merges an operand into the entry of `key`, which must be greater than the previous key.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn merge(&mut self, key: &[u8], operand: MergeOperand<'_>) -> Result<(), StoreError> {
        debug_assert!(!matches!(self.filling, Some(Some(_))));
        loop {
            match &self.open {
                None => self.open_for(key)?,
                Some(open) if open.rest.covers(key) => break,
                Some(_) => self.close()?,
            }
        }
        let is_base = self.is_base();
        let old = self.pass(key, is_base)?;
        let merged = match old {
            Some(old) => old.then(operand),
            None if is_base => MergeOperand::Set(0, &[]).then(operand),
            None => operand,
        };
        self.check(key, merged)?;
        let is_nothing = match merged {
            MergeOperand::Add(count) => count == 0,
            MergeOperand::Set(count, _) => is_base && count == 0,
        };
        if is_nothing {
            return Ok(());
        }
        if self.writer.bytes() >= BLOCK_BYTES_MAX {
            self.cut(key)?;
        }
        let payload = match merged {
            MergeOperand::Set(_, payload) if is_base => payload,
            above => above.payload(&mut self.payload),
        };
        self.writer.push(StateEntry {
            key,
            count: merged.count(),
            payload,
        });
        Ok(())
    }

    fn is_base(&self) -> bool {
        matches!(self.level, LevelKind::Base)
    }

    /// Checks invariant 3 of levels: counts never become negative.
    fn check(&mut self, key: &[u8], operand: MergeOperand<'_>) -> Result<(), StoreError> {
        let below = match (&mut self.level, operand) {
            (LevelKind::Above(below), MergeOperand::Add(..0)) => below.find(key)?,
            (LevelKind::Between, MergeOperand::Add(_)) => return Ok(()),
            _ => 0,
        };
        if operand.count() + below < 0 {
            return Err(StoreError::Negative(self.name.to_owned()));
        }
        Ok(())
    }

    /// Ends the block that is being written. The next block begins with `key`.
    fn cut(&mut self, key: &[u8]) -> Result<(), StoreError> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let block = self.writer.finish(&open.fence, Some(key));
        self.table.insert(open.fence.as_slice(), block.as_slice())?;
        open.fence.clear();
        open.fence.extend_from_slice(key);
        Ok(())
    }

    /// Opens the block that covers `key`.
    fn open_for(&mut self, key: &[u8]) -> Result<(), StoreError> {
        let mut rest = BlockReader::remembering();
        let mut fence = Vec::new();
        match self.table.range::<&[u8]>(..=key)?.next_back() {
            Some(found) => {
                let (at, bytes) = found?;
                let opened = rest.open(at.value(), bytes.value());
                opened.map_err(|_| self.damaged())?;
                if !rest.covers(key) {
                    return Err(self.damaged());
                }
                fence.extend_from_slice(at.value());
            }
            // By invariant 1 of blocks, only a part without blocks has no block for a key.
            None if self.table.first()?.is_none() => {}
            None => return Err(self.damaged()),
        }
        rest.step().map_err(|_| self.damaged())?;
        self.open = Some(OpenBlock { fence, rest });
        Ok(())
    }

    /// Rewrites the entries before `key`, and skips the entry of `key`. Returns that entry, without its payload.
    fn pass(
        &mut self,
        key: &[u8],
        is_base: bool,
    ) -> Result<Option<MergeOperand<'static>>, StoreError> {
        let damaged = || StoreError::damaged(Damage::Part(self.name.to_owned()));
        let Some(OpenBlock { rest, .. }) = &mut self.open else {
            return Ok(None);
        };
        if let Some(first) = rest.entry().filter(|entry| entry.key < key) {
            // This key has a new predecessor, so it is encoded again. The entries after it stay the same, byte for
            // byte.
            self.writer.push(first);
            rest.step().map_err(|_| damaged())?;
            let from = rest.at();
            if rest.entry().is_some_and(|entry| entry.key < key) {
                rest.seek(key).map_err(|_| damaged())?;
            }
            self.writer.append(rest.encoded(from), &rest.previous());
        }
        let old = rest.entry().filter(|entry| entry.key == key);
        let old = old.map(|entry| match MergeOperand::of_entry(entry) {
            MergeOperand::Add(count) if !is_base => MergeOperand::Add(count),
            MergeOperand::Add(_) | MergeOperand::Set(..) => MergeOperand::Set(entry.count, &[]),
        });
        if old.is_some() {
            rest.step().map_err(|_| damaged())?;
        }
        Ok(old)
    }

    /// Writes the open block. If it has become small, joins it with the next one.
    fn close(&mut self) -> Result<(), StoreError> {
        let is_too_much = |open: &OpenBlock, writer: &BlockWriter| {
            writer.bytes() >= BLOCK_BYTES_MIN
                && writer.bytes() + open.rest.rest().len() > BLOCK_BYTES_MAX
        };
        let next_key = self
            .open
            .as_ref()
            .filter(|open| is_too_much(open, &self.writer));
        let next_key = next_key.and_then(|open| open.rest.entry());
        if let Some(key) = next_key.map(|entry| entry.key.to_vec()) {
            self.cut(&key)?;
        }
        let Some(mut open) = self.open.take() else {
            return Ok(());
        };
        let bytes = self.writer.bytes() + open.rest.rest().len();
        let next = open.rest.end().map(<[u8]>::to_vec);
        if let Some(next) = next.filter(|_| bytes < BLOCK_BYTES_MIN) {
            while let Some(entry) = open.rest.entry() {
                self.writer.push(entry);
                open.rest.step().map_err(|_| self.damaged())?;
            }
            let removed = self.table.remove(next.as_slice())?;
            let removed = removed.map(|bytes| bytes.value().to_vec());
            let bytes = removed.ok_or_else(|| self.damaged())?;
            let opened = open.rest.open(&next, &bytes);
            opened.map_err(|_| self.damaged())?;
            open.rest.step().map_err(|_| self.damaged())?;
            // The block stays open, since the next change may be in it.
            self.open = Some(open);
            return Ok(());
        }
        if let Some(entry) = open.rest.entry() {
            self.writer.push(entry);
            // The last key is not needed, because the block ends here.
            self.writer.append(open.rest.rest(), &[]);
        }
        let block = self.writer.finish(&open.fence, open.rest.end());
        self.table.insert(open.fence.as_slice(), block.as_slice())?;
        Ok(())
    }

    /// Writes the remaining entries.
    ///
    /// # Errors
    /// As [`change`](Self::change).
    pub fn finish(mut self) -> Result<(), StoreError> {
        while self.open.is_some() {
            self.close()?;
        }
        if let Some(Some(fence)) = &self.filling
            && self.writer.bytes() > 0
        {
            let block = self.writer.finish(fence, None);
            self.table.insert(fence.as_slice(), block.as_slice())?;
        }
        Ok(())
    }

    /// The error that the part is damaged.
    pub(super) fn damaged(&self) -> StoreError {
        StoreError::damaged(Damage::Part(self.name.to_owned()))
    }
}
