//! Messages as bytes: their buffer of keys, values and headers, followed by the lengths that divide it.
//!
//! ```text
//! bytes | for each message: offset since the one before, timestamp since the one before, headers,
//!       |                   for each header: bytes of its name, of its value; bytes of the key, of the value
//! ```
//!
//! Numbers are LEB128; signed numbers use zigzag. A nullable value is stored as its length plus one, and NULL as 0.
//!
//! 1. The buffer has no gaps, and its contents are in the order of the lengths, because `push` writes them so.
//! 2. Decoding any bytes either fails or gives messages with ascending offsets for which invariant 1 holds.

use std::ops::Range;

use super::{HeaderRange, MessageEntry, Messages};

/// The bytes are not encoded messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Messages {
    /// Appends the encoded messages to `to`. Their buffer of [`bytes`](Self::bytes) bytes comes first.
    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.bytes);
        let (mut offset, mut timestamp_ms) = (self.first_offset(), 0_i64);
        for entry in &self.entries {
            put(to, entry.offset.wrapping_sub(offset).cast_unsigned());
            put(to, zigzag(entry.timestamp_ms.wrapping_sub(timestamp_ms)));
            (offset, timestamp_ms) = (entry.offset, entry.timestamp_ms);
            let headers = self.headers.get(entry.headers.clone()).unwrap_or_default();
            put_length(to, headers.len());
            for header in headers {
                put_length(to, header.name.len());
                put_nullable(to, header.value.as_ref());
            }
            put_nullable(to, entry.key.as_ref());
            put_nullable(to, entry.value.as_ref());
        }
    }

    /// Decodes messages. `encoded` begins with `bytes` bytes of keys, values and headers.
    pub(crate) fn decode(
        (partition, first_offset, next_offset): (i32, i64, i64),
        count: usize,
        mut encoded: Vec<u8>,
        bytes: usize,
    ) -> Result<Self, Malformed> {
        let mut reading = MessageParser {
            rest: encoded.get(bytes..).ok_or(Malformed)?,
            at: 0,
        };
        // A message takes at least five bytes.
        if count > reading.rest.len() {
            return Err(Malformed);
        }
        let mut entries = Vec::with_capacity(count);
        let mut all_headers = Vec::new();
        let (mut next, mut timestamp_ms) = (first_offset, 0_i64);
        for at in 0..count {
            let delta = i64::try_from(reading.number()?).map_err(|_| Malformed)?;
            // The first message has the first offset. Each later one is stored as the gap to the message before it.
            let offset = next.checked_add(delta).ok_or(Malformed)? - i64::from(at > 0);
            if offset < next || offset >= next_offset {
                return Err(Malformed);
            }
            next = offset + 1;
            timestamp_ms = timestamp_ms.wrapping_add(unzigzag(reading.number()?));
            let first = all_headers.len();
            for _ in 0..reading.length()? {
                all_headers.push(HeaderRange {
                    name: reading.range()?,
                    value: reading.nullable_range()?,
                });
            }
            entries.push(MessageEntry {
                offset,
                timestamp_ms,
                key: reading.nullable_range()?,
                value: reading.nullable_range()?,
                headers: first..all_headers.len(),
            });
        }
        if !reading.rest.is_empty() || reading.at != bytes {
            return Err(Malformed);
        }
        encoded.truncate(bytes);
        Ok(Self {
            partition,
            next_offset,
            bytes: encoded,
            entries,
            headers: all_headers,
        })
    }

    /// Offset of the first message, or the next offset if there is no message.
    pub(crate) fn first_offset(&self) -> i64 {
        self.entries
            .first()
            .map_or(self.next_offset, |entry| entry.offset)
    }
}

/// The remaining lengths, and the position in the buffer.
struct MessageParser<'a> {
    rest: &'a [u8],
    at: usize,
}

impl MessageParser<'_> {
    fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(Malformed)?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(Malformed);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    fn length(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.number()?).map_err(|_| Malformed)
    }

    fn range(&mut self) -> Result<Range<usize>, Malformed> {
        let length = self.length()?;
        self.take(length)
    }

    fn nullable_range(&mut self) -> Result<Option<Range<usize>>, Malformed> {
        match self.length()?.checked_sub(1) {
            Some(length) => self.take(length).map(Some),
            None => Ok(None),
        }
    }

    fn take(&mut self, length: usize) -> Result<Range<usize>, Malformed> {
        let start = self.at;
        self.at = start.checked_add(length).ok_or(Malformed)?;
        Ok(start..self.at)
    }
}

fn put(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    to.push(number.to_le_bytes()[0]);
}

