//! Opens deliveries for reading, in the format of their source.

use std::sync::Arc;

use tidewater_contract::error::SourceError;
use tidewater_contract::source::SourceSpec;
use tidewater_formats::row_format::{FileLayout, RowFormat};

use super::content_store::ContentStore;
use super::delivery::Delivery;
use super::file_source::FileSource;
use super::path_columns::{PathColumns, PathColumnsReader, PathDecoder};
use super::reader::FileReader;
use super::{list, parquet, text};

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
