//! The groups of a pre-aggregation, numbered by the codes of their keys.
//!
//! Codes are numbered anew as they are met ([`Numbers`]), so that tables are as large as what is in them. A group is
//! then found key by key: the number of the keys so far and that of the next key lead to the number of both. While such a
//! table is small it is an array; beyond it is a hash table, behind a memory of what each number led to last: keys that
//! follow from those before them (the day of an hour) are always found there.

use std::rc::Rc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::dictionary::DictionaryFull;

/// Cells of a step that is an array: 1 MiB.
const CELLS_MAX: usize = 1 << 18;
const UNSET: u32 = u32::MAX;

/// Codes by numbers that count up from 0.
#[derive(Default)]
pub struct Numbers {
    /// By code.
    numbers: Vec<u32>,
    /// By number.
    codes: Vec<u32>,
}

impl Numbers {
    /// The number of each code, in place of what is in `numbers`.
    ///
    /// # Errors
    /// When there are more codes than a number can tell apart.
    pub fn assign(&mut self, codes: &[u32], numbers: &mut Vec<u32>) -> Result<(), DictionaryFull> {
        // A fold that is compiled to wide comparisons, as `max` is not.
        let most = codes.iter().fold(0, |most, &code| most.max(code));
        let most = most as usize + 1;
        if self.numbers.len() < most {
            self.numbers.resize(most, UNSET);
        }
        numbers.clear();
        let mut is_fresh = false;
        numbers.extend(codes.iter().map(|&code| {
            let number = self.numbers[code as usize];
            is_fresh |= number == UNSET;
            number
        }));
        if !is_fresh {
            return Ok(());
        }
        let unset = numbers.iter_mut().zip(codes);
        for (number, &code) in unset.filter(|(number, _)| **number == UNSET) {
            let known = &mut self.numbers[code as usize];
            if *known == UNSET {
                *known = u32::try_from(self.codes.len()).map_err(|_| DictionaryFull)?;
                self.codes.push(code);
            }
            *number = *known;
        }
        Ok(())
    }

    /// The codes by number.
    pub fn codes(&self) -> &[u32] {
        &self.codes
    }

    /// Forgets all; the cost is that of what was there.
    pub fn clear(&mut self) {
        for &code in &self.codes {
            self.numbers[code as usize] = UNSET;
        }
        self.codes.clear();
    }
}

/// The groups met since the last flush.
#[derive(Default)]
pub struct Groups {
    /// The codes of each group, a row of keys after the other.
    pub codes: Vec<u32>,
    /// Number of groups.
    pub len: usize,
    keys: Vec<Numbers>,
    steps: Vec<Step>,
    numbers: Vec<u32>,
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
        let Some((first, rest)) = keys.split_first() else {
            ids.clear();
            ids.resize(rows, 0);
            self.len = self.len.max(usize::from(rows > 0));
            return Ok(());
        };
        self.keys.resize_with(keys.len(), Numbers::default);
        self.steps.resize_with(rest.len(), Step::default);
        self.keys[0].assign(first, ids)?;
        let mut known = self.keys[0].codes().len();
        for ((step, key), codes) in self.steps.iter_mut().zip(&mut self.keys[1..]).zip(rest) {
            key.assign(codes, &mut self.numbers)?;
            step.advance(ids, known, &self.numbers, key.codes().len())?;
            known = step.len;
        }
        self.learn(keys, ids, known);
        Ok(())
    }

    /// Remembers the codes of groups that are new. Groups are numbered as they are first met.
    fn learn(&mut self, keys: &[Rc<[u32]>], ids: &[u32], known: usize) {
        if known > self.len {
            for (row, &id) in ids.iter().enumerate() {
                if id as usize == self.len {
                    self.codes.extend(keys.iter().map(|codes| codes[row]));
                    self.len += 1;
                }
            }
        }
    }

    /// Forgets all groups.
    pub fn clear(&mut self) {
        self.codes.clear();
        self.len = 0;
        self.keys.iter_mut().for_each(Numbers::clear);
        self.steps.iter_mut().for_each(Step::clear);
    }
}

/// From the number of the keys so far and the number of the next key to the number of both.
#[derive(Default)]
struct Step {
    /// While it is small: by the first number, then the second.
    cells: Vec<u32>,
    /// Second numbers that there is room for.
    stride: usize,
    /// When it is not.
    table: HashMap<u64, u32, FixedState>,
    /// What each first number led to last: the second number, and that of both.
    last: Vec<(u32, u32)>,
    len: usize,
}

