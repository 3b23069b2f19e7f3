//! `OPTIONS (…)` of a source, typed: one struct for each format.
//!
//! 1. Parsing fails for an unknown key or an invalid value. An option is never ignored.
//! 2. A key may have DataFusion's prefix, `format.`. A key that is given both ways is refused.

use std::collections::BTreeMap;

use self::values::Values;
use super::layout::{LineEndRule, TextLayout};
use super::scalar::{Offsets, TimeRules};
use tidewater_contract::error::OptionError;

mod csv;
pub mod values;

pub use self::csv::{CsvOptions, RaggedRows};
pub(crate) use super::compression::COMPRESSIONS;
pub use super::compression::Compression;

/// The problems that a run accepts. With others it fails and publishes nothing. Shared by all formats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gate {
    /// `max_bad_rows`: most rejected rows of the source.
    pub max_bad_rows: Option<u64>,
    /// `max_bad_ratio`: greatest ratio of rejected rows to all rows of the source, 0 to 1.
    pub max_bad_ratio: Option<f64>,
    /// `min_good_rows`: the least number of good rows of a file that has bad rows.
    pub min_good_rows: u64,
    /// `max_withdrawn_ratio`: the share of known files, from 0 to 1, that may be gone if none is new.
    pub max_withdrawn_ratio: f64,
    /// `on_bad_file`: what happens to a file that cannot be read or has too few good rows.
    pub on_bad_file: OnBadFile,
    /// `on_error`: what happens to a row on which an expression of a view fails.
    pub on_error: OnError,
}

/// `on_error`: what happens to a row on which an expression of a view fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// The run fails.
    #[default]
    Stop,
    /// It is a bad row.
    Quarantine,
}

/// `on_bad_file`: what happens to a bad file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBadFile {
    /// The run fails.
    #[default]
    Stop,
    /// None of its rows count, and it is one row of the quarantine.
    Quarantine,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            max_bad_rows: None,
            max_bad_ratio: None,
            min_good_rows: 1,
            max_withdrawn_ratio: 0.5,
            on_bad_file: OnBadFile::Stop,
            on_error: OnError::Stop,
        }
    }
}

/// The option [`Gate::min_good_rows`].
pub const MIN_GOOD_ROWS: &str = "min_good_rows";
/// The option [`Gate::max_withdrawn_ratio`].
pub const MAX_WITHDRAWN_RATIO: &str = "max_withdrawn_ratio";

/// The option [`Gate::on_bad_file`].
pub const ON_BAD_FILE: &str = "on_bad_file";
/// The option [`Gate::on_error`].
pub const ON_ERROR: &str = "on_error";

/// Whether an option, as written, only decides whether a run stops, and not which rows a source has. A bad file is
/// never inserted, whatever `on_bad_file` says.
pub fn is_stop(option: &str) -> bool {
    let key = option.strip_prefix("format.").unwrap_or(option);
    [ON_BAD_FILE, MAX_WITHDRAWN_RATIO].contains(&key)
}

impl Gate {
    /// The gate of a source of any format.
    ///
    /// # Errors
    /// When an option has an invalid value.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self, OptionError> {
        Values::new(options)?.gate()
    }
}

/// `unknown_columns`: what to do with a column that the source does not declare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownColumns {
    /// Refuse it.
    Error,
    /// Ignore it.
    Ignore,
}

/// `missing_columns`: what to do when a declared column is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingColumns {
    /// Refuse the file, or for JSON the row.
    Error,
    /// Read it as NULL.
    Null,
}

/// `scalars`: what to do with a JSON value of another kind than its column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scalars {
    /// Reject it.
    #[default]
    Strict,
    /// Accept numbers and booleans as text, and the reverse. Empty text is NULL in columns that are not text.
    Convert,
}

/// `bytes`: how bytes are encoded in JSON text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BytesFormat {
    /// Two hexadecimal digits a byte, as JSON is published.
    #[default]
    Hex,
    /// Base64 with padding.
    Base64,
    /// The bytes of the text itself.
    Text,
}

/// `check`: which columns a row is checked against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckColumns {
    /// All declared columns, so that the job's reading does not decide which rows are bad.
    #[default]
    All,
    /// The columns that the job reads (`'read_columns'`).
    Read,
}

/// `column_names`: how the names of a file's columns are matched to the declared ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColumnNames {
    /// By equal names.
    #[default]
    Exact,
    /// By names that are equal except for case. An equal name takes precedence.
    AnyCase,
    /// Not by name: columns of CSV are in declared order, and the header is ignored.
    Position,
}

/// `on_change`: what to do when a delivery changes after it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnChange {
    /// Retract the old content and insert the new.
    #[default]
    Replace,
    /// Insert whole rows that were appended to a text file.
    Append,
    /// Fail.
    Fail,
}

