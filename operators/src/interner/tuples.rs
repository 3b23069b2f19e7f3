//! Rows of several columns by number: the code of the columns so far and that of the next column lead to the code of both.
//!
//! While the table of a step is small it is an array; beyond it is a hash table, behind a memory of what each code led to
//! last: columns that follow from those before them (the day of an hour) are always found there.

use std::rc::Rc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::{Codes, Space};
use crate::dictionary::DictionaryFull;

/// Cells of a table that is an array: 1 MiB.
const CELLS_MAX: usize = 1 << 18;
const UNSET: u32 = u32::MAX;

/// The tuples of what two spaces have codes for.
pub struct Tuples {
    /// The spaces.
    pub of: [Space; 2],
    /// The two codes of each tuple.
    members: Vec<[u32; 2]>,
    /// While they are few: by the first code, then the second.
    cells: Vec<u32>,
    /// Second codes that there is room for.
    stride: usize,
    /// When they are not.
    table: HashMap<[u32; 2], u32, FixedState>,
    /// What each first code led to last: the second code, and that of both.
    last: Vec<(u32, u32)>,
}

impl Tuples {
    /// Of these two spaces, none yet.
    pub fn new(of: [Space; 2]) -> Self {
        Self {
            of,
            members: Vec::new(),
            cells: Vec::new(),
            stride: 0,
            table: HashMap::default(),
            last: Vec::new(),
        }
    }

    /// Number of tuples.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// The two codes of a tuple.
    pub fn members(&self, code: u32) -> [u32; 2] {
        self.members[code as usize]
    }

    /// The code of each row. Tuples are numbered as they are first met.
    ///
    /// # Errors
    /// When codes run out.
    pub fn intern(&mut self, first: &Codes, second: &Codes) -> Result<Rc<[u32]>, DictionaryFull> {
        u32::try_from(self.len() + first.rows.len()).map_err(|_| DictionaryFull)?;
        // Codes that were found a while ago may know fewer than are in the table.
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

    /// Makes room for so many codes, no fewer than there is room for.
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
            members,
            ..
        } = self;
        let rows = firsts.iter().zip(seconds);
        rows.map(|(&first, &second)| {
            let cell = &mut cells[first as usize * *stride + second as usize];
            if *cell == UNSET {
                *cell = next(members, [first, second]);
            }
            *cell
        })
        .collect()
    }

    fn leave_cells(&mut self) {
        if self.stride > 0 {
            self.table.extend(self.members.iter().copied().zip(0..));
            self.cells = Vec::new();
            self.stride = 0;
        }
    }

    fn intern_in_table(&mut self, firsts: &[u32], seconds: &[u32]) -> Rc<[u32]> {
        let Self {
            table,
            last,
            members,
            ..
        } = self;
        let rows = firsts.iter().zip(seconds);
        rows.map(|(&first, &second)| {
            let last = &mut last[first as usize];
            if last.0 != second {
                let both = table.entry([first, second]);
                let both = both.or_insert_with(|| next(members, [first, second]));
                *last = (second, *both);
            }
            last.1
        })
        .collect()
    }
}

/// The code of a tuple that is new; that there is one was checked.
#[cold]
fn next(members: &mut Vec<[u32; 2]>, tuple: [u32; 2]) -> u32 {
    members.push(tuple);
    u32::try_from(members.len() - 1).unwrap_or(UNSET)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Codes of a batch that was looked at before others came, beside more second codes than there were.
    #[test]
    fn codes_that_know_fewer_leave_the_table_small() {
        let codes = |rows: &[u32], known| Codes {
            space: Space::Values(0),
            rows: rows.into(),
            known,
        };
        let mut tuples = Tuples::new([Space::Values(0), Space::Values(1)]);
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
