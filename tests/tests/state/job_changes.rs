//! Jobs that change between runs: rebuilds are announced, and the tables are those of the new job.

use std::collections::BTreeSet;

use tidewater_tests::binary::Ran;
use tidewater_tests::ledger::{self, FIRST, SECOND, SQL};
use tidewater_tests::maintained::Maintained;

const REBUILT: &str = "rebuilt from the stored inputs";

/// The tables with at least one changed file.
fn rewritten(place: &Maintained, change: impl FnOnce()) -> BTreeSet<String> {
    let before = place.footprint();
    change();
    let after = place.footprint();
    let changed = after
        .iter()
        .filter(|(path, file)| before.get(*path) != Some(*file));
    let tables = changed.map(|(path, _)| {
        let table = path.components().next().unwrap();
        table.as_os_str().to_str().unwrap().to_owned()
    });
    tables.collect()
}

/// Declares another job and runs it. Returns its output and the tables that it wrote. Checks the tables, also after
/// further deliveries.
#[track_caller]
fn changes_to(place: &Maintained, sql: &str) -> (Ran, BTreeSet<String>) {
    place.declare(sql);
    let mut ran = None;
    let tables = rewritten(place, || ran = Some(place.commits(&["--workers", "2"])));
    place.assert_cold();
    for (version, modified_s) in [(SECOND, 60), (FIRST, 120)] {
        ledger::deliver(place, version, modified_s);
        let _ = place.commits(&[]);
        place.assert_cold();
    }
    (ran.unwrap(), tables)
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The line that announces rebuilds.
#[track_caller]
fn rebuilt(ran: &Ran) -> &str {
    let mut lines = ran.stderr.lines();
    lines
        .find(|line| line.contains(REBUILT))
        .unwrap_or_else(|| panic!("nothing is rebuilt:\n{}", ran.stderr))
}

#[test]
fn a_view_that_changed_is_rebuilt_and_no_other() {
    let place = ledger::committed();
    let (ran, tables) = changes_to(&place, &SQL.replace("max(v) AS hi", "min(v) AS lo"));
    assert!(rebuilt(&ran).ends_with("sums"), "{}", ran.stderr);
    assert_eq!(tables, set(&["sums"]));
}

#[test]
fn what_reads_a_changed_view_is_rebuilt() {
    let place = ledger::committed();
    let (ran, tables) = changes_to(
        &place,
        &SQL.replace(
            "ON sales.k = shops.k",
            "ON sales.k = shops.k AND sales.v > 1",
        ),
    );
    assert!(rebuilt(&ran).contains("regions"), "{}", ran.stderr);
    assert_eq!(tables, set(&["regions"]));
}

#[test]
fn a_job_that_is_only_written_otherwise_is_the_same_job() {
    let place = ledger::committed();
    let epoch = place.commits(&["--json"]).json()["epoch"].clone();
    let before = place.tables();
    let shuffled = SQL
        .replace(", ", ",\n    ")
        .replace("SELECT k", "select\tk")
        .replace("AS s,", "as S /* sum */,");
    place.declare(&format!("-- The same job.\n{shuffled}"));
    let mut ran = None;
    let tables = rewritten(&place, || ran = Some(place.commits(&["--json"])));
    let ran = ran.unwrap();
    assert!(!ran.stderr.contains(REBUILT), "{}", ran.stderr);
    assert_eq!((tables, ran.json()["epoch"].clone()), (set(&[]), epoch));
    assert_eq!(place.tables(), before);
}

#[test]
fn a_view_is_added() {
    let place = ledger::committed();
    let added =
        "CREATE MATERIALIZED VIEW days AS SELECT day, count(*) AS c FROM sales GROUP BY day;
      COPY days TO '${output}/days' STORED AS PARQUET;";
    let (ran, tables) = changes_to(&place, &format!("{SQL}{added}"));
    assert!(rebuilt(&ran).ends_with("days"), "{}", ran.stderr);
    assert_eq!(tables, set(&["days"]));
}

#[test]
fn a_view_is_removed_and_comes_back() {
    let place = ledger::committed();
    let without: Vec<&str> = SQL.lines().filter(|line| !line.contains("sums")).collect();
    place.declare(&without.join("\n"));
    let left = || {
        let mut tables = place.tables();
        tables.retain(|path, _| path.starts_with("sums"));
        tables
    };
    let before = left();
    let ran = place.commits(&[]).says(&["no longer in the job", "sums"]);
    assert!(!ran.stderr.contains(REBUILT), "{}", ran.stderr);
    ledger::deliver(&place, SECOND, 60);
    let _ = place.commits(&[]);
    assert_eq!(left(), before, "what is no longer maintained stays");
    let (ran, _) = changes_to(&place, SQL);
    assert!(rebuilt(&ran).ends_with("sums"), "{}", ran.stderr);
}

#[test]
fn what_is_a_bad_row_does_not_depend_on_who_reads_it() {
    let narrow: Vec<&str> = SQL
        .lines()
        .filter(|line| !line.contains("regions") && !line.contains("entries"))
        .collect();
    let narrow = narrow.join("\n").replace(", sum(v) AS s, max(v) AS hi", "");
    let place = Maintained::new(&narrow);
    ledger::deliver(&place, FIRST, 0);
    place.deliver(
        "sales/d.csv",
        "id,k,v,day\n9,a,much,2024-01-01\n10,a,3,never\n11,a,3,\n",
        0,
    );
    let ran = place.commits(&["--json"]);
    // `id`, `v` and `day` are not read, and their bad rows are in no table.
    assert_eq!(ran.json()["rows_in_quarantine"], 3);
    for sql in [
        narrow.replace("count(*) AS c", "count(*) AS c, sum(v) AS s"),
        SQL.to_owned(),
        narrow.clone(),
    ] {
        place.declare(&sql);
        let ran = place.commits(&["--json"]);
        assert_eq!(ran.json()["rows_in_quarantine"], 3, "{sql}");
        // Tables that are no longer in the job stay.
        if sql != narrow {
            place.assert_cold();
        }
    }
}

#[test]
fn partitions_and_encodings_change() {
    for (from, to, table) in [
        ("PARTITIONED BY (day)", "PARTITIONED BY (day, k)", "entries"),
        ("PARTITIONED BY (day)", "", "entries"),
        (
            "STORED AS PARQUET PARTITIONED BY (day)",
            "STORED AS JSON",
            "entries",
        ),
        (
            "TO '${output}/sums' STORED AS CSV",
            "TO '${output}/sums' STORED AS PARQUET",
            "sums",
        ),
        (
            "TO '${output}/sums' STORED AS CSV",
            "TO '${output}/sums' STORED AS CSV PARTITIONED BY (c)",
            "sums",
        ),
    ] {
        let place = ledger::committed();
        let (ran, tables) = changes_to(&place, &SQL.replace(from, to));
        assert!(rebuilt(&ran).contains(table), "{}", ran.stderr);
        assert_eq!(tables, set(&[table]), "{to}");
    }
}

#[test]
fn a_table_moves() {
    let place = ledger::committed();
    let before = place.tables();
    let (ran, ()) = {
        place.declare(&SQL.replace("'${output}/sums'", "'${output}/totals'"));
        let ran = place.commits(&[]);
        (ran, ())
    };
    assert!(rebuilt(&ran).contains("sums"), "{}", ran.stderr);
    let after = place.tables();
    let of = |tables: &std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>, name: &str| {
        let files = tables.iter().filter(|(path, _)| path.starts_with(name));
        files.map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>()
    };
    assert_eq!(of(&after, "totals"), of(&before, "sums"));
    assert_eq!(
        of(&after, "sums"),
        of(&before, "sums"),
        "its old files stay"
    );
}

#[test]
fn rebuilds_are_announced_before_they_begin() {
    let place = ledger::committed();
    let before = place.tables();
    place.declare(&SQL.replace("max(v) AS hi", "min(v) AS lo"));
    let ran = place.inject("abort:commit: staged");
    assert_eq!(ran.code, None);
    assert!(rebuilt(&ran).contains("sums"));
    let mut after = place.tables();
    after.retain(|path, _| !path.to_str().unwrap().contains("_tidewater-"));
    assert_eq!(after, before);
}

#[test]
fn a_primary_key_is_declared_and_goes() {
    let place = ledger::committed();
    let keyed = SQL.replace("day DATE)", "day DATE, PRIMARY KEY (id))");
    place.deliver(
        "sales/d.csv",
        "id,k,v,day\n1,z,1,2024-01-01\n1,y,1,2024-01-01\n",
        0,
    );
    let (ran, _) = changes_to(&place, &keyed);
    assert!(rebuilt(&ran).contains("entries"), "{}", ran.stderr);
    let _ = changes_to(&place, SQL);
}
