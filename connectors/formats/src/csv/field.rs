//! The fields of a block's rows, column by column, and what takes them.

use std::mem;

use arrow::array::{ArrayRef, NullBufferBuilder};
use arrow::buffer::NullBuffer;
use arrow::error::ArrowError;

use super::record::unquote;
use super::split::Index;
use crate::scalar::{BadValue, FieldText};

/// Rows of a block whose fields are known.
pub(super) struct Rows<'a> {
    pub bytes: &'a [u8],
    pub index: &'a Index,
    /// Fields in a row.
    pub fields: usize,
    /// The quote, when the block has any.
    pub quote: Option<u8>,
    /// The unquoted text that means NULL.
    pub null: &'a [u8],
}

/// What a column says of a field it cannot take.
pub(super) type Refuse<'a> = dyn FnMut(usize, Option<&[u8]>, BadValue) + 'a;

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
                    Some(unquoted(room, text, quote, &mut scratch))
                }
                _ if text == self.null => None,
                _ => Some(FieldText { text, room }),
            };
            take(row, value);
        }
    }
}

/// The value of a quoted field. Apart from the loop, which has few registers as it is.
#[inline(never)]
fn unquoted<'a>(
    room: &'a [u8],
    field: &'a [u8],
    quote: u8,
    scratch: &'a mut Vec<u8>,
) -> FieldText<'a> {
    let text = unquote(field, quote, scratch);
    // Without doubled quotes it is the text in its place.
    let behind = room.get(1..).unwrap_or_default();
    let in_place = std::ptr::eq(behind.as_ptr(), text.as_ptr());
    FieldText {
        text,
        room: if in_place { behind } else { text },
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

    pub(super) fn finish(mut self) -> Option<NullBuffer> {
        self.nulls.append_n_non_nulls(self.run);
        self.nulls.finish()
    }
}

/// A column of a block, growing.
pub(super) trait Build {
    /// Appends each row's `field`. One that is refused is appended as NULL: its row will be left out.
    fn take(&mut self, rows: &Rows<'_>, field: usize, refuse: &mut Refuse<'_>);

    /// The array of all that was taken.
    ///
    /// # Errors
    /// When a text is not UTF-8 and texts were not tested one by one.
    fn finish(self: Box<Self>) -> Result<ArrayRef, ArrowError>;
}

/// The value of a field, or `None` when it is NULL or refused.
#[inline]
pub(super) fn take_parsed<T>(
    row: usize,
    field: Option<FieldText<'_>>,
    parse: impl Fn(FieldText<'_>) -> Result<T, BadValue>,
    refuse: &mut Refuse<'_>,
) -> Option<T> {
    let Some(value) = field else {
        refuse(row, None, "");
        return None;
    };
    parse(value)
        .inspect_err(|why| refuse(row, Some(value.text), why))
        .ok()
}
