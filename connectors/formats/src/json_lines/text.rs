//! Columns of text and of bytes.

use arrow::array::builder::NullBufferBuilder;
use arrow::array::{ArrayRef, GenericBinaryArray, GenericStringArray, OffsetSizeTrait};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::column::{JsonColumn, JsonRules, Pushed};
use super::error::JsonError;
use super::parser::Parser;
use crate::options::{BytesFormat, Scalars};
use crate::scalar::reason;

/// Text, with the end of each value.
pub(super) struct JsonTextColumn<O> {
    data_type: DataType,
    scalars: Scalars,
    bytes: Vec<u8>,
    ends: JsonOffsets<O>,
    valid: NullBufferBuilder,
}

impl<O: OffsetSizeTrait> JsonTextColumn<O> {
    pub(super) fn new(data_type: &DataType, scalars: Scalars) -> Self {
        Self {
            data_type: data_type.clone(),
            scalars,
            bytes: Vec::new(),
            ends: JsonOffsets::default(),
            valid: NullBufferBuilder::new(0),
        }
    }

    pub(super) fn push_text(&mut self, text: &str) -> Result<(), JsonError> {
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends.push(self.bytes.len())?;
        self.valid.append_non_null();
        Ok(())
    }
}

impl<O: OffsetSizeTrait> JsonColumn for JsonTextColumn<O> {
    fn push(&mut self, parser: &mut Parser<'_>) -> Result<Pushed, JsonError> {
        match (self.scalars, parser.peek()) {
            (Scalars::Convert, Some(b'-' | b'0'..=b'9' | b't' | b'f')) => {
                let written = parser.raw()?.unwrap_or_default();
                self.push_text(written)?;
            }
            _ => {
                let text = parser.string()?;
                self.push_text(&text)?;
            }
        }
        Ok(Pushed::Value)
    }

    fn push_null(&mut self) {
        self.ends.repeat();
        self.valid.append_null();
    }

    fn truncate(&mut self, len: usize) {
        self.bytes.truncate(self.ends.truncate(len));
        self.valid.truncate(len);
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let bytes = Buffer::from_vec(std::mem::take(&mut self.bytes));
        let text =
            GenericStringArray::<O>::try_new(self.ends.finish(), bytes, self.valid.finish())?;
        arrow::compute::cast(&text, &self.data_type)
    }
}

/// Bytes, which JSON holds as text.
pub(super) struct JsonBytesColumn<O> {
    data_type: DataType,
    format: BytesFormat,
    bytes: Vec<u8>,
    ends: JsonOffsets<O>,
    valid: NullBufferBuilder,
}

impl<O: OffsetSizeTrait> JsonBytesColumn<O> {
    pub(super) fn new(data_type: &DataType, rules: &JsonRules) -> Self {
        Self {
            data_type: data_type.clone(),
            format: rules.bytes,
            bytes: Vec::new(),
            ends: JsonOffsets::default(),
            valid: NullBufferBuilder::new(0),
        }
    }
}

impl<O: OffsetSizeTrait> JsonColumn for JsonBytesColumn<O> {
    fn push(&mut self, parser: &mut Parser<'_>) -> Result<Pushed, JsonError> {
        let text = parser.string()?;
        let (decoded, why) = match self.format {
            BytesFormat::Hex => (hexadecimal(&text), "it is not hexadecimal"),
            BytesFormat::Base64 => (STANDARD.decode(text.as_bytes()).ok(), "it is not Base64"),
            BytesFormat::Text => (Some(text.as_bytes().to_vec()), ""),
        };
        let decoded = decoded
            .ok_or_else(|| JsonError::value(reason(text.as_bytes(), &self.data_type, why)))?;
        self.bytes.extend_from_slice(&decoded);
        self.ends.push(self.bytes.len())?;
        self.valid.append_non_null();
        Ok(Pushed::Value)
    }

    fn push_null(&mut self) {
        self.ends.repeat();
        self.valid.append_null();
    }

    fn truncate(&mut self, len: usize) {
        self.bytes.truncate(self.ends.truncate(len));
        self.valid.truncate(len);
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let bytes = Buffer::from_vec(std::mem::take(&mut self.bytes));
        let bytes =
            GenericBinaryArray::<O>::try_new(self.ends.finish(), bytes, self.valid.finish())?;
        arrow::compute::cast(&bytes, &self.data_type)
    }
}

/// The bytes of hexadecimal digits, perhaps after `\x` or `0x`.
fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("\\x").or_else(|| text.strip_prefix("0x"));
    let digits = digits.unwrap_or(text).as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pair = |pair: &[u8]| match *pair {
        [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
        _ => None,
    };
    digits.chunks(2).map(pair).collect()
}

/// Where each value of variable length ends: Arrow's offsets.
pub(super) struct JsonOffsets<O>(Vec<O>);

impl<O: OffsetSizeTrait> Default for JsonOffsets<O> {
    fn default() -> Self {
        Self(vec![O::usize_as(0)])
    }
}

impl<O: OffsetSizeTrait> JsonOffsets<O> {
    /// Appends a value that ends at `end`.
    pub(super) fn push(&mut self, end: usize) -> Result<(), JsonError> {
        let end = O::from_usize(end).ok_or_else(|| {
            JsonError::value(
                "is beyond the 2 GiB that a batch of this column holds: make the blocks smaller",
            )
        })?;
        self.0.push(end);
        Ok(())
    }

    /// Appends an empty value.
    pub(super) fn repeat(&mut self) {
        self.0.push(self.last());
    }

    /// Keeps `len` values. Returns the end of the last one.
    pub(super) fn truncate(&mut self, len: usize) -> usize {
        self.0.truncate(len + 1);
        self.last().as_usize()
    }

    pub(super) fn finish(&mut self) -> OffsetBuffer<O> {
        OffsetBuffer::new(std::mem::take(self).0.into())
    }

    fn last(&self) -> O {
        self.0.last().copied().unwrap_or_default()
    }
}
