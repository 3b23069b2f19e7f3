//! Frames of a log: a header of fixed size, then compressed messages.
//!
//! | bytes | little-endian |
//! |---|---|
//! | 4 | `TWM1` |
//! | 4 | length of the compressed messages |
//! | 8 | XXH3 of all that follows and of that length |
//! | 4 | partition |
//! | 8, 8 | the first offset, and the one that follows |
//! | 4 | messages |
//! | 4 | bytes of keys, values and headers |
//! | 4 | length of the messages before they are compressed |
//! | … | zstd |

use std::io;

use twox_hash::XxHash3_64;

use crate::Messages;

const MAGIC: [u8; 4] = *b"TWM1";

/// Bytes of a header.
pub(super) const HEADER_BYTES: usize = 48;

/// Compression level: that of the content store, which gives the reason.
const LEVEL: i32 = 1;

/// Writes frames, reusing its buffers.
pub(super) struct FrameEncoder {
    compressor: zstd::bulk::Compressor<'static>,
    plain: Vec<u8>,
    frame: Vec<u8>,
}

impl FrameEncoder {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            compressor: zstd::bulk::Compressor::new(LEVEL)?,
            plain: Vec::new(),
            frame: Vec::new(),
        })
    }

    /// The frame of some messages.
    pub(super) fn frame(&mut self, messages: &Messages) -> io::Result<&[u8]> {
        self.plain.clear();
        messages.encode(&mut self.plain);
        let bound = zstd::zstd_safe::compress_bound(self.plain.len());
        self.frame.resize(HEADER_BYTES + bound, 0);
        let (head, body) = self.frame.split_at_mut(HEADER_BYTES);
        let length = self.compressor.compress_to_buffer(&self.plain, body)?;
        let too_large = |_| io::Error::new(io::ErrorKind::InvalidInput, "a frame beyond 4 GiB");
        let header = FrameHeader {
            length: u32::try_from(length).map_err(too_large)?,
            partition: messages.partition,
            first_offset: messages.first_offset(),
            next_offset: messages.next_offset,
            count: u32::try_from(messages.len()).map_err(too_large)?,
            bytes: u32::try_from(messages.bytes()).map_err(too_large)?,
            plain_length: u32::try_from(self.plain.len()).map_err(too_large)?,
        };
        let body = body.get(..length).unwrap_or_default();
        head.copy_from_slice(&header.to_bytes(body));
        self.frame.truncate(HEADER_BYTES + length);
        Ok(&self.frame)
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub length: u32,
    pub partition: i32,
    pub first_offset: i64,
    pub next_offset: i64,
    pub count: u32,
    pub bytes: u32,
    pub plain_length: u32,
}

impl FrameHeader {
    /// The header of a frame with these compressed messages.
    fn to_bytes(self, body: &[u8]) -> [u8; HEADER_BYTES] {
        let mut said = [0; HEADER_BYTES];
        let fields: [&[u8]; 9] = [
            &MAGIC,
            &self.length.to_le_bytes(),
            &[0; 8],
            &self.partition.to_le_bytes(),
            &self.first_offset.to_le_bytes(),
            &self.next_offset.to_le_bytes(),
            &self.count.to_le_bytes(),
            &self.bytes.to_le_bytes(),
            &self.plain_length.to_le_bytes(),
        ];
        let bytes = fields.iter().copied().flatten();
        said.iter_mut()
            .zip(bytes)
            .for_each(|(to, from)| *to = *from);
        let checksum = checksum(&said, body).to_le_bytes();
        said[8..16].copy_from_slice(&checksum);
        said
    }

    /// Parses a header; `None` if the bytes are not one.
    pub(super) fn read(said: &[u8; HEADER_BYTES]) -> Option<Self> {
        let (magic, rest) = said.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (_checksum, rest) = rest.split_first_chunk::<8>()?;
        let (partition, rest) = rest.split_first_chunk()?;
        let (first_offset, rest) = rest.split_first_chunk()?;
        let (next_offset, rest) = rest.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let (bytes, rest) = rest.split_first_chunk()?;
        let (plain_length, _) = rest.split_first_chunk()?;
        (*magic == MAGIC).then_some(Self {
            length: u32::from_le_bytes(*length),
            partition: i32::from_le_bytes(*partition),
            first_offset: i64::from_le_bytes(*first_offset),
            next_offset: i64::from_le_bytes(*next_offset),
            count: u32::from_le_bytes(*count),
            bytes: u32::from_le_bytes(*bytes),
            plain_length: u32::from_le_bytes(*plain_length),
        })
    }

    /// The messages of a frame.
    ///
    /// # Errors
    /// How the damage shows.
    pub(super) fn messages(
        self,
        said: &[u8; HEADER_BYTES],
        body: &[u8],
    ) -> Result<Messages, &'static str> {
        let mut unsigned = *said;
        unsigned[8..16].fill(0);
        if checksum(&unsigned, body).to_le_bytes() != said[8..16] {
            return Err("has a frame with a wrong checksum");
        }
        let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let plain = zstd::bulk::decompress(body, size(self.plain_length))
            .map_err(|_| "has a frame that cannot be decompressed")?;
        let place = (self.partition, self.first_offset, self.next_offset);
        let messages = Messages::decode(place, size(self.count), plain, size(self.bytes));
        messages.map_err(|_| "has a frame that does not hold messages")
    }
}

/// The checksum over the header without its checksum field, and the compressed messages.
fn checksum(unsigned: &[u8; HEADER_BYTES], body: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot(unsigned), body)
}
