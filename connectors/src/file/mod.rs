//! Files: sources that are listed, dealt in pieces and decoded; sinks that are staged and renamed into place.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{OptionError, SourceError};
use crate::format::csv::Csv;
use crate::format::json_lines::JsonLinesFormat;
use crate::format::options::{self, CsvOptions, JsonLinesOptions};
use crate::format::parquet::ParquetReader;
use crate::source::{Format, Reader, SourceSpec};

mod compression;
mod list;
pub mod sink;
mod text;

pub use list::{ListedFile, list};

/// Checks every option of a source of `format`: keys in lower case, with or without DataFusion's prefix `format.`.
///
/// # Errors
/// When a key is unknown or a value means nothing; the error says what to write instead.
pub fn validate_options(
    format: Format,
    options: &BTreeMap<String, String>,
) -> Result<(), OptionError> {
    options::validate(format, options)
}

/// Opens the listed files of a source for reading, in their order.
///
/// # Errors
/// When an option is wrong, a declared type cannot be held by the format, or a file's name says another format.
/// The files themselves are opened one after the other as their pieces are asked for.
pub fn open(spec: &SourceSpec, files: Vec<ListedFile>) -> Result<Arc<dyn Reader>, SourceError> {
    list::of_format(spec.format, &files)?;
    match spec.format {
        Format::Csv => {
            let compression = CsvOptions::parse(&spec.options)?.compression;
            Ok(Arc::new(text::TextReader::new(
                spec,
                files,
                compression,
                Csv::new(spec)?,
            )?))
        }
        Format::JsonLines => {
            let compression = JsonLinesOptions::parse(&spec.options)?.compression;
            Ok(Arc::new(text::TextReader::new(
                spec,
                files,
                compression,
                JsonLinesFormat::new(spec)?,
            )?))
        }
        Format::Parquet => {
            let files = files
                .into_iter()
                .map(|file| (file.path, file.bytes))
                .collect();
            Ok(Arc::new(ParquetReader::open(spec, files)?))
        }
    }
}
