//! The codes of tuples of columns: the code of the columns so far and the code of the next column have a code together.
//!
//! While there are few, they are looked up in an array; after that in a hash table, behind a cache of the last tuple of
//! each first code. A column that is determined by those before it, like the day by the hour, always hits the cache.

use std::rc::Rc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::codes::{ColumnCodes, SpaceId};
use crate::dictionary::DictionaryFull;

/// Cells of a table that is an array: 1 MiB.
const CELLS_MAX: usize = 1 << 18;
const UNSET: u32 = u32::MAX;

/// The tuples of two spaces.
pub struct TupleSpace {
    /// The two spaces.
    pub members: [SpaceId; 2],
    /// The two codes of each tuple.
    tuples: Vec<[u32; 2]>,
    /// The codes by first and second member, while they are few.
    cells: Vec<u32>,
    /// Second members that a row of cells has room for.
    stride: usize,
    /// The codes by members, when they are many.
    table: HashMap<[u32; 2], u32, FixedState>,
    /// The last tuple of each first member: its second member, and its code.
    last: Vec<(u32, u32)>,
}

impl TupleSpace {
    /// No tuples yet.
    pub fn new(members: [SpaceId; 2]) -> Self {
        Self {
            members,
            tuples: Vec::new(),
            cells: Vec::new(),
            stride: 0,
            table: HashMap::default(),
            last: Vec::new(),
        }
    }

    /// Number of tuples.
    pub fn len(&self) -> usize {
        self.tuples.len()
    }

    /// The two codes of a tuple.
    pub fn get(&self, code: u32) -> [u32; 2] {
        self.tuples[code as usize]
    }

    /// The code of each row. Tuples are numbered in the order in which they are met.
    ///
    /// # Errors
    /// When codes run out.
    pub fn intern(
        &mut self,
        first: &ColumnCodes,
        second: &ColumnCodes,
    ) -> Result<Rc<[u32]>, DictionaryFull> {
        u32::try_from(self.len() + first.rows.len()).map_err(|_| DictionaryFull)?;
        // Cached codes may have a lower bound than codes that are already in the table.
        let firsts = first.known.max(self.cells.len() / self.stride.max(1));
        let stride = self.stride.max(second.known.next_power_of_two());
        if self.table.is_empty() && firsts * stride <= CELLS_MAX {
            self.make_room(firsts, stride);
            return Ok(self.intern_in_cells(&first.rows, &second.rows));
        }
        self.leave_cells();
        self.last
            .resize(self.last.len().max(first.known), (UNSET, UNSET));
        Ok(self.intern_in_table(&first.rows, &second.rows))
    }

    /// Makes room for this number of members, which is not less than before.
    fn make_room(&mut self, firsts: usize, stride: usize) {
        let old = self.stride;
        if stride > old {
            let cells = std::mem::take(&mut self.cells);
            self.cells.resize(firsts * stride, UNSET);
            let rows = cells.chunks(old.max(1));
            let rows = rows.zip(self.cells.chunks_mut(stride));
            rows.for_each(|(old, new)| new[..old.len()].copy_from_slice(old));
            self.stride = stride;
        } else {
            self.cells.resize(firsts * stride, UNSET);
        }
    }

    fn intern_in_cells(&mut self, firsts: &[u32], seconds: &[u32]) -> Rc<[u32]> {
        let Self {
            cells,
            stride,
            tuples,
            ..
        } = self;
        let rows = firsts.iter().zip(seconds);
        rows.map(|(&first, &second)| {
            let cell = &mut cells[first as usize * *stride + second as usize];
            if *cell == UNSET {
                *cell = next(tuples, [first, second]);
            }
            *cell
        })
        .collect()
    }

    fn leave_cells(&mut self) {
        if self.stride > 0 {
            self.table.extend(self.tuples.iter().copied().zip(0..));
            self.cells = Vec::new();
            self.stride = 0;
        }
    }

    fn intern_in_table(&mut self, firsts: &[u32], seconds: &[u32]) -> Rc<[u32]> {
        let Self {
            table,
            last,
            tuples,
            ..
        } = self;
        let rows = firsts.iter().zip(seconds);
        rows.map(|(&first, &second)| {
            let last = &mut last[first as usize];
            if last.0 != second {
                let code = table.entry([first, second]);
                let code = code.or_insert_with(|| next(tuples, [first, second]));
                *last = (second, *code);
            }
            last.1
        })
        .collect()
    }
}

/// Appends a new tuple and returns its code, which was checked to fit.
#[cold]
fn next(tuples: &mut Vec<[u32; 2]>, tuple: [u32; 2]) -> u32 {
    tuples.push(tuple);
    u32::try_from(tuples.len() - 1).unwrap_or(UNSET)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Codes that were cached before others were added, beside more second codes than there were.
    #[test]
    fn cached_codes_leave_the_table_small() {
        let codes = |rows: &[u32], known| ColumnCodes {
            space: SpaceId::Values(0),
            rows: rows.into(),
            known,
        };
        let mut tuples = TupleSpace::new([SpaceId::Values(0), SpaceId::Values(1)]);
        let (many, few) = (codes(&[0, 16_383], 1 << 14), codes(&[0, 1], 2));
        let first = tuples.intern(&many, &codes(&[3, 4], 16)).unwrap();
        assert_eq!(*first, [0, 1]);
        let second = tuples.intern(&few, &codes(&[3, 9_000], 1 << 14)).unwrap();
        assert_eq!(*second, [0, 2]);
        assert!(tuples.cells.len() <= CELLS_MAX);
        let third = tuples.intern(&many, &codes(&[3, 4], 16)).unwrap();
        assert_eq!(*third, [0, 1]);
    }
}
