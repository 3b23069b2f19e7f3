#![allow(clippy::unwrap_used)]
//! The store, compared with a plain map over random histories of changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidewater_operators::state::{EntryUpdate, StateVisitor};

use super::directory::{Directory, LockWait};
use super::*;

type Model = BTreeMap<Vec<u8>, (i64, Vec<u8>)>;

fn open(path: &Path) -> (Directory, Store) {
    open_levelled_from(1, path)
}

/// Opens a store whose parts have levels from this many blocks on.
fn open_levelled_from(blocks: u64, path: &Path) -> (Directory, Store) {
    let mut directory = Directory::open(path, LockWait::NONE, false).unwrap();
    let store = Store::open(&mut directory).unwrap();
    let store = store.levelled_from(blocks);
    (directory, store)
}

fn kept(store: &Store) -> Model {
    let snapshot = store.read().unwrap();
    let Some(part) = snapshot.part("p").unwrap() else {
        return Model::new();
    };
    let mut cursor = part.cursor();
    let mut found = Model::new();
    cursor.seek(&[]).unwrap();
    while let Some(entry) = cursor.entry() {
        let (key, value) = (entry.key.to_vec(), (entry.count, entry.payload.to_vec()));
        assert!(found.insert(key, value).is_none());
        cursor.step().unwrap();
    }
    found
}

fn key(random: &mut ChaCha8Rng) -> Vec<u8> {
    let group = random.random_range(0..200_u32);
    let value = random.random_range(0..400_u32);
    format!("group {group:03} ****-****-{value:04}--").into_bytes()
}

/// With levels for small parts, and with the threshold of a release.
#[test]
fn the_store_holds_what_a_map_would() {
    for (seed, blocks) in (0..8).zip([1, 1, LEVELLED_BLOCKS].into_iter().cycle()) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let directory = tempfile::tempdir().unwrap();
        let open = || open_levelled_from(blocks, directory.path());
        let (mut locked, mut store) = open();
        let mut model = Model::new();
        for commit in 0..12 {
            let changes = [1, 30, 900, 20_000][random.random_range(0..4)];
            let shrink = random.random_bool(0.4);
            let mut updates: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
            for _ in 0..changes {
                let key = key(&mut random);
                let there = model.get(&key).map_or(0, |(count, _)| *count);
                updates.insert(
                    key,
                    if shrink {
                        -there
                    } else {
                        random.random_range(1..4)
                    },
                );
            }
            updates.retain(|_, more| *more != 0);
            let transaction = store.write().unwrap();
            let cut = random.random_range(1..200);
            let workers = random.random_range(1..4);
            // Workers have either every few keys, or stretches of them.
            let stretch = [1, 50][random.random_range(0..2)];
            let batches = (0..workers).map(|worker| {
                let all = updates.iter().enumerate();
                let own = all.filter(|(at, _)| at / stretch % workers == worker);
                let own = own.map(|(_, (key, &more))| (key.as_slice(), EntryUpdate::Add(more)));
                let own = own.enumerate().map(|(at, update)| (at % cut == 0, update));
                batches(own).into_iter()
            });
            let mut merge = BatchMerge::new(batches);
            transaction.part("p", |part| merge.write(part)).unwrap();
            for (key, more) in updates {
                let entry = model.entry(key).or_default();
                entry.0 += more;
            }
            model.retain(|_, (count, _)| *count != 0);
            transaction.commit().unwrap();
            match random.random_range(0..10) {
                0..3 => {
                    drop((store, locked));
                    (locked, store) = open();
                }
                3..5 => store.filled(&mut locked).unwrap(),
                _ => {}
            }
            assert!(kept(&store) == model, "seed {seed}, commit {commit}");
            seeks(&store, &model, &mut random, seed);
        }
        store.check().unwrap();
    }
}

/// Updates as a worker sends them; `true` where a run begins.
fn batches<'a>(
    updates: impl Iterator<Item = (bool, (&'a [u8], EntryUpdate<'a>))>,
) -> Vec<UpdateBatch> {
    let mut all = Vec::new();
    let mut batches = UpdateBatches::new(|batch| all.push(batch));
    for (begins, (key, update)) in updates {
        if begins {
            batches.begin_run();
        }
        batches.update(key, update);
    }
    batches.finish();
    all
}

