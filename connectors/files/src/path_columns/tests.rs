#![allow(clippy::unwrap_used)]

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{Field, SchemaRef, TimeUnit};
use arrow::util::display::array_value_to_string;
use tidewater_contract::source::Format;
use tidewater_formats::coded_text;

use super::*;

fn spec(fields: Vec<Field>) -> SourceSpec {
    SourceSpec {
        name: "t".to_owned(),
        location: String::new(),
        format: Format::Csv,
        projection: (0..fields.len()).collect(),
        schema: Arc::new(Schema::new(fields)),
        options: BTreeMap::new(),
        ordinals: false,
        dictionaries: false,
        source: None,
    }
}

fn columns(folders: &[&str], parts: &[(&str, PathPart)]) -> PathColumns {
    let parts = parts.iter();
    PathColumns {
        folders: folders.iter().map(|name| (*name).to_owned()).collect(),
        parts: parts
            .map(|(name, part)| ((*name).to_owned(), *part))
            .collect(),
    }
}

/// The value of the only column `k`, of this type, for a path.
fn value(path: &str, data_type: DataType, nullable: bool) -> Result<String, String> {
    let spec = spec(vec![Field::new("k", data_type, nullable)]);
    let decoder = PathDecoder::new(&spec, &columns(&["k"], &[])).unwrap();
    let values = decoder.values(&path.into());
    let values = values.map_err(|error| error.to_string())?;
    let value = values.columns[0].1.as_ref().unwrap();
    Ok(if value.is_null(0) {
        "NULL".to_owned()
    } else {
        array_value_to_string(value, 0).unwrap()
    })
}

#[test]
fn folders_become_values_of_their_columns() {
    use DataType::{Boolean, Date32, Decimal128, Int32, Int64, Timestamp, Utf8};
    let timestamp = || Timestamp(TimeUnit::Microsecond, None);
    for (path, data_type, expected) in [
        ("d/k=7/f.csv", Int64, "7"),
        ("d/k=-7/f.csv", Int32, "-7"),
        ("d/k=007/f.csv", Int64, "7"),
        ("d/k=007/f.csv", Utf8, "007"),
        ("d/k=2024-02-29/f.csv", Date32, "2024-02-29"),
        (
            "d/k=2024-02-29 01%3A02%3A03/f",
            timestamp(),
            "2024-02-29T01:02:03",
        ),
        ("d/k=12.50/f.csv", Decimal128(10, 2), "12.50"),
        ("d/k=true/f.csv", Boolean, "true"),
        ("d/k=서울/f.csv", Utf8, "서울"),
        // As macOS spells it.
        (
            "d/k=\u{1109}\u{1165}\u{110b}\u{116e}\u{11af}/f.csv",
            Utf8,
            "서울",
        ),
        ("d/k=%EC%84%9C%EC%9A%B8/f.csv", Utf8, "서울"),
        ("d/k=a%2Fb%5Cc/f.csv", Utf8, "a/b\\c"),
        ("d/k=a=b/f.csv", Utf8, "a=b"),
        ("d/k=..%2F../f.csv", Utf8, "../.."),
        ("d/k=100%25/f.csv", Utf8, "100%"),
        ("d/k=100%/f.csv", Utf8, "100%"),
        ("d/k=5%2/f.csv", Utf8, "5%2"),
        ("d/k=%zz%+1/f.csv", Utf8, "%zz%+1"),
        ("d/k=\"a\",b/f.csv", Utf8, "\"a\",b"),
        ("d/k=a%0Ab%0D%0Ac/f.csv", Utf8, "a\nb\r\nc"),
        ("d/k= a /f.csv", Utf8, " a "),
        ("d/k=/f.csv", Utf8, ""),
        ("d/k=/f.csv", Int64, "NULL"),
        ("d/k=__HIVE_DEFAULT_PARTITION__/f.csv", Utf8, "NULL"),
        ("d/k=__HIVE_DEFAULT_PARTITION__/f.csv", Int64, "NULL"),
        ("d/k=__HIVE_DEFAULT_PARTITION__/f.csv", Date32, "NULL"),
        // The innermost folder counts, even if it is part of the location.
        ("k=1/d/k=2/x=3/f.csv", Int64, "2"),
        ("k=1/f.csv", Int64, "1"),
        ("/k=1/f.csv", Int64, "1"),
        ("./k=1/../k=2/f.csv", Int64, "2"),
        ("%6B=1/f.csv", Int64, "1"),
    ] {
        let found = value(path, data_type.clone(), true);
        assert_eq!(found.as_deref(), Ok(expected), "{path} as {data_type}");
    }
}

#[test]
fn what_does_not_fit_names_the_path() {
    use DataType::{Date32, Int32, Int64, Utf8};
    for (path, data_type, nullable, expected) in [
        (
            "d/k=x/f.csv",
            Int64,
            true,
            "d/k=x/f.csv: column 'k': the value of its folder cannot be read: ",
        ),
        (
            "d/k=2024-02-30/f.csv",
            Date32,
            true,
            "rename the folder, or declare the column as TEXT",
        ),
        ("d/k=3000000000/f.csv", Int32, true, "cannot be read"),
        (
            "d/k=__HIVE_DEFAULT_PARTITION__/f",
            Int64,
            false,
            "cannot be read",
        ),
        (
            "d/f.csv",
            Int64,
            true,
            "d/f.csv: column 'k': is in PARTITIONED BY, but no folder of the path is 'k=…'",
        ),
        ("d/k=1.csv", Int64, true, "no folder of the path is 'k=…'"),
        (
            "d/k=%FF/f.csv",
            Utf8,
            true,
            "the name of its folder is not UTF-8",
        ),
        (
            "d/K=1/f.csv",
            Int64,
            true,
            "its folder is 'K=…', in other letters; declare the column as \"K\"",
        ),
    ] {
        let message = value(path, data_type, nullable).unwrap_err();
        assert!(message.contains(expected), "{path}: {message}");
    }
}

