//! Logs: appended to by several threads, cut short, damaged, and read again.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{LogReader, MessageLog, number, path};
use crate::location::Location;
use crate::{KafkaOptions, KafkaSource, Messages, PartitionPosition, Segment};
use tidewater_contract::error::SourceError;
use tidewater_contract::source::{Format, Reader, SourceSpec};

/// A source whose rows are offsets and payloads.
fn spec() -> SourceSpec {
    let schema = Schema::new(vec![
        Field::new("at", DataType::Int64, false),
        Field::new("text", DataType::Binary, true),
    ]);
    let mut options = BTreeMap::from([("column.at".to_owned(), "offset".to_owned())]);
    let kafka = KafkaSource {
        location: Location::parse("kafka://localhost/orders").unwrap(),
        options: KafkaOptions::take(&mut options, &schema).unwrap(),
        key: Vec::new(),
    };
    SourceSpec {
        name: "orders".to_owned(),
        location: kafka.location.to_string(),
        format: Format::Text,
        projection: vec![0, 1],
        schema: Arc::new(schema),
        options,
        ordinals: false,
        dictionaries: false,
        source: Some(Arc::new(kafka)),
    }
}

fn messages(partition: i32, first: i64, payloads: &[&str]) -> Messages {
    let mut messages = Messages::new(partition, first);
    for (offset, payload) in (first..).zip(payloads) {
        messages.push((offset, offset), None, Some(payload.as_bytes()), []);
    }
    messages
}

/// The positions after offsets 0 to `next` of some partitions were read.
fn positions(of: impl IntoIterator<Item = (i32, i64)>) -> BTreeMap<i32, PartitionPosition> {
    let of = of.into_iter();
    of.map(|(partition, next)| {
        let position = PartitionPosition {
            next,
            ..PartitionPosition::default()
        };
        (partition, position)
    })
    .collect()
}

/// Delivery, offset and payload of all rows, in stored order.
fn rows(reader: &dyn Reader) -> Result<Vec<(usize, i64, Vec<u8>)>, SourceError> {
    let mut rows = Vec::new();
    let mut bytes = 0;
    while let Some(dealt) = reader.next_piece()?.dealt() {
        for decoded in dealt.piece {
            let decoded = decoded?;
            bytes += decoded.bytes;
            let offsets = decoded.batch.column(0).as_primitive::<Int64Type>().values();
            let texts = decoded.batch.column(1).as_binary::<i32>().iter();
            let texts = texts.map(|text| text.unwrap().to_vec());
            let decoded = offsets.iter().zip(texts);
            rows.extend(decoded.map(|(offset, text)| (dealt.delivery, *offset, text)));
        }
    }
    assert_eq!(bytes, reader.bytes_total());
    Ok(rows)
}

fn read(
    directory: &Path,
    segments: &[Segment],
    of: &[(i32, i64)],
) -> Result<Vec<(usize, i64, Vec<u8>)>, SourceError> {
    let reader = LogReader::open(&spec(), directory, segments, &positions(of.iter().copied()))?;
    rows(&*reader)
}

#[test]
fn what_was_appended_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("a/b");
    let log = MessageLog::open(&directory, &[]).unwrap();
    assert_eq!(log.sync().unwrap(), []);
    log.append(&messages(7, 0, &["a", "b"])).unwrap();
    log.append(&messages(3, 5, &[""])).unwrap();
    log.append(&Messages::new(3, 6)).unwrap();
    log.append(&messages(7, 9, &["c"])).unwrap();
    let segments = log.sync().unwrap();
    let found = read(&directory, &segments, &[(3, 6), (7, 10)]).unwrap();
    let text = |text: &str| text.as_bytes().to_vec();
    assert_eq!(
        found,
        [
            (1, 0, text("a")),
            (1, 1, text("b")),
            (0, 5, text("")),
            (1, 9, text("c"))
        ]
    );
    // A reader of the earlier commit does not read later messages.
    log.append(&messages(7, 10, &["d"])).unwrap();
    assert_eq!(
        read(&directory, &segments, &[(3, 6), (7, 10)]).unwrap(),
        found
    );
}

#[test]
fn frames_of_one_partition_are_dealt_together() {
    let directory = tempfile::tempdir().unwrap();
    let log = MessageLog::open(directory.path(), &[]).unwrap();
    for first in 0..10 {
        log.append(&messages(0, first, &["x"])).unwrap();
    }
    log.append(&messages(1, 0, &["x"])).unwrap();
    let segments = log.sync().unwrap();
    let of = positions([(0, 10), (1, 1)]);
    let reader = LogReader::open(&spec(), directory.path(), &segments, &of).unwrap();
    let mut pieces = Vec::new();
    while let Some(dealt) = reader.next_piece().unwrap().dealt() {
        pieces.push((dealt.delivery, dealt.piece.count()));
    }
    assert_eq!(pieces, [(0, 10), (1, 1)]);
    assert!(reader.warnings().is_empty());
}