impl OnChange {
    /// Parses the option, for a source of any format.
    ///
    /// # Errors
    /// When `on_change` has an invalid value.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self, OptionError> {
        Values::new(options)?.on_change()
    }
}

/// Options of `STORED AS JSON`.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonLinesOptions {
    /// How dates and timestamps are written.
    pub times: TimeRules,
    /// `unknown_columns` of an object: ignored by default, as is usual with JSON; `error` rejects the row.
    pub unknown_columns: UnknownColumns,
    /// `missing_columns` of an object: NULL by default, as is usual with JSON; `error` rejects the row.
    pub missing_columns: MissingColumns,
    /// `column_names`, by default exact.
    pub column_names: ColumnNames,
    /// `check`, by default of all columns.
    pub check: CheckColumns,
    /// `scalars`, by default strict.
    pub scalars: Scalars,
    /// `bytes`, by default hexadecimal.
    pub bytes: BytesFormat,
    /// `compression` of the files.
    pub compression: Compression,
    /// `on_change` of a file, by default replaced.
    pub on_change: OnChange,
    /// The problems of the source that a run accepts.
    pub gate: Gate,
}

/// Options of `STORED AS TEXT`.
#[derive(Clone, Debug, PartialEq)]
pub struct TextOptions {
    /// Encoding, line ends, and lines around the rows.
    pub layout: TextLayout,
    /// `compression` of the files.
    pub compression: Compression,
    /// `on_change` of a file, by default replaced.
    pub on_change: OnChange,
    /// The problems of the source that a run accepts.
    pub gate: Gate,
}

/// Options of `STORED AS PARQUET`.
#[derive(Clone, Debug, PartialEq)]
pub struct ParquetOptions {
    /// `unknown_columns`, by default an error.
    pub unknown_columns: UnknownColumns,
    /// `missing_columns`, by default an error.
    pub missing_columns: MissingColumns,
    /// `column_names`, by default exact.
    pub column_names: ColumnNames,
    /// `check`, by default of all columns.
    pub check: CheckColumns,
    /// `offsets`: what to do with instants in a column without a time zone.
    pub offsets: Offsets,
    /// `on_change` of a file, by default replaced; not [`Append`](OnChange::Append).
    pub on_change: OnChange,
    /// The problems of the source that a run accepts.
    pub gate: Gate,
}

/// Options for the notation of dates and timestamps, in all formats.
pub const TIME_KEYS: &[&str] = &[
    "timestamp_format",
    "timestamp_formats",
    "date_format",
    "date_formats",
    "offsets",
];

/// Options for the notation of numbers, in formats without a number type.
pub const NUMBER_KEYS: &[&str] = &[
    "decimal_separator",
    "thousands_separator",
    "negative_parentheses",
];

/// Options for names and values in JSON.
pub const JSON_KEYS: &[&str] = &["column_names", "scalars", "bytes"];

const JSON_LINES_KEYS: &[&str] = &[
    "timestamp_format",
    "timestamp_formats",
    "date_format",
    "date_formats",
    "offsets",
    "unknown_columns",
    "missing_columns",
    "column_names",
    "check",
    "scalars",
    "bytes",
    "compression",
    "on_change",
    "max_bad_rows",
    "max_bad_ratio",
    MIN_GOOD_ROWS,
    MAX_WITHDRAWN_RATIO,
    ON_BAD_FILE,
    ON_ERROR,
];

const TEXT_KEYS: &[&str] = &[
    "skip_lines",
    "skip_trailer",
    "trailer",
    "encoding",
    "line_end",
    "compression",
    "on_change",
    "max_bad_rows",
    "max_bad_ratio",
    MIN_GOOD_ROWS,
    MAX_WITHDRAWN_RATIO,
    ON_BAD_FILE,
    ON_ERROR,
];

const PARQUET_KEYS: &[&str] = &[
    "unknown_columns",
    "missing_columns",
    "column_names",
    "check",
    "offsets",
    "on_change",
    "max_bad_rows",
    "max_bad_ratio",
    MIN_GOOD_ROWS,
    MAX_WITHDRAWN_RATIO,
    ON_BAD_FILE,
    ON_ERROR,
];

