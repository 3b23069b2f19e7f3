#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::*;
use tidewater_contract::source::{Decoded, Format, LineEnd, Rejected, TextBlock};

mod dictionaries;
mod edges;
mod options;
mod random;
mod values;

/// A source of `(name, type)` columns, all of them projected; a name that ends in `!` is NOT NULL.
fn spec(columns: &[(&str, DataType)], options: &[(&str, &str)]) -> SourceSpec {
    let field = |(name, data_type): &(&str, DataType)| {
        Field::new(
            name.trim_end_matches('!'),
            data_type.clone(),
            !name.ends_with('!'),
        )
    };
    let options = options
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    SourceSpec {
        name: "t".to_owned(),
        location: "f.csv".to_owned(),
        format: Format::Csv,
        schema: Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>())),
        projection: (0..columns.len()).collect(),
        options: options.collect::<BTreeMap<_, _>>(),
        ordinals: true,
        dictionaries: false,
        source: None,
    }
}

fn texts(names: &[&str]) -> SourceSpec {
    let columns: Vec<_> = names.iter().map(|name| (*name, DataType::Utf8)).collect();
    spec(&columns, &[])
}

/// The result of decoding a file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    rows: Vec<Vec<String>>,
    rejected: Vec<Rejected>,
    ordinals: Vec<u64>,
    warnings: Vec<String>,
}

/// Decodes a file that arrives `step` bytes at a time, and checks that dictionaries give the same result.
fn read(spec: &SourceSpec, bytes: &[u8], step: usize) -> Result<Read, SourceError> {
    let plain = read_as(spec, bytes, step)?;
    let spec = SourceSpec {
        dictionaries: true,
        ..spec.clone()
    };
    assert_eq!(read_as(&spec, bytes, step)?, plain);
    Ok(plain)
}

fn read_as(spec: &SourceSpec, bytes: &[u8], step: usize) -> Result<Read, SourceError> {
    let file_bytes = bytes;
    let format = Csv::new(spec)?;
    let file: Arc<str> = "f.csv".into();
    let head = format.begin(&file, bytes)?;
    let mut read = Read {
        warnings: head.warnings,
        ..Read::default()
    };
    let mut start = head.header_bytes;
    let mut end = start;
    while start < bytes.len() {
        end = bytes.len().min(end + step);
        let whole = if end == bytes.len() {
            end - start
        } else {
            head.decoder.whole_records(&bytes[start..end])
        };
        if whole == 0 {
            continue;
        }
        let block = TextBlock {
            file: Arc::clone(&file),
            first_line: 1 + head.decoder.line_end().count(&bytes[..start]) as u64,
            byte_offset: start as u64,
            bytes: bytes[start..start + whole].to_vec(),
            stored_bytes: whole as u64,
        };
        let mut stored_bytes = 0;
        for decoded in Arc::clone(&head.decoder).steps(Arc::new(block)) {
            let ordinals = decoded.ordinals.unwrap();
            assert_eq!(ordinals.len(), decoded.batch.num_rows());
            let line_end = head.decoder.line_end();
            check_places(
                &file_bytes[head.header_bytes..],
                line_end,
                head.header_bytes,
                &ordinals,
            );
            let is_place = |row: &Rejected| ordinals.contains(&row.byte_offset);
            assert!(!decoded.rejected.iter().any(is_place));
            stored_bytes += decoded.bytes;
            read.ordinals.extend(ordinals);
            read.rows.extend(rows(&decoded.batch));
            read.rejected.extend(decoded.rejected);
        }
        assert_eq!(stored_bytes, whole as u64);
        start += whole;
    }
    Ok(read)
}

/// Checks that rows begin where lines do, in ascending order.
fn check_places(text: &[u8], line_end: LineEnd, header: usize, ordinals: &[u64]) {
    assert!(ordinals.is_sorted_by(|one, next| one < next));
    for place in ordinals {
        let at = usize::try_from(*place).unwrap() - header;
        assert!(at == 0 || line_end.last(&text[..=at]) == at || line_end.last(&text[..at]) == at);
    }
}

fn rows(batch: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::new().with_null("∅");
    let formatters: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
        .collect();
    let row = |row| {
        formatters
            .iter()
            .map(|column| column.value(row).to_string())
            .collect()
    };
    (0..batch.num_rows()).map(row).collect()
}

/// Rows as `a|b` lines, then rejected rows as `line:byte column: reason <raw>` lines.
fn shown(read: &Read) -> Vec<String> {
    let mut lines: Vec<String> = read.rows.iter().map(|row| row.join("|")).collect();
    for rejected in &read.rejected {
        let mut line = format!("{}:{} ", rejected.line, rejected.byte_offset);
        if let Some(column) = &rejected.column {
            write!(line, "{column}: ").unwrap();
        }
        write!(line, "{} <{}>", rejected.reason, rejected.raw).unwrap();
        lines.push(line);
    }
    lines
}
