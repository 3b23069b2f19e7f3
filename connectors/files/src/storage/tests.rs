//! All storages list, find and read alike, so that code built on them need not know which one it uses.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use parquet::arrow::ArrowWriter;
use tidewater_contract::source::{Format, SourceSpec};

use super::memory::MemoryStorage;
use super::*;
use crate::{ContentStore, Delivery, FILES, FileSource, Subdirectories, list, open};

/// The same files on disk and in memory.
fn both(files: &[(&str, &[u8])]) -> (tempfile::TempDir, [(Arc<dyn Storage>, PathBuf); 2]) {
    let root = tempfile::tempdir().unwrap();
    let memory = MemoryStorage::default();
    for (name, content) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        memory.put(Path::new("root").join(name), content, 1);
    }
    let local = root.path().to_owned();
    let storages: [(Arc<dyn Storage>, PathBuf); 2] = [
        (Arc::new(LocalStorage), local),
        (Arc::new(memory), "root".into()),
    ];
    (root, storages)
}

#[test]
fn what_is_no_file_is_skipped() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.csv"), "").unwrap();
    let _socket = UnixListener::bind(root.path().join("b.csv")).unwrap();
    symlink("nowhere", root.path().join("c.csv")).unwrap();
    for location in ["", "/*.csv", "/**"] {
        let location = format!("{}{location}", root.path().display());
        let files = list(&LocalStorage, &location, Subdirectories::PassOver).unwrap();
        let paths: Vec<_> = files.into_iter().map(|file| file.path).collect();
        assert_eq!(paths, [root.path().join("a.csv")], "{location}");
    }
}

#[test]
fn locations_name_the_same_files() {
    let names = [
        "a.csv",
        "b/c.csv",
        "b/d/e.csv",
        "b/.f.csv",
        "b/_g",
        "b/h [1].csv",
        "b/i.csv.part",
    ];
    let (_root, storages) = both(&names.map(|name| (name, name.as_bytes())));
    for (location, expected) in [
        ("", Ok(&["a.csv"][..])),
        ("b", Ok(&["b/c.csv", "b/h [1].csv"])),
        ("b/c.csv", Ok(&["b/c.csv"])),
        ("b/h [1].csv", Ok(&["b/h [1].csv"])),
        (
            "**/*.csv",
            Ok(&["a.csv", "b/c.csv", "b/d/e.csv", "b/h [1].csv"]),
        ),
        ("b/**", Ok(&["b/c.csv", "b/d/e.csv", "b/h [1].csv"])),
        ("{a,b/d/e}.csv", Ok(&["a.csv", "b/d/e.csv"])),
        ("b/*.part", Ok(&["b/i.csv.part"])),
        ("none", Err("there is no such file or directory")),
        ("a.csv/none", Err("there is no such file or directory")),
        ("*.txt", Err("no file matches the glob")),
    ] {
        for (storage, root) in &storages {
            let found = list(
                &**storage,
                root.join(location).to_str().unwrap(),
                Subdirectories::PassOver,
            );
            let context = format!("{location} in {storage:?}");
            match (found, expected) {
                (Ok(files), Ok(expected)) => {
                    let found: Vec<&str> = files
                        .iter()
                        .map(|file| file.path.strip_prefix(root).unwrap().to_str().unwrap())
                        .collect();
                    assert_eq!(found, expected, "{context}");
                    for (file, name) in files.iter().zip(found) {
                        assert_eq!(file.stamp.bytes, name.len() as u64, "{context}");
                        assert!(file.stamp.version.is_some(), "{context}");
                    }
                }
                (found, expected) => {
                    let message = found.unwrap_err().to_string();
                    assert!(
                        message.contains(expected.unwrap_err()),
                        "{context}: {message}"
                    );
                }
            }
        }
    }
}

#[test]
fn ranges_end_at_the_end_of_the_file() {
    let (_root, storages) = both(&[("f", b"0123456789")]);
    for (storage, root) in storages {
        let file = storage.open(&root.join("f")).unwrap();
        for (at, limit, expected) in [
            (0, 10, "0123456789"),
            (0, 3, "012"),
            (7, 100, "789"),
            (10, 5, ""),
            (1_000, 5, ""),
            (4, 0, ""),
        ] {
            // A buffer with more capacity still gets only the requested bytes.
            let mut buffer = Vec::with_capacity(50);
            buffer.extend_from_slice(b"before ");
            let read = file.read_range(at, limit, &mut buffer).unwrap();
            assert_eq!(buffer, format!("before {expected}").as_bytes());
            assert_eq!(read, expected.len());
        }
        for ahead in 1..12 {
            let mut all = String::new();
            let mut bytes = FileBytes::new(Arc::clone(&file), 2, ahead);
            bytes.read_to_string(&mut all).unwrap();
            assert_eq!(all, "23456789");
        }
        assert!(storage.open(&root.join("none")).is_err());
        assert_eq!(storage.head(&root.join("none")).unwrap(), None);
    }
}

