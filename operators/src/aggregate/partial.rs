//! Partial aggregates of one worker, between two flushes: the hash tables of the pre-aggregation.
//!
//! What leaves is the size of the groups met, not of the rows. Ids of groups count from 0 after each flush, so that
//! memory is bounded whatever the number of groups. Columns are looked at as codes of the worker's [`Interner`]: a
//! row's group is the code of its keys together, and a value is its code.

use std::rc::Rc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type};
use arrow::error::ArrowError;

use super::exact_sum::ExactSum;
use super::keys::{group_converter, owner, value_converter};
use super::numbers::Numbers;
use super::paired::Paired;
use super::parcel::{Pairs, Parcel, Sums};
use super::spec::{Aggregation, Carrier, Layout, UnsupportedAggregate};
use super::values::{add_words, counts, each_integer, mask};
use crate::Sign;
use crate::dictionary::{DictionaryFull, PackedRows};
use crate::hash::hash;
use crate::interner::{Generation, InternError, Interner, Space, Spaces};
use crate::plain::plain_column;
use crate::state::StateError;

/// Groups at which a flush is due.
const GROUPS_MAX: usize = 1 << 18;

/// With more groups than this many times the rows of a batch, each row is added to its group at once.
const GROUPS_A_ROW: usize = 4;

/// Why rows cannot be aggregated.
#[derive(Debug, thiserror::Error)]
pub enum AggregateError {
    /// A call that is not supported.
    #[error(transparent)]
    Unsupported(#[from] UnsupportedAggregate),
    /// Too many keys.
    #[error(transparent)]
    Full(#[from] DictionaryFull),
    /// A column whose values cannot be told apart.
    #[error(transparent)]
    Intern(#[from] InternError),
    /// From Arrow.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    /// More calls than their numbers in keys can tell apart.
    #[error("more than 65,535 aggregates in one GROUP BY; spread them over several views")]
    TooManyCalls,
    /// A value that is not as its type has it.
    #[error("a value of {0} bytes is not one of its type: a defect of the engine")]
    ValueBytes(usize),
    /// An average beyond the digits of its type.
    #[error(
        "an average does not fit its type {0}; cast the argument to a DECIMAL with fewer digits"
    )]
    AverageOverflow(DataType),
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// A group of the state that is none of this aggregation's.
    #[error(
        "a kept group does not have the accumulators of this aggregation: the state is damaged"
    )]
    KeptGroup,
    /// A retraction of what was never there.
    #[error("rows were taken back that had not been taken in: a group was left with {0} rows")]
    NegativeRows(i128),
    /// A retraction of a value that was never there.
    #[error("a value was taken back more often than it was taken in: it is left {0} times")]
    NegativePair(i64),
}

/// Partial aggregates since the last flush.
pub struct Partial {
    aggregation: Aggregation,
    layout: Layout,
    interner: Interner,
    /// What the codes below are of; none while the tables are empty.
    generation: Option<Rc<Generation>>,
    /// The groups met, by the interner's codes, and what those are of; nothing where there is one group, of no columns.
    groups: Numbers,
    space: Option<Space>,
    /// How many there are.
    groups_len: usize,
    /// `layout.integers` a group.
    integers: Vec<i128>,
    /// `layout.floats` a group.
    floats: Vec<ExactSum>,
    /// The pairs that calls need.
    paired: Vec<Paired>,
    /// The sums that rows are added to, each once however many calls are made of it.
    linear: Vec<Linear>,
    /// Group of each row of the current batch.
    ids: Rc<[u32]>,
    /// Rows of the current batch, by group, where groups are few.
    tally: Vec<u32>,
    /// What a column of the current batch comes to, likewise.
    words: Vec<i64>,
}

/// A count of values, and their sum where one is wanted.
#[derive(Clone, Copy, PartialEq)]
struct Linear {
    argument: Option<usize>,
    filter: Option<usize>,
    carrier: Carrier,
}

