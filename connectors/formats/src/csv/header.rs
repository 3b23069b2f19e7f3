//! Matches the column names in a file's header to declared columns.

use std::sync::Arc;

use encoding_rs::{Encoding, UTF_8};

use super::column::CsvColumn;
use super::record::Dialect;
use crate::names::{self, is_same_in_any_case};
use crate::options::{ColumnNames, CsvOptions, MissingColumns, UnknownColumns, nearest};
use crate::shown::printable;
use crate::undeclared::{self, UndeclaredColumn, folder_hint};
use tidewater_contract::error::SourceError;

/// The field of each declared column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    /// The field of each declared column; `None` if the file has none.
    pub of_column: Vec<Option<usize>>,
}

/// The header of a file.
pub(super) struct Header {
    /// The names of its fields.
    pub names: Vec<String>,
    /// Where the header ends, including its line end.
    pub end: usize,
    /// The header as it is in the file.
    line: String,
    /// Whether carriage returns without a line feed are within it.
    has_returns: bool,
}

/// Reads the header at the beginning of `head`. `None` if there is no record. Names that are not used may be
/// anything.
pub(super) fn read(
    file: &Arc<str>,
    head: &[u8],
    dialect: Dialect,
    encoding: &'static Encoding,
    by_name: bool,
) -> Result<Option<Header>, SourceError> {
    let mut ends = Vec::new();
    let Some(record) = dialect.record(head, 0, true, |end| ends.push(end)) else {
        return Ok(None);
    };
    let mut header = Header {
        names: Vec::with_capacity(ends.len()),
        end: record.next,
        line: printable(head.get(..record.end).unwrap_or_default()),
        has_returns: head.get(..record.end).is_some_and(|line| {
            let mut pairs = line.windows(2);
            pairs.any(|pair| pair[0] == b'\r' && pair[1] != b'\n')
        }),
    };
    if !by_name {
        return Ok(Some(header));
    }
    if let Some(fault) = record.fault {
        let message = format!(
            "the header cannot be read: field {}: {}",
            fault.field + 1,
            fault.reason
        );
        return Err(SourceError::file(file, message));
    }
    let mut start = 0;
    let mut scratch = Vec::new();
    for end in ends {
        let field = head.get(start..end.min(record.end)).unwrap_or_default();
        let field = dialect.text(field, &mut scratch);
        let name = std::str::from_utf8(field).map_err(|_| {
            let place = format!("field {} is '{}'", header.names.len() + 1, printable(field));
            let message = if encoding == UTF_8 {
                format!(
                    "the header is not UTF-8: {place}; set the option encoding, such as OPTIONS (encoding 'cp949'), or \
                     save the file as UTF-8"
                )
            } else {
                format!(
                    "the header has bytes that are none in {}, which the source declares: {place}; if the file is \
                     UTF-8, leave the option encoding out",
                    encoding.name()
                )
            };
            SourceError::file(file, message)
        })?;
        header.names.push(name.trim().to_owned());
        start = end + dialect.delimiter.len();
    }
    Ok(Some(header))
}

/// Matches a `header` to the `declared` columns. Also returns warnings.
///
/// # Errors
/// When a declared column is missing or ambiguous, or a field is not declared, and the options do not allow it.
pub(super) fn fit(
    file: &Arc<str>,
    header: &Header,
    declared: &[CsvColumn],
    options: &CsvOptions,
) -> Result<(Fields, Vec<String>), SourceError> {
    let names = &header.names;
    let any_case = options.column_names == ColumnNames::AnyCase;
    let mut of_column = Vec::with_capacity(declared.len());
    for column in declared {
        of_column.push(field_of(file, names, column, any_case)?);
    }
    if of_column.contains(&None) && header.has_returns {
        return Err(carriage_returns(file));
    }
    if !declared.is_empty() && of_column.iter().all(Option::is_none) {
        return Err(no_header(file, header, declared));
    }
    let mut warnings = Vec::new();
    for (column, _) in declared
        .iter()
        .zip(&of_column)
        .filter(|(_, field)| field.is_none())
    {
        warnings.extend(check_missing(file, column, names, options)?);
    }
    if options.unknown_columns == UnknownColumns::Error {
        refuse_unknown(file, names, &of_column)?;
    }
    Ok((Fields { of_column }, warnings))
}

/// The error of a file whose header goes on over carriage returns, which are line ends in its first part alone.
fn carriage_returns(file: &Arc<str>) -> SourceError {
    let message = "carriage returns are within its first line, and line feeds come later: if both end lines, write OPTIONS \
                   (line_end 'any')";
    SourceError::file(file, message)
}

