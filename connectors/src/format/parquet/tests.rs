//! The reader as its users meet it: files in, batches, rejected rows and errors out.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::types::Int32Type;
use arrow::array::{
    Array, ArrayRef, BinaryArray, Decimal128Array, DictionaryArray, FixedSizeListArray,
    Float32Array, Int32Array, Int64Array, LargeStringArray, ListArray, NullArray, RecordBatch,
    StringArray, StringViewArray, StructArray, TimestampMicrosecondArray, TimestampNanosecondArray,
    TimestampSecondArray, UInt64Array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, TimeUnit};
use arrow::util::display::array_value_to_string;
use parquet::arrow::ArrowWriter;
use parquet::data_type::{Int96, Int96Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::error::SourceError;
use crate::source::{Decoded, Format, Reader, SourceSpec};

use super::ParquetReader;

fn spec(fields: Vec<Field>, options: &[(&str, &str)]) -> SourceSpec {
    SourceSpec {
        name: "sales".to_owned(),
        location: "sales".to_owned(),
        format: Format::Parquet,
        projection: (0..fields.len()).collect(),
        schema: Arc::new(Schema::new(fields)),
        options: options
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect::<BTreeMap<_, _>>(),
    }
}

fn write(path: &Path, columns: Vec<(&str, ArrayRef)>, row_group_rows: usize) {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns
            .into_iter()
            .map(|(name, column)| (name, column, true)),
    );
    write_batch(path, &batch.unwrap(), row_group_rows);
}

fn write_batch(path: &Path, batch: &RecordBatch, row_group_rows: usize) {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(row_group_rows))
        .build();
    let mut writer = ArrowWriter::try_new(
        File::create(path).unwrap(),
        batch.schema(),
        Some(properties),
    )
    .unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

fn reader(spec: &SourceSpec, paths: &[PathBuf]) -> ParquetReader {
    let listed = paths
        .iter()
        .map(|path| (path.clone(), path.metadata().map_or(0, |found| found.len())));
    ParquetReader::open(spec, listed.collect()).unwrap()
}

fn read(spec: &SourceSpec, paths: &[PathBuf]) -> Result<Vec<Decoded>, SourceError> {
    let reader = reader(spec, paths);
    let mut decoded = Vec::new();
    while let Some(piece) = reader.next_piece()? {
        for step in piece {
            decoded.push(step?);
        }
    }
    Ok(decoded)
}

fn text_of(array: &ArrayRef, row: usize) -> String {
    if array.is_null(row) {
        "NULL".to_owned()
    } else {
        array_value_to_string(array, row).unwrap()
    }
}

fn list_of(values: Vec<Option<Vec<Option<i32>>>>) -> ArrayRef {
    Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(values))
}

fn list(element: DataType, nullable: bool) -> DataType {
    DataType::List(Arc::new(Field::new("element", element, nullable)))
}

fn timestamp(unit: TimeUnit, zone: Option<&str>) -> DataType {
    DataType::Timestamp(unit, zone.map(Into::into))
}

