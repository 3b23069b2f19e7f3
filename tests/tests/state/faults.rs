//! File system errors: every operation of a run fails in turn. The run fails and says where, the tables stay whole,
//! and the next run gives the right result.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tidewater_tests::ledger::{self, FIRST, LARGE, SECOND, Version};
use tidewater_tests::maintained::Maintained;
use tidewater_tests::published::rows_by_partition;

/// A job, and two versions of its input. The second one is committed.
type Job = (fn() -> Maintained, [Version; 2]);

const SMALL: Job = (ledger::committed, [SECOND, FIRST]);

#[test]
fn nothing_can_be_made() {
    let _ = every(SMALL, "create", &["EIO", "ENOSPC"]);
}

#[test]
fn nothing_can_be_written() {
    let _ = every(SMALL, "write", &["EIO", "ENOSPC", "SHORT"]);
}

#[test]
fn nothing_can_be_synced() {
    let _ = every(SMALL, "sync", &["EIO"]);
}

#[test]
fn no_name_can_be_moved_given_or_taken() {
    for operation in ["rename", "exchange", "link", "remove"] {
        let _ = every(SMALL, operation, &["EIO", "ENOSPC"]);
    }
}

#[test]
fn no_name_of_large_tables_can_be_moved_given_or_taken() {
    for operation in ["rename", "exchange", "link", "remove"] {
        let number = every((ledger::large, [LARGE[1], LARGE[0]]), operation, &["EIO"]);
        assert!(number > 0, "there is no {operation}");
    }
}

#[test]
fn nothing_can_be_exchanged_where_tables_are_rebuilt() {
    for (operation, kind) in [("exchange", "EIO"), ("rename", "ENOSPC"), ("remove", "EIO")] {
        for number in 1..=operations(SMALL, operation, &["--rebuild"]) {
            let place = ledger::committed();
            let old = rows(&place);
            ledger::deliver(&place, SECOND, 60);
            let what = format!("fail:{operation}:{number}:{kind}");
            let failed = fails(&place, &what, &["--rebuild"]);
            let _ = place.commits(&[]);
            place.assert_cold();
            whole(&failed, &[old, rows(&place)], &what);
        }
    }
}

#[test]
fn the_first_commit_can_fail_anywhere() {
    for operation in ["create", "write", "sync", "rename"] {
        let place = ledger::new();
        let traced = place.inject("trace").stderr;
        let count = traced.matches(&format!("inject: {operation} ")).count();
        for number in (1..=count).step_by(7) {
            let place = ledger::new();
            let what = format!("fail:{operation}:{number}:ENOSPC");
            let _ = fails(&place, &what, &[]);
            let _ = place.commits(&["--workers", "1"]);
            place.assert_cold();
        }
    }
}

/// Lets each operation of this name fail in turn, while the input alternates between two versions. Returns how many
/// there are.
fn every((place, versions): Job, operation: &str, kinds: &[&str]) -> usize {
    let count = operations((place, versions), operation, &[]);
    let place = place();
    let expected = [(versions[0], 60), (versions[1], 61)].map(|(version, modified_s)| {
        ledger::deliver(&place, version, modified_s);
        let _ = place.commits(&[]);
        rows(&place)
    });
    let mut turn = 0_usize;
    for number in 1..=count {
        for kind in kinds {
            let what = format!("fail:{operation}:{number}:{kind}");
            let (old, new) = (&expected[(turn + 1) % 2], &expected[turn % 2]);
            let modified_s = 100 + u64::try_from(turn).unwrap();
            ledger::deliver(&place, versions[turn % 2], modified_s);
            whole(
                &fails(&place, &what, &[]),
                &[old.clone(), new.clone()],
                &what,
            );
            let _ = place.commits(&["--quiet", "--workers", "1"]);
            assert_eq!(&rows(&place), new, "{what}");
            assert_eq!(place.litter(), Vec::<PathBuf>::new(), "{what}");
            turn += 1;
        }
    }
    place.assert_cold();
    count
}

/// The greatest number of operations of this name in a run.
fn operations((place, versions): Job, operation: &str, more: &[&str]) -> usize {
    let place = place();
    let counts = [(versions[0], 60), (versions[1], 61)].map(|(version, modified_s)| {
        ledger::deliver(&place, version, modified_s);
        let mut command = place.command(&[&["--workers", "1"], more].concat());
        let output = command.env("TIDEWATER_INJECT", "trace").output().unwrap();
        let traced = String::from_utf8(output.stderr).unwrap();
        traced.matches(&format!("inject: {operation} ")).count()
    });
    counts.into_iter().max().unwrap()
}

type Rows = BTreeMap<PathBuf, Vec<String>>;

/// Runs with the fault. Returns the rows that readers see. An operation that the run does not depend on may fail
/// unnoticed.
#[track_caller]
fn fails(place: &Maintained, what: &str, more: &[&str]) -> Rows {
    let mut command = place.command(&[&["--quiet", "--workers", "1"], more].concat());
    let output = command.env("TIDEWATER_INJECT", what).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    for word in ["panicked", "internal error", "bug in Tidewater"] {
        assert!(!message.contains(word), "{what}: {message}");
    }
    if !output.status.success() {
        assert_eq!(output.status.code(), Some(1), "{what}: {message}");
        let here = place.path("").to_str().unwrap().to_owned();
        let names_a_file = [here.as_str(), "in/", " out:"]
            .iter()
            .any(|part| message.contains(part));
        assert!(names_a_file, "{what} names no file: {message}");
    }
    rows(place)
}

/// Asserts that each partition is as in one of the versions.
#[track_caller]
fn whole(seen: &Rows, versions: &[Rows], what: &str) {
    for (partition, rows) in seen {
        assert!(
            versions
                .iter()
                .any(|version| version.get(partition) == Some(rows)),
            "{what}: {} is neither old nor new: {rows:?}",
            partition.display()
        );
    }
}

fn rows(place: &Maintained) -> Rows {
    rows_by_partition(&place.path("out"))
}
