//! The process dies at each point where a commit can be interrupted. Readers see each partition either as before or
//! as after the commit, and the next run ends as if nothing had happened.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tidewater_connectors::file::sink;
use tidewater_tests::ledger::{self, FIRST, LARGE, SECOND, Version};
use tidewater_tests::maintained::Maintained;
use tidewater_tests::published::rows_by_partition;

const KEEP: &str = "keep: before a delivery gets its name";

/// Reached only on file systems that cannot exchange names.
const UNREACHABLE: &str = "publish: between the halves of an exchange";

pub fn points() -> impl Iterator<Item = &'static str> {
    let commit = tidewater_engine::CRASH_POINTS.iter().copied();
    let points = commit.chain(sink::CRASH_POINTS.iter().copied());
    points.chain([KEEP]).filter(|point| *point != UNREACHABLE)
}

#[test]
fn at_the_first_commit() {
    let points = points().chain([tidewater_engine::FILLED]);
    dies_at(points, ledger::new, [FIRST, FIRST], &[]);
}

#[test]
fn at_a_later_commit() {
    dies_everywhere(ledger::committed, [SECOND, FIRST], &[]);
}

#[test]
fn at_a_later_commit_of_large_tables() {
    dies_everywhere(ledger::large, [LARGE[1], LARGE[0]], &[]);
}

#[test]
fn while_everything_is_rebuilt() {
    dies_everywhere(ledger::committed, [SECOND, FIRST], &["--rebuild"]);
}

#[test]
fn while_the_job_changes() {
    let changed = || {
        let place = ledger::committed();
        place.declare(&ledger::SQL.replace("max(v) AS hi", "min(v) AS lo"));
        place
    };
    dies_everywhere(changed, [SECOND, FIRST], &[]);
}

#[test]
fn while_damaged_tables_are_mended() {
    let damaged = || {
        let place = ledger::committed();
        std::fs::remove_file(place.path("out/entries/day=2024-01-01/part-00000.parquet")).unwrap();
        std::fs::write(place.path("out/sums/part-00000.csv"), "k,c,s,hi\n").unwrap();
        place
    };
    dies_everywhere(damaged, [SECOND, FIRST], &[]);
}

fn dies_everywhere(place: fn() -> Maintained, versions: [Version; 2], more: &[&str]) {
    dies_at(points(), place, versions, more);
}

/// Reads `version` with one or two crashes at each point, and without, and then `later`.
fn dies_at(
    points: impl Iterator<Item = &'static str>,
    place: fn() -> Maintained,
    [version, later]: [Version; 2],
    more: &[&str],
) {
    let undisturbed = place();
    ledger::deliver(&undisturbed, version, 60);
    let _ = undisturbed.commits(more);
    let new = rows(&undisturbed);
    for point in points {
        let place = place();
        let old = rows(&place);
        ledger::deliver(&place, version, 60);
        for _ in 0..2 {
            dies(&place, point, more);
            // Staged files do not look like published ones.
            let is_staged = |path: &PathBuf| path.to_string_lossy().contains("_tidewater-");
            for staged in place.litter().into_iter().filter(is_staged) {
                assert!(
                    staged.extension().is_some_and(|end| end == "part"),
                    "{point}: {}",
                    staged.display()
                );
            }
            for (partition, rows) in rows(&place) {
                assert!(
                    Some(&rows) == old.get(&partition) || Some(&rows) == new.get(&partition),
                    "{point}: {} is neither old nor new: {rows:?}",
                    partition.display()
                );
            }
        }
        // A repeated request is done only once, since the crash may have come after the record.
        let _ = place.commits(more);
        assert_eq!(rows(&place), new, "{point}");
        assert_eq!(place.litter(), Vec::<PathBuf>::new(), "{point}");
        if more.is_empty() {
            assert_eq!(place.state(), undisturbed.state(), "{point}");
            assert_eq!(place.tables(), undisturbed.tables(), "{point}");
        }
        // Checks the operators' state too.
        ledger::deliver(&place, later, 120);
        let _ = place.commits(&[]);
        place.assert_cold();
    }
}

/// Runs until it crashes at the point. A second crash may not occur if the first one was at the end.
pub fn dies(place: &Maintained, point: &str, more: &[&str]) {
    let mut command = place.command(more);
    command.env("TIDEWATER_INJECT", format!("abort:{point}"));
    let output = command.output().unwrap();
    let is_again = place.path("died").exists();
    std::fs::write(place.path("died"), "").unwrap();
    assert!(
        output.status.code().is_none() || is_again && output.status.success(),
        "{point}: {} {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The rows that readers see.
fn rows(place: &Maintained) -> BTreeMap<PathBuf, Vec<String>> {
    rows_by_partition(&place.path("out"))
}
