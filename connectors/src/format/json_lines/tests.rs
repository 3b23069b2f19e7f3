//! The format as its users meet it: lines in, batches and rejected rows out.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Fields, Int64Type, Schema, TimeUnit};
use arrow::json::writer::{LineDelimited, WriterBuilder};
use arrow::util::display::array_value_to_string;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::source::{Decoded, Format, SourceSpec, TextBlock, TextFormat};

use super::JsonLinesFormat;

fn spec(fields: Vec<Field>, options: &[(&str, &str)]) -> SourceSpec {
    SourceSpec {
        name: "events".to_owned(),
        location: "events.jsonl".to_owned(),
        format: Format::JsonLines,
        projection: (0..fields.len()).collect(),
        schema: Arc::new(Schema::new(fields)),
        options: options
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect::<BTreeMap<_, _>>(),
    }
}

/// Decodes all of `text`, cut into blocks after each line for which `cut` says so.
fn decode_cut(spec: &SourceSpec, text: &[u8], mut cut: impl FnMut() -> bool) -> Vec<Decoded> {
    let format = JsonLinesFormat::new(spec).unwrap();
    let file: Arc<str> = "events.jsonl".into();
    let head = format.begin(&file, text).unwrap();
    let mut start = head.header_bytes;
    let (mut line, mut first_line, mut decoded) = (1, 1, Vec::new());
    for (at, byte) in text.iter().enumerate().skip(start) {
        line += u64::from(*byte == b'\n');
        let last = at + 1 == text.len();
        if last || *byte == b'\n' && cut() {
            let bytes = text[start..=at].to_vec();
            let whole = format.whole_records(&bytes);
            assert!(last || whole == bytes.len());
            let block = TextBlock {
                file: Arc::clone(&file),
                first_line,
                byte_offset: start as u64,
                stored_bytes: bytes.len() as u64,
                bytes,
            };
            decoded.push(head.decoder.decode(&block));
            (start, first_line) = (at + 1, line);
        }
    }
    decoded
}

fn decode(spec: &SourceSpec, text: impl AsRef<[u8]>) -> Decoded {
    decode_cut(spec, text.as_ref(), || false).pop().unwrap()
}

fn text_of(array: &ArrayRef, row: usize) -> String {
    if array.is_null(row) {
        "NULL".to_owned()
    } else {
        array_value_to_string(array, row).unwrap()
    }
}

fn list(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", element, true)))
}

fn item(fields: Vec<Field>) -> DataType {
    DataType::Struct(Fields::from(fields))
}

fn map(value: DataType) -> DataType {
    let entries = item(vec![
        Field::new("keys", DataType::Utf8, false),
        Field::new("values", value, true),
    ]);
    DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
}

