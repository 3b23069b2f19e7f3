//! Sources with a primary key: upserts and tombstones.

use super::*;

/// A source with the key `id`, or `id` and `at`.
fn keyed(columns: &[(&str, DataType)], options: &[(&str, &str)]) -> SourceSpec {
    spec(Format::JsonLines, columns, options)
}

fn tombstone(key: &str) -> (Option<&str>, Option<&'static str>) {
    (Some(key), None)
}

#[test]
fn the_schema_has_places_and_lets_all_but_the_key_be_null() {
    let columns = [
        ("n!", DataType::Int64),
        ("id!*", DataType::Int64),
        ("unread", DataType::Utf8),
        ("at!", DataType::Int64),
    ];
    let mut some = keyed(&columns, &[("column.at", "offset")]);
    some.projection = vec![0, 1, 3];
    let schema = incoming_schema(&some);
    let fields = schema.fields().iter();
    let fields: Vec<_> = fields
        .map(|field| {
            format!(
                "{}{}",
                field.name(),
                if field.is_nullable() { "?" } else { "" }
            )
        })
        .collect();
    let expected = [
        "n?",
        "id",
        "at?",
        "timestamp",
        "partition",
        "offset",
        "deleted",
    ];
    assert_eq!(fields, expected);
    check(
        &some,
        &messages(&[
            (None, Some(r#"{"n":1,"id":1}"#)),
            tombstone("1"),
            // Inserted rows must have the columns that are declared NOT NULL.
            (None, Some(r#"{"id":2}"#)),
        ]),
        &["1|1|10|1000|3|10|false", "∅|1|∅|1100|3|11|true"],
        &[("12 n", "NOT NULL")],
    );
}

#[test]
fn a_key_of_text_is_read_by_the_rules_of_its_type() {
    let time = ("timestamp_format", "%d.%m.%Y %H:%M");
    let utf8 = DataType::Utf8;
    for (data_type, key, expected) in [
        (DataType::Int64, "7", Ok("7")),
        (DataType::Int64, "7\n", Ok("7")),
        (DataType::Int64, "x", Err("cannot be read as BIGINT")),
        (DataType::Int64, "", Err("is empty")),
        (DataType::Int64, "1\n2", Err("more than one record")),
        (DataType::Int8, "300", Err("TINYINT")),
        (DataType::Decimal128(5, 2), "1.5", Ok("1.50")),
        (DataType::Date32, "2024-02-29", Ok("2024-02-29")),
        (DataType::Boolean, "true", Ok("true")),
        (MICROS, "01.02.2024 03:04", Ok("2024-02-01T03:04:00")),
        (utf8.clone(), "a,\"b\"\n", Ok("a,\"b\"\n")),
        (utf8, "", Ok("")),
        (DataType::Binary, "\u{1f}", Ok("1f")),
    ] {
        let columns = [("id*", data_type), ("n", DataType::Utf8)];
        let spec = spec(Format::Csv, &columns, &[time]);
        let found = read(&spec, &messages(&[tombstone(key)]));
        match expected {
            Ok(id) => assert_eq!(found.rows, [format!("{id}|∅|1000|3|10|true")], "{key}"),
            Err(reason) => {
                assert_eq!(found.rows, [""; 0], "{key}");
                assert!(
                    found.rejected[0].contains(reason),
                    "{found:?} and not {reason}"
                );
            }
        }
    }
    let columns = [("id*", DataType::Utf8)];
    let mut broken = Messages::new(3, 10);
    broken.push((10, 0), Some(b"\xff"), None, []);
    broken.push((11, 0), None, None, []);
    let rejected = [("10 id", "is not UTF-8"), ("11 -", "without a key")];
    check(&keyed(&columns, &[]), &broken, &[], &rejected);
}

#[test]
fn a_key_of_json_is_an_object_or_the_one_value() {
    let json = [("key_format", "json")];
    let one = keyed(&[("n", DataType::Int64), ("id*", DataType::Utf8)], &json);
    check(
        &one,
        &messages(&[
            tombstone(r#"{"id":"a"}"#),
            tombstone("\"b\""),
            tombstone(r#"{"id":"c","more":1}"#),
            tombstone("d"),
            tombstone("5"),
            tombstone("null"),
            tombstone("{}"),
            tombstone(r#"{"id":null}"#),
            tombstone("\"i\",\"n\":1"),
            tombstone(""),
        ]),
        &[
            "∅|a|1000|3|10|true",
            "∅|b|1100|3|11|true",
            "∅|c|1200|3|12|true",
        ],
        &[
            ("13 -", "not JSON"),
            ("14 id", "expected text, found a number"),
            ("15 id", "NOT NULL"),
            ("16 id", "is missing"),
            ("17 id", "is null"),
            ("18 -", "expected the end"),
            ("19 -", "not JSON"),
        ],
    );
    let columns = [
        ("b*", DataType::Int64),
        ("n", DataType::Int64),
        ("a*", DataType::Int64),
    ];
    check(
        &keyed(&columns, &json),
        &messages(&[
            (None, Some(r#"{"a":1,"b":2,"n":3}"#)),
            tombstone(r#"{"a":1,"b":2}"#),
            tombstone(r#"{"a":1}"#),
            tombstone("1"),
        ]),
        &["2|3|1|1000|3|10|false", "2|∅|1|1100|3|11|true"],
        &[
            ("12 b", "is missing"),
            ("13 -", "expected an object, found a number"),
        ],
    );
    let text = refusal(&keyed(&columns, &[]));
    assert!(
        text.contains("the key has b, a") && text.contains("write 'key_format' 'json'"),
        "{text}"
    );
    let mut unread = keyed(&columns, &json);
    unread.projection = vec![0, 1];
    assert!(refusal(&unread).contains("column 'a': belongs to the primary key"));
}

#[test]
fn columns_of_the_key_that_the_message_says_are_taken_from_it() {
    let mapped = [("column.id", "key"), ("column.at", "offset")];
    let columns = [
        ("id*", DataType::Utf8),
        ("n!", DataType::Int64),
        ("at", DataType::Int64),
    ];
    check(
        &keyed(&columns, &mapped),
        &messages(&[
            (Some("a"), Some(r#"{"n":1}"#)),
            tombstone("a"),
            (None, Some(r#"{"n":1}"#)),
            (None, None),
        ]),
        &["a|1|10|1000|3|10|false", "a|∅|∅|1100|3|11|true"],
        &[("12 id", "does not say it"), ("13 id", "does not say it")],
    );
    // Of the two key columns, the text of the message's key is `id`, and `tenant` comes from a header.
    let columns = [
        ("id*", DataType::Int64),
        ("tenant*", DataType::Utf8),
        ("n", DataType::Int64),
    ];
    let mut some = Messages::new(3, 10);
    let tenant: [(&[u8], Option<&[u8]>); 1] = [(b"tenant", Some(b"x"))];
    some.push((10, 0), Some(b"1"), None, tenant);
    some.push((11, 0), Some(b"1"), None, []);
    some.push((12, 0), Some(b"1"), Some(br#"{"id":1,"n":2}"#), tenant);
    check(
        &keyed(&columns, &[("column.tenant", "header:tenant")]),
        &some,
        &["1|x|2|0|3|12|false", "1|x|∅|0|3|10|true"],
        &[("11 tenant", "does not say it")],
    );
}

#[test]
fn a_row_has_its_key() {
    let columns = [("id*", DataType::Int64), ("n", DataType::Int64)];
    check(
        &keyed(&columns, &[]),
        &payloads(&[r#"{"id":1}"#, r#"{"id":null,"n":1}"#, r#"{"n":1}"#]),
        &["1|∅|1000|3|10|false"],
        &[("11 id", "is null"), ("12 id", "is missing")],
    );
    let csv = spec(Format::Csv, &columns, &[]);
    check(
        &csv,
        &messages(&[(None, Some("1,2")), tombstone("1"), (None, Some(",2"))]),
        &["1|2|1000|3|10|false", "1|∅|1100|3|11|true"],
        &[("12 id", "NULL")],
    );
    let text = spec(
        Format::Text,
        &[("k*", DataType::Utf8), ("body", DataType::Utf8)],
        &[("column.k", "key")],
    );
    check(
        &text,
        &messages(&[(Some("a"), Some("x")), tombstone("a")]),
        &["a|x|1000|3|10|false", "a|∅|1100|3|11|true"],
        &[],
    );
}
