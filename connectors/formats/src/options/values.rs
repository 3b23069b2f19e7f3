//! Parses the values of options, with errors that say what to write instead.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::{
    BOOLEANS, COMPRESSIONS, Compression, Gate, LINE_ENDS, MAX_WITHDRAWN_RATIO, MIN_GOOD_ROWS,
    OFFSETS, ON_BAD_FILE, ON_BAD_FILES, ON_CHANGES, ON_ERROR, ON_ERRORS, OnChange, nearest,
};
use crate::csv::record::Mark;
use crate::layout::{LineEndRule, TextEncoding, TextLayout};
use crate::scalar::{NumberStyle, Offsets, TimeFormat, TimeFormats, TimeRules};
use crate::trailer::{LinePattern, Trailer};
use tidewater_contract::error::OptionError;

/// The options as written, by key without prefix.
pub struct Values<'a>(BTreeMap<&'a str, (&'a str, &'a str)>);

impl<'a> Values<'a> {
    /// The options of a statement, keys in lower case.
    ///
    /// # Errors
    /// When a key is given with the prefix `format.` and without it.
    pub fn new(options: &'a BTreeMap<String, String>) -> Result<Self, OptionError> {
        let mut values = Self(BTreeMap::new());
        for (written, value) in options {
            let key = written.strip_prefix("format.").unwrap_or(written);
            if values.0.insert(key, (written, value)).is_some() {
                let message = format!("is given twice, as '{key}' and as 'format.{key}'");
                return Err(values.error(key, message, "keep one"));
            }
        }
        Ok(values)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.0.get(key).map(|(_, value)| *value)
    }

