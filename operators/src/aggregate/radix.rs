//! Radix sort, least significant digit first, stable: three or four passes over the pairs where a comparison sort takes
//! seventeen steps a pair. See Knuth, The Art of Computer Programming, vol. 3, 5.2.5.
//!
//! Only bits in which keys differ are read, so small ids cost fewer passes than large ones.

/// Bits of a digit. Its counters fit into a core's first-level cache.
const DIGIT_BITS: u32 = 11;
const DIGITS: usize = 1 << DIGIT_BITS;
/// Fewer items are sorted by comparison.
const COMPARED_MAX: usize = 512;

/// The key of an item, the upper half first.
pub type Key = [u64; 2];

/// Sorts items by their keys.
pub fn sort_by_digits<T: Copy>(items: &mut Vec<T>, key: impl Fn(&T) -> Key) {
    if items.is_sorted_by_key(&key) {
        return;
    }
    if items.len() < COMPARED_MAX {
        items.sort_by_key(key);
        return;
    }
    let Some(first) = items.first().map(&key) else {
        return;
    };
    let varying = items.iter().map(&key).fold([0, 0], |varying, key| {
        [
            varying[0] | (key[0] ^ first[0]),
            varying[1] | (key[1] ^ first[1]),
        ]
    });
    let mut scratch = items.clone();
    for half in [1, 0] {
        let mut unsorted = varying[half];
        while unsorted != 0 {
            let shift = unsorted.trailing_zeros();
            by_digit(items, &mut scratch, |item| digit(key(item)[half], shift));
            std::mem::swap(items, &mut scratch);
            let remaining = u64::MAX.checked_shl(shift + DIGIT_BITS).unwrap_or(0);
            unsorted &= remaining;
        }
    }
}

#[inline]
fn digit(half: u64, shift: u32) -> usize {
    usize::try_from(half >> shift).unwrap_or(usize::MAX) & (DIGITS - 1)
}

/// Distributes `from` into `to` by one digit.
fn by_digit<T: Copy>(from: &[T], to: &mut [T], digit: impl Fn(&T) -> usize) {
    let mut next = [0_usize; DIGITS];
    for item in from {
        next[digit(item)] += 1;
    }
    let mut before = 0;
    for slot in &mut next {
        before += std::mem::replace(slot, before);
    }
    for item in from {
        let place = &mut next[digit(item)];
        to[*place] = *item;
        *place += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_sorted_by_key() {
        let mut state = 1_u64;
        for length in [0, 1, 2, COMPARED_MAX - 1, COMPARED_MAX, 5000] {
            for mask in [0, 1, 0xff_00ff, u64::from(u32::MAX) << 16, u64::MAX] {
                let mut items: Vec<Key> = (0..length)
                    .map(|_| {
                        state = state
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1);
                        [state.rotate_left(17) & mask, state.rotate_left(40) & mask]
                    })
                    .collect();
                let mut expected = items.clone();
                expected.sort_unstable();
                sort_by_digits(&mut items, |item| *item);
                assert_eq!(items, expected, "{length} items, mask {mask:x}");
            }
        }
    }
}
