//! `tidewater audit` says what a run would say, and changes nothing. Neither does a run that is refused.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tidewater_tests::binary::Ran;
use tidewater_tests::maintained::Maintained;

const SQL: &str =
    "CREATE EXTERNAL TABLE t (id BIGINT, region TEXT, amount BIGINT) STORED AS CSV LOCATION '${input}/t';
CREATE MATERIALIZED VIEW sums AS SELECT region, sum(amount) AS total FROM t GROUP BY region;
COPY sums TO '${output}/sums' STORED AS CSV;
COPY QUALITY TO '${output}/quality';
CREATE ASSERTION positive ON t CHECK (amount > 0) OPTIONS ('max_rows' '1', 'warn_rows' '0');
CREATE ASSERTION unique_ids CHECK (NOT EXISTS (SELECT id FROM t GROUP BY id HAVING count(*) > 1));";

const DAY: &str = "id,region,amount\n1,seoul,10\n2,busan,20\n";
const WARNED: &str = "id,region,amount\n3,seoul,-10\n4,busan,20\n";
const BROKEN: &str = "id,region,amount\n3,seoul,-10\n4,busan,-20\n4,busan,20\n";

/// Every file below a directory with its inode, time and content. The lock and the store's file are written when they
/// are opened; `Maintained::state` compares what is in the store.
fn tree(path: &Path) -> BTreeMap<PathBuf, (u64, i64, Vec<u8>)> {
    let mut files = BTreeMap::new();
    let mut waiting = vec![path.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                waiting.push(path);
            } else if !path.ends_with("lock") && !path.ends_with("state.redb") {
                let content = fs::read(&path).unwrap();
                files.insert(path, (metadata.ino(), metadata.mtime_nsec(), content));
            }
        }
    }
    files
}

/// Everything that a command may not change: the trees, and what the store holds.
fn everything(place: &Maintained) -> (BTreeMap<PathBuf, (u64, i64, Vec<u8>)>, Value) {
    let mut files = tree(&place.path("out"));
    files.extend(tree(&place.path("state")));
    (files, place.state())
}

fn place() -> Maintained {
    let place = Maintained::new(SQL);
    place.deliver("t/a.csv", DAY, 0);
    let _ = place.commits(&["--quiet"]);
    place
}

#[test]
fn an_audit_says_what_waits_and_changes_nothing() {
    let place = place();
    let before = everything(&place);
    for (content, code, verdicts) in [
        (DAY.replace('1', "5").replace('2', "6"), 0, ["pass", "pass"]),
        (WARNED.to_owned(), 0, ["warn", "pass"]),
        (BROKEN.to_owned(), 3, ["fail", "fail"]),
    ] {
        place.deliver("t/b.csv", &content, 60);
        for workers in ["1", "3"] {
            let ran = place.audit(&["--json", "--workers", workers]);
            let said = ran.code(code).no_panic().json();
            let outcome = if code == 0 { "audited" } else { "refused" };
            assert_eq!(said["outcome"], outcome);
            for (at, verdict) in verdicts.iter().enumerate() {
                assert_eq!(said["assertions"][at]["verdict"], *verdict, "{said}");
            }
            assert_eq!(everything(&place), before, "{content}");
        }
    }
    // For people, with what to do.
    let refused = place.audit(&[]).code(3);
    let _ = refused.says(&[
        "assertion positive fails",
        "in/t/b.csv line 2",
        "nothing was published",
        "--accept positive --because",
    ]);
    let accepted = [
        "--accept",
        "positive",
        "--accept",
        "unique_ids",
        "--because",
        "x",
    ];
    let accepted = place.audit(&accepted).code(0);
    let _ = accepted.prints(&[
        "Waiting after epoch 1: 1 delivery new.",
        "in/t/b.csv, 3 rows in",
        "A run would publish this. The audit published nothing.",
        "(accepted: x)",
    ]);
    assert_eq!(everything(&place), before);
    // A run then does what the audit said.
    place.deliver("t/b.csv", WARNED, 90);
    let ran = place.commits(&["--json"]).json();
    assert_eq!(ran["outcome"], "committed");
    assert_eq!(ran["assertions"][0]["verdict"], "warn");
    place.assert_cold();
}

