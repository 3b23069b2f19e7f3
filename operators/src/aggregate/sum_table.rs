//! The linear sums of a pre-aggregation, by group: numbers of rows, counts of values, and sums of values.

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type};
use arrow::error::ArrowError;

use super::exact_sum::ExactSum;
use super::integers::{add_small_integers, each_integer, high_half};
use super::keys::GroupKeys;
use super::parcel::{Parcel, SumDeltas};
use super::row_mask::RowMask;
use super::spec::{AccumulatorLayout, Aggregation, CallSlots};
use crate::plain::plain_column;

/// With more groups than this many times the rows of a batch, each row is added to its group at once.
const GROUPS_PER_ROW: usize = 4;

/// The groups of a batch's rows.
#[derive(Clone, Copy)]
pub struct BatchGroups<'a> {
    /// Number of the group of each row.
    pub of_rows: &'a [u32],
    /// How many groups there are.
    pub count: usize,
}

impl BatchGroups<'_> {
    /// Whether the groups are so few that a batch is summed by group before it is added to the table.
    fn are_few(self) -> bool {
        self.count <= GROUPS_PER_ROW * self.of_rows.len()
    }
}

/// Sums by group.
pub struct SumTable {
    layout: AccumulatorLayout,
    /// The sums to compute, each once however many calls read it.
    linear: Vec<LinearSum>,
    /// `layout.integers` a group.
    integers: Vec<i128>,
    /// `layout.floats` a group.
    floats: Vec<ExactSum>,
    /// Number of rows of the current batch by group, where groups are few.
    batch_rows: Vec<u32>,
    /// Sums of a column of the current batch by group, where groups are few.
    batch_sums: Vec<i64>,
}

/// A count of values, and their sum where a call reads it.
#[derive(Clone, Copy, PartialEq)]
struct LinearSum {
    argument: Option<usize>,
    filter: Option<usize>,
    slots: CallSlots,
}

impl SumTable {
    /// An empty table for the calls of `aggregation`.
    pub fn new(aggregation: &Aggregation, layout: AccumulatorLayout) -> Self {
        Self {
            linear: linear_sums(aggregation, &layout),
            layout,
            integers: Vec::new(),
            floats: Vec::new(),
            batch_rows: Vec::new(),
            batch_sums: Vec::new(),
        }
    }

    /// Adds the rows of a batch, `diff` times each.
    ///
    /// # Errors
    /// When columns do not have the declared types.
    pub fn update(
        &mut self,
        batch: &RecordBatch,
        groups: BatchGroups<'_>,
        diff: i64,
    ) -> Result<(), ArrowError> {
        self.integers.resize(groups.count * self.layout.integers, 0);
        self.floats
            .resize(groups.count * self.layout.floats, ExactSum::default());
        self.batch_rows.clear();
        if groups.are_few() {
            self.batch_rows.resize(groups.count, 0);
            for &group in groups.of_rows {
                self.batch_rows[group as usize] += 1;
            }
        }
        self.add_counts(0, groups, &RowMask::new(None, None), diff);
        for at in 0..self.linear.len() {
            self.update_sum(self.linear[at], batch, groups, diff)?;
        }
        Ok(())
    }

    fn update_sum(
        &mut self,
        linear: LinearSum,
        batch: &RecordBatch,
        groups: BatchGroups<'_>,
        diff: i64,
    ) -> Result<(), ArrowError> {
        let filter = plain_filter(linear.filter, batch)?;
        let argument = linear.argument.map(|column| batch.column(column));
        let mask = RowMask::new(filter.as_ref(), argument);
        match (linear.slots, argument) {
            (CallSlots::Count(slot), _) => self.add_counts(slot, groups, &mask, diff),
            (CallSlots::Integer { sum, high, count }, Some(argument)) => {
                self.add_counts(count, groups, &mask, diff);
                let argument = plain_column(argument)?;
                self.add_integers(sum, &argument, groups, &mask, diff)?;
                if let Some(high) = high {
                    self.add_high_halves(high, &argument, groups, &mask, diff)?;
                }
            }
            (CallSlots::Float { sum, count }, Some(argument)) => {
                self.add_counts(count, groups, &mask, diff);
                self.add_floats(sum, &plain_column(argument)?, groups, &mask, diff)?;
            }
            (CallSlots::Extreme(_), _) | (_, None) => {}
        }
        Ok(())
    }

    /// Adds the number of rows in `mask` to the count at `slot` of their groups.
    fn add_counts(&mut self, slot: usize, groups: BatchGroups<'_>, mask: &RowMask, diff: i64) {
        let width = self.layout.integers;
        if mask.bits().is_none() && groups.are_few() {
            let rows = self.batch_rows.iter().map(|&rows| rows.into());
            return add_by_group(slots_of(&mut self.integers, width, slot), rows, diff);
        }
        for (row, &group) in groups.of_rows.iter().enumerate() {
            if mask.includes(row) {
                let sum = &mut self.integers[group as usize * width + slot];
                *sum = sum.wrapping_add(i128::from(diff));
            }
        }
    }

    fn add_integers(
        &mut self,
        slot: usize,
        argument: &ArrayRef,
        groups: BatchGroups<'_>,
        mask: &RowMask,
        diff: i64,
    ) -> Result<(), ArrowError> {
        let width = self.layout.integers;
        if groups.are_few() {
            self.batch_sums.clear();
            self.batch_sums.resize(groups.count, 0);
            if add_small_integers(argument, groups.of_rows, mask, &mut self.batch_sums) {
                let sums = self.batch_sums.iter().copied();
                add_by_group(slots_of(&mut self.integers, width, slot), sums, diff);
                return Ok(());
            }
        }
        let integers = &mut self.integers;
        let diff = i128::from(diff);
        each_integer(argument, |row, value| {
            if mask.includes(row) {
                let sum = &mut integers[groups.of_rows[row] as usize * width + slot];
                *sum = sum.wrapping_add(value.wrapping_mul(diff));
            }
        })
    }

