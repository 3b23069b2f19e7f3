//! Files as sources: they are listed, handed out in pieces and decoded.
//!
//! Files are in a [`Storage`](storage::Storage). The content that a source reads is stored in a [`ContentStore`] and
//! recorded as a [`Position`]. The next run [compares](compare) the current files with these positions.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::BTreeMap;

use tidewater_contract::error::OptionError;
use tidewater_contract::source::{Format, SourceSpec};
use tidewater_formats::row_format::RowFormat;

mod changes;
mod connector;
mod content_store;
mod delivery;
mod file_source;
mod glob;
mod intake;
mod keep;
mod latch;
mod list;
pub mod location;
mod open;
mod parquet;
mod path_columns;
mod place;
mod position;
mod reader;
pub mod storage;
mod stored;
mod text;
mod twins;
mod verdict;
mod withdrawn;

pub use connector::{FILES, FilesConnector};
pub use content_store::ContentStore;
#[cfg(fuzzing)]
pub use content_store::fuzz;
pub use delivery::{Content, Delivery, KeptPart};
pub use file_source::FileSource;
pub use list::{ListedFile, Subdirectories, list, list_or_empty};
pub use open::{check, open};
pub use path_columns::{PathColumns, PathPart};
pub use position::{Change, CompareRules, Position, compare};
pub use reader::{FilePiece, FileReader, ReadDelivery};
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

/// Whether the rows of a source depend on the columns that are read, because values of other columns are not checked.
pub fn rows_depend_on_projection(spec: &SourceSpec) -> bool {
    (RowFormat::of(spec.format).options)(&spec.options)
        .is_ok_and(|options| options.checks_read_columns)
}
