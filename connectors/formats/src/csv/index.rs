//! The positions of the fields of many rows.

use std::ops::Range;

/// The positions of the fields of some rows. Every row has the same number of fields.
pub(super) struct Index {
    /// For each row its start, followed by the end of each of its fields plus the length of a delimiter.
    pub(super) after: Vec<u32>,
    /// For each row, the index in `after` of its first position.
    pub(super) rows: Vec<u32>,
    /// In a block without quotes: for each line end, its index in `after`.
    pub(super) lines: Vec<u32>,
    /// Length of a delimiter in bytes.
    pub(super) delimiter_bytes: usize,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            after: Vec::new(),
            rows: Vec::new(),
            lines: Vec::new(),
            delimiter_bytes: 1,
        }
    }
}

impl Index {
    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The bytes of each row's `field`. Those of the last field may end with the CR of a line end. For a field that
    /// the row does not have, the end is before the start.
    pub(super) fn ranges(&self, field: usize) -> impl Iterator<Item = Range<usize>> {
        self.rows.iter().map(move |row| self.field(*row, field))
    }

    /// The bytes of a row's `field`.
    pub(super) fn range(&self, row: usize, field: usize) -> Range<usize> {
        self.rows
            .get(row)
            .map_or(0..0, |row| self.field(*row, field))
    }

    #[inline]
    fn field(&self, row: u32, field: usize) -> Range<usize> {
        let at = size(row) + field;
        match self.after.get(at..at + 2) {
            Some([start, after]) => size(*start)..size(*after).saturating_sub(self.delimiter_bytes),
            _ => 0..0,
        }
    }

    /// The bytes of a whole row.
    pub(super) fn row(&self, row: usize, fields: usize) -> Range<usize> {
        let at = self.rows.get(row).map_or(0, |at| size(*at));
        let position = |at: usize| self.after.get(at).map_or(0, |position| size(*position));
        position(at)..position(at + fields).saturating_sub(self.delimiter_bytes)
    }
}

/// A position in a block. Blocks are far smaller than 4 GiB, since the reader limits records to 64 MiB.
pub(super) fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// A position as an index.
pub(super) fn size(position: u32) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}