#[test]
fn a_full_segment_is_followed_by_another() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let mut segments = Vec::new();
    for offset in 0..6 {
        // Each round is a run of its own with two appends.
        let log = MessageLog::with_segment_bytes(directory, &segments, 150).unwrap();
        log.append(&messages(0, 2 * offset, &["payload"])).unwrap();
        log.append(&messages(0, 2 * offset + 1, &["payload"]))
            .unwrap();
        segments = log.sync().unwrap();
        let found = read(directory, &segments, &[(0, 2 * offset + 2)]).unwrap();
        let offsets: Vec<i64> = found.iter().map(|(_, offset, _)| *offset).collect();
        assert_eq!(offsets, (0..2 * offset + 2).collect::<Vec<_>>());
    }
    let numbers: Vec<u64> = segments.iter().map(|segment| segment.number).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
    assert!(numbers.len() > 3, "{segments:?}");
    for segment in &segments {
        let length = fs::metadata(path(directory, segment.number)).unwrap().len();
        assert_eq!(length, segment.bytes);
    }
}

#[test]
fn what_no_commit_refers_to_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let log = MessageLog::with_segment_bytes(directory, &[], 1).unwrap();
    log.append(&messages(0, 0, &["a"])).unwrap();
    let segments = log.sync().unwrap();
    let committed = read(directory, &segments, &[(0, 1)]).unwrap();
    fs::write(directory.join("note.txt"), "of someone else").unwrap();
    fs::write(directory.join("1.log"), "of someone else").unwrap();
    for reopens in [true, false] {
        for offset in 1..4 {
            log.append(&messages(0, offset, &["b"])).unwrap();
        }
        assert!(directory.join(format!("{:020}.log", 3)).exists());
        let mut file = fs::File::options()
            .append(true)
            .open(path(directory, 0))
            .unwrap();
        std::io::Write::write_all(&mut file, b"half a frame").unwrap();
        if reopens {
            drop(MessageLog::open(directory, &segments).unwrap());
        }
        log.rewind(&segments).unwrap();
        assert_eq!(log.sync().unwrap(), segments);
        let left: BTreeSet<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let expected = [
            format!("{:020}.log", 0),
            "1.log".to_owned(),
            "note.txt".to_owned(),
        ];
        assert_eq!(left, BTreeSet::from(expected));
        let length = fs::metadata(path(directory, 0)).unwrap().len();
        assert_eq!(length, segments[0].bytes);
        assert_eq!(read(directory, &segments, &[(0, 1)]).unwrap(), committed);
    }
    // Appending continues from there.
    log.append(&messages(0, 1, &["c"])).unwrap();
    let segments = log.sync().unwrap();
    let found = read(directory, &segments, &[(0, 2)]).unwrap();
    assert_eq!(found[1], (0, 1, b"c".to_vec()));
}

#[test]
fn several_threads_append() {
    let directory = tempfile::tempdir().unwrap();
    let log = MessageLog::with_segment_bytes(directory.path(), &[], 2_000).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let log = &log;
            scope.spawn(move || {
                // Two threads append to each partition.
                for batch in 0..50 {
                    let first = (batch * 2 + thread / 2) * 3;
                    let partition = i32::try_from(thread % 2).unwrap();
                    let batch = messages(partition, first, &["one", "two", "three"]);
                    log.append(&batch).unwrap();
                    if first % 7 == 0 {
                        log.sync().unwrap();
                    }
                }
            });
        }
    });
    let segments = log.sync().unwrap();
    let mut found = read(directory.path(), &segments, &[(0, 300), (1, 300)]).unwrap();
    found.sort();
    let expected = (0..2).flat_map(|partition| {
        (0..300).map(move |offset: i64| {
            let text = [&b"one"[..], b"two", b"three"][usize::try_from(offset % 3).unwrap()];
            (partition, offset, text.to_vec())
        })
    });
    assert_eq!(found, expected.collect::<Vec<_>>());
    assert!(segments.len() > 3);
}

/// A log of two segments, each with two frames.
fn log_of_two(directory: &Path) -> Vec<Segment> {
    let log = MessageLog::with_segment_bytes(directory, &[], 100).unwrap();
    for (partition, first, payload) in [(0, 0, "a"), (1, 0, "b"), (0, 1, "c"), (1, 1, "d")] {
        log.append(&messages(partition, first, &[payload; 2][..1]))
            .unwrap();
    }
    let segments = log.sync().unwrap();
    assert_eq!(segments.len(), 2);
    segments
}

const OF_TWO: [(i32, i64); 2] = [(0, 2), (1, 2)];

