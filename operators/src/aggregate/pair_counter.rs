//! Counts the `(group, value)` pairs of one call, or of several that share them, between two flushes.
//!
//! While groups and values are few, pairs are counted in a matrix: one addition a row, however often a pair repeats. When
//! the matrix would grow too large, rows are listed and counted by sorting, since most pairs of many occur once. A cell of
//! the matrix is one byte, so that more cells fit into a core's own cache; counts that overflow a cell go to a list.
//!
//! 1. A pair's count is the sum over the matrix and all lists; it may leave in several parts.
//! 2. Between rows, the absolute value of a cell is less than [`CELL_FULL`].

use super::dense_codes::DenseCodes;
use super::keys::{GroupKeys, slice_of, slice_owner, tag};
use super::parcel::{PairDelta, PairDeltas, Parcel};
use super::radix::sort_by_digits;
use super::row_mask::RowMask;
use super::sum_table::BatchGroups;
use crate::Sign;
use crate::dictionary::{DictionaryFull, PackedRows};
use crate::interner::{ColumnCodes, SpaceId, Spaces};

/// Cells of a matrix: 4 MiB.
const CELLS_MAX: usize = 1 << 22;
/// A cell that reaches this count, or its negative, is moved to the list.
const CELL_FULL: i8 = i8::MAX;
/// Listed rows, or counts, at which a flush is due.
const LISTED_MAX: usize = 1 << 18;

/// Counts of `(group, value)` pairs.
pub struct PairCounter {
    /// The index of the first call that needs the pairs.
    pub call: u16,
    /// Whether a pair belongs to the worker of its group and slice (distinct), or of its group (extremes).
    pub distinct: bool,
    /// The values met, by the interner's codes.
    values: DenseCodes,
    /// What those codes stand for.
    space: Option<SpaceId>,
    matrix: CountMatrix,
    /// Pairs of rows that were inserted.
    inserted: Vec<u64>,
    /// Pairs of rows that were retracted.
    retracted: Vec<u64>,
    /// Counts that overflowed a cell, and those of a matrix that had become too large.
    overflowed: Vec<(u64, i32)>,
}

impl PairCounter {
    /// A counter for the call at that index.
    pub fn new(call: u16, distinct: bool) -> Self {
        Self {
            call,
            distinct,
            values: DenseCodes::default(),
            space: None,
            matrix: CountMatrix::default(),
            inserted: Vec::new(),
            retracted: Vec::new(),
            overflowed: Vec::new(),
        }
    }

    /// Counts the pairs of a batch: for each row in `mask`, its group with its value.
    ///
    /// # Errors
    /// When values cannot be numbered.
    pub fn update(
        &mut self,
        groups: BatchGroups<'_>,
        values: &ColumnCodes,
        mask: &RowMask,
        sign: Sign,
    ) -> Result<(), DictionaryFull> {
        self.space = Some(values.space);
        let values = self.values.assign(values)?;
        let is_listing = !self.inserted.is_empty() || !self.retracted.is_empty();
        let value_count = self.values.codes().len();
        if !is_listing && self.matrix.make_room(groups.count, value_count) {
            self.count_in_matrix(groups.of_rows, &values, mask, sign);
            return Ok(());
        }
        self.matrix
            .drain(|pair, count| self.overflowed.push((pair, count)));
        let pairs = groups.of_rows.iter().zip(&*values).enumerate();
        let pairs = pairs.filter(|(row, _)| mask.includes(*row));
        let list = match sign {
            Sign::Plus => &mut self.inserted,
            Sign::Minus => &mut self.retracted,
        };
        list.extend(pairs.map(|(_, (&group, &value))| pack(group, value)));
        Ok(())
    }

    fn count_in_matrix(&mut self, groups: &[u32], values: &[u32], mask: &RowMask, sign: Sign) {
        let CountMatrix { cells, stride } = &mut self.matrix;
        let diff = if sign == Sign::Minus { -1 } else { 1 };
        let full = diff * CELL_FULL;
        let mut count = |group: u32, value: u32| {
            let cell = &mut cells[group as usize * *stride + value as usize];
            *cell += diff;
            if *cell == full {
                *cell = 0;
                self.overflowed.push((pack(group, value), full.into()));
            }
        };
        let pairs = groups.iter().zip(values);
        match mask.bits() {
            None => pairs.for_each(|(&group, &value)| count(group, value)),
            Some(bits) => {
                for (row, (&group, &value)) in pairs.enumerate() {
                    if bits.value(row) {
                        count(group, value);
                    }
                }
            }
        }
    }

    /// Whether the lists have grown so long that a flush is due.
    pub fn is_due(&self) -> bool {
        self.inserted.len() + self.retracted.len() + self.overflowed.len() >= LISTED_MAX
    }

