//! Which rows are bad does not depend on the columns that a job reads. Names may differ in case.

use arrow::array::{
    Date64Array, FixedSizeBinaryArray, Float64Array, Time32MillisecondArray,
    Time64MicrosecondArray, Time64NanosecondArray,
};
use parquet::basic::{LogicalType, Repetition, Type as PhysicalType};
use parquet::data_type::{FixedLenByteArray, FixedLenByteArrayType};
use parquet::file::properties::EnabledStatistics;
use parquet::schema::types::Type;

use super::*;

fn write_with(path: &Path, batch: &RecordBatch, statistics: EnabledStatistics) {
    let properties = WriterProperties::builder()
        .set_statistics_enabled(statistics)
        .build();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

/// The numbers of the rows that are bad, and the columns at fault.
fn bad_rows(spec: &SourceSpec, path: &Path) -> Vec<(u64, String)> {
    let decoded = read(spec, &[path.to_path_buf()]).unwrap();
    let rejected = decoded.into_iter().flat_map(|step| step.rejected);
    rejected
        .map(|row| (row.line, row.column.unwrap().to_string()))
        .collect()
}

#[test]
fn bad_rows_do_not_depend_on_what_is_read() {
    let batch = RecordBatch::try_from_iter_with_nullable([
        (
            "id",
            Arc::new(Int64Array::from(vec![1, 2, 3, 4])) as ArrayRef,
            true,
        ),
        (
            "must",
            Arc::new(Int64Array::from(vec![Some(1), None, Some(3), Some(4)])),
            true,
        ),
        (
            "small",
            Arc::new(Int64Array::from(vec![Some(1), Some(2), Some(40_000), None])),
            true,
        ),
        (
            "text",
            Arc::new(BinaryArray::from(vec![&b"a"[..], b"b", b"c", b"\xff"])),
            true,
        ),
    ]);
    let fields = vec![
        Field::new("id", DataType::Int64, false),
        Field::new("must", DataType::Int64, false),
        Field::new("small", DataType::Int16, true),
        Field::new("text", DataType::Utf8, true),
    ];
    let expected =
        [(2, "must"), (3, "small"), (4, "text")].map(|(row, name)| (row, name.to_owned()));
    let directory = tempfile::tempdir().unwrap();
    for statistics in [
        EnabledStatistics::None,
        EnabledStatistics::Chunk,
        EnabledStatistics::Page,
    ] {
        let path = directory.path().join("x.parquet");
        write_with(&path, batch.as_ref().unwrap(), statistics);
        for projection in [vec![], vec![0], vec![1], vec![0, 2], vec![0, 1, 2, 3]] {
            let mut spec = spec(fields.clone(), &[]);
            spec.projection.clone_from(&projection);
            assert_eq!(
                bad_rows(&spec, &path),
                expected,
                "{statistics:?}, {projection:?}"
            );
            spec.options
                .insert("check".to_owned(), "read_columns".to_owned());
            let read = expected.iter().filter(|(_, name)| {
                let at = fields.iter().position(|field| field.name() == name);
                projection.contains(&at.unwrap())
            });
            let read: Vec<_> = read.cloned().collect();
            assert_eq!(
                bad_rows(&spec, &path),
                read,
                "{statistics:?}, {projection:?} alone"
            );
        }
    }
}

#[test]
fn types_are_checked_of_columns_that_are_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.parquet");
    write(
        &path,
        vec![
            ("a", Arc::new(Int64Array::from(vec![1]))),
            ("b", Arc::new(StringArray::from(vec!["x"]))),
        ],
        10,
    );
    let fields = vec![
        Field::new("a", DataType::Int64, true),
        Field::new("b", DataType::Date32, true),
    ];
    let mut only_a = spec(fields, &[]);
    only_a.projection = vec![0];
    let error = read(&only_a, std::slice::from_ref(&path))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("column 'b': is TEXT in the file, but declared DATE"),
        "{error}"
    );
    only_a
        .options
        .insert("check".to_owned(), "read_columns".to_owned());
    assert_eq!(read(&only_a, &[path]).unwrap()[0].batch.num_rows(), 1);
}

