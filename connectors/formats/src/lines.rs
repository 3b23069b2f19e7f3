//! Plain text. Each line of a file, or each payload of a message, is the value of the only column.
//!
//! - Lines end with LF or CRLF. An empty line is a row with an empty text. A byte order mark is skipped.
//! - TEXT must be UTF-8; other rows are rejected. BYTEA accepts any bytes. No value is NULL.
//! - A payload is one value, including its line ends.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, LargeBinaryBuilder, LargeStringBuilder, RecordBatch, RecordBatchOptions,
    new_empty_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;

use super::layout::{FileLayout, TextEncoding, TextLayout, to_utf8};
use super::options::TextOptions;
use crate::scalar::sql_name;
use encoding_rs::{Encoding, UTF_8};
use tidewater_contract::error::{OptionError, SourceError};
use tidewater_contract::source::{
    DecodeRecords, DecodeText, Decoded, DecodedRecords, LineEnd, Rejected, RejectedRecord,
    SourceSpec, TextBlock, TextFormat, TextHead,
};

/// The lines of one source.
#[derive(Clone)]
pub struct Lines {
    source: Arc<str>,
    column: Arc<str>,
    data_type: DataType,
    layout: TextLayout,
    /// The schema of decoded batches: the column, or none if it is not read.
    projected: SchemaRef,
    ordinals: bool,
}

/// A text that is not a row: its index, and the reason.
type Flaw = (usize, String);

impl Lines {
    /// The format as `spec` declares it.
    ///
    /// # Errors
    /// When there is not exactly one column, or it is neither text nor bytes.
    pub fn new(spec: &SourceSpec) -> Result<Self, SourceError> {
        let layout = TextOptions::parse(&spec.options)?.layout;
        let declaration = |column: &str, message: String| SourceError::Declaration {
            table: spec.name.clone(),
            column: column.to_owned(),
            message,
        };
        let field = match spec.schema.fields().as_ref() {
            [] => {
                let message = "STORED AS TEXT has one column for the text; declare it".to_owned();
                return Err(declaration("", message));
            }
            [field] => field,
            [_, second, ..] => {
                let message = "STORED AS TEXT has one column for the text; take it apart in SQL";
                return Err(declaration(second.name(), message.to_owned()));
            }
        };
        if !is_text(field.data_type()) && !is_bytes(field.data_type()) {
            let message = format!(
                "STORED AS TEXT has no {}; declare TEXT or BYTEA, and CAST in SQL",
                sql_name(field.data_type())
            );
            return Err(declaration(field.name(), message));
        }
        let projected = spec.schema.project(&spec.projection);
        Ok(Self {
            source: spec.name.as_str().into(),
            column: field.name().as_str().into(),
            data_type: field.data_type().clone(),
            layout,
            projected: Arc::new(
                projected.map_err(|error| declaration(field.name(), error.to_string()))?,
            ),
            ordinals: spec.ordinals,
        })
    }

    /// A row for each valid text, and the flaws of the others.
    fn rows<'a>(
        &self,
        texts: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Result<(RecordBatch, Vec<Flaw>), ArrowError> {
        let mut flaws = Vec::new();
        let rows;
        let is_read = !self.projected.fields().is_empty();
        let array: ArrayRef = if !is_read {
            // Whether a row is bad does not depend on whether the column is read.
            let checked = texts
                .clone()
                .enumerate()
                .filter(|_| is_text(&self.data_type));
            flaws.extend(checked.filter_map(|(at, text)| {
                let error = std::str::from_utf8(text).err()?;
                Some((at, not_utf8(error)))
            }));
            rows = texts.count() - flaws.len();
            new_empty_array(&self.data_type)
        } else if is_bytes(&self.data_type) {
            let mut values = LargeBinaryBuilder::new();
            texts.for_each(|text| values.append_value(text));
            let values = values.finish();
            rows = values.len();
            Arc::new(values)
        } else {
            let mut values = LargeStringBuilder::new();
            for (at, text) in texts.enumerate() {
                match std::str::from_utf8(text) {
                    Ok(text) => values.append_value(text),
                    Err(error) => flaws.push((at, not_utf8(error))),
                }
            }
            let values = values.finish();
            rows = values.len();
            Arc::new(values)
        };
        let columns = if is_read {
            vec![cast(&array, &self.data_type)?]
        } else {
            Vec::new()
        };
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let projected = Arc::clone(&self.projected);
        let batch = RecordBatch::try_new_with_options(projected, columns, &options)?;
        Ok((batch, flaws))
    }