/// What a flush sends.
#[derive(Default)]
pub struct Flushed {
    /// To the owners of the groups.
    pub sums: Vec<Parcel<Sums>>,
    /// To the owners of the slices of the groups.
    pub distinct: Vec<Parcel<Pairs>>,
    /// To the owners of the groups.
    pub extremes: Vec<Parcel<Pairs>>,
}

impl Partial {
    /// Empty tables.
    ///
    /// # Errors
    /// When a call or type is not supported.
    pub fn new(aggregation: Aggregation, interner: Interner) -> Result<Self, AggregateError> {
        let layout = aggregation.layout()?;
        group_converter(&aggregation)?;
        let mut paired = Vec::new();
        for set in &layout.pairs {
            let first = set.calls[0];
            value_converter(&aggregation, first)?;
            paired.push(Paired::new(
                u16::try_from(first).map_err(|_| AggregateError::TooManyCalls)?,
                set.distinct,
            ));
        }
        let linear = linear(&aggregation, &layout);
        Ok(Self {
            aggregation,
            layout,
            interner,
            generation: None,
            groups: Numbers::default(),
            space: None,
            groups_len: 0,
            integers: Vec::new(),
            floats: Vec::new(),
            paired,
            linear,
            ids: Rc::default(),
            tally: Vec::new(),
            words: Vec::new(),
        })
    }

    /// Takes in or back the rows of a batch. A flush must have come before if one [is due](Self::is_due).
    ///
    /// # Errors
    /// When columns are not of the declared types, or ids run out.
    pub fn update(&mut self, batch: &RecordBatch, sign: Sign) -> Result<(), AggregateError> {
        let diff = sign.diff();
        self.generation = Some(self.interner.generation());
        self.assign_groups(batch)?;
        self.integers
            .resize(self.groups_len * self.layout.integers, 0);
        self.floats
            .resize(self.groups_len * self.layout.floats, ExactSum::default());
        self.count_rows(diff);
        for at in 0..self.linear.len() {
            self.update_sums(self.linear[at], batch, diff)?;
        }
        for paired in &mut self.paired {
            let call = &self.aggregation.calls[usize::from(paired.call)];
            let Some(column) = call.argument else {
                continue;
            };
            let argument = batch.column(column);
            let filter = plain_filter(call.filter, batch)?;
            let name = self.aggregation.input.field(column).name();
            let values = self.interner.column(name, argument)?;
            let counted = mask(filter.as_ref(), Some(argument));
            let groups = (&*self.ids, self.groups_len);
            paired.update(groups, &values, counted.as_ref(), sign)?;
        }
        Ok(())
    }

    /// Finds the group of each row, by its keys.
    fn assign_groups(&mut self, batch: &RecordBatch) -> Result<(), AggregateError> {
        let keys = self.aggregation.group.iter().map(|&column| {
            let name = self.aggregation.input.field(column).name().as_str();
            (name, batch.column(column))
        });
        if let Some(codes) = self.interner.columns(keys)? {
            self.space = Some(codes.space);
            self.ids = self.groups.assign(&codes)?;
            self.groups_len = self.groups.codes().len();
        } else {
            self.ids = std::iter::repeat_n(0, batch.num_rows()).collect();
            self.groups_len = 1;
        }
        Ok(())
    }

    /// Whether the groups are so few that what a batch comes to is added up by group, before it is added to their sums.
    fn is_by_group(&self) -> bool {
        self.groups_len <= GROUPS_A_ROW * self.ids.len()
    }

    /// Adds the batch's rows to the number of rows of their groups.
    fn count_rows(&mut self, diff: i64) {
        self.tally.clear();
        if self.is_by_group() {
            self.tally.resize(self.groups_len, 0);
            for &id in &*self.ids {
                self.tally[id as usize] += 1;
            }
        }
        self.add_counts(0, None, diff);
    }

    fn add_counts(&mut self, slot: usize, counted: Option<&BooleanArray>, diff: i64) {
        let width = self.layout.integers;
        if counted.is_none() && self.is_by_group() {
            let rows = self.tally.iter().map(|&rows| rows.into());
            return add_by_group(&mut self.integers, (slot, width), rows, diff);
        }
        for (row, &id) in self.ids.iter().enumerate() {
            if counts(counted, row) {
                let sum = &mut self.integers[id as usize * width + slot];
                *sum = sum.wrapping_add(i128::from(diff));
            }
        }
    }