/// The outcome of each row: its value, or the path at fault and part of the reason.
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
            &[Ok("1"), Ok("NULL"), Err(("x", "70000 does not fit Int16"))],
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
            &[Ok("a"), Err(("x", "ff does not fit Utf8"))],
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
                Err(("x[1]", "does not fit Int16")),
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
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..array.len() as i64));
        write(&path, vec![("x", array), ("id", ids)], 100);
        let fields = vec![
            Field::new("id", DataType::Int64, true),
            Field::new("x", declared, true),
        ];
        let decoded = read(&spec(fields, &[]), &[path]).unwrap();
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
fn types_that_do_not_convert_are_errors_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.parquet");
    let inner: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let field: FieldRef = Arc::new(Field::new("n", DataType::Int32, true));
    write(
        &path,
        vec![
            ("text", Arc::new(StringArray::from(vec!["1"]))),
            ("s", Arc::new(StructArray::from(vec![(field, inner)]))),
            ("l", list_of(vec![Some(vec![Some(1)])])),
        ],
        10,
    );
    let structure = |field| DataType::Struct(Fields::from(vec![field]));
    for (column, declared, option, expected) in [
        (
            "text",
            DataType::Int64,
            "error",
            "column 'text': is Utf8 in the file, but declared Int64",
        ),
        (
            "s",
            structure(Field::new("n", DataType::Utf8, true)),
            "error",
            "column 's.n': is Int32 in the file, but declared Utf8",
        ),
        (
            "s",
            structure(Field::new("m", DataType::Utf8, true)),
            "error",
            "column 's.m': is not in the file, whose fields here are n",
        ),
        (
            "s",
            structure(Field::new("m", DataType::Utf8, false)),
            "null",
            "column 's.m': is declared NOT NULL, but is not in the file",
        ),
        (
            "l",
            list(DataType::Utf8, true),
            "error",
            "column 'l[]': is Int32 in the file, but declared Utf8",
        ),
        ("l", DataType::Int32, "error", "column 'l': is List"),
        (
            "gone",
            DataType::Int32,
            "error",
            "column 'gone': is not in the file, whose columns are text, s, l; set missing_columns",
        ),
        ("gone", DataType::Int32, "null", ""),
        (
            "s",
            structure(Field::new("m", DataType::Utf8, true)),
            "null",
            "",
        ),
    ] {
        let options = [("unknown_columns", "ignore"), ("missing_columns", option)];
        let found = read(
            &spec(vec![Field::new(column, declared, true)], &options),
            std::slice::from_ref(&path),
        );
        match found {
            Ok(decoded) => assert!(
                expected.is_empty() && decoded[0].batch.num_rows() == 1,
                "{column}"
            ),
            Err(error) => {
                let message = error.to_string();
                assert!(
                    message.contains("a.parquet") && message.contains(expected),
                    "{message}"
                );
                assert!(!expected.is_empty(), "{message}");
            }
        }
    }
    let unknown = read(
        &spec(vec![Field::new("text", DataType::Utf8, true)], &[]),
        &[path],
    )
    .unwrap_err();
    assert!(
        unknown
            .to_string()
            .contains("column 's': is in the file, but not declared"),
        "{unknown}"
    );
}

#[test]
fn files_that_are_not_what_they_should_be() {
    let directory = tempfile::tempdir().unwrap();
    let whole = directory.path().join("whole.parquet");
    write(
        &whole,
        vec![("x", Arc::new(Int64Array::from_iter_values(0..1000)))],
        1000,
    );
    let bytes = std::fs::read(&whole).unwrap();
    let mut damaged = bytes.clone();
    damaged[4..200].fill(0xFF);
    for (name, content, expected) in [
        ("empty", &[][..], "is empty: a Parquet file has a footer"),
        (
            "text",
            b"a,b,c\n1,2,3\n",
            "is not a Parquet file: check STORED AS",
        ),
        ("tiny", b"PAR1", "damaged or cut short"),
        ("cut", &bytes[..bytes.len() - 10], "damaged or cut short"),
        (
            "damaged",
            &damaged,
            "damaged or cut short at byte 4: row group 0",
        ),
    ] {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        let error = read(
            &spec(vec![Field::new("x", DataType::Int64, true)], &[]),
            &[path],
        )
        .unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains(name) && message.contains(expected),
            "{message}"
        );
    }
    let spec = spec(vec![Field::new("x", DataType::Int64, true)], &[]);
    let gone = read(&spec, &[directory.path().join("gone")])
        .unwrap_err()
        .to_string();
    assert!(
        gone.contains("cannot open") && gone.contains("gone"),
        "{gone}"
    );

    let reader = reader(&spec, std::slice::from_ref(&whole));
    let mut piece = reader.next_piece().unwrap().unwrap();
    write(
        &whole,
        vec![("x", Arc::new(Int64Array::from_iter_values(0..999)))],
        1000,
    );
    let changed = piece.next().unwrap().unwrap_err().to_string();
    assert!(
        changed.contains("changed while it was being read"),
        "{changed}"
    );
    assert!(piece.next().is_none());
}