    /// The same. If Arrow cannot hold all texts, every one of them is a flaw.
    fn rows_or_flaws<'a>(
        &self,
        texts: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> (RecordBatch, Vec<Flaw>) {
        self.rows(texts.clone()).unwrap_or_else(|error| {
            let all = texts.enumerate();
            let flaws = all.map(|(at, _)| (at, format!("cannot be held: {error}")));
            (
                RecordBatch::new_empty(Arc::clone(&self.projected)),
                flaws.collect(),
            )
        })
    }
}

/// Whether a column holds text.
pub fn is_text(data_type: &DataType) -> bool {
    use DataType::{LargeUtf8, Utf8, Utf8View};
    matches!(data_type, Utf8 | LargeUtf8 | Utf8View)
}

/// Whether a column holds bytes.
pub fn is_bytes(data_type: &DataType) -> bool {
    use DataType::{Binary, BinaryView, LargeBinary};
    matches!(data_type, Binary | LargeBinary | BinaryView)
}

/// The message about bytes that are not UTF-8.
pub fn not_utf8(error: std::str::Utf8Error) -> String {
    let at = error.valid_up_to() + 1;
    format!(
        "is not UTF-8 at its byte {at}; set the option encoding if it is in another, or declare BYTEA to take any bytes"
    )
}

/// The payloads of one source, in one encoding.
pub struct Payloads {
    lines: Lines,
    encoding: &'static Encoding,
}

impl Payloads {
    /// The format as `spec` declares it.
    ///
    /// # Errors
    /// As for [`Lines::new`]; or the encoding can only be detected from a file.
    pub fn new(spec: &SourceSpec) -> Result<Self, SourceError> {
        let lines = Lines::new(spec)?;
        match lines.layout.encoding {
            TextEncoding::Fixed(encoding) => Ok(Self { lines, encoding }),
            TextEncoding::Utf16 => Err(OptionError {
                option: "encoding".to_owned(),
                message: "cannot be 'utf-16', which a byte order mark completes, for messages"
                    .to_owned(),
                hint: Some("write 'utf-16le' or 'utf-16be'".to_owned()),
            }
            .into()),
        }
    }
}

impl DecodeRecords for Payloads {
    fn decode(&self, records: &[&[u8]]) -> DecodedRecords {
        let (batch, flaws) = if self.encoding == UTF_8 {
            self.lines.rows_or_flaws(records.iter().copied())
        } else {
            let texts = records.iter().map(|record| to_utf8(record, self.encoding));
            let texts: Vec<Vec<u8>> = texts.collect();
            self.lines.rows_or_flaws(texts.iter().map(Vec::as_slice))
        };
        let rejected = flaws.into_iter().map(|(record, reason)| RejectedRecord {
            record,
            column: Some(Arc::clone(&self.lines.column)),
            reason,
        });
        DecodedRecords {
            batch,
            rejected: rejected.collect(),
        }
    }
}

impl TextFormat for Lines {
    fn begin(&self, file: &Arc<str>, head: &[u8]) -> Result<TextHead, SourceError> {
        // Bytes are not interpreted, unless the source declares a layout.
        let layout = if is_bytes(&self.data_type) && self.layout == TextLayout::default() {
            FileLayout::of_bytes(head)
        } else {
            self.layout.of_file(file, head)?
        };
        let bytes = head.get(layout.mark_bytes..).unwrap_or_default();
        let converted = layout.convert(bytes);
        let text = converted.plain(bytes);
        let skipped = self.layout.behind_skipped(text);
        let skipped = skipped.map_or(bytes.len(), |at| converted.place(bytes, at));
        Ok(TextHead {
            header_bytes: layout.mark_bytes + skipped,
            decoder: Arc::new(FileLines {
                lines: self.clone(),
                layout,
            }),
            warnings: Vec::new(),
        })
    }

