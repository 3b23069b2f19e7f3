#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::Command;

use super::*;

fn store() -> (tempfile::TempDir, Arc<ContentStore>) {
    let root = tempfile::tempdir().unwrap();
    let store = ContentStore::open(root.path().join("state/kept")).unwrap();
    (root, Arc::new(store))
}

fn names(store: &ContentStore) -> BTreeSet<String> {
    let entries = fs::read_dir(&store.directory).unwrap();
    let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    entries.map(name).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn what_is_not_referenced_goes() {
    let (_root, store) = store();
    for name in [
        "a.text",
        "a.parquet",
        "b.text",
        "c.parquet",
        "7.tmp",
        "notes.txt",
    ] {
        fs::write(store.directory.join(name), name).unwrap();
    }
    assert_eq!(store.remove_unreferenced(&set(&["a", "none"])).unwrap(), 3);
    assert_eq!(names(&store), set(&["a.text", "a.parquet", "notes.txt"]));
    assert_eq!(store.remove_unreferenced(&set(&[])).unwrap(), 2);
    assert_eq!(names(&store), set(&["notes.txt"]));
    fs::remove_dir_all(&store.directory).unwrap();
    let message = store
        .remove_unreferenced(&set(&[]))
        .unwrap_err()
        .to_string();
    assert!(message.starts_with("cannot list "), "{message}");
}

#[test]
fn what_is_to_be_durable_must_be_there() {
    let (_root, store) = store();
    for name in ["a.text", "b.parquet", "c.text", "c.parquet"] {
        fs::write(store.directory.join(name), name).unwrap();
    }
    store.sync(["a", "b", "c"]).unwrap();
    store.sync([]).unwrap();
    store.sync(["a"; 100]).unwrap();
    let message = store
        .sync([["a"; 100], ["none"; 100]].concat())
        .unwrap_err()
        .to_string();
    assert!(message.contains("none.text"), "{message}");
    let message = store.sync(["a", "none"]).unwrap_err().to_string();
    assert!(
        message.starts_with("cannot sync ") && message.contains("none.text"),
        "{message}"
    );
}

#[test]
fn a_file_gets_its_name_when_it_is_whole() {
    let (_root, store) = store();
    fs::write(store.directory.join("0.tmp"), "left by another run").unwrap();
    let mut file = store.begin().unwrap();
    file.write(b"some").unwrap();
    assert_eq!(file.bytes(), 4);
    assert_eq!(names(&store), set(&["0.tmp", "1.tmp"]));
    file.name_text("hash").unwrap();
    assert_eq!(names(&store), set(&["0.tmp", "hash.text"]));
    // The same content again.
    let mut file = store.begin().unwrap();
    file.write(b"same").unwrap();
    file.name_text("hash").unwrap();
    assert_eq!(names(&store), set(&["0.tmp", "hash.text"]));
    drop(store.begin().unwrap());
    assert_eq!(names(&store), set(&["0.tmp", "hash.text"]));
}

#[test]
fn files_are_copied_and_checked() {
    let (root, store) = store();
    let path = root.path().join("f");
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    fs::write(&path, &content).unwrap();
    let copied = store.copy(&LocalStorage, &path).unwrap();
    let kept = store.path(&copied.part.hash, WHOLE);
    assert_eq!(fs::read(&kept).unwrap(), content);
    assert!(copied.settled);
    assert_eq!(copied.part.hash, blake3::hash(&content).to_hex().as_str());
    let name: Arc<str> = "f".into();
    for file in [store.whole(&name, &copied.part).unwrap(), copied.file] {
        let mut read = Vec::new();
        file.read_range(0, content.len() + 1, &mut read).unwrap();
        assert!(read == content);
    }
    let mut flipped = content.clone();
    flipped[2_000_000] ^= 1;
    let longer = [&content[..], b"x"].concat();
    for damaged in [&flipped[..], &content[1..], &longer, b""] {
        fs::write(&kept, damaged).unwrap();
        let message = store.whole(&name, &copied.part).unwrap_err().to_string();
        assert!(
            message.starts_with("f: its stored copy, ") && message.contains("is damaged"),
            "{message}"
        );
    }
    fs::remove_file(&kept).unwrap();
    let message = store.whole(&name, &copied.part).unwrap_err().to_string();
    assert!(
        message.contains("is missing; deliver the file again"),
        "{message}"
    );
    let message = store
        .copy(&LocalStorage, &root.path().join("none"))
        .err()
        .unwrap()
        .to_string();
    assert!(message.starts_with("cannot open "), "{message}");
}

/// Tests a small threshold and the one of a release.
#[test]
fn large_files_are_brought_to_the_disk_early() {
    for (bytes, is_early) in [(7, true), (8, false), (EARLY_BYTES_MIN, false)] {
        let root = tempfile::tempdir().unwrap();
        let store = ContentStore::open(root.path().join("kept")).unwrap();
        let store = Arc::new(store.syncing_early_from(bytes));
        let path = root.path().join("f");
        fs::write(&path, "content").unwrap();
        let kept = store.copy(&LocalStorage, &path).unwrap();
        assert_eq!(store.early.lock().unwrap().is_some(), is_early, "{bytes}");
        store.sync([kept.part.hash.as_str()]).unwrap();
        assert!(store.early.lock().unwrap().is_none());
    }
}

#[test]
fn no_content_store_where_there_is_a_file() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("f"), "").unwrap();
    let message = ContentStore::open(root.path().join("f"))
        .err()
        .unwrap()
        .to_string();
    assert!(message.starts_with("cannot create "), "{message}");
}

/// Runs this test again in a process with a fault, since a process reads its faults once.
#[test]
fn faults_of_the_disk_are_told_and_leave_nothing() {
    const NAME: &str = "content_store::tests::faults_of_the_disk_are_told_and_leave_nothing";
    if std::env::var_os("TIDEWATER_INJECT").is_some() {
        let (root, store) = store();
        let path = root.path().join("f");
        fs::write(&path, "content").unwrap();
        let message = match store.copy(&LocalStorage, &path).and_then(|kept| {
            store.copy(&LocalStorage, &path)?;
            store.sync([kept.part.hash.as_str()])
        }) {
            Ok(()) => panic!("no error"),
            Err(error) => error.to_string(),
        };
        println!("told: {message}");
        assert!(names(&store).iter().all(|name| !name.contains(".tmp")));
        return;
    }
    let cases = [
        ("fail:create:2:EIO", "cannot write ", "Input/output error"),
        (
            "fail:write:1:ENOSPC",
            "cannot write ",
            "No space left on device",
        ),
        (
            "fail:write:1:SHORT",
            "cannot write ",
            "No space left on device",
        ),
        ("fail:rename:1:EIO", "cannot rename ", "Input/output error"),
        (
            "fail:sync:2:ENOSPC",
            "cannot sync ",
            "No space left on device",
        ),
        ("fail:sync:4:EIO", "cannot sync ", "Input/output error"),
    ];
    for (fault, what, why) in cases {
        let again = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env("TIDEWATER_INJECT", fault)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&again.stdout).into_owned();
        assert!(again.status.success(), "{fault}: {told}");
        assert!(
            told.contains(&format!("told: {what}")) && told.contains(why),
            "{fault}: {told}"
        );
    }
}
