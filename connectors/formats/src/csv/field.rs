//! Passes the fields of a block's rows, column by column, to the builders of columns.

use std::mem;
use std::ops::Range;

use arrow::array::{ArrayRef, NullBufferBuilder};
use arrow::buffer::NullBuffer;
use arrow::error::ArrowError;

use super::index::Index;
use super::record::Dialect;
use crate::scalar::{BadValue, FieldText};

/// Rows of a block whose fields are known.
pub(super) struct Rows<'a> {
    pub bytes: &'a [u8],
    /// The bytes before line ends were unified, if that changed any.
    pub original: Option<&'a [u8]>,
    pub index: &'a Index,
    /// Fields in a row.
    pub fields: usize,
    /// The quote character, if the block may contain one.
    pub quote: Option<u8>,
    pub dialect: Dialect,
    /// The first unquoted text that means NULL.
    pub null: &'a [u8],
    /// The other texts that mean NULL.
    pub other_nulls: &'a [Vec<u8>],
    /// Whether fields may be escaped or missing, or there are other texts for NULL.
    pub may_be_rare: bool,
}

/// Called for a row's field that a column refuses: NULL, or a bad value.
pub(super) type Refuse<'a> = dyn FnMut(usize, Option<BadValue>) + 'a;

impl Rows<'_> {
    /// Passes each row's `field` to `take`; `None` is NULL.
    pub(super) fn each(&self, field: usize, mut take: impl FnMut(usize, Option<FieldText<'_>>)) {
        let last = field + 1 == self.fields;
        let mut scratch = Vec::new();
        for (row, range) in self.index.ranges(field).enumerate() {
            let room = self.bytes.get(range.start..).unwrap_or_default();
            let mut text = room.get(..range.len()).unwrap_or_default();
            if last {
                text = text.strip_suffix(b"\r").unwrap_or(text);
            }
            // There is only one call of `take`, so that it is inlined into the loop.
            let value = match self.quote {
                Some(quote) if text.first() == Some(&quote) => {
                    Some(self.quoted(range.start, room, text, &mut scratch))
                }
                _ if text == self.null => None,
                _ if self.may_be_rare => self.rare(range, room, text, &mut scratch),
                _ => Some(FieldText { text, room }),
            };
            take(row, value);
        }
    }

    /// The value of a quoted field. Not inlined, because the loop has few free registers.
    #[inline(never)]
    fn quoted<'b>(
        &'b self,
        start: usize,
        room: &'b [u8],
        field: &'b [u8],
        scratch: &'b mut Vec<u8>,
    ) -> FieldText<'b> {
        if let Some(original) = self.original {
            let field = original.get(start..start + field.len()).unwrap_or_default();
            let text = self.dialect.text(field, scratch);
            return FieldText { text, room: text };
        }
        let text = self.dialect.text(field, scratch);
        // Without doubled quotes, the value is a part of the block.
        let behind = room.get(1..).unwrap_or_default();
        let in_place = std::ptr::eq(behind.as_ptr(), text.as_ptr());
        FieldText {
            text,
            room: if in_place { behind } else { text },
        }
    }

    /// The value of an unquoted field that may be escaped, missing, or another text for NULL.
    #[inline(never)]
    fn rare<'b>(
        &'b self,
        range: Range<usize>,
        room: &'b [u8],
        field: &'b [u8],
        scratch: &'b mut Vec<u8>,
    ) -> Option<FieldText<'b>> {
        if range.end < range.start || self.other_nulls.iter().any(|null| null == field) {
            return None;
        }
        let text = self.dialect.text(field, scratch);
        let in_place = std::ptr::eq(room.as_ptr(), text.as_ptr());
        Some(FieldText {
            text,
            room: if in_place { room } else { text },
        })
    }

    /// Whether a text that is not a valid value of its column means NULL: a blank text, or a text for NULL even if it
    /// is quoted.
    pub(super) fn means_null(&self, text: &[u8]) -> bool {
        let text = text.trim_ascii();
        text.is_empty() || text == self.null || self.other_nulls.iter().any(|null| null == text)
    }
}

/// The validity of a column's rows. A run of values, the usual case, costs an addition each.
pub(super) struct Validity {
    nulls: NullBufferBuilder,
    /// Values at the end that are not yet in `nulls`.
    run: usize,
}

impl Validity {
    pub(super) fn new(rows: usize) -> Self {
        Self {
            nulls: NullBufferBuilder::new(rows),
            run: 0,
        }
    }

    #[inline]
    pub(super) fn append(&mut self, valid: bool) {
        if valid {
            self.run += 1;
        } else {
            self.append_null();
        }
    }

    #[cold]
    fn append_null(&mut self) {
        self.nulls.append_n_non_nulls(mem::take(&mut self.run));
        self.nulls.append_null();
    }

    pub(super) fn forget(&mut self) {
        *self = Self::new(0);
    }

    pub(super) fn finish(mut self) -> Option<NullBuffer> {
        self.nulls.append_n_non_nulls(self.run);
        self.nulls.finish()
    }
}

/// A column of a block under construction.
pub(super) trait Build {
    /// Appends each row's `field`. A refused field is appended as NULL, and its row is removed later.
    fn take(&mut self, rows: &Rows<'_>, field: usize, refuse: &mut Refuse<'_>);

    /// Drops the rows so far, for a column that is checked and not read.
    fn forget(&mut self);

    /// The array of all appended rows.
    ///
    /// # Errors
    /// When a text is not UTF-8 and texts were not tested separately.
    fn finish(self: Box<Self>) -> Result<ArrayRef, ArrowError>;
}

/// The value of a field, or `None` if it is NULL or refused.
#[inline]
pub(super) fn take_parsed<T>(
    rows: &Rows<'_>,
    row: usize,
    field: Option<FieldText<'_>>,
    parse: impl Fn(FieldText<'_>) -> Result<T, BadValue>,
    refuse: &mut Refuse<'_>,
) -> Option<T> {
    let Some(value) = field else {
        refuse(row, None);
        return None;
    };
    match parse(value) {
        Ok(value) => Some(value),
        Err(why) => {
            refuse(row, (!rows.means_null(value.text)).then_some(why));
            None
        }
    }
}