    fn is_head(&self, bytes: &[u8]) -> bool {
        self.layout.is_head(bytes, |text| !text.is_empty())
    }
}

/// The lines of one file.
struct FileLines {
    lines: Lines,
    layout: FileLayout,
}

impl DecodeText for FileLines {
    fn decode(&self, block: &TextBlock) -> Decoded {
        let converted = self.layout.convert(&block.bytes);
        let text = converted.plain(&block.bytes);
        let (batch, flaws) = self.lines.rows_or_flaws(lines(text).map(|(_, line)| line));
        let mut flaws = flaws.into_iter().peekable();
        let mut rejected = Vec::new();
        let mut ordinals = self.lines.ordinals.then(Vec::new);
        for (number, (start, line)) in lines(text).enumerate() {
            if flaws.peek().is_none() && ordinals.is_none() {
                break;
            }
            let byte_offset = block.byte_offset + converted.place(&block.bytes, start) as u64;
            match flaws.next_if(|(at, _)| *at == number) {
                Some((_, reason)) => rejected.push(Rejected {
                    source: Arc::clone(&self.lines.source),
                    file: Arc::clone(&block.file),
                    line: block.first_line + number as u64,
                    byte_offset,
                    column: Some(Arc::clone(&self.lines.column)),
                    reason,
                    raw: converted.raw(&block.bytes, start..start + line.len()),
                }),
                None => ordinals
                    .iter_mut()
                    .for_each(|places| places.push(byte_offset)),
            }
        }
        Decoded {
            batch,
            rejected,
            ordinals,
            places: None,
            bytes: block.stored_bytes,
        }
    }

    fn line_end(&self) -> LineEnd {
        self.layout.line_end
    }

    fn rows_end(&self, bytes: &[u8], ended: bool) -> usize {
        let FileLayout {
            line_end, encoding, ..
        } = self.layout;
        let trailer = &self.lines.layout.trailer;
        trailer.begin(bytes, ended, line_end, encoding)
    }
}

/// Lines without their ends, each with its offset.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> + Clone {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let start = at;
        let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        at += length + 1;
        let line = rest.get(..length).unwrap_or_default();
        Some((start, line.strip_suffix(b"\r").unwrap_or(line)))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use arrow::array::AsArray;
    use arrow::datatypes::{Field, Schema};
    use tidewater_contract::source::Format;

    use super::*;

    fn payloads(encoding: &str) -> Result<Payloads, SourceError> {
        Payloads::new(&SourceSpec {
            name: "t".to_owned(),
            location: String::new(),
            format: Format::Text,
            schema: Arc::new(Schema::new(vec![Field::new("a", DataType::Utf8, false)])),
            projection: vec![0],
            options: BTreeMap::from([("encoding".to_owned(), encoding.to_owned())]),
            ordinals: false,
            dictionaries: false,
            source: None,
        })
    }

    #[test]
    fn payloads_are_in_the_encoding_of_their_source() {
        let cases: [(&str, &[u8]); 5] = [
            ("utf-8", "서울\r\n".as_bytes()),
            ("cp949", b"\xbc\xad\xbf\xef\r\n"),
            ("euc-kr", b"\xbc\xad\xbf\xef\r\n"),
            ("utf-16le", b"\x1c\xc1\xb8\xc6\r\0\n\0"),
            ("utf-16be", b"\xc1\x1c\xc6\xb8\0\r\0\n"),
        ];
        for (encoding, payload) in cases {
            let decoded = payloads(encoding).unwrap().decode(&[b"", payload, b"\xff"]);
            let texts = decoded.batch.column(0).as_string::<i32>();
            assert_eq!(
                (texts.value(0), texts.value(1)),
                ("", "서울\r\n"),
                "{encoding}"
            );
            let [rejected] = &decoded.rejected[..] else {
                unreachable!("{encoding}: {:?}", decoded.rejected);
            };
            assert_eq!(rejected.record, 2, "{encoding}");
        }
        let message = payloads("utf-16").err().unwrap().to_string();
        assert!(
            message.contains("write 'utf-16le' or 'utf-16be'"),
            "{message}"
        );
    }
}
