//! Partial aggregates of one worker, between two flushes: the hash tables of the pre-aggregation.
//!
//! What leaves is the size of the groups met, not of the rows. Ids of groups and values count from 0 after each flush,
//! so that memory is bounded whatever the number of groups.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray, RecordBatch};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Decimal32Type, Decimal64Type, Decimal128Type, Float64Type};
use arrow::datatypes::{Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use arrow::compute::SortOptions;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::exact_sum::ExactSum;
use super::parcel::{Pairs, Parcel, Sums};
use super::spec::{Aggregation, Carrier, Function, Layout, UnsupportedAggregate};
use crate::dictionary::{Dictionary, DictionaryFull, PackedRows};

/// Groups at which a flush is due.
const GROUPS_MAX: usize = 1 << 18;
/// `(group, value)` pairs at which a flush is due, over all calls.
const PAIRS_MAX: usize = 1 << 19;

/// Why rows cannot be aggregated.
#[derive(Debug, thiserror::Error)]
pub enum AggregateError {
    /// A call that is not supported.
    #[error(transparent)]
    Unsupported(#[from] UnsupportedAggregate),
    /// Too many keys.
    #[error(transparent)]
    Full(#[from] DictionaryFull),
    /// From Arrow.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    /// An average beyond the digits of its type.
    #[error("an average does not fit its type {0}; cast the argument to a DECIMAL with fewer digits")]
    AverageOverflow(DataType),
    /// A retraction of what was never there.
    #[error("rows were taken back that had not been taken in: a group was left with {0} rows")]
    NegativeRows(i128),
}

/// Partial aggregates since the last flush.
pub struct Partial {
    aggregation: Aggregation,
    layout: Layout,
    /// Encodes the group columns; none when there are none.
    group_rows: Option<RowConverter>,
    groups: Dictionary,
    /// `layout.integers` a group.
    integers: Vec<i128>,
    /// `layout.floats` a group.
    floats: Vec<ExactSum>,
    /// The calls carried by pairs.
    paired: Vec<Paired>,
    /// Group of each row of the current batch.
    ids: Vec<u32>,
}

/// One call that needs `(group, value)` pairs.
struct Paired {
    call: usize,
    /// Whether pairs are dealt to workers by value (distinct) or by group (extremes).
    distinct: bool,
    value_rows: RowConverter,
    values: Dictionary,
    pairs: HashMap<u64, i64, FixedState>,
}

/// What a flush sends.
#[derive(Default)]
pub struct Flushed {
    /// To the owners of the groups.
    pub sums: Vec<Parcel<Sums>>,
    /// To the owners of the values.
    pub distinct: Vec<Parcel<Pairs>>,
    /// To the owners of the groups.
    pub extremes: Vec<Parcel<Pairs>>,
}

/// Encodes the group columns of an aggregation, `None` when it has none.
///
/// # Errors
/// When a type cannot be grouped by.
pub fn group_converter(aggregation: &Aggregation) -> Result<Option<RowConverter>, ArrowError> {
    if aggregation.group.is_empty() {
        return Ok(None);
    }
    let types = aggregation.group.iter().map(|&column| aggregation.input.field(column).data_type());
    RowConverter::new(types.cloned().map(SortField::new).collect()).map(Some)
}

/// Encodes a call's values so that the best comes first: ascending, but descending for `max`.
///
/// # Errors
/// When the type has no order.
pub fn value_converter(aggregation: &Aggregation, call: usize) -> Result<RowConverter, ArrowError> {
    let call = &aggregation.calls[call];
    let options = SortOptions { descending: call.function == Function::Max, nulls_first: true };
    RowConverter::new(vec![SortField::new_with_options(aggregation.argument_type(call).clone(), options)])
}

impl Partial {
    /// Empty tables.
    ///
    /// # Errors
    /// When a call or type is not supported.
    pub fn new(aggregation: Aggregation) -> Result<Self, AggregateError> {
        let layout = aggregation.layout()?;
        let group_rows = group_converter(&aggregation)?;
        let mut paired = Vec::new();
        for (index, (call, carrier)) in aggregation.calls.iter().zip(&layout.carriers).enumerate() {
            let extreme = matches!(carrier, Carrier::Extreme(_));
            if extreme || call.distinct {
                paired.push(Paired {
                    call: index,
                    distinct: !extreme,
                    value_rows: value_converter(&aggregation, index)?,
                    values: Dictionary::default(),
                    pairs: HashMap::default(),
                });
            }
        }
        let (groups, ids) = (Dictionary::default(), Vec::new());
        Ok(Self { aggregation, layout, group_rows, groups, integers: Vec::new(), floats: Vec::new(), paired, ids })
    }

    /// Takes in (or back) the rows of a batch.
    ///
    /// # Errors
    /// When columns are not of the declared types, or ids run out.
    pub fn update(&mut self, batch: &RecordBatch, diff: i64) -> Result<(), AggregateError> {
        self.assign_groups(batch)?;
        self.integers.resize(self.groups.len() * self.layout.integers, 0);
        self.floats.resize(self.groups.len() * self.layout.floats, ExactSum::default());
        let rows = batch.num_rows();
        self.add_integers(0, rows, None, |_| i128::from(diff));
        for index in 0..self.aggregation.calls.len() {
            if !self.paired.iter().any(|paired| paired.call == index) {
                self.update_sums(index, batch, diff)?;
            }
        }
        for paired in &mut self.paired {
            let call = &self.aggregation.calls[paired.call];
            let filter = call.filter.map(|column| batch.column(column).as_boolean());
            let Some(argument) = call.argument else { continue };
            paired.update(&self.ids, batch.column(argument), filter, diff)?;
        }
        Ok(())
    }

    fn assign_groups(&mut self, batch: &RecordBatch) -> Result<(), AggregateError> {
        self.ids.clear();
        let Some(converter) = &self.group_rows else {
            let only = self.groups.intern(&[])?;
            self.ids.resize(batch.num_rows(), only);
            return Ok(());
        };
        let columns: Vec<ArrayRef> =
            self.aggregation.group.iter().map(|&column| batch.column(column).clone()).collect();
        let rows = converter.convert_columns(&columns)?;
        for row in &rows {
            self.ids.push(self.groups.intern(row.data())?);
        }
        Ok(())
    }

    fn update_sums(&mut self, index: usize, batch: &RecordBatch, diff: i64) -> Result<(), AggregateError> {
        let call = &self.aggregation.calls[index];
        let filter = call.filter.map(|column| batch.column(column).as_boolean());
        let argument = call.argument.map(|column| batch.column(column).clone());
        let counted = mask(filter, argument.as_ref());
        let rows = batch.num_rows();
        match (self.layout.carriers[index], argument) {
            (Carrier::Count(slot), _) => self.add_integers(slot, rows, counted.as_ref(), |_| i128::from(diff)),
            (Carrier::Integer { sum, count }, Some(argument)) => {
                self.add_integers(count, rows, counted.as_ref(), |_| i128::from(diff));
                let values = integers(&argument)?;
                self.add_integers(sum, rows, counted.as_ref(), |row| values[row].wrapping_mul(i128::from(diff)));
            }
            (Carrier::Float { sum, count }, Some(argument)) => {
                self.add_integers(count, rows, counted.as_ref(), |_| i128::from(diff));
                let argument = arrow::compute::cast(&argument, &DataType::Float64)?;
                let values = argument.as_primitive::<Float64Type>().values();
                for row in (0..rows).filter(|&row| counts(counted.as_ref(), row)) {
                    self.floats[self.ids[row] as usize * self.layout.floats + sum].add(values[row], diff);
                }
            }
            (Carrier::Extreme(_), _) | (_, None) => {}
        }
        Ok(())
    }

    #[inline]
    fn add_integers(&mut self, slot: usize, rows: usize, mask: Option<&BooleanArray>, amount: impl Fn(usize) -> i128) {
        let width = self.layout.integers;
        for row in (0..rows).filter(|&row| counts(mask, row)) {
            let sum = &mut self.integers[self.ids[row] as usize * width + slot];
            *sum = sum.wrapping_add(amount(row));
        }
    }

    /// Whether the tables have grown to where a flush is due.
    pub fn is_full(&self) -> bool {
        self.groups.len() >= GROUPS_MAX
            || self.paired.iter().map(|paired| paired.pairs.len()).sum::<usize>() >= PAIRS_MAX
    }

    /// Empties the tables into parcels for `peers` workers.
    pub fn flush(&mut self, peers: usize) -> Flushed {
        let mut flushed = Flushed::default();
        for paired in &mut self.paired {
            let target = if paired.distinct { &mut flushed.distinct } else { &mut flushed.extremes };
            paired.flush(&self.groups, peers, target);
        }
        flushed.sums = self.flush_sums(peers);
        self.groups = Dictionary::default();
        self.integers.clear();
        self.floats.clear();
        flushed
    }

    /// The integer and float sums that the pre-aggregation itself adds to: all but those that distinct pairs do.
    fn own_slots(&self) -> (Vec<usize>, Vec<usize>) {
        let (mut integers, mut floats) = (vec![0], Vec::new());
        for (index, carrier) in self.layout.carriers.iter().enumerate() {
            if self.paired.iter().any(|paired| paired.call == index) {
                continue;
            }
            match *carrier {
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

    fn flush_sums(&mut self, peers: usize) -> Vec<Parcel<Sums>> {
        let (integer_slots, float_slots) = self.own_slots();
        let empty = Sums { integer_slots, float_slots, ..Sums::default() };
        let mut parcels: Vec<Parcel<Sums>> = (0_u64..).take(peers).map(|to| Parcel { to, body: empty.clone() }).collect();
        for (group, id) in (0_u32..).take(self.groups.len()).enumerate() {
            let body = &mut parcels[owner(self.groups.hash(id), peers)].body;
            body.groups.push(self.groups.get(id));
            let integers = &self.integers[group * self.layout.integers..];
            body.integers.extend(body.integer_slots.iter().map(|&slot| integers[slot]));
            let floats = &mut self.floats[group * self.layout.floats..];
            body.floats.extend(body.float_slots.iter().map(|&slot| std::mem::take(&mut floats[slot])));
        }
        parcels.retain(|parcel| !parcel.body.groups.is_empty());
        parcels
    }
}

/// The worker that owns a key.
#[inline]
pub fn owner(hash: u64, peers: usize) -> usize {
    let peers = u64::try_from(peers).unwrap_or(u64::MAX);
    usize::try_from(hash % peers).unwrap_or_default()
}

impl Paired {
    fn update(
        &mut self,
        groups: &[u32],
        argument: &ArrayRef,
        filter: Option<&BooleanArray>,
        diff: i64,
    ) -> Result<(), AggregateError> {
        let counted = mask(filter, Some(argument));
        let rows = self.value_rows.convert_columns(std::slice::from_ref(argument))?;
        for (row, value) in rows.iter().enumerate() {
            if counts(counted.as_ref(), row) {
                let value = self.values.intern(value.data())?;
                *self.pairs.entry(pack(groups[row], value)).or_insert(0) += diff;
            }
        }
        Ok(())
    }

    fn flush(&mut self, groups: &Dictionary, peers: usize, parcels: &mut Vec<Parcel<Pairs>>) {
        let call = u8::try_from(self.call).unwrap_or(u8::MAX);
        let mut builders: Vec<PairsBuilder> =
            (0..peers).map(|_| PairsBuilder::new(groups.len(), self.values.len())).collect();
        for (packed, diff) in self.pairs.drain() {
            if diff == 0 {
                continue;
            }
            let (group, value) = unpack(packed);
            let hash = if self.distinct { self.values.hash(value) } else { groups.hash(group) };
            builders[owner(hash, peers)].push(call, (groups, group), (&self.values, value), diff);
        }
        self.values = Dictionary::default();
        let filled = (0_u64..).zip(builders).filter(|(_, builder)| !builder.pairs.pairs.is_empty());
        parcels.extend(filled.map(|(to, builder)| Parcel { to, body: builder.pairs }));
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

impl PairsBuilder {
    fn new(groups: usize, values: usize) -> Self {
        let unset = |len| vec![u32::MAX; len];
        Self { pairs: Pairs::default(), group_index: unset(groups), value_index: unset(values), key: Vec::new() }
    }

    fn push(&mut self, call: u8, group: (&Dictionary, u32), value: (&Dictionary, u32), diff: i64) {
        let Self { pairs, group_index, value_index, key } = self;
        let group = index_in(&mut pairs.groups, &mut group_index[group.1 as usize], || {
            key.clear();
            key.push(call);
            key.extend_from_slice(group.0.get(group.1));
            key
        });
        let value = index_in(&mut pairs.values, &mut value_index[value.1 as usize], || value.0.get(value.1));
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

#[inline]
fn pack(group: u32, value: u32) -> u64 {
    u64::from(group) << 32 | u64::from(value)
}

#[inline]
fn unpack(packed: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = packed.to_be_bytes();
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

/// Rows that a call counts: the filter is true and the argument is not NULL. `None` when all do.
fn mask(filter: Option<&BooleanArray>, argument: Option<&ArrayRef>) -> Option<BooleanArray> {
    let valid = argument.and_then(|argument| argument.logical_nulls());
    let chosen = filter.map(|filter| match filter.nulls() {
        Some(nulls) => filter.values() & nulls.inner(),
        None => filter.values().clone(),
    });
    let both = match (chosen, valid) {
        (None, None) => return None,
        (Some(chosen), None) => chosen,
        (None, Some(valid)) => valid.into_inner(),
        (Some(chosen), Some(valid)) => &chosen & valid.inner(),
    };
    Some(BooleanArray::new(both, None))
}

#[inline]
fn counts(mask: Option<&BooleanArray>, row: usize) -> bool {
    mask.is_none_or(|mask| mask.value(row))
}

/// The values of an integer or decimal column (unscaled), whatever stands for NULL included.
///
/// # Errors
/// When the column is of another type.
pub fn integers(array: &ArrayRef) -> Result<Vec<i128>, ArrowError> {
    fn widen<T: ArrowPrimitiveType<Native: Into<i128>>>(array: &ArrayRef) -> Vec<i128> {
        let array: &PrimitiveArray<T> = array.as_primitive();
        array.values().iter().map(|&value| value.into()).collect()
    }
    Ok(match array.data_type() {
        DataType::Int8 => widen::<Int8Type>(array),
        DataType::Int16 => widen::<Int16Type>(array),
        DataType::Int32 => widen::<Int32Type>(array),
        DataType::Int64 => widen::<Int64Type>(array),
        DataType::UInt8 => widen::<UInt8Type>(array),
        DataType::UInt16 => widen::<UInt16Type>(array),
        DataType::UInt32 => widen::<UInt32Type>(array),
        DataType::UInt64 => widen::<UInt64Type>(array),
        DataType::Decimal32(..) => widen::<Decimal32Type>(array),
        DataType::Decimal64(..) => widen::<Decimal64Type>(array),
        DataType::Decimal128(..) => widen::<Decimal128Type>(array),
        DataType::Null => vec![0; array.len()],
        other => return Err(ArrowError::CastError(format!("a sum over {other} is not carried as an integer"))),
    })
}
