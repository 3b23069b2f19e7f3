//! `STORED AS` and `OPTIONS` of a published table.

use std::collections::BTreeMap;

use parquet::basic::{Compression, GzipLevel, ZstdLevel};

use tidewater_contract::sink::{Encoding, SinkError};
use tidewater_formats::parquet::encode::DEFAULT_ROW_GROUP_ROWS;

/// The most rows of a row group, so that a column of it fits into a reader's memory.
const ROW_GROUP_ROWS_MAX: usize = 16 * 1024 * 1024;

/// The encoding for `STORED AS format OPTIONS (options)`. Names are case-insensitive.
///
/// | format | options |
/// |---|---|
/// | `PARQUET` | `compression` = snappy (default), zstd, gzip, lz4, none; `row_group_rows` = 1 to 16777216 (default 65536) |
/// | `CSV` | `delimiter` = one character, or `\t` (default `,`); `null_value` = text (default empty) |
/// | `JSON` | none |
///
/// # Errors
/// When the format, an option or a value is unknown. The message lists the known ones.
pub fn parse_encoding(
    format: &str,
    options: &BTreeMap<String, String>,
) -> Result<Encoding, SinkError> {
    match format.to_ascii_uppercase().as_str() {
        "PARQUET" => parquet(options),
        "CSV" => csv(options),
        "JSON" | "JSONL" | "NDJSON" | "JSONLINES" | "JSON_LINES" => {
            check_known("JSON", options, &[])?;
            Ok(Encoding::JsonLines)
        }
        _ => Err(SinkError::UnknownFormat(format.to_owned())),
    }
}

fn parquet(options: &BTreeMap<String, String>) -> Result<Encoding, SinkError> {
    check_known("PARQUET", options, &["compression", "row_group_rows"])?;
    let compression = get(options, "compression").map_or(Ok(Compression::SNAPPY), compression)?;
    let row_group_rows = match get(options, "row_group_rows") {
        None => DEFAULT_ROW_GROUP_ROWS,
        Some(text) => {
            let rows = text
                .trim()
                .parse()
                .ok()
                .filter(|rows| (1..=ROW_GROUP_ROWS_MAX).contains(rows));
            rows.ok_or_else(|| {
                bad_value("row_group_rows", text, "a whole number from 1 to 16777216")
            })?
        }
    };
    Ok(Encoding::Parquet {
        compression,
        row_group_rows,
    })
}

fn compression(text: &str) -> Result<Compression, SinkError> {
    match text.to_ascii_lowercase().as_str() {
        "snappy" => Ok(Compression::SNAPPY),
        "zstd" => Ok(Compression::ZSTD(ZstdLevel::default())),
        "gzip" => Ok(Compression::GZIP(GzipLevel::default())),
        "lz4" => Ok(Compression::LZ4_RAW),
        "none" => Ok(Compression::UNCOMPRESSED),
        _ => Err(bad_value(
            "compression",
            text,
            "snappy, zstd, gzip, lz4 or none",
        )),
    }
}

fn csv(options: &BTreeMap<String, String>) -> Result<Encoding, SinkError> {
    check_known("CSV", options, &["delimiter", "null_value"])?;
    let delimiter = match get(options, "delimiter") {
        None => b',',
        Some("\\t") => b'\t',
        Some(text) => match text.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n') => *byte,
            _ => {
                return Err(bad_value(
                    "delimiter",
                    text,
                    "one ASCII character that is no quote and no line end, or \\t",
                ));
            }
        },
    };
    let null_text = get(options, "null_value").unwrap_or_default();
    let in_the_way = |c: char| matches!(c, '"' | '\r' | '\n') || c == char::from(delimiter);
    if null_text.contains(in_the_way) {
        return Err(bad_value(
            "null_value",
            null_text,
            "a text without quotes, line ends and the delimiter",
        ));
    }
    Ok(Encoding::Csv {
        delimiter,
        null_text: null_text.to_owned(),
    })
}

fn get<'a>(options: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    options
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

