//! Batches of messages of one partition, in one buffer.

mod encoding;

use std::ops::Range;

/// Messages of one partition in the order of their offsets. Keys, values and headers share one buffer, so a message
/// needs no allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Messages {
    /// The partition.
    pub partition: i32,
    /// The offset after the range that these messages cover: after the last message, or after trailing offsets
    /// without a message.
    pub next_offset: i64,
    bytes: Vec<u8>,
    entries: Vec<MessageEntry>,
    headers: Vec<HeaderRange>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct MessageEntry {
    offset: i64,
    timestamp_ms: i64,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Range<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct HeaderRange {
    name: Range<usize>,
    value: Option<Range<usize>>,
}

/// A message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its offset.
    pub offset: i64,
    /// When it was created or appended, in milliseconds since 1970; -1 if unknown.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its payload; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    all: &'a Messages,
    at: usize,
}

impl Messages {
    /// An empty batch for a partition, starting at `offset`.
    pub fn new(partition: i32, offset: i64) -> Self {
        Self {
            partition,
            next_offset: offset,
            bytes: Vec::new(),
            entries: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// Appends a message. Offsets ascend.
    pub fn push<'a>(
        &mut self,
        (offset, timestamp_ms): (i64, i64),
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) {
        debug_assert!(
            offset >= self.next_offset,
            "offset {offset} comes after {}",
            self.next_offset
        );
        let first = self.headers.len();
        for (name, value) in headers {
            let header = HeaderRange {
                name: self.keep(name),
                value: value.map(|value| self.keep(value)),
            };
            self.headers.push(header);
        }
        let entry = MessageEntry {
            offset,
            timestamp_ms,
            key: key.map(|key| self.keep(key)),
            value: value.map(|value| self.keep(value)),
            headers: first..self.headers.len(),
        };
        self.entries.push(entry);
        self.next_offset = offset + 1;
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    /// The number of messages.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of keys, values and headers.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The message at an index, from 0.
    pub fn get(&self, at: usize) -> Option<Message<'_>> {
        let entry = self.entries.get(at)?;
        Some(Message {
            offset: entry.offset,
            timestamp_ms: entry.timestamp_ms,
            key: self.slice(entry.key.as_ref()),
            value: self.slice(entry.value.as_ref()),
            all: self,
            at,
        })
    }

    /// The messages, in the order of their offsets.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Message<'_>> {
        let messages = self.entries.iter().enumerate();
        messages.map(|(at, entry)| Message {
            offset: entry.offset,
            timestamp_ms: entry.timestamp_ms,
            key: self.slice(entry.key.as_ref()),
            value: self.slice(entry.value.as_ref()),
            all: self,
            at,
        })
    }

    fn slice(&self, range: Option<&Range<usize>>) -> Option<&[u8]> {
        range.and_then(|range| self.bytes.get(range.clone()))
    }
}

impl<'a> Message<'a> {
    /// The message's headers, in order. Names may repeat.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let all = self.all;
        let entry = all.entries.get(self.at);
        let headers = entry.and_then(|entry| all.headers.get(entry.headers.clone()));
        headers.unwrap_or_default().iter().map(|header| {
            let name = all.slice(Some(&header.name)).unwrap_or_default();
            (name, all.slice(header.value.as_ref()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in() {
        let mut messages = Messages::new(3, 10);
        assert!(messages.is_empty());
        let headers: [(&[u8], Option<&[u8]>); 2] = [(b"trace", Some(b"1")), (b"trace", None)];
        messages.push((10, 1_000), Some(b"key"), Some(b"value"), headers);
        messages.push((14, -1), None, None, []);
        messages.push((15, 0), Some(b""), Some(b""), []);
        assert_eq!((messages.len(), messages.next_offset), (3, 16));
        let first = messages.get(0).unwrap();
        assert_eq!((first.offset, first.timestamp_ms), (10, 1_000));
        assert_eq!(
            (first.key, first.value),
            (Some(&b"key"[..]), Some(&b"value"[..]))
        );
        assert_eq!(first.headers().collect::<Vec<_>>(), headers);
        let rest: Vec<_> = messages.iter().skip(1).collect();
        assert_eq!((rest[0].key, rest[0].value), (None, None));
        assert_eq!(
            (rest[1].key, rest[1].value),
            (Some(&b""[..]), Some(&b""[..]))
        );
        assert_eq!(rest[1].headers().count(), 0);
        assert!(messages.get(3).is_none());
    }
}
