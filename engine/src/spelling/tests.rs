#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion_expr::{col, lit};

use super::*;

#[test]
fn types_are_spelled_as_declared() {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let pair = DataType::Struct(
        vec![
            Field::new("a", DataType::Int32, true),
            Field::new("B", DataType::Utf8, true),
        ]
        .into(),
    );
    let cases = [
        (DataType::Int64, "BIGINT"),
        (DataType::Utf8View, "TEXT"),
        (DataType::Decimal128(12, 2), "DECIMAL(12, 2)"),
        (
            DataType::Timestamp(TimeUnit::Microsecond, None),
            "TIMESTAMP",
        ),
        (
            DataType::Timestamp(TimeUnit::Nanosecond, None),
            "TIMESTAMP(9)",
        ),
        (utc, "TIMESTAMPTZ"),
        (
            DataType::new_list(pair, true),
            "STRUCT<a INT, \"B\" TEXT>[]",
        ),
        (
            DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            "TEXT",
        ),
        (DataType::Duration(TimeUnit::Microsecond), "DURATION"),
    ];
    for (data_type, expected) in cases {
        assert_eq!(type_name(&data_type), expected);
    }
}

#[test]
fn expressions_are_spelled_as_written() {
    let cases = [
        (col("t.a").eq(lit("it's")), "t.a = 'it''s'"),
        (col("a").gt(lit(1_i64)), "a > 1"),
        (col("a").is_null().and(lit(true)), "a IS NULL AND true"),
        (
            datafusion_expr::cast(col("a"), DataType::Utf8),
            "CAST(a AS TEXT)",
        ),
        (
            col("d").eq(lit(ScalarValue::Date32(Some(19_783)))),
            "d = DATE '2024-03-01'",
        ),
        (lit(ScalarValue::Decimal128(Some(-150), 10, 2)), "-1.50"),
        (lit(ScalarValue::Utf8(None)), "NULL"),
    ];
    for (expr, expected) in cases {
        assert_eq!(expression(&expr), expected);
    }
}

#[test]
fn arithmetic_is_spelled_as_written() {
    for text in [
        "a + 1",
        "a - b - c",
        "a - (b - c)",
        "a / (b * c)",
        "(a + b) * c > 3",
        "-(a + b)",
        "-a",
        "a % 2",
    ] {
        let sql = format!(
            "CREATE EXTERNAL TABLE t (a BIGINT, b BIGINT, c BIGINT) STORED AS CSV LOCATION 't';\n\
             CREATE MATERIALIZED VIEW v AS SELECT {text} AS x FROM t;"
        );
        let job = crate::Job::parse("job.sql", &sql, &|_| None).unwrap();
        let explained = crate::Explain::new(&job).unwrap().to_string();
        assert!(explained.contains(text), "{text}: {explained}");
    }
}

use datafusion_common::ScalarValue;

#[test]
fn texts_lose_the_names_of_arrow() {
    let cases = [
        ("count(Int64(1))", "count(1)"),
        ("there is no sum(Utf8)", "there is no sum(TEXT)"),
        (
            "hop(Timestamp(µs, \"UTC\"), Utf8, Utf8)",
            "hop(TIMESTAMPTZ, TEXT, TEXT)",
        ),
        ("Timestamp(Nanosecond, None)", "TIMESTAMP"),
        ("a = Utf8(\"it's (so)\")", "a = 'it''s (so)'"),
        ("Decimal128(12, 2)", "DECIMAL(12, 2)"),
        ("Decimal128(Some(150),10,2)", "1.50"),
        ("Decimal128(Some(-5),10,2)", "-0.05"),
        ("Decimal128(None,10,2)", "NULL"),
        ("List(non-null Int64)", "BIGINT[]"),
        ("List(Int64, field: 'item')", "BIGINT[]"),
        (
            "Struct(\"a\": Int32, \"b\": non-null List(Utf8))",
            "STRUCT<a INT, b TEXT[]>",
        ),
        ("Dictionary(Int32, Utf8)", "TEXT"),
        (
            "__unnest_placeholder(searches.results,depth=1)",
            "unnest(searches.results)",
        ),
        ("Boolean(true) Float64(1.5) Utf8(NULL)", "true 1.5 NULL"),
        (
            "IntervalMonthDayNano(\"IntervalMonthDayNano { months: 0, days: 1, nanoseconds: 3600000000000 }\")",
            "INTERVAL '1 days 3600 seconds'",
        ),
        ("Date32(\"2024-03-01\")", "DATE '2024-03-01'"),
        (
            "my_Int64 and Int64s and 금액",
            "my_Int64 and Int64s and 금액",
        ),
        ("Utf8(\"open", "TEXT(\"open"),
        ("", ""),
    ];
    for (text, expected) in cases {
        assert_eq!(in_sql(text), expected, "{text}");
    }
}

#[test]
fn names_are_quoted_where_they_must_be() {
    let cases = [
        ("amount", "amount"),
        ("금액", "금액"),
        ("Amount", "\"Amount\""),
        ("two words", "\"two words\""),
        ("1st", "\"1st\""),
        ("a\"b", "\"a\"\"b\""),
        ("", "\"\""),
    ];
    for (name, expected) in cases {
        assert_eq!(identifier(name), expected);
    }
    let fields = [Arc::new(Field::new("a", DataType::Int64, false))];
    assert_eq!(columns(&fields), "a BIGINT");
}
