//! Comma-separated values: RFC 4180 by default. Columns are matched by the names in the header.
//!
//! [`Csv`] finds where records end and interprets the header. Its decoders turn blocks of whole records into batches.
//! Nothing here does I/O.

mod column;
mod decode;
mod dictionary;
pub mod encode;
mod explain;
mod fault;
mod field;
mod header;
mod index;
mod mask;
pub mod packed;
pub mod record;
pub mod records;
mod split;
mod text;

use std::sync::Arc;

use self::column::CsvColumn;
use self::decode::{CsvTable, Decoder};
use self::dictionary::Pool;
use self::header::Fields;
use self::record::Dialect;
use super::layout::{FileLayout, TextEncoding};
use super::options::{CheckColumns, ColumnNames, CsvOptions};
use tidewater_contract::error::{OptionError, SourceError};
use tidewater_contract::source::{LineEnd, SourceSpec, TextFormat, TextHead};

/// The CSV files of one source.
pub struct Csv {
    options: CsvOptions,
    table: Arc<CsvTable>,
}

impl Csv {
    /// The CSV format as `spec` declares it.
    ///
    /// # Errors
    /// When an option is wrong, or CSV cannot hold a declared type.
    pub fn new(spec: &SourceSpec) -> Result<Self, SourceError> {
        let options = CsvOptions::parse(&spec.options)?;
        let declaration = |column: &str, message: String| SourceError::Declaration {
            table: spec.name.clone(),
            column: column.to_owned(),
            message,
        };
        let mut columns = Vec::with_capacity(spec.schema.fields().len());
        for field in spec.schema.fields() {
            columns.push(
                CsvColumn::new(field, &options)
                    .map_err(|message| declaration(field.name(), message))?,
            );
        }
        let schema = spec
            .schema
            .project(&spec.projection)
            .map_err(|error| declaration("", error.to_string()))?;
        let mut nulls = options.nulls.iter().map(|null| null.clone().into_bytes());
        let table = CsvTable {
            source: spec.name.as_str().into(),
            schema: Arc::new(schema),
            columns,
            projection: spec.projection.clone(),
            checks_all: options.check == CheckColumns::All,
            dialect: Dialect {
                delimiter: options.delimiter,
                quote: options.quote,
                escape: options.escape,
                comment: options.comment,
            },
            ragged: options.ragged,
            trailer: options.layout.trailer.clone(),
            null: nulls.next().unwrap_or_default(),
            other_nulls: nulls.collect(),
            ordinals: spec.ordinals,
            dictionaries: spec.dictionaries.then(Pool::default),
        };
        Ok(Self {
            options,
            table: Arc::new(table),
        })
    }

    fn decoder(&self, layout: FileLayout, fields: Fields, names: Vec<Arc<str>>) -> Arc<Decoder> {
        Arc::new(Decoder {
            table: Arc::clone(&self.table),
            layout,
            fields: fields.of_column,
            names,
        })
    }

    /// The decoder of a file without a header, or with one that is ignored. Its fields are the declared columns in
    /// order.
    fn in_declared_order(&self, layout: FileLayout) -> Arc<Decoder> {
        let columns = self.table.columns.iter();
        let names: Vec<_> = columns.map(|column| Arc::clone(&column.name)).collect();
        let fields = Fields {
            of_column: (0..names.len()).map(Some).collect(),
        };
        self.decoder(layout, fields, names)
    }

    /// The layout of separate records.
    ///
    /// # Errors
    /// When records in this encoding cannot be joined by line feeds.
    fn layout_of_records(&self) -> Result<FileLayout, SourceError> {
        let encoding = match self.options.layout.encoding {
            TextEncoding::Fixed(encoding) if encoding.is_ascii_compatible() => encoding,
            _ => {
                return Err(OptionError {
                    option: "encoding".to_owned(),
                    message: "cannot be UTF-16 for records of messages".to_owned(),
                    hint: Some("write them in UTF-8".to_owned()),
                }
                .into());
            }
        };
        Ok(FileLayout {
            encoding,
            line_end: LineEnd::LineFeed,
            mark_bytes: 0,
        })
    }

