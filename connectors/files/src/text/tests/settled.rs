//! Files that are written to while they are read.

use std::fs::{File, FileTimes, OpenOptions};
use std::time::{Duration, SystemTime};

use super::*;

const LIMITS: Limits = Limits {
    block_bytes: 8,
    record_bytes: 60,
};

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn touch(path: &Path) {
    let later = SystemTime::now() + Duration::from_secs(5);
    let file = File::options().write(true).open(path).unwrap();
    file.set_times(FileTimes::new().set_modified(later))
        .unwrap();
}

#[test]
fn what_changes_while_it_is_read_is_not_settled() {
    let root = tempfile::tempdir().unwrap();
    let store = Arc::new(ContentStore::open(root.path().join("store")).unwrap());
    let path = root.path().join("f.csv");
    let away = root.path().join("away.csv");
    let cases: [(&str, &dyn Fn(), bool); 5] = [
        ("nothing", &|| (), true),
        ("appended", &|| append(&path, "7,8\n"), false),
        (
            "cut",
            &|| {
                File::options()
                    .write(true)
                    .open(&path)
                    .unwrap()
                    .set_len(12)
                    .unwrap();
            },
            false,
        ),
        ("touched", &|| touch(&path), false),
        ("removed", &|| fs::rename(&path, &away).unwrap(), true),
    ];
    for (what, meanwhile, settled) in cases {
        for store in [None, Some(&store)] {
            fs::write(&path, "a,b\n1,2\n3,4\n5,6\n").unwrap();
            let spec = spec_of(Format::Csv, &[]);
            let reader = reader_of(&spec, file(&path), store, LIMITS);
            let first = reader.next_piece().unwrap().unwrap();
            meanwhile();
            let mut read: Vec<_> = first.piece.map(Result::unwrap).collect();
            while let Some(dealt) = reader.next_piece().unwrap() {
                read.extend(dealt.piece.map(Result::unwrap));
            }
            let taken = reader.read_deliveries().unwrap().remove(0);
            assert_eq!(taken.settled, settled, "{what}");
            if store.is_some() {
                // The rows that were inserted can be retracted.
                let kept = delivery(&path, Content::Kept(taken.parts));
                let again = reader_of(&spec, kept, store, LIMITS);
                let rows: usize = read.iter().map(|decoded| decoded.batch.num_rows()).sum();
                assert_eq!(outcome(&*again, false).unwrap().rows.len(), rows, "{what}");
            }
        }
    }
}

#[test]
fn what_is_appended_to_is_always_settled_as_far_as_it_was_read() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("f.csv");
    fs::write(&path, "a,b\n1,2\n3,4\n5,6\n").unwrap();
    let spec = spec_of(Format::Csv, &[("on_change", "append")]);
    let reader = reader_of(&spec, file(&path), None, LIMITS);
    let first = reader.next_piece().unwrap().unwrap();
    append(&path, "7,8\n9,");
    assert_eq!(first.piece.count(), 1);
    assert_eq!(outcome(&*reader, false).unwrap().rows.len(), 2);
    let taken = reader.read_deliveries().unwrap().remove(0);
    assert!(taken.settled);
    assert_eq!(taken.bytes, 20);
}
