//! Partial aggregates of one worker between two flushes: the hash tables of the pre-aggregation.
//!
//! The size of a flush follows the groups and not the rows. Groups are numbered from 0 after each flush, so memory is
//! bounded whatever the number of groups. Columns are read as codes of the worker's [`Interner`]: a row's group is the
//! code of its keys together, and a value is its code.

use std::rc::Rc;

use arrow::array::RecordBatch;

use super::dense_codes::DenseCodes;
use super::error::AggregateError;
use super::keys::{GroupKeys, group_converter, value_converter};
use super::pair_counter::PairCounter;
use super::parcel::{PairDeltas, Parcel, SumDeltas};
use super::row_mask::RowMask;
use super::spec::Aggregation;
use super::sum_table::{BatchGroups, SumTable, plain_filter};
use crate::Sign;
use crate::dictionary::PackedRows;
use crate::interner::{Generation, Interner, SpaceId, Spaces};

/// Groups at which a flush is due.
const GROUPS_MAX: usize = 1 << 18;

/// Partial aggregates since the last flush.
pub struct PartialAggregate {
    aggregation: Aggregation,
    interner: Interner,
    /// The generation of all codes below; `None` while the tables are empty.
    generation: Option<Rc<Generation>>,
    /// The groups met, by the interner's codes.
    groups: DenseCodes,
    /// What those codes stand for; `None` for the one group of an aggregation without keys.
    space: Option<SpaceId>,
    group_count: usize,
    sums: SumTable,
    pairs: Vec<PairCounter>,
    /// Group of each row of the current batch.
    row_groups: Rc<[u32]>,
}

/// The parcels of one flush.
#[derive(Default)]
pub struct FlushedParcels {
    /// For the owners of the groups.
    pub sums: Vec<Parcel<SumDeltas>>,
    /// For the owners of the slices of the groups.
    pub distinct: Vec<Parcel<PairDeltas>>,
    /// For the owners of the groups.
    pub extremes: Vec<Parcel<PairDeltas>>,
}

impl PartialAggregate {
    /// Empty tables.
    ///
    /// # Errors
    /// When a call or type is not supported.
    pub fn new(aggregation: Aggregation, interner: Interner) -> Result<Self, AggregateError> {
        let layout = aggregation.layout()?;
        group_converter(&aggregation)?;
        let mut pairs = Vec::new();
        for set in &layout.pairs {
            let first = set.calls[0];
            value_converter(&aggregation, first)?;
            pairs.push(PairCounter::new(
                u16::try_from(first).map_err(|_| AggregateError::TooManyCalls)?,
                set.distinct,
            ));
        }
        Ok(Self {
            sums: SumTable::new(&aggregation, layout),
            aggregation,
            interner,
            generation: None,
            groups: DenseCodes::default(),
            space: None,
            group_count: 0,
            pairs,
            row_groups: Rc::default(),
        })
    }

    /// Inserts or retracts the rows of a batch. If a flush [is due](Self::is_due), it must come first.
    ///
    /// # Errors
    /// When columns do not have the declared types, or codes run out.
    pub fn update(&mut self, batch: &RecordBatch, sign: Sign) -> Result<(), AggregateError> {
        self.generation = Some(self.interner.generation());
        self.assign_groups(batch)?;
        let groups = BatchGroups {
            of_rows: &self.row_groups,
            count: self.group_count,
        };
        self.sums.update(batch, groups, sign.diff())?;
        for pairs in &mut self.pairs {
            let call = &self.aggregation.calls[usize::from(pairs.call)];
            let Some(column) = call.argument else {
                continue;
            };
            let argument = batch.column(column);
            let filter = plain_filter(call.filter, batch)?;
            let name = self.aggregation.input.field(column).name();
            let values = self.interner.column(name, argument)?;
            let mask = RowMask::new(filter.as_ref(), Some(argument));
            pairs.update(groups, &values, &mask, sign)?;
        }
        Ok(())
    }

    /// Finds the group of each row by its keys.
    fn assign_groups(&mut self, batch: &RecordBatch) -> Result<(), AggregateError> {
        let keys = self.aggregation.group.iter().map(|&column| {
            let name = self.aggregation.input.field(column).name().as_str();
            (name, batch.column(column))
        });
        if let Some(codes) = self.interner.columns(keys)? {
            self.space = Some(codes.space);
            self.row_groups = self.groups.assign(&codes)?;
            self.group_count = self.groups.codes().len();
        } else {
            self.row_groups = std::iter::repeat_n(0, batch.num_rows()).collect();
            self.group_count = 1;
        }
        Ok(())
    }

    /// Whether a flush is due: the tables have grown large, or the interner begins a new generation.
    pub fn is_due(&self) -> bool {
        let Some(generation) = &self.generation else {
            return false;
        };
        self.group_count >= GROUPS_MAX
            || self.pairs.iter().any(PairCounter::is_due)
            || !Rc::ptr_eq(generation, &self.interner.generation())
    }

    /// Empties the tables into parcels for `peers` workers.
    pub fn flush(&mut self, peers: usize) -> FlushedParcels {
        let mut flushed = FlushedParcels::default();
        let Some(generation) = self.generation.take() else {
            return flushed;
        };
        let spaces = &generation.spaces();
        let groups = GroupKeys::new(self.group_keys(spaces));
        for pairs in &mut self.pairs {
            let parcels = if pairs.distinct {
                &mut flushed.distinct
            } else {
                &mut flushed.extremes
            };
            pairs.flush(&groups, spaces, peers, parcels);
        }
        flushed.sums = self.sums.flush(&groups, peers);
        self.groups.clear();
        self.group_count = 0;
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
            None => (0..self.group_count).for_each(|_| keys.push(&[])),
        }
        keys
    }
}
