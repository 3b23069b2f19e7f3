//! Where the fields of many rows are.

use std::ops::Range;

/// Where the fields of some rows are. Every row has the same number of fields.
pub(super) struct Index {
    /// Positions behind the delimiter that ends a field, or would, or where a row begins.
    pub(super) after: Vec<u32>,
    /// For each row, where in `after` its own positions begin: its start, then one for each field.
    pub(super) rows: Vec<u32>,
    /// In the block without quotes: for each line end, its place in `after`.
    pub(super) lines: Vec<u32>,
    /// Bytes of a delimiter, which follow a field.
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

    /// The bytes of each row's `field`; those of the last one may end in the CR of a line end. Of a field that the row
    /// does not have, the end comes before the start.
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

/// A position in a block. Blocks are far smaller than 4 GiB: the reader bounds records by 64 MiB.
pub(super) fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// As an index.
pub(super) fn size(position: u32) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}
