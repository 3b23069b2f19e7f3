//! `(group, value)` pairs of one call, or of those that share them, between two flushes.
//!
//! While groups and values are few, pairs are counted in a matrix: one addition a row, however often a pair repeats. When
//! it would grow too large, rows are listed and counted by sorting, since most pairs of many are there once. A cell of the
//! matrix is a byte, so that more of them are in a core's own cache; what it cannot hold is put on a list.
//!
//! 1. A pair's count is the sum over the matrix and all lists; it may leave in several parts.
//! 2. A cell is nearer to 0 than [`CELL_FULL`], between batches and rows.

use arrow::array::BooleanArray;

use super::keys::{owner, slice_of, slice_owner, tag};
use super::numbers::Numbers;
use super::parcel::{Pairs, Parcel};
use super::radix::sort_by_digits;
use super::values::counts;
use crate::Sign;
use crate::dictionary::{DictionaryFull, PackedRows};
use crate::interner::{Codes, Space, Spaces};

/// Cells of a matrix: 4 MiB.
const CELLS_MAX: usize = 1 << 22;
/// What a cell cannot hold, nor less than its negative.
const CELL_FULL: i8 = i8::MAX;
/// Listed rows, or counts, at which a flush is due.
const LISTED_MAX: usize = 1 << 18;

/// `(group, value)` pairs.
pub struct Paired {
    /// The index of the first call that needs them.
    pub call: u16,
    /// Whether pairs are dealt to workers by group and slice of values (distinct) or by group (extremes).
    pub distinct: bool,
    /// The values met, by the interner's codes, and what those are of.
    values: Numbers,
    space: Option<Space>,
    matrix: Matrix,
    /// Rows taken in, and taken back.
    listed: [Vec<u64>; 2],
    /// Counts that cells could not hold, and those of a matrix that had become too large.
    counted: Vec<(u64, i32)>,
}

impl Paired {
    /// Pairs of the call of that index, none yet.
    pub fn new(call: u16, distinct: bool) -> Self {
        Self {
            call,
            distinct,
            values: Numbers::default(),
            space: None,
            matrix: Matrix::default(),
            listed: [Vec::new(), Vec::new()],
            counted: Vec::new(),
        }
    }

    /// Counts the values of a batch's rows, by their codes, in their groups, of which `known` are known.
    ///
    /// # Errors
    /// When values cannot be numbered.
    pub fn update(
        &mut self,
        (groups, known): (&[u32], usize),
        values: &Codes,
        mask: Option<&BooleanArray>,
        sign: Sign,
    ) -> Result<(), DictionaryFull> {
        self.space = Some(values.space);
        let values = self.values.assign(values)?;
        let pairs = groups.iter().zip(&*values);
        let is_listing = self.listed.iter().any(|listed| !listed.is_empty());
        if !is_listing && self.matrix.make_room(known, self.values.codes().len()) {
            let Matrix { cells, stride } = &mut self.matrix;
            let diff = if sign == Sign::Minus { -1 } else { 1 };
            let full = diff * CELL_FULL;
            let mut count = |group: u32, value: u32| {
                let cell = &mut cells[group as usize * *stride + value as usize];
                *cell += diff;
                if *cell == full {
                    *cell = 0;
                    self.counted.push((pack(group, value), full.into()));
                }
            };
            match mask {
                None => pairs.for_each(|(&group, &value)| count(group, value)),
                Some(mask) => {
                    for (row, (&group, &value)) in pairs.enumerate() {
                        if mask.value(row) {
                            count(group, value);
                        }
                    }
                }
            }
            return Ok(());
        }
        self.matrix
            .drain(|pair, count| self.counted.push((pair, count)));
        let pairs = pairs.enumerate().filter(|(row, _)| counts(mask, *row));
        self.listed[usize::from(sign == Sign::Minus)]
            .extend(pairs.map(|(_, (&group, &value))| pack(group, value)));
        Ok(())
    }

    /// Whether so many rows are listed, or counted, that they should leave.
    pub fn is_due(&self) -> bool {
        let [taken_in, taken_back] = &self.listed;
        taken_in.len() + taken_back.len() + self.counted.len() >= LISTED_MAX
    }

    /// Empties the tables into parcels; `keys` are the groups', with their hashes.
    pub fn flush(
        &mut self,
        (keys, hashes): (&PackedRows, &[u64]),
        spaces: &Spaces,
        peers: usize,
        parcels: &mut Vec<Parcel<Pairs>>,
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
        let mut builders: Vec<PairsBuilder> = (0..peers)
            .map(|_| PairsBuilder::new(keys.len(), codes.len()))
            .collect();
        let owners: Vec<usize> = hashes.iter().map(|&hash| owner(hash, peers)).collect();
        let call = self.call;
        let mut push = |packed, diff| {
            let (group, value) = unpack(packed);
            let slice = slices.get(value as usize).copied();
            let to = owners[group as usize];
            let to = slice.map_or(to, |slice| slice_owner(to, slice, peers));
            let value = Value {
                number: value,
                code: codes[value as usize],
                slice,
            };
            builders[to].push(call, (keys, group), (spaces, space, value), diff);
        };
        self.matrix.drain(&mut push);
        self.counted
            .drain(..)
            .for_each(|(pair, count)| push(pair, count));
        for (listed, sign) in self.listed.iter_mut().zip([1, -1]) {
            sort_by_digits(listed, |&pair| [0, pair]);
            for same in listed.chunk_by(PartialEq::eq) {
                push(
                    same[0],
                    sign * i32::try_from(same.len()).unwrap_or(i32::MAX),
                );
            }
            listed.clear();
        }
        let built = (0_u64..).zip(builders);
        let built = built.filter(|(_, builder)| !builder.pairs.pairs.is_empty());
        parcels.extend(built.map(|(to, builder)| Parcel {
            to,
            body: builder.pairs,
        }));
        self.values.clear();
    }
}

