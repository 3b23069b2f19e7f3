//! Payloads of each format, valid and invalid.

use super::*;

fn pair(format: Format, options: &[(&str, &str)]) -> SourceSpec {
    spec(
        format,
        &[("id!", DataType::Int64), ("text", DataType::Utf8)],
        options,
    )
}

#[test]
fn a_json_object_is_a_row() {
    check(
        &pair(Format::JsonLines, &[]),
        &payloads(&[
            r#"{"id":1,"text":"a","more":[1]}"#,
            "\n{ \"id\" : 2,\r\n\t\"text\":null}\n",
            r#"{"id":3}"#,
            "{\"id\":4,\"text\":\"two\nlines\"}",
            r#"{"text":"none"}"#,
            r#"{"id":"6"}"#,
            r#"{"id":7} {"id":8}"#,
            "",
            " ",
            "[]",
            r#"{"id":12,"text":"\u000a"}"#,
            r#"{"id":13,"id":13}"#,
        ]),
        &["1|a", "2|∅", "3|∅", "12|\n"],
        &[
            ("13 -", "a control character in text"),
            ("14 id", "is missing, but declared NOT NULL"),
            ("15 id", "expected a number, found text"),
            ("16 -", "expected the end of the line"),
            ("17 -", "not JSON"),
            ("18 -", "not JSON"),
            ("19 -", "expected an object, found a list"),
            ("21 id", "twice"),
        ],
    );
    let mut broken = Messages::new(3, 10);
    broken.push((10, 0), None, Some(b"{\"id\":1,\"text\":\"\xff\"}"), []);
    check(
        &pair(Format::JsonLines, &[]),
        &broken,
        &[],
        &[("10 -", "not UTF-8 at byte 17")],
    );
}

