//! `STORED AS … OPTIONS (…)`: what the connectors make of them, with places.

use std::collections::BTreeMap;

use tidewater_connectors::error::OptionError;
use tidewater_connectors::file::sink::parse_encoding;
use tidewater_connectors::file::validate_options;
use tidewater_connectors::sink::{Encoding, SinkError};
use tidewater_connectors::source::Format;

use super::declare::option_finds;
use super::site::Site;
use super::statement::{Find, lower_first};
use crate::diagnostic::Diagnostic;

/// The encoding of a published table: Parquet, unless the statement says something else.
pub(super) fn encoding(
    stored_as: Option<&str>,
    options: &BTreeMap<String, String>,
    site: &Site<'_>,
) -> Result<Encoding, Diagnostic> {
    let format = stored_as.unwrap_or("PARQUET");
    parse_encoding(format, options).map_err(|error| {
        let finds = match &error {
            SinkError::UnknownFormat(format) => vec![Find::Name(format.clone())],
            SinkError::UnknownOption { option, .. } => option_finds(option),
            SinkError::OptionValue { option, value, .. } => {
                [vec![Find::Text(value.clone())], option_finds(option)].concat()
            }
            _ => Vec::new(),
        };
        site.diagnostic(&finds, lower_first(&error.to_string()))
    })
}

/// Whether the connectors know every option of a source, and its value.
pub(super) fn check_source_options(
    format: Format,
    options: &BTreeMap<String, String>,
    site: &Site<'_>,
) -> Result<(), Diagnostic> {
    validate_options(format, options).map_err(|error| option_diagnostic(error, site))
}

/// An option that is unknown or means nothing, with its place.
pub(super) fn option_diagnostic(error: OptionError, site: &Site<'_>) -> Diagnostic {
    let OptionError {
        option,
        message,
        hint,
    } = error;
    let found = site.diagnostic(
        &option_finds(&option),
        format!("option '{option}': {message}"),
    );
    match hint {
        Some(hint) => found.with_hint(hint),
        None => found,
    }
}
