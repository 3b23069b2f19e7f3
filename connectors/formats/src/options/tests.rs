#![allow(clippy::unwrap_used)]

use super::*;
use crate::csv::record::Mark;
use crate::row_format::RowFormat;
use tidewater_contract::source::Format;

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
            && csv.delimiter == Mark::new(b",").unwrap()
            && csv.quote == Some(b'"')
            && csv.nulls == [""]
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
        !csv.has_header
            && csv.delimiter == Mark::new(b"\t").unwrap()
            && csv.quote.is_none()
            && csv.nulls == ["NA"]
    );
    assert_eq!(
        csv.gate,
        Gate {
            max_bad_rows: Some(10),
            max_bad_ratio: Some(0.5),
            ..Gate::default()
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
            "option 'delimiter': is empty; write up to four bytes",
        ),
        (
            Format::Csv,
            &[("delimiter", "\n")],
            "option 'delimiter': cannot be '\\n'; write up to four bytes",
        ),
        (
            Format::Csv,
            &[("quote", "é")],
            "option 'quote': cannot be '\\u{e9}'; write one ASCII",
        ),
        (
            Format::Csv,
            &[("quote", ",")],
            "option 'quote': is the delimiter too; choose",
        ),
        (
            Format::Csv,
            &[("timestamp_format", "%Q")],
            "option 'timestamp_format': cannot be '%Q': it is no strftime format; write a strftime",
        ),
        (
            Format::Csv,
            &[("date_format", "")],
            "option 'date_format': cannot be '': it does not say year, month and day; write a strftime",
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
        let message = (RowFormat::of(*format).options)(&options(pairs))
            .unwrap_err()
            .to_string();
        assert!(message.contains(expected), "{pairs:?}: {message}");
    }
}

#[test]
fn lists() {
    let nulls = |list: &str| {
        CsvOptions::parse(&options(&[("null_values", list)])).map(|options| options.nulls)
    };
    for (list, expected) in [
        ("NA", &["NA"][..]),
        ("NA, N/A ,-", &["NA", "N/A", "-"]),
        ("\"\", \\N", &["", "\\N"]),
        ("\"a,b\", \"c \"\"d\"\"\"", &["a,b", "c \"d\""]),
    ] {
        assert_eq!(nulls(list).unwrap(), expected, "{list}");
    }
    for wrong in ["", "NA,", ",NA", "\"NA", "\"NA\"x", "N\"A"] {
        assert!(nulls(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn options_that_mean_nothing_or_contradict_one_another() {
    let cases: &[(&[(&str, &str)], &str)] = &[
        (
            &[("encoding", "klingon")],
            "'encoding': cannot be 'klingon'; write a name such as",
        ),
        (&[("delimiter", "")], "'delimiter': is empty"),
        (&[("delimiter", "abcde")], "up to four bytes"),
        (&[("delimiter", "a\nb")], "without a line end"),
        (&[("comment", "#####")], "up to four bytes"),
        (&[("escape", "ab")], "'escape': cannot be 'ab'"),
        (&[("escape", "\"")], "'escape': is the quote too"),
        (&[("escape", ",")], "'escape': is the delimiter too"),
        (&[("quote", ",")], "'quote': is the delimiter too"),
        (&[("comment", ",")], "'comment': is the delimiter too"),
        (
            &[("skip_lines", "-1")],
            "'skip_lines': cannot be '-1'; write a whole number of lines from 0",
        ),
        (&[("skip_trailer", "x")], "'skip_trailer': cannot be 'x'"),
        (&[("header_lines", "0")], "from 1"),
        (
            &[("column_names", "place")],
            "write 'exact' or 'any_case' or 'position'",
        ),
        (
            &[("has_header", "false"), ("column_names", "position")],
            "beside has_header 'false'",
        ),
        (
            &[("has_header", "false"), ("header_lines", "2")],
            "write skip_lines instead",
        ),
        (&[("line_end", "cr")], "write 'auto' or 'lf' or 'any'"),
        (
            &[("line_end", "any"), ("encoding", "utf-16")],
            "cannot be 'any' for UTF-16",
        ),
        (
            &[("ragged", "yes")],
            "write 'refuse' or 'pad' or 'cut' or 'pad_and_cut'",
        ),
        (&[("check", "none")], "write 'all' or 'read_columns'"),
        (
            &[("null_value", "a"), ("null_values", "b")],
            "'null_values': is given beside 'null_value'",
        ),
        (&[("offsets", "drop")], "write 'refuse' or 'convert'"),
        (
            &[("timestamp_format", "%H:%M")],
            "does not say year, month and day",
        ),
        (&[("timestamp_format", "epoch")], "'epoch_seconds'"),
        (
            &[("date_formats", "iso, %m")],
            "'date_formats': cannot be '%m'",
        ),
        (
            &[("date_format", "iso"), ("date_formats", "iso")],
            "is given beside 'date_format'",
        ),
        (&[("decimal_separator", ";")], "write '.' or ','"),
        (&[("thousands_separator", "ab")], "write one character"),
        (&[("thousands_separator", "0")], "write one character"),
        (
            &[("thousands_separator", ".")],
            "is the decimal separator too",
        ),
        (
            &[("negative_parentheses", "maybe")],
            "write 'true' or 'false'",
        ),
        (
            &[("on_change", "append"), ("skip_trailer", "1")],
            "cannot be 'append' beside skip_trailer",
        ),
        (
            &[("on_change", "append"), ("encoding", "utf-16")],
            "cannot be 'append' beside encoding",
        ),
        (
            &[("on_change", "append"), ("line_end", "any")],
            "cannot be 'append' beside line_end",
        ),
        (&[("skip_line", "1")], "did you mean 'skip_lines'?"),
    ];
    for (pairs, expected) in cases {
        let message = CsvOptions::parse(&options(pairs)).unwrap_err().to_string();
        assert!(message.contains(expected), "{pairs:?}: {message}");
    }
}
