//! Frames of stored text: a header of fixed size, then a compressed block of the text.
//!
//! | bytes | little-endian |
//! |---|---|
//! | 4 | `TWK1` for text packed by columns, `TWK2` for zstd |
//! | 4 | length of what follows the header |
//! | 4 | length of the text |
//! | 8 | XXH3 of the text |
//!
//! The checksum is that of the text, so that it also detects if packing and unpacking disagree.

use std::fs::File;
use std::io::{self, BufReader, Read};

use memchr::memrchr;
use twox_hash::XxHash3_64;

use tidewater_formats::csv::packed;

/// The level of zstd. It compresses 115 MB of card transactions to 16 MB in 0.17 s. Level -1 gives 20 MB in the same
/// time, level -7 39 MB in 0.15 s, level 3 17 MB in 0.25 s.
const LEVEL: i32 = 1;

/// The most text of a frame, which stays in a processor's cache while it is packed.
const TEXT_BYTES: usize = 1 << 20;

const PACKED: [u8; 4] = *b"TWK1";
const ZSTD: [u8; 4] = *b"TWK2";

const HEADER_BYTES: usize = 20;

/// Makes frames.
pub(super) struct ContentEncoder {
    zstd: zstd::bulk::Compressor<'static>,
}

impl ContentEncoder {
    pub(super) fn new() -> io::Result<Self> {
        let zstd = zstd::bulk::Compressor::new(LEVEL)?;
        Ok(Self { zstd })
    }

    /// The frames of a block of text.
    pub(super) fn frames(&mut self, text: &[u8]) -> io::Result<Vec<u8>> {
        let mut frames = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            // Cut after a line, if one ends here.
            let most = rest.get(..TEXT_BYTES).unwrap_or(rest);
            let line = memrchr(b'\n', most).map_or(most.len(), |end| end + 1);
            let (text, behind) = rest.split_at(line);
            self.append(&mut frames, text)?;
            rest = behind;
        }
        Ok(frames)
    }

    fn append(&mut self, frames: &mut Vec<u8>, text: &[u8]) -> io::Result<()> {
        let (magic, body) = match packed::pack(text, |bytes| self.zstd.compress(bytes))? {
            Some(body) => (PACKED, body),
            None => (ZSTD, self.zstd.compress(text)?),
        };
        let length =
            |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| invalid("a block beyond 4 GiB"));
        frames.extend_from_slice(&magic);
        frames.extend_from_slice(&length(&body)?.to_le_bytes());
        frames.extend_from_slice(&length(text)?.to_le_bytes());
        frames.extend_from_slice(&XxHash3_64::oneshot(text).to_le_bytes());
        frames.extend_from_slice(&body);
        Ok(())
    }
}

/// Reads frames.
pub(super) struct Frames {
    file: BufReader<File>,
    body: Vec<u8>,
}

impl Frames {
    pub(super) fn new(file: File) -> Self {
        Self {
            file: BufReader::new(file),
            body: Vec::new(),
        }
    }

    /// The text of the next frame; `None` after the last one. A text of more than `bytes_max` bytes is not
    /// decompressed.
    ///
    /// # Errors
    /// When the system fails, or the frame is damaged. The error for damage has no number of the operating system.
    pub(super) fn next(&mut self, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        self.body.clear();
        if self.read(HEADER_BYTES)? == 0 {
            return Ok(None);
        }
        let (magic, length, text_bytes, checksum) =
            header(&self.body).ok_or_else(|| invalid("a frame without its header"))?;
        if u64::from(text_bytes) > bytes_max {
            return Err(invalid("a frame of more text than there was"));
        }
        let (length, text_bytes) = (size(length)?, size(text_bytes)?);
        self.body.clear();
        if self.read(length)? < length {
            return Err(invalid("a frame that is cut short"));
        }
        let unzstd = |bytes: &[u8], length| zstd::bulk::decompress(bytes, length).ok();
        let text = match magic {
            PACKED => packed::unpack(&self.body, text_bytes, unzstd),
            ZSTD => unzstd(&self.body, text_bytes),
            _ => None,
        };
        let text =
            text.filter(|text| text.len() == text_bytes && XxHash3_64::oneshot(text) == checksum);
        text.map(Some)
            .ok_or_else(|| invalid("a frame of another text"))
    }

    /// Appends up to `length` bytes to the body. Returns how many.
    fn read(&mut self, length: usize) -> io::Result<usize> {
        let limit = u64::try_from(length).unwrap_or(u64::MAX);
        self.file.by_ref().take(limit).read_to_end(&mut self.body)
    }
}

fn header(bytes: &[u8]) -> Option<([u8; 4], u32, u32, u64)> {
    let (magic, rest) = bytes.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (text_bytes, rest) = rest.split_first_chunk()?;
    let (checksum, _) = rest.split_first_chunk()?;
    let checksum = u64::from_le_bytes(*checksum);
    Some((
        *magic,
        u32::from_le_bytes(*length),
        u32::from_le_bytes(*text_bytes),
        checksum,
    ))
}

fn size(length: u32) -> io::Result<usize> {
    usize::try_from(length).map_err(|_| invalid("a frame that is too large"))
}

fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
