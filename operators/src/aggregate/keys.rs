//! Keys and values as order-preserving bytes, and the worker that owns a key.

use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};

use super::spec::Aggregation;
use crate::dictionary::PackedRows;
use crate::hash::hash;

/// Encodes the group columns of an aggregation, `None` when it has none.
///
/// # Errors
/// When a type cannot be grouped by.
pub fn group_converter(aggregation: &Aggregation) -> Result<Option<RowConverter>, ArrowError> {
    if aggregation.group.is_empty() {
        return Ok(None);
    }
    let types = aggregation
        .group
        .iter()
        .map(|&column| aggregation.input.field(column).data_type());
    RowConverter::new(types.cloned().map(SortField::new).collect()).map(Some)
}

/// Encodes a call's values in ascending order.
///
/// # Errors
/// When the type has no order.
pub fn value_converter(aggregation: &Aggregation, call: usize) -> Result<RowConverter, ArrowError> {
    let data_type = aggregation.argument_type(&aggregation.calls[call]);
    RowConverter::new(vec![SortField::new(data_type.clone())])
}

/// The keys of some groups, each known by its index, with their hashes.
pub struct GroupKeys {
    /// The keys.
    pub keys: PackedRows,
    hashes: Vec<u64>,
}

impl GroupKeys {
    /// Hashes the keys.
    pub fn new(keys: PackedRows) -> Self {
        let hashes = keys.iter().map(hash).collect();
        Self { keys, hashes }
    }

    /// The hashes of the keys.
    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// The worker that owns a group.
    #[inline]
    pub fn owner(&self, group: usize, peers: usize) -> usize {
        owner(self.hashes[group], peers)
    }
}

/// The worker that owns a key.
#[inline]
pub fn owner(hash: u64, peers: usize) -> usize {
    usize::try_from(hash % peers as u64).unwrap_or_default()
}

/// The values of a group are divided into slices, so that up to this many workers share one group.
const SLICES: usize = 16;

/// The slice of a value. In distinct pairs it precedes the value's bytes: the pairs of one slice belong to one worker,
/// and are adjacent in the state.
#[inline]
pub fn slice_of(value_hash: u64) -> u8 {
    u8::try_from(value_hash % SLICES as u64).unwrap_or_default()
}

/// The bytes of a value without its slice.
pub fn unsliced(value: &[u8]) -> &[u8] {
    value.get(1..).unwrap_or_default()
}

/// The worker that owns a slice of a group with this owner. The slices of one worker are consecutive, so that its pairs
/// of the group are one run in the state.
#[inline]
pub fn slice_owner(group_owner: usize, slice: u8, peers: usize) -> usize {
    let to = group_owner + usize::from(slice) * peers / SLICES;
    if to < peers { to } else { to - peers }
}

/// Writes the number of a call, then a group's key: the key of that call's pairs in the group.
pub fn tag(call: u16, group: &[u8], tagged: &mut Vec<u8>) {
    tagged.clear();
    tagged.extend_from_slice(&call.to_be_bytes());
    tagged.extend_from_slice(group);
}

/// The number of the call and the group's key; the inverse of [`tag`].
pub fn untag(tagged: &[u8]) -> Option<(usize, &[u8])> {
    let (call, group) = tagged.split_first_chunk()?;
    Some((usize::from(u16::from_be_bytes(*call)), group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slices_of_a_worker_are_consecutive() {
        for peers in 1..=2 * SLICES {
            for group_owner in 0..peers {
                let slices = (0..).take(SLICES);
                let mut owners: Vec<usize> = slices
                    .map(|slice| slice_owner(group_owner, slice, peers))
                    .collect();
                assert!(owners.iter().all(|&owner| owner < peers));
                owners.dedup();
                let runs = owners.len();
                owners.sort_unstable();
                owners.dedup();
                assert_eq!((runs, runs), (owners.len(), peers.min(SLICES)));
            }
        }
    }
}
