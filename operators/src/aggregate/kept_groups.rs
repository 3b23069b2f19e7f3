//! Groups as bytes of the state: integer sums, then float sums, then extremes.

use super::exact_sum::ExactSum;
use super::finish::Group;
use super::spec::Layout;
use crate::row::Row;
use crate::varint::{put, put_bytes, put_signed, take, take_bytes, take_signed};

/// Appends a group's accumulators.
pub fn put_group(group: &Group, bytes: &mut Vec<u8>) {
    for &sum in &group.integers {
        put_signed(sum, bytes);
    }
    for sum in &group.floats {
        sum.put(bytes);
    }
    for best in &group.bests {
        put(u128::from(best.is_some()), bytes);
        if let Some(best) = best {
            put_bytes(best.as_bytes(), bytes);
        }
    }
}

/// The accumulators that [`put_group`] wrote; `None` when the bytes are not those of a group of this layout.
pub fn take_group(mut bytes: &[u8], layout: &Layout) -> Option<Group> {
    let bytes = &mut bytes;
    let integers = (0..layout.integers).map(|_| take_signed(bytes));
    let integers = integers.collect::<Option<_>>()?;
    let floats = (0..layout.floats).map(|_| ExactSum::take(bytes));
    let floats = floats.collect::<Option<_>>()?;
    let bests = (0..layout.extremes).map(|_| match take(bytes)? {
        0 => Some(None),
        _ => take_bytes(bytes).map(|best| Some(Row::from(best))),
    });
    let bests = bests.collect::<Option<_>>()?;
    bytes.is_empty().then_some(Group {
        integers,
        floats,
        bests,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_come_back() {
        let layout = Layout {
            carriers: Vec::new(),
            integers: 2,
            floats: 2,
            extremes: 2,
            pairs: Vec::new(),
        };
        let mut sum = ExactSum::default();
        sum.add(0.1, 3);
        sum.add(-1e300, 2);
        sum.add(f64::NAN, 1);
        let group = Group {
            integers: [7, -1_i128 << 100].into(),
            floats: [sum, ExactSum::default()].into(),
            bests: [None, Some(Row::from(&b"best"[..]))].into(),
        };
        let mut bytes = Vec::new();
        put_group(&group, &mut bytes);
        assert_eq!(take_group(&bytes, &layout), Some(group));
        assert_eq!(take_group(&bytes[..bytes.len() - 1], &layout), None);
        bytes.push(0);
        assert_eq!(take_group(&bytes, &layout), None);
    }
}
