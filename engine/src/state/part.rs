//! One operator's entries in the store: looked up block by block, and changed block by block.

use std::sync::Arc;

use redb::{AccessGuard, ReadOnlyTable, ReadableTable, StorageError, Table};
use tidewater_operators::state::{Entry, Kept, KeptCursor, StateError, Update};

use super::block::{BlockReader, BlockWriter};
use super::error::{Damage, StoreError};
use super::piece::{Kind, Piece};

/// Bytes of a block when many are written at once.
const BLOCK_BYTES: usize = 1900;
/// A block that would have more is split.
const BLOCK_BYTES_MAX: usize = 3600;
/// A block of fewer is joined with the next one when it is rewritten.
const BLOCK_BYTES_MIN: usize = 300;

/// The entries of a part as the last commit left them.
pub struct KeptPart {
    /// Its name, for messages.
    pub name: Arc<str>,
    /// Its blocks, by their fences.
    pub table: ReadOnlyTable<&'static [u8], &'static [u8]>,
}

impl Kept for KeptPart {
    fn cursor(&self) -> Box<dyn KeptCursor + '_> {
        Box::new(Cursor {
            part: self,
            fence: None,
            block: BlockReader::default(),
        })
    }
}

/// A block of the store: its fence and its bytes.
type Found<'a> = Result<
    (
        AccessGuard<'a, &'static [u8]>,
        AccessGuard<'a, &'static [u8]>,
    ),
    StorageError,
>;

struct Cursor<'a> {
    part: &'a KeptPart,
    /// Of the block it stands in.
    fence: Option<Vec<u8>>,
    block: BlockReader,
}

impl Cursor<'_> {
    fn damaged(&self) -> StoreError {
        StoreError::damaged(Damage::Part(self.part.name.to_string()))
    }

    /// Opens the block that covers `key`.
    fn open(&mut self, key: &[u8]) -> Result<(), StoreError> {
        let found = self.part.table.range::<&[u8]>(..=key)?.next_back();
        self.open_block(found)?;
        if self.block.covers(key) {
            Ok(())
        } else {
            Err(self.damaged())
        }
    }

    /// Opens the block before the one at `fence`.
    fn open_before(&mut self, fence: &[u8]) -> Result<(), StoreError> {
        let found = self.part.table.range::<&[u8]>(..fence)?.next_back();
        self.open_block(found)?;
        if self.block.end() == Some(fence) {
            Ok(())
        } else {
            Err(self.damaged())
        }
    }

    fn open_block(&mut self, found: Option<Found<'_>>) -> Result<(), StoreError> {
        let (fence, bytes) = found.ok_or_else(|| self.damaged())??;
        let opened = self.block.open(fence.value(), bytes.value());
        opened.map_err(|_| self.damaged())?;
        self.fence = Some(fence.value().to_vec());
        Ok(())
    }

    /// Moves to the next entry, in this block or a later one.
    fn advance(&mut self) -> Result<(), StoreError> {
        loop {
            if self.block.step().map_err(|_| self.damaged())? {
                return Ok(());
            }
            let Some(end) = self.block.end().map(<[u8]>::to_vec) else {
                return Ok(());
            };
            self.open(&end)?;
        }
    }

    fn find(&mut self, key: &[u8]) -> Result<(), StoreError> {
        // Past its last entry it does not know how far it is.
        let behind = self.block.entry().is_none_or(|entry| entry.key > key);
        let inside = self.fence.as_deref().is_some_and(|fence| fence <= key);
        if behind || !inside || !self.block.covers(key) {
            self.open(key)?;
        } else if self.block.entry().is_some_and(|entry| entry.key == key) {
            return Ok(());
        }
        if self.block.seek(key).map_err(|_| self.damaged())? {
            Ok(())
        } else {
            self.advance()
        }
    }

    fn find_before(&mut self, key: &[u8]) -> Result<(), StoreError> {
        self.open(key)?;
        loop {
            // Blocks are read forwards only: once to count, once to stand there.
            let mut before = 0;
            while self.block.step().map_err(|_| self.damaged())?
                && self.block.entry().is_some_and(|entry| entry.key < key)
            {
                before += 1;
            }
            self.block.rewind();
            if before > 0 {
                return (0..before).try_for_each(|_| self.advance());
            }
            match self.fence.take() {
                Some(fence) if !fence.is_empty() => self.open_before(&fence)?,
                _ => return Ok(()),
            }
        }
    }
}

