//! Missing or changed published files: each run finds them, says so, and repairs them without `--rebuild`, whether or
//! not it has anything else to do.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;
use tidewater_engine::state::directory::{Directory, LockWait};
use tidewater_engine::state::{PARTITIONS, Store};
use tidewater_tests::binary::snapshot;
use tidewater_tests::ledger::{self, SECOND};
use tidewater_tests::maintained::Maintained;

/// A file of each kind of table, in the state's or the published directory.
const FILES: [&str; 4] = [
    "out/entries/day=2024-01-01/part-00000.parquet",
    "out/sums/part-00000.csv",
    "out/regions/region=north/part-00000.jsonl",
    "state/tables/_quarantine/part-00000.parquet",
];

type Damage = fn(&Path);

const DAMAGES: [(Damage, &str); 6] = [
    (|path| fs::remove_file(path).unwrap(), "is missing"),
    (flip, "has other bytes than were published"),
    (replace, "has other bytes than were published"),
    (
        |path| fs::write(path, "").unwrap(),
        "has other bytes than were published",
    ),
    (
        |path| fs::remove_dir_all(path.parent().unwrap()).unwrap(),
        "is missing",
    ),
    (
        |path| fs::remove_dir_all(table_of(path)).unwrap(),
        "is missing",
    ),
];

fn table_of(path: &Path) -> &Path {
    let mut above = path.ancestors().skip(1);
    above
        .find(|path| !path.to_string_lossy().contains('='))
        .unwrap()
}

/// Other bytes, of the same size.
fn flipped(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    bytes
}

fn flip(path: &Path) {
    fs::write(path, flipped(path)).unwrap();
}

/// Another file of the same size and time.
fn replace(path: &Path) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let other = path.with_extension("other");
    fs::write(&other, flipped(path)).unwrap();
    let file = fs::File::options().write(true).open(&other).unwrap();
    file.set_modified(modified).unwrap();
    fs::rename(other, path).unwrap();
}

#[track_caller]
fn does_nothing(place: &Maintained) {
    let (tables, epoch) = (
        place.footprint(),
        place.state()["records"][0][""]["epoch"].clone(),
    );
    let ran = place.commits(&[]);
    assert!(
        ran.stdout.contains("the tables are up to date"),
        "{}",
        ran.stdout
    );
    assert_eq!(place.footprint(), tables);
    assert_eq!(place.state()["records"][0][""]["epoch"], epoch);
}

#[test]
fn damaged_tables_are_mended() {
    for file in FILES {
        for (damage, words) in DAMAGES {
            for has_news in [false, true] {
                let place = ledger::committed();
                let before = place.footprint();
                damage(&place.path(file));
                if has_news {
                    ledger::deliver(&place, SECOND, 60);
                }
                let ran = place.commits(&[]).no_panic();
                let table = file.split('/').nth_back(1).unwrap();
                let _ = ran.says(&[words, if table.contains('=') { "table " } else { table }]);
                place.assert_cold();
                if !has_news {
                    // Other tables are not touched.
                    let kept = |(path, print): (&PathBuf, &(u64, i64))| {
                        let is_other = !Path::new(file)
                            .starts_with(Path::new("out").join(path.iter().next().unwrap()));
                        assert!(
                            !is_other || before.get(path) == Some(print),
                            "{file}: {}",
                            path.display()
                        );
                    };
                    place.footprint().iter().for_each(kept);
                }
                does_nothing(&place);
            }
        }
    }
}

#[test]
fn all_that_was_published_may_be_gone() {
    let place = ledger::committed();
    fs::remove_dir_all(place.path("out")).unwrap();
    let _ = place
        .commits(&[])
        .says(&["entries", "sums", "regions", "is missing"]);
    place.assert_cold();
    does_nothing(&place);
    // Copies in the state are lost together with their tables.
    fs::remove_dir_all(place.path("out")).unwrap();
    fs::remove_dir_all(place.path("state/tables")).unwrap();
    let _ = place.commits(&[]);
    place.assert_cold();
    does_nothing(&place);
}

#[test]
fn a_copy_in_the_state_is_mended_too() {
    for file in [
        "state/tables/sums/part-00000.parquet",
        "state/tables/regions/region=north/part-00000.parquet",
    ] {
        let place = ledger::committed();
        flip(&place.path(file));
        let _ = place.commits(&[]).says(&["rebuilt from the stored inputs"]);
        place.assert_cold();
        does_nothing(&place);
    }
}

#[test]
fn files_that_were_touched_or_copied_stay() {
    let place = ledger::committed();
    for file in FILES {
        let file = fs::File::options()
            .write(true)
            .open(place.path(file))
            .unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
    does_nothing(&place);
    let out = place.path("out");
    for (path, bytes) in snapshot(&out) {
        fs::remove_file(out.join(&path)).unwrap();
        fs::write(out.join(&path), bytes).unwrap();
    }
    does_nothing(&place);
    ledger::deliver(&place, SECOND, 60);
    let _ = place.commits(&[]);
    place.assert_cold();
    does_nothing(&place);
}

#[test]
fn states_that_recorded_no_stamps_go_on() {
    let place = ledger::committed();
    forget_stamps(&place.path("state"));
    does_nothing(&place);
    forget_stamps(&place.path("state"));
    fs::remove_file(place.path(FILES[0])).unwrap();
    let _ = place.commits(&[]).says(&["is missing"]);
    place.assert_cold();
    forget_stamps(&place.path("state"));
    ledger::deliver(&place, SECOND, 60);
    let _ = place.commits(&[]);
    place.assert_cold();
    flip(&place.path("out/sums/part-00000.csv"));
    let _ = place.commits(&[]).says(&["other bytes"]);
    place.assert_cold();
}

/// Turns the records into those of an older version.
fn forget_stamps(state: &Path) {
    let mut directory = Directory::open(state, LockWait::NONE, false).unwrap();
    let store = Store::open(&mut directory).unwrap();
    let records = store
        .read()
        .unwrap()
        .records::<Value>(PARTITIONS, "")
        .unwrap();
    let transaction = store.write().unwrap();
    for (key, mut record) in records {
        for file in record["files"].as_array_mut().unwrap() {
            file.as_object_mut().unwrap().remove("stamp").unwrap();
        }
        transaction.put(PARTITIONS, &key, &record).unwrap();
    }
    transaction.commit().unwrap();
}