#[test]
fn names_in_other_letters_are_matched_on_request_and_told_otherwise() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.parquet");
    write(
        &path,
        vec![
            ("ID", Arc::new(Int64Array::from(vec![7]))),
            ("Amount", Arc::new(Int64Array::from(vec![9]))),
        ],
        10,
    );
    let fields = || {
        vec![
            Field::new("id", DataType::Int64, true),
            Field::new("amount", DataType::Int64, true),
        ]
    };
    let error = |options: &[(&str, &str)]| {
        let read = read(&spec(fields(), options), std::slice::from_ref(&path));
        read.unwrap_err().to_string()
    };
    let refused = error(&[]);
    assert!(
        refused.contains("column 'ID': is declared as 'id'"),
        "{refused}"
    );
    let missing = error(&[("unknown_columns", "ignore")]);
    assert!(
        missing.contains("column 'id': is 'ID' in the file"),
        "{missing}"
    );
    assert!(missing.contains("column_names to 'any_case'"), "{missing}");

    let lenient = spec(
        fields(),
        &[("unknown_columns", "ignore"), ("missing_columns", "null")],
    );
    let reader = reader(&lenient, std::slice::from_ref(&path));
    while reader.next_piece().unwrap().is_some() {}
    let warnings = reader.warnings();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[1].contains("column 'amount' is read as NULL, but the file has 'Amount'"));

    let matched = read(&spec(fields(), &[("column_names", "any_case")]), &[path]).unwrap();
    let batch = &matched[0].batch;
    assert_eq!(text_of(batch.column(0), 0), "7");
    assert_eq!(text_of(batch.column(1), 0), "9");
}

#[test]
fn names_match_in_every_unicode_spelling() {
    let decomposed = "\u{1100}\u{1173}\u{11b7}";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.parquet");
    let number = |n| Arc::new(Int64Array::from(vec![n])) as ArrayRef;
    write(&path, vec![(decomposed, number(7)), ("a", number(8))], 10);
    let fields = ["a", "금"].map(|name| Field::new(name, DataType::Int64, false));
    let found = read(&spec(fields.to_vec(), &[]), std::slice::from_ref(&path)).unwrap();
    assert_eq!(text_of(found[0].batch.column(0), 0), "8");
    assert_eq!(text_of(found[0].batch.column(1), 0), "7");
    // A column that is spelled exactly so goes first, and the other one is not declared.
    write(
        &path,
        vec![(decomposed, number(7)), ("금", number(9)), ("a", number(8))],
        10,
    );
    let refused = read(&spec(fields.to_vec(), &[]), std::slice::from_ref(&path)).unwrap_err();
    assert!(refused.to_string().contains("not declared"), "{refused}");
    let ignored = spec(fields.to_vec(), &[("unknown_columns", "ignore")]);
    let found = read(&ignored, &[path]).unwrap();
    assert_eq!(text_of(found[0].batch.column(1), 0), "9");
}

