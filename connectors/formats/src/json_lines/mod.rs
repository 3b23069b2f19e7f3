//! JSON Lines: one object a line, its fields matched to the declared columns by name.
//!
//! - Lines end with LF or CRLF; lines of white space alone are no rows; a byte order mark is skipped.
//! - A field that is missing or `null` is NULL; with `missing_columns = 'error'` a missing one rejects its row. Fields
//!   that no column declares are ignored; with `unknown_columns = 'error'` they reject their row.
//! - Types are strict, because a value that is quietly converted is a value that is quietly wrong:
//!
//! | column | takes |
//! |---|---|
//! | BOOLEAN | `true`, `false` |
//! | integers | whole numbers in range, `1.0` and `1e3` too; not `"1"`, `1.5` |
//! | FLOAT, DOUBLE | numbers, to the nearest; not `"1"`, nor beyond the finite range |
//! | DECIMAL | numbers, exactly from their text; not `"1"`, nor digits beyond the declared decimal places |
//! | VARCHAR | text; not numbers |
//! | DATE, TIMESTAMP | text, as [`scalar`](super::scalar) reads it for all formats |
//! | lists, structs, maps | lists, objects, objects of any keys; nested at will |
//!
//! - A row that is not strict JSON (RFC 8259, nested at most 64 deep, no object with a key twice), or whose value does
//!   not fit, is rejected; its neighbours are decoded. Columns that the job does not read are checked as JSON, not
//!   against their type.
//!
//! Why not `arrow-json`'s reader: it fails a whole batch for a row, and is lenient where we must not be. It takes
//! missing and repeated commas, keys twice, rows that share or span lines, `1.5` as the integer 1 and numbers as
//! timestamps, cuts digits off timestamps, and takes integers through `f64`. One pass here parses each row straight
//! into its columns, and takes the row back out when it fails: one path, the same for good and bad blocks.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;

use crate::options::{JsonLinesOptions, MissingColumns, UnknownColumns};
use tidewater_contract::error::SourceError;
use tidewater_contract::source::{
    DecodeText, Decoded, Rejected, SourceSpec, TextBlock, TextFormat, TextHead, has_line,
};

use self::column::{Rules, column};
use self::fault::Fault;
use self::nested::ObjectColumns;
use self::parser::Parser;

mod column;
pub mod encode;
mod fault;
mod nested;
mod parser;
pub mod records;
#[cfg(test)]
mod tests;

const UTF8_MARK: &[u8] = b"\xEF\xBB\xBF";
const UTF16_MARKS: [&[u8]; 2] = [b"\xFF\xFE", b"\xFE\xFF"];

/// The JSON Lines format of one source.
pub struct JsonLinesFormat {
    plan: Arc<Plan>,
}

/// What the decoders of all files share.
struct Plan {
    source: Arc<str>,
    declared: SchemaRef,
    projection: Vec<usize>,
    /// The schema of decoded batches.
    projected: SchemaRef,
    rules: Rules,
    /// Whether rows tell their place.
    ordinals: bool,
}

impl JsonLinesFormat {
    /// The format as `spec` declares it.
    ///
    /// # Errors
    /// When a projected column's type cannot be decoded from JSON, or an option's value means nothing.
    pub fn new(spec: &SourceSpec) -> Result<Self, SourceError> {
        let rules = rules(spec)?;
        let declaration = |column: &str, message: String| SourceError::Declaration {
            table: spec.name.clone(),
            column: column.to_owned(),
            message,
        };
        for field in spec
            .projection
            .iter()
            .filter_map(|index| spec.schema.fields().get(*index))
        {
            column(field.data_type(), &rules)
                .map_err(|message| declaration(field.name(), message))?;
        }
        let projected = spec
            .schema
            .project(&spec.projection)
            .map_err(|error| declaration("*", error.to_string()))?;
        Ok(Self {
            plan: Arc::new(Plan {
                source: spec.name.as_str().into(),
                declared: Arc::clone(&spec.schema),
                projection: spec.projection.clone(),
                projected: Arc::new(projected),
                rules,
                ordinals: spec.ordinals,
            }),
        })
    }
}

fn rules(spec: &SourceSpec) -> Result<Rules, SourceError> {
    let options = JsonLinesOptions::parse(&spec.options)?;
    Ok(Rules {
        times: options.times,
        refuse_unknown: options.unknown_columns == UnknownColumns::Error,
        refuse_missing: options.missing_columns == MissingColumns::Error,
    })
}

impl TextFormat for JsonLinesFormat {
    fn begin(&self, file: &Arc<str>, head: &[u8]) -> Result<TextHead, SourceError> {
        if UTF16_MARKS.iter().any(|mark| head.starts_with(mark)) {
            return Err(SourceError::file(file, "is UTF-16: deliver it as UTF-8"));
        }
        let text = head.strip_prefix(UTF8_MARK).unwrap_or(head);
        let mut warnings = Vec::new();
        if text.trim_ascii_start().starts_with(b"[") {
            warnings.push(format!(
                "{file}: looks like one JSON array; JSON Lines has one object a line, without commas between them"
            ));
        }
        Ok(TextHead {
            header_bytes: head.len() - text.len(),
            decoder: Arc::new(JsonLinesDecoder {
                plan: Arc::clone(&self.plan),
            }),
            warnings,
        })
    }

