//! Columns of text, plain or as dictionary codes.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, DictionaryArray, GenericStringArray, OffsetSizeTrait, UInt32Array,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::dictionary::{Dictionary, Refusal};
use super::field::{Build, Refuse, Rows, Validity, take_parsed};
use crate::scalar::{BadValue, FieldText};

/// Why a text is refused.
pub(super) const NOT_UTF8: BadValue =
    "it is not valid UTF-8; if the file is in another encoding, set the option encoding";

/// A column of text, or of binary values given as text.
pub(super) struct Texts<O> {
    data_type: DataType,
    check_utf8: bool,
    offsets: Vec<O>,
    bytes: Vec<u8>,
    validity: Validity,
}

impl<O: OffsetSizeTrait> Texts<O> {
    pub(super) fn new(rows: usize, check_utf8: bool, data_type: DataType) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(O::zero());
        Self {
            data_type,
            check_utf8,
            offsets,
            bytes: Vec::with_capacity(rows * 12),
            validity: Validity::new(rows),
        }
    }

    fn checked(&self, text: &[u8]) -> Result<(), BadValue> {
        if self.check_utf8 && std::str::from_utf8(text).is_err() {
            return Err(NOT_UTF8);
        }
        Ok(())
    }

    /// Appends a text. A short text is copied as a fixed number of bytes, without a look at its length, and the
    /// surplus is cut off.
    #[inline]
    fn append(&mut self, value: FieldText<'_>) {
        const SHORT_BYTES: usize = 24;
        match value.room.first_chunk::<SHORT_BYTES>() {
            Some(bytes) if value.text.len() <= SHORT_BYTES => {
                let end = self.bytes.len() + value.text.len();
                self.bytes.extend_from_slice(bytes);
                self.bytes.truncate(end);
            }
            _ => self.bytes.extend_from_slice(value.text),
        }
    }
}

impl<O: OffsetSizeTrait> Texts<O> {
    #[inline]
    fn push(
        &mut self,
        rows: &Rows<'_>,
        row: usize,
        field: Option<FieldText<'_>>,
        refuse: &mut Refuse<'_>,
    ) {
        let taken = take_parsed(rows, row, field, |value| self.checked(value.text), refuse);
        if let (Some(()), Some(value)) = (taken, field) {
            self.append(value);
        }
        self.end_row(taken.is_some());
    }

    #[inline]
    fn end_row(&mut self, valid: bool) {
        self.offsets.push(O::usize_as(self.bytes.len()));
        self.validity.append(valid);
    }
}

impl<O: OffsetSizeTrait> Build for Texts<O> {
    fn take(&mut self, rows: &Rows<'_>, field: usize, refuse: &mut Refuse<'_>) {
        rows.each(field, |row, field| self.push(rows, row, field, refuse));
    }

    fn forget(&mut self) {
        self.offsets.truncate(1);
        self.bytes.clear();
        self.validity.forget();
    }

    fn finish(self: Box<Self>) -> Result<ArrayRef, ArrowError> {
        // Offsets ascend, because they are lengths of one growing buffer. A block's size limit keeps them below 2
        // GiB.
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        let array =
            GenericStringArray::<O>::try_new(offsets, self.bytes.into(), self.validity.finish())?;
        if *array.data_type() == self.data_type {
            return Ok(Arc::new(array));
        }
        // Views and binary arrays share the bytes.
        cast(&array, &self.data_type)
    }
}

/// Text as codes of a dictionary. If the dictionary is given up, the whole block becomes plain text.
pub(super) struct Coded<'a> {
    dictionary: &'a mut Dictionary,
    check_utf8: bool,
    /// Expected number of rows.
    rows: usize,
    codes: Vec<u32>,
    validity: Validity,
    /// All rows, once the dictionary has given up.
    plain: Option<Texts<i32>>,
}

impl<'a> Coded<'a> {
    pub(super) fn new(rows: usize, check_utf8: bool, dictionary: &'a mut Dictionary) -> Self {
        Self {
            dictionary,
            check_utf8,
            rows,
            codes: Vec::with_capacity(rows),
            validity: Validity::new(rows),
            plain: None,
        }
    }

    /// Handles everything that is not a known value: new values, NULL, refused fields, and plain text.
    #[inline(never)]
    fn push(
        &mut self,
        rows: &Rows<'_>,
        row: usize,
        field: Option<FieldText<'_>>,
        refuse: &mut Refuse<'_>,
    ) {
        if let Some(plain) = &mut self.plain {
            return plain.push(rows, row, field, refuse);
        }
        let code = match field.map(|value| self.dictionary.add(value)) {
            Some(Ok(code)) => Some(code),
            Some(Err(Refusal::Full)) => {
                return self.unpacked().push(rows, row, field, refuse);
            }
            Some(Err(Refusal::NotUtf8)) => {
                refuse(row, Some(NOT_UTF8));
                None
            }
            None => {
                refuse(row, None);
                None
            }
        };
        self.codes.push(code.unwrap_or_default());
        self.validity.append(code.is_some());
    }

    /// Gives the dictionary up. Returns the rows so far as plain text.
    #[cold]
    fn unpacked(&mut self) -> &mut Texts<i32> {
        let mut plain = Texts::new(
            self.rows.max(self.codes.len()),
            self.check_utf8,
            DataType::Utf8,
        );
        let validity = std::mem::replace(&mut self.validity, Validity::new(0)).finish();
        for (row, code) in self.codes.drain(..).enumerate() {
            let text = validity
                .as_ref()
                .is_none_or(|valid| valid.is_valid(row))
                .then(|| self.dictionary.text(code));
            if let Some(text) = text {
                plain.append(FieldText { text, room: text });
            }
            plain.end_row(text.is_some());
        }
        self.dictionary.give_up();
        self.plain.insert(plain)
    }
}

impl Build for Coded<'_> {
    fn take(&mut self, rows: &Rows<'_>, field: usize, refuse: &mut Refuse<'_>) {
        rows.each(field, |row, field| {
            match field.and_then(|value| self.dictionary.find(value)) {
                Some(code) => {
                    self.codes.push(code);
                    self.validity.append(true);
                }
                None => self.push(rows, row, field, refuse),
            }
        });
        if self.plain.is_none() && self.dictionary.is_hopeless(self.codes.len()) {
            self.unpacked();
        }
    }

    fn forget(&mut self) {
        self.codes.clear();
        self.validity.forget();
        if let Some(plain) = &mut self.plain {
            plain.forget();
        }
    }

    fn finish(mut self: Box<Self>) -> Result<ArrayRef, ArrowError> {
        if self.plain.is_none() && !self.dictionary.is_worth_it(self.codes.len()) {
            self.unpacked();
        }
        if let Some(plain) = self.plain {
            return Box::new(plain).finish();
        }
        let codes = UInt32Array::try_new(self.codes.into(), self.validity.finish())?;
        Ok(Arc::new(DictionaryArray::try_new(
            codes,
            self.dictionary.values()?,
        )?))
    }
}
