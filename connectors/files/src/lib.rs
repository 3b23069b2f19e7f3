//! Files as sources: they are listed, handed out in pieces and decoded.
//!
//! Files are in a [`Storage`](storage::Storage). The content that a source reads is stored in a [`ContentStore`] and
//! recorded as a [`Position`]. The next run [compares](compare) the current files with these positions.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::BTreeMap;
use std::sync::Arc;

use tidewater_contract::error::{OptionError, SourceError};
use tidewater_contract::source::{Format, SourceSpec};
use tidewater_formats::row_format::{FileLayout, RowFormat};

use self::path_columns::{PathColumnsReader, PathDecoder};

mod changes;
mod content_store;
mod delivery;
mod glob;
mod intake;
mod keep;
mod latch;
mod list;
pub mod location;
mod parquet;
mod path_columns;
mod place;
mod position;
mod reader;
mod source;
pub mod storage;
mod stored;
mod text;
mod twins;
mod verdict;
mod withdrawn;

pub use content_store::ContentStore;
#[cfg(fuzzing)]
pub use content_store::fuzz;
pub use delivery::{Content, Delivery, KeptPart};
pub use list::{ListedFile, Subdirectories, list, list_or_empty};
pub use path_columns::{PathColumns, PathPart};
pub use position::{Change, CompareRules, Position, compare};
pub use reader::{FilePiece, FileReader, ReadDelivery};
pub use source::{FILES, FileSource, FilesConnector};
pub use tidewater_formats::options::OnChange;

/// Checks every option of a source of `format`. Keys are in lower case, with or without DataFusion's prefix
/// `format.`.
///
/// # Errors
/// When a key is unknown or a value is invalid. The error says what to write instead.
pub fn validate_options(
    format: Format,
    options: &BTreeMap<String, String>,
) -> Result<(), OptionError> {
    (RowFormat::of(format).options)(options).map(drop)
}

/// Checks that the format of a source, or the paths of its files, can provide the declared columns.
///
/// # Errors
/// When an option is invalid, or the format does not have a declared type. The error names the column.
pub fn check(spec: &SourceSpec, columns: &PathColumns) -> Result<(), SourceError> {
    if !columns.is_empty() {
        PathDecoder::new(spec, columns)?;
    }
    let spec = &columns.of_files(spec);
    match RowFormat::of(spec.format).files {
        FileLayout::Text(format) => format(spec).map(drop),
        FileLayout::Parquet => Ok(()),
    }
}

/// Whether the rows of a source depend on the columns that are read, because values of other columns are not checked.
pub fn rows_depend_on_projection(spec: &SourceSpec) -> bool {
    (RowFormat::of(spec.format).options)(&spec.options)
        .is_ok_and(|options| options.checks_read_columns)
}

/// Opens deliveries of a source for reading, in order. With a content store, files and tails of files are stored in
/// it while they are read, and [`FileReader::read_deliveries`] returns their stored parts.
///
/// # Errors
/// When an option is invalid, the format does not have a declared type, a file's name shows another format, or stored
/// content is to be read without a content store. The files themselves are only opened as their pieces are requested.
pub fn open(
    source: &FileSource,
    spec: &SourceSpec,
    deliveries: Vec<Delivery>,
    store: Option<&Arc<ContentStore>>,
) -> Result<Arc<dyn FileReader>, SourceError> {
    let columns = source.path_columns();
    if columns.is_empty() {
        return open_files(source, spec, deliveries, store);
    }
    let decoder = PathDecoder::new(spec, columns)?;
    let paths = deliveries.iter().map(|delivery| Arc::clone(&delivery.name));
    let paths = paths.collect();
    let files = open_files(source, &columns.of_files(spec), deliveries, store)?;
    Ok(Arc::new(PathColumnsReader::new(files, decoder, paths)))
}

/// Opens deliveries without columns from their paths.
fn open_files(
    source: &FileSource,
    spec: &SourceSpec,
    deliveries: Vec<Delivery>,
    store: Option<&Arc<ContentStore>>,
) -> Result<Arc<dyn FileReader>, SourceError> {
    let row_format = RowFormat::of(spec.format);
    let names = deliveries.iter().map(|delivery| &delivery.name);
    list::of_format(row_format, names)?;
    let (storage, store) = (Arc::clone(source.storage()), store.cloned());
    let options = (row_format.options)(&spec.options)?;
    match row_format.files {
        FileLayout::Text(format) => {
            let rules = text::Rules {
                compression: options.compression,
                on_change: options.on_change,
            };
            let format = format(spec)?;
            let reader = text::TextReader::new(spec, deliveries, storage, store, rules, format)?;
            Ok(Arc::new(reader))
        }
        FileLayout::Parquet => {
            let reader = parquet::ParquetReader::open(spec, deliveries, storage, store)?;
            Ok(Arc::new(reader))
        }
    }
}
