//! States, tables and inputs that cannot be used: the error names them and says what to do, tables stay unchanged,
//! and `--rebuild` repairs what can be repaired.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use rand::RngExt;
use tidewater_tests::binary::{Ran, snapshot, tidewater};
use tidewater_tests::ledger::{self, FIRST, SECOND, SQL};
use tidewater_tests::maintained::Maintained;
use tidewater_tests::{published, seed};

#[track_caller]
fn rebuilt(place: &Maintained) {
    let _ = place.commits(&["--rebuild"]).no_panic();
    place.assert_cold();
    ledger::deliver(place, FIRST, 500);
    let _ = place.commits(&[]);
    place.assert_cold();
}

#[test]
fn two_runs_at_once() {
    let place = ledger::committed();
    // A run that reads from a pipe waits until it is written to.
    let (pipe, shops) = (place.path("in/shops"), place.path("in/shops of before"));
    fs::rename(&pipe, &shops).unwrap();
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let mut first = place.start(&["--quiet"]);
    let owner = format!("process {}", first.id());
    while fs::read_to_string(place.path("state/lock")).unwrap() != owner {
        thread::sleep(Duration::from_millis(1));
    }
    let _ = place
        .run(&[])
        .code(1)
        .no_panic()
        .says(&["in use", &owner, "--wait"]);
    let waiting = place.start(&["--wait", "--json"]);
    thread::sleep(Duration::from_millis(30));
    fs::remove_file(&pipe).unwrap();
    fs::rename(&shops, &pipe).unwrap();
    ledger::deliver(&place, SECOND, 60);
    // The lock is released however its process ends.
    first.kill().unwrap();
    first.wait().unwrap();
    let ran = Ran::from(waiting.wait_with_output().unwrap()).code(0);
    assert_eq!(ran.json()["epoch"], 2);
    place.assert_cold();
}

#[test]
fn states_of_other_versions() {
    for (format, advice) in [
        (
            "tidewater state, format 7\n",
            "with the version that made it",
        ),
        ("tidewater state, format 0\n", "--rebuild"),
    ] {
        let place = ledger::committed();
        fs::write(place.path("state/FORMAT"), format).unwrap();
        let before = place.tables();
        let _ = place
            .run(&[])
            .code(1)
            .no_panic()
            .says(&["has format", advice]);
        assert_eq!(place.tables(), before);
    }
}

#[test]
fn an_older_state_is_rebuilt() {
    let place = ledger::committed();
    fs::write(place.path("state/FORMAT"), "tidewater state, format 0\n").unwrap();
    rebuilt(&place);
}

#[test]
fn directories_of_others_are_not_touched() {
    let place = ledger::new();
    place.deliver("../state/thesis.txt", "years of work", 0);
    let _ = place
        .run(&[])
        .code(1)
        .no_panic()
        .says(&["is not a state", "thesis.txt"]);
    assert_eq!(snapshot(&place.path("state")).len(), 1);
}

#[test]
fn a_state_belongs_to_one_job() {
    let place = ledger::committed();
    fs::rename(place.path("job.sql"), place.path("other.sql")).unwrap();
    let job = place.path("other.sql");
    let ran = tidewater(&[
        "run",
        job.to_str().unwrap(),
        "--state",
        place.path("state").to_str().unwrap(),
        "--set",
        &format!("input={}", place.path("in").display()),
        "--set",
        &format!("output={}", place.path("out").display()),
    ]);
    let _ = ran
        .code(1)
        .no_panic()
        .says(&["belongs to the job job", "other"]);
}

