#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, FileTimes};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::storage::memory::MemoryStorage;
use crate::storage::{FileStamp, LocalStorage};
use crate::{Subdirectories, list_or_empty};

/// The files of a test: name, content and time.
type Files = BTreeMap<String, (String, u64)>;

/// A directory with the files of a test, on disk or in memory.
enum Place {
    Local(tempfile::TempDir),
    Memory(MemoryStorage),
}

impl Place {
    fn new() -> Self {
        Self::Local(tempfile::tempdir().unwrap())
    }

    fn both() -> [Self; 2] {
        [Self::new(), Self::Memory(MemoryStorage::default())]
    }

    fn storage(&self) -> &dyn Storage {
        match self {
            Self::Local(_) => &LocalStorage,
            Self::Memory(storage) => storage,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        match self {
            Self::Local(root) => root.path().join(name),
            Self::Memory(_) => Path::new("root").join(name),
        }
    }

    fn put(&self, files: &Files) -> Vec<ListedFile> {
        let location = self.path("").to_str().unwrap().to_owned();
        for old in list_or_empty(self.storage(), &location, Subdirectories::PassOver).unwrap() {
            match self {
                Self::Local(_) => fs::remove_file(old.path).unwrap(),
                Self::Memory(storage) => storage.remove(&old.path),
            }
        }
        for (name, (content, time)) in files {
            let path = self.path(name);
            match self {
                Self::Local(_) => write_local(&path, content, *time),
                Self::Memory(storage) => {
                    storage.put(path, content.as_bytes(), nanoseconds(*time));
                }
            }
        }
        list_or_empty(self.storage(), &location, Subdirectories::PassOver).unwrap()
    }

    fn compare(
        &self,
        listed: Vec<ListedFile>,
        known: Vec<Position>,
        on_change: OnChange,
    ) -> Result<Vec<Change>, SourceError> {
        let rules = CompareRules {
            on_change,
            rehash: false,
        };
        compare(self.storage(), "sales", listed, known, rules)
    }

    /// The position of a file that was read whole. Its version equals no existing one.
    fn position(&self, name: &str, content: &str, time: u64) -> Position {
        Position {
            path: self.path(name).to_str().unwrap().to_owned(),
            bytes: content.len() as u64,
            modified_ns: nanoseconds(time),
            version: Some("old".to_owned()),
            hash: blake3::hash(content.as_bytes()).to_hex().to_string(),
            parts: Vec::new(),
            rows: 1,
            rejected: 0,
            set_aside: None,
        }
    }

    fn positions(&self, files: &Files) -> Vec<Position> {
        let files = files.iter();
        files
            .map(|(name, (content, time))| self.position(name, content, *time))
            .collect()
    }
}

fn write_local(path: &Path, content: &str, time: u64) {
    fs::write(path, content).unwrap();
    let modified = UNIX_EPOCH + Duration::from_secs(time);
    let file = File::options().write(true).open(path).unwrap();
    file.set_times(FileTimes::new().set_modified(modified))
        .unwrap();
}

fn nanoseconds(seconds: u64) -> i64 {
    i64::try_from(seconds * 1_000_000_000).unwrap()
}

fn files(files: &[(&str, &str, u64)]) -> Files {
    let files = files.iter();
    files
        .map(|(name, content, time)| ((*name).to_owned(), ((*content).to_owned(), *time)))
        .collect()
}

/// A change as text: `Renamed b <- a`.
fn told(change: &Change) -> String {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let (what, old) = match change {
        Change::New(_) => ("New", None),
        Change::Unchanged(_) => ("Unchanged", None),
        Change::Touched { .. } => ("Touched", None),
        Change::Replaced { .. } => ("Replaced", None),
        Change::Appended { .. } => ("Appended", None),
        Change::Renamed { old, .. } => ("Renamed", Some(name(Path::new(&old.path)))),
        Change::Withdrawn(_) => ("Withdrawn", None),
    };
    let old = old.map_or_else(String::new, |old| format!(" <- {old}"));
    format!("{what} {}{old}", name(change.path()))
}

#[test]
fn each_change_is_told() {
    let before = files(&[
        ("a", "same", 1),
        ("b", "touched", 1),
        ("c", "replaced", 1),
        ("d", "as long", 1),
        ("e", "renamed", 1),
        ("f", "twins", 1),
        ("g", "twins", 1),
        ("h", "gone", 1),
        ("i", "", 1),
        ("j", "moved on", 1),
        ("l", "stamped 1", 1),
    ]);
    let after = files(&[
        ("a", "same", 1),
        ("b", "touched", 2),
        ("c", "replaced by more", 2),
        ("d", "so long", 2),
        ("e2", "renamed", 2),
        ("f2", "twins", 2),
        ("g2", "twins", 2),
        ("g3", "twins", 2),
        ("h2", "else", 2),
        ("i", "", 2),
        ("j", "renamed over", 1),
        ("k", "moved on", 1),
        ("l", "stamped 2", 1),
    ]);
    let expected = [
        "Unchanged a",
        "Touched b",
        "Replaced c",
        "Replaced d",
        "Renamed e2 <- e",
        "Renamed f2 <- f",
        "Renamed g2 <- g",
        "New g3",
        "Withdrawn h",
        "New h2",
        "Touched i",
        "Replaced j",
        "New k",
        "Replaced l",
    ];
    for place in Place::both() {
        let listed = place.put(&after);
        let mut known = place.positions(&before);
        known.reverse();
        let changes = place.compare(listed, known, OnChange::Replace).unwrap();
        assert_eq!(changes.iter().map(told).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn content_decides_where_only_the_version_differs() {
    let is = |content: &str| files(&[("f", content, 1)]);
    for place in Place::both() {
        for (rehash, old_version, content, expected) in [
            (false, "other", "same", "Unchanged f"),
            (false, "other", "diff", "Replaced f"),
            (true, "other", "diff", "Replaced f"),
            // Nothing shows the change.
            (false, "present", "diff", "Unchanged f"),
            (true, "present", "diff", "Replaced f"),
            (true, "present", "same", "Unchanged f"),
            // A position of an earlier Tidewater.
            (false, "none", "diff", "Unchanged f"),
            (true, "none", "diff", "Replaced f"),
            (true, "none", "same", "Unchanged f"),
        ] {
            let listed = place.put(&is(content));
            let present = listed[0].stamp.version.clone();
            let version = match old_version {
                "other" => Some("other".to_owned()),
                "present" => present.clone(),
                _ => None,
            };
            let known = Position {
                version,
                ..place.position("f", "same", 1)
            };
            let rules = CompareRules {
                rehash,
                ..CompareRules::default()
            };
            let changes = compare(place.storage(), "s", listed, vec![known], rules).unwrap();
            let context = format!("{old_version}, {content}, rehash {rehash}");
            assert_eq!(told(&changes[0]), expected, "{context}");
            // The next run does not need to read it again.
            if let Change::Unchanged(position) = &changes[0] {
                assert_eq!(position.version, present, "{context}");
            }
        }
    }
}

#[test]
fn each_way_of_writing_the_same_size_and_time_gives_another_version() {
    let place = Place::new();
    let before = place.put(&files(&[("f", "one", 1)])).remove(0);
    let path = place.path("f");
    let aside = place.path("aside");
    let ways: [(&str, &dyn Fn()); 3] = [
        ("in place", &|| write_local(&path, "two", 1)),
        ("another file moved over it", &|| {
            write_local(&aside, "two", 1);
            fs::rename(&aside, &path).unwrap();
        }),
        ("removed and created again", &|| {
            fs::remove_file(&path).unwrap();
            write_local(&path, "two", 1);
        }),
    ];
    for (way, write) in ways {
        // The file system's clock ticks in milliseconds.
        std::thread::sleep(Duration::from_millis(20));
        write();
        let location = path.to_str().unwrap();
        let after = list_or_empty(&LocalStorage, location, Subdirectories::PassOver)
            .unwrap()
            .remove(0);
        assert!(after.stamp.looks_like(&before.stamp), "{way}");
        assert_ne!(after.stamp.version, before.stamp.version, "{way}");
    }
}

#[test]
fn positions_of_an_earlier_tidewater_are_read() {
    let json =
        r#"{"path":"f","bytes":4,"modified_ns":1,"hash":"x","parts":[],"rows":1,"rejected":0}"#;
    let position: Position = serde_json::from_str(json).unwrap();
    assert_eq!(position.version, None);
    assert_eq!(serde_json::to_string(&position).unwrap(), json);
}

#[test]
fn what_on_change_does_not_allow_is_an_error() {
    let place = Place::new();
    let known = || vec![place.position("f", "1\n2\n", 1)];
    let run = |content: &str, on_change| {
        let listed = place.put(&files(&[("f", content, 2)]));
        let changes = place.compare(listed, known(), on_change);
        changes
            .map(|changes| told(&changes[0]))
            .map_err(|error| error.to_string())
    };
    assert_eq!(run("1\n2\n", OnChange::Append).unwrap(), "Touched f");
    assert_eq!(run("1\n2\n3", OnChange::Append).unwrap(), "Appended f");
    assert_eq!(run("1\n2\n", OnChange::Fail).unwrap(), "Touched f");
    let cases = [
        (
            "1\n2",
            OnChange::Append,
            "f: is shorter than the 4 bytes that were read before: it has 3; with on_change 'append'",
        ),
        ("", OnChange::Append, "f: is shorter than the 4 bytes"),
        (
            "1\n3\n",
            OnChange::Append,
            "f: differs within the first 4 bytes, which were read before; with",
        ),
        (
            "2\n2\n3\n",
            OnChange::Append,
            "restore it, or declare 'replace'",
        ),
        (
            "1\n3\n",
            OnChange::Fail,
            "f: has changed since it was read (4 bytes then, now 4), and source 'sales'",
        ),
        (
            "1\n2\n3\n",
            OnChange::Fail,
            "on_change 'fail'; restore the file, or declare 'replace'",
        ),
    ];
    for (content, on_change, expected) in cases {
        let message = run(content, on_change).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
    // A removed file did not change.
    let changes = place.compare(Vec::new(), known(), OnChange::Fail).unwrap();
    assert_eq!(told(&changes[0]), "Withdrawn f");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let place = Place::new();
    let listed = place.put(&files(&[("f", "text", 2)]));
    let known = || vec![place.position("f", "test", 1)];
    let path = place.path("f");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // The superuser can read everything.
    if File::open(&path).is_err() {
        let message = place
            .compare(listed.clone(), known(), OnChange::Replace)
            .unwrap_err()
            .to_string();
        assert!(
            message.starts_with("cannot open ") && message.contains("/f: "),
            "{message}"
        );
    }
    fs::remove_file(&path).unwrap();
    let message = place
        .compare(listed, known(), OnChange::Replace)
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("cannot open ") && message.contains("/f: "),
        "{message}"
    );

    let odd = OsString::from_vec(b"\xff".to_vec());
    let odd = ListedFile {
        path: PathBuf::from(odd),
        stamp: FileStamp::default(),
    };
    let message = place
        .compare(vec![odd], Vec::new(), OnChange::Replace)
        .unwrap_err()
        .to_string();
    assert!(message.contains("not UTF-8"), "{message}");
}

#[test]
fn thousands_of_files_are_compared_quickly() {
    let names = 0..20_000;
    let listed = names.clone().map(|n| ListedFile {
        path: Path::new("none").join(format!("{n}.new")),
        stamp: FileStamp {
            bytes: 2 * n + 1,
            modified_ns: 1,
            version: None,
        },
    });
    let known = names.map(|n| Position {
        path: format!("none/{n}.old"),
        bytes: 2 * n,
        modified_ns: 1,
        version: None,
        hash: String::new(),
        parts: Vec::new(),
        rows: 0,
        rejected: 0,
        set_aside: None,
    });
    // The files do not exist. No file is read unless its size is that of a removed path.
    let place = Place::new();
    let changes = place.compare(listed.collect(), known.collect(), OnChange::Replace);
    assert_eq!(changes.unwrap().len(), 40_000);
}

/// Checks changes against the files themselves.
fn check(
    change: &Change,
    before: &Files,
    after: &Files,
    on_change: OnChange,
) -> (Option<String>, Option<String>) {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let (old, new) = match change {
        Change::New(new) => (None, Some(new.path.clone())),
        Change::Unchanged(old) => (Some(old), Some(PathBuf::from(&old.path))),
        Change::Touched { old, new }
        | Change::Replaced { old, new }
        | Change::Appended { old, new }
        | Change::Renamed { old, new } => (Some(old), Some(new.path.clone())),
        Change::Withdrawn(old) => (Some(old), None),
    };
    let old = old.map(|old| name(Path::new(&old.path)));
    let new = new.map(|new| name(&new));
    let was = old.as_ref().map(|old| &before[old]);
    let is = new.as_ref().map(|new| &after[new]);
    match (change, was, is) {
        (Change::New(_), None, Some(_)) => assert!(!before.contains_key(new.as_ref().unwrap())),
        (Change::Withdrawn(_), Some(_), None) => {
            assert!(!after.contains_key(old.as_ref().unwrap()));
        }
        (Change::Unchanged(_), Some(was), Some(is)) => {
            assert_eq!(was, is);
        }
        (Change::Touched { .. }, Some(was), Some(is)) => {
            assert!(old == new && was.0 == is.0 && was.1 != is.1);
        }
        (Change::Replaced { .. }, Some(was), Some(is)) => {
            assert!(old == new && was.0 != is.0 && on_change == OnChange::Replace);
        }
        (Change::Appended { .. }, Some(was), Some(is)) => {
            assert!(old == new && is.0.starts_with(&was.0) && on_change == OnChange::Append);
        }
        (Change::Renamed { .. }, Some(was), Some(is)) => {
            assert!(was.0 == is.0 && !after.contains_key(old.as_ref().unwrap()));
        }
        _ => panic!("{change:?}"),
    }
    (old, new)
}

#[test]
fn random_files() {
    let seed = std::env::var("TIDEWATER_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(11);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let places = Place::both();
    let contents = ["", "a", "b", "ab", "abc", "abd"];
    for round in 0..400 {
        let draw = |random: &mut ChaCha8Rng| -> Files {
            let mut drawn = Files::new();
            for name in ["f", "g", "h", "i"] {
                if random.random_range(0..3) > 0 {
                    let content = contents[random.random_range(0..contents.len())];
                    drawn.insert(
                        name.to_owned(),
                        (content.to_owned(), random.random_range(1..3)),
                    );
                }
            }
            drawn
        };
        let (before, after) = (draw(&mut random), draw(&mut random));
        let context = format!("seed {seed}, round {round}: {before:?} then {after:?}");
        let place = &places[round % places.len()];
        let listed = place.put(&after);
        for on_change in [OnChange::Replace, OnChange::Append, OnChange::Fail] {
            let mut known = place.positions(&before);
            known.shuffle(&mut random);
            let mut shuffled = listed.clone();
            shuffled.shuffle(&mut random);
            let changed = before.iter().filter_map(|(name, was)| {
                let is = after.get(name)?;
                (was.0 != is.0).then_some((was, is))
            });
            let allowed = changed.into_iter().all(|(was, is)| match on_change {
                OnChange::Replace => true,
                OnChange::Append => is.0.starts_with(&was.0),
                OnChange::Fail => false,
            });
            let changes = match place.compare(shuffled, known, on_change) {
                Ok(changes) => changes,
                Err(error) => {
                    assert!(!allowed, "{context}: {error}");
                    continue;
                }
            };
            assert!(allowed, "{context}: {changes:?}");
            assert!(changes.is_sorted_by_key(Change::path), "{context}");
            let sides: Vec<_> = changes
                .iter()
                .map(|change| check(change, &before, &after, on_change))
                .collect();
            let old: BTreeSet<_> = sides.iter().filter_map(|(old, _)| old.clone()).collect();
            let new: BTreeSet<_> = sides.iter().filter_map(|(_, new)| new.clone()).collect();
            assert_eq!(old, before.keys().cloned().collect(), "{context}");
            assert_eq!(new, after.keys().cloned().collect(), "{context}");
            assert_eq!(
                sides.iter().filter(|(old, _)| old.is_some()).count(),
                old.len(),
                "{context}"
            );
            assert_eq!(
                sides.iter().filter(|(_, new)| new.is_some()).count(),
                new.len(),
                "{context}"
            );
            check_renames(place.storage(), &changes, &context);
        }
    }
}

/// Checks that no new file has the content of a withdrawn one.
fn check_renames(storage: &dyn Storage, changes: &[Change], context: &str) {
    let withdrawn: BTreeSet<_> = changes
        .iter()
        .filter_map(|change| match change {
            Change::Withdrawn(old) => Some(old.hash.clone()),
            _ => None,
        })
        .collect();
    for change in changes {
        if let Change::New(new) = change {
            assert!(
                !withdrawn.contains(&hash_of(storage, new, new.stamp.bytes).unwrap()),
                "{context}"
            );
        }
    }
}
