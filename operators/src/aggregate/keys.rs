//! Keys and values as order-preserving bytes, and who owns a key.

use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};

use super::spec::Aggregation;

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

/// The worker that owns a key.
#[inline]
pub fn owner(hash: u64, peers: usize) -> usize {
    let peers = u64::try_from(peers).unwrap_or(u64::MAX);
    usize::try_from(hash % peers).unwrap_or_default()
}

/// Slices that the values of a group are dealt out by: more than these many workers do not share one group.
const SLICES: usize = 16;

/// The slice of a value, which stands before its bytes in distinct pairs: those of one slice of a group are with one
/// worker, and lie side by side in the state.
#[inline]
pub fn slice_of(value_hash: u64) -> u8 {
    u8::try_from(value_hash % SLICES as u64).unwrap_or_default()
}

/// The bytes of a value without its slice.
pub fn unsliced(value: &[u8]) -> &[u8] {
    value.get(1..).unwrap_or_default()
}

/// The worker that owns a slice of a group, which itself has this owner. The slices of a group that are one worker's follow
/// one another, so that its pairs are one run in the state.
#[inline]
pub fn slice_owner(group_owner: usize, slice: u8, peers: usize) -> usize {
    let to = group_owner + usize::from(slice) * peers / SLICES;
    if to < peers { to } else { to - peers }
}

/// Puts a group's key behind the number of the call that its pairs are for.
pub fn tag(call: u16, group: &[u8], tagged: &mut Vec<u8>) {
    tagged.clear();
    tagged.extend_from_slice(&call.to_be_bytes());
    tagged.extend_from_slice(group);
}

/// The number of the call and the group's key.
pub fn untag(tagged: &[u8]) -> Option<(usize, &[u8])> {
    let (call, group) = tagged.split_first_chunk()?;
    Some((usize::from(u16::from_be_bytes(*call)), group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slices_of_a_worker_follow_one_another() {
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
