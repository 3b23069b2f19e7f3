//! Finds delimiters and line ends, 64 bytes at a time, as bits of a mask.
//!
//! The same loop is compiled twice. One version runs on any processor and finds the masks of eight bytes at a time.
//! The other needs AVX2, which finds the masks of a chunk in a few instructions, and BMI, which finds and clears the
//! lowest set bit in one each. Tests check that both agree.

use super::index::{Index, position, size};

/// Finds the ends of fields from `at` on and stores them after the first position of `index`, until it has `rows`
/// lines or the bytes end. Returns the position reached and the number of valid positions; those behind them are left
/// over from earlier calls.
pub(super) fn split(
    bytes: &[u8],
    at: usize,
    delimiter: u8,
    rows: usize,
    index: &mut Index,
) -> (usize, usize) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("popcnt")
    {
        // SAFETY: the processor has all features that the function is compiled for.
        return unsafe { with_avx2(bytes, at, delimiter, rows, index) };
    }
    split_by(bytes, at, delimiter, rows, index, equal_mask)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
fn with_avx2(
    bytes: &[u8],
    at: usize,
    delimiter: u8,
    rows: usize,
    index: &mut Index,
) -> (usize, usize) {
    split_by(bytes, at, delimiter, rows, index, |chunk, byte| {
        equal_mask_avx2(chunk, byte)
    })
}

/// As [`equal_mask`].
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn equal_mask_avx2(chunk: &[u8; 64], byte: u8) -> u64 {
    use std::arch::x86_64::{
        _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_set1_epi8,
    };
    let pattern = _mm256_set1_epi8(byte.cast_signed());
    // SAFETY: the chunk has the two times 32 bytes that are loaded, and the loads need no alignment.
    let (low, high) = unsafe {
        let low = _mm256_loadu_si256(chunk.as_ptr().cast());
        (low, _mm256_loadu_si256(chunk.as_ptr().add(32).cast()))
    };
    let low = _mm256_movemask_epi8(_mm256_cmpeq_epi8(low, pattern)).cast_unsigned();
    let high = _mm256_movemask_epi8(_mm256_cmpeq_epi8(high, pattern)).cast_unsigned();
    u64::from(low) | u64::from(high) << 32
}

/// Inlined so that it is compiled with the features of its caller.
#[inline(always)]
#[allow(clippy::inline_always)]
fn split_by(
    bytes: &[u8],
    mut at: usize,
    delimiter: u8,
    rows: usize,
    index: &mut Index,
    mask: impl Fn(&[u8; 64], u8) -> u64,
) -> (usize, usize) {
    let mut known = 1;
    let rest = bytes.get(at..).unwrap_or_default();
    let (chunks, tail) = rest.as_chunks::<64>();
    for chunk in chunks {
        if index.lines.len() >= rows {
            return (at, known);
        }
        let line_ends = mask(chunk, b'\n');
        let ends = mask(chunk, delimiter) | line_ends;
        known = push(index, known, at, ends, line_ends);
        at += 64;
    }
    if index.lines.len() < rows && !tail.is_empty() {
        let mut chunk = [0; 64];
        let padded = chunk.iter_mut().zip(tail);
        padded.for_each(|(to, from)| *to = *from);
        let valid = u64::MAX >> (64 - tail.len());
        let line_ends = mask(&chunk, b'\n') & valid;
        let ends = mask(&chunk, delimiter) & valid | line_ends;
        known = push(index, known, at, ends, line_ends);
        at += tail.len();
    }
    (at, known)
}

/// Stores the ends of fields in the chunk at `at` after the `known` positions. Returns the new number of known
/// positions.
#[inline(always)]
#[allow(clippy::inline_always)]
fn push(index: &mut Index, known: usize, at: usize, mut ends: u64, mut line_ends: u64) -> usize {
    let count = size(ends.count_ones());
    while line_ends != 0 {
        let before = ends & (line_ends & line_ends.wrapping_neg()).wrapping_sub(1);
        let before = size(before.count_ones());
        index.lines.push(position(known + before));
        line_ends &= line_ends.wrapping_sub(1);
    }
    // There is room for a position at every byte, so the loop needs no check before it writes.
    if index.after.len() < known + 64 {
        index.after.resize((known + 64) * 2, 0);
    }
    let base = position(at + 1);
    let slots = index.after.get_mut(known..).unwrap_or_default();
    // Eight at a time, because most chunks then take no branch that the processor predicts wrongly.
    for eight in slots.as_chunks_mut::<8>().0 {
        for slot in eight {
            *slot = base + ends.trailing_zeros();
            ends &= ends.wrapping_sub(1);
        }
        if ends == 0 {
            break;
        }
    }
    known + count
}

/// Bit i is set if byte i of the chunk is `byte`. Eight bytes at a time; no carry crosses from one byte to the next.
fn equal_mask(chunk: &[u8; 64], byte: u8) -> u64 {
    const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
    const SEVEN: u64 = u64::from_ne_bytes([0x7f; 8]);
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let pattern = LOW.wrapping_mul(u64::from(byte));
    let (words, _) = chunk.as_chunks::<8>();
    words.iter().rev().fold(0, |mask, word| {
        let differ = u64::from_le_bytes(*word) ^ pattern;
        let zero = !(((differ & SEVEN) + SEVEN) | differ | SEVEN);
        (mask << 8) | ((zero >> 7).wrapping_mul(GATHER) >> 56)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Delimiters, line ends and similar bytes.
    fn bytes(count: usize, state: &mut u32) -> Vec<u8> {
        let mut byte = || {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let [_, _, any, which] = state.to_le_bytes();
            let near = [b',', b'\n', b'-', b'+', 0, 1, 0x80, 0xff, b',' | 0x80, any];
            near[usize::from(which) % near.len()]
        };
        (0..count).map(|_| byte()).collect()
    }

    #[test]
    fn masks_are_exact() {
        let mut state = 1;
        for _ in 0..2000 {
            let chunk = <[u8; 64]>::try_from(bytes(64, &mut state)).unwrap();
            for byte in [b',', b'\n', 0, 0xff, 0x80] {
                let expected = (0..64)
                    .filter(|i| chunk[*i] == byte)
                    .fold(0_u64, |mask, i| mask | 1 << i);
                assert_eq!(equal_mask(&chunk, byte), expected);
            }
        }
    }

    #[test]
    fn every_processor_splits_alike() {
        let mut state = 3;
        for length in 0..500 {
            let bytes = bytes(length, &mut state);
            for (at, rows) in [(0, 1), (0, 1000), (length / 2, 3), (length, 1)] {
                let found = |way: fn(&[u8], usize, u8, usize, &mut Index) -> (usize, usize)| {
                    let mut index = Index::default();
                    index.after.push(position(at));
                    let (at, known) = way(&bytes, at, b',', rows, &mut index);
                    index.after.truncate(known);
                    (at, index.after, index.lines)
                };
                let expected = found(|bytes, at, delimiter, rows, index| {
                    split_by(bytes, at, delimiter, rows, index, equal_mask)
                });
                assert_eq!(found(split), expected, "{bytes:?}");
            }
        }
    }
}
