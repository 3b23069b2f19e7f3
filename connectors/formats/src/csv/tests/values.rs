//! Valid and invalid values of every type.

use super::*;

#[test]
fn every_type() {
    use DataType as T;
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let cases: &[(DataType, &[(&str, &str)], &[&str])] = &[
        (T::Boolean, &[("true", "true"), ("F", "false")], &["maybe"]),
        (
            T::Int8,
            &[
                ("-128", "-128"),
                ("1.0", "1"),
                ("\" 1\"", "1"),
                (" 7 ", "7"),
                ("1.2E+2", "120"),
            ],
            &["128", "1.5"],
        ),
        (T::Int16, &[("32767", "32767")], &["-32769"]),
        (T::Int32, &[("\"12\"", "12")], &["2147483648"]),
        (
            T::Int64,
            &[("-9223372036854775808", "-9223372036854775808")],
            &["9223372036854775808", "x"],
        ),
        (T::UInt8, &[("255", "255")], &["256", "-1"]),
        (T::UInt16, &[("65535", "65535")], &["65536"]),
        (T::UInt32, &[("4294967295", "4294967295")], &["4294967296"]),
        (
            T::UInt64,
            &[("18446744073709551615", "18446744073709551615")],
            &["18446744073709551616"],
        ),
        (
            T::Float32,
            &[("1.5", "1.5"), ("-nan", "NaN")],
            &["1;5", "1e39"],
        ),
        (
            T::Float64,
            &[("-2.5e3", "-2500.0"), ("inf", "inf")],
            &["", "abc", "1e400"],
        ),
        (
            T::Decimal128(10, 2),
            &[
                ("12.5", "12.50"),
                ("-0.01", "-0.01"),
                ("12.3400", "12.34"),
                ("1e5", "100000.00"),
            ],
            &["0.001", "123456789.00", "1e8"],
        ),
        (
            T::Decimal256(60, 1),
            &[(
                "99999999999999999999999999999999999999999999999999.9",
                "99999999999999999999999999999999999999999999999999.9",
            )],
            &["0.25"],
        ),
        (T::Utf8, &[("서울", "서울"), ("\"\"", "")], &[]),
        (T::LargeUtf8, &[("서울", "서울")], &[]),
        (
            T::Utf8View,
            &[
                ("x", "x"),
                ("longer than twelve bytes", "longer than twelve bytes"),
            ],
            &[],
        ),
        (T::Binary, &[("AB", "4142")], &[]),
        (T::LargeBinary, &[("AB", "4142")], &[]),
        (
            T::Date32,
            &[
                ("2024-02-29", "2024-02-29"),
                ("2024-02-29 00:00:00", "2024-02-29"),
            ],
            &["2023-02-29", "2024-02-29 00:00:01"],
        ),
        (
            T::Time32(Second),
            &[("07:23:12", "07:23:12")],
            &["07:23:12.5"],
        ),
        (
            T::Time32(Millisecond),
            &[("07:23:12.5", "07:23:12.500")],
            &["25:00:00"],
        ),
        (
            T::Time64(Microsecond),
            &[("07:23:12.000001", "07:23:12.000001")],
            &["7:23"],
        ),
        (
            T::Time64(Nanosecond),
            &[("07:23:12", "07:23:12")],
            &["noon"],
        ),
        (
            T::Timestamp(Second, None),
            &[
                ("2024-03-10 07:23:12", "2024-03-10T07:23:12"),
                ("2024-03-10", "2024-03-10T00:00:00"),
                ("2024-03-10 07:23", "2024-03-10T07:23:00"),
            ],
            &["2024-03-10 07:23:12.5", "2024-03-10T07:23:12Z"],
        ),
        (
            T::Timestamp(Nanosecond, None),
            &[(
                "2024-03-10T07:23:12.000000001",
                "2024-03-10T07:23:12.000000001",
            )],
            &["soon"],
        ),
        (
            T::Timestamp(Millisecond, Some("Asia/Seoul".into())),
            &[
                ("2024-03-10 07:23:12", "2024-03-10T07:23:12+09:00"),
                ("2024-03-10 07:23:12Z", "2024-03-10T16:23:12+09:00"),
            ],
            &["2024-03-10 07:23:12 KST"],
        ),
    ];
    for (data_type, good, bad) in cases {
        let spec = spec(&[("k", T::Utf8), ("v", data_type.clone())], &[]);
        let mut text = "k,v\n".to_owned();
        for (field, _) in *good {
            writeln!(text, "g,{field}").unwrap();
        }
        let bad: Vec<_> = bad.iter().filter(|field| !field.is_empty()).collect();
        for field in &bad {
            writeln!(text, "b,{field}").unwrap();
        }
        // Only a text can be blank, quoted or not.
        text.push_str("n,\n");
        let is_text = matches!(
            data_type,
            T::Utf8 | T::LargeUtf8 | T::Utf8View | T::Binary | T::LargeBinary
        );
        if !is_text {
            text.push_str("n,\"\"\nn, \n");
        }
        let read = read(&spec, text.as_bytes(), 1000).unwrap();
        let mut expected: Vec<_> = good
            .iter()
            .map(|(_, value)| vec!["g".to_owned(), (*value).to_owned()])
            .collect();
        let nulls = if is_text { 1 } else { 3 };
        expected.extend(vec![vec!["n".to_owned(), "∅".to_owned()]; nulls]);
        assert_eq!(read.rows, expected, "{data_type}");
        assert_eq!(
            read.rejected.len(),
            bad.len(),
            "{data_type}: {:?}",
            read.rejected
        );
        for (rejected, field) in read.rejected.iter().zip(bad) {
            assert_eq!(rejected.raw, format!("b,{field}"));
            assert_eq!(rejected.column.as_deref(), Some("v"));
            let start = format!("'{}' cannot be read as ", field.trim_matches('"'));
            assert!(rejected.reason.starts_with(&start), "{}", rejected.reason);
        }
    }
}

