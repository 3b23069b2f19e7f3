//! Variable-length integers: LEB128, with zig-zag encoding for signed ones.

#![expect(
    clippy::inline_always,
    reason = "an entry of a block has five of them, and a lookup reads a hundred entries"
)]

/// Appends an unsigned integer.
#[inline]
pub fn put(value: u128, bytes: &mut Vec<u8>) {
    // Most have one byte.
    match u8::try_from(value) {
        Ok(value @ ..0x80) => bytes.push(value),
        _ => put_long(value, bytes),
    }
}

fn put_long(mut value: u128, bytes: &mut Vec<u8>) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            bytes.push(low & 0x7f);
            return;
        }
        bytes.push(low | 0x80);
    }
}

/// Appends a signed integer.
#[inline]
pub fn put_signed(value: i128, bytes: &mut Vec<u8>) {
    put((value << 1 ^ value >> 127).cast_unsigned(), bytes);
}

/// Removes an unsigned integer from the front of `bytes`; `None` when there is none.
#[inline(always)]
pub fn take(bytes: &mut &[u8]) -> Option<u128> {
    // Most have one byte.
    if let Some((&byte @ ..0x80, rest)) = bytes.split_first() {
        *bytes = rest;
        return Some(byte.into());
    }
    take_long(bytes)
}

#[cold]
fn take_long(bytes: &mut &[u8]) -> Option<u128> {
    let mut value = 0;
    for shift in (0..u128::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u128::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Removes a signed integer from the front of `bytes`; `None` when there is none.
#[inline(always)]
pub fn take_signed(bytes: &mut &[u8]) -> Option<i128> {
    let value = take(bytes)?;
    Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

/// Removes a length and that number of bytes from the front of `bytes`; `None` when they are incomplete.
#[inline(always)]
pub fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take(bytes)?).ok()?;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

/// Appends a length and the bytes.
#[inline]
pub fn put_bytes(value: &[u8], bytes: &mut Vec<u8>) {
    put(value.len() as u128, bytes);
    bytes.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_back() {
        for value in [0, 1, -1, 63, 64, -64, -65, i128::MAX, i128::MIN] {
            let mut bytes = Vec::new();
            put_signed(value, &mut bytes);
            put_bytes(b"abc", &mut bytes);
            let mut rest = bytes.as_slice();
            assert_eq!(take_signed(&mut rest), Some(value));
            assert_eq!(take_bytes(&mut rest), Some(&b"abc"[..]));
            assert_eq!(take(&mut rest), None);
        }
        assert_eq!(take_bytes(&mut [5, 0].as_slice()), None);
        assert_eq!(take(&mut [0x80; 30].as_slice()), None);
    }
}
