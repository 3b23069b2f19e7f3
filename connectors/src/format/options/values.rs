//! The values that are written, each read as what it must be, or the error that says what to write instead.

use std::collections::BTreeMap;
use std::str::FromStr;

use chrono::format::{Item, StrftimeItems};

use super::{COMPRESSIONS, Compression, Gate, ON_CHANGES, OnChange, nearest};
use crate::error::OptionError;

/// The options as written, by key without its prefix.
pub(crate) struct Values<'a>(BTreeMap<&'a str, (&'a str, &'a str)>);

impl<'a> Values<'a> {
    pub(crate) fn new(options: &'a BTreeMap<String, String>) -> Result<Self, OptionError> {
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

    pub(crate) fn get(&self, key: &str) -> Option<&'a str> {
        self.0.get(key).map(|(_, value)| *value)
    }

    pub(crate) fn error(
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

    pub(crate) fn choice<T: Copy>(
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

    /// One ASCII character; inner `None` for the empty text, outer when the option is absent.
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

    pub(super) fn time_format(&self, key: &str) -> Result<Option<Vec<Item<'static>>>, OptionError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match StrftimeItems::new(value).parse_to_owned() {
            Ok(items) if !items.is_empty() => Ok(Some(items)),
            _ => Err(self.error(
                key,
                format!("cannot be '{value}'"),
                "write a strftime format such as '%d.%m.%Y %H:%M:%S'",
            )),
        }
    }

    pub(super) fn number<T: FromStr>(
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
        Ok(Gate {
            max_bad_rows: self.number(
                "max_bad_rows",
                |_| true,
                "write a whole number of rows, 0 or more",
            )?,
            max_bad_ratio: self.number(
                "max_bad_ratio",
                |ratio| (0.0..=1.0).contains(ratio),
                "write a number from 0 to 1, such as 0.001",
            )?,
        })
    }
}
