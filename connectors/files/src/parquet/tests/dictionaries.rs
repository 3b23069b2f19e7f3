//! Text that stays a dictionary.

use arrow::array::AsArray;
use arrow::datatypes::UInt32Type;

use super::*;

fn coded(fields: Vec<Field>) -> SourceSpec {
    SourceSpec {
        dictionaries: true,
        ..spec(fields, &[("missing_columns", "null")])
    }
}

fn texts(rows: usize, text: impl Fn(usize) -> Option<String>) -> ArrayRef {
    Arc::new((0..rows).map(text).collect::<StringArray>())
}

fn types(spec: &SourceSpec, path: &Path) -> Vec<Vec<DataType>> {
    read(spec, &[path.to_owned()]).unwrap();
    let decoded = read_as(spec, &[path.to_owned()]).unwrap();
    let types = |part: &Decoded| {
        let fields = part.batch.schema_ref().fields().iter();
        fields.map(|field| field.data_type().clone()).collect()
    };
    decoded.iter().map(types).collect()
}

#[test]
fn text_stays_a_dictionary_where_values_come_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.parquet");
    let rows = 40_000;
    let few = texts(rows, |row| {
        (row % 7 > 0).then(|| format!("value {}", row % 7))
    });
    let half = texts(rows, |row| Some(format!("value {}", row % 12_000)));
    let all_null = texts(rows, |_| None);
    let large = cast(&few, &DataType::LargeUtf8).unwrap();
    let view = cast(&few, &DataType::Utf8View).unwrap();
    let bytes = cast(&few, &DataType::Binary).unwrap();
    let columns = vec![
        ("few", Arc::clone(&few)),
        ("half", half),
        ("null", all_null),
        ("large", large),
        ("view", view),
        ("bytes", bytes),
        ("as_view", few),
    ];
    write(&path, columns, 20_000);
    let names = ["few", "half", "null", "large", "view", "bytes", "absent"];
    let fields = names.map(|name| Field::new(name, DataType::Utf8, true));
    let mut fields = fields.to_vec();
    fields[5] = Field::new("bytes", DataType::Binary, true);
    fields.push(Field::new("as_view", DataType::Utf8View, true));
    let spec = coded(fields);
    let dictionary = || tidewater_formats::coded_text();
    let expected = vec![
        dictionary(),
        // There are more values than half of a group's rows.
        DataType::Utf8,
        dictionary(),
        dictionary(),
        dictionary(),
        DataType::Binary,
        DataType::Utf8,
        DataType::Utf8View,
    ];
    for found in types(&spec, &path) {
        assert_eq!(found, expected);
    }
    let decoded = read_as(&spec, &[path]).unwrap();
    let values = |part: usize| {
        let column = decoded[part].batch.column(0).as_dictionary::<UInt32Type>();
        column.values().as_string::<i32>().values().as_ptr()
    };
    assert_eq!(decoded.len(), 4);
    assert_eq!(values(0), values(1));
    assert_eq!(values(2), values(3));
}

/// A file of the column `a`.
fn write_as(path: &Path, column: ArrayRef, properties: WriterProperties) {
    let batch = RecordBatch::try_from_iter_with_nullable([("a", column, true)]).unwrap();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn text_that_is_no_dictionary_is_plain() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.parquet");
    let column = texts(3000, |row| Some(format!("value {}", row % 7)));
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .build();
    write_as(&path, column, properties);
    let spec = coded(vec![Field::new("a", DataType::Utf8, true)]);
    assert_eq!(types(&spec, &path), [[DataType::Utf8]]);
}

#[test]
fn a_few_rows_may_be_in_no_dictionary() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.parquet");
    for (last, expected) in [
        (3_000, tidewater_formats::coded_text()),
        (1_000, tidewater_formats::coded_text()),
        (10_000, DataType::Utf8),
    ] {
        let column = texts(30_000 + last, |row| {
            let is_last = row >= 30_000;
            (row % 9 > 0).then(|| format!("value {}", if is_last { row } else { row % 7 }))
        });
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(10_000))
            .set_dictionary_page_size_limit(1024)
            .set_write_batch_size(100)
            .build();
        write_as(&path, column, properties);
        let spec = coded(vec![Field::new("a", DataType::Utf8, true)]);
        let found = types(&spec, &path);
        assert!(
            found[0] == std::slice::from_ref(&expected),
            "{last}: {found:?}"
        );
    }
}

#[test]
fn rows_left_out_leave_dictionaries() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.parquet");
    let text = texts(100, |row| {
        (row % 9 > 0).then(|| format!("value {}", row % 3))
    });
    let number: ArrayRef = Arc::new((0..100).map(|row| row * 10).collect::<Int64Array>());
    write(&path, vec![("a", text), ("n", number)], 60);
    let spec = coded(vec![
        Field::new("a", DataType::Utf8, false),
        Field::new("n", DataType::Int8, true),
    ]);
    let decoded = read(&spec, &[path]).unwrap();
    let rejected: usize = decoded.iter().map(|part| part.rejected.len()).sum();
    assert!(rejected > 80, "{rejected}");
}
