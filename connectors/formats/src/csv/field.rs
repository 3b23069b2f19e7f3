//! The fields of a block's rows, column by column, and what takes them.

use std::mem;
use std::ops::Range;

use arrow::array::{ArrayRef, NullBufferBuilder};
use arrow::buffer::NullBuffer;
use arrow::error::ArrowError;

use super::record::Dialect;
use super::split::Index;
use crate::scalar::{BadValue, FieldText};

/// Rows of a block whose fields are known.
pub(super) struct Rows<'a> {
    pub bytes: &'a [u8],
    /// The bytes before line ends were unified, where that made a difference.
    pub original: Option<&'a [u8]>,
    pub index: &'a Index,
    /// Fields in a row.
    pub fields: usize,
    /// The quote, when the block may have any.
    pub quote: Option<u8>,
    pub dialect: Dialect,
    /// The unquoted text that means NULL, the first of all.
    pub null: &'a [u8],
    /// The others.
    pub other_nulls: &'a [Vec<u8>],
    /// Whether fields may be escaped or missing, or have other marks of NULL.
    pub may_be_rare: bool,
}

/// Hears of a row's field that a column cannot take: of NULL, or of a bad value.
pub(super) type Refuse<'a> = dyn FnMut(usize, Option<BadValue>) + 'a;

impl Rows<'_> {
    /// Hands each row's `field` to `take`, `None` being NULL.
    pub(super) fn each(&self, field: usize, mut take: impl FnMut(usize, Option<FieldText<'_>>)) {
        let last = field + 1 == self.fields;
        let mut scratch = Vec::new();
        for (row, range) in self.index.ranges(field).enumerate() {
            let room = self.bytes.get(range.start..).unwrap_or_default();
            let mut text = room.get(..range.len()).unwrap_or_default();
            if last {
                text = text.strip_suffix(b"\r").unwrap_or(text);
            }
            // One call of `take`, so that it is compiled into the loop.
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

    /// The value of a quoted field. Apart from the loop, which has few registers as it is.
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
        // Without doubled quotes it is the text in its place.
        let behind = room.get(1..).unwrap_or_default();
        let in_place = std::ptr::eq(behind.as_ptr(), text.as_ptr());
        FieldText {
            text,
            room: if in_place { behind } else { text },
        }
    }

    /// The value of a field that is not quoted, where it may be escaped or missing, or another mark of NULL.
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

    /// Whether a text that is no value of its column means NULL: a blank one or a mark of NULL, though it be quoted.
    pub(super) fn means_null(&self, text: &[u8]) -> bool {
        let text = text.trim_ascii();
        text.is_empty() || text == self.null || self.other_nulls.iter().any(|null| null == text)
    }
}

/// Which rows of a column hold a value. Runs of values, the usual case, cost an addition each.
pub(super) struct Validity {
    nulls: NullBufferBuilder,
    /// Values at the end that `nulls` has not been told of.
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

/// A column of a block, growing.
pub(super) trait Build {
    /// Appends each row's `field`. One that is refused is appended as NULL: its row will be left out.
    fn take(&mut self, rows: &Rows<'_>, field: usize, refuse: &mut Refuse<'_>);

    /// Forgets the rows so far: of a column that is checked and not read.
    fn forget(&mut self);

    /// The array of all that was taken.
    ///
    /// # Errors
    /// When a text is not UTF-8 and texts were not tested one by one.
    fn finish(self: Box<Self>) -> Result<ArrayRef, ArrowError>;
}

/// The value of a field, or `None` when it is NULL or refused.
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
