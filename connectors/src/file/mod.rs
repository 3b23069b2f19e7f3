//! Files: sources that are listed, dealt in pieces and decoded; sinks that are staged and renamed into place.
//!
//! What a source takes in is kept in a [`Depot`] and remembered by its [`Position`]; the next run [compares](compare)
//! what is delivered with what was taken in.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{OptionError, SourceError};
use crate::format::csv::Csv;
use crate::format::json_lines::JsonLinesFormat;
use crate::format::lines::Lines;
use crate::format::options::{self, CsvOptions, JsonLinesOptions, TextOptions};
use crate::format::parquet::ParquetReader;
use crate::source::{Format, Reader, SourceSpec};

mod compression;
mod delivery;
pub(crate) mod depot;
mod keep;
pub(crate) mod list;
mod position;
pub mod sink;
mod text;

pub use crate::format::options::OnChange;
pub use delivery::{Content, Delivery};
pub use depot::Depot;
pub use list::{ListedFile, list, list_or_empty};
pub use position::{Change, Position, compare};

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

/// Opens deliveries of a source for reading, in their order. With a depot, those that are files (or tails of files)
/// are kept in it while they are read, and [`taken`](Reader::taken) tells as what.
///
/// # Errors
/// When an option is wrong, a declared type cannot be held by the format, a file's name says another format, or
/// something is to be read from a depot that is not given. The files themselves are opened one after the other as their
/// pieces are asked for.
pub fn open(
    spec: &SourceSpec,
    deliveries: Vec<Delivery>,
    depot: Option<&Arc<Depot>>,
) -> Result<Arc<dyn Reader>, SourceError> {
    list::of_format(
        spec.format,
        deliveries.iter().map(|delivery| &delivery.name),
    )?;
    let depot = depot.cloned();
    match spec.format {
        Format::Csv => {
            let options = CsvOptions::parse(&spec.options)?;
            let rules = text::Rules {
                compression: options.compression,
                on_change: options.on_change,
            };
            let format = Csv::new(spec)?;
            let reader = text::TextReader::new(spec, deliveries, depot, rules, format)?;
            Ok(Arc::new(reader))
        }
        Format::JsonLines => {
            let options = JsonLinesOptions::parse(&spec.options)?;
            let rules = text::Rules {
                compression: options.compression,
                on_change: options.on_change,
            };
            let format = JsonLinesFormat::new(spec)?;
            let reader = text::TextReader::new(spec, deliveries, depot, rules, format)?;
            Ok(Arc::new(reader))
        }
        Format::Text => {
            let options = TextOptions::parse(&spec.options)?;
            let rules = text::Rules {
                compression: options.compression,
                on_change: options.on_change,
            };
            let format = Lines::new(spec)?;
            let reader = text::TextReader::new(spec, deliveries, depot, rules, format)?;
            Ok(Arc::new(reader))
        }
        Format::Parquet => Ok(Arc::new(ParquetReader::open(spec, deliveries, depot)?)),
    }
}
