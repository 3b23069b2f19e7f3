#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use arrow::array::{Int32Array, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{
    DataType, Field, Fields, IntervalDayTime, IntervalMonthDayNano, IntervalUnit, Schema, TimeUnit,
    UnionFields, UnionMode,
};
use datafusion_common::ScalarValue;
use datafusion_expr::{col, lit};

use super::*;
use crate::job::Job;

fn text<T: Canonical + ?Sized>(value: &T) -> String {
    CanonicalText::of(value).as_str().to_owned()
}

fn item(data_type: DataType) -> Arc<Field> {
    Arc::new(Field::new("item", data_type, true))
}

const ITEM: &str = "(field 4:item (int32) nullable)";

#[test]
fn types_have_names_of_their_own() {
    let int = || item(DataType::Int32);
    let utc = Some(Arc::from("UTC"));
    let cases = [
        (DataType::Null, "(null)".to_owned()),
        (DataType::Boolean, "(boolean)".to_owned()),
        (DataType::Utf8, "(utf8)".to_owned()),
        (DataType::Float64, "(float64)".to_owned()),
        (
            DataType::Timestamp(TimeUnit::Microsecond, None),
            "(timestamp us none)".to_owned(),
        ),
        (
            DataType::Timestamp(TimeUnit::Nanosecond, utc),
            "(timestamp ns 3:UTC)".to_owned(),
        ),
        (
            DataType::Time32(TimeUnit::Millisecond),
            "(time32 ms)".to_owned(),
        ),
        (
            DataType::Duration(TimeUnit::Second),
            "(duration s)".to_owned(),
        ),
        (
            DataType::Interval(IntervalUnit::MonthDayNano),
            "(interval month_day_nano)".to_owned(),
        ),
        (
            DataType::FixedSizeBinary(16),
            "(fixed_size_binary 16)".to_owned(),
        ),
        (
            DataType::Decimal128(18, -2),
            "(decimal128 18 -2)".to_owned(),
        ),
        (DataType::List(int()), format!("(list {ITEM})")),
        (
            DataType::FixedSizeList(int(), 3),
            format!("(fixed_size_list {ITEM} 3)"),
        ),
        (
            DataType::Struct(Fields::from(vec![int()])),
            format!("(struct [1 {ITEM}])"),
        ),
        (
            DataType::Union(
                UnionFields::from_fields(vec![int().as_ref().clone()]),
                UnionMode::Dense,
            ),
            format!("(union dense 0 {ITEM})"),
        ),
        (
            DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8)),
            "(dictionary (uint32) (utf8))".to_owned(),
        ),
        (DataType::Map(int(), true), format!("(map {ITEM} true)")),
        (
            DataType::RunEndEncoded(int(), int()),
            format!("(run_end_encoded {ITEM} {ITEM})"),
        ),
    ];
    for (data_type, expected) in cases {
        assert_eq!(text(&data_type), expected);
    }
}

