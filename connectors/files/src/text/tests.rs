#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Schema};

use super::*;
use crate::storage::local;
use tidewater_contract::source::Format;
use tidewater_formats::csv::Csv;
use tidewater_formats::json_lines::JsonLinesFormat;
use tidewater_formats::options::Compression;

const TEXT: &str = "\u{feff}a,b\r\n1,\"x\ny\"\r\n2,plain\n\n3,\"never\n4,\"q\"\"q\"\n5\n6,last";

fn spec() -> SourceSpec {
    let fields = vec![
        Field::new("a", DataType::Utf8, true),
        Field::new("b", DataType::Utf8, true),
    ];
    SourceSpec {
        name: "t".to_owned(),
        location: String::new(),
        format: Format::Csv,
        schema: Arc::new(Schema::new(fields)),
        projection: vec![0, 1],
        options: BTreeMap::default(),
        ordinals: false,
        dictionaries: false,
        source: None,
    }
}

fn reader(files: &[(&Path, &[u8])], limits: Limits) -> TextReader<Csv> {
    let files = files.iter().map(|(path, bytes)| {
        fs::write(path, bytes).unwrap();
        Delivery {
            name: path.to_string_lossy().into(),
            from: Content::File((*path).to_owned()),
            bytes: bytes.len() as u64,
        }
    });
    let format = Csv::new(&spec()).unwrap();
    TextReader::new(
        &spec(),
        files.collect(),
        local(),
        None,
        Rules::default(),
        format,
    )
    .unwrap()
    .with_limits(limits)
}

/// Rows as `a|b`, rejected rows as `line:byte <raw>`, and the stored bytes of all pieces.
fn drain(reader: &dyn FileReader) -> Result<(Vec<String>, u64), SourceError> {
    let (mut lines, mut bytes) = (Vec::new(), 0);
    while let Some(piece) = reader.next_piece()? {
        for decoded in piece.piece {
            let decoded = decoded?;
            let (a, b) = (
                decoded.batch.column(0).as_string::<i32>(),
                decoded.batch.column(1).as_string::<i32>(),
            );
            lines.extend(
                (0..decoded.batch.num_rows())
                    .map(|row| format!("{}|{}", a.value(row), b.value(row))),
            );
            lines.extend(
                decoded
                    .rejected
                    .iter()
                    .map(|row| format!("{}:{} <{}>", row.line, row.byte_offset, row.raw)),
            );
            bytes += decoded.bytes;
        }
    }
    lines.sort();
    Ok((lines, bytes))
}

fn expected() -> Vec<&'static str> {
    let mut lines = vec![
        "1|x\ny",
        "2|plain",
        "4|q\"q",
        "6|last",
        "6:26 <3,\"never>",
        "8:44 <5>",
    ];
    lines.sort_unstable();
    lines
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn every_block_size_reads_the_same() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("f.csv");
    for block_bytes in 1..=TEXT.len() + 2 {
        let reader = reader(
            &[(&path, TEXT.as_bytes())],
            Limits {
                block_bytes,
                record_bytes: 1000,
            },
        );
        let (lines, bytes) = drain(&reader).unwrap();
        assert_eq!(lines, expected(), "blocks of {block_bytes}");
        assert_eq!(bytes, TEXT.len() as u64);
        assert_eq!(reader.bytes_total(), TEXT.len() as u64);
        assert!(reader.warnings().is_empty());
    }
}

#[test]
fn compressed_files_of_several_members() {
    let root = tempfile::tempdir().unwrap();
    for cut in [0, 1, 30, TEXT.len()] {
        let (first, second) = TEXT.as_bytes().split_at(cut);
        let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
        let files = [
            ("f.csv.gz", [gzip(first), gzip(second)].concat()),
            ("f.csv.ZST", [zstd(first), zstd(second)].concat()),
        ];
        for (name, stored) in files {
            for block_bytes in [1, 7, 1000] {
                let path = root.path().join(name);
                let reader = reader(
                    &[(&path, &stored)],
                    Limits {
                        block_bytes,
                        record_bytes: 1000,
                    },
                );
                let (lines, bytes) = drain(&reader).unwrap();
                assert_eq!(lines, expected(), "{name} cut at {cut}");
                assert_eq!(bytes, stored.len() as u64);
            }
        }
    }
}