    fn is_head(&self, bytes: &[u8]) -> bool {
        has_line(bytes)
    }
}

struct JsonLinesDecoder {
    plan: Arc<Plan>,
}

impl DecodeText for JsonLinesDecoder {
    fn decode(&self, block: &TextBlock) -> Decoded {
        let decoded = self.plan.decode(block);
        decoded.unwrap_or_else(|reason| self.plan.reject_all(block, &reason))
    }
}

impl Plan {
    /// Rows and rejected rows, or why no row of the block can be had.
    fn decode(&self, block: &TextBlock) -> Result<Decoded, String> {
        let mut rejected = Vec::new();
        let mut ordinals = self.ordinals.then(Vec::new);
        let texts = lines(block).map(|line| (line.bytes, line));
        let batch = self.rows(texts, ObjectColumns::push, |line, fault| match fault {
            Some(fault) => rejected.push(self.reject(block, &line, fault)),
            None => ordinals
                .iter_mut()
                .for_each(|places| places.push(line.byte_offset)),
        })?;
        Ok(Decoded {
            batch,
            retracted: None,
            rejected,
            ordinals,
            bytes: block.stored_bytes,
        })
    }

    /// A row for each text that `take` takes; `told` hears of each text whether it has a fault.
    fn rows<'a, T>(
        &self,
        texts: impl Iterator<Item = (&'a [u8], T)>,
        take: impl Fn(&mut ObjectColumns, &mut Parser<'a>) -> Result<(), Fault>,
        mut told: impl FnMut(T, Option<Fault>),
    ) -> Result<RecordBatch, String> {
        let wanted = |index| self.projection.contains(&index);
        let mut columns = ObjectColumns::new(self.declared.fields(), wanted, &self.rules)?;
        let mut parser = Parser::default();
        let mut rows = 0;
        for (text, of) in texts {
            let row = begin(&mut parser, text)
                .and_then(|()| take(&mut columns, &mut parser))
                .and_then(|()| parser.end());
            match row {
                Ok(()) => rows += 1,
                Err(_) => columns.truncate(rows),
            }
            told(of, row.err());
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = columns.finish().and_then(|columns| {
            RecordBatch::try_new_with_options(Arc::clone(&self.projected), columns, &options)
        });
        batch.map_err(|error| error.to_string())
    }

    fn reject_all(&self, block: &TextBlock, reason: &str) -> Decoded {
        let reject = |line| self.reject(block, &line, Fault::value(reason));
        Decoded {
            batch: RecordBatch::new_empty(Arc::clone(&self.projected)),
            retracted: None,
            rejected: lines(block).map(reject).collect(),
            ordinals: self.ordinals.then(Vec::new),
            bytes: block.stored_bytes,
        }
    }

    fn reject(&self, block: &TextBlock, line: &Line<'_>, fault: Fault) -> Rejected {
        let (column, reason) = fault.into_parts();
        Rejected {
            source: Arc::clone(&self.source),
            file: Arc::clone(&block.file),
            line: line.number,
            byte_offset: line.byte_offset,
            column: column.map(Arc::from),
            reason,
            raw: String::from_utf8_lossy(line.bytes).into_owned(),
        }
    }
}

fn begin<'a>(parser: &mut Parser<'a>, line: &'a [u8]) -> Result<(), Fault> {
    let text = std::str::from_utf8(line).map_err(|error| {
        Fault::syntax(format!(
            "not UTF-8 at byte {} of the row",
            error.valid_up_to() + 1
        ))
    })?;
    parser.begin(text);
    Ok(())
}

/// A line that is not blank, without its line end.
struct Line<'a> {
    number: u64,
    byte_offset: u64,
    bytes: &'a [u8],
}

fn lines(block: &TextBlock) -> impl Iterator<Item = Line<'_>> {
    let mut rest = block.bytes.as_slice();
    let (mut number, mut byte_offset) = (block.first_line, block.byte_offset);
    let split = move || {
        if rest.is_empty() {
            return None;
        }
        let (length, taken) = match memchr::memchr(b'\n', rest) {
            Some(at) => (at, at + 1),
            None => (rest.len(), rest.len()),
        };
        let bytes = &rest[..length];
        let line = Line {
            number,
            byte_offset,
            bytes: bytes.strip_suffix(b"\r").unwrap_or(bytes),
        };
        rest = &rest[taken..];
        number += 1;
        byte_offset += taken as u64;
        Some(line)
    };
    std::iter::from_fn(split).filter(|line| !line.bytes.trim_ascii().is_empty())
}
