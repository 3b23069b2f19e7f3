//! Options of `STORED AS CSV`.

use std::collections::BTreeMap;

use super::values::Values;
use super::{
    BOOLEANS, COMPRESSIONS, Compression, Gate, MISSING_COLUMNS, MissingColumns, OnChange,
    UNKNOWN_COLUMNS, UnknownColumns,
};
use crate::scalar::{NumberStyle, TimeRules};
use tidewater_contract::error::OptionError;

/// Options of `STORED AS CSV`.
#[derive(Clone, Debug, PartialEq)]
pub struct CsvOptions {
    /// `has_header`: whether the first record names the columns. Otherwise they are in declared order.
    pub has_header: bool,
    /// `delimiter` between fields, an ASCII character.
    pub delimiter: u8,
    /// `quote` around fields, an ASCII character; `None` (written `''`) when quotes mean nothing.
    pub quote: Option<u8>,
    /// `null_value`: the unquoted text that means NULL.
    pub null_value: String,
    /// How dates and timestamps are written.
    pub times: TimeRules,
    /// How numbers are written.
    pub numbers: NumberStyle,
    /// `unknown_columns`, by default an error.
    pub unknown_columns: UnknownColumns,
    /// `missing_columns`, by default an error.
    pub missing_columns: MissingColumns,
    /// `compression` of the files.
    pub compression: Compression,
    /// `on_change` of a file, by default replaced.
    pub on_change: OnChange,
    /// `max_bad_rows`, `max_bad_ratio`.
    pub gate: Gate,
}

const CSV_KEYS: &[&str] = &[
    "has_header",
    "delimiter",
    "quote",
    "null_value",
    "timestamp_format",
    "timestamp_formats",
    "date_format",
    "date_formats",
    "offsets",
    "decimal_separator",
    "thousands_separator",
    "negative_parentheses",
    "unknown_columns",
    "missing_columns",
    "compression",
    "on_change",
    "max_bad_rows",
    "max_bad_ratio",
];

impl CsvOptions {
    /// Parses the options of a CSV source.
    ///
    /// # Errors
    /// When a key is unknown or a value means nothing.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self, OptionError> {
        let values = Values::new(options)?;
        values.all_among(CSV_KEYS, "CSV")?;
        let parsed = Self {
            has_header: values.choice("has_header", true, BOOLEANS)?,
            delimiter: values
                .character("delimiter")?
                .unwrap_or(Some(b','))
                .ok_or_else(|| {
                    values.error(
                        "delimiter",
                        "is empty",
                        "write one ASCII character, or '\\t'",
                    )
                })?,
            quote: values.character("quote")?.unwrap_or(Some(b'"')),
            null_value: values.get("null_value").unwrap_or_default().to_owned(),
            times: values.time_rules()?,
            numbers: values.number_style()?,
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
            compression: values.choice("compression", Compression::Auto, COMPRESSIONS)?,
            on_change: values.on_change_of_text()?,
            gate: values.gate()?,
        };
        if parsed.quote == Some(parsed.delimiter) {
            return Err(values.error(
                "quote",
                "is the delimiter too",
                "choose another character for one of them",
            ));
        }
        Ok(parsed)
    }
}
