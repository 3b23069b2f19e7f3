//! Looks up single entries of a part in all its levels.

use redb::ReadableTable;
use tidewater_operators::state::{EntryLookup, StateEntry, StateError};

use super::block::BlockReader;
use super::cursor::open_covering;
use super::error::{Damage, StoreError};
use super::merge_operand::MergeOperand;

/// Looks up the counts of entries.
pub struct PartLookup<'a, T> {
    name: &'a str,
    /// The levels, the latest first and the base last.
    levels: Vec<LevelLookup<'a, T>>,
}

impl<'a, T: ReadableTable<&'static [u8], &'static [u8]>> PartLookup<'a, T> {
    /// A lookup in the levels of the part `name`, given with the base first. Each level must have blocks.
    pub fn new(name: &'a str, levels: impl DoubleEndedIterator<Item = &'a T>) -> Self {
        Self {
            name,
            levels: levels.rev().map(LevelLookup::new).collect(),
        }
    }

    /// The count of the entry of `key`. Cheap if `key` is not less than the previous one, and not far ahead.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn find(&mut self, key: &[u8]) -> Result<i64, StoreError> {
        let base = self.levels.len() - 1;
        let mut count = 0;
        for (at, level) in self.levels.iter_mut().enumerate() {
            let Some(entry) = level.find(self.name, key)? else {
                continue;
            };
            match MergeOperand::of_entry(entry) {
                MergeOperand::Add(more) if at < base => count += more,
                // The operand replaces the levels below.
                MergeOperand::Add(_) | MergeOperand::Set(..) => {
                    count += entry.count;
                    break;
                }
            }
        }
        if count < 0 {
            return Err(StoreError::damaged(Damage::Part(self.name.to_owned())));
        }
        Ok(count)
    }
}

impl<T: ReadableTable<&'static [u8], &'static [u8]>> EntryLookup for PartLookup<'_, T> {
    fn count(&mut self, key: &[u8]) -> Result<i64, StateError> {
        self.find(key)
            .map_err(|error| StateError(error.to_string()))
    }
}

/// The position in one level.
struct LevelLookup<'a, T> {
    table: &'a T,
    block: BlockReader,
    /// The last key that was looked up; `None` before the first lookup. The block covers this key, and its current
    /// entry is the first one that is not less, or past the last.
    sought: Option<Vec<u8>>,
}

impl<'a, T: ReadableTable<&'static [u8], &'static [u8]>> LevelLookup<'a, T> {
    fn new(table: &'a T) -> Self {
        Self {
            table,
            block: BlockReader::default(),
            sought: None,
        }
    }

    fn find(&mut self, name: &str, key: &[u8]) -> Result<Option<StateEntry<'_>>, StoreError> {
        let damaged = || StoreError::damaged(Damage::Part(name.to_owned()));
        let is_ahead = |sought: &Vec<u8>| sought.as_slice() <= key && self.block.covers(key);
        let goes_on = self.sought.as_ref().is_some_and(is_ahead);
        // After an error there is no position.
        let mut sought = self.sought.take().unwrap_or_default();
        if !goes_on {
            open_covering(name, self.table, key, &mut self.block)?;
        }
        if self.block.entry().is_none_or(|entry| entry.key < key) {
            self.block.seek(key).map_err(|_| damaged())?;
        }
        sought.clear();
        sought.extend_from_slice(key);
        self.sought = Some(sought);
        Ok(self.block.entry().filter(|entry| entry.key == key))
    }
}
