//! Whole numbers in as few bits as their range needs, or that of the steps from each to the next.

use super::{take_byte, take_bytes, take_word};

/// Bytes of a word of bits.
const WORD: usize = size_of::<u64>();

/// Set where steps are packed and not the numbers.
const STEPS: u8 = 0x80;

/// Appends numbers.
pub(super) fn append(packed: &mut Vec<u8>, numbers: &[u64]) {
    let least = numbers.iter().copied().min().unwrap_or(0);
    let greatest = numbers.iter().copied().max().unwrap_or(0);
    let width = width(greatest - least);
    let mut before = numbers.first().copied().unwrap_or(0);
    let first = before;
    let steps = numbers.iter().map(|number| {
        let step = number.wrapping_sub(before).cast_signed();
        before = *number;
        step
    });
    let (low, high) = steps.fold((0, 0), |(low, high): (i64, i64), step| {
        (low.min(step), high.max(step))
    });
    let step_width = self::width(high.abs_diff(low));
    if step_width < width {
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

/// Takes as many numbers as were appended.
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

/// Bits that a number needs.
fn width(number: u64) -> u32 {
    u64::BITS - number.leading_zeros()
}

/// Appends the lowest `width` bits of numbers that have no others.
fn append_bits(packed: &mut Vec<u8>, numbers: impl ExactSizeIterator<Item = u64>, width: u32) {
    if width == 0 {
        return;
    }
    packed.reserve(words(numbers.len(), width).unwrap_or(0) * WORD);
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

/// Words of so many numbers.
fn words(count: usize, width: u32) -> Option<usize> {
    let bits = count.checked_mul(usize::try_from(width).ok()?)?;
    Some(bits.div_ceil(8 * WORD))
}