/// Seeks forwards and backwards, and lookups, find what a map would.
fn seeks(store: &Store, model: &Model, random: &mut ChaCha8Rng, seed: u64) {
    let snapshot = store.read().unwrap();
    let Some(part) = snapshot.part("p").unwrap() else {
        assert!(model.is_empty(), "seed {seed}");
        return;
    };
    let count = |key: &[u8]| model.get(key).map_or(0, |(count, _)| *count);
    let mut lookup = part.lookup();
    let in_order: BTreeSet<Vec<u8>> = (0..100).map(|_| key(random)).collect();
    let mut cursor = part.cursor();
    for key in in_order {
        cursor.seek(&key).unwrap();
        let mut expected = model.range(key.clone()..);
        for _ in 0..random.random_range(1..4) {
            let expected = expected.next().map(|(key, (count, _))| (&**key, *count));
            let found = cursor.entry().map(|entry| (entry.key, entry.count));
            assert_eq!(found, expected, "seed {seed}, {}", key.escape_ascii());
            cursor.step().unwrap();
        }
        let found = lookup.count(&key).unwrap();
        assert_eq!(found, count(&key), "seed {seed}, {}", key.escape_ascii());
    }
    for _ in 0..200 {
        let key = key(random);
        assert_eq!(lookup.count(&key).unwrap(), count(&key), "seed {seed}");
        let expected = if random.random_bool(0.5) {
            cursor.seek(&key).unwrap();
            model.range(key.clone()..).next()
        } else {
            cursor.seek_before(&key).unwrap();
            model.range(..key.clone()).next_back()
        };
        assert_eq!(
            cursor
                .entry()
                .map(|entry| (entry.key.to_vec(), entry.count)),
            expected.map(|(key, (count, _))| (key.clone(), *count)),
            "seed {seed}, {}",
            String::from_utf8_lossy(&key)
        );
    }
}

/// Puts, removes and adds, over one another in every order, in as many commits.
#[test]
fn levels_say_what_a_map_would() {
    for seed in 0..20 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let directory = tempfile::tempdir().unwrap();
        let (_locked, store) = open(directory.path());
        let mut model = Model::new();
        for commit in 0..30 {
            let mut updates: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
            let keys = if commit == 0 { 3_000 } else { 200 };
            for _ in 0..random.random_range(1..keys) {
                let payload = vec![b'p'; random.random_range(0..40)];
                updates.insert(key(&mut random), payload);
            }
            let updates = updates.iter().map(|(key, payload)| {
                let there = model.get(key).map_or(0, |(count, _)| *count);
                let update = match random.random_range(0..5) {
                    0 => EntryUpdate::Remove,
                    1 => EntryUpdate::Put(payload),
                    2 if there > 0 => EntryUpdate::Add(-random.random_range(1..=there)),
                    // An operator sets counts only after it has found stored entries, so not in an empty part.
                    3 if commit > 0 => EntryUpdate::Count(random.random_range(0..4)),
                    _ => EntryUpdate::Add(random.random_range(1..4)),
                };
                (key.as_slice(), update)
            });
            let updates: Vec<_> = updates.collect();
            let batches = batches(updates.iter().map(|update| (false, *update)));
            let transaction = store.write().unwrap();
            let changed = transaction.part("p", |part| {
                batches.iter().try_for_each(|batch| part.apply(batch))
            });
            changed.unwrap();
            transaction.commit().unwrap();
            for (key, update) in updates {
                let there = model.get(key).map_or(0, |(count, _)| *count);
                let entry = match update {
                    EntryUpdate::Add(more) => (there + more, Vec::new()),
                    EntryUpdate::Count(count) => (count, Vec::new()),
                    EntryUpdate::Put(payload) => (1, payload.to_vec()),
                    EntryUpdate::Remove => (0, Vec::new()),
                };
                model.insert(key.to_vec(), entry);
            }
            model.retain(|_, (count, _)| *count != 0);
            assert!(kept(&store) == model, "seed {seed}, commit {commit}");
            seeks(&store, &model, &mut random, seed);
        }
    }
}