#[test]
fn damaged_files_are_named() {
    let root = tempfile::tempdir().unwrap();
    let text = format!("a,b\n{}", "1,some text\n".repeat(5000));
    let whole = gzip(text.as_bytes());
    let mut flipped = whole.clone();
    let last = flipped.len() - 6;
    flipped[last] ^= 0xff;
    let zstd = zstd::encode_all(text.as_bytes(), 1).unwrap();
    let cases: &[(&str, &[u8])] = &[
        ("cut.csv.gz", &whole[..whole.len() / 2]),
        ("head.csv.gz", &whole[..5]),
        ("trailer.csv.gz", &whole[..whole.len() - 3]),
        ("sum.csv.gz", &flipped),
        ("cut.csv.zst", &zstd[..zstd.len() / 2]),
    ];
    for (name, bytes) in cases {
        let path = root.path().join(name);
        let reader = reader(
            &[(&path, bytes)],
            Limits {
                block_bytes: 100,
                record_bytes: 1000,
            },
        );
        let error = drain(&reader).unwrap_err();
        assert!(
            matches!(&error, SourceError::Corrupt { file, .. } if file.ends_with(name)),
            "{name}: {error}"
        );
        let message = error.to_string();
        assert!(
            message.contains("damaged or cut short at byte")
                && message.contains("deliver the file again"),
            "{message}"
        );
        // Every worker gets the error.
        assert_eq!(drain(&reader).unwrap_err().to_string(), message);
    }
}

/// The lines of a file that is read with `options`, and the warnings.
fn read_file(
    path: &Path,
    stored: &[u8],
    options: &[(&str, &str)],
    block_bytes: usize,
) -> Result<(Vec<String>, Vec<String>), SourceError> {
    fs::write(path, stored).unwrap();
    let delivery = Delivery {
        name: path.to_string_lossy().into(),
        from: Content::File(path.to_owned()),
        bytes: stored.len() as u64,
    };
    let options = options
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let spec = SourceSpec {
        options: options.collect(),
        ..spec()
    };
    let format = Csv::new(&spec).unwrap();
    let limits = Limits {
        block_bytes,
        record_bytes: 1000,
    };
    let reader = TextReader::new(
        &spec,
        vec![delivery],
        local(),
        None,
        Rules::default(),
        format,
    )?;
    let reader = reader.with_limits(limits);
    let (lines, _) = drain(&reader)?;
    Ok((lines, reader.warnings()))
}

#[test]
fn lines_at_the_end_are_no_rows() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("f.csv");
    let two = [("skip_trailer", "2")];
    for (text, expected) in [
        ("a,b\n1,2\n3,4\nTOTAL,6\n2 rows\n", &["1|2", "3|4"][..]),
        ("a,b\n1,2\n3,4\nTOTAL,6\n2 rows", &["1|2", "3|4"]),
        ("a,b\n1,2\nTOTAL,6\n\n2 rows\n\n\n", &["1|2"]),
        ("a,b\nTOTAL,6\n2 rows", &[]),
        ("a,b\n2 rows", &[]),
        ("a,b\n", &[]),
    ] {
        for block_bytes in 1..60 {
            let read = read_file(&path, text.as_bytes(), &two, block_bytes);
            let (lines, _) = read.unwrap();
            assert_eq!(lines, expected, "{text:?} by {block_bytes}");
        }
    }
}

