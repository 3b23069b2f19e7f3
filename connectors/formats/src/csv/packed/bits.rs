//! Packs integers in as few bits as their range needs, or as the range of their differences needs.

use super::{take_byte, take_bytes, take_word};

/// Bytes of a word.
const WORD: usize = size_of::<u64>();

/// Bytes of two words.
const TWO_WORDS: usize = 2 * WORD;

/// Flag for packed differences instead of the numbers.
const STEPS: u8 = 0x80;

/// Appends numbers.
pub(super) fn append(packed: &mut Vec<u8>, numbers: &[u64]) {
    let least = numbers.iter().copied().min().unwrap_or(0);
    let greatest = numbers.iter().copied().max().unwrap_or(0);
    append_between(packed, numbers, least, greatest);
}

/// Appends numbers whose `least` and `greatest` are known.
pub(super) fn append_between(packed: &mut Vec<u8>, numbers: &[u64], least: u64, greatest: u64) {
    let width = width(greatest - least);
    let first = numbers.first().copied().unwrap_or(0);
    if let Some((low, step_width)) = narrower_steps(numbers, width) {
        packed.push(STEPS | step_width.to_le_bytes()[0]);
        packed.extend_from_slice(&first.to_le_bytes());
        packed.extend_from_slice(&low.to_le_bytes());
        let mut before = first;
        let above = numbers.iter().map(|number| {
            let step = number.wrapping_sub(before);
            before = *number;
            step.wrapping_sub(low.cast_unsigned())
        });
        append_bits(packed, above, step_width);
    } else {
        packed.push(width.to_le_bytes()[0]);
        packed.extend_from_slice(&least.to_le_bytes());
        append_bits(packed, numbers.iter().map(|number| number - least), width);
    }
}

/// The least difference between adjacent numbers, and the bits of the differences above it, if they are fewer than
/// `width`.
fn narrower_steps(numbers: &[u64], width: u32) -> Option<(i64, u32)> {
    let (mut low, mut high) = (0_i64, 0_i64);
    let mut before = numbers.first().copied().unwrap_or(0);
    let mut step_width = 0;
    // Most columns are ruled out by the first few numbers.
    for few in numbers.chunks(64) {
        for number in few {
            let step = number.wrapping_sub(before).cast_signed();
            before = *number;
            (low, high) = (low.min(step), high.max(step));
        }
        step_width = self::width(high.abs_diff(low));
        if step_width >= width {
            return None;
        }
    }
    (step_width < width).then_some((low, step_width))
}

/// Removes `count` numbers from the front of `rest`.
pub(super) fn take(rest: &mut &[u8], count: usize) -> Option<Vec<u64>> {
    let how = take_byte(rest)?;
    let width = u32::from(how & !STEPS);
    if width > u64::BITS {
        return None;
    }
    if how & STEPS == 0 {
        let least = take_word(rest)?;
        let bits = take_bits(rest, count, width)?;
        return Some(bits.map(|above| least.wrapping_add(above)).collect());
    }
    let (first, low) = (take_word(rest)?, take_word(rest)?);
    let bits = take_bits(rest, count, width)?;
    let steps = bits.map(|above| above.wrapping_add(low));
    let numbers = steps.scan(first, |before, step| {
        *before = before.wrapping_add(step);
        Some(*before)
    });
    Some(numbers.collect())
}

/// Number of bits that a number needs.
fn width(number: u64) -> u32 {
    u64::BITS - number.leading_zeros()
}

