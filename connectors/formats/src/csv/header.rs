//! What the first record of a file says of its columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::record::{Dialect, unquote};
use crate::options::{CsvOptions, MissingColumns, UnknownColumns, nearest};
use tidewater_contract::error::SourceError;

/// Which field of a row feeds each declared column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    /// For each declared column its field, `None` when the file has none.
    pub of_column: Vec<Option<usize>>,
    /// Fields in a row.
    pub count: usize,
}

/// Reads the names of the header that `head` begins with, and where the rows begin. `None` when there is no record.
pub(super) fn names(
    file: &Arc<str>,
    head: &[u8],
    dialect: Dialect,
) -> Result<Option<(Vec<String>, usize)>, SourceError> {
    let mut ends = Vec::new();
    let Some(record) = dialect.record(head, 0, true, |end| ends.push(end)) else {
        return Ok(None);
    };
    if let Some(fault) = record.fault {
        let message = format!(
            "the header cannot be read: field {}: {}",
            fault.field + 1,
            fault.reason
        );
        return Err(SourceError::file(file, message));
    }
    let mut names = Vec::with_capacity(ends.len());
    let mut start = 0;
    let mut scratch = Vec::new();
    for end in ends {
        let field = head.get(start..end.min(record.end)).unwrap_or_default();
        let field = dialect
            .quote
            .map_or(field, |quote| unquote(field, quote, &mut scratch));
        let name = std::str::from_utf8(field).map_err(|_| {
            let message = format!(
                "the header is not UTF-8: field {} is '{}'; save the file as UTF-8",
                names.len() + 1,
                String::from_utf8_lossy(field)
            );
            SourceError::file(file, message)
        })?;
        names.push(name.trim().to_owned());
        start = end + 1;
    }
    Ok(Some((names, record.next)))
}

/// Fits the `names` of a header to the `declared` columns (name, whether it may be NULL).
///
/// # Errors
/// When a name is there twice, unknown or missing, unless the options bear it; when no name is declared.
pub(super) fn fit(
    file: &Arc<str>,
    names: &[String],
    declared: &[(Arc<str>, bool)],
    options: &CsvOptions,
) -> Result<Fields, SourceError> {
    let is_declared = |name: &String| declared.iter().any(|(column, _)| **column == **name);
    if !declared.is_empty() && !names.iter().any(is_declared) {
        return Err(no_header(file, names));
    }
    let mut field_of = BTreeMap::new();
    for (field, name) in names.iter().enumerate() {
        let twice = field_of.insert(name.as_str(), field);
        if let Some(first) = twice.filter(|_| !name.is_empty()) {
            let message = format!(
                "is in the header twice, as fields {} and {}; rename one",
                first + 1,
                field + 1
            );
            return Err(SourceError::column(file, name.as_str(), message));
        }
    }
    let of_column: Vec<_> = declared
        .iter()
        .map(|(name, _)| field_of.get(&**name).copied())
        .collect();
    for ((name, nullable), field) in declared.iter().zip(&of_column) {
        if field.is_none() {
            check_missing(file, name, *nullable, names, options)?;
        }
    }
    if options.unknown_columns == UnknownColumns::Error {
        check_unknown(file, names, declared)?;
    }
    Ok(Fields {
        of_column,
        count: names.len(),
    })
}

fn no_header(file: &Arc<str>, names: &[String]) -> SourceError {
    let line: String = names.join(",").chars().take(120).collect();
    let message = format!(
        "has no header: the first line, '{line}', names none of the declared columns; if it is data, write \
         OPTIONS (has_header 'false'); if it is a header, check the delimiter and the declared names"
    );
    SourceError::file(file, message)
}

fn check_missing(
    file: &Arc<str>,
    name: &Arc<str>,
    nullable: bool,
    names: &[String],
    options: &CsvOptions,
) -> Result<(), SourceError> {
    if options.missing_columns == MissingColumns::Null {
        let message = "is declared NOT NULL but is not in the header; allow NULL, or add the column to the file";
        return if nullable {
            Ok(())
        } else {
            Err(SourceError::column(file, Arc::clone(name), message))
        };
    }
    let candidates: Vec<&str> = names.iter().map(String::as_str).collect();
    let near = match nearest(name, &candidates) {
        Some(near) if near.eq_ignore_ascii_case(name) => {
            format!(" (the header has '{near}': to keep its case, declare it in double quotes)")
        }
        Some(near) => format!(" (the header has '{near}')"),
        None => format!(" (the header has {})", candidates.join(", ")),
    };
    let message = format!(
        "is declared but not in the header{near}; add it to the file or write OPTIONS (missing_columns 'null')"
    );
    Err(SourceError::column(file, Arc::clone(name), message))
}

fn check_unknown(
    file: &Arc<str>,
    names: &[String],
    declared: &[(Arc<str>, bool)],
) -> Result<(), SourceError> {
    let unknown = names
        .iter()
        .enumerate()
        .find(|(_, name)| declared.iter().all(|(known, _)| **known != ***name));
    let Some((field, name)) = unknown else {
        return Ok(());
    };
    if name.is_empty() {
        let message = format!(
            "field {} of the header has no name; name it, or write OPTIONS (unknown_columns 'ignore')",
            field + 1
        );
        return Err(SourceError::file(file, message));
    }
    let message = "is in the header but not declared; declare it, or write OPTIONS (unknown_columns 'ignore')";
    Err(SourceError::column(file, name.as_str(), message))
}
