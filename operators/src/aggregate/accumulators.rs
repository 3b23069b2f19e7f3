//! The accumulators of groups, owned or in the arrays of all groups.

use super::exact_sum::ExactSum;
use super::spec::AccumulatorLayout;
use crate::row::EncodedRow;

/// The accumulators of one group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accumulators<'a> {
    /// Integer sums; the first is the number of rows.
    pub integers: &'a [i128],
    /// Float sums.
    pub floats: &'a [ExactSum],
    /// The extremes, as bytes.
    pub extremes: &'a [Option<EncodedRow>],
}

/// A group.
#[derive(Clone, Copy)]
pub struct AccumulatedGroup<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// Its accumulators.
    pub accumulators: Accumulators<'a>,
}

/// The accumulators of any number of groups, by their index.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccumulatorArrays {
    /// Integer sums, group by group.
    pub integers: Vec<i128>,
    /// Float sums, group by group.
    pub floats: Vec<ExactSum>,
    /// Extremes, group by group.
    pub extremes: Vec<Option<EncodedRow>>,
}

impl AccumulatorArrays {
    /// Makes room for this number of groups. New ones have no rows.
    pub fn resize(&mut self, groups: usize, layout: &AccumulatorLayout) {
        self.integers.resize(groups * layout.integers, 0);
        self.floats
            .resize(groups * layout.floats, ExactSum::default());
        self.extremes.resize(groups * layout.extremes, None);
    }

    /// Appends a group.
    pub fn push(&mut self, group: Accumulators<'_>) {
        self.integers.extend_from_slice(group.integers);
        self.floats.extend_from_slice(group.floats);
        self.extremes.extend_from_slice(group.extremes);
    }

    /// The accumulators of the group at `index`.
    ///
    /// # Panics
    /// When there is no such group.
    pub fn get(&self, index: usize, layout: &AccumulatorLayout) -> Accumulators<'_> {
        fn group<T>(all: &[T], index: usize, width: usize) -> &[T] {
            &all[index * width..][..width]
        }
        Accumulators {
            integers: group(&self.integers, index, layout.integers),
            floats: group(&self.floats, index, layout.floats),
            extremes: group(&self.extremes, index, layout.extremes),
        }
    }
}