#[test]
fn damaged_states_never_give_wrong_tables() {
    for seed in seed::seeds(3) {
        let mut rng = seed::generator(seed, "flips");
        let place = ledger::committed();
        ledger::deliver(&place, SECOND, 60);
        let _ = place.commits(&["--quiet"]);
        let (state, tables) = (snapshot(&place.path("state")), place.tables());
        let whole = &state[Path::new("state.redb")];
        ledger::deliver(&place, FIRST, 120);
        let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
        for _ in 0..40 {
            let at = loop {
                let at = rng.random_range(0..=used);
                // Unused bytes may be anything.
                if whole[at] != 0 || rng.random_bool(0.02) {
                    break at;
                }
            };
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << rng.random_range(0..8);
            let what = format!("TIDEWATER_SEED={seed}, byte {at} of state.redb");
            restore(&place.path("state"), &state);
            restore(&place.path("out"), &tables);
            fs::write(place.path("state/state.redb"), damaged).unwrap();
            let ran = place.run(&["--quiet"]);
            for word in ["panicked", "internal error"] {
                assert!(!ran.stderr.contains(word), "{what}: {}", ran.stderr);
            }
            if ran.code != Some(0) {
                assert_eq!(ran.code, Some(1), "{what}: {}", ran.stderr);
                assert!(ran.stderr.contains("damaged"), "{what}: {}", ran.stderr);
                let ran = place.run(&["--quiet", "--rebuild"]);
                assert_eq!(ran.code, Some(0), "{what}, --rebuild: {}", ran.stderr);
            }
            println!("{what}");
            place.assert_cold();
        }
    }
}

#[test]
fn what_is_missing_in_a_state_is_missed() {
    let place = ledger::committed();
    let (state, tables) = (snapshot(&place.path("state")), place.tables());
    let whole = &state[Path::new("state.redb")];
    ledger::deliver(&place, SECOND, 60);
    for name in [
        "part placed: join",
        "part regions: aggregate: distinct",
        "part regions: aggregate: groups",
        "part sums: aggregate: extremes",
        "part sums: aggregate: groups",
        "checkpoints",
        "partitions",
        "views",
    ] {
        restore(&place.path("state"), &state);
        restore(&place.path("out"), &tables);
        // The name of a table of the store is changed.
        let mut damaged = whole.clone();
        for at in 0..whole.len() - name.len() {
            if whole[at..].starts_with(name.as_bytes()) {
                damaged[at + name.len() - 1] ^= 1;
            }
        }
        assert!(damaged != *whole, "{name}");
        fs::write(place.path("state/state.redb"), damaged).unwrap();
        let _ = place
            .run(&["--quiet"])
            .code(1)
            .no_panic()
            .says(&["damaged"]);
        assert_eq!(place.tables(), tables, "{name}");
        let _ = place.commits(&["--rebuild"]);
        place.assert_cold();
    }
}