/// Retracts one more than there are, whichever level holds them.
#[test]
fn no_level_takes_back_what_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let (_locked, store) = open(directory.path());
    let change = |updates: &[(&[u8], EntryUpdate<'_>)]| {
        let transaction = store.write().unwrap();
        let batches = batches(updates.iter().map(|update| (false, *update)));
        transaction.part("p", |part| {
            batches.iter().try_for_each(|batch| part.apply(batch))
        })?;
        transaction.commit()
    };
    change(&[(b"a", EntryUpdate::Add(2)), (b"b", EntryUpdate::Add(1))]).unwrap();
    change(&[(b"a", EntryUpdate::Add(-1)), (b"c", EntryUpdate::Add(1))]).unwrap();
    for key in [b"a", b"b", b"c"] {
        let error = change(&[(key, EntryUpdate::Add(-2))]).unwrap_err();
        assert!(matches!(error, StoreError::Negative(_)), "{error}");
        change(&[(key, EntryUpdate::Add(-1))]).unwrap();
        let error = change(&[(key, EntryUpdate::Add(-1))]).unwrap_err();
        assert!(matches!(error, StoreError::Negative(_)), "{error}");
    }
    assert_eq!(kept(&store), Model::new());
}

#[test]
fn payloads_are_put_and_removed() {
    let directory = tempfile::tempdir().unwrap();
    let (_locked, store) = open(directory.path());
    let changes: [(&str, EntryUpdate<'_>); 3] = [
        ("a", EntryUpdate::Put(b"first")),
        ("b", EntryUpdate::Put(b"")),
        ("c", EntryUpdate::Put(b"third")),
    ];
    let later: [(&str, EntryUpdate<'_>); 3] = [
        ("a", EntryUpdate::Remove),
        ("c", EntryUpdate::Put(b"changed")),
        ("d", EntryUpdate::Remove),
    ];
    for changes in [changes, later] {
        let transaction = store.write().unwrap();
        let updates = changes.iter();
        let updates = updates.map(|(key, update)| (false, (key.as_bytes(), *update)));
        let batches = batches(updates);
        transaction
            .part("p", |part| {
                batches.iter().try_for_each(|batch| part.apply(batch))
            })
            .unwrap();
        transaction.commit().unwrap();
    }
    let expected = [("b", ""), ("c", "changed")];
    let expected = expected.map(|(key, value)| (key.into(), (1, value.into())));
    assert_eq!(kept(&store), Model::from(expected));
}

#[test]
fn what_is_not_committed_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let (_locked, store) = open(directory.path());
    let transaction = store.write().unwrap();
    transaction.put(VIEWS, "v", &1).unwrap();
    drop(transaction);
    assert_eq!(
        store.read().unwrap().record::<u32>(VIEWS, "v").unwrap(),
        None
    );
}

#[test]
fn a_row_retracted_too_often_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let (_locked, store) = open(directory.path());
    let transaction = store.write().unwrap();
    let error = transaction
        .part("view: join", |part| part.change(b"k", EntryUpdate::Add(-1)))
        .unwrap_err();
    assert!(error.to_string().contains("view: join"), "{error}");
    let updates = [("a", 1), ("b", -1), ("c", 1)];
    let updates = updates.map(|(key, more)| (false, (key.as_bytes(), EntryUpdate::Add(more))));
    let batches = batches(updates.into_iter());
    let error = transaction
        .part("view: top", |part| part.apply(&batches[0]))
        .unwrap_err();
    assert!(error.to_string().contains("view: top"), "{error}");
}

