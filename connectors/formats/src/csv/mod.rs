//! Comma-separated values: RFC 4180, strictly, with the columns found by the names in the header.
//!
//! [`Csv`] knows where records end and what a header means; the decoders that it gives turn blocks of whole records
//! into batches. Nothing here does I/O.

mod column;
mod decode;
mod dictionary;
pub mod encode;
mod field;
mod header;
mod mask;
pub mod packed;
mod record;
pub mod records;
mod split;
mod text;

use std::sync::Arc;

use self::column::Column;
use self::decode::{Decoder, Table};
use self::dictionary::Pool;
use self::header::Fields;
use self::record::Dialect;
use super::options::CsvOptions;
use tidewater_contract::error::SourceError;
use tidewater_contract::source::{SourceSpec, TextFormat, TextHead};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The CSV files of one source.
pub struct Csv {
    options: CsvOptions,
    table: Arc<Table>,
    /// Every declared column, and whether it may be NULL.
    declared: Vec<(Arc<str>, bool)>,
    projection: Vec<usize>,
}

impl Csv {
    /// The CSV format as `spec` declares it.
    ///
    /// # Errors
    /// When an option is wrong, or a declared type has no place in CSV.
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
                Column::new(field, &options)
                    .map_err(|message| declaration(field.name(), message))?,
            );
        }
        let declared = columns
            .iter()
            .map(|column| (Arc::clone(&column.name), column.is_nullable()))
            .collect();
        let schema = spec
            .schema
            .project(&spec.projection)
            .map_err(|error| declaration("", error.to_string()))?;
        let table = Table {
            source: spec.name.as_str().into(),
            schema: Arc::new(schema),
            columns: spec
                .projection
                .iter()
                .filter_map(|column| columns.get(*column).cloned())
                .collect(),
            dialect: Dialect {
                delimiter: options.delimiter,
                quote: options.quote,
            },
            null: options.null_value.clone().into_bytes(),
            ordinals: spec.ordinals,
            dictionaries: spec.dictionaries.then(Pool::default),
        };
        Ok(Self {
            options,
            table: Arc::new(table),
            declared,
            projection: spec.projection.clone(),
        })
    }

    fn decoder(&self, fields: &Fields, names: Vec<Arc<str>>) -> Arc<Decoder> {
        let of_projected = |column: &usize| fields.of_column.get(*column).copied().flatten();
        Arc::new(Decoder {
            table: Arc::clone(&self.table),
            fields: self.projection.iter().map(of_projected).collect(),
            names,
        })
    }

    /// The fields of a file without a header: the declared columns, in their order.
    fn in_declared_order(&self) -> Arc<Decoder> {
        let count = self.declared.len();
        let fields = Fields {
            of_column: (0..count).map(Some).collect(),
            count,
        };
        self.decoder(
            &fields,
            self.declared
                .iter()
                .map(|(name, _)| Arc::clone(name))
                .collect(),
        )
    }
}

impl TextFormat for Csv {
    fn begin(&self, file: &Arc<str>, head: &[u8]) -> Result<TextHead, SourceError> {
        let text = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
        let blank = text
            .iter()
            .take_while(|byte| matches!(byte, b'\n' | b'\r'))
            .count();
        let rest = text.get(blank..).unwrap_or_default();
        let before = head.len() - rest.len();
        if rest.is_empty() {
            return Ok(TextHead {
                header_bytes: before,
                decoder: self.in_declared_order(),
                warnings: vec![format!(
                    "{file}: is empty, not even a header; it counts as no rows"
                )],
            });
        }
        if !self.options.has_header {
            return Ok(TextHead {
                header_bytes: before,
                decoder: self.in_declared_order(),
                warnings: Vec::new(),
            });
        }
        let Some((names, header_bytes)) = header::names(file, rest, self.table.dialect)? else {
            return Err(SourceError::file(file, "has no header that can be read"));
        };
        let fields = header::fit(file, &names, &self.declared, &self.options)?;
        let names: Vec<Arc<str>> = names.into_iter().map(Into::into).collect();
        Ok(TextHead {
            header_bytes: before + header_bytes,
            decoder: self.decoder(&fields, names),
            warnings: Vec::new(),
        })
    }

    fn whole_records(&self, bytes: &[u8]) -> usize {
        self.table.dialect.whole_records(bytes)
    }
}

#[cfg(test)]
mod tests;
