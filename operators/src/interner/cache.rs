//! Recently computed codes.

use std::collections::VecDeque;

use super::codes::ColumnCodes;

/// Columns, dictionaries, or pairs of columns whose codes are remembered.
const CAPACITY: usize = 32;

/// Recently computed codes by what they were computed for. The least recently used come first.
pub struct CodeCache<K>(VecDeque<(K, ColumnCodes)>);

impl<K> Default for CodeCache<K> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<K> CodeCache<K> {
    /// The codes whose key `matches`.
    pub fn get(&mut self, matches: impl Fn(&K) -> bool) -> Option<ColumnCodes> {
        let at = self.0.iter().rposition(|(key, _)| matches(key))?;
        let entry = self.0.remove(at)?;
        let codes = entry.1.clone();
        self.0.push_back(entry);
        Some(codes)
    }

    /// Remembers codes.
    pub fn put(&mut self, key: K, codes: &ColumnCodes) {
        if self.0.len() == CAPACITY {
            self.0.pop_front();
        }
        self.0.push_back((key, codes.clone()));
    }
}
