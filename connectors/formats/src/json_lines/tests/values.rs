//! Values that each column accepts and refuses.

use super::*;

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
            Err(("x", "out of range")),
        ),
        (
            &DataType::UInt64,
            "18446744073709551615",
            Ok("18446744073709551615"),
        ),
        (&DataType::UInt8, "-1", Err(("x", "out of range"))),
        (&DataType::Int8, "128", Err(("x", "out of range"))),
        (
            &DataType::Int32,
            "\"1\"",
            Err(("x", "expected a number, found text")),
        ),
        (&DataType::Int32, "1.5", Err(("x", "not a whole number"))),
        (&DataType::Int32, "1.0", Ok("1")),
        (&DataType::Int32, "1e3", Ok("1000")),
        (
            &DataType::Int32,
            "true",
            Err(("x", "expected a number, found true")),
        ),
        (&DataType::Float64, "1", Ok("1.0")),
        (&DataType::Float64, "-1.5e-3", Ok("-0.0015")),
        (&DataType::Float64, "1e400", Err(("x", "out of range"))),
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
            Err(("x", "more digits after the point")),
        ),
        (
            &DataType::Decimal128(5, 2),
            "1000",
            Err(("x", "out of range")),
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
            Err(("x", "not a date")),
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
            Err(("x", "zone offset")),
        ),
        (
            &micros,
            "1710055392",
            Err(("x", "expected text, found a number")),
        ),
        (
            &micros,
            "\"2024-03-10T07:23:12.1234567\"",
            Err(("x", "more digits after the second")),
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
            Err(("", "expected a number, found ']'")),
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
        (&priced, "{}", Err(("x.price", "NOT NULL"))),
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