#[test]
fn row_groups_are_pieces_and_batches_are_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let (first, none, second) = (
        directory.path().join("1"),
        directory.path().join("2"),
        directory.path().join("3"),
    );
    let column = |values: std::ops::Range<i64>| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(values))
    };
    write(
        &first,
        vec![("y", column(0..70_000)), ("x", column(0..70_000))],
        40_000,
    );
    write(&none, vec![("x", column(0..0)), ("y", column(0..0))], 10);
    write(
        &second,
        vec![("x", column(70_000..70_003)), ("y", column(0..3))],
        2,
    );
    let paths = [first, none, second];
    let mut spec = spec(
        vec![
            Field::new("x", DataType::Int64, false),
            Field::new("y", DataType::Int64, true),
        ],
        &[],
    );
    spec.projection = vec![0];

    let reader = reader(&spec, &paths);
    let (mut pieces, mut decoded) = (0, Vec::new());
    while let Some(piece) = reader.next_piece().unwrap() {
        pieces += 1;
        decoded.extend(piece.map(Result::unwrap));
    }
    assert_eq!(pieces, 4);
    assert!(
        decoded
            .iter()
            .all(|part| part.batch.num_rows() <= 16 * 1024 && part.rejected.is_empty())
    );
    let schema = spec.schema.project(&[0]).unwrap().into();
    let all = concat_batches(&schema, decoded.iter().map(|part| &part.batch)).unwrap();
    let expected: ArrayRef = Arc::new(Int64Array::from_iter_values(0..70_003));
    assert_eq!(all.column(0), &expected);
    let empty_bytes = paths[1].metadata().unwrap().len();
    assert_eq!(
        decoded.iter().map(|part| part.bytes).sum::<u64>(),
        reader.bytes_total() - empty_bytes
    );
    assert_eq!(
        reader.warnings(),
        [format!("{}: holds no rows", paths[1].display())]
    );

    spec.projection = vec![];
    let counted: usize = read(&spec, &paths)
        .unwrap()
        .iter()
        .map(|part| part.batch.num_rows())
        .sum();
    assert_eq!(counted, 70_003);
}

#[test]
fn lines_are_row_numbers_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let values =
        Int64Array::from_iter((0..50_000).map(|value| (value % 20_000 != 19_999).then_some(value)));
    write(&path, vec![("x", Arc::new(values))], 30_000);
    let decoded = read(
        &spec(vec![Field::new("x", DataType::Int64, false)], &[]),
        &[path],
    )
    .unwrap();
    let rejected: Vec<_> = decoded.iter().flat_map(|part| &part.rejected).collect();
    assert_eq!(
        rejected.iter().map(|row| row.line).collect::<Vec<_>>(),
        [20_000, 40_000]
    );
    assert!(
        rejected
            .iter()
            .all(|row| row.reason == "is NULL, but declared NOT NULL" && row.raw == "{\"x\":null}")
    );
    assert_eq!(
        decoded
            .iter()
            .map(|part| part.batch.num_rows())
            .sum::<usize>(),
        49_998
    );
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
    // 1970-01-01 is Julian day 2,440,588; 9999-12-31, which nanoseconds cannot hold, 5,373,484.
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
    let decoded = read(&spec(fields, &[]), &[path]).unwrap();
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

#[test]
fn columns_of_one_name_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let field = || Field::new("x", DataType::Int64, true);
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let batch = RecordBatch::try_new(
        Arc::new(Schema::new(vec![field(), field()])),
        vec![Arc::clone(&column), column],
    );
    write_batch(&path, &batch.unwrap(), 10);
    let error = read(&spec(vec![field()], &[]), &[path])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("column 'x': is in the file more than once"),
        "{error}"
    );
}