#[test]
fn not_null() {
    for data_type in [
        DataType::Int64,
        DataType::Boolean,
        DataType::Utf8,
        DataType::Utf8View,
    ] {
        let spec = spec(&[("k", DataType::Utf8), ("v!", data_type)], &[]);
        let read = read(&spec, b"k,v\na,1\nb,\nc,1\n", 1000).unwrap();
        assert_eq!(read.rows.len(), 2);
        let reason = &read.rejected[0].reason;
        assert!(
            reason.starts_with("NULL in a column that is NOT NULL ("),
            "{reason}"
        );
        assert_eq!(
            (read.rejected[0].line, read.rejected[0].byte_offset),
            (3, 8)
        );
    }
}

#[test]
fn formats_of_time() {
    let columns = [
        ("d", DataType::Date32),
        ("t", DataType::Timestamp(TimeUnit::Second, None)),
    ];
    let options = [
        ("date_format", "%d.%m.%Y"),
        ("timestamp_format", "%d/%m/%Y %H:%M"),
    ];
    let read = read(
        &spec(&columns, &options),
        b"d,t\n10.03.2024,10/03/2024 07:23\n2024-03-10,10/03/2024 07:23\n",
        9,
    )
    .unwrap();
    assert_eq!(
        shown(&read),
        [
            "2024-03-10|2024-03-10T07:23:00",
            "3:32 d: '2024-03-10' cannot be read as DATE: it does not follow the source's format <2024-03-10,10/03/2024 07:23>",
        ]
    );
}

#[test]
fn long_values_are_shown_cut() {
    let text = format!("a\n{}\n", "é".repeat(200));
    let read = read(&spec(&[("a", DataType::Int64)], &[]), text.as_bytes(), 1000).unwrap();
    assert_eq!(
        read.rejected[0].reason,
        format!(
            "'{}…' cannot be read as BIGINT: it is not a whole number",
            "é".repeat(80)
        )
    );
    assert_eq!(read.rejected[0].raw, "é".repeat(200));
}
