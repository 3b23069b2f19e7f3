//! Iterates over the entries of one level of a part, block by block.

use redb::{AccessGuard, ReadableTable, StorageError};
use tidewater_operators::state::{EntryCursor, StateEntry, StateError};

use super::block::BlockReader;
use super::error::{Damage, StoreError};

/// Iterates over entries in ascending order of their keys. Like [`EntryCursor`], with the store's errors.
pub trait EntryWalk {
    /// Moves to the first entry whose key is not less than `key`.
    fn find(&mut self, key: &[u8]) -> Result<(), StoreError>;

    /// Moves to the last entry whose key is less than `key`, or past the last entry if there is none.
    fn find_before(&mut self, key: &[u8]) -> Result<(), StoreError>;

    /// Moves to the next entry.
    fn advance(&mut self) -> Result<(), StoreError>;

    /// The current entry.
    fn at(&self) -> Option<StateEntry<'_>>;
}

/// A cursor for operators, with errors as messages.
pub struct StateCursor<W>(pub W);

fn as_state_error(result: Result<(), StoreError>) -> Result<(), StateError> {
    result.map_err(|error| StateError(error.to_string()))
}

impl<W: EntryWalk> EntryCursor for StateCursor<W> {
    fn seek(&mut self, key: &[u8]) -> Result<(), StateError> {
        as_state_error(self.0.find(key))
    }

    fn seek_before(&mut self, key: &[u8]) -> Result<(), StateError> {
        as_state_error(self.0.find_before(key))
    }

    fn step(&mut self) -> Result<(), StateError> {
        as_state_error(self.0.advance())
    }

    fn entry(&self) -> Option<StateEntry<'_>> {
        self.0.at()
    }
}

/// A block of the store: its fence and its bytes.
type StoredBlock<'a> = Result<
    (
        AccessGuard<'a, &'static [u8]>,
        AccessGuard<'a, &'static [u8]>,
    ),
    StorageError,
>;

/// A position at an entry of a level, or past the last one. The level must have blocks.
pub struct LevelCursor<'a, T> {
    /// The part, for messages.
    name: &'a str,
    table: &'a T,
    /// The fence of the current block.
    fence: Option<Vec<u8>>,
    block: BlockReader,
    /// The key of the last [`find`](Walk::find). No entry is between it and the current position, unless the cursor
    /// has moved since.
    sought: Vec<u8>,
    has_moved: bool,
}

impl<'a, T: ReadableTable<&'static [u8], &'static [u8]>> LevelCursor<'a, T> {
    /// A cursor without a position.
    pub fn new(name: &'a str, table: &'a T) -> Self {
        Self {
            name,
            table,
            fence: None,
            block: BlockReader::default(),
            sought: Vec::new(),
            has_moved: true,
        }
    }

    fn damaged(&self) -> StoreError {
        StoreError::damaged(Damage::Part(self.name.to_owned()))
    }

    /// Opens the block that covers `key`.
    fn open(&mut self, key: &[u8]) -> Result<(), StoreError> {
        let fence = open_covering(self.name, self.table, key, &mut self.block)?;
        self.fence = Some(fence.value().to_vec());
        Ok(())
    }

    /// Opens the block before the one at `fence`.
    fn open_before(&mut self, fence: &[u8]) -> Result<(), StoreError> {
        let found = self.table.range::<&[u8]>(..fence)?.next_back();
        let opened = open_block(self.name, &mut self.block, found)?;
        self.fence = Some(opened.value().to_vec());
        if self.block.end() == Some(fence) {
            Ok(())
        } else {
            Err(self.damaged())
        }
    }
}

/// Opens the block that covers `key`, in a level of the part `name`. Returns its fence.
///
/// # Errors
/// When the store fails, or is damaged.
pub fn open_covering<'a, T: ReadableTable<&'static [u8], &'static [u8]>>(
    name: &str,
    table: &'a T,
    key: &[u8],
    block: &mut BlockReader,
) -> Result<AccessGuard<'a, &'static [u8]>, StoreError> {
    let found = table.range::<&[u8]>(..=key)?.next_back();
    let fence = open_block(name, block, found)?;
    if block.covers(key) {
        Ok(fence)
    } else {
        Err(StoreError::damaged(Damage::Part(name.to_owned())))
    }
}

/// Opens a block, which must exist. Returns its fence.
fn open_block<'a>(
    name: &str,
    block: &mut BlockReader,
    found: Option<StoredBlock<'a>>,
) -> Result<AccessGuard<'a, &'static [u8]>, StoreError> {
    let damaged = || StoreError::damaged(Damage::Part(name.to_owned()));
    let (fence, bytes) = found.ok_or_else(damaged)??;
    let opened = block.open(fence.value(), bytes.value());
    opened.map_err(|_| damaged())?;
    Ok(fence)
}

impl<T: ReadableTable<&'static [u8], &'static [u8]>> EntryWalk for LevelCursor<'_, T> {
    fn advance(&mut self) -> Result<(), StoreError> {
        self.has_moved = true;
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
        let at = self.block.entry();
        let is_there = if self.has_moved {
            at.is_some_and(|entry| entry.key == key)
        } else {
            self.sought.as_slice() <= key && at.is_none_or(|entry| entry.key >= key)
        };
        if !is_there {
            // Past its last entry, the block reader does not know its distance from the key.
            let behind = at.is_none_or(|entry| entry.key > key);
            let inside = self.fence.as_deref().is_some_and(|fence| fence <= key);
            if behind || !inside || !self.block.covers(key) {
                self.open(key)?;
            }
            if !self.block.seek(key).map_err(|_| self.damaged())? {
                self.advance()?;
            }
        }
        self.sought.clear();
        self.sought.extend_from_slice(key);
        self.has_moved = false;
        Ok(())
    }

    fn find_before(&mut self, key: &[u8]) -> Result<(), StoreError> {
        self.has_moved = true;
        self.open(key)?;
        loop {
            // Blocks are read forwards only: once to count the entries before the key, once to move to the last of
            // them.
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

    fn at(&self) -> Option<StateEntry<'_>> {
        self.block.entry()
    }
}
