//! The whole format: lines in, batches and rejected rows out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::format_collect)]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Fields, Int64Type, IntervalUnit, Schema, TimeUnit};
use arrow::json::writer::{LineDelimited, WriterBuilder};
use arrow::util::display::array_value_to_string;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use tidewater_contract::source::{DecodeText, Decoded, Format, SourceSpec, TextBlock, TextFormat};

use super::JsonLinesFormat;

mod layouts;
mod tables;
mod values;

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
        ordinals: true,
        dictionaries: false,
        source: None,
    }
}

/// Decodes all of `text`, cut into blocks after each line for which `cut` returns true.
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
            let whole = head.decoder.whole_records(&bytes);
            assert!(last || whole == bytes.len());
            let block = TextBlock {
                file: Arc::clone(&file),
                first_line,
                byte_offset: start as u64,
                stored_bytes: bytes.len() as u64,
                bytes,
            };
            let rows = if last {
                decode_last(&head.decoder, block)
            } else {
                head.decoder.decode(&block)
            };
            check_places(text, head.header_bytes, &rows);
            decoded.push(rows);
            (start, first_line) = (at + 1, line);
        }
    }
    decoded
}

/// Checks that rows begin where lines do, in ascending order.
fn check_places(text: &[u8], header: usize, rows: &Decoded) {
    let ordinals = rows.ordinals.as_ref().unwrap();
    assert_eq!(ordinals.len(), rows.batch.num_rows());
    assert!(ordinals.is_sorted_by(|one, next| one < next));
    for place in ordinals {
        let at = usize::try_from(*place).unwrap();
        assert!(at == header || text[at - 1] == b'\n');
        assert!(rows.rejected.iter().all(|row| row.byte_offset != *place));
    }
}

/// The last block of a file, decoded.
fn decode_last(decoder: &Arc<dyn DecodeText>, block: TextBlock) -> Decoded {
    let mut steps = Arc::clone(decoder).last_steps(Arc::new(block));
    steps.next().unwrap()
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
            "not json",
            Some("not JSON at byte 1 of the row: expected an object, found 'n'"),
        ),
        (
            "x",
            Some("not JSON at byte 1 of the row: expected an object, found 'x'"),
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
        ("{\"a\":+1}", Some("expected a number")),
        ("{\"a\":1.}", Some("expected a digit")),
        ("{\"a\":.5}", Some("expected a number")),
        ("{\"a\":-}", Some("expected a digit")),
        ("{\"a\":1e}", Some("expected a digit")),
        ("{\"a\":NaN}", Some("expected a number")),
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
    assert_eq!(array.header_bytes, 5);
    assert!(format.begin(&file, b"").unwrap().warnings.is_empty());
    let lines = format.begin(&file, b"{}\n").unwrap();
    let utf16 = format.begin(&file, b"\xFF\xFE{\0").err().unwrap();
    assert_eq!(utf16.to_string(), "a.json: is UTF-16: deliver it as UTF-8");
    for (bytes, whole) in [("", 0), ("{}", 0), ("{}\n", 3), ("{}\n{", 3), ("\n\n", 2)] {
        let found = lines.decoder.whole_records(bytes.as_bytes());
        assert_eq!(found, whole, "{bytes:?}");
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
        (&[][..], &[(4, "not a timestamp")][..]),
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
    let interval = DataType::Interval(IntervalUnit::DayTime);
    let interval = vec![Field::new("b", list(interval), true)];
    let refused = JsonLinesFormat::new(&spec(interval, &[])).err().unwrap();
    assert_eq!(
        refused.to_string(),
        "source 'events': column 'b': JSON has no Interval(DayTime)"
    );
}

#[test]
fn only_projected_columns_are_decoded_and_all_are_checked() {
    let fields = vec![
        Field::new("a", DataType::Int64, false),
        Field::new("b", DataType::Int64, false),
        Field::new("c", DataType::Int64, false),
    ];
    let text = "{\"a\":\"no integer\",\"b\":1}\n{\"a\":1,\"a\":1,\"b\":2}\n{\"b\":3,\"d\":1}\n{\"a\":1,\"b\":4,\"c\":1}\n";
    for (check, rows) in [("all", &[4][..]), ("read_columns", &[1, 4])] {
        let options = [("unknown_columns", "error"), ("check", check)];
        let mut spec = spec(fields.clone(), &options);
        spec.projection = vec![1];
        let decoded = decode(&spec, text);
        assert_eq!(decoded.batch.schema().fields().len(), 1);
        let column = decoded.batch.column(0).as_primitive::<Int64Type>();
        assert_eq!(column.values(), rows, "{check}");
        assert_eq!(decoded.rejected.len(), 4 - rows.len());
        spec.projection = vec![];
        assert_eq!(decode(&spec, text).rejected.len(), 4 - rows.len());
    }
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
