//! Keys and values as order-preserving bytes, and who owns a key.

use arrow::compute::SortOptions;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};

use super::spec::{Aggregation, Function};

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

/// Encodes a call's values so that the best comes first: ascending, but descending for `max`.
///
/// # Errors
/// When the type has no order.
pub fn value_converter(aggregation: &Aggregation, call: usize) -> Result<RowConverter, ArrowError> {
    let call = &aggregation.calls[call];
    let options = SortOptions {
        descending: call.function == Function::Max,
        nulls_first: true,
    };
    RowConverter::new(vec![SortField::new_with_options(
        aggregation.argument_type(call).clone(),
        options,
    )])
}

/// The worker that owns a key.
#[inline]
pub fn owner(hash: u64, peers: usize) -> usize {
    let peers = u64::try_from(peers).unwrap_or(u64::MAX);
    usize::try_from(hash % peers).unwrap_or_default()
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
