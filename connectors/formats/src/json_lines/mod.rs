//! JSON objects, whose fields are matched to the declared columns by name.
//!
//! - Objects are one a line (JSON Lines), or the elements of one array, or in sequence over several lines each. The
//!   beginning of a file decides. A byte order mark is skipped.
//! - A missing or `null` field is NULL; with `missing_columns = 'error'`, a missing field rejects its row. Undeclared
//!   fields are ignored; with `unknown_columns = 'error'`, they reject their row. A column that no row of a run has
//!   causes a warning.
//! - Types are strict, because silent conversion may produce wrong values:
//!
//! | column | accepts |
//! |---|---|
//! | BOOLEAN | `true`, `false` |
//! | integers | whole numbers in range, `1.0` and `1e3` too; not `"1"`, `1.5` |
//! | FLOAT, DOUBLE | numbers, to the nearest; not `"1"`, nor beyond the finite range |
//! | DECIMAL | numbers, exactly from their text; not `"1"`, nor digits beyond the declared decimal places |
//! | VARCHAR | text; not numbers |
//! | DATE, TIME, TIMESTAMP | text, as [`scalar`](super::scalar) reads it for all formats; numbers where a format counts since 1970 |
//! | BYTEA | text of hexadecimal digits; with `bytes = 'base64'` Base64, with `'text'` the text itself |
//! | lists, structs, maps | lists, objects, objects of any keys; nested at will |
//!
//! - With `scalars = 'convert'`, numbers and booleans may be text, of which empty text is NULL, and VARCHAR accepts
//!   numbers and booleans as they are written.
//! - A row is rejected if it is not strict JSON (RFC 8259, nested at most 64 deep, no repeated key in an object), or
//!   if a value does not fit; other rows are decoded. This includes values of columns that the job does not read.
//!   With `check = 'read_columns'`, such values are only checked to be JSON.
//!
//! We do not use `arrow-json`'s reader, because it fails a whole batch for one row, and is lenient where it must not
//! be. It accepts missing and repeated commas, repeated keys, rows that share or span lines, `1.5` as the integer 1,
//! and numbers as timestamps. It truncates timestamps, and reads integers through `f64`. The decoder here parses each
//! row directly into its columns in one pass, and removes the row again if it fails. Good and bad blocks take the
//! same path.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use tidewater_contract::error::SourceError;
use tidewater_contract::source::{
    DecodeText, Decoded, Rejected, SourceSpec, TextBlock, TextFormat, TextHead,
};

use crate::options::{CheckColumns, ColumnNames, JsonLinesOptions, MissingColumns, UnknownColumns};

use self::column::{JsonRules, column};
use self::error::JsonError;
use self::layout::{JsonLayout, RowText, RowTexts};
use self::met::MetColumns;
use self::objects::{FieldUse, ObjectColumns};
use self::parser::Parser;

mod column;
pub mod encode;
mod error;
mod layout;
mod met;
mod nested;
mod objects;
mod parser;
pub mod records;
#[cfg(test)]
mod tests;
mod text;

const UTF8_MARK: &[u8] = b"\xEF\xBB\xBF";
const UTF16_MARKS: [&[u8]; 2] = [b"\xFF\xFE", b"\xFE\xFF"];

/// The JSON format of one source.
pub struct JsonLinesFormat {
    plan: Arc<JsonPlan>,
}

/// State shared by the decoders of all files.
struct JsonPlan {
    source: Arc<str>,
    declared: SchemaRef,
    /// The use of each declared column.
    uses: Vec<FieldUse>,
    /// The schema of decoded batches.
    projected: SchemaRef,
    rules: JsonRules,
    met: MetColumns,
    /// Whether decoded batches have the place of each row.
    ordinals: bool,
}

impl JsonLinesFormat {
    /// The format as `spec` declares it.
    ///
    /// # Errors
    /// When a declared type cannot be decoded from JSON, or an option's value is invalid.
    pub fn new(spec: &SourceSpec) -> Result<Self, SourceError> {
        let options = JsonLinesOptions::parse(&spec.options)?;
        let declaration = |column: &str, message: String| SourceError::Declaration {
            table: spec.name.clone(),
            column: column.to_owned(),
            message,
        };
        let declared = spec.schema.fields();
        let others = match options.check {
            CheckColumns::All => FieldUse::Checked,
            CheckColumns::Read => FieldUse::Ignored,
        };
        let uses = (0..declared.len()).map(|index| {
            if spec.projection.contains(&index) {
                FieldUse::Read
            } else {
                others
            }
        });
        let uses: Vec<_> = uses.collect();
        let warns_of_unmet = !spec.options.contains_key("missing_columns");
        let rules = rules(options);
        for field in declared {
            column(field.data_type(), &rules)
                .map_err(|message| declaration(field.name(), message))?;
        }
        let projected = spec.schema.project(&spec.projection);
        let projected = projected.map_err(|error| declaration("*", error.to_string()))?;
        Ok(Self {
            plan: Arc::new(JsonPlan {
                source: spec.name.as_str().into(),
                declared: Arc::clone(&spec.schema),
                met: MetColumns::new(declared, &uses, warns_of_unmet),
                uses,
                projected: Arc::new(projected),
                rules,
                ordinals: spec.ordinals,
            }),
        })
    }
}

fn rules(options: JsonLinesOptions) -> JsonRules {
    JsonRules {
        times: options.times,
        scalars: options.scalars,
        bytes: options.bytes,
        any_case: options.column_names == ColumnNames::AnyCase,
        refuse_unknown: options.unknown_columns == UnknownColumns::Error,
        refuse_missing: options.missing_columns == MissingColumns::Error,
    }
}

