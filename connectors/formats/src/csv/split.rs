//! Finds the fields of many rows at once.
//!
//! A block without quotes (nearly all are) is split 64 bytes at a time by bit masks; a block with quotes is split
//! record by record. Both ways fill the same [`Index`]; tests check that they agree.

use std::ops::Range;

use super::index::{Index, position, size};
use super::mask;
use super::record::{Dialect, QuoteFault, Record};
use crate::options::RaggedRows;

/// A record that is not a row.
#[derive(Debug)]
pub(super) struct Misfit {
    /// Its bytes, without the line end.
    pub bytes: Range<usize>,
    /// Why it is not a row.
    pub why: MisfitReason,
}

/// Why a record is not a row.
#[derive(Clone, Copy, Debug)]
pub(super) enum MisfitReason {
    /// A field breaches the quoting rules.
    Quotes(QuoteFault),
    /// It has this number of fields, which is not the expected number.
    Fields(usize),
}

/// Splits a block into rows of `fields` fields each.
pub(super) struct Splitter<'a> {
    bytes: &'a [u8],
    dialect: Dialect,
    fields: usize,
    ragged: RaggedRows,
    /// Whether the block is split record by record.
    by_record: bool,
    /// The number of bytes that are split.
    at: usize,
}

impl<'a> Splitter<'a> {
    pub(super) fn new(
        bytes: &'a [u8],
        at: usize,
        dialect: Dialect,
        fields: usize,
        ragged: RaggedRows,
    ) -> Self {
        let rest = bytes.get(at..).unwrap_or_default();
        Self {
            bytes,
            dialect,
            fields,
            ragged,
            by_record: ragged != RaggedRows::Refuse || dialect.is_special(rest),
            at,
        }
    }

    /// The quote, if the block may contain one.
    pub(super) fn quote(&self) -> Option<u8> {
        self.dialect.quote.filter(|_| self.by_record)
    }

    /// The number of bytes that are split.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Puts the next rows into `index`, about `rows` of them, and records that are not rows into `misfits`. Returns
    /// `false` at the end of the block.
    pub(super) fn fill(
        &mut self,
        index: &mut Index,
        rows: usize,
        misfits: &mut Vec<Misfit>,
    ) -> bool {
        if self.at >= self.bytes.len() {
            return false;
        }
        if self.by_record {
            self.fill_by_record(index, rows, misfits);
        } else {
            self.fill_by_mask(index, rows, misfits);
        }
        true
    }

    fn fill_by_record(&mut self, index: &mut Index, rows: usize, misfits: &mut Vec<Misfit>) {
        index.after.clear();
        index.rows.clear();
        let delimiter_bytes = self.dialect.delimiter.len();
        index.delimiter_bytes = delimiter_bytes;
        // The limit counts misfits too, so that a block with nothing else is also split in steps.
        for _ in 0..rows {
            let begin = index.after.len();
            index.after.push(position(self.at));
            let after = &mut index.after;
            let Some(record) = self.dialect.record(self.bytes, self.at, true, |end| {
                after.push(position(end + delimiter_bytes));
            }) else {
                index.after.truncate(begin);
                return;
            };
            let found = index.after.len() - begin - 1;
            let is_blank = record.end == self.at && self.fields > 1;
            if record.fault.is_none() && !record.is_comment && !is_blank && self.fit(index, begin) {
                index.rows.push(position(begin));
            } else {
                index.after.truncate(begin);
                if !record.is_comment && !is_blank {
                    misfits.push(self.misfit(&record, found));
                }
            }
            self.at = record.next;
        }
    }

    /// Whether the row whose positions begin at `begin` has the expected number of fields, after cutting or padding
    /// if the options allow it.
    fn fit(&self, index: &mut Index, begin: usize) -> bool {
        let expected = begin + 1 + self.fields;
        if index.after.len() > expected && self.ragged.cuts() {
            index.after.truncate(expected);
        }
        if index.after.len() < expected && self.ragged.pads() {
            // A missing field ends where the field before it ends.
            let last = index.after.last().copied().unwrap_or_default();
            index.after.resize(expected, last);
        }
        index.after.len() == expected
    }