#[test]
fn columns_of_the_message_are_none_of_the_payload() {
    let strict = [
        ("column.text", "topic"),
        ("unknown_columns", "error"),
        ("missing_columns", "error"),
    ];
    check(
        &pair(Format::JsonLines, &strict),
        &payloads(&[r#"{"id":1}"#, r#"{"id":2,"text":"a"}"#, "{}"]),
        &["1|t"],
        &[("11 text", "not a declared field"), ("12 id", "is missing")],
    );
    check(
        &pair(Format::Csv, &[("column.id", "offset")]),
        &payloads(&["a", "b,c"]),
        &["10|a"],
        &[("11 -", "2 fields")],
    );
}

#[test]
fn a_csv_record_is_a_row() {
    check(
        &pair(Format::Csv, &[]),
        &payloads(&[
            "1,a",
            "2,b\n",
            "3,c\r\n",
            "4,",
            "5,\"\"",
            "6,\"x,\"\"y\"\"\nz\"",
            "7,\"x\"\r\n",
            "",
            "\n",
            "\r\n",
            "11,a\n12,b",
            "13,a\n\n14,b",
            "15,a,b",
            "x,y",
            ",y",
            "18,\"x",
            "19,x\"y",
            "20,\"x\"y",
            "21,z",
            "\n22,z",
        ]),
        &[
            "1|a",
            "2|b",
            "3|c",
            "4|∅",
            "5|",
            "6|x,\"y\"\nz",
            "7|x",
            "19|x\"y",
            "21|z",
        ],
        &[
            ("17 -", "is empty"),
            ("18 -", "is empty"),
            ("19 -", "is empty"),
            ("20 -", "more than one record"),
            ("21 -", "more than one record"),
            ("22 -", "the row has 3 fields"),
            ("23 id", "'x' cannot be read as BIGINT"),
            ("24 id", "NULL in a column that is NOT NULL"),
            ("25 text", "never closed"),
            ("27 text", "text after the closing quote"),
            ("29 -", "more than one record"),
        ],
    );
    let loose = [("delimiter", ";"), ("quote", ""), ("null_value", "NA")];
    check(
        &pair(Format::Csv, &loose),
        &payloads(&["1;\"a\"", "2;NA", "3;a\n4;b", "5;\n"]),
        &["1|\"a\"", "2|∅", "5|"],
        &[("12 -", "more than one record")],
    );
    let mut broken = Messages::new(3, 10);
    for value in [b"1,\xff".as_slice(), b"2,b"] {
        broken.push((broken.next_offset, 0), None, Some(value), []);
    }
    check(
        &pair(Format::Csv, &[]),
        &broken,
        &["2|b"],
        &[("10 text", "not valid UTF-8")],
    );
}

#[test]
fn text_is_taken_as_it_is() {
    let mut some = payloads(&["", "a\r\n", "NULL", "한글"]);
    some.push((14, 0), None, Some(b"\xffx"), []);
    some.push((15, 0), None, None, []);
    let rejected = [
        ("14 body", "is not UTF-8 at its byte 1"),
        ("15 -", "declare PRIMARY KEY"),
    ];
    let columns = [("body", DataType::Utf8), ("at", DataType::Int64)];
    let text = spec(Format::Text, &columns, &[("column.at", "offset")]);
    let rows = ["|10", "a\r\n|11", "NULL|12", "한글|13"];
    check(&text, &some, &rows, &rejected);
    for data_type in [DataType::LargeUtf8, DataType::Utf8View] {
        let text = spec(Format::Text, &[("body!", data_type)], &[]);
        let rows = ["", "a\r\n", "NULL", "한글"];
        check(&text, &some, &rows, &rejected);
    }
    for data_type in [
        DataType::Binary,
        DataType::LargeBinary,
        DataType::BinaryView,
    ] {
        let bytes = spec(Format::Text, &[("body", data_type)], &[]);
        let rows = ["", "610d0a", "4e554c4c", "ed959ceab880", "ff78"];
        check(&bytes, &some, &rows, &rejected[1..]);
    }
}

#[test]
fn what_no_column_reads_is_checked_unless_declared_otherwise() {
    let read_columns = &[("check", "read_columns")][..];
    for (format, options, payload, rejects) in [
        (Format::JsonLines, &[][..], r#"{"id":"x"}"#, true),
        (Format::JsonLines, read_columns, r#"{"id":"x"}"#, false),
        (Format::JsonLines, read_columns, "{", true),
        (Format::Csv, &[], "x,y", true),
        (Format::Csv, &[], "1,y", false),
        (Format::Csv, &[], "x", true),
    ] {
        let mut some = pair(format, options);
        some.projection = Vec::new();
        let found = read(&some, &payloads(&[payload]));
        assert_eq!(found.rows.len(), usize::from(!rejects), "{payload}");
        assert_eq!(found.rejected.len(), usize::from(rejects), "{payload}");
    }
    let columns = [("body", DataType::Utf8), ("at", DataType::Int64)];
    let mut text = spec(Format::Text, &columns, &[("column.at", "offset")]);
    text.projection = vec![1];
    let mut bytes = Messages::new(3, 10);
    bytes.push((10, 0), None, Some(b"\xff"), []);
    let rejected = [("10 body", "is not UTF-8 at its byte 1")];
    check(&text, &bytes, &[], &rejected);
}

#[test]
fn no_messages_are_no_rows() {
    for format in [Format::JsonLines, Format::Csv] {
        check(&pair(format, &[]), &Messages::new(3, 10), &[], &[]);
    }
    let tombstones = messages(&[(None, None), (Some("k"), None)]);
    let rejected = [("10 -", "PRIMARY KEY"), ("11 -", "PRIMARY KEY")];
    check(&pair(Format::Csv, &[]), &tombstones, &[], &rejected);
}

#[test]
fn what_cannot_be_says_what_to_write() {
    let text = |columns: &[(&str, DataType)]| refusal(&spec(Format::Text, columns, &[]));
    for (found, says) in [
        (
            refusal(&pair(Format::Parquet, &[])),
            "write STORED AS JSON, CSV or TEXT",
        ),
        (
            refusal(&pair(Format::Csv, &[("envelope", "debezium")])),
            "'envelope': cannot be 'debezium' where messages are STORED AS CSV; write STORED AS JSON",
        ),
        (text(&[]), "declare it"),
        (
            text(&[("a", DataType::Utf8), ("b", DataType::Utf8)]),
            "column 'b': STORED AS TEXT has one column",
        ),
        (text(&[("a", DataType::Int64)]), "declare TEXT or BYTEA"),
        (
            refusal(&pair(Format::Text, &[("null_value", "x")])),
            "unknown to STORED AS TEXT",
        ),
        (
            refusal(&SourceSpec {
                source: None,
                ..pair(Format::Csv, &[])
            }),
            "is no topic",
        ),
    ] {
        assert!(found.contains(says), "{found} and not {says}");
    }
}
