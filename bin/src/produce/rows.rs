//! The rows of a file as messages: JSON Lines as they are, CSV records as JSON objects or as they are.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use csv::{ByteRecord, Position, Reader, ReaderBuilder, WriterBuilder};

use crate::args::{Payload, ProduceArgs};
use crate::failure::Failure;

const BUFFER_BYTES: usize = 1 << 20;

/// A message.
#[derive(Debug, Default)]
pub struct Record {
    /// The text of the key's column.
    pub key: Option<Vec<u8>>,
    /// The payload.
    pub value: Vec<u8>,
}

/// The rows of a file that are left.
pub struct Rows<'a> {
    path: &'a Path,
    from: From,
}

enum From {
    Lines(BufReader<File>, u64),
    Csv(Box<Csv>),
}

struct Csv {
    reader: Reader<File>,
    record: ByteRecord,
    /// The columns' names as JSON.
    names: Vec<Vec<u8>>,
    /// Which of them stay text.
    text: Vec<bool>,
    key: Option<usize>,
    payload: Payload,
}

impl<'a> Rows<'a> {
    /// The rows of a file whose name ends in `.csv`, `.json`, `.jsonl` or `.ndjson`.
    pub fn open(path: &'a Path, file: File, args: &ProduceArgs) -> Result<Self, Failure> {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        let from = match extension.to_ascii_lowercase().as_str() {
            "csv" => From::Csv(Box::new(Csv::open(path, file, args)?)),
            "json" | "jsonl" | "ndjson" if args.key.is_some() || !args.text.is_empty() => {
                return Err(Failure::usage(format!(
                    "{}: --key and --text name columns of CSV files; lines of JSON go as they are",
                    path.display()
                )));
            }
            "json" | "jsonl" | "ndjson" => {
                From::Lines(BufReader::with_capacity(BUFFER_BYTES, file), 0)
            }
            _ => {
                return Err(Failure::failed(format!(
                    "{}: is neither .csv nor .jsonl; decompress or rename it",
                    path.display()
                )));
            }
        };
        Ok(Self { path, from })
    }

    /// The next row; `false` at the end.
    pub fn next(&mut self, record: &mut Record) -> Result<bool, Failure> {
        let path = self.path;
        match &mut self.from {
            From::Csv(csv) => csv.next(path, record),
            From::Lines(lines, number) => loop {
                *number += 1;
                record.value.clear();
                let read = lines.read_until(b'\n', &mut record.value);
                let read = read.map_err(|error| {
                    Failure::failed(format!("{} line {number}: {error}", path.display()))
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

impl Csv {
    fn open(path: &Path, file: File, args: &ProduceArgs) -> Result<Self, Failure> {
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
                Failure::usage(format!(
                    "{option} {wanted}: {path} has no such column; it has {names}"
                ))
            })
        };
        let key = args.key.as_deref().map(|key| column("--key", key));
        let mut text = vec![false; names.len()];
        for wanted in &args.text {
            text[column("--text", wanted)?] = true;
        }
        Ok(Self {
            key: key.transpose()?,
            names: names.iter().map(|name| quoted(name)).collect(),
            text,
            payload: args.payload,
            record: ByteRecord::new(),
            reader,
        })
    }

    fn next(&mut self, path: &Path, record: &mut Record) -> Result<bool, Failure> {
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

    /// A field that is a number in every byte is one, an empty one is null, all others are text.
    fn object(&self, path: &Path, value: &mut Vec<u8>) -> Result<(), Failure> {
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
                    Failure::failed(format!("{} line {line}: is not UTF-8", path.display()))
                })?;
                value.extend_from_slice(&quoted(text));
            }
        }
        value.push(b'}');
        Ok(())
    }
}

fn broken(path: &Path, error: &csv::Error) -> Failure {
    let line = error.position().map(Position::line);
    let place = line.map_or_else(String::new, |line| format!(" line {line}"));
    Failure::failed(format!("{}{place}: {error}", path.display()))
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
