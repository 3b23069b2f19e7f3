//! Conversions from a file's types to the declared ones.

use super::*;

/// The outcome of each row: its value, or the path with the fault and part of the reason.
type Rows<'a> = &'a [Result<&'a str, (&'a str, &'a str)>];

#[test]
fn conversions() {
    use TimeUnit::{Microsecond, Nanosecond, Second};
    let strings = || vec![Some("a"), None, Some("b")];
    let people = |ages: ArrayRef| -> ArrayRef {
        Arc::new(StructArray::from(vec![(
            Arc::new(Field::new("age", ages.data_type().clone(), true)),
            ages,
        )]))
    };
    let person = |age| DataType::Struct(Fields::from(vec![Field::new("age", age, true)]));
    let old = vec![Some(1), None, Some(70_000)];
    let micros = |values: Vec<i64>| TimestampMicrosecondArray::from(values);
    let fixed =
        |size| DataType::FixedSizeList(Arc::new(Field::new("item", DataType::Int32, true)), size);
    let cases: Vec<(ArrayRef, DataType, Rows<'_>)> = vec![
        (
            Arc::new(Int32Array::from(old.clone())),
            DataType::Int64,
            &[Ok("1"), Ok("NULL"), Ok("70000")],
        ),
        (
            Arc::new(Int32Array::from(old.clone())),
            DataType::Int16,
            &[
                Ok("1"),
                Ok("NULL"),
                Err(("x", "70000 does not fit SMALLINT")),
            ],
        ),
        (
            Arc::new(Int64Array::from(vec![-1, 1])),
            DataType::UInt64,
            &[Err(("x", "-1 does not fit")), Ok("1")],
        ),
        (
            Arc::new(UInt64Array::from(vec![u64::MAX, 1])),
            DataType::Int64,
            &[Err(("x", "does not fit")), Ok("1")],
        ),
        (
            Arc::new(Float32Array::from(vec![0.5])),
            DataType::Float64,
            &[Ok("0.5")],
        ),
        (
            Arc::new(Int32Array::from(vec![7])),
            DataType::Decimal128(10, 2),
            &[Ok("7.00")],
        ),
        (
            Arc::new(Int32Array::from(vec![7, 1000])),
            DataType::Decimal128(3, 1),
            &[Ok("7.0"), Err(("x", "does not fit"))],
        ),
        (
            Arc::new(
                Decimal128Array::from(vec![123, 99_999])
                    .with_precision_and_scale(5, 2)
                    .unwrap(),
            ),
            DataType::Decimal128(5, 3),
            &[Ok("1.230"), Err(("x", "does not fit"))],
        ),
        (
            Arc::new(
                Decimal128Array::from(vec![123])
                    .with_precision_and_scale(5, 2)
                    .unwrap(),
            ),
            DataType::Decimal256(50, 4),
            &[Ok("1.2300")],
        ),
        (
            Arc::new(StringArray::from(strings())),
            DataType::Utf8,
            &[Ok("a"), Ok("NULL"), Ok("b")],
        ),
        (
            Arc::new(LargeStringArray::from(strings())),
            DataType::Utf8,
            &[Ok("a"), Ok("NULL"), Ok("b")],
        ),
        (
            Arc::new(StringViewArray::from(strings())),
            DataType::Utf8,
            &[Ok("a"), Ok("NULL"), Ok("b")],
        ),
        (
            Arc::new(StringArray::from(strings())),
            DataType::Utf8View,
            &[Ok("a"), Ok("NULL"), Ok("b")],
        ),
        (
            Arc::new(
                strings()
                    .into_iter()
                    .collect::<DictionaryArray<Int32Type>>(),
            ),
            DataType::Utf8,
            &[Ok("a"), Ok("NULL"), Ok("b")],
        ),
        (
            Arc::new(BinaryArray::from(vec![&b"a"[..], &b"\xFF"[..]])),
            DataType::Utf8,
            &[Ok("a"), Err(("x", "ff does not fit TEXT"))],
        ),
        (
            Arc::new(NullArray::new(2)),
            DataType::Int64,
            &[Ok("NULL"), Ok("NULL")],
        ),
        (
            Arc::new(micros(vec![1_500_000, -1])),
            timestamp(Nanosecond, None),
            &[
                Ok("1970-01-01T00:00:01.500"),
                Ok("1969-12-31T23:59:59.999999"),
            ],
        ),
        (
            Arc::new(micros(vec![1_000_000, 1_500_000, -1])),
            timestamp(Second, None),
            &[
                Ok("1970-01-01T00:00:01"),
                Err(("x", "has more decimals")),
                Err(("x", "has more decimals")),
            ],
        ),
        (
            Arc::new(TimestampNanosecondArray::from(vec![
                Some(1_000),
                None,
                Some(1),
            ])),
            timestamp(Microsecond, None),
            &[
                Ok("1970-01-01T00:00:00.000001"),
                Ok("NULL"),
                Err(("x", "has more decimals")),
            ],
        ),
        (
            Arc::new(TimestampSecondArray::from(vec![0, 253_402_214_400])),
            timestamp(Nanosecond, None),
            &[Ok("1970-01-01T00:00:00"), Err(("x", "does not fit"))],
        ),
        (
            Arc::new(micros(vec![0]).with_timezone("Asia/Seoul")),
            timestamp(Microsecond, None),
            &[Ok("1970-01-01T00:00:00")],
        ),
        (
            Arc::new(micros(vec![0])),
            timestamp(Microsecond, Some("+09:00")),
            &[Ok("1970-01-01T00:00:00+09:00")],
        ),
        (
            list_of(vec![
                Some(vec![Some(1), None]),
                None,
                Some(vec![]),
                Some(vec![Some(2), Some(70_000)]),
            ]),
            list(DataType::Int16, true),
            &[
                Ok("[1, ]"),
                Ok("NULL"),
                Ok("[]"),
                Err(("x[1]", "does not fit SMALLINT")),
            ],
        ),
        (
            list_of(vec![Some(vec![Some(1), None]), None, Some(vec![Some(2)])]),
            list(DataType::Int32, false),
            &[Err(("x[1]", "NOT NULL")), Ok("NULL"), Ok("[2]")],
        ),
        (
            list_of(vec![Some(vec![Some(1)]), None]),
            DataType::LargeList(Arc::new(Field::new("item", DataType::Int64, true))),
            &[Ok("[1]"), Ok("NULL")],
        ),
        (
            list_of(vec![
                Some(vec![Some(1), Some(2)]),
                None,
                Some(vec![Some(1)]),
            ]),
            fixed(2),
            &[Ok("[1, 2]"), Ok("NULL"), Err(("x", "does not fit"))],
        ),
        (
            Arc::new(FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>(
                vec![
                    Some(vec![Some(1), Some(70_000)]),
                    None,
                    Some(vec![Some(2), None]),
                ],
                2,
            )),
            DataType::FixedSizeList(Arc::new(Field::new("item", DataType::Int16, true)), 2),
            &[Err(("x[1]", "does not fit")), Ok("NULL"), Ok("[2, ]")],
        ),
        (
            people(Arc::new(Int32Array::from(old))),
            person(DataType::Int16),
            &[
                Ok("{age: 1}"),
                Ok("{age: }"),
                Err(("x.age", "70000 does not fit")),
            ],
        ),
        (
            people(list_of(vec![Some(vec![Some(1), Some(70_000)]), None])),
            person(list(DataType::Int16, true)),
            &[Err(("x.age[1]", "does not fit")), Ok("{age: }")],
        ),
    ];
    let directory = tempfile::tempdir().unwrap();
    for (case, (array, declared, rows)) in cases.into_iter().enumerate() {
        let name = format!("case {case}: {} to {declared}", array.data_type());
        let path = directory.path().join(format!("{case}.parquet"));
        let ids: ArrayRef = Arc::new((0_i64..).take(array.len()).collect::<Int64Array>());
        write(&path, vec![("x", array), ("id", ids)], 100);
        let fields = vec![
            Field::new("id", DataType::Int64, true),
            Field::new("x", declared, true),
        ];
        let decoded = read(&spec(fields, &[("offsets", "convert")]), &[path]).unwrap();
        let (batch, rejected) = (&decoded[0].batch, &decoded[0].rejected);
        assert_eq!(batch.num_rows() + rejected.len(), rows.len(), "{name}");
        let (mut good, mut bad) = (0, rejected.iter());
        for (row, expected) in rows.iter().enumerate() {
            match expected {
                Ok(value) => {
                    assert_eq!(text_of(batch.column(0), good), row.to_string(), "{name}");
                    assert_eq!(text_of(batch.column(1), good), *value, "{name}");
                    good += 1;
                }
                Err((path, reason)) => {
                    let found = bad.next().unwrap();
                    assert_eq!(
                        (found.line, found.byte_offset),
                        (row as u64 + 1, 0),
                        "{name}"
                    );
                    assert_eq!(found.column.as_deref(), Some(*path), "{name}");
                    assert!(found.reason.contains(reason), "{name}: {}", found.reason);
                    assert!(
                        found.raw.ends_with(&format!("\"id\":{row}}}")),
                        "{name}: {}",
                        found.raw
                    );
                }
            }
        }
    }
}

#[test]
fn int96_as_spark_writes_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spark.parquet");
    let message = "message spark_schema { optional int96 at; optional group l (LIST) { repeated group list { optional int96 element; } } }";
    let schema = Arc::new(parse_message_type(message).unwrap());
    let mut writer =
        SerializedFileWriter::new(File::create(&path).unwrap(), schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let int96 = |julian_day: u32, nanos: u64| {
        let [low, high] = [
            u32::try_from(nanos & 0xFFFF_FFFF).unwrap(),
            u32::try_from(nanos >> 32).unwrap(),
        ];
        Int96::from(vec![low, high, julian_day])
    };
    // 1970-01-01 is Julian day 2,440,588. 9999-12-31 is 5,373,484, which does not fit into nanoseconds.
    let instants = [
        int96(2_440_588, 1_000),
        int96(2_440_587, 86_399_000_000_000),
        int96(5_373_484, 0),
    ];
    for (definition, repetition) in [(1, None), (3, Some([0, 0, 0]))] {
        let mut column = group.next_column().unwrap().unwrap();
        let levels = [definition; 3];
        let repetition = repetition.as_ref().map(|levels| &levels[..]);
        column
            .typed::<Int96Type>()
            .write_batch(&instants, Some(&levels), repetition)
            .unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    let declared = |unit| {
        let at = timestamp(unit, None);
        vec![
            Field::new("l", list(at.clone(), true), true),
            Field::new("at", at, true),
        ]
    };
    let decoded = read(
        &spec(declared(TimeUnit::Microsecond), &[]),
        std::slice::from_ref(&path),
    )
    .unwrap();
    for (row, expected) in [
        "1970-01-01T00:00:00.000001",
        "1969-12-31T23:59:59",
        "9999-12-31T00:00:00",
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(
            text_of(decoded[0].batch.column(0), row),
            format!("[{expected}]")
        );
        assert_eq!(text_of(decoded[0].batch.column(1), row), *expected);
    }
    let decoded = read(&spec(declared(TimeUnit::Nanosecond), &[]), &[path]).unwrap();
    assert_eq!(
        (decoded[0].batch.num_rows(), decoded[0].rejected[0].line),
        (2, 3)
    );
    assert!(decoded[0].rejected[0].reason.contains("does not fit"));
}

#[test]
fn maps_are_matched_by_place_and_structs_by_name() {
    use arrow::array::builder::{Int32Builder, MapBuilder, StringBuilder};
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    for value in [1, 70_000] {
        map.keys().append_value("k");
        map.values().append_value(value);
        map.append(true).unwrap();
    }
    map.append(false).unwrap();
    let pair = |name, values: Vec<i32>| -> (FieldRef, ArrayRef) {
        (
            Arc::new(Field::new(name, DataType::Int32, true)),
            Arc::new(Int32Array::from(values)),
        )
    };
    let structs = StructArray::from(vec![
        pair("b", vec![1, 2, 3]),
        pair("a", vec![4, 5, 6]),
        pair("c", vec![0, 0, 0]),
    ]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    write(
        &path,
        vec![("m", Arc::new(map.finish())), ("s", Arc::new(structs))],
        10,
    );

    let entry = vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Int16, true),
    ];
    let entries = Arc::new(Field::new(
        "key_value",
        DataType::Struct(Fields::from(entry)),
        false,
    ));
    let wanted = vec![
        Field::new("a", DataType::Int64, true),
        Field::new("b", DataType::Int32, false),
    ];
    let fields = vec![
        Field::new("m", DataType::Map(entries, false), true),
        Field::new("s", DataType::Struct(Fields::from(wanted)), true),
    ];
    let decoded = read(&spec(fields, &[("offsets", "convert")]), &[path]).unwrap();
    let batch = &decoded[0].batch;
    assert_eq!(text_of(batch.column(0), 0), "{k: 1}");
    assert_eq!(text_of(batch.column(0), 1), "NULL");
    assert_eq!(
        (text_of(batch.column(1), 0), text_of(batch.column(1), 1)),
        ("{a: 4, b: 1}".into(), "{a: 6, b: 3}".into())
    );
    assert_eq!(decoded[0].rejected[0].column.as_deref(), Some("m[0]"));
    assert_eq!(decoded[0].rejected[0].line, 2);
}
