//! Partial aggregates of one worker between two flushes: the hash tables of the pre-aggregation.
//!
//! Groups are numbered from 0 after each flush ([`GroupNumbers`]), so memory is bounded whatever the number of groups. While
//! rows share groups, the size of a flush follows the groups and not the rows. Values are read as codes of the worker's
//! [`Interner`].

use std::rc::Rc;

use arrow::array::RecordBatch;

use super::error::AggregateError;
use super::group_numbers::GroupNumbers;
use super::keys::value_converter;
use super::pair_counter::PairCounter;
use super::parcel::{PairDeltas, Parcel, SumDeltas};
use super::row_mask::RowMask;
use super::spec::Aggregation;
use super::sum_table::{SumTable, plain_filter};
use crate::Sign;
use crate::interner::{Generation, Interner};

/// Partial aggregates since the last flush.
pub struct PartialAggregate {
    aggregation: Aggregation,
    interner: Interner,
    /// The generation of all codes below; `None` while the tables are empty.
    generation: Option<Rc<Generation>>,
    groups: GroupNumbers,
    sums: SumTable,
    pairs: Vec<PairCounter>,
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
            groups: GroupNumbers::new(&aggregation, interner.clone())?,
            aggregation,
            interner,
            generation: None,
            pairs,
        })
    }

    /// Inserts or retracts the rows of a batch. If a flush [is due](Self::is_due), it must come first.
    ///
    /// # Errors
    /// When columns do not have the declared types, or codes run out.
    pub fn update(&mut self, batch: &RecordBatch, sign: Sign) -> Result<(), AggregateError> {
        self.generation = Some(self.interner.generation());
        self.groups.assign(batch)?;
        let groups = self.groups.of_batch();
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

    /// Whether a flush is due: the tables have grown large, or the interner begins a new generation.
    pub fn is_due(&self) -> bool {
        let Some(generation) = &self.generation else {
            return false;
        };
        self.groups.is_due()
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
        let groups = self.groups.flush(spaces);
        for pairs in &mut self.pairs {
            let parcels = if pairs.distinct {
                &mut flushed.distinct
            } else {
                &mut flushed.extremes
            };
            pairs.flush(&groups, spaces, peers, parcels);
        }
        flushed.sums = self.sums.flush(&groups, peers);
        flushed
    }
}
