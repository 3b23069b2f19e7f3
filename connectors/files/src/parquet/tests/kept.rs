//! Files that are copied to the content store give the same rows, whatever happens to the file.

use std::fs;

use crate::delivery::KeptPart;
use crate::file_source::FileSource;
use crate::reader::{FileReader, ReadDelivery};
use crate::{ContentStore, open};

use super::*;

fn delivery(path: &Path, from: Content) -> Delivery {
    Delivery {
        name: path.to_string_lossy().into(),
        from,
        bytes: 1,
    }
}

/// The batches with their places, and the records of the deliveries.
fn read_all(reader: &dyn FileReader) -> Result<(Vec<Decoded>, Vec<ReadDelivery>), SourceError> {
    let mut decoded = Vec::new();
    while let Some(dealt) = reader.next_piece()? {
        for step in dealt.piece {
            decoded.push(step?);
        }
    }
    Ok((decoded, reader.read_deliveries()?))
}

fn assert_same(one: &[Decoded], other: &[Decoded]) {
    assert_eq!(one.len(), other.len());
    for (one, other) in one.iter().zip(other) {
        assert_eq!(one.batch, other.batch);
        assert_eq!(one.rejected, other.rejected);
        assert_eq!(one.ordinals, other.ordinals);
    }
}

/// A directory with a file that has rejected rows, and its source.
fn delivered() -> (tempfile::TempDir, PathBuf, SourceSpec) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.parquet");
    let values = Int64Array::from_iter((0..500).map(|value| (value % 7 != 3).then_some(value)));
    write(&path, vec![("x", Arc::new(values))], 120);
    let spec = spec(vec![Field::new("x", DataType::Int64, false)], &[]);
    (directory, path, spec)
}

fn store(directory: &tempfile::TempDir) -> Arc<ContentStore> {
    Arc::new(ContentStore::open(directory.path().join("store")).unwrap())
}

#[test]
fn what_was_kept_reads_the_same() {
    let (directory, path, spec) = delivered();
    let store = store(&directory);
    let file = || vec![delivery(&path, Content::File(path.clone()))];
    let (expected, taken) =
        read_all(&*open(&FileSource::local(), &spec, file(), None).unwrap()).unwrap();
    assert!(taken[0].settled && taken[0].hash.is_empty() && taken[0].parts.is_empty());

    let bytes = fs::read(&path).unwrap();
    let reader = open(&FileSource::local(), &spec, file(), Some(&store)).unwrap();
    let first = reader.next_piece().unwrap().unwrap();
    // Later writes do not change the copy.
    fs::write(&path, "something else").unwrap();
    let mut decoded: Vec<_> = first.piece.map(Result::unwrap).collect();
    let (more, taken) = read_all(&*reader).unwrap();
    decoded.extend(more);
    assert_same(&decoded, &expected);
    let [taken] = &taken[..] else {
        unreachable!("{taken:?}");
    };
    let hash = blake3::hash(&bytes).to_hex().to_string();
    assert!(taken.settled && taken.hash == hash && taken.bytes == bytes.len() as u64);
    let part = KeptPart {
        hash,
        bytes: taken.bytes,
        stored_bytes: taken.bytes,
        lines: 0,
    };
    assert_eq!(taken.parts, [part]);

    let kept = vec![delivery(&path, Content::Kept(taken.parts.clone()))];
    let (again, none) =
        read_all(&*open(&FileSource::local(), &spec, kept, Some(&store)).unwrap()).unwrap();
    assert_same(&again, &expected);
    assert!(none.is_empty());
}

#[test]
fn damage_to_what_was_kept_is_told() {
    let (directory, path, spec) = delivered();
    let store = store(&directory);
    let file = vec![delivery(&path, Content::File(path.clone()))];
    let (_, taken) =
        read_all(&*open(&FileSource::local(), &spec, file, Some(&store)).unwrap()).unwrap();
    let parts = taken[0].parts.clone();
    let kept = directory
        .path()
        .join(format!("store/{}.parquet", parts[0].hash));
    let whole = fs::read(&kept).unwrap();
    let told = |from: Content, store: Option<&Arc<ContentStore>>| {
        let reader = open(
            &FileSource::local(),
            &spec,
            vec![delivery(&path, from)],
            store,
        )
        .unwrap();
        read_all(&*reader).unwrap_err().to_string()
    };
    for at in (0..whole.len()).step_by(50) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        for damaged in [&flipped[..], &whole[..at]] {
            fs::write(&kept, damaged).unwrap();
            let message = told(Content::Kept(parts.clone()), Some(&store));
            assert!(
                message.contains("a.parquet: its stored copy") && message.contains("is damaged"),
                "{message}"
            );
        }
    }
    let two = Content::Kept([&parts[..], &parts[..]].concat());
    let cases = [
        (
            Content::Kept(parts.clone()),
            None,
            "to be read from the content store, and none is given",
        ),
        (two, Some(&store), "is kept in one part, not in 2"),
        (
            Content::Tail {
                path: path.clone(),
                after: 1,
                first_line: 1,
                hash: String::new(),
            },
            Some(&store),
            "Parquet files cannot be appended to",
        ),
    ];
    for (from, store, expected) in cases {
        let message = told(from, store);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_file_that_changes_is_not_settled() {
    let (_directory, path, spec) = delivered();
    let file = vec![delivery(&path, Content::File(path.clone()))];
    let reader = open(&FileSource::local(), &spec, file, None).unwrap();
    assert!(read_all(&*reader).unwrap().1[0].settled);
    fs::write(&path, "something else").unwrap();
    assert!(!reader.read_deliveries().unwrap()[0].settled);
}