#[test]
fn rows_have_their_columns_in_declared_order() {
    let declared = spec(vec![
        Field::new("region", DataType::Utf8, true),
        Field::new("a", DataType::Int64, true),
        Field::new("day", DataType::Int64, true),
        Field::new("b", DataType::Int64, true),
        Field::new("file", DataType::Utf8, true),
        Field::new("name", DataType::Utf8, true),
    ]);
    let columns = columns(
        &["day", "region"],
        &[("file", PathPart::Path), ("name", PathPart::FileName)],
    );
    assert_eq!(columns.of_files(&declared).projection, [0, 1]);
    for (projection, dictionaries) in [
        (vec![0, 1, 2, 3, 4, 5], false),
        (vec![0, 1, 2, 3, 4, 5], true),
        (vec![1, 4], true),
        (vec![2], false),
        (vec![], false),
    ] {
        let spec = SourceSpec {
            projection: projection.clone(),
            dictionaries,
            ..declared.clone()
        };
        let of_files = columns.of_files(&spec);
        let file: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![1, 2, 3])),
            Arc::new(Int64Array::from(vec![4, 5, 6])),
        ];
        let schema = of_files.schema.project(&of_files.projection).unwrap();
        let read = of_files.projection.iter().map(|at| Arc::clone(&file[*at]));
        let options = RecordBatchOptions::new().with_row_count(Some(3));
        let rows = RecordBatch::try_new_with_options(Arc::new(schema), read.collect(), &options);
        let path: Arc<str> = "in/region=서울/day=7/f.csv".into();
        let values = PathDecoder::new(&spec, &columns)
            .unwrap()
            .values(&path)
            .unwrap();
        let found = values.complete(&rows.unwrap()).unwrap();
        assert_eq!(found.num_rows(), 3);
        let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; 3])) };
        let all = [
            text("서울"),
            Arc::clone(&file[0]),
            Arc::new(Int64Array::from(vec![7, 7, 7])),
            Arc::clone(&file[1]),
            text(&path),
            text("f.csv"),
        ];
        let expected: Vec<&ArrayRef> = projection.iter().map(|at| &all[*at]).collect();
        let names: Vec<&str> = projection
            .iter()
            .map(|at| declared.schema.field(*at).name().as_str())
            .collect();
        let schema = found.schema();
        assert_eq!(
            schema
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect::<Vec<_>>(),
            names
        );
        for ((column, expected), field) in found.columns().iter().zip(expected).zip(schema.fields())
        {
            let is_coded = *field.data_type() == coded_text();
            assert_eq!(
                is_coded,
                dictionaries && *expected.data_type() == DataType::Utf8
            );
            assert_eq!(&cast(column, expected.data_type()).unwrap(), expected);
        }
    }
}

#[test]
fn paths_are_told_apart_by_what_is_read_of_them() {
    let folders = columns(&["k"], &[]);
    assert!(folders.tells_apart("k=1/f", "k=2/f"));
    assert!(folders.tells_apart("k=1/f", "f"));
    assert!(!folders.tells_apart("k=1/f", "x/k=1/g"));
    assert!(!folders.tells_apart("k=a/f", "k=%61/f"));
    let path = columns(&[], &[("p", PathPart::Path)]);
    assert!(path.tells_apart("f", "g") && !path.tells_apart("f", "f"));
    let name = columns(&[], &[("n", PathPart::FileName)]);
    assert!(name.tells_apart("a/f", "a/g") && !name.tells_apart("a/f", "b/f"));
    assert!(!columns(&[], &[]).tells_apart("f", "g"));
}

#[test]
fn what_a_column_cannot_hold_is_refused() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("a", DataType::Int64, true),
        Field::new("k", DataType::Utf8, true),
        Field::new("f", DataType::Utf8, true),
    ]));
    let take = |key: &str, value: &str, schema: &SchemaRef, partitioned_by: &[usize]| {
        let mut options = BTreeMap::from([
            (key.to_owned(), value.to_owned()),
            ("other".to_owned(), String::new()),
        ]);
        let declaration = SourceDeclaration {
            name: "t",
            location: "d",
            schema,
            primary_key: &[],
            partitioned_by,
            options: &BTreeMap::new(),
        };
        let taken = PathColumns::take(&declaration, &mut options);
        assert_eq!(options.into_keys().collect::<Vec<_>>(), ["other"]);
        taken.map_err(|errors| errors[0].to_string())
    };
    for (key, value, part) in [
        ("column.f", "path", PathPart::Path),
        ("column.f", "FILE_NAME", PathPart::FileName),
        ("format.column.f", "path", PathPart::Path),
    ] {
        let taken = take(key, value, &schema, &[1]).unwrap();
        assert_eq!(taken, columns(&["k"], &[("f", part)]), "{key} {value}");
    }
    for (key, value, expected) in [
        (
            "column.f",
            "offset",
            "option 'column.f': cannot be 'offset'; write 'path' or 'file_name'",
        ),
        (
            "column.g",
            "path",
            "'g' is not a declared column; declare it: g TEXT",
        ),
        (
            "column.a",
            "path",
            "column 'a' is not TEXT; declare it: a TEXT",
        ),
        ("column.k", "path", "column 'k' is in PARTITIONED BY too"),
    ] {
        let message = take(key, value, &schema, &[1]).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
    let of_path: SchemaRef = Arc::new(schema.project(&[1, 2]).unwrap());
    let message = take("column.f", "path", &of_path, &[0]).unwrap_err();
    assert!(
        message.contains("none from the files; declare the columns"),
        "{message}"
    );
}
