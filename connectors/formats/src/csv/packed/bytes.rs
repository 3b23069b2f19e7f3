//! A column of arbitrary fields: their lengths, and their bytes, compressed by the given function.

use std::io;

use super::{Column, append_length, bits, take_bytes, take_length};
use crate::scalar::FieldText;

pub(super) const KIND: u8 = 3;

/// Packs any fields.
#[derive(Default)]
pub(super) struct Packer {
    lengths: Vec<u64>,
    bytes: Vec<u8>,
}

impl Packer {
    pub(super) fn push(&mut self, field: &FieldText<'_>) -> bool {
        self.lengths.push(field.text.len() as u64);
        self.bytes.extend_from_slice(field.text);
        true
    }

    /// Bytes of the fields so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn finish(
        self,
        packed: &mut Vec<u8>,
        mut compress: impl FnMut(&[u8]) -> io::Result<Vec<u8>>,
    ) -> io::Result<()> {
        let compressed = compress(&self.bytes)?;
        packed.push(KIND);
        bits::append(packed, &self.lengths);
        append_length(packed, compressed.len());
        packed.extend_from_slice(&compressed);
        Ok(())
    }
}

pub(super) fn unpack(
    rest: &mut &[u8],
    rows: usize,
    bytes_max: usize,
    decompress: impl Fn(&[u8], usize) -> Option<Vec<u8>>,
) -> Option<Unpacked> {
    let lengths = bits::take(rest, rows)?;
    let compressed = take_length(rest)?;
    let compressed = take_bytes(rest, compressed)?;
    let length = lengths
        .iter()
        .try_fold(0_u64, |sum, length| sum.checked_add(*length))?;
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length <= bytes_max)?;
    let bytes = decompress(compressed, length)?;
    Some(Unpacked {
        lengths: lengths.into_iter(),
        bytes,
        at: 0,
    })
}

/// Unpacks such a column.
pub(super) struct Unpacked {
    lengths: std::vec::IntoIter<u64>,
    bytes: Vec<u8>,
    at: usize,
}

impl Column for Unpacked {
    fn append(&mut self, text: &mut Vec<u8>) -> Option<()> {
        let length = usize::try_from(self.lengths.next()?).ok()?;
        let behind = self.at.checked_add(length)?;
        text.extend_from_slice(self.bytes.get(self.at..behind)?);
        self.at = behind;
        Some(())
    }
}
