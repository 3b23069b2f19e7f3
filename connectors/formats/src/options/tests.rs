#![allow(clippy::unwrap_used)]

use super::*;

fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

#[test]
fn defaults_and_prefix() {
    let csv = CsvOptions::parse(&options(&[])).unwrap();
    assert!(
        csv.has_header
            && csv.delimiter == b','
            && csv.quote == Some(b'"')
            && csv.null_value.is_empty()
    );
    assert_eq!(csv.gate, Gate::default());
    let csv = CsvOptions::parse(&options(&[
        ("format.has_header", "FALSE"),
        ("delimiter", "\\t"),
        ("format.quote", ""),
        ("null_value", "NA"),
        ("max_bad_rows", "10"),
        ("max_bad_ratio", "0.5"),
        ("compression", "zstd"),
        ("unknown_columns", "ignore"),
        ("missing_columns", "null"),
    ]))
    .unwrap();
    assert!(
        !csv.has_header && csv.delimiter == b'\t' && csv.quote.is_none() && csv.null_value == "NA"
    );
    assert_eq!(
        csv.gate,
        Gate {
            max_bad_rows: Some(10),
            max_bad_ratio: Some(0.5)
        }
    );
    assert_eq!(csv.compression, Compression::Zstd);
    assert_eq!(
        (csv.unknown_columns, csv.missing_columns),
        (UnknownColumns::Ignore, MissingColumns::Null)
    );
}

#[test]
fn on_change() {
    let declared = |value: &str| OnChange::parse(&options(&[("on_change", value)]));
    assert_eq!(OnChange::parse(&options(&[])), Ok(OnChange::Replace));
    assert_eq!(declared("replace"), Ok(OnChange::Replace));
    assert_eq!(declared("APPEND"), Ok(OnChange::Append));
    assert_eq!(declared("fail"), Ok(OnChange::Fail));
    let grows = [("format.on_change", "append"), ("compression", "none")];
    assert_eq!(
        CsvOptions::parse(&options(&grows)).unwrap().on_change,
        OnChange::Append
    );
    assert_eq!(
        JsonLinesOptions::parse(&options(&grows)).unwrap().on_change,
        OnChange::Append
    );
    let fail = options(&[("on_change", "fail")]);
    assert_eq!(
        ParquetOptions::parse(&fail).unwrap().on_change,
        OnChange::Fail
    );
}

#[test]
fn errors_name_the_option_and_what_to_write() {
    let cases: &[(Format, &[(&str, &str)], &str)] = &[
        (
            Format::Csv,
            &[("delimter", ";")],
            "option 'delimter': is unknown to STORED AS CSV; did you mean 'delimiter'? Known are has_header,",
        ),
        (
            Format::Csv,
            &[("format.qoute", "'")],
            "option 'format.qoute': is unknown to STORED AS CSV; did you mean 'quote'?",
        ),
        (
            Format::Csv,
            &[("zzz", "1")],
            "option 'zzz': is unknown to STORED AS CSV; known are has_header,",
        ),
        (
            Format::JsonLines,
            &[("delimiter", ";")],
            "option 'delimiter': is unknown to STORED AS JSON; known are",
        ),
        (
            Format::Parquet,
            &[("compression", "gzip")],
            "option 'compression': is unknown to STORED AS PARQUET; known are unknown_columns,",
        ),
        (
            Format::Csv,
            &[("has_header", "yes")],
            "option 'has_header': cannot be 'yes'; write 'true' or 'false'",
        ),
        (
            Format::Csv,
            &[("delimiter", "")],
            "option 'delimiter': is empty; write one ASCII",
        ),
        (
            Format::Csv,
            &[("delimiter", "||")],
            "option 'delimiter': cannot be '||'; write one ASCII",
        ),
        (
            Format::Csv,
            &[("delimiter", "\n")],
            "option 'delimiter': cannot be '\\n'; write one ASCII",
        ),
        (
            Format::Csv,
            &[("delimiter", "é")],
            "option 'delimiter': cannot be '\\u{e9}'; write one ASCII",
        ),
        (
            Format::Csv,
            &[("quote", ",")],
            "option 'quote': is the delimiter too; choose",
        ),
        (
            Format::Csv,
            &[("timestamp_format", "%Q")],
            "option 'timestamp_format': cannot be '%Q'; write a strftime",
        ),
        (
            Format::Csv,
            &[("date_format", "")],
            "option 'date_format': cannot be ''; write a strftime",
        ),
        (
            Format::Csv,
            &[("max_bad_rows", "-1")],
            "option 'max_bad_rows': cannot be '-1'; write a whole number",
        ),
        (
            Format::Parquet,
            &[("max_bad_ratio", "1.5")],
            "option 'max_bad_ratio': cannot be '1.5'; write a number from 0 to 1",
        ),
        (
            Format::JsonLines,
            &[("max_bad_ratio", "NaN")],
            "option 'max_bad_ratio': cannot be 'NaN'",
        ),
        (
            Format::Csv,
            &[("compression", "lz4")],
            "option 'compression': cannot be 'lz4'; write 'auto' or 'none' or 'gzip' or 'zstd'",
        ),
        (
            Format::Csv,
            &[("on_change", "ignore")],
            "option 'on_change': cannot be 'ignore'; write 'replace' or 'append' or 'fail'",
        ),
        (
            Format::JsonLines,
            &[("on_change", "append"), ("compression", "gzip")],
            "option 'on_change': cannot be 'append' where files are compressed; write 'replace'",
        ),
        (
            Format::Parquet,
            &[("on_change", "append")],
            "option 'on_change': cannot be 'append' for Parquet, whose files end with their footer; write 'replace'",
        ),
        (
            Format::Csv,
            &[("quote", "'"), ("format.quote", "\"")],
            "is given twice, as 'quote' and as 'format.quote'; keep one",
        ),
    ];
    for (format, pairs, expected) in cases {
        let message = validate(*format, &options(pairs)).unwrap_err().to_string();
        assert!(message.contains(expected), "{pairs:?}: {message}");
    }
}
