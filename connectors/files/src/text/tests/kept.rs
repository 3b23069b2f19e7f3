//! Stored content gives the same rows as when it was first read.

use memchr::memchr_iter;

use super::*;
use crate::Subdirectories;
use crate::content_store::KeptText;
use crate::delivery::KeptPart;
use crate::file_source::FileSource;
use crate::storage::LocalStorage;

const LIMITS: Limits = Limits {
    block_bytes: 60,
    record_bytes: 60,
};

/// The bytes of the delivered file, depending on its extension.
fn stored(extension: &str, text: &[u8]) -> Vec<u8> {
    match extension {
        "gz" => {
            let (first, second) = text.split_at(text.len() / 2);
            [gzip(first), gzip(second)].concat()
        }
        "zst" => zstd::encode_all(text, 1).unwrap(),
        _ => text.to_vec(),
    }
}

#[test]
fn what_was_kept_reads_the_same() {
    let root = tempfile::tempdir().unwrap();
    let store = Arc::new(ContentStore::open(root.path().join("store")).unwrap());
    for (format, text) in texts() {
        let spec = spec_of(format, &[]);
        for extension in ["txt", "gz", "zst"] {
            let bytes = stored(extension, &text);
            let path = root.path().join(format!("f.{extension}"));
            fs::write(&path, &bytes).unwrap();
            for block_bytes in [1, 4, 7, 40] {
                let limits = Limits {
                    block_bytes,
                    ..LIMITS
                };
                let context = format!("{:?} {extension}", String::from_utf8_lossy(&text));
                let plain = reader_of(&spec, file(&path), None, limits);
                let expected = outcome(&*plain, false).unwrap();
                let [taken] = &plain.read_deliveries().unwrap()[..] else {
                    panic!("one file");
                };
                assert!(taken.settled && taken.hash.is_empty() && taken.parts.is_empty());

                let reverse = block_bytes % 2 == 0;
                let keeping = reader_of(&spec, file(&path), Some(&store), limits);
                assert_eq!(outcome(&*keeping, reverse).unwrap(), expected, "{context}");
                let [taken] = &keeping.read_deliveries().unwrap()[..] else {
                    panic!("one file");
                };
                check_taken(taken, &bytes, &text);

                let from = Content::Kept(taken.parts.clone());
                for block_bytes in [1, 60] {
                    let limits = Limits {
                        block_bytes,
                        ..LIMITS
                    };
                    let kept = delivery(&path, from.clone());
                    let again = reader_of(&spec, kept, Some(&store), limits);
                    assert_eq!(outcome(&*again, false).unwrap(), expected, "{context}");
                    assert!(again.read_deliveries().unwrap().is_empty());
                }
            }
        }
    }
    let names = fs::read_dir(root.path().join("store")).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    // The empty one is not stored.
    assert_eq!(names.len(), texts().len() - 1, "{names:?}");
}

fn check_taken(taken: &ReadDelivery, stored: &[u8], text: &[u8]) {
    assert!(taken.settled && taken.delivery == 0);
    assert_eq!(taken.bytes, stored.len() as u64);
    assert_eq!(taken.hash, hash(stored));
    check_part(taken, text);
}

fn check_part(taken: &ReadDelivery, text: &[u8]) {
    let [part] = &taken.parts[..] else {
        return assert!(text.is_empty() && taken.parts.is_empty());
    };
    assert_eq!(part.hash, hash(text));
    assert_eq!(part.bytes, text.len() as u64);
    assert_eq!(part.lines, memchr_iter(b'\n', text).count() as u64);
}

#[test]
fn stored_bytes_sum_up() {
    let root = tempfile::tempdir().unwrap();
    let store = Arc::new(ContentStore::open(root.path()).unwrap());
    let path = root.path().join("f.csv");
    fs::write(&path, TEXT).unwrap();
    let reader = reader_of(
        &spec_of(Format::Csv, &[]),
        file(&path),
        Some(&store),
        LIMITS,
    );
    drain(&*reader).unwrap();
    let part = reader.read_deliveries().unwrap()[0].parts[0].clone();
    for block_bytes in [1, 9, 60] {
        let limits = Limits {
            block_bytes,
            ..LIMITS
        };
        let kept = delivery(&path, Content::Kept(vec![part.clone()]));
        let kept = reader_of(&spec_of(Format::Csv, &[]), kept, Some(&store), limits);
        assert_eq!(
            drain(&*kept).unwrap(),
            (
                expected().iter().map(ToString::to_string).collect(),
                part.stored_bytes
            )
        );
    }
}

/// A content store with one text, the path of its stored file, and its part.
fn keep(root: &Path, text: &[u8]) -> (Arc<ContentStore>, std::path::PathBuf, KeptPart) {
    let store = Arc::new(ContentStore::open(root.join("store")).unwrap());
    let path = root.join("f.csv");
    fs::write(&path, text).unwrap();
    let spec = spec_of(Format::Csv, &[]);
    let reader = reader_of(&spec, file(&path), Some(&store), LIMITS);
    outcome(&*reader, false).unwrap();
    let part = reader.read_deliveries().unwrap()[0].parts[0].clone();
    let kept = root.join("store").join(format!("{}.text", part.hash));
    (store, kept, part)
}

fn read_again(store: Option<&Arc<ContentStore>>, part: &KeptPart) -> Result<Outcome, SourceError> {
    let kept = delivery(Path::new("f.csv"), Content::Kept(vec![part.clone()]));
    outcome(
        &*reader_of(&spec_of(Format::Csv, &[]), kept, store, LIMITS),
        false,
    )
}