#[test]
fn an_open_file_stays_the_one_that_was_opened() {
    let (_root, storages) = both(&[("f", b"old"), ("g", b"new")]);
    let [(local, root), _] = storages;
    let file = local.open(&root.join("f")).unwrap();
    fs::rename(root.join("g"), root.join("f")).unwrap();
    let mut read = Vec::new();
    file.read_range(0, 10, &mut read).unwrap();
    assert_eq!(read, b"old");
}

#[test]
fn links_that_lead_nowhere_are_passed_over() {
    let (_root, storages) = both(&[("d/f", b"x")]);
    let [(local, root), _] = storages;
    symlink("nowhere", root.join("d/dangling")).unwrap();
    symlink("self", root.join("d/self")).unwrap();
    symlink("f", root.join("d/link")).unwrap();
    let entries = local.list(&root.join("d"), &|_| true).unwrap();
    let names: Vec<_> = entries.iter().map(|entry| entry.path.file_name()).collect();
    assert_eq!(names, [Some("f".as_ref()), Some("link".as_ref())]);
    assert_eq!(local.head(&root.join("d/self")).unwrap(), None);
    assert_eq!(local.head(&root.join("d/f/x")).unwrap(), None);
}

fn spec(format: Format) -> SourceSpec {
    let fields = ["a", "b"].map(|name| Field::new(name, DataType::Int64, false));
    SourceSpec {
        name: "t".to_owned(),
        location: String::new(),
        format,
        schema: Arc::new(Schema::new(fields.to_vec())),
        projection: vec![0, 1],
        options: BTreeMap::new(),
        ordinals: false,
        dictionaries: false,
        source: None,
    }
}

fn parquet_file() -> Vec<u8> {
    let column = |values: [i64; 2]| -> ArrayRef { Arc::new(Int64Array::from(values.to_vec())) };
    let columns = [("a", column([1, 3])), ("b", column([2, 4]))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn all_formats_read_the_same_and_are_kept_the_same() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"a,b\n1,2\n3,4\n").unwrap();
    let (gzip, parquet) = (gzip.finish().unwrap(), parquet_file());
    let (root, storages) = both(&[
        ("t.csv", b"a,b\n1,2\n3,4\n"),
        ("t.csv.gz", &gzip),
        ("t.json", b"{\"a\":1,\"b\":2}\n{\"a\":3,\"b\":4}\n"),
        ("t.parquet", &parquet),
    ]);
    let store = Arc::new(ContentStore::open(root.path().join("store")).unwrap());
    for (format, name) in [
        (Format::Csv, "t.csv"),
        (Format::Csv, "t.csv.gz"),
        (Format::JsonLines, "t.json"),
        (Format::Parquet, "t.parquet"),
    ] {
        let mut taken = Vec::new();
        for (storage, root) in &storages {
            for store in [None, Some(&store)] {
                let location = root.join(name);
                let location = location.to_str().unwrap();
                let listed = list(&**storage, location, Subdirectories::PassOver).unwrap();
                let deliveries = listed.into_iter().map(Delivery::from).collect();
                let source = FileSource::new(&FILES, Arc::clone(storage));
                let reader = open(&source, &spec(format), deliveries, store).unwrap();
                let mut sum = [0, 0];
                while let Some(piece) = reader.next_piece().unwrap() {
                    for decoded in piece.piece {
                        let batch = decoded.unwrap().batch;
                        for (at, sum) in sum.iter_mut().enumerate() {
                            let column = batch.column(at).as_primitive::<Int64Type>();
                            *sum += column.values().iter().sum::<i64>();
                        }
                    }
                }
                assert_eq!(sum, [4, 6], "{name} in {storage:?}");
                let read = reader.read_deliveries().unwrap().remove(0);
                assert!(read.settled, "{name} in {storage:?}");
                taken.extend(store.map(|_| (read.hash, read.parts)));
            }
        }
        assert_eq!(taken[0], taken[1], "{name}");
    }
}
