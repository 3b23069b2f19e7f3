//! The row formats. This module alone lists them: their names, file extensions and decoders. A new format is a
//! folder, a variant of [`Format`] and a line of [`ROW_FORMATS`].

use std::collections::BTreeMap;

use tidewater_contract::error::{OptionError, SourceError};
use tidewater_contract::source::{DecodeRecords, Format, SourceSpec, TextFormat};

use super::csv::Csv;
use super::csv::records::CsvRecords;
use super::json_lines::JsonLinesFormat;
use super::json_lines::records::JsonRecords;
use super::lines::{Lines, Payloads};
use super::options::{
    CheckColumns, Compression, CsvOptions, JsonLinesOptions, OnChange, ParquetOptions, TextOptions,
};

/// A row format.
pub struct RowFormat {
    /// The format.
    pub format: Format,
    /// Its names after `STORED AS`. Messages use the first one.
    pub names: &'static [&'static str],
    /// Its name in descriptions.
    pub title: &'static str,
    /// Extensions of its files, in lower case.
    pub extensions: &'static [&'static str],
    /// Parses the options of its files, and checks all of them.
    pub options: fn(&BTreeMap<String, String>) -> Result<FileOptions, OptionError>,
    /// How its files are read.
    pub files: FileLayout,
    /// The decoder of separate records, such as messages, if the format has one.
    pub records: Option<fn(&SourceSpec) -> Result<Box<dyn DecodeRecords>, SourceError>>,
}

/// Options of the files of any format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileOptions {
    /// Their compression.
    pub compression: Compression,
    /// What to do when a file changes.
    pub on_change: OnChange,
    /// Whether only the columns that the job reads are checked.
    pub checks_read_columns: bool,
}

/// How files of a format are read.
pub enum FileLayout {
    /// As text, block by block.
    Text(fn(&SourceSpec) -> Result<Box<dyn TextFormat>, SourceError>),
    /// As Parquet, row group by row group.
    Parquet,
}

/// The row formats.
pub static ROW_FORMATS: &[RowFormat] = &[
    RowFormat {
        format: Format::Csv,
        names: &["CSV"],
        title: "CSV",
        extensions: &["csv", "tsv"],
        options: |options| {
            let options = CsvOptions::parse(options)?;
            Ok(FileOptions {
                compression: options.compression,
                on_change: options.on_change,
                checks_read_columns: options.check == CheckColumns::Read,
            })
        },
        files: FileLayout::Text(|spec| Ok(Box::new(Csv::new(spec)?))),
        records: Some(|spec| Ok(Box::new(CsvRecords::new(spec)?))),
    },
    RowFormat {
        format: Format::JsonLines,
        names: &["JSON", "JSONL", "JSONLINES", "NDJSON"],
        title: "JSON Lines",
        extensions: &["json", "jsonl", "ndjson"],
        options: |options| {
            let options = JsonLinesOptions::parse(options)?;
            Ok(FileOptions {
                compression: options.compression,
                on_change: options.on_change,
                checks_read_columns: true,
            })
        },
        files: FileLayout::Text(|spec| Ok(Box::new(JsonLinesFormat::new(spec)?))),
        records: Some(|spec| Ok(Box::new(JsonRecords::new(spec)?))),
    },
    RowFormat {
        format: Format::Parquet,
        names: &["PARQUET"],
        title: "Parquet",
        extensions: &["parquet", "pq"],
        options: |options| {
            let options = ParquetOptions::parse(options)?;
            Ok(FileOptions {
                compression: Compression::None,
                on_change: options.on_change,
                checks_read_columns: options.check == CheckColumns::Read,
            })
        },
        files: FileLayout::Parquet,
        records: None,
    },
    RowFormat {
        format: Format::Text,
        names: &["TEXT"],
        title: "text",
        extensions: &[],
        options: |options| {
            let options = TextOptions::parse(options)?;
            Ok(FileOptions {
                compression: options.compression,
                on_change: options.on_change,
                checks_read_columns: false,
            })
        },
        files: FileLayout::Text(|spec| Ok(Box::new(Lines::new(spec)?))),
        records: Some(|spec| Ok(Box::new(Payloads::new(spec)?))),
    },
];

/// Extensions of formats that are not supported.
pub const UNREAD_FORMATS: &[&str] = &["avro", "orc", "arrow", "feather", "xlsx", "xls"];

impl RowFormat {
    /// The entry of a format.
    pub fn of(format: Format) -> &'static Self {
        let entry = ROW_FORMATS.iter().find(|entry| entry.format == format);
        // Every format has an entry, as a test checks.
        entry.unwrap_or(&ROW_FORMATS[0])
    }

    /// The format of files with this extension, in lower case.
    pub fn of_extension(extension: &str) -> Option<&'static Self> {
        let has = |entry: &&Self| entry.extensions.contains(&extension);
        ROW_FORMATS.iter().find(has)
    }

    /// The format's name after `STORED AS`.
    pub fn name(&self) -> &'static str {
        self.names.first().copied().unwrap_or(self.title)
    }

    /// Whether its files are text.
    pub fn is_text(&self) -> bool {
        matches!(self.files, FileLayout::Text(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_has_an_entry_and_names_of_its_own() {
        let all = [
            Format::Csv,
            Format::JsonLines,
            Format::Parquet,
            Format::Text,
        ];
        for format in all {
            assert_eq!(RowFormat::of(format).format, format);
        }
        assert_eq!(ROW_FORMATS.len(), all.len());
        let names = ROW_FORMATS.iter().flat_map(|entry| entry.names);
        let extensions = ROW_FORMATS.iter().flat_map(|entry| entry.extensions);
        for words in [names.collect::<Vec<_>>(), extensions.collect()] {
            let unique: std::collections::BTreeSet<_> = words.iter().collect();
            assert_eq!(unique.len(), words.len(), "{words:?}");
        }
    }
}