/// Restores a directory to these files.
fn restore(dir: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    fs::remove_dir_all(dir).unwrap();
    for (path, bytes) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn states_that_are_cut_off_or_gone() {
    for bytes in [0, 1, 100, 4096, 5000, 20_000] {
        let place = ledger::committed();
        let path = place.path("state/state.redb");
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_len(bytes).unwrap();
        ledger::deliver(&place, SECOND, 60);
        let before = place.tables();
        let ran = place.run(&[]).code(1).no_panic();
        assert!(
            ran.stderr.contains("damaged"),
            "{bytes} bytes: {}",
            ran.stderr
        );
        assert_eq!(place.tables(), before);
        rebuilt(&place);
    }
    let place = ledger::committed();
    fs::remove_dir_all(place.path("state")).unwrap();
    ledger::deliver(&place, SECOND, 60);
    let before = place.tables();
    let _ = place
        .run(&[])
        .code(1)
        .no_panic()
        .says(&["before it was deleted", "--take-over"]);
    assert_eq!(place.tables(), before);
    let _ = place.commits(&["--take-over"]);
    place.assert_cold();
}

#[test]
fn kept_inputs_that_are_damaged_or_gone() {
    for damage in [
        |path: &Path| fs::remove_file(path).unwrap(),
        |path: &Path| flip(path),
    ] {
        let place = ledger::committed();
        for path in snapshot(&place.path("state/inputs")).into_keys() {
            damage(&place.path("state/inputs").join(path));
        }
        // A retraction needs the stored content.
        ledger::deliver(&place, SECOND, 60);
        let before = place.tables();
        let _ = place
            .run(&[])
            .code(1)
            .no_panic()
            .says(&["state/inputs", "--rebuild"]);
        assert_eq!(place.tables(), before);
        let _ = place.commits(&["--rebuild"]);
        place.assert_cold();
    }
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

#[test]
fn sources_that_vanish_are_withdrawn_and_come_back() {
    let place = ledger::committed();
    for file in ["sales/a.csv", "sales/b.csv", "shops/s.jsonl"] {
        place.withdraw(file);
    }
    let ran = place.commits(&["--json", "--allow", "withdrawn"]);
    assert_eq!(ran.json()["deliveries"].as_array().unwrap().len(), 3);
    let mut empty = published::rows_by_partition(&place.path("out"));
    empty.retain(|_, rows| !rows.is_empty());
    assert!(empty.is_empty(), "{empty:?}");
    let again = place.commits(&["--json"]);
    assert_eq!(again.json()["epoch"], 2, "nothing to do");
    ledger::deliver(&place, SECOND, 60);
    let _ = place.commits(&[]);
    place.assert_cold();
}

#[test]
fn a_location_that_never_had_a_file_is_an_error() {
    let place = Maintained::new(SQL);
    let _ = place
        .run(&[])
        .code(1)
        .no_panic()
        .says(&["sales", "no such file"]);
    ledger::deliver(&place, FIRST, 0);
    let _ = place.commits(&[]);
    place.assert_cold();
}

#[test]
fn files_modified_lately_are_left_for_later() {
    let place = ledger::committed();
    let before = place.tables();
    // A new file and a changed one, both modified now.
    let input = place.path("in/sales");
    fs::write(input.join("new.csv"), "id,k,v,day\n7,a,1,2024-01-01\n").unwrap();
    fs::write(input.join("a.csv"), "id,k,v,day\n1,a,5,2024-01-01\n").unwrap();
    let ran = place
        .commits(&["--settle", "1h", "--json"])
        .says(&["new.csv", "a.csv", "--settle"]);
    assert_eq!(ran.json()["epoch"], 1);
    assert_eq!(place.tables(), before);
    let _ = place.commits(&[]);
    place.assert_cold();
}

#[test]
fn files_that_grow_may_not_shrink_or_change() {
    let sql = SQL.replace(
        "'${input}/sales'",
        "'${input}/sales' OPTIONS ('on_change' 'append')",
    );
    for content in [
        "id,k,v,day\n",
        "id,k,v,day\n1,a,2,2024-01-01\n2,b,20,2024-01-01\nbad,b,20,2024-01-01\n3,b,,2024-01-02\n4,b,,\n",
    ] {
        let place = Maintained::new(&sql);
        ledger::deliver(&place, FIRST, 0);
        let _ = place.commits(&[]);
        let before = place.tables();
        place.deliver("sales/a.csv", content, 60);
        let _ = place.run(&[]).code(1).no_panic().says(&["a.csv", "append"]);
        assert_eq!(place.tables(), before);
        ledger::deliver(&place, FIRST, 60);
        let _ = place.commits(&[]);
        place.assert_cold();
    }
}

/// Names with control characters are escaped in messages. A name that is not UTF-8 is refused with and without a state.
#[test]
fn odd_names_of_files_are_told() {
    let place = Maintained::new(
        "CREATE EXTERNAL TABLE t (id BIGINT) STORED AS CSV LOCATION '${input}'; COPY t TO '${output}/t';",
    );
    place.deliver("in\u{1b}[31m\n.csv", "id\nx\n", 0);
    let ran = place.run(&["--quiet"]);
    assert!(
        ran.stderr.contains(r"in\u{1b}[31m\n.csv: "),
        "{}",
        ran.stderr
    );
    place.withdraw("in\u{1b}[31m\n.csv");
    let name = OsStr::from_bytes(b"\xbc\xad.csv");
    fs::write(place.path("in").join(name), "id\n1\n").unwrap();
    let without_state = ["run", "job.sql", "--set", "input=in", "--set", "output=out"];
    let mut command = tidewater_tests::binary::command(&without_state);
    let cold = Ran::from(command.current_dir(place.path("")).output().unwrap());
    for ran in [cold, place.run(&[])] {
        let _ = ran
            .code(1)
            .says(&[r"\xBC\xAD.csv: its name is not UTF-8", "rename it"]);
    }
}