    fn add_high_halves(
        &mut self,
        slot: usize,
        argument: &ArrayRef,
        groups: BatchGroups<'_>,
        mask: &RowMask,
        diff: i64,
    ) -> Result<(), ArrowError> {
        let (integers, width) = (&mut self.integers, self.layout.integers);
        each_integer(argument, |row, value| {
            if mask.includes(row) {
                integers[groups.of_rows[row] as usize * width + slot] +=
                    high_half(value) * i128::from(diff);
            }
        })
    }

    fn add_floats(
        &mut self,
        slot: usize,
        argument: &ArrayRef,
        groups: BatchGroups<'_>,
        mask: &RowMask,
        diff: i64,
    ) -> Result<(), ArrowError> {
        let argument = arrow::compute::cast(argument, &DataType::Float64)?;
        let values = argument.as_primitive::<Float64Type>().values();
        for (row, (&group, &value)) in groups.of_rows.iter().zip(values).enumerate() {
            if mask.includes(row) {
                self.floats[group as usize * self.layout.floats + slot].add(value, diff);
            }
        }
        Ok(())
    }

    /// Moves the sums into parcels for the owners of the groups.
    pub fn flush(&mut self, groups: &GroupKeys, peers: usize) -> Vec<Parcel<SumDeltas>> {
        let (integer_slots, float_slots) = self.own_slots();
        let empty = SumDeltas {
            integer_slots,
            float_slots,
            ..SumDeltas::default()
        };
        let mut parcels: Vec<Parcel<SumDeltas>> = (0_u64..)
            .take(peers)
            .map(|to| Parcel {
                to,
                body: empty.clone(),
            })
            .collect();
        let (integers, floats) = (self.layout.integers, self.layout.floats);
        for (group, key) in groups.keys.iter().enumerate() {
            let integers = &self.integers[group * integers..][..integers];
            let floats = &mut self.floats[group * floats..][..floats];
            // Groups that are numbered by their codes include some without rows.
            if integers.iter().all(|sum| *sum == 0)
                && floats.iter().all(|sum| *sum == ExactSum::default())
            {
                continue;
            }
            let body = &mut parcels[groups.owner(group, peers)].body;
            body.groups.push(key);
            let slots = body.integer_slots.iter();
            body.integers.extend(slots.map(|&slot| integers[slot]));
            let slots = body.float_slots.iter();
            body.floats
                .extend(slots.map(|&slot| std::mem::take(&mut floats[slot])));
        }
        parcels.retain(|parcel| !parcel.body.groups.is_empty());
        self.integers.clear();
        self.floats.clear();
        parcels
    }

    /// The integer and float sums that rows are added to: all but those computed from distinct pairs.
    fn own_slots(&self) -> (Vec<usize>, Vec<usize>) {
        let (mut integers, mut floats) = (vec![0], Vec::new());
        for linear in &self.linear {
            match linear.slots {
                CallSlots::Count(slot) => integers.push(slot),
                CallSlots::Integer { sum, high, count } => {
                    integers.extend([sum, count]);
                    integers.extend(high);
                }
                CallSlots::Float { sum, count } => {
                    integers.push(count);
                    floats.push(sum);
                }
                CallSlots::Extreme(_) => {}
            }
        }
        (integers, floats)
    }
}

/// The sum at `slot` of each group.
fn slots_of(integers: &mut [i128], width: usize, slot: usize) -> impl Iterator<Item = &mut i128> {
    let groups = integers.chunks_exact_mut(width);
    groups.map(move |sums| &mut sums[slot])
}

/// Adds `diff` times the amount of each group to its sum.
fn add_by_group<'a>(
    sums: impl Iterator<Item = &'a mut i128>,
    amounts: impl Iterator<Item = i64>,
    diff: i64,
) {
    for (sum, amount) in sums.zip(amounts) {
        *sum = sum.wrapping_add(i128::from(amount) * i128::from(diff));
    }
}

/// The sums that rows are added to: those of all calls that need no pairs. `count(*)` is the number of rows, which every
/// group has.
fn linear_sums(aggregation: &Aggregation, layout: &AccumulatorLayout) -> Vec<LinearSum> {
    let mut all: Vec<LinearSum> = Vec::new();
    for (call, &slots) in aggregation.calls.iter().zip(&layout.slots) {
        let is_row_count = slots == CallSlots::Count(0);
        if call.distinct || is_row_count {
            continue;
        }
        // A count may also belong to a sum that another call reads.
        let Some(count) = slots.count() else {
            continue;
        };
        let linear = LinearSum {
            argument: call.argument,
            filter: call.filter,
            slots,
        };
        let same_count = |other: &&mut LinearSum| other.slots.count() == Some(count);
        match all.iter_mut().find(same_count) {
            Some(other) if matches!(other.slots, CallSlots::Count(_)) => *other = linear,
            Some(_) => {}
            None => all.push(linear),
        }
    }
    all
}

/// The filter of a call, as a plain column.
pub fn plain_filter(
    filter: Option<usize>,
    batch: &RecordBatch,
) -> Result<Option<BooleanArray>, ArrowError> {
    let filter = filter.map(|column| plain_column(batch.column(column)));
    Ok(filter
        .transpose()?
        .map(|filter| filter.as_boolean().clone()))
}