fn put_length(to: &mut Vec<u8>, length: usize) {
    put(to, length as u64);
}

fn put_nullable(to: &mut Vec<u8>, range: Option<&Range<usize>>) {
    put_length(to, range.map_or(0, |range| range.len() + 1));
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn random(random: &mut ChaCha8Rng) -> Messages {
        let far = i64::MAX - 1_000_000;
        let first = [0, 1, far][random.random_range(0..3)] + random.random_range(0..100);
        let mut messages = Messages::new(random.random_range(0..9), first);
        let bytes = |random: &mut ChaCha8Rng| -> Option<Vec<u8>> {
            let length = [0, 1, 20, 200][random.random_range(0..4)];
            let some = random.random_bool(0.7);
            some.then(|| (0..length).map(|_| random.random()).collect())
        };
        for _ in 0..random.random_range(0..30) {
            let offset =
                messages.next_offset + random.random_range(0..2) * random.random_range(0..300);
            let timestamp =
                [-1, 0, i64::MAX, i64::MIN, 1_700_000_000_000][random.random_range(0..5)];
            let headers = (0..random.random_range(0..4))
                .map(|_| (bytes(random).unwrap_or_default(), bytes(random)));
            let headers: Vec<_> = headers.collect();
            let headers = headers.iter();
            let headers = headers.map(|(name, value)| (name.as_slice(), value.as_deref()));
            messages.push(
                (offset, timestamp),
                bytes(random).as_deref(),
                bytes(random).as_deref(),
                headers,
            );
        }
        messages.next_offset += random.random_range(0..3);
        messages
    }

    fn decode(messages: &Messages, encoded: Vec<u8>) -> Result<Messages, Malformed> {
        let place = (
            messages.partition,
            messages.first_offset(),
            messages.next_offset,
        );
        Messages::decode(place, messages.len(), encoded, messages.bytes())
    }

    #[test]
    fn messages_come_back() {
        for seed in 0..300 {
            let messages = random(&mut ChaCha8Rng::seed_from_u64(seed));
            let mut encoded = Vec::new();
            messages.encode(&mut encoded);
            assert_eq!(decode(&messages, encoded), Ok(messages), "seed {seed}");
        }
    }

    #[test]
    fn a_message_takes_few_bytes_more_than_it_holds() {
        let mut messages = Messages::new(0, 1 << 40);
        for at in 0..100 {
            let place = ((1 << 40) + at, 1_700_000_000_000 + at);
            messages.push(place, Some(b"key"), Some(b"value"), []);
        }
        let mut encoded = Vec::new();
        messages.encode(&mut encoded);
        assert!(encoded.len() - messages.bytes() <= 100 * 5 + 10);
    }

    /// Changed bytes give other messages or an error; invariant 2 holds in any case.
    #[test]
    fn other_bytes_do_no_harm() {
        for seed in 0..300 {
            let mut random_bytes = ChaCha8Rng::seed_from_u64(seed);
            let messages = random(&mut random_bytes);
            let mut encoded = Vec::new();
            messages.encode(&mut encoded);
            for _ in 0..20 {
                let mut other = encoded.clone();
                match other.len() {
                    0 => other.push(0),
                    length if random_bytes.random_bool(0.3) => {
                        other.truncate(random_bytes.random_range(0..length));
                    }
                    length => other[random_bytes.random_range(0..length)] = random_bytes.random(),
                }
                let Ok(found) = decode(&messages, other) else {
                    continue;
                };
                let mut next = messages.first_offset();
                for message in found.iter() {
                    assert!(message.offset >= next, "seed {seed}");
                    next = message.offset + 1;
                    let value = message.value.map_or(0, <[u8]>::len);
                    assert!(value <= found.bytes(), "seed {seed}");
                }
                assert!(next <= found.next_offset, "seed {seed}");
                let mut again = Vec::new();
                found.encode(&mut again);
                assert_eq!(decode(&found, again), Ok(found), "seed {seed}");
            }
        }
    }

    #[test]
    fn numbers_that_no_one_writes_are_refused() {
        for bytes in [&[0x80][..], &[0xff; 10], &[0x80; 11], &[]] {
            let mut reading = MessageParser { rest: bytes, at: 0 };
            assert_eq!(reading.number(), Err(Malformed), "{bytes:?}");
        }
        for number in [0, 1, 0x7f, 0x80, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            let mut reading = MessageParser {
                rest: &bytes,
                at: 0,
            };
            assert_eq!(reading.number(), Ok(number));
            assert_eq!(zigzag(unzigzag(number)), number);
        }
    }
}
