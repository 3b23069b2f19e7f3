//! What crosses workers in an aggregation: partial results, addressed to the worker that owns them.
//!
//! Parcels carry keys as bytes, once each, and refer to them by index: ids are a worker's own and mean nothing to
//! another.

use serde::{Deserialize, Serialize};

use super::exact_sum::ExactSum;
use crate::dictionary::PackedRows;
use crate::row::Row;

/// Something for the worker `to`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Parcel<B> {
    /// The worker's index.
    pub to: u64,
    /// What it gets.
    pub body: B,
}

/// Amounts to add to the sums of some groups: the difference itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sums {
    /// Keys of the groups.
    pub groups: PackedRows,
    /// Which integer sums are given for each group.
    pub integer_slots: Vec<usize>,
    /// The amounts, group by group.
    pub integers: Vec<i128>,
    /// Which float sums are given for each group.
    pub float_slots: Vec<usize>,
    /// The amounts, group by group.
    pub floats: Vec<ExactSum>,
}

/// How many more (or fewer) times each value occurs in each group, for the calls that need to know.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pairs {
    /// Keys of the groups, each tagged with its call.
    pub groups: PackedRows,
    /// The values.
    pub values: PackedRows,
    /// Index of the group, index of the value, difference.
    pub pairs: Vec<(u32, u32, i32)>,
}

/// The extreme that a call wants, for some groups.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Bests {
    /// Keys of the groups, each tagged with its call.
    pub groups: PackedRows,
    /// The extreme now, none when the group has none left.
    pub best: Vec<Option<Row>>,
}
