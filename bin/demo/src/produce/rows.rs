//! Reads the rows of a file as messages. JSON Lines are sent unchanged, and CSV records as JSON objects or unchanged.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::anyhow;
use csv::{ByteRecord, Position, Reader, ReaderBuilder, WriterBuilder};

use super::options::{Payload, ProduceOptions};
use crate::DemoError;

const BUFFER_BYTES: usize = 1 << 20;

/// A message.
#[derive(Debug, Default)]
pub struct FeedRecord {
    /// The text of the key's column.
    pub key: Option<Vec<u8>>,
    /// The payload.
    pub value: Vec<u8>,
}

/// Reads the rows of a file one by one.
pub struct FileRows<'a> {
    path: &'a Path,
    source: RowSource,
}

/// How the rows of a file are read.
enum RowSource {
    Lines(BufReader<File>, u64),
    Csv(Box<CsvRows>),
}

struct CsvRows {
    reader: Reader<File>,
    record: ByteRecord,
    /// The columns' names as JSON.
    names: Vec<Vec<u8>>,
    /// Which columns stay text.
    text: Vec<bool>,
    key: Option<usize>,
    payload: Payload,
}

impl<'a> FileRows<'a> {
    /// The rows of a file whose name ends in `.csv`, `.json`, `.jsonl` or `.ndjson`.
    pub fn open(path: &'a Path, file: File, options: &ProduceOptions) -> Result<Self, DemoError> {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        let source = match extension.to_ascii_lowercase().as_str() {
            "csv" => RowSource::Csv(Box::new(CsvRows::open(path, file, options)?)),
            "json" | "jsonl" | "ndjson" if options.key.is_some() || !options.text.is_empty() => {
                return Err(DemoError::Options(format!(
                    "{}: --key and --text name columns of CSV files; lines of JSON go as they are",
                    path.display()
                )));
            }
            "json" | "jsonl" | "ndjson" => {
                RowSource::Lines(BufReader::with_capacity(BUFFER_BYTES, file), 0)
            }
            _ => {
                return Err(failed(format!(
                    "{}: is neither .csv nor .jsonl; decompress or rename it",
                    path.display()
                )));
            }
        };
        Ok(Self { path, source })
    }

    /// The next row; `false` at the end.
    pub fn next(&mut self, record: &mut FeedRecord) -> Result<bool, DemoError> {
        let path = self.path;
        match &mut self.source {
            RowSource::Csv(csv) => csv.next(path, record),
            RowSource::Lines(lines, number) => loop {
                *number += 1;
                record.value.clear();
                let read = lines.read_until(b'\n', &mut record.value);
                let read = read.map_err(|error| {
                    failed(format!("{} line {number}: {error}", path.display()))
                })?;
                if read == 0 {
                    return Ok(false);
                }
                let line = record.value.trim_ascii_end().len();
                record.value.truncate(line);
                if !record.value.is_empty() {
                    return Ok(true);
                }
            },
        }
    }
}

impl CsvRows {
    fn open(path: &Path, file: File, options: &ProduceOptions) -> Result<Self, DemoError> {
        let mut reader = ReaderBuilder::new()
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(file);
        let header = reader
            .byte_headers()
            .map_err(|error| broken(path, &error))?;
        let names: Vec<String> = header
            .iter()
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect();
        let column = |option: &str, wanted: &str| {
            let found = names.iter().position(|name| name == wanted);
            found.ok_or_else(|| {
                let (path, names) = (path.display(), names.join(", "));
                DemoError::Options(format!(
                    "{option} {wanted}: {path} has no such column; it has {names}"
                ))
            })
        };
        let key = options.key.as_deref().map(|key| column("--key", key));
        let mut text = vec![false; names.len()];
        for wanted in &options.text {
            text[column("--text", wanted)?] = true;
        }
        Ok(Self {
            key: key.transpose()?,
            names: names.iter().map(|name| quoted(name)).collect(),
            text,
            payload: options.payload,
            record: ByteRecord::new(),
            reader,
        })
    }

    fn next(&mut self, path: &Path, record: &mut FeedRecord) -> Result<bool, DemoError> {
        let read = self.reader.read_byte_record(&mut self.record);
        if !read.map_err(|error| broken(path, &error))? {
            return Ok(false);
        }
        record.key = self.key.map(|key| self.record[key].to_vec());
        record.value.clear();
        match self.payload {
            Payload::Json => self.object(path, &mut record.value)?,
            Payload::Csv => {
                let mut writer = WriterBuilder::new().from_writer(&mut record.value);
                let written = writer.write_byte_record(&self.record);
                written.map_err(|error| broken(path, &error))?;
                drop(writer);
                record.value.truncate(record.value.trim_ascii_end().len());
            }
        }
        Ok(true)
    }

    /// Appends a record as an object. A field that is a complete JSON number becomes a number, an empty field null,
    /// and any other field text.
    fn object(&self, path: &Path, value: &mut Vec<u8>) -> Result<(), DemoError> {
        value.push(b'{');
        for (at, (field, name)) in self.record.iter().zip(&self.names).enumerate() {
            if at > 0 {
                value.push(b',');
            }
            value.extend_from_slice(name);
            value.push(b':');
            if field.is_empty() {
                value.extend_from_slice(b"null");
            } else if !self.text[at] && is_number(field) {
                value.extend_from_slice(field);
            } else {
                let text = std::str::from_utf8(field).map_err(|_| {
                    let line = self.record.position().map_or(0, Position::line);
                    failed(format!("{} line {line}: is not UTF-8", path.display()))
                })?;
                value.extend_from_slice(&quoted(text));
            }
        }
        value.push(b'}');
        Ok(())
    }
}

fn broken(path: &Path, error: &csv::Error) -> DemoError {
    let line = error.position().map(Position::line);
    let place = line.map_or_else(String::new, |line| format!(" line {line}"));
    failed(format!("{}{place}: {error}", path.display()))
}

fn failed(message: String) -> DemoError {
    DemoError::Failed(anyhow!(message))
}

fn quoted(text: &str) -> Vec<u8> {
    serde_json::Value::from(text).to_string().into_bytes()
}

/// Whether a text is a number of JSON: no plus sign, no leading zero, digits around a point.
fn is_number(text: &[u8]) -> bool {
    fn digits(text: &[u8]) -> usize {
        text.iter().take_while(|byte| byte.is_ascii_digit()).count()
    }
    let rest = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest[0] == b'0') {
        return false;
    }
    match rest[whole..].split_first() {
        None => true,
        Some((b'.', decimals)) => !decimals.is_empty() && digits(decimals) == decimals.len(),
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_json() {
        for number in ["0", "-0", "7", "-12", "1.50", "0.1", "12345678901234567890"] {
            assert!(is_number(number.as_bytes()), "{number}");
        }
        for text in [
            "",
            "-",
            "01",
            "+1",
            "1.",
            ".5",
            "1e3",
            "1,5",
            " 1",
            "1-2",
            "NaN",
            "2024-01-01",
        ] {
            assert!(!is_number(text.as_bytes()), "{text}");
        }
    }
}
