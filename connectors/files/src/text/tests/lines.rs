#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;

use arrow::array::AsArray;
use arrow::datatypes::{Field, Schema};

use arrow::compute::cast;
use tidewater_formats::lines::Lines;

use super::*;
use crate::file_source::FileSource;
use crate::open;

fn spec(data_type: DataType) -> SourceSpec {
    SourceSpec {
        name: "logs".to_owned(),
        location: "logs.txt".to_owned(),
        format: Format::Text,
        schema: Arc::new(Schema::new(vec![Field::new("line", data_type, false)])),
        projection: vec![0],
        options: BTreeMap::new(),
        ordinals: true,
        dictionaries: false,
        source: None,
    }
}

/// Rows with their places, and rejected rows as `line:byte reason <raw>`.
fn decode(spec: &SourceSpec, text: &[u8]) -> (Vec<(Vec<u8>, u64)>, Vec<String>) {
    let format = Lines::new(spec).unwrap();
    let file: Arc<str> = "logs.txt".into();
    let head = format.begin(&file, text).unwrap();
    let decoded = head.decoder.decode(&TextBlock {
        file,
        first_line: 1,
        byte_offset: head.header_bytes as u64,
        bytes: text[head.header_bytes..].to_vec(),
        stored_bytes: 7,
    });
    assert_eq!(decoded.bytes, 7);
    let bytes = cast(decoded.batch.column(0), &DataType::Binary).unwrap();
    let bytes = bytes.as_binary::<i32>().iter();
    let bytes = bytes.map(|bytes| bytes.unwrap().to_vec());
    let rejected = decoded.rejected.into_iter().map(|row| {
        assert_eq!(row.column.as_deref(), Some("line"));
        format!(
            "{}:{} {} <{}>",
            row.line, row.byte_offset, row.reason, row.raw
        )
    });
    (
        bytes.zip(decoded.ordinals.unwrap()).collect(),
        rejected.collect(),
    )
}

#[test]
fn lines_are_rows() {
    for (text, expected) in [
        ("", vec![]),
        ("\n", vec![("", 0)]),
        ("a", vec![("a", 0)]),
        (
            "a\nb\r\n\n c ",
            vec![("a", 0), ("b", 2), ("", 5), (" c ", 6)],
        ),
        ("\u{feff}a,\"b\n", vec![("a,\"b", 3)]),
        ("a\rb\r\r\n", vec![("a\rb\r", 0)]),
        ("한글\n{}", vec![("한글", 0), ("{}", 7)]),
    ] {
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(line, place)| (line.as_bytes().to_vec(), place))
            .collect();
        for data_type in [
            DataType::Utf8,
            DataType::LargeUtf8,
            DataType::Utf8View,
            DataType::Binary,
        ] {
            let found = decode(&spec(data_type), text.as_bytes());
            assert_eq!(found, (expected.clone(), vec![]), "{text:?}");
        }
    }
}

#[test]
fn what_is_not_utf8_is_rejected_unless_it_is_bytes() {
    let text = b"a\nb\xff\r\n\xe3\nc";
    let (rows, rejected) = decode(&spec(DataType::Utf8), text);
    assert_eq!(rows, [(b"a".to_vec(), 0), (b"c".to_vec(), 8)]);
    let hint = "; set the option encoding if it is in another, or declare BYTEA to take any bytes";
    assert_eq!(
        rejected,
        [
            format!("2:2 is not UTF-8 at its byte 2{hint} <b\\xFF>"),
            format!("3:6 is not UTF-8 at its byte 1{hint} <\\xE3>"),
        ]
    );
    let (rows, rejected) = decode(&spec(DataType::Binary), text);
    assert_eq!((rows.len(), rejected.len()), (4, 0));
    assert_eq!(rows[1], (b"b\xff".to_vec(), 2));
}

#[test]
fn lines_that_nobody_reads_are_checked_and_counted() {
    let mut counted = spec(DataType::Utf8);
    counted.projection = Vec::new();
    let file: Arc<str> = "logs.txt".into();
    let text = b"a\n\xff\nc";
    let head = Lines::new(&counted).unwrap().begin(&file, text).unwrap();
    let decoded = head.decoder.decode(&TextBlock {
        file,
        first_line: 1,
        byte_offset: 0,
        bytes: text.to_vec(),
        stored_bytes: 0,
    });
    assert_eq!((decoded.batch.num_rows(), decoded.rejected.len()), (2, 1));
    assert_eq!(decoded.ordinals.unwrap(), [0, 4]);
}

fn drain(reader: &dyn FileReader) -> Vec<String> {
    let mut rows = Vec::new();
    while let Some(dealt) = reader.next_piece().unwrap() {
        for decoded in dealt.piece {
            let decoded = decoded.unwrap();
            assert_eq!(decoded.rejected, []);
            let texts = decoded.batch.column(0).as_string::<i32>().iter();
            rows.extend(texts.map(|text| text.unwrap().to_owned()));
        }
    }
    rows
}

#[test]
fn files_of_text_are_read_and_kept() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("app.log");
    fs::write(&path, "one\ntwo\r\n\nthree").unwrap();
    let store = Arc::new(ContentStore::open(root.path().join("store")).unwrap());
    let of = |from| {
        vec![Delivery {
            name: path.to_string_lossy().into(),
            from,
            bytes: 16,
        }]
    };
    let spec = spec(DataType::Utf8);
    let reader = open(
        &FileSource::local(),
        &spec,
        of(Content::File(path.clone())),
        Some(&store),
    )
    .unwrap();
    let expected = ["one", "two", "", "three"];
    assert_eq!(drain(&*reader), expected);
    let taken = reader.read_deliveries().unwrap().remove(0);
    fs::remove_file(&path).unwrap();
    let reader = open(
        &FileSource::local(),
        &spec,
        of(Content::Kept(taken.parts)),
        Some(&store),
    )
    .unwrap();
    assert_eq!(drain(&*reader), expected);
}