    /// An error about a key, with a hint what to write instead.
    pub fn error(
        &self,
        key: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> OptionError {
        OptionError {
            option: self
                .0
                .get(key)
                .map_or(key, |(written, _)| written)
                .to_owned(),
            message: message.into(),
            hint: Some(hint.into()),
        }
    }

    pub(super) fn all_among(&self, known: &[&str], stored_as: &str) -> Result<(), OptionError> {
        let Some(key) = self.0.keys().find(|key| !known.contains(key)) else {
            return Ok(());
        };
        let list = known.join(", ");
        let hint = match nearest(key, known) {
            Some(near) => format!("did you mean '{near}'? Known are {list}"),
            None => format!("known are {list}"),
        };
        Err(self.error(key, format!("is unknown to STORED AS {stored_as}"), hint))
    }

    /// The value of a key as one of `choices`, in any case; `default` if the key is absent.
    ///
    /// # Errors
    /// When the value is none of them.
    pub fn choice<T: Copy>(
        &self,
        key: &str,
        default: T,
        choices: &[(&str, T)],
    ) -> Result<T, OptionError> {
        let Some(value) = self.get(key) else {
            return Ok(default);
        };
        let found = choices
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(value));
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let names: Vec<_> = choices
                .iter()
                .map(|(name, _)| format!("'{name}'"))
                .collect();
            self.error(
                key,
                format!("cannot be '{value}'"),
                format!("write {}", names.join(" or ")),
            )
        })
    }

    /// One ASCII character. The inner `None` is the empty text; the outer one, an absent option.
    pub(super) fn character(&self, key: &str) -> Result<Option<Option<u8>>, OptionError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.as_bytes() {
            [] => Ok(Some(None)),
            b"\\t" => Ok(Some(Some(b'\t'))),
            [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Ok(Some(Some(*byte))),
            _ => Err(self.error(
                key,
                format!("cannot be '{}'", value.escape_default()),
                "write one ASCII character other than a line end; '\\t' is a tab",
            )),
        }
    }

    /// The items of a list, separated by commas. An item with a comma, or an empty item, is in double quotes.
    pub(super) fn list(&self, key: &str) -> Result<Option<Vec<String>>, OptionError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match items(value) {
            Some(items) => Ok(Some(items)),
            None => Err(self.error(
                key,
                format!("cannot be '{}'", value.escape_default()),
                "separate the items by commas; write an empty item, or one with a comma, in double quotes",
            )),
        }
    }

    /// The options `single` and `several`, of which at most one may be given.
    pub(super) fn one_or_list(
        &self,
        single: &str,
        several: &str,
    ) -> Result<Option<Vec<String>>, OptionError> {
        match (self.get(single), self.list(several)?) {
            (Some(_), Some(_)) => Err(self.error(
                several,
                format!("is given beside '{single}'"),
                "keep one of them",
            )),
            (Some(one), None) => Ok(Some(vec![one.to_owned()])),
            (None, list) => Ok(list),
        }
    }

    fn time_formats(&self, single: &str, several: &str) -> Result<TimeFormats, OptionError> {
        let Some(written) = self.one_or_list(single, several)? else {
            return Ok(TimeFormats::default());
        };
        let key = if self.get(single).is_some() {
            single
        } else {
            several
        };
        let parse = |format: &String| {
            let parsed = TimeFormat::parse(format);
            parsed.map_err(|(message, hint)| self.error(key, message, hint))
        };
        let formats: Vec<_> = written.iter().map(parse).collect::<Result<_, _>>()?;
        Ok(formats.into())
    }

    /// How dates and timestamps are written.
    pub(super) fn time_rules(&self) -> Result<TimeRules, OptionError> {
        Ok(TimeRules {
            timestamps: self.time_formats("timestamp_format", "timestamp_formats")?,
            dates: self.time_formats("date_format", "date_formats")?,
            offsets: self.choice("offsets", Offsets::default(), OFFSETS)?,
        })
    }

    /// How numbers are written.
    pub(super) fn number_style(&self) -> Result<NumberStyle, OptionError> {
        let decimal_separator =
            self.choice("decimal_separator", b'.', &[(".", b'.'), (",", b',')])?;
        let thousands_separator = self.thousands_separator()?;
        if thousands_separator == Some(char::from(decimal_separator)) {
            return Err(self.error(
                "thousands_separator",
                "is the decimal separator too",
                "set decimal_separator to the other one of '.' and ','",
            ));
        }
        Ok(NumberStyle {
            decimal_separator,
            thousands_separator,
            negative_parentheses: self.choice("negative_parentheses", false, BOOLEANS)?,
        })
    }

    fn thousands_separator(&self) -> Result<Option<char>, OptionError> {
        let Some(value) = self.get("thousands_separator") else {
            return Ok(None);
        };
        let mut characters = value.chars();
        match (characters.next(), characters.next()) {
            (None, _) => Ok(None),
            (Some(one), None) if !one.is_alphanumeric() && !matches!(one, '+' | '-' | '(' | ')') => {
                Ok(Some(one))
            }
            _ => Err(self.error(
                "thousands_separator",
                format!("cannot be '{}'", value.escape_default()),
                "write one character that is no digit, letter, sign or parenthesis, such as ',' or ' '",
            )),
        }
    }

    /// A mark of a few bytes; `None` if the option is absent or empty.
    pub(super) fn mark(&self, key: &str) -> Result<Option<Mark>, OptionError> {
        let Some(value) = self.get(key).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let text = value.replace("\\t", "\t");
        let mark = Mark::new(text.as_bytes()).filter(|_| !text.contains(['\n', '\r']));
        match mark {
            Some(mark) => Ok(Some(mark)),
            None => Err(self.error(
                key,
                format!("cannot be '{}'", value.escape_default()),
                "write up to four bytes without a line end; '\\t' is a tab",
            )),
        }
    }

    /// `delimiter`, by default a comma.
    pub(super) fn delimiter(&self) -> Result<Mark, OptionError> {
        let empty = || {
            let hint = "write up to four bytes, such as ';' or '\\t'";
            self.error("delimiter", "is empty", hint)
        };
        let delimiter = if self.get("delimiter").is_none() {
            Mark::new(b",")
        } else {
            self.mark("delimiter")?
        };
        delimiter.ok_or_else(empty)
    }

    /// A number of lines, at least `least`.
    pub(super) fn count(
        &self,
        key: &str,
        default: usize,
        least: usize,
    ) -> Result<usize, OptionError> {
        let hint = format!("write a whole number of lines from {least} to 1000");
        let count = self.number(key, |count| (least..=1000).contains(count), &hint)?;
        Ok(count.unwrap_or(default))
    }

    /// Encoding, line ends, and lines around the rows.
    pub(super) fn text_layout(&self) -> Result<TextLayout, OptionError> {
        let encoding = match self.get("encoding") {
            None => TextLayout::default().encoding,
            Some(name) => TextEncoding::named(name).ok_or_else(|| {
                self.error(
                    "encoding",
                    format!("cannot be '{}'", name.escape_default()),
                    "write a name such as 'utf-8', 'cp949', 'utf-16', 'utf-16le', 'windows-1252', 'latin1' or \
                     'shift_jis'",
                )
            })?,
        };
        let line_end = self.choice("line_end", LineEndRule::default(), LINE_ENDS)?;
        if line_end == LineEndRule::Any && encoding.is_utf16() {
            return Err(self.error(
                "line_end",
                "cannot be 'any' for UTF-16",
                "leave it out: lines of UTF-16 end with line feeds",
            ));
        }
        Ok(TextLayout {
            encoding,
            line_end,
            skip_lines: self.count("skip_lines", 0, 0)?,
            trailer: self.trailer()?,
        })
    }

    fn trailer(&self) -> Result<Trailer, OptionError> {
        let lines = self.count("skip_trailer", 0, 0)?;
        let Some(pattern) = self.get("trailer") else {
            let of_lines = (lines > 0).then_some(Trailer::Lines(lines));
            return Ok(of_lines.unwrap_or_default());
        };
        if lines > 0 {
            return Err(self.error(
                "trailer",
                "cannot be given beside skip_trailer",
                "leave one of them out",
            ));
        }
        let parsed = LinePattern::parse(pattern).map(Trailer::Matching);
        parsed.ok_or_else(|| {
            self.error(
                "trailer",
                format!("cannot be '{pattern}', which matches every line"),
                "write the text of the line, with '*' for any text: 'TRL|*'",
            )
        })
    }

    /// Refuses options that need the end of a file if files may grow.
    pub(super) fn check_append(
        &self,
        on_change: OnChange,
        layout: &TextLayout,
    ) -> Result<(), OptionError> {
        if on_change != OnChange::Append {
            return Ok(());
        }
        let key = if !layout.trailer.is_none() {
            match layout.trailer {
                Trailer::Matching(_) => "trailer",
                Trailer::Lines(_) | Trailer::None => "skip_trailer",
            }
        } else if layout.encoding.is_utf16() {
            "encoding"
        } else if layout.line_end == LineEndRule::Any {
            "line_end"
        } else {
            return Ok(());
        };
        Err(self.error(
            "on_change",
            format!("cannot be 'append' beside {key}"),
            "write 'replace'",
        ))
    }

    /// The value of a key as a number that is `valid`.
    ///
    /// # Errors
    /// When the value is not such a number.
    pub fn number<T: FromStr>(
        &self,
        key: &str,
        valid: impl Fn(&T) -> bool,
        hint: &str,
    ) -> Result<Option<T>, OptionError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.parse() {
            Ok(number) if valid(&number) => Ok(Some(number)),
            _ => Err(self.error(key, format!("cannot be '{value}'"), hint)),
        }
    }

    pub(super) fn on_change(&self) -> Result<OnChange, OptionError> {
        self.choice("on_change", OnChange::default(), ON_CHANGES)
    }

    pub(super) fn on_change_of_text(&self) -> Result<OnChange, OptionError> {
        let on_change = self.on_change()?;
        let compression = self.choice("compression", Compression::Auto, COMPRESSIONS)?;
        let compressed = matches!(compression, Compression::Gzip | Compression::Zstd);
        if on_change == OnChange::Append && compressed {
            return Err(self.error(
                "on_change",
                "cannot be 'append' where files are compressed",
                "write 'replace', or deliver the files uncompressed",
            ));
        }
        Ok(on_change)
    }

    pub(super) fn on_change_of_parquet(&self) -> Result<OnChange, OptionError> {
        let on_change = self.on_change()?;
        if on_change == OnChange::Append {
            return Err(self.error(
                "on_change",
                "cannot be 'append' for Parquet, whose files end with their footer",
                "write 'replace', and deliver what is new as another file",
            ));
        }
        Ok(on_change)
    }

    pub(super) fn gate(&self) -> Result<Gate, OptionError> {
        let rows = |key| self.number(key, |_| true, "write a whole number of rows, 0 or more");
        let ratio = |key| {
            let hint = "write a number from 0 to 1, such as 0.001";
            self.number(key, |ratio| (0.0..=1.0).contains(ratio), hint)
        };
        let default = Gate::default();
        let withdrawn = ratio(MAX_WITHDRAWN_RATIO)?;
        Ok(Gate {
            max_bad_rows: rows("max_bad_rows")?,
            max_bad_ratio: ratio("max_bad_ratio")?,
            min_good_rows: rows(MIN_GOOD_ROWS)?.unwrap_or(default.min_good_rows),
            max_withdrawn_ratio: withdrawn.unwrap_or(default.max_withdrawn_ratio),
            on_bad_file: self.choice(ON_BAD_FILE, default.on_bad_file, ON_BAD_FILES)?,
            on_error: self.choice(ON_ERROR, default.on_error, ON_ERRORS)?,
        })
    }
}

/// The items of a list; `None` if its quotes are wrong.
fn items(list: &str) -> Option<Vec<String>> {
    let mut items = Vec::new();
    let mut rest = list.trim_start();
    loop {
        let item = if let Some(quoted) = rest.strip_prefix('"') {
            let mut item = String::new();
            let mut inner = quoted;
            loop {
                let (text, behind) = inner.split_once('"')?;
                item.push_str(text);
                match behind.strip_prefix('"') {
                    Some(doubled) => {
                        item.push('"');
                        inner = doubled;
                    }
                    None => {
                        rest = behind.trim_start();
                        break item;
                    }
                }
            }
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            let (item, behind) = rest.split_at(end);
            rest = behind;
            let item = item.trim_end();
            if item.is_empty() || item.contains('"') {
                return None;
            }
            item.to_owned()
        };
        items.push(item);
        if rest.is_empty() {
            return Some(items);
        }
        rest = rest.strip_prefix(',')?.trim_start();
    }
}