    fn misfit(&self, record: &Record, found: usize) -> Misfit {
        Misfit {
            bytes: self.at..record.end,
            why: match record.fault {
                Some(fault) => MisfitReason::Quotes(fault),
                None => MisfitReason::Fields(found),
            },
        }
    }

    fn fill_by_mask(&mut self, index: &mut Index, rows: usize, misfits: &mut Vec<Misfit>) {
        // The last call discarded the positions after its last complete line. They are found again.
        index.lines.clear();
        index.rows.clear();
        match index.after.first_mut() {
            Some(first) => *first = position(self.at),
            None => index.after.push(position(self.at)),
        }
        let (at, known) = mask::split(
            self.bytes,
            self.at,
            self.dialect.delimiter.first(),
            rows,
            index,
        );
        if at == self.bytes.len() && self.bytes.last() != Some(&b'\n') {
            index.lines.push(position(known));
            index.after.truncate(known);
            index.after.push(position(at + 1));
        }
        self.take_lines(index, misfits);
    }

    /// Makes rows of the lines that have the expected number of fields.
    fn take_lines(&mut self, index: &mut Index, misfits: &mut Vec<Misfit>) {
        let mut begin = 0;
        for line in &index.lines {
            let line = size(*line);
            let found = line - begin;
            if found == self.fields && found > 1 {
                index.rows.push(position(begin));
            } else {
                let row = position_at(&index.after, begin)..position_at(&index.after, line) - 1;
                let bytes = row.start..row.end - self.carriage_return(&row);
                if bytes.is_empty() && self.fields > 1 {
                    // A blank line is skipped. Only in a file of one column is it a row.
                } else if found == self.fields {
                    index.rows.push(position(begin));
                } else {
                    misfits.push(Misfit {
                        bytes,
                        why: MisfitReason::Fields(found),
                    });
                }
            }
            begin = line;
        }
        self.at = position_at(&index.after, begin).min(self.bytes.len());
    }

    fn carriage_return(&self, row: &Range<usize>) -> usize {
        usize::from(
            self.bytes
                .get(row.clone())
                .is_some_and(|row| row.ends_with(b"\r")),
        )
    }
}

fn position_at(after: &[u32], at: usize) -> usize {
    after.get(at).map_or(0, |position| size(*position))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::csv::record::Mark;

    fn rows(
        bytes: &[u8],
        fields: usize,
        by_record: bool,
        step: usize,
    ) -> (Vec<Vec<Vec<u8>>>, Vec<String>) {
        let dialect = Dialect {
            delimiter: Mark::new(b",").unwrap(),
            quote: Some(b'"'),
            escape: None,
            comment: None,
        };
        let mut splitter = Splitter::new(bytes, 0, dialect, fields, RaggedRows::Refuse);
        splitter.by_record |= by_record;
        let (mut index, mut misfits, mut rows) = (Index::default(), Vec::new(), Vec::new());
        while splitter.fill(&mut index, step, &mut misfits) {
            let first = rows.len();
            rows.resize(first + index.len(), Vec::new());
            for field in 0..fields {
                for (row, range) in rows[first..].iter_mut().zip(index.ranges(field)) {
                    row.push(bytes[range].to_vec());
                }
            }
        }
        (
            rows,
            misfits.iter().map(|misfit| format!("{misfit:?}")).collect(),
        )
    }

    #[test]
    fn both_splits_agree() {
        let mut state = 7_u32;
        for length in 0..700 {
            let bytes: Vec<u8> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    [b'a', b'b', b',', b',', b'\n', b'\r', 0xc3, b'z']
                        [usize::from(state.to_le_bytes()[3]) % 8]
                })
                .collect();
            for fields in 1..4 {
                for step in [1, 3, 1000] {
                    assert_eq!(
                        rows(&bytes, fields, false, step),
                        rows(&bytes, fields, true, 1000),
                        "{bytes:?}"
                    );
                }
            }
        }
    }
}