/// The field with a declared column's name, or else with its name in another case, if the options allow it.
fn field_of(
    file: &Arc<str>,
    names: &[String],
    column: &CsvColumn,
    any_case: bool,
) -> Result<Option<usize>, SourceError> {
    let found = names::positions(&names.iter().map(String::as_str), &column.name);
    let alike = (0..).zip(names).filter(|(_, name)| {
        found.is_empty() && any_case && is_same_in_any_case(name, &column.name)
    });
    let mut fields = found.iter().copied().chain(alike.map(|(field, _)| field));
    let field = fields.next();
    if let (Some(first), Some(second)) = (field, fields.next()) {
        let message = format!(
            "is in the header twice, as fields {} and {}; rename one",
            first + 1,
            second + 1
        );
        return Err(SourceError::column(file, Arc::clone(&column.name), message));
    }
    Ok(field)
}

fn no_header(file: &Arc<str>, header: &Header, declared: &[CsvColumn]) -> SourceError {
    let line: String = header.line.chars().take(120).collect();
    let other_case = header.names.iter().find(|name| {
        declared
            .iter()
            .any(|column| is_same_in_any_case(name, &column.name))
    });
    let message = match other_case {
        Some(name) => format!(
            "the header, '{line}', names the declared columns in another case, such as '{}': write OPTIONS \
             (column_names 'any_case'), or declare the names in double quotes as the header has them",
            printable(name.as_bytes())
        ),
        None => format!(
            "has no header: the first line, '{line}', names none of the declared columns; if it is data, write \
             OPTIONS (has_header 'false'); if lines come before the header, write OPTIONS (skip_lines '1'); if it is \
             a header, check the delimiter and the declared names"
        ),
    };
    SourceError::file(file, message)
}

/// A warning if the header has a declared column's name only in another case.
fn check_missing(
    file: &Arc<str>,
    column: &CsvColumn,
    names: &[String],
    options: &CsvOptions,
) -> Result<Option<String>, SourceError> {
    let name = &column.name;
    let shown: Vec<String> = names
        .iter()
        .map(|name| printable(name.as_bytes()))
        .collect();
    let other_case = (names.iter().zip(&shown))
        .find(|(found, _)| is_same_in_any_case(found, name))
        .map(|(_, shown)| shown);
    if options.missing_columns == MissingColumns::Null {
        if column.is_nullable() {
            return Ok(other_case.map(|found| {
                format!(
                    "{file}: column '{name}' is not in the header, which has '{found}': it is NULL in all rows; write \
                     OPTIONS (column_names 'any_case') to match names in any case"
                )
            }));
        }
        let near = other_case.map_or_else(String::new, |found| format!(", which has '{found}'"));
        let message = format!(
            "is declared NOT NULL but is not in the header{near}; allow NULL, or add the column to the file"
        );
        return Err(SourceError::column(file, Arc::clone(name), message));
    }
    let candidates: Vec<&str> = shown.iter().map(String::as_str).collect();
    let near = match (other_case, nearest(name, &candidates)) {
        (Some(found), _) => format!(
            " (the header has '{found}': write OPTIONS (column_names 'any_case'), or declare it in double quotes)"
        ),
        (None, Some(near)) => format!(" (the header has '{near}')"),
        (None, None) => format!(" (the header has {})", candidates.join(", ")),
    };
    let message = match folder_hint(file, name) {
        Some(hint) => format!("is declared but not in the header; {hint}"),
        None => format!(
            "is declared but not in the header{near}; add it to the file or write OPTIONS (missing_columns 'null')"
        ),
    };
    Err(SourceError::column(file, Arc::clone(name), message))
}

fn refuse_unknown(
    file: &Arc<str>,
    names: &[String],
    of_column: &[Option<usize>],
) -> Result<(), SourceError> {
    let unknown = (0..)
        .zip(names)
        .filter(|(field, _)| !of_column.contains(&Some(*field)));
    let mut columns = Vec::new();
    for (field, name) in unknown {
        if name.is_empty() {
            let message = format!(
                "field {} of the header has no name; name it, or write OPTIONS (unknown_columns 'ignore')",
                field + 1
            );
            return Err(SourceError::file(file, message));
        }
        let column = UndeclaredColumn {
            name: printable(name.as_bytes()),
            sql_type: "TEXT".to_owned(),
        };
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    if columns.is_empty() {
        return Ok(());
    }
    Err(undeclared::error(file, &columns))
}