    /// Where the first record of `text` begins: after skipped lines, blank lines and comments.
    fn first_record(&self, text: &[u8]) -> usize {
        let mut at = self
            .options
            .layout
            .behind_skipped(text)
            .unwrap_or(text.len());
        // In a file with one column and no header, a blank line is a row.
        let blank_is_row = !self.options.has_header && self.table.columns.len() == 1;
        while let Some(line) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let is_blank = matches!(line, [b'\n' | b'\r', ..]) && !blank_is_row;
            let comment = self.options.comment;
            let is_comment = comment.is_some_and(|comment| line.starts_with(comment.as_bytes()));
            if !is_blank && !is_comment {
                break;
            }
            at += match LineEnd::LineFeed.first(line) {
                Some(end) => end,
                None if is_blank => 1,
                None => line.len(),
            };
        }
        at
    }

    /// The decoder of a file whose header is at `at` in `text`, and where its rows begin.
    fn with_header(
        &self,
        file: &Arc<str>,
        layout: FileLayout,
        text: &[u8],
        at: usize,
    ) -> Result<(Arc<Decoder>, usize, Vec<String>), SourceError> {
        let rest = text.get(at..).unwrap_or_default();
        let by_name = self.options.column_names != ColumnNames::Position;
        let Some(header) = header::read(file, rest, self.table.dialect, layout.encoding, by_name)?
        else {
            return Err(SourceError::file(file, "has no header that can be read"));
        };
        let more = self.options.header_lines.saturating_sub(1);
        let behind = rest.get(header.end..).unwrap_or_default();
        let units = match more.checked_sub(1) {
            None => 0,
            Some(last) => LineEnd::LineFeed
                .ends(behind)
                .nth(last)
                .unwrap_or(behind.len()),
        };
        let rows = at + header.end + units;
        if !by_name {
            return Ok((self.in_declared_order(layout), rows, Vec::new()));
        }
        let (fields, warnings) = header::fit(file, &header, &self.table.columns, &self.options)?;
        let names = header.names.into_iter().map(Into::into).collect();
        Ok((self.decoder(layout, fields, names), rows, warnings))
    }
}

impl TextFormat for Csv {
    fn begin(&self, file: &Arc<str>, head: &[u8]) -> Result<TextHead, SourceError> {
        let layout = self.options.layout.of_file(file, head)?;
        let bytes = head.get(layout.mark_bytes..).unwrap_or_default();
        let converted = layout.convert(bytes);
        let text = converted.plain(bytes);
        let at = self.first_record(text);
        let (decoder, rows, warnings) = if at >= text.len() {
            let warning = format!("{file}: is empty, not even a header; it counts as no rows");
            (self.in_declared_order(layout), at, vec![warning])
        } else if self.options.has_header {
            self.with_header(file, layout, text, at)?
        } else {
            (self.in_declared_order(layout), at, Vec::new())
        };
        let rows = if rows >= text.len() {
            bytes.len()
        } else {
            converted.place(bytes, rows)
        };
        Ok(TextHead {
            header_bytes: layout.mark_bytes + rows,
            decoder,
            warnings,
        })
    }

    fn is_head(&self, bytes: &[u8]) -> bool {
        let lines = self.options.header_lines;
        self.options.layout.is_head(bytes, |text| {
            let rest = text.get(self.first_record(text)..).unwrap_or_default();
            let header = self.table.dialect.record(rest, 0, false, |_| ());
            header.is_some_and(|header| {
                let behind = rest.get(header.next..).unwrap_or_default();
                LineEnd::LineFeed.count(behind) + 1 >= lines
            })
        })
    }
}

#[cfg(test)]
mod tests;