#[test]
fn one_process_at_a_time_and_no_foreign_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let first = open(&path);
    let error = Directory::open(&path, LockWait::NONE, false)
        .unwrap_err()
        .to_string();
    assert!(error.contains("in use by process"), "{error}");
    drop(first);
    std::fs::write(path.join("FORMAT"), "tidewater state, format 999\n").unwrap();
    let error = Directory::open(&path, LockWait::NONE, false)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("format 999") && error.contains("later"),
        "{error}"
    );
    let error = Directory::open(directory.path(), LockWait::NONE, false).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    let absent = Directory::for_reading(&directory.path().join("none")).unwrap_err();
    assert!(absent.to_string().contains("there is no state"), "{absent}");
}

/// Writes the sources' records of format 5: positions of files by source and path, positions of topics by source.
fn write_format_5(path: &Path) {
    let (locked, store) = open(path);
    let transaction = store.write().unwrap();
    let positions = Records("positions");
    let file = serde_json::json!({"path": "in/a.csv", "rows": 3});
    transaction
        .put(positions, &pair_key("orders", "in/a.csv"), &file)
        .unwrap();
    let topic = serde_json::json!({"topic": "clicks"});
    transaction
        .put(Records("streams"), "clicks", &topic)
        .unwrap();
    let mut state = StateRecord {
        epoch: 7,
        ..StateRecord::default()
    };
    state.sizes = transaction.sizes().unwrap();
    transaction.put(STATE, "", &state).unwrap();
    transaction.commit().unwrap();
    drop(store);
    let text = "tidewater state, format 5\n";
    std::fs::write(locked.layout.format(), text).unwrap();
}

fn check_checkpoints(store: &Store) {
    let snapshot = store.read().unwrap();
    snapshot.check_sizes().unwrap();
    snapshot.check_records().unwrap();
    let state: StateRecord = snapshot.record(STATE, "").unwrap().unwrap();
    assert_eq!(state.epoch, 7);
    let files = snapshot.checkpoint("files", "orders").unwrap();
    assert_eq!(files.keys().collect::<Vec<_>>(), ["in/a.csv"]);
    let file: serde_json::Value = serde_json::from_slice(&files["in/a.csv"]).unwrap();
    assert_eq!(file["rows"], 3);
    let topic = snapshot.checkpoint("kafka", "clicks").unwrap();
    let topic: serde_json::Value = serde_json::from_slice(&topic[""]).unwrap();
    assert_eq!(topic["topic"], "clicks");
    assert!(snapshot.checkpoint("files", "clicks").unwrap().is_empty());
}

#[test]
fn a_state_of_format_5_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    write_format_5(directory.path());
    // Reading does not change the file.
    {
        let locked = Directory::for_reading(directory.path()).unwrap();
        assert!(locked.is_outdated);
        check_checkpoints(&Store::for_reading(&locked).unwrap());
        let format = std::fs::read_to_string(locked.layout.format()).unwrap();
        assert_eq!(format, "tidewater state, format 5\n");
    }
    for _ in 0..2 {
        let (locked, store) = open(directory.path());
        check_checkpoints(&store);
        assert!(!locked.is_outdated);
        let format = std::fs::read_to_string(locked.layout.format()).unwrap();
        assert_eq!(format, "tidewater state, format 6\n");
    }
}

#[test]
fn a_move_that_was_cut_short_is_made_by_the_next_process() {
    let directory = tempfile::tempdir().unwrap();
    write_format_5(directory.path());
    // As if the process had died after writing the format's number.
    let text = "tidewater state, format 6\n";
    std::fs::write(directory.path().join("FORMAT"), text).unwrap();
    let (_locked, store) = open(directory.path());
    check_checkpoints(&store);
}

#[test]
fn older_formats_are_refused_or_rebuilt() {
    let directory = tempfile::tempdir().unwrap();
    write_format_5(directory.path());
    std::fs::write(
        directory.path().join("FORMAT"),
        "tidewater state, format 4\n",
    )
    .unwrap();
    let error = Directory::open(directory.path(), LockWait::NONE, false).unwrap_err();
    assert!(error.to_string().contains("--rebuild"), "{error}");
    let rebuilt = Directory::open(directory.path(), LockWait::NONE, true).unwrap();
    assert!(!rebuilt.is_made);
}
