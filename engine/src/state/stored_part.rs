//! The stored entries of one operator, as of the last commit, with all levels merged.

use std::sync::Arc;

use redb::{ReadOnlyTable, ReadableTable};
use tidewater_operators::state::{EntryCursor, EntryLookup, StateEntry, StoredEntries};

use super::cursor::{EntryWalk, LevelCursor, StateCursor};
use super::error::{Damage, StoreError};
use super::lookup::PartLookup;
use super::merge_operand::MergeOperand;

/// The entries of a part.
pub struct StoredPart {
    /// Its name, for messages.
    pub name: Arc<str>,
    /// The levels that have blocks, the base first. Each maps fences to blocks.
    pub levels: Vec<ReadOnlyTable<&'static [u8], &'static [u8]>>,
}

impl StoredEntries for StoredPart {
    fn cursor(&self) -> Box<dyn EntryCursor + '_> {
        match self.levels.as_slice() {
            [base] => Box::new(StateCursor(LevelCursor::new(&self.name, base))),
            levels => Box::new(StateCursor(MergedCursor::new(&self.name, levels.iter()))),
        }
    }

    fn lookup(&self) -> Box<dyn EntryLookup + '_> {
        Box::new(PartLookup::new(&self.name, self.levels.iter()))
    }
}

/// A cursor over the merged entries of several levels.
pub struct MergedCursor<'a, T> {
    name: &'a str,
    /// The levels, the base first.
    levels: Vec<LevelCursor<'a, T>>,
    /// The current entry. Its count is 0 past the last entry.
    key: Vec<u8>,
    count: i64,
    payload: Vec<u8>,
    /// Whether the last move was [`find_before`](Walk::find_before). Each level is then at its last entry before a
    /// key, and not at its first entry from the key on.
    is_behind: bool,
    /// If known, a key such that no entry is between it and the current position. It saves work for a caller that
    /// asks again for the next entry after many retracted ones.
    passed: Option<Vec<u8>>,
}

impl<'a, T: ReadableTable<&'static [u8], &'static [u8]> + 'a> MergedCursor<'a, T> {
    /// A cursor over the levels of the part `name`, given with the base first. Each level must have blocks.
    pub fn new(name: &'a str, levels: impl Iterator<Item = &'a T>) -> Self {
        Self {
            name,
            levels: levels.map(|level| LevelCursor::new(name, level)).collect(),
            key: Vec::new(),
            count: 0,
            payload: Vec::new(),
            is_behind: false,
            passed: None,
        }
    }

    /// Whether the current position is already the result of finding `key`.
    fn is_at(&self, key: &[u8]) -> bool {
        let passed = self.passed.as_deref();
        passed.is_some_and(|passed| passed <= key) && (self.count == 0 || key <= &*self.key)
    }

    /// Moves the levels past the current key.
    fn pass(&mut self) -> Result<(), StoreError> {
        for level in &mut self.levels {
            if level.at().is_some_and(|entry| entry.key == self.key) {
                level.advance()?;
            }
        }
        Ok(())
    }

    /// Moves to the first entry, from the levels' positions on, whose merged count is not zero.
    fn settle(&mut self) -> Result<(), StoreError> {
        loop {
            let first = self.keys().min_by_key(|(_, key)| *key);
            if !self.stand_at(first.map(|(level, _)| level))? {
                return Ok(());
            }
            self.pass()?;
        }
    }

    /// The current key of each level.
    fn keys(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let levels = self.levels.iter().enumerate();
        levels.filter_map(|(level, cursor)| Some((level, cursor.at()?.key)))
    }

    /// Merges the entries for the current key of `level`. Returns whether to continue, because the count is zero.
    fn stand_at(&mut self, level: Option<usize>) -> Result<bool, StoreError> {
        self.count = 0;
        let Some(entry) = level.and_then(|level| self.levels[level].at()) else {
            return Ok(false);
        };
        self.key.clear();
        self.key.extend_from_slice(entry.key);
        let mut merged: Option<MergeOperand<'_>> = None;
        for (at, level) in self.levels.iter().enumerate() {
            let Some(entry) = level.at().filter(|entry| entry.key == self.key) else {
                continue;
            };
            let more = match at {
                0 => MergeOperand::Set(entry.count, entry.payload),
                _ => MergeOperand::of_entry(entry),
            };
            merged = Some(merged.map_or(more, |merged| merged.then(more)));
        }
        let merged = merged.unwrap_or(MergeOperand::Add(0));
        self.payload.clear();
        if let MergeOperand::Set(_, payload) = merged {
            self.payload.extend_from_slice(payload);
        }
        self.count = merged.count();
        if self.count < 0 {
            return Err(StoreError::damaged(Damage::Part(self.name.to_owned())));
        }
        Ok(self.count == 0)
    }
}

impl<T: ReadableTable<&'static [u8], &'static [u8]>> EntryWalk for MergedCursor<'_, T> {
    fn find(&mut self, key: &[u8]) -> Result<(), StoreError> {
        let is_at = self.is_at(key);
        let mut passed = self.passed.take().unwrap_or_default();
        if !is_at {
            self.is_behind = false;
            let mut levels = self.levels.iter_mut();
            levels.try_for_each(|level| level.find(key))?;
            self.settle()?;
        }
        passed.clear();
        passed.extend_from_slice(key);
        self.passed = Some(passed);
        Ok(())
    }

    fn find_before(&mut self, key: &[u8]) -> Result<(), StoreError> {
        self.is_behind = true;
        self.passed = None;
        self.key.clear();
        self.key.extend_from_slice(key);
        loop {
            let mut levels = self.levels.iter_mut();
            levels.try_for_each(|level| level.find_before(&self.key))?;
            let last = self.keys().max_by_key(|(_, key)| *key);
            if !self.stand_at(last.map(|(level, _)| level))? {
                return Ok(());
            }
        }
    }

    fn advance(&mut self) -> Result<(), StoreError> {
        if self.count == 0 {
            return Ok(());
        }
        if self.is_behind {
            self.is_behind = false;
            let mut levels = self.levels.iter_mut();
            levels.try_for_each(|level| level.find(&self.key))?;
        }
        let mut passed = self.passed.take().unwrap_or_default();
        passed.clear();
        passed.extend_from_slice(&self.key);
        // The least key greater than the current one.
        passed.push(0);
        self.pass()?;
        self.settle()?;
        self.passed = Some(passed);
        Ok(())
    }

    fn at(&self) -> Option<StateEntry<'_>> {
        (self.count > 0).then(|| StateEntry {
            key: &self.key,
            count: self.count,
            payload: &self.payload,
        })
    }
}
