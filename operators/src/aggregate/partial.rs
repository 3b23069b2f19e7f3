//! Partial aggregates of one worker, between two flushes: the hash tables of the pre-aggregation.
//!
//! What leaves is the size of the groups met, not of the rows. Ids of groups count from 0 after each flush, so that
//! memory is bounded whatever the number of groups. Columns are looked at as codes of the worker's [`Interner`]: a
//! row's group is found by the codes of its keys, and a value is its code.

use std::rc::Rc;

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
use crate::hash::hash;
use crate::interner::{Generation, InternError, Interner};

/// Groups at which a flush is due.
const GROUPS_MAX: usize = 1 << 18;
/// `(group, value)` pairs at which a flush is due, over all calls.
const PAIRS_MAX: usize = 1 << 17;

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
    interner: Interner,
    /// What the codes below are of; none while the tables are empty.
    generation: Option<Rc<Generation>>,
    groups: Groups,
    /// `layout.integers` a group.
    integers: Vec<i128>,
    /// `layout.floats` a group.
    floats: Vec<ExactSum>,
    /// The calls carried by pairs.
    paired: Vec<Paired>,
    /// Group of each row of the current batch.
    ids: Vec<u32>,
}

/// The groups met since the last flush, numbered by the codes of their keys.
#[derive(Default)]
struct Groups {
    /// The codes of each group, a row of keys after the other.
    codes: Vec<u32>,
    /// Finds `(id of the keys so far, code of the next key)`, one table for each key after the first.
    steps: Vec<HashMap<u64, u32, FixedState>>,
    /// Finds the first key's code.
    first: Vec<u32>,
    len: usize,
}

/// One call that needs `(group, value)` pairs.
struct Paired {
    call: usize,
    data_type: DataType,
    /// Whether pairs are dealt to workers by value (distinct) or by group (extremes).
    distinct: bool,
    /// For `max`: turns values around, so that the greatest comes first.
    reversed: Option<RowConverter>,
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
    pub fn new(aggregation: Aggregation, interner: Interner) -> Result<Self, AggregateError> {
        let layout = aggregation.layout()?;
        group_converter(&aggregation)?;
        let mut paired = Vec::new();
        for (index, (call, carrier)) in aggregation.calls.iter().zip(&layout.carriers).enumerate() {
            let extreme = matches!(carrier, Carrier::Extreme(_));
            if extreme || call.distinct {
                let converter = value_converter(&aggregation, index)?;
                paired.push(Paired {
                    call: index,
                    data_type: aggregation.argument_type(call).clone(),
                    distinct: !extreme,
                    reversed: (call.function == Function::Max).then_some(converter),
                    pairs: HashMap::default(),
                });
            }
        }
        Ok(Self {
            aggregation,
            layout,
            interner,
            generation: None,
            groups: Groups::default(),
            integers: Vec::new(),
            floats: Vec::new(),
            paired,
            ids: Vec::new(),
        })
    }

