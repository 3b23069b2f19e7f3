//! Encodes rows as CSV: RFC 4180 with a header and `\n` line ends.
//!
//! 1. NULL is written as the null text without quotes. A text equal to the null text is quoted, so the two differ.
//! 2. Otherwise a field is quoted only if it contains the delimiter, a quote, CR or LF. So the bytes are a function
//!    of the values.
//! 3. A line is never empty, because readers skip empty lines. Where a table of one column would give an empty line,
//!    `""` is written.

use std::io::Write;

use arrow::array::{Array, AsArray, LargeStringArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use tidewater_contract::sink::{EncodeError, EncodeRows};

/// Bytes that are buffered before they are passed on.
const BUFFER_BYTES: usize = 256 * 1024;

/// The format of values. Timestamps are `2024-03-10 07:23:12[.fraction]`, with an offset if the column has a zone.
const FORMAT: FormatOptions<'static> = FormatOptions::new()
    .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
    .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z"));

/// Writes batches as CSV.
pub struct CsvEncoder<W> {
    writer: W,
    delimiter: u8,
    null_text: String,
    buffer: Vec<u8>,
}

/// Values of one column, as text.
enum Cells<'a> {
    Text(&'a StringArray),
    LargeText(&'a LargeStringArray),
    Other(&'a dyn Array, ArrayFormatter<'a>),
}

impl<W: Write> CsvEncoder<W> {
    /// An encoder that begins with the header of `schema`. Columns may not be nested.
    ///
    /// # Errors
    /// When `writer` fails.
    pub fn new(
        writer: W,
        schema: &SchemaRef,
        delimiter: u8,
        null_text: &str,
    ) -> Result<Self, EncodeError> {
        let mut encoder = Self {
            writer,
            delimiter,
            null_text: null_text.to_owned(),
            buffer: Vec::with_capacity(BUFFER_BYTES + BUFFER_BYTES / 4),
        };
        for (index, field) in schema.fields().iter().enumerate() {
            encoder.field(index, Some(field.name()));
        }
        encoder.end_line(0);
        Ok(encoder)
    }

    /// Appends a field, its delimiter before it.
    fn field(&mut self, index: usize, value: Option<&str>) {
        if index > 0 {
            self.buffer.push(self.delimiter);
        }
        let Some(value) = value else {
            self.buffer.extend_from_slice(self.null_text.as_bytes());
            return;
        };
        let special = |byte: &u8| *byte == self.delimiter || matches!(byte, b'"' | b'\r' | b'\n');
        if value != self.null_text && !value.as_bytes().iter().any(special) {
            self.buffer.extend_from_slice(value.as_bytes());
            return;
        }
        self.buffer.push(b'"');
        for byte in value.bytes() {
            if byte == b'"' {
                self.buffer.push(b'"');
            }
            self.buffer.push(byte);
        }
        self.buffer.push(b'"');
    }

    /// Ends the line that began at `start`.
    fn end_line(&mut self, start: usize) {
        if self.buffer.len() == start {
            self.buffer.extend_from_slice(b"\"\"");
        }
        self.buffer.push(b'\n');
    }

    fn flush(&mut self) -> Result<(), EncodeError> {
        self.writer.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl<W: Write> EncodeRows<W> for CsvEncoder<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        let columns = batch
            .columns()
            .iter()
            .map(|column| Cells::of(column.as_ref()))
            .collect::<Result<Vec<_>, _>>()?;
        let mut text = String::new();
        for row in 0..batch.num_rows() {
            let start = self.buffer.len();
            for (index, cells) in columns.iter().enumerate() {
                self.field(index, cells.value(row, &mut text)?);
            }
            self.end_line(start);
            if self.buffer.len() >= BUFFER_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<W, EncodeError> {
        self.flush()?;
        self.writer.flush()?;
        Ok(self.writer)
    }
}

impl<'a> Cells<'a> {
    fn of(column: &'a dyn Array) -> Result<Self, EncodeError> {
        Ok(match column.data_type() {
            DataType::Utf8 => Self::Text(column.as_string()),
            DataType::LargeUtf8 => Self::LargeText(column.as_string()),
            _ => Self::Other(column, ArrayFormatter::try_new(column, &FORMAT)?),
        })
    }

    /// The value of `row`, `None` where NULL. `text` is scratch.
    fn value<'b>(
        &'b self,
        row: usize,
        text: &'b mut String,
    ) -> Result<Option<&'b str>, EncodeError> {
        Ok(match self {
            Self::Text(column) => column.is_valid(row).then(|| column.value(row)),
            Self::LargeText(column) => column.is_valid(row).then(|| column.value(row)),
            Self::Other(column, _) if column.is_null(row) => None,
            Self::Other(_, formatter) => {
                text.clear();
                formatter.value(row).write(text)?;
                Some(text)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    };
    use arrow::array::{StringDictionaryBuilder, TimestampMicrosecondArray};
    use arrow::datatypes::Int8Type;

    use super::*;

    fn encode(columns: Vec<(&str, ArrayRef)>, delimiter: u8, null_text: &str) -> String {
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(n, c)| (n, c, true)),
        )
        .unwrap();
        let mut encoder =
            Box::new(CsvEncoder::new(Vec::new(), &batch.schema(), delimiter, null_text).unwrap());
        encoder.write(&batch).unwrap();
        String::from_utf8(encoder.finish().unwrap()).unwrap()
    }

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    #[test]
    fn quotes_what_must_be_quoted_and_nothing_else() {
        for (value, null_text, expected) in [
            (Some("plain"), "", "plain"),
            (Some("서울"), "", "서울"),
            (Some("a,b"), "", "\"a,b\""),
            (Some("a;b"), "", "a;b"),
            (Some("say \"hi\""), "", "\"say \"\"hi\"\"\""),
            (Some("two\nlines"), "", "\"two\nlines\""),
            (Some("cr\rhere"), "", "\"cr\rhere\""),
            (Some(" spaces "), "", " spaces "),
            (Some(""), "", "\"\""),
            (None, "", ""),
            (None, "NULL", "NULL"),
            (Some("NULL"), "NULL", "\"NULL\""),
            (Some(""), "NULL", ""),
        ] {
            let column = || texts(&[value]);
            let written = encode(vec![("a", column()), ("b", column())], b',', null_text);
            assert_eq!(
                written,
                format!("a,b\n{expected},{expected}\n"),
                "{value:?} null {null_text:?}"
            );
        }
    }

    #[test]
    fn delimiter_and_header_are_quoted_alike() {
        let column = || texts(&[Some("x;y"), Some("x,y")]);
        assert_eq!(
            encode(vec![("a;b", column()), ("c", column())], b';', ""),
            "\"a;b\";c\n\"x;y\";\"x;y\"\nx,y;x,y\n"
        );
    }

    #[test]
    fn no_line_is_empty() {
        assert_eq!(
            encode(vec![("a", texts(&[None, Some("")]))], b',', ""),
            "a\n\"\"\n\"\"\n"
        );
    }

    #[test]
    fn values_of_other_types() {
        let mut dictionary = StringDictionaryBuilder::<Int8Type>::new();
        dictionary.append_value("신용");
        dictionary.append_null();
        let written = encode(
            vec![
                ("bool", Arc::new(BooleanArray::from(vec![Some(true), None]))),
                (
                    "int",
                    Arc::new(Int64Array::from(vec![Some(i64::MIN), None])),
                ),
                ("float", Arc::new(Float64Array::from(vec![Some(0.1), None]))),
                (
                    "date",
                    Arc::new(Date32Array::from(vec![Some(19_792), None])),
                ),
                (
                    "time",
                    Arc::new(TimestampMicrosecondArray::from(vec![
                        Some(1_710_055_392_500_000),
                        None,
                    ])),
                ),
                (
                    "money",
                    Arc::new(
                        Decimal128Array::from(vec![Some(-105), None])
                            .with_precision_and_scale(10, 2)
                            .unwrap(),
                    ),
                ),
                ("card", Arc::new(dictionary.finish())),
            ],
            b',',
            "",
        );
        assert_eq!(
            written,
            "bool,int,float,date,time,money,card\n\
             true,-9223372036854775808,0.1,2024-03-10,2024-03-10 07:23:12.500,-1.05,신용\n,,,,,,\n"
        );
    }
}