    /// Empties the tables into parcels for `peers` workers.
    pub fn flush(
        &mut self,
        groups: &GroupKeys,
        spaces: &Spaces,
        peers: usize,
        parcels: &mut Vec<Parcel<PairDeltas>>,
    ) {
        let Some(space) = self.space.take() else {
            return;
        };
        let codes = self.values.codes();
        let slices: Vec<u8> = if self.distinct {
            let hashes = codes.iter().map(|&code| spaces.hash(space, code));
            hashes.map(slice_of).collect()
        } else {
            Vec::new()
        };
        let keys = PairKeys {
            call: self.call,
            groups,
            codes,
            slices: &slices,
            space,
            spaces,
        };
        let mut builders: Vec<PairParcelBuilder> = (0..peers)
            .map(|_| PairParcelBuilder::new(groups.keys.len(), codes.len()))
            .collect();
        let owners: Vec<usize> = (0..groups.keys.len())
            .map(|group| groups.owner(group, peers))
            .collect();
        let mut push = |pair, diff| {
            let (group, value) = unpack(pair);
            let owner = owners[group as usize];
            let slice = slices.get(value as usize).copied();
            let to = slice.map_or(owner, |slice| slice_owner(owner, slice, peers));
            builders[to].push(&keys, group, value, diff);
        };
        self.matrix.drain(&mut push);
        self.overflowed
            .drain(..)
            .for_each(|(pair, count)| push(pair, count));
        for (list, sign) in [(&mut self.inserted, 1), (&mut self.retracted, -1)] {
            sort_by_digits(list, |&pair| [0, pair]);
            for same in list.chunk_by(PartialEq::eq) {
                push(
                    same[0],
                    sign * i32::try_from(same.len()).unwrap_or(i32::MAX),
                );
            }
            list.clear();
        }
        let built = (0_u64..).zip(builders);
        let built = built.filter(|(_, builder)| !builder.body.pairs.is_empty());
        parcels.extend(built.map(|(to, builder)| Parcel {
            to,
            body: builder.body,
        }));
        self.values.clear();
    }
}

/// A group and a value as one sort key.
#[inline]
pub fn pack(group: u32, value: u32) -> u64 {
    u64::from(group) << 32 | u64::from(value)
}

/// The group and the value; the inverse of [`pack`].
#[inline]
fn unpack(packed: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = packed.to_be_bytes();
    (
        u32::from_be_bytes([a, b, c, d]),
        u32::from_be_bytes([e, f, g, h]),
    )
}

/// Counts by group and value.
#[derive(Default)]
struct CountMatrix {
    cells: Vec<i8>,
    /// Values that a group has room for.
    stride: usize,
}

impl CountMatrix {
    /// Makes room for this number of groups and values; `false` when the matrix would be too large.
    fn make_room(&mut self, groups: usize, values: usize) -> bool {
        if groups * values > CELLS_MAX {
            return false;
        }
        if values > self.stride {
            // A quarter more, so that the next few values fit too, unless that is too large.
            let roomy = values + values / 4;
            let stride = if groups * roomy > CELLS_MAX {
                values
            } else {
                roomy
            };
            let old = std::mem::take(&mut self.cells);
            self.cells.resize(groups * stride, 0);
            if self.stride > 0 {
                let rows = old.chunks(self.stride).zip(self.cells.chunks_mut(stride));
                rows.for_each(|(old, new)| new[..old.len()].copy_from_slice(old));
            }
            self.stride = stride;
        } else if groups * self.stride > CELLS_MAX {
            return false;
        }
        if self.cells.len() < groups * self.stride {
            self.cells.resize(groups * self.stride, 0);
        }
        true
    }

    /// Passes all counts to `visit`, in the order of groups and values, and empties the matrix.
    fn drain(&mut self, mut visit: impl FnMut(u64, i32)) {
        let groups = self.cells.chunks(self.stride.max(1));
        for (group, values) in (0..).zip(groups) {
            for (value, &count) in (0..).zip(values) {
                if count != 0 {
                    visit(pack(group, value), count.into());
                }
            }
        }
        self.cells.clear();
        self.stride = 0;
    }
}

/// The bytes of the groups and values of a flush, by their numbers.
struct PairKeys<'a> {
    call: u16,
    groups: &'a GroupKeys,
    /// The interner's code of each value.
    codes: &'a [u32],
    /// The slice of each value; empty for extremes.
    slices: &'a [u8],
    space: SpaceId,
    spaces: &'a Spaces,
}

impl PairKeys<'_> {
    fn write_group(&self, group: u32, key: &mut Vec<u8>) {
        tag(self.call, self.groups.keys.get(group as usize), key);
    }

    fn write_value(&self, value: u32, key: &mut Vec<u8>) {
        key.clear();
        key.extend(self.slices.get(value as usize));
        self.spaces
            .append(self.space, self.codes[value as usize], key);
    }
}

/// No index in the parcel yet.
const UNSET: u32 = u32::MAX;

/// Builds the parcel for one worker. Each group and value is listed once.
struct PairParcelBuilder {
    body: PairDeltas,
    /// Index in the parcel of each group.
    group_index: Vec<u32>,
    /// Index in the parcel of each value.
    value_index: Vec<u32>,
    key: Vec<u8>,
}