#[test]
fn literals_keep_their_type_and_every_bit() {
    let list = ListArray::new(
        item(DataType::Int32),
        OffsetBuffer::from_lengths([2]),
        Arc::new(Int32Array::from(vec![Some(1), None])),
        None,
    );
    let fields = Fields::from(vec![item(DataType::Int32)]);
    let point = StructArray::new(fields, vec![Arc::new(Int32Array::from(vec![7]))], None);
    let cases = [
        (ScalarValue::Null, "(literal (null) null)".to_owned()),
        (
            ScalarValue::Int32(Some(-5)),
            "(literal (int32) -5)".to_owned(),
        ),
        (
            ScalarValue::Int32(None),
            "(literal (int32) null)".to_owned(),
        ),
        (
            ScalarValue::Int64(Some(-5)),
            "(literal (int64) -5)".to_owned(),
        ),
        (
            ScalarValue::Float64(Some(-0.0)),
            "(literal (float64) f8000000000000000)".to_owned(),
        ),
        (
            ScalarValue::Float64(Some(0.1)),
            "(literal (float64) f3fb999999999999a)".to_owned(),
        ),
        (
            ScalarValue::Decimal128(Some(1050), 18, 2),
            "(literal (decimal128 18 2) 1050)".to_owned(),
        ),
        (
            ScalarValue::Utf8(Some("a ä)".to_owned())),
            "(literal (utf8) 5:a ä))".to_owned(),
        ),
        (
            ScalarValue::Binary(Some(vec![0, 255])),
            "(literal (binary) x2:00ff)".to_owned(),
        ),
        (
            ScalarValue::TimestampMicrosecond(Some(3), None),
            "(literal (timestamp us none) 3)".to_owned(),
        ),
        (
            ScalarValue::IntervalDayTime(Some(IntervalDayTime::new(1, -2))),
            "(literal (interval day_time) 1/-2)".to_owned(),
        ),
        (
            ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(1, 2, 3))),
            "(literal (interval month_day_nano) 1/2/3)".to_owned(),
        ),
        (
            ScalarValue::List(Arc::new(list)),
            format!("(literal (list {ITEM})(values 2 (literal (int32) 1) (literal (int32) null)))"),
        ),
        (
            ScalarValue::Struct(Arc::new(point)),
            format!("(literal (struct [1 {ITEM}])(values 1 (literal (int32) 7)))"),
        ),
        (
            ScalarValue::Dictionary(
                Box::new(DataType::UInt32),
                Box::new(ScalarValue::Utf8(Some("x".to_owned()))),
            ),
            "(literal (dictionary (uint32) (utf8)) (literal (utf8) 1:x))".to_owned(),
        ),
    ];
    for (value, expected) in cases {
        assert_eq!(text(&value), expected);
    }
}

#[test]
fn expressions_are_written_as_they_are_nested() {
    let cases = [
        (
            (col("a") + lit(1_i64)).gt(col("t.b")),
            "(binary 1:> (binary 1:+ (column none 1:a) (literal (int64) 1)) (column (table 1:t) 1:b))",
        ),
        (
            col("a").is_null().alias("x"),
            "(alias (is_null (column none 1:a)) none 1:x)",
        ),
        (
            col("a").in_list(vec![lit(true)], true),
            "(in true (column none 1:a) [1 (literal (boolean) true)])",
        ),
        (
            col("a").between(lit(1_i32), lit(2_i32)),
            "(between false (column none 1:a) (literal (int32) 1) (literal (int32) 2))",
        ),
    ];
    for (expr, expected) in cases {
        assert_eq!(text(&expr), expected);
    }
}

/// Different columns have different texts, whatever their names are.
#[test]
fn texts_do_not_run_into_one_another() {
    let schema = |names: &[&str]| {
        let fields = names.iter();
        let fields = fields.map(|name| Field::new(*name, DataType::Int32, true));
        text(&Schema::new(fields.collect::<Vec<_>>()))
    };
    let names: [&[&str]; 6] = [
        &[],
        &[""],
        &["a", "b"],
        &["a b"],
        &["a (int32) nullable) (field 1:b"],
        &["b", "a"],
    ];
    for (at, one) in names.iter().enumerate() {
        for other in &names[at + 1..] {
            assert_ne!(schema(one), schema(other));
        }
    }
}

/// Every kind of plan that a job may have is written by this module, and none by the planner's `Display`.
#[test]
fn no_plan_of_a_job_is_printed_by_the_planner() {
    let sql = include_str!("../../drive/maintain/fingerprints/golden.sql");
    let more = "CREATE VIEW tagged AS SELECT id, unnest(tags) AS tag FROM regions;\n\
        CREATE MATERIALIZED VIEW top_tags AS SELECT DISTINCT tag FROM tagged ORDER BY tag LIMIT 3;\n\
        CREATE MATERIALIZED VIEW sides AS SELECT o.id, r.name, try_cast(r.code AS BIGINT) AS code, -o.weight AS w, \
        o.ok IS NOT TRUE AS bad FROM orders o LEFT JOIN regions r ON o.region = r.code;\n\
        COPY top_tags TO 'out/tags'; COPY sides TO 'out/sides';";
    let sql = format!("{sql}{more}");
    let job = Job::parse("job.sql", &sql, &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
    for view in &job.views {
        let text = text(&view.plan);
        assert!(!text.contains("(other"), "{}: {text}", view.name);
    }
}