#[test]
fn every_byte_that_is_another_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let segments = log_of_two(directory);
    let rows = read(directory, &segments, &OF_TWO).unwrap();
    assert_eq!(rows.len(), 4);
    for segment in &segments {
        let path = path(directory, segment.number);
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            for bit in [0x01, 0x80] {
                let mut bad = good.clone();
                bad[at] ^= bit;
                fs::write(&path, &bad).unwrap();
                let error = read(directory, &segments, &OF_TWO).unwrap_err();
                let SourceError::KeptMessages {
                    kept, byte_offset, ..
                } = &error
                else {
                    unreachable!("byte {at}: {error}");
                };
                assert_eq!(**kept, *path.to_string_lossy());
                // A wrong length shows at the place of the next frame.
                assert!(*byte_offset <= good.len() as u64, "byte {at}: {error}");
                assert!(error.to_string().contains("restore the file from a copy"));
            }
        }
        fs::write(&path, &good).unwrap();
    }
    assert_eq!(read(directory, &segments, &OF_TWO).unwrap(), rows);
}

#[test]
fn a_segment_that_is_short_or_missing_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let segments = log_of_two(directory);
    for segment in &segments {
        let path = path(directory, segment.number);
        let good = fs::read(&path).unwrap();
        let says = |what: &str| {
            let opened = MessageLog::open(directory, &segments).err();
            for error in [read(directory, &segments, &OF_TWO).err(), opened] {
                let error = error.unwrap().to_string();
                assert!(
                    error.contains(what) && error.contains(&*path.to_string_lossy()),
                    "{error}"
                );
            }
        };
        for length in [0, 1, good.len() - 1] {
            fs::write(&path, &good[..length]).unwrap();
            says(&format!("is cut short at byte {length}"));
        }
        fs::remove_file(&path).unwrap();
        says("is missing");
        fs::write(&path, &good).unwrap();
    }
    assert_eq!(read(directory, &segments, &OF_TWO).unwrap().len(), 4);
}

#[test]
fn a_commit_that_ends_within_a_frame_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    let segments = log_of_two(directory.path());
    for bytes in 1..segments[0].bytes {
        let short = [Segment { number: 0, bytes }];
        let whole = bytes == segments[0].bytes / 2;
        let found = read(directory.path(), &short, &OF_TWO);
        assert_eq!(
            found.is_ok(),
            whole,
            "{bytes} of {}: {found:?}",
            segments[0].bytes
        );
    }
}

#[test]
fn messages_of_a_partition_that_was_not_read_are_damage() {
    let directory = tempfile::tempdir().unwrap();
    let segments = log_of_two(directory.path());
    for of in [&[(0, 2)][..], &[(0, 2), (1, 1)], &[(0, 1), (1, 2)], &[]] {
        let error = read(directory.path(), &segments, of).unwrap_err();
        assert!(error.to_string().contains("was not read"), "{error}");
    }
}

#[test]
fn random_histories_are_what_was_committed() {
    for seed in 0..60 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let segment_bytes = random.random_range(1..600);
        let open = |segments: &[Segment]| {
            MessageLog::with_segment_bytes(directory, segments, segment_bytes).unwrap()
        };
        let (mut segments, mut next, mut committed) = (Vec::new(), [0_i64; 3], Vec::new());
        let mut log = open(&segments);
        for _ in 0..random.random_range(1..12) {
            let (mut ahead, mut appended) = (next, Vec::new());
            for _ in 0..random.random_range(0..5) {
                let partition = random.random_range(0..3_usize);
                let number = i32::try_from(partition).unwrap();
                let mut batch = Messages::new(number, ahead[partition]);
                for _ in 0..random.random_range(0..4) {
                    let offset = batch.next_offset + random.random_range(0..3);
                    let payload = "x".repeat(random.random_range(0..40));
                    batch.push((offset, -1), None, Some(payload.as_bytes()), []);
                    appended.push((partition, offset, payload.into_bytes()));
                }
                batch.next_offset += random.random_range(0..2);
                ahead[partition] = batch.next_offset;
                log.append(&batch).unwrap();
            }
            match random.random_range(0..4) {
                0 => log.rewind(&segments).unwrap(),
                1 => log = open(&segments),
                _ => {
                    segments = log.sync().unwrap();
                    next = ahead;
                    committed.extend(appended);
                }
            }
            let of: Vec<_> = (0..3).zip(next).collect();
            let found = read(directory, &segments, &of).unwrap();
            assert_eq!(found, committed, "seed {seed}");
        }
    }
}

#[test]
fn only_segments_are_segments() {
    for (name, expected) in [
        ("00000000000000000012.log", Some(12)),
        ("18446744073709551615.log", Some(u64::MAX)),
        ("99999999999999999999.log", None),
        ("12.log", None),
        ("+0000000000000000012.log", None),
        ("00000000000000000012.log.tmp", None),
        ("00000000000000000012log", None),
        ("00000000000000000012", None),
    ] {
        assert_eq!(number(Path::new(name)), expected, "{name}");
    }
    assert_eq!(number(&path(Path::new("a/b"), 12)), Some(12));
}