impl JsonLinesOptions {
    /// Parses the options of a JSON Lines source.
    ///
    /// # Errors
    /// When a key is unknown or a value is invalid.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self, OptionError> {
        let values = Values::new(options)?;
        values.all_among(JSON_LINES_KEYS, "JSON")?;
        Ok(Self {
            times: values.time_rules()?,
            unknown_columns: values.choice(
                "unknown_columns",
                UnknownColumns::Ignore,
                UNKNOWN_COLUMNS,
            )?,
            missing_columns: values.choice(
                "missing_columns",
                MissingColumns::Null,
                MISSING_COLUMNS,
            )?,
            column_names: values.choice("column_names", ColumnNames::Exact, COLUMN_NAMES)?,
            check: values.choice("check", CheckColumns::All, CHECKS)?,
            scalars: values.choice("scalars", Scalars::Strict, SCALARS)?,
            bytes: values.choice("bytes", BytesFormat::Hex, BYTES_FORMATS)?,
            compression: values.choice("compression", Compression::Auto, COMPRESSIONS)?,
            on_change: values.on_change_of_text()?,
            gate: values.gate()?,
        })
    }
}

impl TextOptions {
    /// Parses the options of a source of plain text.
    ///
    /// # Errors
    /// When a key is unknown or a value is invalid.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self, OptionError> {
        let values = Values::new(options)?;
        values.all_among(TEXT_KEYS, "TEXT")?;
        let layout = values.text_layout()?;
        values.check_append(values.on_change_of_text()?, &layout)?;
        Ok(Self {
            layout,
            compression: values.choice("compression", Compression::Auto, COMPRESSIONS)?,
            on_change: values.on_change_of_text()?,
            gate: values.gate()?,
        })
    }
}

impl ParquetOptions {
    /// Parses the options of a Parquet source.
    ///
    /// # Errors
    /// When a key is unknown or a value is invalid.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self, OptionError> {
        let values = Values::new(options)?;
        values.all_among(PARQUET_KEYS, "PARQUET")?;
        Ok(Self {
            unknown_columns: values.choice(
                "unknown_columns",
                UnknownColumns::Error,
                UNKNOWN_COLUMNS,
            )?,
            missing_columns: values.choice(
                "missing_columns",
                MissingColumns::Error,
                MISSING_COLUMNS,
            )?,
            column_names: values.choice("column_names", ColumnNames::Exact, COLUMN_NAMES)?,
            check: values.choice("check", CheckColumns::All, CHECKS)?,
            offsets: values.choice("offsets", Offsets::Refuse, OFFSETS)?,
            on_change: values.on_change_of_parquet()?,
            gate: values.gate()?,
        })
    }
}

const BOOLEANS: &[(&str, bool)] = &[("true", true), ("false", false)];

const UNKNOWN_COLUMNS: &[(&str, UnknownColumns)] = &[
    ("error", UnknownColumns::Error),
    ("ignore", UnknownColumns::Ignore),
];

const MISSING_COLUMNS: &[(&str, MissingColumns)] = &[
    ("error", MissingColumns::Error),
    ("null", MissingColumns::Null),
];

const COLUMN_NAMES: &[(&str, ColumnNames)] = &[
    ("exact", ColumnNames::Exact),
    ("any_case", ColumnNames::AnyCase),
];

const SCALARS: &[(&str, Scalars)] = &[("strict", Scalars::Strict), ("convert", Scalars::Convert)];

const BYTES_FORMATS: &[(&str, BytesFormat)] = &[
    ("hex", BytesFormat::Hex),
    ("base64", BytesFormat::Base64),
    ("text", BytesFormat::Text),
];

const CHECKS: &[(&str, CheckColumns)] = &[
    ("all", CheckColumns::All),
    ("read_columns", CheckColumns::Read),
];

const OFFSETS: &[(&str, Offsets)] = &[("refuse", Offsets::Refuse), ("convert", Offsets::Convert)];

const LINE_ENDS: &[(&str, LineEndRule)] = &[
    ("auto", LineEndRule::Auto),
    ("lf", LineEndRule::LineFeed),
    ("any", LineEndRule::Any),
];

const ON_BAD_FILES: &[(&str, OnBadFile)] = &[
    ("stop", OnBadFile::Stop),
    ("quarantine", OnBadFile::Quarantine),
];

const ON_ERRORS: &[(&str, OnError)] =
    &[("stop", OnError::Stop), ("quarantine", OnError::Quarantine)];

const ON_CHANGES: &[(&str, OnChange)] = &[
    ("replace", OnChange::Replace),
    ("append", OnChange::Append),
    ("fail", OnChange::Fail),
];

/// The candidate nearest to `text`, if it is close enough.
pub fn nearest<'a>(text: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let near = candidates
        .iter()
        .map(|candidate| (edits(text, candidate), *candidate));
    let (distance, candidate) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + text.len() / 4).then_some(candidate)
}

/// Levenshtein distance in bytes, ignoring case.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, cell) in b.bytes().zip(row.iter_mut().skip(1)) {
            let substituted = diagonal + usize::from(!x.eq_ignore_ascii_case(&y));
            diagonal = *cell;
            left = substituted.min(left + 1).min(*cell + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
