//! The groups of a pre-aggregation, numbered by the codes of their keys.

use std::rc::Rc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::dictionary::DictionaryFull;

/// The groups met since the last flush, numbered by the codes of their keys.
#[derive(Default)]
pub struct Groups {
    /// The codes of each group, a row of keys after the other.
    pub codes: Vec<u32>,
    /// Finds `(id of the keys so far, code of the next key)`, one table for each key after the first.
    steps: Vec<HashMap<u64, u32, FixedState>>,
    /// Finds the first key's code.
    first: Vec<u32>,
    /// Number of groups.
    pub len: usize,
}

impl Groups {
    /// The group of each row, by the codes of its keys.
    ///
    /// # Errors
    /// When there are more groups than an id can number.
    pub fn assign(
        &mut self,
        keys: &[Rc<[u32]>],
        rows: usize,
        ids: &mut Vec<u32>,
    ) -> Result<(), DictionaryFull> {
        ids.clear();
        let Some((first, rest)) = keys.split_first() else {
            ids.resize(rows, 0);
            self.len = self.len.max(usize::from(rows > 0));
            return Ok(());
        };
        self.steps.resize_with(rest.len(), HashMap::default);
        ids.extend_from_slice(first);
        for (table, codes) in self.steps.iter_mut().zip(rest) {
            for (id, &code) in ids.iter_mut().zip(codes.iter()) {
                // The ids of the last step are the groups; those before it number what leads there.
                let known = u32::try_from(table.len()).map_err(|_| DictionaryFull)?;
                *id = *table.entry(pack(*id, code)).or_insert(known);
            }
        }
        self.learn(keys, ids)
    }

    /// Remembers the codes of groups that are new. Groups are numbered as they are first met.
    fn learn(&mut self, keys: &[Rc<[u32]>], ids: &mut [u32]) -> Result<(), DictionaryFull> {
        let width = keys.len();
        let mut known = self.codes.len() / width;
        for (row, id) in ids.iter_mut().enumerate() {
            if width == 1 {
                let code = *id as usize;
                if code >= self.first.len() {
                    self.first.resize(code + 1, u32::MAX);
                }
                if self.first[code] == u32::MAX {
                    self.first[code] = u32::try_from(known).map_err(|_| DictionaryFull)?;
                }
                *id = self.first[code];
            }
            if *id as usize == known {
                self.codes.extend(keys.iter().map(|codes| codes[row]));
                known += 1;
            }
        }
        self.len = known;
        Ok(())
    }
}

/// Two codes as one key.
#[inline]
pub fn pack(group: u32, value: u32) -> u64 {
    u64::from(group) << 32 | u64::from(value)
}

/// The two codes of a key.
#[inline]
pub fn unpack(packed: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = packed.to_be_bytes();
    (
        u32::from_be_bytes([a, b, c, d]),
        u32::from_be_bytes([e, f, g, h]),
    )
}