fn check_known(
    format: &'static str,
    options: &BTreeMap<String, String>,
    known: &[&str],
) -> Result<(), SinkError> {
    let unknown = options
        .keys()
        .find(|key| !known.iter().any(|name| key.eq_ignore_ascii_case(name)));
    unknown.map_or(Ok(()), |option| {
        let known = if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        };
        Err(SinkError::UnknownOption {
            format,
            option: option.clone(),
            known,
        })
    })
}

fn bad_value(option: &'static str, value: &str, expected: &'static str) -> SinkError {
    SinkError::OptionValue {
        option,
        value: value.to_owned(),
        expected,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(format: &str, options: &[(&str, &str)]) -> Result<Encoding, SinkError> {
        let options = options
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        parse_encoding(format, &options.collect())
    }

    #[test]
    fn formats_and_options() {
        let parquet = |compression, row_group_rows| Encoding::Parquet {
            compression,
            row_group_rows,
        };
        let csv = |delimiter, null_text: &str| Encoding::Csv {
            delimiter,
            null_text: null_text.to_owned(),
        };
        let cases: &[(&str, &[(&str, &str)], Encoding)] = &[
            ("PARQUET", &[], parquet(Compression::SNAPPY, 65_536)),
            (
                "parquet",
                &[("COMPRESSION", "ZSTD")],
                parquet(Compression::ZSTD(ZstdLevel::default()), 65_536),
            ),
            (
                "parquet",
                &[("compression", "gzip")],
                parquet(Compression::GZIP(GzipLevel::default()), 65_536),
            ),
            (
                "parquet",
                &[("compression", "lz4")],
                parquet(Compression::LZ4_RAW, 65_536),
            ),
            (
                "parquet",
                &[("compression", "none"), ("row_group_rows", "7")],
                parquet(Compression::UNCOMPRESSED, 7),
            ),
            ("csv", &[], csv(b',', "")),
            (
                "CSV",
                &[("delimiter", ";"), ("null_value", "NULL")],
                csv(b';', "NULL"),
            ),
            ("CSV", &[("delimiter", "\\t")], csv(b'\t', "")),
            ("JSON", &[], Encoding::JsonLines),
            ("jsonl", &[], Encoding::JsonLines),
        ];
        for (format, options, expected) in cases {
            assert_eq!(
                &parse(format, options).unwrap(),
                expected,
                "{format} {options:?}"
            );
        }
    }

    #[test]
    fn what_is_not_known_is_refused_with_what_is() {
        let cases: &[(&str, &[(&str, &str)], &str)] = &[
            ("ORC", &[], "write PARQUET, CSV or JSON"),
            (
                "parquet",
                &[("codec", "snappy")],
                "known: compression, row_group_rows",
            ),
            (
                "parquet",
                &[("delimiter", ";")],
                "known: compression, row_group_rows",
            ),
            (
                "parquet",
                &[("compression", "brotli")],
                "snappy, zstd, gzip, lz4 or none",
            ),
            ("parquet", &[("row_group_rows", "0")], "from 1 to 16777216"),
            ("parquet", &[("row_group_rows", "-5")], "from 1 to 16777216"),
            (
                "parquet",
                &[("row_group_rows", "1e6")],
                "from 1 to 16777216",
            ),
            (
                "parquet",
                &[("row_group_rows", "16777217")],
                "from 1 to 16777216",
            ),
            ("csv", &[("null_text", "x")], "known: delimiter, null_value"),
            ("csv", &[("delimiter", "")], "one ASCII character"),
            ("csv", &[("delimiter", "||")], "one ASCII character"),
            ("csv", &[("delimiter", "\"")], "one ASCII character"),
            ("csv", &[("delimiter", "·")], "one ASCII character"),
            ("csv", &[("null_value", "a,b")], "without quotes"),
            ("json", &[("compression", "none")], "known: none"),
        ];
        for (format, options, expected) in cases {
            let message = parse(format, options).unwrap_err().to_string();
            assert!(
                message.contains(expected),
                "{format} {options:?}: {message}"
            );
        }
    }
}
