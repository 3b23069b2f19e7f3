//! One operator's entries in the store: looked up block by block, and changed block by block.

use std::sync::Arc;

use redb::{ReadOnlyTable, ReadableTable, Table};
use tidewater_operators::state::{Entry, Kept, KeptCursor, StateError, Update};

use super::block::{BlockReader, BlockWriter};
use super::error::{Damage, StoreError};

/// Bytes of a block when many are written at once.
const BLOCK_BYTES: usize = 1800;
/// A block of more is split.
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

struct Cursor<'a> {
    part: &'a KeptPart,
    /// Of the block it stands in.
    fence: Option<Vec<u8>>,
    block: BlockReader,
}

impl Cursor<'_> {
    /// Opens the block that covers `key`.
    fn open(&mut self, key: &[u8]) -> Result<(), StoreError> {
        let damage = || StoreError::damaged(Damage::Part(self.part.name.to_string()));
        let found = self.part.table.range::<&[u8]>(..=key)?.next_back();
        let (fence, bytes) = found.ok_or_else(damage)??;
        let opened = self.block.open(fence.value(), bytes.value());
        opened.map_err(|_| damage())?;
        if !self.block.covers(key) {
            return Err(damage());
        }
        self.fence = Some(fence.value().to_vec());
        Ok(())
    }

    /// Moves to the next entry, in this block or a later one.
    fn advance(&mut self) -> Result<(), StoreError> {
        let name = || StoreError::damaged(Damage::Part(self.part.name.to_string()));
        loop {
            if self.block.step().map_err(|_| name())? {
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
            self.advance()?;
        }
        while self.block.entry().is_some_and(|entry| entry.key < key) {
            self.advance()?;
        }
        Ok(())
    }
}

impl KeptCursor for Cursor<'_> {
    fn seek(&mut self, key: &[u8]) -> Result<(), StateError> {
        self.find(key)
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

/// Entries of some neighbouring blocks with their changes, waiting to be cut into blocks.
#[derive(Default)]
struct Merged {
    bytes: Vec<u8>,
    /// Ends of key and payload in `bytes`, and the count.
    entries: Vec<(usize, usize, i64)>,
}

impl Merged {
    fn push(&mut self, entry: Entry<'_>) {
        self.bytes.extend_from_slice(entry.key);
        let key = self.bytes.len();
        self.bytes.extend_from_slice(entry.payload);
        self.entries.push((key, self.bytes.len(), entry.count));
    }

    fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut start = 0;
        self.entries.iter().map(move |&(key, end, count)| {
            let entry = Entry {
                key: &self.bytes[start..key],
                count,
                payload: &self.bytes[key..end],
            };
            start = end;
            entry
        })
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }
}

/// Writes changes of one part, in ascending order of their keys.
pub struct PartWriter<'a, 'txn> {
    name: &'a str,
    table: &'a mut Table<'txn, &'static [u8], &'static [u8]>,
    /// The block that is being changed; none before the first change.
    open: Option<Open>,
    merged: Merged,
    writer: BlockWriter,
    /// Of a part that was empty: the fence of the block that is being filled. Not known before the first change.
    filling: Option<Option<Vec<u8>>>,
    /// Entries that came, less those that went.
    pub entries: i64,
}

