//! Packed byte strings, and a dictionary that gives them ids.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use serde::{Deserialize, Serialize};

use crate::hash::hash;
use crate::key_order::in_key_order;

/// Byte strings packed one after another, by index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedRows {
    /// The end of each row in `bytes`.
    ends: Vec<usize>,
    bytes: Vec<u8>,
}

impl PackedRows {
    /// Appends a row.
    pub fn push(&mut self, row: &[u8]) {
        self.bytes.extend_from_slice(row);
        self.ends.push(self.bytes.len());
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The row at `index`.
    ///
    /// # Panics
    /// When there is no such row.
    #[inline]
    pub fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    /// All rows, by index.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.get(index))
    }
}

/// Interns byte strings: equal strings have the same id, and ids count up from 0.
///
/// Operators key their state by ids rather than strings: a `(group, value)` pair is then eight bytes and sorts as one
/// integer. An id has a meaning for one worker only, so strings and not ids cross workers.
#[derive(Debug, Default)]
pub struct KeyDictionary {
    rows: PackedRows,
    hashes: Vec<u64>,
    ids: HashTable<u32>,
}

/// More distinct keys than an id can number.
#[derive(Debug, thiserror::Error)]
#[error(
    "more than {} distinct keys on one worker; run with more workers",
    u32::MAX
)]
pub struct DictionaryFull;

impl KeyDictionary {
    /// The id of `row`, which gets a new one if it has none.
    ///
    /// # Errors
    /// When ids run out.
    #[inline]
    pub fn intern(&mut self, row: &[u8]) -> Result<u32, DictionaryFull> {
        self.intern_hashed(row, hash(row))
    }

    /// [`intern`](Self::intern) for a row whose [`hash()`] is known.
    ///
    /// # Errors
    /// When ids run out.
    #[inline]
    pub fn intern_hashed(&mut self, row: &[u8], hash: u64) -> Result<u32, DictionaryFull> {
        let Self { rows, hashes, ids } = self;
        let is_row = |&id: &u32| hashes[id as usize] == hash && rows.get(id as usize) == row;
        match ids.entry(hash, is_row, |&id| hashes[id as usize]) {
            Entry::Occupied(known) => Ok(*known.get()),
            Entry::Vacant(place) => {
                let id = u32::try_from(rows.len()).map_err(|_| DictionaryFull)?;
                rows.push(row);
                hashes.push(hash);
                place.insert(id);
                Ok(id)
            }
        }
    }

    /// The string of an id of this dictionary.
    #[inline]
    pub fn get(&self, id: u32) -> &[u8] {
        self.rows.get(id as usize)
    }

    /// The [`hash()`] of the string behind an id of this dictionary.
    #[inline]
    pub fn hash(&self, id: u32) -> u64 {
        self.hashes[id as usize]
    }

    /// These ids in the order of their strings.
    pub fn in_order(&self, ids: impl Iterator<Item = u32>) -> Vec<u32> {
        in_key_order(ids, |&id| self.get(id))
    }

    /// Number of strings.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no string.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_strings_share_an_id() {
        let mut dictionary = KeyDictionary::default();
        let rows: [&[u8]; 5] = [b"a", b"", b"bc", b"a", b""];
        let ids: Vec<u32> = rows
            .iter()
            .filter_map(|row| dictionary.intern(row).ok())
            .collect();
        assert_eq!(ids, [0, 1, 2, 0, 1]);
        assert_eq!(dictionary.len(), 3);
        assert_eq!(dictionary.get(2), b"bc");
        assert_eq!(dictionary.hash(2), hash(b"bc"));
    }
}