    fn update_sums(
        &mut self,
        linear: Linear,
        batch: &RecordBatch,
        diff: i64,
    ) -> Result<(), AggregateError> {
        let filter = plain_filter(linear.filter, batch)?;
        let argument = linear.argument.map(|column| batch.column(column));
        let counted = mask(filter.as_ref(), argument);
        match (linear.carrier, argument) {
            (Carrier::Count(slot), _) => self.add_counts(slot, counted.as_ref(), diff),
            (Carrier::Integer { sum, count }, Some(argument)) => {
                self.add_counts(count, counted.as_ref(), diff);
                self.add_integers(sum, &plain_column(argument)?, counted.as_ref(), diff)?;
            }
            (Carrier::Float { sum, count }, Some(argument)) => {
                self.add_counts(count, counted.as_ref(), diff);
                let argument = plain_column(argument)?;
                let argument = arrow::compute::cast(&argument, &DataType::Float64)?;
                let values = argument.as_primitive::<Float64Type>().values();
                for row in (0..batch.num_rows()).filter(|&row| counts(counted.as_ref(), row)) {
                    self.floats[self.ids[row] as usize * self.layout.floats + sum]
                        .add(values[row], diff);
                }
            }
            (Carrier::Extreme(_), _) | (_, None) => {}
        }
        Ok(())
    }

    fn add_integers(
        &mut self,
        slot: usize,
        argument: &ArrayRef,
        mask: Option<&BooleanArray>,
        diff: i64,
    ) -> Result<(), ArrowError> {
        let width = self.layout.integers;
        if self.is_by_group() {
            self.words.clear();
            self.words.resize(self.groups_len, 0);
            if add_words(argument, (&self.ids, mask), &mut self.words) {
                let words = self.words.iter().copied();
                add_by_group(&mut self.integers, (slot, width), words, diff);
                return Ok(());
            }
        }
        let (integers, ids) = (&mut self.integers, &self.ids);
        let diff = i128::from(diff);
        each_integer(argument, |row, value| {
            if counts(mask, row) {
                let sum = &mut integers[ids[row] as usize * width + slot];
                *sum = sum.wrapping_add(value.wrapping_mul(diff));
            }
        })
    }

    /// Whether a flush is due: the tables have grown large, or the interner begins a new generation.
    pub fn is_due(&self) -> bool {
        let Some(generation) = &self.generation else {
            return false;
        };
        self.groups_len >= GROUPS_MAX
            || self.paired.iter().any(Paired::is_due)
            || !Rc::ptr_eq(generation, &self.interner.generation())
    }

    /// Empties the tables into parcels for `peers` workers.
    pub fn flush(&mut self, peers: usize) -> Flushed {
        let mut flushed = Flushed::default();
        let Some(generation) = self.generation.take() else {
            return flushed;
        };
        let spaces = &generation.spaces();
        let keys = self.group_keys(spaces);
        let hashes: Vec<u64> = keys.iter().map(hash).collect();
        for paired in &mut self.paired {
            let target = if paired.distinct {
                &mut flushed.distinct
            } else {
                &mut flushed.extremes
            };
            paired.flush((&keys, &hashes), spaces, peers, target);
        }
        flushed.sums = self.flush_sums((&keys, &hashes), peers);
        self.groups.clear();
        self.groups_len = 0;
        self.integers.clear();
        self.floats.clear();
        flushed
    }

    /// The keys of all groups as bytes.
    fn group_keys(&self, spaces: &Spaces) -> PackedRows {
        let mut keys = PackedRows::default();
        let mut key = Vec::new();
        match self.space {
            Some(space) => {
                for &code in self.groups.codes() {
                    key.clear();
                    spaces.append(space, code, &mut key);
                    keys.push(&key);
                }
            }
            None => (0..self.groups_len).for_each(|_| keys.push(&[])),
        }
        keys
    }