#[test]
fn lines_at_the_end_that_match_a_pattern_are_no_rows() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("f.csv");
    let pattern = [("trailer", "TRL|*"), ("missing_columns", "null")];
    for (text, expected) in [
        ("a,b\n1,2\n3,4\nTRL|2\n", &["1|2", "3|4"][..]),
        ("a,b\r\n1,2\r\nTRL|1\r\n\r\n", &["1|2"]),
        ("a,b\n1,2\nTRL|1\nTRL|end", &["1|2"]),
        // A file without a trailer loses no row.
        ("a,b\n1,2\n3,4\n", &["1|2", "3|4"]),
        ("a,b\n1,2\n3,4", &["1|2", "3|4"]),
        // A line that matches before the end is a row.
        ("a,b\nTRL|1,2\n3,4\nTRL|2\n", &["3|4", "TRL|1|2"]),
        ("a,b\nTRL|0\n", &[]),
    ] {
        for block_bytes in 1..60 {
            let read = read_file(&path, text.as_bytes(), &pattern, block_bytes);
            let (lines, _) = read.unwrap();
            assert_eq!(lines, expected, "{text:?} by {block_bytes}");
        }
    }
}

#[test]
fn other_encodings_and_line_ends_by_any_blocks() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("f.csv");
    let text = "보고서\na,b\n가,\"나\n다\"\n라\n마,바";
    let expected = ["가|나\n다", "마|바"];
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for block_bytes in 1..70 {
        let options = [("encoding", "utf-16le"), ("skip_lines", "1")];
        let (lines, _) = read_file(&path, &utf16, &options, block_bytes).unwrap();
        assert_eq!(
            lines,
            ["5:32 <라>", expected[0], expected[1]],
            "{block_bytes}"
        );
        let old_mac = text.replace('\n', "\r");
        let options = [("line_end", "any"), ("skip_lines", "1")];
        let (lines, _) = read_file(&path, old_mac.as_bytes(), &options, block_bytes).unwrap();
        assert_eq!(lines, ["5:28 <라>", "가|나\r다", "마|바"], "{block_bytes}");
        let options = [("skip_lines", "1")];
        let (lines, _) = read_file(&path, old_mac.as_bytes(), &options, block_bytes).unwrap();
        assert_eq!(lines, ["5:28 <라>", "가|나\r다", "마|바"], "{block_bytes}");
    }
}

#[test]
fn content_that_is_packed_twice_is_said_to_be() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("f.csv.gz");
    for (inner, told) in [
        (gzip(TEXT.as_bytes()), "is compressed once more; unpack it"),
        (b"PK\x03\x04rest".to_vec(), "is a zip archive; unpack it"),
    ] {
        let error = read_file(&path, &gzip(&inner), &[], 1000).unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
}

#[test]
fn bytes_behind_gzip_are_passed_over_with_a_warning() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("f.csv.gz");
    for (behind, warns) in [(&b""[..], false), (&[0; 512], true), (b"trash", true)] {
        let stored = [gzip(TEXT.as_bytes()), behind.to_vec()].concat();
        for block_bytes in [7, 1000] {
            let (lines, warnings) = read_file(&path, &stored, &[], block_bytes).unwrap();
            assert_eq!(lines, expected());
            assert_eq!(warnings.len(), usize::from(warns), "{warnings:?}");
            assert!(
                warnings
                    .iter()
                    .all(|warning| warning.contains("f.csv.gz: bytes that are not gzip"))
            );
        }
    }
}

#[test]
fn windows_of_zstandard_may_be_long() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("f.csv.zst");
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(30).unwrap();
    encoder.long_distance_matching(true).unwrap();
    encoder.write_all(TEXT.as_bytes()).unwrap();
    let stored = encoder.finish().unwrap();
    let (lines, _) = read_file(&path, &stored, &[], 1000).unwrap();
    assert_eq!(lines, expected());
}

#[test]
fn content_says_what_a_name_does_not() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("f.csv");
    let zstd = zstd::encode_all(TEXT.as_bytes(), 1).unwrap();
    for stored in [gzip(TEXT.as_bytes()), zstd] {
        let (lines, _) = read_file(&path, &stored, &[], 1000).unwrap();
        assert_eq!(lines, expected());
    }
    let cases: &[(&str, &[u8], &str)] = &[
        ("f.csv", b"PK\x03\x04\x14\0", "it is a zip archive"),
        ("f.csv", b"BZh91AY", "compressed by bzip2"),
        ("f.csv", b"\xfd7zXZ\0\0", "compressed by xz"),
        (
            "plain.csv.gz",
            b"a,b\n1,2\n",
            "OPTIONS (compression 'none')",
        ),
        (
            "plain.csv.zst",
            b"a,b\n1,2\n",
            "OPTIONS (compression 'none')",
        ),
    ];
    for (name, stored, expected) in cases {
        let path = root.path().join(name);
        let message = read_file(&path, stored, &[], 1000).unwrap_err().to_string();
        assert!(
            message.contains(expected) && message.contains(name),
            "{message}"
        );
    }
}