/// A block that is being changed: what of it is not merged yet.
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
            merged: Merged::default(),
            writer: BlockWriter::default(),
            filling: None,
            entries: 0,
        }
    }

    /// Changes the entry of `key`, which is greater than the last one.
    ///
    /// # Errors
    /// When the store fails or is damaged; when an entry would count less than nothing.
    pub fn change(&mut self, key: &[u8], update: Update<'_>) -> Result<(), StoreError> {
        if self.filling.is_none() {
            let is_empty = self.table.first()?.is_none();
            self.filling = Some(is_empty.then(Vec::new));
        }
        if let Some(Some(fence)) = &mut self.filling {
            return match update {
                Update::Add(..0) => Err(StoreError::Negative(self.name.to_owned())),
                Update::Add(0) | Update::Remove => Ok(()),
                Update::Add(count) => fill(self.table, &mut self.writer, fence, (key, count, &[])),
                Update::Put(payload) => fill(self.table, &mut self.writer, fence, (key, 1, payload)),
            }
            .map(|()| self.entries += i64::from(!matches!(update, Update::Add(0) | Update::Remove)));
        }
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
            self.merged.push(Entry {
                key,
                count,
                payload,
            });
            self.relieve(key)?;
        }
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

    /// Merges the entries before `key`; gives the count of the one at `key`, which is passed over.
    fn pass(&mut self, key: &[u8]) -> Result<Option<i64>, StoreError> {
        let Some(open) = &mut self.open else {
            return Ok(None);
        };
        let damaged = || StoreError::damaged(Damage::Part(self.name.to_owned()));
        while let Some(entry) = open.rest.entry().filter(|entry| entry.key < key) {
            self.merged.push(entry);
            open.rest.step().map_err(|_| damaged())?;
        }
        let old = open.rest.entry().filter(|entry| entry.key == key);
        let old = old.map(|entry| entry.count);
        if old.is_some() {
            open.rest.step().map_err(|_| damaged())?;
        }
        Ok(old)
    }

    /// Writes blocks while there is much to be written: a first run brings more than memory holds. What is in the block
    /// and not merged yet follows `last`.
    fn relieve(&mut self, last: &[u8]) -> Result<(), StoreError> {
        if self.merged.bytes.len() < 64 * BLOCK_BYTES_MAX {
            return Ok(());
        }
        // The last entry stays: its key is the end of the blocks that are written.
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let fence = std::mem::replace(&mut open.fence, last.to_vec());
        let Some((key, end, count)) = self.merged.entries.pop() else {
            return Ok(());
        };
        write_blocks(
            self.table,
            &mut self.writer,
            &self.merged,
            &fence,
            Some(last),
            true,
        )?;
        let payload = self.merged.bytes[key..end].to_vec();
        self.merged.clear();
        self.merged.push(Entry {
            key: last,
            count,
            payload: &payload,
        });
        Ok(())
    }

    /// Writes the open block, joined with the next one when little is left of it.
    fn close(&mut self) -> Result<(), StoreError> {
        let Some(mut open) = self.open.take() else {
            return Ok(());
        };
        self.merge_rest(&mut open.rest)?;
        let size: usize = self.merged.bytes.len() / 4;
        if size < BLOCK_BYTES_MIN
            && let Some(next) = open.rest.end().map(<[u8]>::to_vec)
        {
            let Some(bytes) = self
                .table
                .remove(next.as_slice())?
                .map(|bytes| bytes.value().to_vec())
            else {
                return Err(self.damaged());
            };
            let opened = open.rest.open(&next, &bytes);
            opened.map_err(|_| self.damaged())?;
            open.rest.step().map_err(|_| self.damaged())?;
            // It stays open: the next change may be in it.
            self.open = Some(open);
            return Ok(());
        }
        write_blocks(
            self.table,
            &mut self.writer,
            &self.merged,
            &open.fence,
            open.rest.end(),
            false,
        )?;
        self.merged.clear();
        Ok(())
    }

    fn merge_rest(&mut self, rest: &mut BlockReader) -> Result<(), StoreError> {
        while let Some(entry) = rest.entry() {
            self.merged.push(entry);
            rest.step().map_err(|_| self.damaged())?;
        }
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

/// Appends an entry to a part that was empty, block after block: a first run brings nothing that must be merged.
fn fill(
    table: &mut Table<'_, &'static [u8], &'static [u8]>,
    writer: &mut BlockWriter,
    fence: &mut Vec<u8>,
    (key, count, payload): (&[u8], i64, &[u8]),
) -> Result<(), StoreError> {
    if writer.bytes() >= BLOCK_BYTES {
        let block = writer.finish(fence, Some(key));
        table.insert(fence.as_slice(), block.as_slice())?;
        fence.clear();
        fence.extend_from_slice(key);
    }
    writer.push(Entry {
        key,
        count,
        payload,
    });
    Ok(())
}

/// Cuts entries into blocks from `fence` to `end`. `bulk` fills blocks as they come; otherwise all are of one size.
fn write_blocks(
    table: &mut Table<'_, &'static [u8], &'static [u8]>,
    writer: &mut BlockWriter,
    merged: &Merged,
    fence: &[u8],
    end: Option<&[u8]>,
    bulk: bool,
) -> Result<(), StoreError> {
    let mut limit = BLOCK_BYTES;
    if !bulk {
        merged.iter().for_each(|entry| writer.push(entry));
        let bytes = writer.bytes();
        // What was encoded is the block, most of the time.
        let block = writer.finish(fence, end);
        if bytes <= BLOCK_BYTES_MAX {
            table.insert(fence, block.as_slice())?;
            return Ok(());
        }
        limit = bytes / bytes.div_ceil(BLOCK_BYTES);
    }
    let mut fence = fence;
    for entry in merged.iter() {
        if writer.bytes() >= limit {
            let block = writer.finish(fence, Some(entry.key));
            table.insert(fence, block.as_slice())?;
            fence = entry.key;
        }
        writer.push(entry);
    }
    let block = writer.finish(fence, end);
    table.insert(fence, block.as_slice())?;
    Ok(())
}
