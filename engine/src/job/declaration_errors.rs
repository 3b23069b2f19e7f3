//! Errors about declarations, which sources, views and sinks share.

use tidewater_connectors::Registry;
use tidewater_connectors::declaration::{DeclarationError, DeclarationPart};
use tidewater_connectors::error::OptionError;

use super::options::option_diagnostic;
use super::site::Site;
use super::suggest::nearest;
use super::tokens::Find;
use crate::diagnostic::{Diagnostic, Place};

/// The error about a table or view that does not exist.
pub(super) fn unknown_relation<'a>(
    name: &str,
    at: Place,
    known: impl Iterator<Item = &'a str>,
) -> Diagnostic {
    let known: Vec<&str> = known.collect();
    let found = Diagnostic::new(at, format!("there is no table or view '{name}'"));
    match nearest(name, known.iter().copied()) {
        Some(near) => found.with_hint(format!("did you mean '{near}'?")),
        None if known.is_empty() => {
            found.with_hint("declare it with CREATE EXTERNAL TABLE or CREATE VIEW")
        }
        None => found.with_hint(format!("the job has {}", known.join(", "))),
    }
}

/// The error about a column in a list that does not exist.
pub(super) fn unknown_column(name: &str, columns: &[String], at: Place) -> Diagnostic {
    let found = Diagnostic::new(at, format!("there is no column '{name}'"));
    match nearest(name, columns.iter().map(String::as_str)) {
        Some(near) => found.with_hint(format!("did you mean '{near}'?")),
        None => found.with_hint(format!("the columns are {}", columns.join(", "))),
    }
}

/// The message about a location that no connector accepts.
pub(super) fn unknown_scheme(registry: &Registry, location: &str) -> String {
    let scheme = location
        .split_once("://")
        .map_or(location, |(scheme, _)| scheme);
    match registry.missing_feature(location) {
        Some(feature) => {
            format!("{scheme}:// needs a build with the cargo feature '{feature}'")
        }
        None => format!("{scheme}:// is not supported by this version"),
    }
}

/// A mistake that a connector found, with its place.
pub(super) fn declaration_diagnostic(
    error: DeclarationError,
    location: &str,
    site: &Site<'_>,
) -> Diagnostic {
    let DeclarationError {
        part,
        message,
        hint,
    } = error;
    let finds = match part {
        DeclarationPart::Location => {
            vec![Find::Text(location.to_owned()), Find::Words(&["LOCATION"])]
        }
        DeclarationPart::StoredAs => vec![Find::Words(&["STORED", "AS"])],
        DeclarationPart::PartitionedBy => vec![Find::Words(&["PARTITIONED", "BY"])],
        DeclarationPart::Option(option) => {
            let error = OptionError {
                option,
                message,
                hint,
            };
            return option_diagnostic(error, site);
        }
    };
    let found = site.diagnostic(&finds, message);
    match hint {
        Some(hint) => found.with_hint(hint),
        None => found,
    }
}
