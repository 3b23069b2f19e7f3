//! The accumulators of a group as bytes of the state: integer sums, then float sums, then extremes.

use super::accumulators::{AccumulatorArrays, Accumulators};
use super::exact_sum::ExactSum;
use super::spec::AccumulatorLayout;
use crate::row::EncodedRow;
use crate::varint::{put, put_bytes, put_signed, take, take_bytes, take_signed};

/// Appends the accumulators of a group.
pub fn encode_accumulators(group: Accumulators<'_>, bytes: &mut Vec<u8>) {
    for &sum in group.integers {
        put_signed(sum, bytes);
    }
    for sum in group.floats {
        sum.put(bytes);
    }
    for extreme in group.extremes {
        put(u128::from(extreme.is_some()), bytes);
        if let Some(extreme) = extreme {
            put_bytes(extreme.as_bytes(), bytes);
        }
    }
}

/// The accumulators of one group; `None` when the bytes do not have this layout. The inverse of
/// [`encode_accumulators`].
pub fn decode_accumulators(
    mut bytes: &[u8],
    layout: &AccumulatorLayout,
) -> Option<AccumulatorArrays> {
    let bytes = &mut bytes;
    let integers = (0..layout.integers).map(|_| take_signed(bytes));
    let integers = integers.collect::<Option<_>>()?;
    let floats = (0..layout.floats).map(|_| ExactSum::take(bytes));
    let floats = floats.collect::<Option<_>>()?;
    let extremes = (0..layout.extremes).map(|_| match take(bytes)? {
        0 => Some(None),
        _ => take_bytes(bytes).map(|extreme| Some(EncodedRow::from(extreme))),
    });
    let extremes = extremes.collect::<Option<_>>()?;
    bytes.is_empty().then_some(AccumulatorArrays {
        integers,
        floats,
        extremes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accumulators_round_trip() {
        let layout = AccumulatorLayout {
            slots: Vec::new(),
            integers: 2,
            floats: 2,
            extremes: 2,
            pairs: Vec::new(),
        };
        let mut sum = ExactSum::default();
        sum.add(0.1, 3);
        sum.add(-1e300, 2);
        sum.add(f64::NAN, 1);
        let group = AccumulatorArrays {
            integers: vec![7, -1_i128 << 100],
            floats: vec![sum, ExactSum::default()],
            extremes: vec![None, Some(EncodedRow::from(&b"extreme"[..]))],
        };
        let mut bytes = Vec::new();
        encode_accumulators(group.get(0, &layout), &mut bytes);
        assert_eq!(decode_accumulators(&bytes, &layout), Some(group));
        assert_eq!(
            decode_accumulators(&bytes[..bytes.len() - 1], &layout),
            None
        );
        bytes.push(0);
        assert_eq!(decode_accumulators(&bytes, &layout), None);
    }
}