impl KeptCursor for Cursor<'_> {
    fn seek(&mut self, key: &[u8]) -> Result<(), StateError> {
        self.find(key)
            .map_err(|error| StateError(error.to_string()))
    }

    fn seek_before(&mut self, key: &[u8]) -> Result<(), StateError> {
        self.find_before(key)
            .map_err(|error| StateError(error.to_string()))
    }

    fn step(&mut self) -> Result<(), StateError> {
        self.advance()
            .map_err(|error| StateError(error.to_string()))
    }

    fn entry(&self) -> Option<Entry<'_>> {
        self.block.entry()
    }
}

/// Writes changes of one part, in ascending order of their keys.
pub struct PartWriter<'a, 'txn> {
    name: &'a str,
    table: &'a mut Table<'txn, &'static [u8], &'static [u8]>,
    /// The block that is being changed; none before the first change.
    open: Option<Open>,
    /// What becomes of it.
    writer: BlockWriter,
    /// Of a part that was empty: the fence of the block that is being filled. Not known before the first change.
    filling: Option<Option<Vec<u8>>>,
    /// Reads the updates of a piece.
    updates: BlockReader,
    /// Entries that came, less those that went.
    pub entries: i64,
}

/// A block that is being changed: what of it is not written again yet, which begins behind another key than it did.
struct Open {
    fence: Vec<u8>,
    rest: BlockReader,
}

impl<'a, 'txn> PartWriter<'a, 'txn> {
    /// A writer of the part of that name.
    pub fn new(
        name: &'a str,
        table: &'a mut Table<'txn, &'static [u8], &'static [u8]>,
    ) -> PartWriter<'a, 'txn> {
        PartWriter {
            name,
            table,
            open: None,
            writer: BlockWriter::default(),
            filling: None,
            updates: BlockReader::default(),
            entries: 0,
        }
    }

    /// Makes the updates of a piece, which come after all before.
    ///
    /// # Errors
    /// When the store fails or is damaged; when an entry would count less than nothing.
    pub fn take(&mut self, piece: &Piece) -> Result<(), StoreError> {
        if self.filling.is_none() {
            let is_empty = self.table.first()?.is_none();
            self.filling = Some(is_empty.then(Vec::new));
        }
        let mut updates = std::mem::take(&mut self.updates);
        updates.open_entries(&piece.entries);
        let taken = if let Some(Some(_)) = self.filling {
            self.fill(piece, &mut updates)
        } else {
            self.change_all(piece, &mut updates)
        };
        self.updates = updates;
        taken
    }

    /// Appends a piece to a part that was empty, block after block: a first run brings nothing that must be merged.
    fn fill(&mut self, piece: &Piece, updates: &mut BlockReader) -> Result<(), StoreError> {
        if piece.is_negative {
            return Err(StoreError::Negative(self.name.to_owned()));
        }
        let Some(Some(fence)) = self.filling.as_mut().filter(|_| piece.kind != Kind::Remove) else {
            return Ok(());
        };
        if self.writer.bytes() + piece.entries.len() > BLOCK_BYTES && self.writer.bytes() > 0 {
            let block = self.writer.finish(fence, Some(&piece.first));
            self.table.insert(fence.as_slice(), block.as_slice())?;
            fence.clone_from(&piece.first);
        }
        let first = updates.step();
        first.map_err(|_| StoreError::damaged(Damage::Part(self.name.to_owned())))?;
        if let Some(first) = updates.entry() {
            self.writer.push(first);
            self.writer.append(updates.rest(), &piece.last);
        }
        self.entries += piece.count;
        Ok(())
    }