#[test]
fn files_follow_one_another() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    let (a, b, c, d) = (
        path("a.csv"),
        path("b.csv"),
        path("c.csv.gz"),
        path("d.csv"),
    );
    let files: [(&Path, &[u8]); 4] = [
        (&a, b"b,a\nx,1"),
        (&b, b""),
        (&c, b""),
        (&d, b"a,b\n2,y\n3\n"),
    ];
    let reader = reader(
        &files,
        Limits {
            block_bytes: 3,
            record_bytes: 100,
        },
    );
    assert_eq!(drain(&reader).unwrap().0, ["1|x", "2|y", "3:8 <3>"]);
    let warnings = reader.warnings();
    assert_eq!(warnings.len(), 2);
    assert!(
        warnings[0].contains("b.csv: is empty") && warnings[1].contains("c.csv.gz: is empty"),
        "{warnings:?}"
    );
}

#[test]
fn what_cannot_be_opened_is_named() {
    let files = vec![Delivery {
        name: "no/such/file.csv".into(),
        from: Content::File("no/such/file.csv".into()),
        bytes: 1,
    }];
    let format = Csv::new(&spec()).unwrap();
    let reader = TextReader::new(&spec(), files, local(), None, Rules::default(), format).unwrap();
    let message = drain(&reader).unwrap_err().to_string();
    assert!(
        message.starts_with("cannot open no/such/file.csv: "),
        "{message}"
    );
}

#[test]
fn over_long_records_are_rejected_and_reading_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("f.csv");
    let long = "x".repeat(500);
    let cases = [
        // A line without an end.
        (
            format!("a,b\n1,2\n3,{long}\n5,6\n7,8"),
            vec!["1|2", "3:8", "5|6", "7|8"],
        ),
        (format!("a,b\n1,2\n3,{long}"), vec!["1|2", "3:8"]),
        // A quote that is not closed within the limit: its line is rejected, the others are read.
        (
            format!("a,b\n1,2\n3,\"4\n{}", "5,6\n".repeat(60)),
            [vec!["1|2", "3:8"], vec!["5|6"; 60]].concat(),
        ),
    ];
    for (text, expected) in cases {
        for block_bytes in 1..80 {
            let reader = reader(
                &[(&path, text.as_bytes())],
                Limits {
                    block_bytes,
                    record_bytes: 100,
                },
            );
            let (lines, bytes) = drain(&reader).unwrap();
            let heads: Vec<_> = lines
                .iter()
                .map(|line| line.split(" <").next().unwrap())
                .collect();
            assert_eq!(heads, expected, "blocks of {block_bytes}: {lines:?}");
            assert_eq!(bytes, text.len() as u64);
        }
    }
}

mod append;
mod kept;
mod lines;
mod settled;

/// The outcome of a reader.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// Rows by their place.
    rows: BTreeMap<u64, String>,
    /// Rejected rows by their place.
    rejected: BTreeMap<u64, Rejected>,
}

/// Reads everything. The pieces are decoded in the order in which they are handed out, or in reverse.
fn outcome(reader: &dyn FileReader, reverse: bool) -> Result<Outcome, SourceError> {
    let mut pieces = Vec::new();
    while let Some(dealt) = reader.next_piece()? {
        pieces.push(dealt.piece);
    }
    if reverse {
        pieces.reverse();
    }
    let mut outcome = Outcome::default();
    for decoded in pieces.into_iter().flatten() {
        let decoded = decoded?;
        let ordinals = decoded.ordinals.unwrap();
        assert_eq!(ordinals.len(), decoded.batch.num_rows());
        assert!(ordinals.is_sorted());
        let columns: Vec<_> = decoded
            .batch
            .columns()
            .iter()
            .map(AsArray::as_string::<i32>)
            .collect();
        for (row, ordinal) in ordinals.into_iter().enumerate() {
            let row = columns.iter().map(|column| column.value(row));
            let row = row.collect::<Vec<_>>().join("|");
            assert_eq!(outcome.rows.insert(ordinal, row), None);
        }
        for rejected in decoded.rejected {
            let place = rejected.byte_offset;
            assert_eq!(outcome.rejected.insert(place, rejected), None);
        }
    }
    Ok(outcome)
}