impl PairParcelBuilder {
    fn new(groups: usize, values: usize) -> Self {
        Self {
            body: PairDeltas::default(),
            group_index: vec![UNSET; groups],
            value_index: vec![UNSET; values],
            key: Vec::new(),
        }
    }

    fn push(&mut self, keys: &PairKeys<'_>, group: u32, value: u32, diff: i32) {
        let Self {
            body,
            group_index,
            value_index,
            key,
        } = self;
        let group = index_in(
            &mut body.groups,
            &mut group_index[group as usize],
            key,
            |key| keys.write_group(group, key),
        );
        let value = index_in(
            &mut body.values,
            &mut value_index[value as usize],
            key,
            |key| keys.write_value(value, key),
        );
        body.pairs.push(PairDelta { group, value, diff });
    }
}

/// The index of a row in a parcel. If it is not listed yet, `write` gives its bytes.
#[inline]
fn index_in(
    rows: &mut PackedRows,
    index: &mut u32,
    row: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>),
) -> u32 {
    if *index == UNSET {
        *index = u32::try_from(rows.len()).unwrap_or(UNSET);
        write(row);
        rows.push(row);
    }
    *index
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap
)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BooleanArray, Int64Array};

    use super::*;
    use crate::interner::Interner;

    /// Counts by group and value over the parcels of all workers.
    fn counted(parcels: &[Parcel<PairDeltas>]) -> BTreeMap<(Vec<u8>, Vec<u8>), i64> {
        let mut counts = BTreeMap::new();
        for Parcel { body, .. } in parcels {
            for &PairDelta { group, value, diff } in &body.pairs {
                let group = body.groups.get(group as usize).to_vec();
                let value = body.values.get(value as usize).to_vec();
                *counts.entry((group, value)).or_insert(0) += i64::from(diff);
            }
        }
        counts.retain(|_, count| *count != 0);
        counts
    }

    /// Batches of few groups, then of more than a matrix has cells for, then of few again, with insertions and retractions.
    #[test]
    fn pairs_are_counted_in_matrices_and_in_lists() {
        let interner = Interner::default();
        let generation = interner.generation();
        for distinct in [true, false] {
            let mut counter = PairCounter::new(7, distinct);
            let mut expected: BTreeMap<(u32, i64), i64> = BTreeMap::new();
            let mut state = 11_u64;
            for (known, values, sign) in [
                // More rows of each pair than a cell can count.
                (2, 3, Sign::Plus),
                (9, 50, Sign::Plus),
                (2, 3, Sign::Minus),
                (2, 3, Sign::Minus),
                (9000, 1000, Sign::Plus),
                (9000, 1000, Sign::Minus),
                (9, 5, Sign::Plus),
                (9, 5, Sign::Minus),
            ] {
                let mut random = |below: u64| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    (state >> 33) % below
                };
                let rows = 4000;
                let groups: Vec<u32> = (0..rows).map(|_| random(known) as u32).collect();
                let column: Vec<i64> = (0..rows).map(|_| random(values) as i64).collect();
                let mask: BooleanArray = (0..rows).map(|_| Some(random(3) > 0)).collect();
                let array: ArrayRef = Arc::new(Int64Array::from(column.clone()));
                let codes = interner.column("x", &array).unwrap();
                let mask = RowMask::from((values != 50).then_some(mask));
                let row_groups = BatchGroups {
                    of_rows: &groups,
                    count: known as usize,
                };
                counter.update(row_groups, &codes, &mask, sign).unwrap();
                for row in (0..rows).filter(|&row| mask.includes(row)) {
                    *expected.entry((groups[row], column[row])).or_insert(0) += sign.diff();
                }
            }
            let mut keys = PackedRows::default();
            (0..9000_u32).for_each(|group| keys.push(&group.to_be_bytes()));
            let groups = GroupKeys::new(keys);
            let mut parcels = Vec::new();
            counter.flush(&groups, &generation.spaces(), 3, &mut parcels);
            let key = |group: u32| [7_u16.to_be_bytes().as_slice(), &group.to_be_bytes()].concat();
            let array = |value| Arc::new(Int64Array::from(vec![value])) as ArrayRef;
            let bytes = |value: i64| {
                let codes = interner.column("x", &array(value)).unwrap();
                let (spaces, code) = (generation.spaces(), codes.rows[0]);
                let slice = distinct.then(|| slice_of(spaces.hash(codes.space, code)));
                let mut bytes: Vec<u8> = slice.into_iter().collect();
                spaces.append(codes.space, code, &mut bytes);
                bytes
            };
            expected.retain(|_, count| *count != 0);
            let expected = expected
                .into_iter()
                .map(|((group, value), count)| ((key(group), bytes(value)), count));
            assert_eq!(counted(&parcels), expected.collect());
            let mut nothing = Vec::new();
            counter.flush(&groups, &generation.spaces(), 3, &mut nothing);
            assert!(nothing.is_empty());
        }
    }
}
