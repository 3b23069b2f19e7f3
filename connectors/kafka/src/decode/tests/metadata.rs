//! Columns that come from the message itself.

use super::*;

fn headers_type(value: DataType, nullable: bool) -> DataType {
    let fields = vec![
        Field::new("name", DataType::Utf8, true),
        Field::new("value", value, nullable),
    ];
    DataType::new_list(DataType::Struct(fields.into()), true)
}

#[test]
fn each_has_its_types() {
    let seoul = DataType::Timestamp(TimeUnit::Microsecond, Some("+09:00".into()));
    let (text, bytes) = (DataType::Utf8, DataType::Binary);
    for (metadata, data_type, first, second) in [
        ("key", text.clone(), "k", "∅"),
        ("key", DataType::LargeUtf8, "k", "∅"),
        ("key", DataType::Utf8View, "k", "∅"),
        ("key", bytes.clone(), "6b", "∅"),
        ("key", DataType::BinaryView, "6b", "∅"),
        ("key", DataType::LargeBinary, "6b", "∅"),
        ("timestamp", MICROS, "1970-01-01T00:00:01.500", "∅"),
        ("timestamp", seoul, "1970-01-01T09:00:01.500+09:00", "∅"),
        ("partition", DataType::Int32, "3", "3"),
        ("partition", DataType::Int64, "3", "3"),
        ("offset", DataType::Int64, "10", "12"),
        ("topic", text.clone(), "t", "t"),
        ("topic", DataType::Utf8View, "t", "t"),
        ("header:a", text.clone(), "2", "∅"),
        ("header:a", bytes.clone(), "32", "∅"),
        ("header:b", text.clone(), "∅", "∅"),
        ("header:c", text.clone(), "∅", "∅"),
        (
            "headers",
            headers_type(text, true),
            "[{name: a, value: 1}, {name: b, value: }, {name: a, value: 2}]",
            "[]",
        ),
        (
            "headers",
            headers_type(bytes, true),
            "[{name: a, value: 31}, {name: b, value: }, {name: a, value: 32}]",
            "[]",
        ),
    ] {
        let columns = [("body", DataType::Utf8), ("x", data_type)];
        let spec = spec(Format::Text, &columns, &[("column.x", metadata)]);
        let mut some = Messages::new(3, 10);
        let headers: [(&[u8], Option<&[u8]>); 3] =
            [(b"a", Some(b"1")), (b"b", None), (b"a", Some(b"2"))];
        some.push((10, 1_500), Some(b"k"), Some(b"one"), headers);
        some.push((12, -1), None, Some(b"two"), []);
        let found = read(&spec, &some).rows;
        let without_nulls = |text: &str| text.replace("value: ∅", "value: ");
        let found: Vec<_> = found.iter().map(|row| without_nulls(row)).collect();
        let expected = [format!("one|{first}"), format!("two|{second}")];
        assert_eq!(found, expected, "{metadata}");
    }
}

#[test]
fn what_does_not_fit_rejects_the_message() {
    let strict_headers = headers_type(DataType::Utf8, false);
    let far = i64::MAX / 1_000 + 1;
    for (column, data_type, metadata, reason) in [
        ("x!", DataType::Utf8, "key", "the message does not say it"),
        ("x", DataType::Utf8, "header:bad", "is not UTF-8"),
        ("x!", DataType::Binary, "header:none", "NOT NULL"),
        ("x!", MICROS, "timestamp", "NOT NULL"),
        (
            "x",
            headers_type(DataType::Utf8, true),
            "headers",
            "header 2: is not UTF-8",
        ),
        ("x", strict_headers, "headers", "header 1: has no value"),
    ] {
        let columns = [("id!", DataType::Int64), (column, data_type)];
        let spec = spec(Format::JsonLines, &columns, &[("column.x", metadata)]);
        let mut some = Messages::new(3, 10);
        let headers: [(&[u8], Option<&[u8]>); 2] = [(b"none", None), (b"bad", Some(b"\xff"))];
        some.push((10, -1), None, Some(b"{\"id\":1}"), headers);
        // Its payload is invalid too; only the first fault is reported.
        some.push((11, -1), None, Some(b"{}"), headers);
        let good: [(&[u8], Option<&[u8]>); 2] = [(b"none", Some(b"x")), (b"bad", Some(b"y"))];
        some.push((12, 5), Some(b"k"), Some(b"{\"id\":3}"), good);
        let found = read(&spec, &some);
        assert_eq!(found.rows.len(), 1, "{found:?}");
        assert!(found.rows[0].starts_with("3|"), "{found:?}");
        assert_eq!(found.rejected.len(), 2, "{found:?}");
        assert!(found.rejected[0].starts_with("10 x: "), "{found:?}");
        assert!(
            found.rejected[0].contains(reason),
            "{found:?} and not {reason}"
        );
        assert!(found.rejected[1].starts_with("11 id: "), "{found:?}");
    }
    let columns = [("body", DataType::Utf8), ("x", MICROS)];
    let spec = spec(Format::Text, &columns, &[("column.x", "timestamp")]);
    let mut late = Messages::new(3, 10);
    late.push((10, far), None, Some(b""), []);
    check(&spec, &late, &[], &[("10 x", "out of range")]);
}

#[test]
fn a_header_has_a_name_that_is_text() {
    let columns = [
        ("x", headers_type(DataType::Binary, true)),
        ("body", DataType::Utf8),
    ];
    let spec = spec(Format::Text, &columns, &[("column.x", "headers")]);
    let mut some = Messages::new(3, 10);
    let headers: [(&[u8], Option<&[u8]>); 1] = [(b"\xff", Some(b"\xff"))];
    some.push((10, 0), None, Some(b""), headers);
    check(&spec, &some, &[], &[("10 x", "header 1: is not UTF-8")]);
}

#[test]
fn what_is_not_read_is_not_built() {
    let columns = [
        ("x!", DataType::Utf8),
        ("id", DataType::Int64),
        ("y", DataType::Int64),
    ];
    let options = [("column.x", "key"), ("column.y", "offset")];
    let mut some = spec(Format::JsonLines, &columns, &options);
    some.projection = vec![1, 2];
    // The message has no key, which no column reads.
    check(&some, &payloads(&[r#"{"id":1}"#]), &["1|10"], &[]);
}