#[test]
fn times_dates_and_fixed_bytes() {
    let nanoseconds = DataType::Time64(TimeUnit::Nanosecond);
    let day = 86_400_000;
    let cases: Vec<(ArrayRef, DataType, &[Result<&str, &str>])> = vec![
        (
            Arc::new(Time32MillisecondArray::from(vec![Some(1), None])),
            nanoseconds.clone(),
            &[Ok("00:00:00.001"), Ok("NULL")],
        ),
        (
            Arc::new(Time64MicrosecondArray::from(vec![
                86_399_999_999,
                -1,
                86_400_000_000,
            ])),
            nanoseconds.clone(),
            &[
                Ok("23:59:59.999999"),
                Err("no time of day"),
                Err("no time of day"),
            ],
        ),
        (
            Arc::new(Time64NanosecondArray::from(vec![1])),
            nanoseconds,
            &[Ok("00:00:00.000000001")],
        ),
        (
            Arc::new(Date64Array::from(vec![
                Some(0),
                Some(day * 2),
                Some(day + 1),
                None,
            ])),
            DataType::Date32,
            &[
                Ok("1970-01-01"),
                Ok("1970-01-03"),
                Err("has a time of day"),
                Ok("NULL"),
            ],
        ),
        (
            Arc::new(FixedSizeBinaryArray::try_from_iter([b"ab", b"\xffc"].into_iter()).unwrap()),
            DataType::Binary,
            &[Ok("6162"), Ok("ff63")],
        ),
        (
            Arc::new(FixedSizeBinaryArray::try_from_iter([b"ab", b"\xffc"].into_iter()).unwrap()),
            DataType::Utf8,
            &[Ok("ab"), Err("does not fit TEXT")],
        ),
    ];
    let directory = tempfile::tempdir().unwrap();
    for (case, (array, declared, rows)) in cases.into_iter().enumerate() {
        let path = directory.path().join(format!("{case}.parquet"));
        let name = format!("{} to {declared}", array.data_type());
        write(&path, vec![("x", array)], 10);
        let decoded = read(&spec(vec![Field::new("x", declared, true)], &[]), &[path]).unwrap();
        let (batch, rejected) = (&decoded[0].batch, &decoded[0].rejected);
        let good: Vec<_> = (0..batch.num_rows())
            .map(|row| text_of(batch.column(0), row))
            .collect();
        let expected: Vec<_> = rows.iter().filter_map(|row| row.ok()).collect();
        assert_eq!(good, expected, "{name}");
        let bad = rows.iter().filter_map(|row| row.err());
        for (row, reason) in rejected.iter().zip(bad) {
            assert!(row.reason.contains(reason), "{name}: {}", row.reason);
        }
        assert_eq!(rejected.len() + good.len(), rows.len(), "{name}");
    }
}

#[test]
fn a_uuid_is_bytes_or_text() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.parquet");
    let field = Type::primitive_type_builder("u", PhysicalType::FIXED_LEN_BYTE_ARRAY)
        .with_length(16)
        .with_logical_type(Some(LogicalType::Uuid))
        .with_repetition(Repetition::REQUIRED)
        .build();
    let schema = Type::group_type_builder("schema").with_fields(vec![Arc::new(field.unwrap())]);
    let file = File::create(&path).unwrap();
    let schema = Arc::new(schema.build().unwrap());
    let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let bytes: Vec<u8> = (0x10..0x20).collect();
    let value = FixedLenByteArray::from(bytes);
    let typed = column.typed::<FixedLenByteArrayType>();
    typed.write_batch(&[value], None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    for (declared, expected) in [
        (DataType::Utf8, "10111213-1415-1617-1819-1a1b1c1d1e1f"),
        (DataType::Binary, "101112131415161718191a1b1c1d1e1f"),
    ] {
        let spec = spec(vec![Field::new("u", declared, false)], &[]);
        let decoded = read(&spec, std::slice::from_ref(&path)).unwrap();
        assert_eq!(text_of(decoded[0].batch.column(0), 0), expected);
    }
}

#[test]
fn instants_need_a_time_zone_and_nans_are_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.parquet");
    let instants =
        TimestampMicrosecondArray::from(vec![1_709_219_700_000_000]).with_timezone("+09:00");
    let floats = Float64Array::from(vec![-f64::NAN]);
    write(
        &path,
        vec![("at", Arc::new(instants)), ("f", Arc::new(floats))],
        10,
    );
    let fields = |zone: Option<&str>| {
        let at = DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
        vec![
            Field::new("at", at, true),
            Field::new("f", DataType::Float64, true),
        ]
    };
    let refused = read(&spec(fields(None), &[]), std::slice::from_ref(&path))
        .unwrap_err()
        .to_string();
    assert!(refused.contains("column 'at': holds instants"), "{refused}");
    assert!(refused.contains("offsets to 'convert'"), "{refused}");
    for (zone, options, expected) in [
        (None, &[("offsets", "convert")][..], "2024-02-29T15:15:00"),
        (Some("UTC"), &[], "2024-02-29T15:15:00Z"),
    ] {
        let decoded = read(&spec(fields(zone), options), std::slice::from_ref(&path)).unwrap();
        assert_eq!(text_of(decoded[0].batch.column(0), 0), expected);
        let float = decoded[0].batch.column(1).to_data().buffers()[0].typed_data::<u64>()[0];
        assert_eq!(float, f64::NAN.to_bits());
    }
}