/// Two numbers as one key.
#[inline]
pub fn pack(group: u32, value: u32) -> u64 {
    u64::from(group) << 32 | u64::from(value)
}

/// The two numbers of a key.
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
struct Matrix {
    cells: Vec<i8>,
    /// Values that there is room for in a group.
    stride: usize,
}

impl Matrix {
    /// Makes room for so many groups and values; `false` when that would be too large.
    fn make_room(&mut self, groups: usize, values: usize) -> bool {
        if groups * values > CELLS_MAX {
            return false;
        }
        if values > self.stride {
            // A quarter more, so that few values more cost nothing, unless that is too much.
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

    /// Gives what was counted, in the order of groups and values, and begins anew.
    fn drain(&mut self, mut give: impl FnMut(u64, i32)) {
        let groups = self.cells.chunks(self.stride.max(1));
        for (group, values) in (0..).zip(groups) {
            for (value, &count) in (0..).zip(values) {
                if count != 0 {
                    give(pack(group, value), count.into());
                }
            }
        }
        self.cells.clear();
        self.stride = 0;
    }
}

/// Collects the pairs of one parcel, and the keys they mention, once each.
struct PairsBuilder {
    pairs: Pairs,
    /// Index in the parcel of each group and value of the tables; `u32::MAX` where it is not in yet.
    group_index: Vec<u32>,
    value_index: Vec<u32>,
    key: Vec<u8>,
}

/// A value: its number, its code, and its slice where that is wanted.
#[derive(Clone, Copy)]
struct Value {
    number: u32,
    code: u32,
    slice: Option<u8>,
}

impl PairsBuilder {
    fn new(groups: usize, values: usize) -> Self {
        let unset = |len| vec![u32::MAX; len];
        Self {
            pairs: Pairs::default(),
            group_index: unset(groups),
            value_index: unset(values),
            key: Vec::new(),
        }
    }

    /// A pair of a group, known by its index in `group.0`, and a value of a space.
    fn push(
        &mut self,
        call: u16,
        group: (&PackedRows, u32),
        (spaces, space, value): (&Spaces, Space, Value),
        diff: i32,
    ) {
        let Self {
            pairs,
            group_index,
            value_index,
            key,
        } = self;
        let group = index_in(
            &mut pairs.groups,
            &mut group_index[group.1 as usize],
            || {
                tag(call, group.0.get(group.1 as usize), key);
                key
            },
        );
        let value = index_in(
            &mut pairs.values,
            &mut value_index[value.number as usize],
            || {
                key.clear();
                key.extend(value.slice);
                spaces.append(space, value.code, key);
                key
            },
        );
        pairs.pairs.push((group, value, diff));
    }
}

#[inline]
fn index_in<'a>(rows: &mut PackedRows, index: &mut u32, row: impl FnOnce() -> &'a [u8]) -> u32 {
    if *index == u32::MAX {
        *index = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        rows.push(row());
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

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;
    use crate::hash::hash;
    use crate::interner::Interner;

    /// Counts by group and value of all parcels, whoever they are for.
    fn counted(parcels: &[Parcel<Pairs>]) -> BTreeMap<(Vec<u8>, Vec<u8>), i64> {
        let mut counts = BTreeMap::new();
        for Parcel { body, .. } in parcels {
            for &(group, value, diff) in &body.pairs {
                let group = body.groups.get(group as usize).to_vec();
                let value = body.values.get(value as usize).to_vec();
                *counts.entry((group, value)).or_insert(0) += i64::from(diff);
            }
        }
        counts.retain(|_, count| *count != 0);
        counts
    }

    /// Batches of few groups, then of more than a matrix has cells for, then of few again; some rows taken back.
    #[test]
    fn pairs_are_counted_in_matrices_and_in_lists() {
        let interner = Interner::default();
        let generation = interner.generation();
        for distinct in [true, false] {
            let mut paired = Paired::new(7, distinct);
            let mut expected: BTreeMap<(u32, i64), i64> = BTreeMap::new();
            let mut state = 11_u64;
            for (known, values, sign) in [
                // More of each than a cell holds.
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
                let mask = (values != 50).then_some(mask);
                paired
                    .update((&groups, known as usize), &codes, mask.as_ref(), sign)
                    .unwrap();
                for row in (0..rows).filter(|&row| counts(mask.as_ref(), row)) {
                    *expected.entry((groups[row], column[row])).or_insert(0) += sign.diff();
                }
            }
            let mut keys = PackedRows::default();
            (0..9000_u32).for_each(|group| keys.push(&group.to_be_bytes()));
            let hashes: Vec<u64> = keys.iter().map(hash).collect();
            let mut parcels = Vec::new();
            paired.flush((&keys, &hashes), &generation.spaces(), 3, &mut parcels);
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
            paired.flush((&keys, &hashes), &generation.spaces(), 3, &mut nothing);
            assert!(nothing.is_empty());
        }
    }
}
