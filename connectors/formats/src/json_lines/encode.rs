//! Encodes rows as JSON Lines, one object a row. Every object has all columns (NULL as `null`), so that the first
//! line names all columns.
//!
//! Timestamps and dates are ISO 8601 text, decimals are numbers with all their digits, and binary is hexadecimal
//! text.

use std::io::{BufWriter, Write};

use arrow::array::RecordBatch;
use arrow::json::writer::{LineDelimited, Writer, WriterBuilder};

use tidewater_contract::sink::{EncodeError, EncodeRows};

/// Writes batches as JSON Lines.
pub struct JsonLinesEncoder<W: Write> {
    writer: Writer<BufWriter<W>, LineDelimited>,
}

impl<W: Write> JsonLinesEncoder<W> {
    /// An encoder that writes to `writer`.
    pub fn new(writer: W) -> Self {
        let builder = WriterBuilder::new().with_explicit_nulls(true);
        Self {
            writer: builder.build(BufWriter::with_capacity(256 * 1024, writer)),
        }
    }
}

impl<W: Write> EncodeRows<W> for JsonLinesEncoder<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        Ok(self.writer.write(batch)?)
    }

    fn finish(mut self: Box<Self>) -> Result<W, EncodeError> {
        self.writer.finish()?;
        self.writer
            .into_inner()
            .into_inner()
            .map_err(|error| EncodeError::Io(error.into_error()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, Decimal128Array, Int64Array, ListArray, StringArray, TimestampMicrosecondArray,
    };
    use arrow::datatypes::Int64Type;

    use super::*;

    #[test]
    fn every_column_in_every_line() {
        let columns: Vec<(&str, ArrayRef, bool)> = vec![
            ("id", Arc::new(Int64Array::from(vec![Some(1), None])), true),
            (
                "text",
                Arc::new(StringArray::from(vec![Some("say \"hi\"\n"), None])),
                true,
            ),
            (
                "time",
                Arc::new(TimestampMicrosecondArray::from(vec![
                    Some(1_710_055_392_000_000),
                    None,
                ])),
                true,
            ),
            (
                "money",
                Arc::new(
                    Decimal128Array::from(vec![Some(-105), None])
                        .with_precision_and_scale(10, 2)
                        .unwrap(),
                ),
                true,
            ),
            (
                "list",
                Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([
                    Some(vec![Some(1), None]),
                    None,
                ])),
                true,
            ),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let mut encoder = Box::new(JsonLinesEncoder::new(Vec::new()));
        encoder.write(&batch).unwrap();
        encoder.write(&batch.slice(0, 0)).unwrap();
        let written = String::from_utf8(encoder.finish().unwrap()).unwrap();
        assert_eq!(
            written,
            "{\"id\":1,\"text\":\"say \\\"hi\\\"\\n\",\"time\":\"2024-03-10T07:23:12\",\"money\":-1.05,\"list\":[1,null]}\n\
             {\"id\":null,\"text\":null,\"time\":null,\"money\":null,\"list\":null}\n"
        );
    }

    #[test]
    fn no_rows_are_no_bytes() {
        assert!(
            Box::new(JsonLinesEncoder::new(Vec::new()))
                .finish()
                .unwrap()
                .is_empty()
        );
    }
}
