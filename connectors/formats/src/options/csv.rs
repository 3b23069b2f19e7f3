//! Options of `STORED AS CSV`.

use std::collections::BTreeMap;

use super::values::Values;
use super::{
    BOOLEANS, CHECKS, COMPRESSIONS, CheckColumns, ColumnNames, Compression, Gate,
    MAX_WITHDRAWN_RATIO, MIN_GOOD_ROWS, MISSING_COLUMNS, MissingColumns, ON_BAD_FILE, ON_ERROR,
    OnChange, UNKNOWN_COLUMNS, UnknownColumns,
};
use crate::csv::record::Mark;
use crate::layout::TextLayout;
use crate::scalar::{NumberStyle, TimeRules};
use tidewater_contract::error::OptionError;

/// `ragged`: what to do with rows whose number of fields differs from the header's, or from the number of declared
/// columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RaggedRows {
    /// Reject them.
    Refuse,
    /// Read missing fields at the end as NULL.
    Pad,
    /// Drop extra fields at the end.
    Cut,
    /// Both.
    PadAndCut,
}

impl RaggedRows {
    /// Whether missing fields are NULL.
    pub fn pads(self) -> bool {
        matches!(self, Self::Pad | Self::PadAndCut)
    }

    /// Whether extra fields are dropped.
    pub fn cuts(self) -> bool {
        matches!(self, Self::Cut | Self::PadAndCut)
    }
}

/// Options of `STORED AS CSV`.
#[derive(Clone, Debug, PartialEq)]
pub struct CsvOptions {
    /// `has_header`: whether the first record names the columns. Without a header, they are in declared order.
    pub has_header: bool,
    /// `column_names`: how names in the header are matched to declared columns.
    pub column_names: ColumnNames,
    /// `header_lines`: lines of the header, the first of which names the columns.
    pub header_lines: usize,
    /// Encoding, line ends, and lines around the rows.
    pub layout: TextLayout,
    /// `delimiter` between fields, up to four bytes.
    pub delimiter: Mark,
    /// `quote` around fields, an ASCII character; `None` (written `''`) if quotes have no meaning.
    pub quote: Option<u8>,
    /// `escape`: an ASCII character that makes the next one part of the field.
    pub escape: Option<u8>,
    /// `comment`: lines that begin with it are skipped.
    pub comment: Option<Mark>,
    /// `null_value` or `null_values`: the unquoted texts that mean NULL.
    pub nulls: Vec<String>,
    /// `ragged`: what to do with rows that have too few or too many fields.
    pub ragged: RaggedRows,
    /// `check`: which columns are checked.
    pub check: CheckColumns,
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
    /// The problems of the source that a run accepts.
    pub gate: Gate,
}

const CSV_KEYS: &[&str] = &[
    "has_header",
    "column_names",
    "header_lines",
    "skip_lines",
    "skip_trailer",
    "trailer",
    "encoding",
    "line_end",
    "delimiter",
    "quote",
    "escape",
    "comment",
    "null_value",
    "null_values",
    "ragged",
    "check",
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
    MIN_GOOD_ROWS,
    MAX_WITHDRAWN_RATIO,
    ON_BAD_FILE,
    ON_ERROR,
];

impl CsvOptions {
    /// Parses the options of a CSV source.
    ///
    /// # Errors
    /// When a key is unknown or a value is invalid.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self, OptionError> {
        let values = Values::new(options)?;
        values.all_among(CSV_KEYS, "CSV")?;
        let parsed = Self {
            has_header: values.choice("has_header", true, BOOLEANS)?,
            column_names: values.choice("column_names", ColumnNames::Exact, COLUMN_NAMES)?,
            header_lines: values.count("header_lines", 1, 1)?,
            layout: values.text_layout()?,
            delimiter: values.delimiter()?,
            quote: values.character("quote")?.unwrap_or(Some(b'"')),
            escape: values.character("escape")?.flatten(),
            comment: values.mark("comment")?,
            nulls: values
                .one_or_list("null_value", "null_values")?
                .unwrap_or_else(|| vec![String::new()]),
            ragged: values.choice("ragged", RaggedRows::Refuse, RAGGED)?,
            check: values.choice("check", CheckColumns::All, CHECKS)?,
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
        parsed.check_marks(&values)?;
        Ok(parsed)
    }

    /// Refuses options that contradict one another.
    fn check_marks(&self, values: &Values<'_>) -> Result<(), OptionError> {
        let begins_delimiter = |byte: Option<u8>| byte == Some(self.delimiter.first());
        let other = "choose another character for one of them";
        if begins_delimiter(self.quote) {
            return Err(values.error("quote", "is the delimiter too", other));
        }
        if begins_delimiter(self.escape) {
            return Err(values.error("escape", "is the delimiter too", other));
        }
        if self.escape.is_some() && self.escape == self.quote {
            let hint = "leave it out: a doubled quote stands for one anyway";
            return Err(values.error("escape", "is the quote too", hint));
        }
        if self
            .comment
            .is_some_and(|comment| comment == self.delimiter)
        {
            return Err(values.error("comment", "is the delimiter too", other));
        }
        let headless = "a file without a header has no names; leave it out";
        if !self.has_header && self.column_names != ColumnNames::Exact {
            return Err(values.error(
                "column_names",
                "is given beside has_header 'false'",
                headless,
            ));
        }
        if !self.has_header && self.header_lines > 1 {
            return Err(values.error(
                "header_lines",
                "is given beside has_header 'false'",
                "write skip_lines instead",
            ));
        }
        values.check_append(self.on_change, &self.layout)
    }
}

const COLUMN_NAMES: &[(&str, ColumnNames)] = &[
    ("exact", ColumnNames::Exact),
    ("any_case", ColumnNames::AnyCase),
    ("position", ColumnNames::Position),
];

const RAGGED: &[(&str, RaggedRows)] = &[
    ("refuse", RaggedRows::Refuse),
    ("pad", RaggedRows::Pad),
    ("cut", RaggedRows::Cut),
    ("pad_and_cut", RaggedRows::PadAndCut),
];