#[test]
fn values() {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let fixed = DataType::FixedSizeList(Arc::new(Field::new("item", DataType::Int8, true)), 2);
    let priced = item(vec![
        Field::new("price", DataType::Int64, false),
        Field::new("note", DataType::Utf8, true),
    ]);
    let cases: &[(&DataType, &str, Result<&str, (&str, &str)>)] = &[
        (&DataType::Boolean, "true", Ok("true")),
        (&DataType::Boolean, "null", Ok("NULL")),
        (
            &DataType::Boolean,
            "\"true\"",
            Err(("x", "expected true or false, found text")),
        ),
        (
            &DataType::Boolean,
            "1",
            Err(("x", "expected true or false, found a number")),
        ),
        (
            &DataType::Int64,
            "9223372036854775807",
            Ok("9223372036854775807"),
        ),
        (&DataType::Int64, "9007199254740993", Ok("9007199254740993")),
        (
            &DataType::Int64,
            "9223372036854775808",
            Err(("x", "does not fit Int64")),
        ),
        (
            &DataType::UInt64,
            "18446744073709551615",
            Ok("18446744073709551615"),
        ),
        (&DataType::UInt8, "-1", Err(("x", "does not fit UInt8"))),
        (&DataType::Int8, "128", Err(("x", "does not fit Int8"))),
        (
            &DataType::Int32,
            "\"1\"",
            Err(("x", "expected a number, found text")),
        ),
        (
            &DataType::Int32,
            "1.0",
            Err(("x", "is not written as an integer")),
        ),
        (
            &DataType::Int32,
            "1e3",
            Err(("x", "is not written as an integer")),
        ),
        (
            &DataType::Int32,
            "true",
            Err(("x", "expected a number, found true")),
        ),
        (&DataType::Float64, "1", Ok("1.0")),
        (&DataType::Float64, "-1.5e-3", Ok("-0.0015")),
        (
            &DataType::Float64,
            "1e400",
            Err(("x", "does not fit Float64")),
        ),
        (&DataType::Float64, "\"NaN\"", Err(("x", "found text"))),
        (
            &DataType::Decimal128(38, 2),
            "123456789012345678901234567890123456.78",
            Ok("123456789012345678901234567890123456.78"),
        ),
        (&DataType::Decimal128(5, 2), "0.1", Ok("0.10")),
        (
            &DataType::Decimal128(5, 2),
            "0.125",
            Err(("x", "more decimal places")),
        ),
        (
            &DataType::Decimal128(5, 2),
            "1000",
            Err(("x", "does not fit")),
        ),
        (
            &DataType::Decimal128(5, 2),
            "\"1.5\"",
            Err(("x", "found text")),
        ),
        (&DataType::Decimal256(76, 1), "-0.5", Ok("-0.5")),
        (&DataType::Utf8, "\"쿠팡\"", Ok("쿠팡")),
        (
            &DataType::Utf8,
            r#""\uCFE0\uD83D\uDE00\n\"\\\/""#,
            Ok("쿠😀\n\"\\/"),
        ),
        (&DataType::Utf8, "\"\"", Ok("")),
        (
            &DataType::Utf8,
            "12",
            Err(("x", "expected text, found a number")),
        ),
        (
            &DataType::Utf8,
            r#""\uD83D""#,
            Err(("", "half of a surrogate pair")),
        ),
        (
            &DataType::Utf8,
            r#""\uDE00""#,
            Err(("", "half of a surrogate pair")),
        ),
        (
            &DataType::Utf8,
            r#""\u12G4""#,
            Err(("", "four hexadecimal digits")),
        ),
        (&DataType::Utf8, r#""\x""#, Err(("", "unknown escape"))),
        (&DataType::Utf8, "\"a\tb\"", Err(("", "control character"))),
        (&DataType::Utf8, "\"a", Err(("", "closing quote"))),
        (&DataType::LargeUtf8, "\"a\"", Ok("a")),
        (&DataType::Utf8View, "\"a\"", Ok("a")),
        (&DataType::Date32, "\"2024-02-29\"", Ok("2024-02-29")),
        (
            &DataType::Date32,
            "\"2023-02-29\"",
            Err(("x", "is not a date")),
        ),
        (
            &DataType::Date32,
            "19782",
            Err(("x", "expected text, found a number")),
        ),
        (
            &micros,
            "\"2024-03-10 07:23:12\"",
            Ok("2024-03-10T07:23:12"),
        ),
        (
            &micros,
            "\"2024-03-10T07:23:12.123456+09:00\"",
            Ok("2024-03-09T22:23:12.123456"),
        ),
        (
            &micros,
            "1710055392",
            Err(("x", "expected text, found a number")),
        ),
        (
            &micros,
            "\"2024-03-10T07:23:12.1234567\"",
            Err(("x", "more decimals")),
        ),
        (&list(DataType::Int64), "[1, null ,3]", Ok("[1, , 3]")),
        (&list(DataType::Int64), "[ ]", Ok("[]")),
        (
            &list(DataType::Int64),
            "[1,\"2\"]",
            Err(("x[1]", "expected a number")),
        ),
        (
            &list(DataType::Int64),
            "[1,]",
            Err(("", "expected a value, found ']'")),
        ),
        (
            &list(DataType::Int64),
            "1",
            Err(("x", "expected a list, found a number")),
        ),
        (
            &list(list(DataType::Int64)),
            "[[1],[2,false]]",
            Err(("x[1][1]", "found false")),
        ),
        (&fixed, "[1,2]", Ok("[1, 2]")),
        (
            &fixed,
            "[1]",
            Err(("x", "expected a list of 2 elements, found 1")),
        ),
        (
            &fixed,
            "[1,2,3]",
            Err(("x", "expected a list of 2 elements, found 3")),
        ),
        (
            &priced,
            r#"{"note":"a","price":1,"more":[{}]}"#,
            Ok("{price: 1, note: a}"),
        ),
        (&priced, r#"{"price":1}"#, Ok("{price: 1, note: }")),
        (&priced, r#"{"price":null}"#, Err(("x.price", "NOT NULL"))),
        (&priced, r#"{}"#, Err(("x.price", "NOT NULL"))),
        (
            &priced,
            r#"{"price":1,"price":2}"#,
            Err(("x.price", "twice")),
        ),
        (
            &priced,
            r#"{"price":1,"a":1,"\u0061":2}"#,
            Err(("x.a", "twice")),
        ),
        (
            &priced,
            r#"{"price":1,"more":[{"a":1,"a":1}]}"#,
            Err(("x.more[0].a", "twice")),
        ),
        (
            &priced,
            "[]",
            Err(("x", "expected an object, found a list")),
        ),
        (
            &list(priced.clone()),
            r#"[{"price":1},{"price":2},{"price":"3"}]"#,
            Err(("x[2].price", "found text")),
        ),
        (
            &map(DataType::Int64),
            r#"{"b":1,"a":null}"#,
            Ok("{b: 1, a: }"),
        ),
        (
            &map(DataType::Int64),
            r#"{"b":"1"}"#,
            Err(("x.b", "found text")),
        ),
        (
            &map(DataType::Int64),
            r#"{"b":1,"b":1}"#,
            Err(("x.b", "twice")),
        ),
        (
            &map(list(DataType::Boolean)),
            r#"{"b":[true,0]}"#,
            Err(("x.b[1]", "found a number")),
        ),
    ];
    for (data_type, json, expected) in cases {
        let good = r#"{"x":null}"#;
        let row = format!(r#"{{"x":{json}}}"#);
        let text = format!("{good}\n{row}\n{good}\n");
        let decoded = decode(
            &spec(vec![Field::new("x", (*data_type).clone(), true)], &[]),
            &text,
        );
        let column = decoded.batch.column(0);
        match expected {
            Ok(value) => {
                assert!(
                    decoded.rejected.is_empty(),
                    "{data_type} {json}: {:?}",
                    decoded.rejected
                );
                assert_eq!(text_of(column, 1), *value, "{data_type} {json}");
            }
            Err((path, reason)) => {
                assert_eq!(
                    (column.len(), decoded.rejected.len()),
                    (2, 1),
                    "{data_type} {json}"
                );
                let rejected = &decoded.rejected[0];
                assert_eq!(
                    rejected.column.as_deref().unwrap_or_default(),
                    *path,
                    "{data_type} {json}"
                );
                assert!(
                    rejected.reason.contains(reason),
                    "{data_type} {json}: {}",
                    rejected.reason
                );
                assert_eq!(
                    (rejected.line, rejected.byte_offset),
                    (2, 11),
                    "{data_type} {json}"
                );
                assert_eq!(rejected.raw, row);
            }
        }
        assert_eq!(text_of(column, 0), "NULL");
        assert_eq!(text_of(column, column.len() - 1), "NULL");
    }
}

#[test]
fn lines_that_are_no_rows_of_json() {
    let deep = |depth: usize| {
        format!(
            "{{\"more\":{}{}}}",
            "[".repeat(depth - 1),
            "]".repeat(depth - 1)
        )
    };
    let very_deep = "[".repeat(1_000_000);
    let many_keys: String = (0..1000).map(|key| format!("\"k{key}\":0,")).collect();
    for (row, reason) in [
        ("[]", Some("expected an object, found a list")),
        ("1", Some("expected an object, found a number")),
        ("null", Some("expected an object, found null")),
        (
            "x",
            Some("not JSON at byte 1 of the row: expected a value, found 'x'"),
        ),
        (
            "{",
            Some("expected a field name in quotes, found the end of the line"),
        ),
        ("{}", None),
        ("\t{ } ", None),
        (
            "{} {}",
            Some("expected the end of the line, one object a line, found '{'"),
        ),
        ("{},", Some("expected the end of the line")),
        ("{\"a\" 1}", Some("expected ':'")),
        ("{\"a\":1 \"b\":2}", Some("expected ',' or '}'")),
        (
            "{\"a\":1,}",
            Some("expected a field name in quotes, found '}'"),
        ),
        (
            "{\"a\":1,,\"b\":1}",
            Some("expected a field name in quotes, found ','"),
        ),
        ("{a:1}", Some("expected a field name in quotes, found 'a'")),
        ("{'a':1}", Some("expected a field name in quotes")),
        ("{\"a\":01}", Some("expected ',' or '}', found '1'")),
        ("{\"a\":+1}", Some("expected a value")),
        ("{\"a\":1.}", Some("expected a digit")),
        ("{\"a\":.5}", Some("expected a value")),
        ("{\"a\":-}", Some("expected a digit")),
        ("{\"a\":1e}", Some("expected a digit")),
        ("{\"a\":NaN}", Some("expected a value")),
        ("{\"a\":tru}", Some("expected true")),
        ("{\"a\":nul}", Some("expected null")),
        ("{\"a\":1} // no", Some("expected the end of the line")),
        ("{\"a\":\"\u{e9}\"}", None),
        (&deep(64), None),
        (&deep(65), Some("nested more than 64 deep")),
        (&very_deep, Some("expected an object")),
        (
            &format!("{{\"a\":{very_deep}"),
            Some("nested more than 64 deep"),
        ),
        (&format!("{{{many_keys}\"k\":1}}"), None),
        (&format!("{{{many_keys}\"k500\":1}}"), Some("twice")),
    ] {
        let decoded = decode(
            &spec(vec![Field::new("x", DataType::Int64, true)], &[]),
            format!("{{}}\n{row}\n{{}}"),
        );
        assert_eq!(decoded.batch.num_rows(), 2 + usize::from(reason.is_none()));
        match reason {
            None => assert!(decoded.rejected.is_empty()),
            Some(reason) => assert!(
                decoded.rejected[0].reason.contains(reason),
                "{}",
                decoded.rejected[0].reason
            ),
        }
    }
}

#[test]
fn line_ends_marks_and_bytes_that_are_not_text() {
    let text = b"\xEF\xBB\xBF{\"x\":1}\r\n\r\n  \n{\"x\":\"\xFF\"}\r\n{\"x\":2}";
    let decoded = decode(
        &spec(vec![Field::new("x", DataType::Int64, true)], &[]),
        text,
    );
    assert_eq!(
        decoded.batch.column(0).as_primitive::<Int64Type>().values(),
        &[1, 2]
    );
    let rejected = &decoded.rejected[0];
    assert_eq!(
        (
            rejected.line,
            rejected.byte_offset,
            rejected.column.as_deref()
        ),
        (4, 17, None)
    );
    assert_eq!(rejected.raw, "{\"x\":\"\u{FFFD}\"}");
    assert_eq!(rejected.reason, "not UTF-8 at byte 7 of the row");
    assert_eq!(
        (rejected.source.as_ref(), rejected.file.as_ref()),
        ("events", "events.jsonl")
    );
}

#[test]
fn heads() {
    let format = JsonLinesFormat::new(&spec(vec![], &[])).unwrap();
    let file: Arc<str> = "a.json".into();
    let array = format.begin(&file, b"\xEF\xBB\xBF [\n{}\n]").unwrap();
    assert_eq!(array.header_bytes, 3);
    assert!(array.warnings[0].contains("JSON array"));
    assert!(format.begin(&file, b"").unwrap().warnings.is_empty());
    let utf16 = format.begin(&file, b"\xFF\xFE{\0").err().unwrap();
    assert_eq!(utf16.to_string(), "a.json: is UTF-16: deliver it as UTF-8");
    for (bytes, whole) in [("", 0), ("{}", 0), ("{}\n", 3), ("{}\n{", 3), ("\n\n", 2)] {
        assert_eq!(format.whole_records(bytes.as_bytes()), whole, "{bytes:?}");
    }
}

#[test]
fn options() {
    let fields = || {
        vec![Field::new(
            "t",
            DataType::Timestamp(TimeUnit::Second, None),
            true,
        )]
    };
    let text = "{\"t\":null}\n{\"u\":1}\n{\"t\":null,\"u\":1}\n{\"t\":\"10.03.2024 07:00\"}\n";
    for (options, rejected) in [
        (&[][..], &[(4, "is not a timestamp")][..]),
        (&[("timestamp_format", "%d.%m.%Y %H:%M")], &[]),
        (
            &[
                ("unknown_columns", "error"),
                ("timestamp_format", "%d.%m.%Y %H:%M"),
            ],
            &[
                (2, "is not a declared field"),
                (3, "is not a declared field"),
            ],
        ),
        (
            &[
                ("missing_columns", "error"),
                ("timestamp_format", "%d.%m.%Y %H:%M"),
            ],
            &[(2, "is missing")],
        ),
    ] {
        let decoded = decode(&spec(fields(), options), text);
        assert_eq!(decoded.batch.num_rows() + decoded.rejected.len(), 4);
        let found: Vec<_> = decoded
            .rejected
            .iter()
            .map(|rejected| rejected.line)
            .collect();
        let expected: Vec<_> = rejected.iter().map(|(line, _)| *line).collect();
        assert_eq!(found, expected, "{options:?}");
        for (found, (_, reason)) in decoded.rejected.iter().zip(rejected) {
            assert!(found.reason.contains(reason), "{}", found.reason);
        }
    }
    assert!(JsonLinesFormat::new(&spec(fields(), &[("unknown_columns", "maybe")])).is_err());
    let binary = JsonLinesFormat::new(&spec(
        vec![Field::new("b", list(DataType::Binary), true)],
        &[],
    ))
    .err()
    .unwrap();
    assert_eq!(
        binary.to_string(),
        "source 'events': column 'b': JSON cannot be decoded into Binary"
    );
}

#[test]
fn only_projected_columns_are_decoded() {
    let fields = vec![
        Field::new("a", DataType::Int64, false),
        Field::new("b", DataType::Int64, false),
        Field::new("c", DataType::Int64, false),
    ];
    let mut spec = spec(fields, &[("unknown_columns", "error")]);
    spec.projection = vec![1];
    let text = "{\"a\":\"no integer\",\"b\":1}\n{\"a\":1,\"a\":1,\"b\":2}\n{\"b\":3,\"d\":1}\n";
    let decoded = decode(&spec, text);
    assert_eq!(decoded.batch.schema().fields().len(), 1);
    assert_eq!(
        decoded.batch.column(0).as_primitive::<Int64Type>().values(),
        &[1]
    );
    assert_eq!(decoded.rejected.len(), 2);
    spec.projection = vec![];
    assert_eq!(decode(&spec, "{}\n{}\n").batch.num_rows(), 2);
}

#[test]
fn many_fields_are_found_by_name() {
    let fields: Vec<_> = (0..40)
        .map(|i| Field::new(format!("f{i}"), DataType::Int64, true))
        .collect();
    let object: Vec<_> = (0..40).rev().map(|i| format!("\"f{i}\":{i}")).collect();
    let decoded = decode(&spec(fields, &[]), format!("{{{}}}\n", object.join(",")));
    for (i, column) in decoded.batch.columns().iter().enumerate() {
        assert_eq!(text_of(column, 0), i.to_string());
    }
}

fn nested_fields() -> Vec<Field> {
    let element = item(vec![
        Field::new("price", DataType::Decimal128(20, 3), true),
        Field::new("tags", list(DataType::Utf8), true),
        Field::new(
            "at",
            DataType::Timestamp(TimeUnit::Millisecond, Some("+09:00".into())),
            true,
        ),
    ]);
    let pair = Arc::new(Field::new("item", DataType::Int32, true));
    vec![
        Field::new("id", DataType::Int64, false),
        Field::new("big", DataType::UInt64, true),
        Field::new("ratio", DataType::Float64, true),
        Field::new("yes", DataType::Boolean, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("day", DataType::Date32, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("items", list(element.clone()), true),
        Field::new("one", element, true),
        Field::new("pair", DataType::FixedSizeList(pair, 2), true),
        Field::new(
            "large",
            DataType::LargeList(Arc::new(Field::new("item", map(DataType::Int64), true))),
            true,
        ),
    ]
}

/// A random JSON value of `field`'s type, as arrow-json's own reader would take it.
fn random_value(field: &Field, rng: &mut ChaCha8Rng) -> String {
    if field.is_nullable() && rng.random_range(0..5) == 0 {
        return "null".to_owned();
    }
    let elements = |field: &Field, count: usize, rng: &mut ChaCha8Rng| {
        let values: Vec<_> = (0..count).map(|_| random_value(field, rng)).collect();
        format!("[{}]", values.join(","))
    };
    match field.data_type() {
        DataType::Boolean => rng.random::<bool>().to_string(),
        DataType::Int32 => rng.random::<i32>().to_string(),
        DataType::Int64 => rng.random::<i64>().to_string(),
        DataType::UInt64 => rng.random::<u64>().to_string(),
        DataType::Float64 => format!("{:e}", (rng.random::<f64>() - 0.5) * 1e12),
        DataType::Decimal128(..) => {
            format!("{}.{:03}", rng.random::<i32>(), rng.random_range(0..1000))
        }
        DataType::Utf8 => {
            let length = rng.random_range(0..6);
            let letters: String = (0..length)
                .map(|_| ["a", "쿠", "\\n", "\\\"", "\\u0001"][rng.random_range(0..5)])
                .collect();
            format!("\"{letters}\"")
        }
        DataType::Date32 => format!(
            "\"2024-0{}-1{}\"",
            rng.random_range(1..10),
            rng.random_range(0..10)
        ),
        DataType::Timestamp(..) => format!(
            "\"2024-05-1{}T01:02:03.{:03}\"",
            rng.random_range(0..10),
            rng.random_range(0..1000)
        ),
        DataType::List(element) | DataType::LargeList(element) => {
            let count = rng.random_range(0..4);
            elements(element, count, rng)
        }
        DataType::FixedSizeList(element, _) => elements(element, 2, rng),
        DataType::Struct(fields) => {
            let members: Vec<_> = fields
                .iter()
                .map(|field| format!("\"{}\":{}", field.name(), random_value(field, rng)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        DataType::Map(..) => format!(
            "{{\"k{}\":{}}}",
            rng.random_range(0..3),
            rng.random::<i64>()
        ),
        other => unreachable!("{other}"),
    }
}

/// A random table, made by arrow-json's reader: an implementation that is not ours.
fn random_table(spec: &SourceSpec, rows: usize, rng: &mut ChaCha8Rng) -> RecordBatch {
    let row = Field::new("row", DataType::Struct(spec.schema.fields().clone()), false);
    let lines: String = (0..rows).map(|_| random_value(&row, rng) + "\n").collect();
    let reader =
        arrow::json::ReaderBuilder::new(Arc::clone(&spec.schema)).with_batch_size(rows.max(1));
    let mut reader = reader.build(lines.as_bytes()).unwrap();
    reader
        .next()
        .transpose()
        .unwrap()
        .unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(&spec.schema)))
}

#[test]
fn what_arrow_writes_is_read_back_however_it_is_cut() {
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let spec = spec(nested_fields(), &[]);
        let rows = rng.random_range(0..60);
        let table = random_table(&spec, rows, &mut rng);
        let explicit = rng.random::<bool>();
        let mut writer = WriterBuilder::new()
            .with_explicit_nulls(explicit)
            .build::<_, LineDelimited>(Vec::new());
        writer.write(&table).unwrap();
        writer.finish().unwrap();
        let text = writer.into_inner();
        let decoded = decode_cut(&spec, &text, || rng.random_range(0..4) == 0);
        assert!(
            decoded.iter().all(|part| part.rejected.is_empty()),
            "seed {seed}: {:?}",
            decoded[0].rejected
        );
        assert_eq!(
            decoded.iter().map(|part| part.bytes).sum::<u64>(),
            text.len() as u64
        );
        let batches: Vec<_> = decoded.iter().map(|part| &part.batch).collect();
        assert_eq!(
            concat_batches(&spec.schema, batches).unwrap(),
            table,
            "seed {seed}"
        );
    }
}

#[test]
fn broken_rows_are_rejected_and_their_neighbours_are_not() {
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let spec = spec(nested_fields(), &[]);
        let row = Field::new("row", DataType::Struct(spec.schema.fields().clone()), false);
        let (mut text, mut good_text, mut bad_lines) = (String::new(), String::new(), Vec::new());
        for line in 1..=40 {
            let value = random_value(&row, &mut rng);
            if rng.random_range(0..3) == 0 {
                // A strict prefix of an object is never one.
                let ends: Vec<_> = value.char_indices().map(|(at, _)| at).skip(1).collect();
                text += &value[..ends[rng.random_range(0..ends.len())]];
                bad_lines.push(line);
            } else {
                text += &value;
                good_text = good_text + &value + "\n";
            }
            text.push('\n');
        }
        let decoded = decode_cut(&spec, text.as_bytes(), || rng.random_range(0..5) == 0);
        let found: Vec<_> = decoded
            .iter()
            .flat_map(|part| part.rejected.iter().map(|row| row.line))
            .collect();
        assert_eq!(found, bad_lines, "seed {seed}");
        let good = decode(&spec, &good_text).batch;
        let batches: Vec<_> = decoded.iter().map(|part| &part.batch).collect();
        assert_eq!(
            concat_batches(&spec.schema, batches).unwrap(),
            good,
            "seed {seed}"
        );
    }
}