/// A source of either format whose rows have places.
fn spec_of(format: Format, options: &[(&str, &str)]) -> SourceSpec {
    let options = options.iter();
    SourceSpec {
        format,
        ordinals: true,
        dictionaries: false,
        source: None,
        options: options
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        ..spec()
    }
}

fn reader_of(
    spec: &SourceSpec,
    delivery: Delivery,
    store: Option<&Arc<ContentStore>>,
    limits: Limits,
) -> Box<dyn FileReader> {
    let (deliveries, store) = (vec![delivery], store.cloned());
    let rules = Rules {
        compression: Compression::Auto,
        on_change: OnChange::parse(&spec.options).unwrap(),
    };
    if spec.format == Format::Csv {
        let format = Csv::new(spec).unwrap();
        let reader = TextReader::new(spec, deliveries, local(), store, rules, format).unwrap();
        Box::new(reader.with_limits(limits))
    } else {
        let format = JsonLinesFormat::new(spec).unwrap();
        let reader = TextReader::new(spec, deliveries, local(), store, rules, format).unwrap();
        Box::new(reader.with_limits(limits))
    }
}

fn delivery(path: &Path, from: Content) -> Delivery {
    Delivery {
        name: path.to_string_lossy().into(),
        from,
        bytes: 0,
    }
}

fn file(path: &Path) -> Delivery {
    delivery(path, Content::File(path.to_owned()))
}

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Texts with everything that makes reading difficult. Records of more than 60 bytes are too long.
fn texts() -> Vec<(Format, Vec<u8>)> {
    let long = "x".repeat(150);
    let csv = [
        TEXT.to_owned(),
        String::new(),
        "\u{feff}".to_owned(),
        "\n\r\n".to_owned(),
        "a,b".to_owned(),
        "a,b\n".to_owned(),
        "\r\n\na,b\r\n1,\"x\r\ny\"\r\n\r\n2,z".to_owned(),
        format!("a,b\n1,2\n3,{long}\n5,6\n7,{long}\n8,9\n"),
        format!("a,b\n1,2\n3,\"4\n{}9,{long}", "5,6\n".repeat(30)),
        format!("a,b\n1,\"{long}\"\n2,\"x\ny\"\n3,\"open\n4,5\n"),
    ];
    let json = [
        "{\"a\":\"1\",\"b\":\"2\"}\n\n{\"a\":\"3\"\n{\"b\":\"4\",\"a\":\"5\"}\r\n{\"a\":\"6\",\"b\":\"7\"}"
            .to_owned(),
        "\u{feff}{\"a\":\"1\",\"b\":\"2\"}\r\n".to_owned(),
        format!(
            "{{\"a\":\"1\",\"b\":\"2\"}}\n{{\"a\":\"{long}\"}}\n{{\"a\":\"3\",\"b\":\"4\"}}\n"
        ),
        "{}\n".to_owned(),
    ];
    let csv = csv.into_iter().map(|text| (Format::Csv, text.into_bytes()));
    let json = json
        .into_iter()
        .map(|text| (Format::JsonLines, text.into_bytes()));
    let broken = [
        (Format::Csv, b"a,b\n1,\xff\n2,x\xc3\n3,y\n".to_vec()),
        (
            Format::JsonLines,
            b"{\"a\":\"\xff\"}\n{\"a\":\"1\",\"b\":\"2\"}\n".to_vec(),
        ),
    ];
    csv.chain(json).chain(broken).collect()
}
