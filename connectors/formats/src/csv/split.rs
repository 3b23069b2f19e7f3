//! Finds the fields of many rows at once.
//!
//! A block without quotes (nearly all are) is split 64 bytes at a time by bit masks; one with quotes record by
//! record. Both fill the same [`Index`], and the tests hold them to the same answer.

use std::ops::Range;

use memchr::memchr;

use super::mask;
use super::record::{Dialect, Record};

/// Where the fields of some rows are. Every row has the same number of fields.
#[derive(Default)]
pub(super) struct Index {
    /// Positions one behind the byte that ends a field, or where a row begins.
    pub(super) after: Vec<u32>,
    /// For each row, where in `after` its own positions begin: its start, then one for each field.
    rows: Vec<u32>,
    /// In the block without quotes: for each line end, its place in `after`.
    pub(super) lines: Vec<u32>,
}

impl Index {
    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The bytes of each row's `field`; those of the last one may end in the CR of a line end.
    pub(super) fn ranges(&self, field: usize) -> impl Iterator<Item = Range<usize>> {
        self.rows.iter().map(move |row| {
            let at = size(*row) + field;
            match self.after.get(at..at + 2) {
                Some([start, after]) => size(*start)..size(*after).saturating_sub(1),
                _ => 0..0,
            }
        })
    }

    /// The bytes of a whole row.
    pub(super) fn row(&self, row: usize, fields: usize) -> Range<usize> {
        let at = self.rows.get(row).map_or(0, |at| size(*at));
        let position = |at: usize| self.after.get(at).map_or(0, |position| size(*position));
        position(at)..position(at + fields).saturating_sub(1)
    }
}

/// A record that is not a row: what the splitter tells of it.
#[derive(Debug)]
pub(super) struct Misfit {
    /// Its bytes, line end excluded.
    pub bytes: Range<usize>,
    /// The field at fault, where a single one is.
    pub field: Option<usize>,
    /// Why it is not a row.
    pub reason: String,
}

/// Splits a block into rows of `fields` fields each.
pub(super) struct Splitter<'a> {
    bytes: &'a [u8],
    dialect: Dialect,
    fields: usize,
    has_quotes: bool,
    /// What is split already.
    at: usize,
}

impl<'a> Splitter<'a> {
    pub(super) fn new(bytes: &'a [u8], dialect: Dialect, fields: usize) -> Self {
        let has_quotes = dialect
            .quote
            .is_some_and(|quote| memchr(quote, bytes).is_some());
        Self {
            bytes,
            dialect,
            fields,
            has_quotes,
            at: 0,
        }
    }

    /// The quote, when the block has any.
    pub(super) fn quote(&self) -> Option<u8> {
        self.dialect.quote.filter(|_| self.has_quotes)
    }

    /// Puts the next rows into `index`, about `rows` of them, and what is no row into `misfits`. `false` when
    /// nothing is left.
    pub(super) fn fill(
        &mut self,
        index: &mut Index,
        rows: usize,
        misfits: &mut Vec<Misfit>,
    ) -> bool {
        if self.at >= self.bytes.len() {
            return false;
        }
        if self.has_quotes {
            self.fill_by_record(index, rows, misfits);
        } else {
            self.fill_by_mask(index, rows, misfits);
        }
        true
    }

    fn fill_by_record(&mut self, index: &mut Index, rows: usize, misfits: &mut Vec<Misfit>) {
        index.after.clear();
        index.rows.clear();
        while index.rows.len() < rows {
            let begin = index.after.len();
            index.after.push(position(self.at));
            let after = &mut index.after;
            let Some(record) = self.dialect.record(self.bytes, self.at, true, |end| {
                after.push(position(end + 1));
            }) else {
                return;
            };
            let found = index.after.len() - begin - 1;
            if record.fault.is_none() && found == self.fields && record.end > self.at {
                index.rows.push(position(begin));
            } else {
                index.after.truncate(begin);
                misfits.extend(self.misfit(&record, found));
            }
            self.at = record.next;
        }
    }

    fn misfit(&self, record: &Record, found: usize) -> Option<Misfit> {
        let bytes = self.at..record.end;
        match &record.fault {
            Some(fault) => Some(Misfit {
                bytes,
                field: Some(fault.field),
                reason: fault.reason.to_owned(),
            }),
            None if bytes.is_empty() => None,
            None => Some(Misfit {
                bytes,
                field: None,
                reason: self.wrong_count(found),
            }),
        }
    }

    fn fill_by_mask(&mut self, index: &mut Index, rows: usize, misfits: &mut Vec<Misfit>) {
        // What the last call split beyond its last line end was not kept: it is split again.
        index.lines.clear();
        index.rows.clear();
        match index.after.first_mut() {
            Some(first) => *first = position(self.at),
            None => index.after.push(position(self.at)),
        }
        let (at, known) = mask::split(self.bytes, self.at, self.dialect.delimiter, rows, index);
        if at == self.bytes.len() && self.bytes.last() != Some(&b'\n') {
            index.lines.push(position(known));
            index.after.truncate(known);
            index.after.push(position(at + 1));
        }
        self.take_lines(index, misfits);
    }

    /// Makes rows of the lines that have as many fields as they must.
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
                if bytes.is_empty() {
                    // A blank line.
                } else if found == self.fields {
                    index.rows.push(position(begin));
                } else {
                    misfits.push(Misfit {
                        bytes,
                        field: None,
                        reason: self.wrong_count(found),
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

    fn wrong_count(&self, found: usize) -> String {
        let hint = if found > self.fields {
            "; is a delimiter in a field not quoted?"
        } else {
            ""
        };
        let s = if found == 1 { "" } else { "s" };
        format!(
            "the row has {found} field{s}, the file {}{hint}",
            self.fields
        )
    }
}

/// A position in a block. Blocks are far smaller than 4 GiB: the reader bounds records by 64 MiB.
pub(super) fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn position_at(after: &[u32], at: usize) -> usize {
    after.get(at).map_or(0, |position| size(*position))
}

/// As an index.
pub(super) fn size(position: u32) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(
        bytes: &[u8],
        fields: usize,
        by_record: bool,
        step: usize,
    ) -> (Vec<Vec<Vec<u8>>>, Vec<String>) {
        let dialect = Dialect {
            delimiter: b',',
            quote: Some(b'"'),
        };
        let mut splitter = Splitter::new(bytes, dialect, fields);
        splitter.has_quotes |= by_record;
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
