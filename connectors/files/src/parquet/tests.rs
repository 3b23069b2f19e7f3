//! The reader from its users' point of view: files in; batches, rejected rows and errors out.
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
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, TimeUnit};
use arrow::util::display::array_value_to_string;
use parquet::arrow::ArrowWriter;
use parquet::data_type::{Int96, Int96Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use tidewater_contract::error::SourceError;
use tidewater_contract::source::{Decoded, Format, SourceSpec};

use crate::reader::FileReader;

use crate::storage::local;
use crate::{Content, Delivery};

use super::ParquetReader;

mod checks;
mod conversions;
mod damaged;
mod dictionaries;
mod kept;

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
        ordinals: true,
        dictionaries: false,
        source: None,
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
    let deliveries = paths.iter().map(|path| Delivery {
        name: path.to_string_lossy().into(),
        from: Content::File(path.clone()),
        bytes: path.metadata().map_or(0, |found| found.len()),
    });
    ParquetReader::open(spec, deliveries.collect(), local(), None).unwrap()
}

/// Reads files. Checks that the rows are the same with dictionaries.
fn read(spec: &SourceSpec, paths: &[PathBuf]) -> Result<Vec<Decoded>, SourceError> {
    let plain = read_as(spec, paths);
    let coded = SourceSpec {
        dictionaries: true,
        ..spec.clone()
    };
    match (&plain, read_as(&coded, paths)) {
        (Ok(plain), Ok(coded)) => {
            assert_eq!(plain.len(), coded.len());
            for (plain, coded) in plain.iter().zip(coded) {
                assert_eq!(plain.rejected, coded.rejected);
                assert_eq!(plain.ordinals, coded.ordinals);
                assert_eq!(plain.bytes, coded.bytes);
                let columns = coded.batch.columns().iter().zip(plain.batch.columns());
                for (coded, plain) in columns {
                    assert_eq!(&cast(coded, plain.data_type()).unwrap(), plain);
                }
            }
        }
        (plain, coded) => {
            let message = |read: &SourceError| read.to_string();
            assert_eq!(
                plain.as_ref().err().map(message),
                coded.as_ref().err().map(message)
            );
        }
    }
    plain
}

fn read_as(spec: &SourceSpec, paths: &[PathBuf]) -> Result<Vec<Decoded>, SourceError> {
    let reader = reader(spec, paths);
    let mut decoded = Vec::new();
    while let Some(piece) = reader.next_piece()? {
        for step in piece.piece {
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
            "column 'text': is TEXT in the file, but declared BIGINT",
        ),
        (
            "s",
            structure(Field::new("n", DataType::Utf8, true)),
            "error",
            "column 's.n': is INT in the file, but declared TEXT",
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
            "column 'l[]': is INT in the file, but declared TEXT",
        ),
        (
            "l",
            DataType::Int32,
            "error",
            "column 'l': is INT[] in the file",
        ),
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
            .contains("has columns that are not declared"),
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
    let mut piece = reader.next_piece().unwrap().unwrap().piece;
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
        decoded.extend(piece.piece.map(Result::unwrap));
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
    let ordinals = decoded.iter().filter_map(|part| part.ordinals.clone());
    let expected = (0..50_000).filter(|row| row % 20_000 != 19_999);
    assert!(ordinals.flatten().eq(expected));
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
