//! `(group, value)` pairs of one call, between two flushes.

use arrow::array::BooleanArray;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::groups::{pack, unpack};
use super::keys::{owner, tag};
use super::parcel::{Pairs, Parcel};
use super::values::counts;
use crate::dictionary::{Dictionary, PackedRows};
use crate::interner::Generation;

/// One call that needs `(group, value)` pairs.
pub struct Paired {
    /// The call's index.
    pub call: u16,
    /// Of the values.
    pub data_type: DataType,
    /// Whether pairs are dealt to workers by value (distinct) or by group (extremes).
    pub distinct: bool,
    /// For `max`: turns values around, so that the greatest comes first.
    pub reversed: Option<RowConverter>,
    /// Differences by group and value.
    pub pairs: HashMap<u64, i64, FixedState>,
}

impl Paired {
    /// Counts the values of a batch's rows in their groups.
    pub fn update(
        &mut self,
        groups: &[u32],
        values: &[u32],
        counted: Option<&BooleanArray>,
        diff: i64,
    ) {
        for (row, (&group, &value)) in groups.iter().zip(values).enumerate() {
            if counts(counted, row) {
                *self.pairs.entry(pack(group, value)).or_insert(0) += diff;
            }
        }
    }

    /// Empties the table into parcels; `keys` are the groups', with their hashes.
    ///
    /// # Errors
    /// When values cannot be turned around for `max`.
    pub fn flush(
        &mut self,
        (keys, hashes): (&PackedRows, &[u64]),
        generation: &Generation,
        peers: usize,
        parcels: &mut Vec<Parcel<Pairs>>,
    ) -> Result<(), ArrowError> {
        let values = generation.values(&self.data_type)?;
        let mut builders: Vec<PairsBuilder> = (0..peers)
            .map(|_| PairsBuilder::new(keys.len(), values.dictionary.len()))
            .collect();
        for (packed, diff) in self.pairs.drain().filter(|&(_, diff)| diff != 0) {
            let (group, value) = unpack(packed);
            let hash = if self.distinct {
                values.dictionary.hash(value)
            } else {
                hashes[group as usize]
            };
            builders[owner(hash, peers)].push(
                self.call,
                (keys, group),
                (&values.dictionary, value),
                diff,
            );
        }
        for (to, mut builder) in (0_u64..)
            .zip(builders)
            .filter(|(_, builder)| !builder.pairs.pairs.is_empty())
        {
            if let Some(reversed) = &self.reversed {
                builder.pairs.values = reverse(&self.data_type, reversed, &builder.pairs.values)?;
            }
            parcels.push(Parcel {
                to,
                body: builder.pairs,
            });
        }
        Ok(())
    }
}

/// Values in ascending encoding into that of `reversed`.
fn reverse(
    data_type: &DataType,
    reversed: &RowConverter,
    values: &PackedRows,
) -> Result<PackedRows, ArrowError> {
    let ascending = RowConverter::new(vec![SortField::new(data_type.clone())])?;
    let parser = ascending.parser();
    let columns = ascending.convert_rows(values.iter().map(|value| parser.parse(value)))?;
    let mut rows = PackedRows::default();
    reversed
        .convert_columns(&columns)?
        .iter()
        .for_each(|row| rows.push(row.data()));
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
        Self {
            pairs: Pairs::default(),
            group_index: unset(groups),
            value_index: unset(values),
            key: Vec::new(),
        }
    }

    fn push(&mut self, call: u16, group: (&PackedRows, u32), value: (&Dictionary, u32), diff: i64) {
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
            &mut value_index[value.1 as usize],
            || value.0.get(value.1),
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