impl TextFormat for JsonLinesFormat {
    fn begin(&self, file: &Arc<str>, head: &[u8]) -> Result<TextHead, SourceError> {
        if UTF16_MARKS.iter().any(|mark| head.starts_with(mark)) {
            return Err(SourceError::file(file, "is UTF-16: deliver it as UTF-8"));
        }
        let text = head.strip_prefix(UTF8_MARK).unwrap_or(head);
        let mark_bytes = head.len() - text.len();
        let layout = JsonLayout::of(text, mark_bytes);
        Ok(TextHead {
            header_bytes: layout.header_bytes(mark_bytes),
            decoder: Arc::new(JsonLinesDecoder {
                plan: Arc::clone(&self.plan),
                layout,
            }),
            warnings: Vec::new(),
        })
    }

    fn is_head(&self, bytes: &[u8]) -> bool {
        layout::is_decided(bytes.strip_prefix(UTF8_MARK).unwrap_or(bytes))
            && !UTF8_MARK.starts_with(bytes)
    }

    fn warnings(&self) -> Vec<String> {
        self.plan.met.warnings(&self.plan.source)
    }
}

struct JsonLinesDecoder {
    plan: Arc<JsonPlan>,
    layout: JsonLayout,
}

impl DecodeText for JsonLinesDecoder {
    fn decode(&self, block: &TextBlock) -> Decoded {
        self.plan.decode(block, &|| self.layout.rows(block, false))
    }

    fn last_steps(
        self: Arc<Self>,
        block: Arc<TextBlock>,
    ) -> Box<dyn Iterator<Item = Decoded> + Send> {
        let decode = move || {
            let rows = || self.layout.rows(&block, true);
            self.plan.decode(&block, &rows)
        };
        Box::new(std::iter::once_with(decode))
    }

    fn whole_records(&self, bytes: &[u8]) -> usize {
        self.layout.whole_rows(bytes)
    }
}

impl JsonPlan {
    /// Decodes the rows of a block, whose texts are `rows`.
    fn decode<'a>(&self, block: &'a TextBlock, rows: &dyn Fn() -> RowTexts<'a>) -> Decoded {
        let decoded = self.try_decode(block, rows());
        decoded.unwrap_or_else(|reason| Decoded {
            batch: RecordBatch::new_empty(Arc::clone(&self.projected)),
            rejected: rows()
                .map(|row| self.reject(block, &row, JsonError::value(reason.as_str())))
                .collect(),
            ordinals: self.ordinals.then(Vec::new),
            places: None,
            bytes: block.stored_bytes,
        })
    }

    /// Decodes the rows, or returns why no row of the block can be decoded.
    fn try_decode<'a>(&self, block: &'a TextBlock, rows: RowTexts<'a>) -> Result<Decoded, String> {
        let mut rejected = Vec::new();
        let mut ordinals = self.ordinals.then(Vec::new);
        let texts = rows.map(|row| (row.bytes, row));
        let take =
            |row: &RowText<'_>, columns: &mut ObjectColumns, parser: &mut Parser<'_>| match row
                .misplaced
            {
                Some(why) => Err(JsonError::syntax(why.to_owned())),
                None => columns.push(parser),
            };
        let batch = self.rows(texts, take, |row, fault| match fault {
            Some(fault) => rejected.push(self.reject(block, &row, fault)),
            None => ordinals
                .iter_mut()
                .for_each(|places| places.push(row.byte_offset)),
        })?;
        Ok(Decoded {
            batch,
            rejected,
            ordinals,
            places: None,
            bytes: block.stored_bytes,
        })
    }

    /// A row for each text that `take` parses. `tell` is called for each text, with its fault if it has one.
    fn rows<'a, T>(
        &self,
        texts: impl Iterator<Item = (&'a [u8], T)>,
        take: impl Fn(&T, &mut ObjectColumns, &mut Parser<'a>) -> Result<(), JsonError>,
        mut tell: impl FnMut(T, Option<JsonError>),
    ) -> Result<RecordBatch, String> {
        let mut columns = ObjectColumns::new(self.declared.fields(), &self.uses, &self.rules)?;
        let mut parser = Parser::default();
        let mut rows = 0;
        for (text, of) in texts {
            let row = begin(&mut parser, text)
                .and_then(|()| take(&of, &mut columns, &mut parser))
                .and_then(|()| parser.end());
            match row {
                Ok(()) => rows += 1,
                Err(_) => columns.truncate(rows),
            }
            tell(of, row.err());
        }
        self.met.note(rows, columns.met());
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = columns.finish().and_then(|columns| {
            RecordBatch::try_new_with_options(Arc::clone(&self.projected), columns, &options)
        });
        batch.map_err(|error| error.to_string())
    }

    fn reject(&self, block: &TextBlock, row: &RowText<'_>, fault: JsonError) -> Rejected {
        let (column, reason) = fault.into_parts();
        Rejected {
            source: Arc::clone(&self.source),
            file: Arc::clone(&block.file),
            line: row.line,
            byte_offset: row.byte_offset,
            column: column.map(Arc::from),
            reason,
            raw: String::from_utf8_lossy(row.bytes).into_owned(),
        }
    }
}

fn begin<'a>(parser: &mut Parser<'a>, row: &'a [u8]) -> Result<(), JsonError> {
    let text = std::str::from_utf8(row).map_err(|error| {
        JsonError::syntax(format!(
            "not UTF-8 at byte {} of the row",
            error.valid_up_to() + 1
        ))
    })?;
    parser.begin(text);
    Ok(())
}
