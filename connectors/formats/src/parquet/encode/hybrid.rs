//! Parquet's hybrid of run-length encoding and bit packing, which encodes levels and codes.
//!
//! A run is encoded as twice its length, followed by its value. Packed values are encoded as twice the number of
//! their groups of eight plus one, followed by the values, `width` bits each, lowest bits first.

/// Values of a packed group.
const GROUP: usize = 8;

/// Bits of the largest of `codes` codes.
pub(super) fn width(codes: usize) -> u32 {
    usize::BITS - codes.saturating_sub(1).leading_zeros()
}

/// Appends values of `width` bits each. Only the last group may be incomplete.
pub(super) fn append(out: &mut Vec<u8>, values: &[u32], width: u32) {
    let mut rest = values;
    while let Some(&value) = rest.first() {
        let packed = packed_values(rest);
        if packed > 0 {
            append_number(out, packed.div_ceil(GROUP) << 1 | 1);
            append_packed(out, &rest[..packed], width);
            rest = &rest[packed..];
        } else {
            let run = rest.iter().take_while(|other| **other == value).count();
            append_number(out, run << 1);
            let bytes = value.to_le_bytes();
            out.extend_from_slice(&bytes[..bytes.len().min(width.div_ceil(8) as usize)]);
            rest = &rest[run..];
        }
    }
}

/// The number of values before the first group of equal values.
fn packed_values(values: &[u32]) -> usize {
    let differs = |group: &&[u32]| group.iter().any(|value| *value != group[0]);
    values
        .chunks(GROUP)
        .take_while(differs)
        .map(<[u32]>::len)
        .sum()
}

fn append_packed(out: &mut Vec<u8>, values: &[u32], width: u32) {
    let (mut bits, mut filled) = (0_u64, 0);
    let padding = values.len().next_multiple_of(GROUP) - values.len();
    for &value in values.iter().chain(std::iter::repeat_n(&0, padding)) {
        bits |= u64::from(value) << filled;
        filled += width;
        if filled >= 32 {
            out.extend_from_slice(&bits.to_le_bytes()[..4]);
            bits >>= 32;
            filled -= 32;
        }
    }
    out.extend_from_slice(&bits.to_le_bytes()[..(filled / 8) as usize]);
}

/// Appends a number in seven bits a byte, lowest first; the upper bit says whether more bytes follow.
fn append_number(out: &mut Vec<u8>, mut number: usize) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn appended(values: &[u32], width: u32) -> Vec<u8> {
        let mut out = Vec::new();
        append(&mut out, values, width);
        out
    }

    #[test]
    fn widths() {
        let widths = [0, 1, 2, 3, 4, 5, 256, 257].map(width);
        assert_eq!(widths, [0, 0, 1, 2, 2, 3, 8, 9]);
    }

    #[test]
    fn as_the_format_says() {
        // The example in the specification: 0 to 7, three bits each.
        let packed = [0b11, 0b1000_1000, 0b1100_0110, 0b1111_1010];
        assert_eq!(appended(&[0, 1, 2, 3, 4, 5, 6, 7], 3), packed);
        assert_eq!(appended(&[1; 300], 1), [0xd8, 0x04, 1]);
        assert_eq!(appended(&[0x1234; 9], 13), [18, 0x34, 0x12]);
        assert_eq!(appended(&vec![0; 20_000], 0), [0xc0, 0xb8, 0x02]);
        // A group, a run of eleven, and a padded rest.
        let mixed = [
            0, 1, 0, 1, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1,
        ];
        assert_eq!(appended(&mixed, 1), [3, 0b1010_1010, 22, 1, 3, 0b10]);
        assert!(appended(&[], 4).is_empty());
    }

    #[test]
    fn wide_values_keep_their_bits() {
        let values = [u32::MAX, 0, 1, 0x8000_0000, 5, 6, 7, 0xdead_beef];
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        assert_eq!(appended(&values, 32)[1..], bytes);
    }
}