#[test]
fn a_refused_run_changes_nothing() {
    let place = place();
    let before = everything(&place);
    place.deliver("t/b.csv", BROKEN, 60);
    let said = place.run(&["--json"]).code(3).json();
    assert_eq!(said["outcome"], "refused");
    assert_eq!(said["assertions"][1]["broken"], 1);
    assert!(
        said["message"]
            .as_str()
            .unwrap()
            .contains("in/t/b.csv line 2")
    );
    assert_eq!(everything(&place), before);
    // A file without one good row is refused likewise.
    place.deliver("t/b.csv", "id,region,amount\nx,y,z\n", 90);
    let said = place.run(&["--json"]).code(3).json();
    assert_eq!(
        (&said["outcome"], &said["assertions"]),
        (&json!("refused"), &json!([]))
    );
    assert_eq!(everything(&place), before);
    // The delivery still waits.
    place.deliver("t/b.csv", WARNED, 120);
    assert_eq!(place.commits(&["--json"]).json()["rows_read"], 2);
    place.assert_cold();
}

/// The rows that a run would change in the sums, as lines of CSV.
fn staged(place: &Maintained, more: &[&str]) -> Vec<String> {
    let arguments = [&["sums", "--staged", "--format", "csv"], more].concat();
    let ran = place.command_of("changes", &arguments).output().unwrap();
    let ran = Ran::from(ran).code(0);
    ran.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn what_a_run_would_change_can_be_looked_at() {
    let place = Maintained::new(SQL);
    place.deliver("t/a.csv", DAY, 0);
    let first = ["_count,region,total", "1,busan,20", "1,seoul,10"];
    assert_eq!(staged(&place, &[]), first);
    let _ = place.commits(&["--quiet"]);
    let before = everything(&place);
    assert!(staged(&place, &[]).is_empty());
    place.deliver("t/b.csv", BROKEN, 60);
    let expected = ["_count,region,total", "1,seoul,0", "-1,seoul,10"];
    assert_eq!(staged(&place, &[]), expected);
    assert_eq!(staged(&place, &["--limit", "1"]), expected[..2]);
    assert_eq!(everything(&place), before);
    // A file that changes nothing in a table.
    place.deliver("t/b.csv", "id,region,amount\n9,seoul,0\n", 90);
    assert!(staged(&place, &[]).is_empty());
    let asked = place.command_of("changes", &["other", "--staged"]).output();
    let _ = Ran::from(asked.unwrap())
        .code(2)
        .says(&["has no table other", "sums"]);
    // What it shows is what a run then does, also where the table is rebuilt.
    place.deliver("t/b.csv", WARNED, 120);
    place.declare(&SQL.replace("sum(amount) AS", "sum(amount) + 1 AS"));
    let shown = staged(&place, &[]);
    assert_eq!(
        shown[1..],
        ["-1,busan,20", "1,busan,41", "1,seoul,1", "-1,seoul,10"]
    );
    let _ = place.commits(&["--quiet"]);
    place.assert_cold();
}

#[test]
fn where_nothing_is_new_the_exit_code_is_the_one_asked_for() {
    let place = place();
    let before = everything(&place);
    for command in ["run", "audit"] {
        let nothing = |more: &[&str]| -> Ran {
            let mut command = place.command_of(command, more);
            command.output().unwrap().into()
        };
        let _ = nothing(&[])
            .code(0)
            .prints(&["Nothing changed since epoch 1"]);
        let said = nothing(&["--skip-code", "99", "--json"]).code(99).json();
        assert_eq!(said["outcome"], "nothing new");
        let _ = nothing(&["--skip-code", "3"]).code(2);
    }
    assert_eq!(everything(&place), before);
    place.deliver("t/b.csv", WARNED, 60);
    let _ = place.audit(&["--skip-code", "99"]).code(0);
    let _ = place.run(&["--skip-code", "99"]).code(0);
    let _ = place.run(&["--skip-code", "99"]).code(99);
    // A job that changed is something new.
    place.declare(&SQL.replace("'max_rows' '1'", "'max_rows' '2'"));
    let _ = place
        .audit(&["--skip-code", "99"])
        .code(0)
        .prints(&["The job changed since epoch 2."]);
    let _ = place.run(&["--skip-code", "99"]).code(0);
    let _ = place.audit(&["--skip-code", "99"]).code(99);
}

#[test]
fn a_first_run_can_be_audited() {
    let place = Maintained::new(SQL);
    place.deliver("t/a.csv", BROKEN, 0);
    let _ = place.audit(&[]).code(3);
    place.deliver("t/a.csv", DAY, 60);
    let _ = place
        .audit(&[])
        .code(0)
        .prints(&["Waiting after epoch 0: 1 delivery new."]);
    assert!(!place.path("out/sums").exists());
    assert_eq!(place.commits(&["--json"]).json()["epoch"], 1);
    place.assert_cold();
}