impl Step {
    fn advance(
        &mut self,
        ids: &mut [u32],
        firsts: usize,
        seconds: &[u32],
        seconds_known: usize,
    ) -> Result<(), DictionaryFull> {
        // An id is at most the number of rows since the last flush.
        u32::try_from(self.len + ids.len()).map_err(|_| DictionaryFull)?;
        let stride = self.stride.max(seconds_known.next_power_of_two());
        if self.table.is_empty() && firsts * stride <= CELLS_MAX {
            self.make_room(firsts, stride);
            self.advance_in_cells(ids, seconds);
        } else {
            self.leave_cells();
            self.last.resize(firsts, (UNSET, UNSET));
            self.advance_in_table(ids, seconds);
        }
        Ok(())
    }

    fn make_room(&mut self, firsts: usize, stride: usize) {
        if stride > self.stride {
            let old = std::mem::take(&mut self.cells);
            self.cells.resize(firsts * stride, UNSET);
            if self.stride > 0 {
                let rows = old.chunks(self.stride).zip(self.cells.chunks_mut(stride));
                rows.for_each(|(old, new)| new[..old.len()].copy_from_slice(old));
            }
            self.stride = stride;
        } else {
            self.cells.resize(firsts * stride, UNSET);
        }
    }

    fn advance_in_cells(&mut self, ids: &mut [u32], seconds: &[u32]) {
        let (stride, mut len) = (self.stride, self.len);
        for (id, &second) in ids.iter_mut().zip(seconds) {
            let cell = &mut self.cells[*id as usize * stride + second as usize];
            if *cell == UNSET {
                *cell = number(len);
                len += 1;
            }
            *id = *cell;
        }
        self.len = len;
    }

    fn leave_cells(&mut self) {
        for (first, cells) in self.cells.chunks(self.stride.max(1)).enumerate() {
            for (second, &both) in cells.iter().enumerate().filter(|(_, both)| **both != UNSET) {
                self.table.insert(pack(number(first), number(second)), both);
            }
        }
        self.cells.clear();
        self.stride = 0;
    }

    fn advance_in_table(&mut self, ids: &mut [u32], seconds: &[u32]) {
        let mut len = self.len;
        for (id, &second) in ids.iter_mut().zip(seconds) {
            let last = &mut self.last[*id as usize];
            if last.0 != second {
                let both = self.table.entry(pack(*id, second)).or_insert_with(|| {
                    len += 1;
                    number(len - 1)
                });
                *last = (second, *both);
            }
            *id = last.1;
        }
        self.len = len;
    }

    fn clear(&mut self) {
        self.cells.clear();
        self.stride = 0;
        self.table.clear();
        self.last.clear();
        self.len = 0;
    }
}

/// What was checked to fit.
#[inline]
fn number(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(UNSET)
}

/// Two numbers as one key.
#[inline]
pub fn pack(group: u32, value: u32) -> u64 {
    u64::from(group) << 32 | u64::from(value)
}

/// The two numbers of a key.
#[inline]
pub fn unpack(packed: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = packed.to_be_bytes();
    (
        u32::from_be_bytes([a, b, c, d]),
        u32::from_be_bytes([e, f, g, h]),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Batches of random keys, some few, some many, against a plain table.
    #[test]
    fn groups_are_numbered_as_they_are_met() {
        let mut state = 7_u64;
        let mut random = move |below: u32| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as u32 % below
        };
        for bounds in [
            &[5][..],
            &[3, 4],
            &[3000, 2000],
            &[2, 5000, 7],
            &[600, 600, 2, 3],
        ] {
            let mut groups = Groups::default();
            for _ in 0..2 {
                let mut known: HashMap<Vec<u32>, u32> = HashMap::new();
                for _ in 0..5 {
                    let keys: Vec<Rc<[u32]>> = bounds
                        .iter()
                        .map(|&bound| (0..700).map(|_| random(bound)).collect())
                        .collect();
                    let mut ids = Vec::new();
                    groups.assign(&keys, 700, &mut ids).unwrap();
                    for (row, &id) in ids.iter().enumerate() {
                        let key: Vec<u32> = keys.iter().map(|codes| codes[row]).collect();
                        let next = known.len() as u32;
                        assert_eq!(*known.entry(key.clone()).or_insert(next), id);
                        assert_eq!(
                            groups.codes[id as usize * bounds.len()..][..bounds.len()],
                            key
                        );
                    }
                }
                assert_eq!(groups.len, known.len());
                groups.clear();
            }
        }
    }

    #[test]
    fn without_keys_there_is_one_group() {
        let (mut groups, mut ids) = (Groups::default(), Vec::new());
        groups.assign(&[], 0, &mut ids).unwrap();
        assert_eq!((groups.len, ids.len()), (0, 0));
        groups.assign(&[], 2, &mut ids).unwrap();
        assert_eq!((groups.len, ids), (1, vec![0, 0]));
    }
}