    /// The integer and float sums that the pre-aggregation itself adds to: all but those that distinct pairs do.
    fn own_slots(&self) -> (Vec<usize>, Vec<usize>) {
        let (mut integers, mut floats) = (vec![0], Vec::new());
        for linear in &self.linear {
            match linear.carrier {
                Carrier::Count(slot) => integers.push(slot),
                Carrier::Integer { sum, count } => integers.extend([sum, count]),
                Carrier::Float { sum, count } => {
                    integers.push(count);
                    floats.push(sum);
                }
                Carrier::Extreme(_) => {}
            }
        }
        (integers, floats)
    }

    fn flush_sums(
        &mut self,
        (keys, hashes): (&PackedRows, &[u64]),
        peers: usize,
    ) -> Vec<Parcel<Sums>> {
        let (integer_slots, float_slots) = self.own_slots();
        let empty = Sums {
            integer_slots,
            float_slots,
            ..Sums::default()
        };
        let mut parcels: Vec<Parcel<Sums>> = (0_u64..)
            .take(peers)
            .map(|to| Parcel {
                to,
                body: empty.clone(),
            })
            .collect();
        let (integers, floats) = (self.layout.integers, self.layout.floats);
        for (group, (key, &hash)) in keys.iter().zip(hashes).enumerate() {
            let integers = &self.integers[group * integers..][..integers];
            let floats = &mut self.floats[group * floats..][..floats];
            // Of groups whose codes are their numbers, some may not have been met.
            if integers.iter().all(|sum| *sum == 0)
                && floats.iter().all(|sum| *sum == ExactSum::default())
            {
                continue;
            }
            let body = &mut parcels[owner(hash, peers)].body;
            body.groups.push(key);
            let slots = body.integer_slots.iter();
            body.integers.extend(slots.map(|&slot| integers[slot]));
            let slots = body.float_slots.iter();
            body.floats
                .extend(slots.map(|&slot| std::mem::take(&mut floats[slot])));
        }
        parcels.retain(|parcel| !parcel.body.groups.is_empty());
        parcels
    }
}

/// Adds what a batch comes to in each group to one of the `width` sums of the group.
fn add_by_group(
    integers: &mut [i128],
    (slot, width): (usize, usize),
    by_group: impl Iterator<Item = i64>,
    diff: i64,
) {
    for (sums, amount) in integers.chunks_exact_mut(width).zip(by_group) {
        sums[slot] = sums[slot].wrapping_add(i128::from(amount) * i128::from(diff));
    }
}

/// The sums that rows are added to: those of all calls that are not carried by pairs, `count(*)` being the number of
/// rows.
fn linear(aggregation: &Aggregation, layout: &Layout) -> Vec<Linear> {
    let mut all: Vec<Linear> = Vec::new();
    for (call, &carrier) in aggregation.calls.iter().zip(&layout.carriers) {
        let is_rows = carrier == Carrier::Count(0);
        if call.distinct || is_rows || matches!(carrier, Carrier::Extreme(_)) {
            continue;
        }
        // A count alone may be that of a sum which another call has.
        let (Carrier::Count(count) | Carrier::Integer { count, .. } | Carrier::Float { count, .. }) =
            carrier
        else {
            continue;
        };
        let linear = Linear {
            argument: call.argument,
            filter: call.filter,
            carrier,
        };
        let known = all.iter_mut().find(|known| match known.carrier {
            Carrier::Count(slot) => slot == count,
            Carrier::Integer { count: slot, .. } | Carrier::Float { count: slot, .. } => {
                slot == count
            }
            Carrier::Extreme(_) => false,
        });
        match known {
            Some(known) if matches!(known.carrier, Carrier::Count(_)) => *known = linear,
            Some(_) => {}
            None => all.push(linear),
        }
    }
    all
}

/// A call's filter.
fn plain_filter(
    filter: Option<usize>,
    batch: &RecordBatch,
) -> Result<Option<BooleanArray>, ArrowError> {
    let filter = filter.map(|column| plain_column(batch.column(column)));
    Ok(filter
        .transpose()?
        .map(|filter| filter.as_boolean().clone()))
}