/// Appends the lowest `width` bits of each number. The other bits must be zero.
fn append_bits(packed: &mut Vec<u8>, mut numbers: impl ExactSizeIterator<Item = u64>, width: u32) {
    if width == 0 {
        return;
    }
    let bytes = words(numbers.len(), width).unwrap_or(0) * WORD;
    let end = packed.len() + bytes;
    packed.reserve(bytes + TWO_WORDS);
    if width <= u64::BITS / 4 {
        // Eight numbers are `width` whole bytes. They are combined without branches, from two words of four numbers
        // each.
        while numbers.len() > 0 {
            let [low, high] = [(); 2].map(|()| {
                let four = [0, 1, 2, 3].map(|at| numbers.next().unwrap_or(0) << (at * width));
                four[0] | four[1] | (four[2] | four[3])
            });
            let eight = u128::from(low) | u128::from(high) << (4 * width);
            let after = packed.len() + usize::from(width.to_le_bytes()[0]);
            packed.extend_from_slice(&eight.to_le_bytes());
            packed.truncate(after);
        }
        packed.resize(end, 0);
        return;
    }
    let (mut word, mut filled) = (0_u64, 0);
    for number in numbers {
        word |= number << filled;
        filled += width;
        if filled >= u64::BITS {
            packed.extend_from_slice(&word.to_le_bytes());
            filled -= u64::BITS;
            word = number.checked_shr(width - filled).unwrap_or(0);
        }
    }
    if filled > 0 {
        packed.extend_from_slice(&word.to_le_bytes());
    }
}

fn take_bits(rest: &mut &[u8], count: usize, width: u32) -> Option<impl Iterator<Item = u64>> {
    let bytes = take_bytes(rest, words(count, width)?.checked_mul(WORD)?)?;
    let mut words = bytes
        .as_chunks::<WORD>()
        .0
        .iter()
        .map(|word| u64::from_le_bytes(*word));
    let mask = u64::MAX.checked_shr(u64::BITS - width).unwrap_or(0);
    let (mut word, mut left) = (0_u64, 0);
    Some((0..count).map(move |_| {
        if left >= width {
            let number = word & mask;
            word = word.checked_shr(width).unwrap_or(0);
            left -= width;
            return number;
        }
        let next = words.next().unwrap_or(0);
        let number = (word | next.checked_shl(left).unwrap_or(0)) & mask;
        let taken = width - left;
        word = next.checked_shr(taken).unwrap_or(0);
        left = u64::BITS - taken;
        number
    }))
}

/// Words needed for `count` numbers.
fn words(count: usize, width: u32) -> Option<usize> {
    let bits = count.checked_mul(usize::try_from(width).ok()?)?;
    Some(bits.div_ceil(8 * WORD))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A simple reference: bit by bit, lowest first, in whole words.
    fn plain(numbers: &[u64], width: u32) -> Vec<u8> {
        let bits: Vec<bool> = numbers
            .iter()
            .flat_map(|number| (0..width).map(move |bit| number >> bit & 1 == 1))
            .collect();
        let words = bits.chunks(64).flat_map(|word| {
            let word = (0..).zip(word).map(|(at, bit)| u64::from(*bit) << at);
            word.sum::<u64>().to_le_bytes()
        });
        words.collect()
    }

    #[test]
    fn numbers_of_any_width_come_back() {
        let mut state = 5_u64;
        let mut random = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state ^ state >> 29
        };
        for width in 0..=64 {
            for count in (0..40).chain([1000]) {
                let mask = u64::MAX.checked_shr(64 - width).unwrap_or(0);
                let numbers: Vec<u64> = (0..count).map(|_| random() & mask).collect();
                let mut packed = vec![7];
                append_bits(&mut packed, numbers.iter().copied(), width);
                assert_eq!(packed[1..], plain(&numbers, width), "{width} bits");
                let mut rest = &packed[1..];
                let back = take_bits(&mut rest, count, width).unwrap();
                assert!(back.eq(numbers.iter().copied()) && rest.is_empty());
                packed.clear();
                append(&mut packed, &numbers);
                assert_eq!(take(&mut packed.as_slice(), count), Some(numbers));
            }
        }
    }

    #[test]
    fn steps_are_packed_where_they_are_narrower() {
        let even: Vec<u64> = (0..1000).map(|row| 1_000_000 + 3 * row).collect();
        let mut late = even.clone();
        late[999] = 0;
        for (numbers, is_steps) in [(even, true), (late, false)] {
            let mut packed = Vec::new();
            append(&mut packed, &numbers);
            assert_eq!(packed[0] & STEPS != 0, is_steps);
            assert_eq!(take(&mut packed.as_slice(), 1000), Some(numbers));
        }
    }
}