    /// Takes in (or back) the rows of a batch. A flush must have come before if one [is due](Self::is_due).
    ///
    /// # Errors
    /// When columns are not of the declared types, or ids run out.
    pub fn update(&mut self, batch: &RecordBatch, diff: i64) -> Result<(), AggregateError> {
        self.generation = Some(self.interner.generation());
        let rows = batch.num_rows();
        let keys = self.aggregation.group.iter().map(|&column| self.interner.codes(batch.column(column)));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        self.groups.assign(&keys, rows, &mut self.ids)?;
        self.integers.resize(self.groups.len * self.layout.integers, 0);
        self.floats.resize(self.groups.len * self.layout.floats, ExactSum::default());
        self.add_integers(0, rows, None, |_| i128::from(diff));
        for index in 0..self.aggregation.calls.len() {
            if !self.paired.iter().any(|paired| paired.call == index) {
                self.update_sums(index, batch, diff)?;
            }
        }
        for paired in &mut self.paired {
            let call = &self.aggregation.calls[paired.call];
            let filter = call.filter.map(|column| batch.column(column).as_boolean());
            let Some(argument) = call.argument.map(|column| batch.column(column)) else { continue };
            let values = self.interner.codes(argument)?;
            let counted = mask(filter, Some(argument));
            for row in (0..rows).filter(|&row| counts(counted.as_ref(), row)) {
                *paired.pairs.entry(pack(self.ids[row], values[row])).or_insert(0) += diff;
            }
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

    /// Whether a flush is due: the tables have grown large, or the interner begins a new generation.
    pub fn is_due(&self) -> bool {
        let Some(generation) = &self.generation else { return false };
        self.groups.len >= GROUPS_MAX
            || self.paired.iter().map(|paired| paired.pairs.len()).sum::<usize>() >= PAIRS_MAX
            || !Rc::ptr_eq(generation, &self.interner.generation())
    }

    /// Empties the tables into parcels for `peers` workers.
    ///
    /// # Errors
    /// When values cannot be turned around for `max`.
    pub fn flush(&mut self, peers: usize) -> Result<Flushed, AggregateError> {
        let mut flushed = Flushed::default();
        let Some(generation) = self.generation.take() else { return Ok(flushed) };
        let keys = self.group_keys(&generation)?;
        let hashes: Vec<u64> = keys.iter().map(hash).collect();
        for paired in &mut self.paired {
            let target = if paired.distinct { &mut flushed.distinct } else { &mut flushed.extremes };
            paired.flush((&keys, &hashes), &generation, peers, target)?;
        }
        flushed.sums = self.flush_sums((&keys, &hashes), peers);
        self.groups = Groups::default();
        self.integers.clear();
        self.floats.clear();
        Ok(flushed)
    }

    /// The keys of all groups as bytes: those of their columns, one after another, which is how Arrow encodes a row.
    fn group_keys(&self, generation: &Generation) -> Result<PackedRows, AggregateError> {
        let width = self.aggregation.group.len();
        let mut keys = vec![Vec::new(); self.groups.len];
        for (at, &column) in self.aggregation.group.iter().enumerate() {
            let values = generation.values(self.aggregation.input.field(column).data_type())?;
            for (key, codes) in keys.iter_mut().zip(self.groups.codes.chunks(width)) {
                key.extend_from_slice(values.dictionary.get(codes[at]));
            }
        }
        let mut packed = PackedRows::default();
        keys.iter().for_each(|key| packed.push(key));
        Ok(packed)
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

    fn flush_sums(&mut self, (keys, hashes): (&PackedRows, &[u64]), peers: usize) -> Vec<Parcel<Sums>> {
        let (integer_slots, float_slots) = self.own_slots();
        let empty = Sums { integer_slots, float_slots, ..Sums::default() };
        let mut parcels: Vec<Parcel<Sums>> = (0_u64..).take(peers).map(|to| Parcel { to, body: empty.clone() }).collect();
        for (group, (key, &hash)) in keys.iter().zip(hashes).enumerate() {
            let body = &mut parcels[owner(hash, peers)].body;
            body.groups.push(key);
            let integers = &self.integers[group * self.layout.integers..];
            body.integers.extend(body.integer_slots.iter().map(|&slot| integers[slot]));
            let floats = &mut self.floats[group * self.layout.floats..];
            body.floats.extend(body.float_slots.iter().map(|&slot| std::mem::take(&mut floats[slot])));
        }
        parcels.retain(|parcel| !parcel.body.groups.is_empty());
        parcels
    }
}

impl Groups {
    /// The group of each row, by the codes of its keys.
    fn assign(&mut self, keys: &[Rc<[u32]>], rows: usize, ids: &mut Vec<u32>) -> Result<(), DictionaryFull> {
        ids.clear();
        let Some((first, rest)) = keys.split_first() else {
            ids.resize(rows, 0);
            self.len = self.len.max(usize::from(rows > 0));
            return Ok(());
        };
        self.steps.resize_with(rest.len(), HashMap::default);
        ids.extend_from_slice(first);
        let last = rest.len().checked_sub(1);
        for (step, codes) in rest.iter().enumerate() {
            let table = &mut self.steps[step];
            for (id, &code) in ids.iter_mut().zip(codes.iter()) {
                // The ids of the last step are the groups; those before it number what leads there.
                let known = u32::try_from(table.len()).map_err(|_| DictionaryFull)?;
                *id = *table.entry(pack(*id, code)).or_insert(known);
            }
            if Some(step) == last && table.len() > self.len {
                self.len = table.len();
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

/// The worker that owns a key.
#[inline]
pub fn owner(hash: u64, peers: usize) -> usize {
    let peers = u64::try_from(peers).unwrap_or(u64::MAX);
    usize::try_from(hash % peers).unwrap_or_default()
}

impl Paired {
    fn flush(
        &mut self,
        (keys, hashes): (&PackedRows, &[u64]),
        generation: &Generation,
        peers: usize,
        parcels: &mut Vec<Parcel<Pairs>>,
    ) -> Result<(), AggregateError> {
        let call = u8::try_from(self.call).unwrap_or(u8::MAX);
        let values = generation.values(&self.data_type)?;
        let mut builders: Vec<PairsBuilder> =
            (0..peers).map(|_| PairsBuilder::new(keys.len(), values.dictionary.len())).collect();
        for (packed, diff) in self.pairs.drain().filter(|&(_, diff)| diff != 0) {
            let (group, value) = unpack(packed);
            let hash = if self.distinct { values.dictionary.hash(value) } else { hashes[group as usize] };
            builders[owner(hash, peers)].push(call, (keys, group), (&values.dictionary, value), diff);
        }
        for (to, mut builder) in (0_u64..).zip(builders).filter(|(_, builder)| !builder.pairs.pairs.is_empty()) {
            if let Some(reversed) = &self.reversed {
                builder.pairs.values = reverse(&self.data_type, reversed, &builder.pairs.values)?;
            }
            parcels.push(Parcel { to, body: builder.pairs });
        }
        Ok(())
    }
}

/// Values in ascending encoding into that of `reversed`.
fn reverse(data_type: &DataType, reversed: &RowConverter, values: &PackedRows) -> Result<PackedRows, ArrowError> {
    let ascending = RowConverter::new(vec![SortField::new(data_type.clone())])?;
    let parser = ascending.parser();
    let columns = ascending.convert_rows(values.iter().map(|value| parser.parse(value)))?;
    let mut rows = PackedRows::default();
    reversed.convert_columns(&columns)?.iter().for_each(|row| rows.push(row.data()));
    Ok(rows)
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

    fn push(&mut self, call: u8, group: (&PackedRows, u32), value: (&Dictionary, u32), diff: i64) {
        let Self { pairs, group_index, value_index, key } = self;
        let group = index_in(&mut pairs.groups, &mut group_index[group.1 as usize], || {
            key.clear();
            key.push(call);
            key.extend_from_slice(group.0.get(group.1 as usize));
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