#[test]
fn damage_to_what_was_kept_is_told() {
    let root = tempfile::tempdir().unwrap();
    let text = format!("a,b\n{}", "1,some text\n".repeat(300));
    let (store, path, part) = keep(root.path(), text.as_bytes());
    let whole = fs::read(&path).unwrap();
    let expected = read_again(Some(&store), &part).unwrap();
    let mut told_of = 0;
    let mut told = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        // A bit of a frame's header may have no meaning.
        let message = match read_again(Some(&store), &part) {
            Ok(outcome) => return assert_eq!(outcome, expected),
            Err(error) => error.to_string(),
        };
        told_of += 1;
        assert!(message.starts_with("f.csv: its stored copy, "), "{message}");
        assert!(
            message.contains(&part.hash) && message.contains("deliver the file again"),
            "{message}"
        );
    };
    for at in 0..whole.len() {
        told(&whole[..at]);
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        told(&flipped);
    }
    told(&[&whole[..], b"x"].concat());
    told(&[&whole[..], &whole[..]].concat());
    assert!(told_of > whole.len() * 2 * 9 / 10, "{told_of}");
    fs::remove_file(&path).unwrap();
    let message = read_again(Some(&store), &part).unwrap_err().to_string();
    assert!(message.contains("is missing"), "{message}");
    let message = read_again(None, &part).unwrap_err().to_string();
    assert!(
        message.contains("to be read from the content store"),
        "{message}"
    );

    // After another delivery the stored content is complete again.
    fs::write(&path, &whole[..5]).unwrap();
    keep(root.path(), text.as_bytes());
    assert_eq!(read_again(Some(&store), &part).unwrap().rows.len(), 300);
}

#[test]
fn what_was_not_decoded_is_not_kept() {
    let root = tempfile::tempdir().unwrap();
    let store = Arc::new(ContentStore::open(root.path().join("store")).unwrap());
    let path = root.path().join("f.csv");
    fs::write(&path, "a,b\n1,2\n3,4\n5,6\n").unwrap();
    let limits = Limits {
        block_bytes: 4,
        record_bytes: 60,
    };
    let reader = reader_of(
        &spec_of(Format::Csv, &[]),
        file(&path),
        Some(&store),
        limits,
    );
    let mut pieces = 0;
    while let Some(dealt) = reader.next_piece().unwrap() {
        pieces += 1;
        if pieces > 1 {
            assert_eq!(dealt.piece.count(), 1);
        }
    }
    assert_eq!(pieces, 3);
    let message = reader.read_deliveries().unwrap_err().to_string();
    assert!(message.contains("was not read to its end"), "{message}");
    drop(reader);
    assert_eq!(fs::read_dir(root.path().join("store")).unwrap().count(), 0);
}

#[test]
fn workers_keep_what_they_decode_in_order() {
    let root = tempfile::tempdir().unwrap();
    let store = Arc::new(ContentStore::open(root.path().join("store")).unwrap());
    let rows = (0..20_000).map(|row| format!("{row},{}\n", "x".repeat(row % 30)));
    let text = format!("a,b\n{}", rows.collect::<String>());
    let deliveries: Vec<_> = ["f.csv", "g.csv"]
        .map(|name| root.path().join(name))
        .iter()
        .map(|path| {
            fs::write(path, &text).unwrap();
            file(path)
        })
        .collect();
    let spec = spec_of(Format::Csv, &[]);
    let limits = Limits {
        block_bytes: 500,
        record_bytes: 500,
    };
    let format = Csv::new(&spec).unwrap();
    let store_given = Some(Arc::clone(&store));
    let reader = TextReader::new(
        &spec,
        deliveries,
        local(),
        store_given,
        Rules::default(),
        format,
    );
    let reader = reader.unwrap().with_limits(limits);
    let read = || -> usize {
        let decoded = iter::from_fn(|| reader.next_piece().unwrap()).flat_map(|dealt| dealt.piece);
        decoded
            .map(|decoded| decoded.unwrap().batch.num_rows())
            .sum()
    };
    let rows: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(read)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .sum()
    });
    assert_eq!(rows, 40_000);
    let taken = reader.read_deliveries().unwrap();
    assert_eq!(
        taken.iter().map(|taken| taken.delivery).collect::<Vec<_>>(),
        [0, 1]
    );
    for taken in taken {
        check_part(&taken, text.as_bytes());
        let part = taken.parts[0].clone();
        let mut kept = KeptText::new(Arc::clone(&store), "f".into(), vec![part]);
        let mut read = Vec::new();
        while kept.fill(&mut read, 1000).unwrap() {}
        assert_eq!(read, text.as_bytes());
    }
}

#[test]
fn a_file_that_vanishes_before_it_is_opened_is_named() {
    let root = tempfile::tempdir().unwrap();
    let store = Arc::new(ContentStore::open(root.path().join("store")).unwrap());
    let path = root.path().join("f.csv");
    fs::write(&path, "a,b\n1,2\n").unwrap();
    let listed = crate::list(
        &LocalStorage,
        path.to_str().unwrap(),
        Subdirectories::PassOver,
    )
    .unwrap();
    let deliveries: Vec<Delivery> = listed.into_iter().map(Into::into).collect();
    let reader = crate::open(
        &FileSource::local(),
        &spec_of(Format::Csv, &[]),
        deliveries,
        Some(&store),
    )
    .unwrap();
    assert_eq!(reader.bytes_total(), 8);
    fs::remove_file(&path).unwrap();
    for _ in 0..2 {
        let message = reader.next_piece().err().unwrap().to_string();
        assert!(
            message.starts_with("cannot open ") && message.contains("f.csv: "),
            "{message}"
        );
    }
    assert_eq!(fs::read_dir(root.path().join("store")).unwrap().count(), 0);
}