    fn change_all(&mut self, piece: &Piece, updates: &mut BlockReader) -> Result<(), StoreError> {
        while updates.step().map_err(|_| self.damaged())? {
            let Some(entry) = updates.entry() else { break };
            let update = match piece.kind {
                Kind::Add => Update::Add(entry.count),
                Kind::Put => Update::Put(entry.payload),
                Kind::Remove => Update::Remove,
            };
            self.change(entry.key, update)?;
        }
        Ok(())
    }

    /// Changes the entry of `key`, which is greater than the last one. Not to be mixed with pieces.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn change(&mut self, key: &[u8], update: Update<'_>) -> Result<(), StoreError> {
        debug_assert!(!matches!(self.filling, Some(Some(_))));
        loop {
            match &self.open {
                None => self.open_for(key)?,
                Some(open) if open.rest.covers(key) => break,
                Some(_) => self.close()?,
            }
        }
        let old = self.pass(key)?;
        let (count, payload): (i64, &[u8]) = match update {
            Update::Add(more) => (old.unwrap_or(0) + more, &[]),
            Update::Put(payload) => (1, payload),
            Update::Remove => (0, &[]),
        };
        if count < 0 {
            return Err(StoreError::Negative(self.name.to_owned()));
        }
        self.entries += i64::from(count > 0) - i64::from(old.is_some());
        if count > 0 {
            if self.writer.bytes() >= BLOCK_BYTES_MAX {
                self.cut(key)?;
            }
            self.writer.push(Entry {
                key,
                count,
                payload,
            });
        }
        Ok(())
    }

    /// Ends the block that is being written before `key`, with which the next one begins.
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
        let mut rest = BlockReader::default();
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
            // Invariant 1 of blocks: only a part without any has none for a key.
            None if self.table.first()?.is_none() => {}
            None => return Err(self.damaged()),
        }
        rest.step().map_err(|_| self.damaged())?;
        self.open = Some(Open { fence, rest });
        Ok(())
    }

    /// Writes the entries before `key` again; gives the count of the one at `key`, which is passed over.
    fn pass(&mut self, key: &[u8]) -> Result<Option<i64>, StoreError> {
        let damaged = || StoreError::damaged(Damage::Part(self.name.to_owned()));
        let Some(Open { rest, .. }) = &mut self.open else {
            return Ok(None);
        };
        if let Some(first) = rest.entry().filter(|entry| entry.key < key) {
            // Its key follows another one now; those behind it are as they were, byte by byte.
            self.writer.push(first);
            rest.step().map_err(|_| damaged())?;
            let from = rest.at();
            if rest.entry().is_some_and(|entry| entry.key < key) {
                rest.seek(key).map_err(|_| damaged())?;
            }
            self.writer.append(rest.encoded(from), &rest.previous());
        }
        let old = rest.entry().filter(|entry| entry.key == key);
        let old = old.map(|entry| entry.count);
        if old.is_some() {
            rest.step().map_err(|_| damaged())?;
        }
        Ok(old)
    }

    /// Writes the open block, joined with the next one when little is left of it.
    fn close(&mut self) -> Result<(), StoreError> {
        let is_too_much = |open: &Open, writer: &BlockWriter| {
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
            // It stays open: the next change may be in it.
            self.open = Some(open);
            return Ok(());
        }
        if let Some(entry) = open.rest.entry() {
            self.writer.push(entry);
            // The last key is not needed: the block ends here.
            self.writer.append(open.rest.rest(), &[]);
        }
        let block = self.writer.finish(&open.fence, open.rest.end());
        self.table.insert(open.fence.as_slice(), block.as_slice())?;
        Ok(())
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// As [`change`](Self::change).
    pub fn finish(mut self) -> Result<i64, StoreError> {
        while self.open.is_some() {
            self.close()?;
        }
        if let Some(Some(fence)) = &self.filling
            && self.entries > 0
        {
            let block = self.writer.finish(fence, None);
            self.table.insert(fence.as_slice(), block.as_slice())?;
        }
        Ok(self.entries)
    }

    fn damaged(&self) -> StoreError {
        StoreError::damaged(Damage::Part(self.name.to_owned()))
    }
}
