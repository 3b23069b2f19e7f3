//! Parcels: the partial results of an aggregation, each addressed to the worker that owns its groups.
//!
//! A parcel lists each key once, as bytes, and refers to it by index, because ids mean something to one worker only.

use serde::{Deserialize, Serialize};

use super::exact_sum::ExactSum;
use crate::dictionary::PackedRows;
use crate::row::EncodedRow;

/// A message to one worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Parcel<B> {
    /// The index of the worker.
    pub to: u64,
    /// The message.
    pub body: B,
}

/// Amounts to add to the sums of some groups; a retraction is a negative amount.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SumDeltas {
    /// Keys of the groups.
    pub groups: PackedRows,
    /// The integer sums that each group has an amount for.
    pub integer_slots: Vec<usize>,
    /// The amounts, group by group.
    pub integers: Vec<i128>,
    /// The float sums that each group has an amount for.
    pub float_slots: Vec<usize>,
    /// The amounts, group by group.
    pub floats: Vec<ExactSum>,
}

/// Changes of the number of times that values occur in groups, for the calls that need it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PairDeltas {
    /// Keys of the groups, each tagged with its call.
    pub groups: PackedRows,
    /// The values.
    pub values: PackedRows,
    /// The changes.
    pub pairs: Vec<PairDelta>,
}

/// A change of the number of times that one value occurs in one group.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct PairDelta {
    /// Index of the group.
    pub group: u32,
    /// Index of the value.
    pub value: u32,
    /// The difference.
    pub diff: i32,
}

/// The new extremes of some groups, for `min` and `max`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct GroupExtremes {
    /// Keys of the groups, each tagged with its call.
    pub groups: PackedRows,
    /// The extreme of each group; `None` when it has no value left.
    pub extremes: Vec<Option<EncodedRow>>,
}
