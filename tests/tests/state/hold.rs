//! `'on_failure' 'hold'`: a file that breaks a rule is set aside, and the tables are those of a cold run over the files.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};
use tidewater_tests::binary::{Ran, command};
use tidewater_tests::maintained::Maintained;
use tidewater_tests::packed;

use crate::crashes;

/// Two rules that hold files of `t`, and tables that join and aggregate them.
const SQL: &str = "CREATE EXTERNAL TABLE t (id BIGINT, region TEXT, amount BIGINT, file TEXT${key:-}) STORED AS CSV
    LOCATION '${input}/t' OPTIONS ('column.file' 'path');
CREATE EXTERNAL TABLE names (region TEXT, name TEXT) STORED AS CSV LOCATION '${input}/names';
CREATE MATERIALIZED VIEW sums AS SELECT region, sum(amount) AS total, count(*) AS n FROM t GROUP BY region;
CREATE MATERIALIZED VIEW named AS SELECT t.id, names.name FROM t JOIN names ON t.region = names.region;
COPY sums TO '${output}/sums' STORED AS CSV;
COPY named TO '${output}/named' STORED AS CSV;
COPY t TO '${output}/entries';
COPY QUALITY TO '${output}/quality';
CREATE ASSERTION regions ON t CHECK (region IN ('seoul', 'busan'))
    OPTIONS ('scope' 'delivery', 'delivery' 'file', 'on_failure' 'hold', 'max_rows' '1');
CREATE ASSERTION positive ON t CHECK (amount > 0)
    OPTIONS ('scope' 'delivery', 'delivery' 'file', 'on_failure' 'hold');";

const GOOD: &str = "id,region,amount\n1,seoul,10\n2,busan,20\n3,jeju,30\n";
/// Breaks `regions` twice.
const ABROAD: &str = "id,region,amount\n1,seoul,11\n2,jeju,20\n3,jeju,30\n4,seoul,1\n";
/// Breaks `positive` once.
const NEGATIVE: &str = "id,region,amount\n1,seoul,-5\n7,busan,20\n";
/// Breaks both.
const BOTH: &str = "id,region,amount\n1,jeju,-5\n7,jeju,20\n";

const KEYED: [&str; 2] = ["key=", "key=, PRIMARY KEY (id)"];

fn place(key: &str) -> Maintained {
    let key = key.trim_start_matches("key=");
    let place = Maintained::new(&SQL.replace("${key:-}", key));
    place.deliver("names/n.csv", "region,name\nseoul,Seoul\njeju,Jeju\n", 0);
    place.deliver("t/a.csv", GOOD, 0);
    place
}

/// The held files with the rules that each breaks, and since which epoch.
fn held(summary: &Value) -> Vec<(String, Vec<String>, u64)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let files = summary["files_held"].as_array().unwrap().iter();
    let held = files.map(|file| {
        let rules = file["assertions"].as_array().unwrap().iter();
        (
            text(&file["path"]),
            rules.map(|rule| text(&rule["name"])).collect(),
            file["since_epoch"].as_u64().unwrap(),
        )
    });
    held.collect()
}

fn one(path: &str, rules: &[&str], since: u64) -> Vec<(String, Vec<String>, u64)> {
    let rules = rules.iter().map(|rule| (*rule).to_owned()).collect();
    vec![(path.to_owned(), rules, since)]
}

fn other(place: &Maintained, command_and_more: &[&str]) -> Ran {
    let mut command = command(command_and_more);
    command.args(["--state", "state"]);
    command.current_dir(place.path(""));
    command.output().unwrap().into()
}

#[test]
fn a_file_is_held_until_it_is_corrected() {
    for key in KEYED {
        let place = place(key);
        place.deliver("t/b.csv", ABROAD, 10);
        let ran = place.commits(&["--json", "--workers", "2"]).json();
        assert_eq!(held(&ran), one("in/t/b.csv", &["regions"], 1));
        assert_eq!(ran["files_held"][0]["assertions"][0]["broken"], 2);
        assert_eq!(ran["files_held"][0]["assertions"][0]["rows"], 4);
        assert_eq!(ran["files_set_aside"], json!([]));
        assert_eq!(ran["assertions"][0]["verdict"], "held");
        assert_eq!(ran["assertions"][1]["verdict"], "pass");
        place.assert_cold();
        // Nothing is new, nothing is read, and a person is told all the same.
        let again = place.commits(&["--json"]).json();
        assert_eq!(
            (&again["outcome"], &again["rows_read"]),
            (&json!("nothing new"), &json!(0))
        );
        assert_eq!(held(&again), one("in/t/b.csv", &["regions"], 1));
        let _ = place.commits(&["--quiet"]).says(&[
            "1 file is held, with none of its rows in the tables:",
            "in/t/b.csv: regions: 2 of 4 rows break it; the limit is 1 row (since epoch 1, ",
            "--accept regions=in/t/b.csv --because",
        ]);
        // Wrong in another way.
        place.deliver("t/b.csv", BOTH, 20);
        let ran = place.commits(&["--json"]).json();
        assert_eq!(held(&ran), one("in/t/b.csv", &["regions", "positive"], 2));
        place.assert_cold();
        place.deliver("t/b.csv", GOOD, 30);
        assert_eq!(held(&place.commits(&["--json"]).json()), []);
        place.assert_cold();
        // A file that was in the tables leaves them.
        place.deliver("t/b.csv", NEGATIVE, 40);
        let ran = place.commits(&["--json"]).json();
        assert_eq!(held(&ran), one("in/t/b.csv", &["positive"], 4));
        assert_eq!(ran["deliveries"][0]["change"], "held");
        assert_eq!(ran["deliveries"][0]["rows_out"], 3);
        place.assert_cold();
        place.withdraw("t/b.csv");
        assert_eq!(held(&place.commits(&["--json"]).json()), []);
        place.assert_cold();
    }
}

#[test]
fn commands_name_what_is_held() {
    let place = place("key=");
    place.deliver("t/b.csv", BOTH, 10);
    let audited = place.audit(&[]).code(0);
    let _ = audited.prints(&[
        "1 file would be held, with none of its rows in the tables:",
        "in/t/b.csv: positive: 1 of 2 rows breaks it; the limit is 0 rows",
        "A run would publish this.",
    ]);
    let audited = place.audit(&["--json"]).code(0).json();
    assert_eq!(
        held(&audited),
        one("in/t/b.csv", &["regions", "positive"], 1)
    );
    let _ = place.commits(&["--quiet"]);
    assert_eq!(
        place.audit(&["--json"]).code(0).json()["outcome"],
        "nothing new"
    );
    let _ = other(&place, &["status"]).code(0).prints(&[
        "1 file held:",
        "in/t/b.csv: assertion regions: 2 of 2 rows break it; the limit is 1 row, and assertion positive: 1 of 2 rows \
         breaks it; the limit is 0 rows (since epoch 1, ",
    ]);
    let status = other(&place, &["status", "--json"]).code(0).json();
    let of_t = &status["sources"]["t"];
    assert_eq!(of_t["files_held"][0]["path"], "in/t/b.csv");
    assert_eq!(of_t["files_held"][0]["since_epoch"], 1);
    assert_eq!(of_t["files_set_aside"], json!([]));
    let _ = other(&place, &["history"]).code(0).prints(&[
        "1 held",
        "regions: 1 of 3 rows breaks it; held since epoch 1: in/t/b.csv (2 of 2 rows)",
    ]);
    let history = other(&place, &["history", "--json"]).code(0).json();
    assert_eq!(
        history["epochs"][0]["assertions"][0]["held"],
        json!([{"delivery": "in/t/b.csv", "broken": 2, "rows": 2, "since": 1}])
    );
    let _ = other(&place, &["quality"]).code(0).prints(&[
        "HELD, score 50",
        "positive: in/t/b.csv is held since epoch 1: 1 of 2 rows break the rule",
    ]);
    let _ = other(
        &place,
        &[
            "quarantine",
            "job.sql",
            "--set",
            "input=in",
            "--set",
            "output=out",
        ],
    )
    .code(0)
    .prints(&["the file is held: assertion regions: 2 of 2 rows break it"]);
}

#[test]
fn a_failure_is_accepted_by_the_names_of_rule_and_file() {
    for key in KEYED {
        let place = place(key);
        place.deliver("t/b.csv", BOTH, 10);
        let _ = place.commits(&["--quiet"]);
        let regions = [
            "--accept",
            "regions=in/t/b.csv",
            "--because",
            "the bank knows",
        ];
        let json = [&regions[..], &["--json"]].concat();
        let ran = place.commits(&json).json();
        assert_eq!(
            held(&ran),
            one("in/t/b.csv", &["positive"], 1),
            "still held since then"
        );
        place.assert_cold_with(&regions);
        // An acceptance is kept while the file is held for another reason.
        let positive = ["--accept", "positive=in/t/b.csv", "--because", "refunds"];
        let ran = place.commits(&[&positive[..], &["--json"]].concat()).json();
        assert_eq!(held(&ran), []);
        assert_eq!(ran["deliveries"][0]["change"], "released");
        let both = [&regions[..2], &positive[..]].concat();
        place.assert_cold_with(&both);
        assert_eq!(place.commits(&["--json"]).json()["outcome"], "nothing new");
        // Fewer broken rows stay accepted, more do not.
        place.deliver("t/b.csv", NEGATIVE, 20);
        assert_eq!(held(&place.commits(&["--json"]).json()), []);
        place.assert_cold_with(&positive);
        place.deliver("t/b.csv", BOTH, 30);
        let ran = place.commits(&["--json"]).json();
        assert_eq!(
            held(&ran),
            one("in/t/b.csv", &["regions"], 5),
            "was corrected meanwhile"
        );
        let ran = place.commits(&json).json();
        assert_eq!(held(&ran), []);
        // Another delivery that replaces its rows by key changes nothing.
        place.deliver("t/c.csv", "id,region,amount\n1,seoul,1\n7,seoul,1\n", 40);
        let _ = place.commits(&["--quiet"]);
        place.assert_cold_with(&both);
        place.withdraw("t/c.csv");
        let _ = place.commits(&["--quiet"]);
        place.assert_cold_with(&both);
        let _ = place.commits(&["--rebuild", "--quiet"]);
        place.assert_cold_with(&both);
    }
}

#[test]
fn deliveries_of_the_same_content_stay_held() {
    for key in KEYED {
        let place = place(key);
        place.deliver("t/b.csv", ABROAD, 10);
        let _ = place.commits(&["--quiet"]);
        place.deliver("t/b.csv", ABROAD, 99);
        let ran = place.commits(&["--json", "--rehash"]).json();
        assert_eq!(ran["outcome"], "nothing new");
        assert_eq!(held(&ran), one("in/t/b.csv", &["regions"], 1));
        place.assert_cold();
        // A copy under another name is another delivery.
        fs::rename(place.path("in/t/b.csv"), place.path("in/t/z.csv")).unwrap();
        let ran = place.commits(&["--json"]).json();
        assert_eq!(held(&ran), one("in/t/z.csv", &["regions"], 2));
        place.assert_cold();
    }
}

#[test]
fn a_changed_rule_judges_everything_again() {
    for key in KEYED {
        let place = place(key);
        let declare = |from: &str, to: &str| {
            let key = key.trim_start_matches("key=");
            let sql = SQL.replace("${key:-}", key);
            assert!(sql.contains(from), "{from}");
            place.declare(&sql.replace(from, to));
        };
        place.deliver("t/b.csv", ABROAD, 10);
        place.deliver("t/c.csv", NEGATIVE, 20);
        assert_eq!(held(&place.commits(&["--json"]).json()).len(), 2);
        // One file is good enough now; another one is not any more.
        declare("'max_rows' '1'", "'max_rows' '2'");
        let ran = place.commits(&["--json"]).json();
        assert_eq!(held(&ran), one("in/t/c.csv", &["positive"], 1));
        place.assert_cold();
        declare("'max_rows' '1'", "'max_rows' '0'");
        let ran = place.run(&["--json", "--workers", "3"]).code(3);
        assert_eq!(ran.json()["outcome"], "refused", "all files would be held");
        let _ = ran.says(&["in/t/a.csv line 4: {", "in/t/b.csv line 3: {"]);
        place.deliver("t/d.csv", "id,region,amount\n9,seoul,1\n", 30);
        let ran = place.commits(&["--json", "--workers", "3"]).json();
        assert_eq!(held(&ran).len(), 3, "{ran}");
        place.assert_cold();
        // Without the rules, everything is taken in.
        declare("'on_failure' 'hold'", "'on_failure' 'publish'");
        assert_eq!(held(&place.commits(&["--json"]).json()), []);
        place.assert_cold();
        declare("'on_failure' 'hold'", "'on_failure' 'stop'");
        let _ = place.run(&[]).code(3).says(&["assertion regions fails"]);
        declare("'max_rows' '1'", "'max_rows' '1'");
        assert_eq!(held(&place.commits(&["--json"]).json()).len(), 2);
        place.assert_cold();
        // A view under the rule, another declaration, and a rule less.
        declare("amount BIGINT", "amount DECIMAL(9, 2)");
        let _ = place.commits(&["--quiet"]);
        place.assert_cold();
        declare(
            "CREATE ASSERTION positive ON t CHECK (amount > 0)\n    OPTIONS ('scope' 'delivery', 'delivery' 'file', 'on_failure' 'hold');",
            "",
        );
        let ran = place.commits(&["--json"]).json();
        assert_eq!(ran["files_held"][0]["path"], "in/t/b.csv");
        assert_eq!(held(&ran).len(), 1, "{ran}");
        place.assert_cold();
    }
}

#[test]
fn nothing_is_published_when_all_files_would_be_held() {
    let place = place("key=");
    let _ = place.commits(&["--quiet"]);
    let before = (place.tables(), place.state());
    place.deliver("t/a.csv", ABROAD, 10);
    place.deliver("t/b.csv", BOTH, 10);
    for ran in [place.run(&[]), place.audit(&[])] {
        let _ = ran.code(3).says(&[
            "assertion regions fails",
            "in/t/a.csv: 2 of 4 rows break it; the limit is 1 row",
            "in/t/a.csv line 3: {",
            "assertion positive fails",
            "If the 2 files that break a rule were held, source t would have no rows",
            "nothing was published",
        ]);
    }
    assert_eq!((place.tables(), place.state()), before);
    place.deliver("t/a.csv", GOOD, 20);
    let _ = place.commits(&["--quiet"]);
    place.assert_cold();
    // The last good file is withdrawn.
    place.withdraw("t/a.csv");
    let _ = place
        .run(&[])
        .code(3)
        .says(&["source t would have no rows"]);
    let accept = [
        "--accept",
        "regions",
        "--accept",
        "positive",
        "--because",
        "it is so",
    ];
    let _ = place.commits(&[&accept[..], &["--quiet"]].concat());
    place.assert_cold_with(&accept);
}

/// A rule that stops is judged without the files that are held, and still stops.
#[test]
fn other_rules_see_what_is_left() {
    let rule = "CREATE ASSERTION enough CHECK ((SELECT count(*) FROM t) >= 4);
        CREATE ASSERTION few CHECK ((SELECT count(*) FROM t) < 7) OPTIONS ('on_failure' 'publish');";
    let place = Maintained::new(&format!("{}{rule}", SQL.replace("${key:-}", "")));
    place.deliver("names/n.csv", "region,name\nseoul,Seoul\n", 0);
    place.deliver("t/a.csv", GOOD, 0);
    place.deliver("t/b.csv", ABROAD, 0);
    let ran = place.run(&["--json"]).code(3);
    assert_eq!(ran.json()["assertions"][0]["verdict"], "held");
    assert_eq!(ran.json()["assertions"][2]["verdict"], "fail");
    let accept = ["--accept", "regions", "--because", "x"];
    let ran = place.commits(&[&accept[..], &["--json"]].concat()).json();
    assert_eq!(ran["assertions"][2]["verdict"], "pass");
    assert_eq!(ran["assertions"][3]["verdict"], "fail", "and published");
    place.assert_cold_with(&accept);
    let _ = place.commits(&["--quiet"]).says(&[
        "1 assertion fails and is published all the same ('on_failure' 'publish'):",
        "few: 1 row breaks it; the limit is 0 rows",
    ]);
    let _ = other(&place, &["quality"]).code(0).prints(&["FAIL, score"]);
}

/// Limits of bad rows do not count a held file as a bad row, and bad files are set aside as before.
#[test]
fn bad_rows_and_bad_files_are_told_apart() {
    let options = "('column.file' 'path', 'max_bad_rows' '1', 'on_bad_file' 'quarantine'";
    let sql = SQL
        .replace("${key:-}", "")
        .replace("('column.file' 'path'", options);
    let place = Maintained::new(&sql);
    place.deliver("names/n.csv", "region,name\nseoul,Seoul\n", 0);
    place.deliver("t/a.csv", GOOD, 0);
    for held in 0..3 {
        place.deliver(&format!("t/held{held}.csv"), format!("{BOTH}8,jeju,x\n"), 0);
    }
    place.deliver("t/bad.csv", "id;region\n1;2\n", 0);
    let ran = place.commits(&["--json"]).json();
    assert_eq!(held(&ran).len(), 3, "{ran}");
    assert_eq!(ran["files_set_aside"][0]["path"], "in/t/bad.csv");
    assert_eq!(ran["rows_in_quarantine"], 4);
    place.assert_cold();
    for name in ["t/held0.csv", "t/bad.csv"] {
        place.deliver(name, GOOD, 10);
        let _ = place.commits(&["--quiet"]);
        place.assert_cold();
    }
    let _ = place.commits(&["--rebuild", "--quiet"]);
    place.assert_cold();
}

/// A rule on a view, in every format, over files that grow.
#[test]
fn rules_on_views_hold_files_of_any_format() {
    for (format, lines) in [
        ("CSV", ["k,v\na,1\n", "b,-1\n", "b,-1\nc,3\n"]),
        (
            "JSON",
            [
                "{\"k\":\"a\",\"v\":1}\n",
                "{\"k\":\"b\",\"v\":-1}\n",
                "{\"k\":\"b\",\"v\":-1}\n{\"k\":\"c\",\"v\":3}\n",
            ],
        ),
    ] {
        let sql = format!(
            "CREATE EXTERNAL TABLE t (k TEXT, v BIGINT, file TEXT) STORED AS {format} LOCATION '${{input}}/t'
                OPTIONS ('column.file' 'path', 'on_change' 'append', 'on_error' 'quarantine');
             CREATE VIEW seen AS SELECT upper(k) AS k, v * 2 AS w, 10 / v AS x, file AS src FROM t WHERE k <> 'skip';
             CREATE MATERIALIZED VIEW sums AS SELECT k, sum(w) AS s, max(x) AS x FROM seen GROUP BY k;
             COPY sums TO '${{output}}/sums' STORED AS CSV;
             COPY QUALITY TO '${{output}}/quality';
             CREATE ASSERTION up ON seen CHECK (w > 0)
                OPTIONS ('scope' 'delivery', 'delivery' 'src', 'on_failure' 'hold', 'max_ratio' '0.4');"
        );
        let place = Maintained::new(&sql);
        place.deliver("t/a.x", lines[0], 0);
        place.deliver("t/b.x", lines[0], 0);
        let _ = place.commits(&["--quiet"]);
        place.deliver("t/b.x", [lines[0], lines[1]].concat(), 10);
        let ran = place.commits(&["--json"]).json();
        assert_eq!(held(&ran), one("in/t/b.x", &["up"], 2), "{format}");
        place.assert_cold();
        place.deliver("t/b.x", [lines[0], lines[2]].concat(), 20);
        assert_eq!(held(&place.commits(&["--json"]).json()), [], "{format}");
        place.assert_cold();
    }
}

/// A crash at any point of a commit that holds two files, one of which was in the tables.
#[test]
fn a_crash_while_files_are_held_changes_nothing() {
    let ready = || {
        let place = place("key=");
        place.deliver("t/b.csv", GOOD, 0);
        let _ = place.commits(&["--quiet"]);
        place.deliver("t/b.csv", NEGATIVE, 10);
        place.deliver("t/c.csv", ABROAD, 10);
        place
    };
    let undisturbed = ready();
    let _ = undisturbed.commits(&["--quiet"]);
    for point in crashes::points() {
        let place = ready();
        for _ in 0..2 {
            crashes::dies(&place, point, &["--quiet"]);
        }
        let ran = place.commits(&["--json"]).json();
        assert_eq!(held(&ran).len(), 2, "{point}: {ran}");
        assert_eq!(place.tables(), undisturbed.tables(), "{point}");
        assert_eq!(place.state(), undisturbed.state(), "{point}");
        assert_eq!(place.litter(), Vec::<PathBuf>::new(), "{point}");
        place.deliver("t/b.csv", GOOD, 20);
        let _ = place.commits(&["--quiet"]);
        place.assert_cold();
    }
}

/// Files of many blocks and row groups, read by several workers.
#[test]
fn large_files_are_held_as_a_whole() {
    const ROWS: u64 = 24_000;
    // More than a block of the reader.
    let many = |abroad: u64| {
        let rows = (0..ROWS).map(|row| {
            let region = if row < abroad { "jeju" } else { "seoul" };
            format!("{row:0>200},{region},1\n")
        });
        format!("id,region,amount\n{}", rows.collect::<String>())
    };
    for key in KEYED {
        let place = place(key);
        let (bad, good) = (many(2), many(1));
        place.deliver("t/big.csv", &bad, 0);
        place.deliver("t/packed.csv.gz", packed::gzip(bad.as_bytes()), 0);
        place.deliver("t/good.csv", &good, 0);
        let ran = place.commits(&["--json", "--workers", "3"]).json();
        assert_eq!(held(&ran).len(), 2, "{ran}");
        assert_eq!(ran["files_held"][0]["assertions"][0]["rows"], ROWS);
        place.assert_cold();
        place.deliver("t/good.csv", &bad, 10);
        place.deliver("t/packed.csv.gz", packed::gzip(good.as_bytes()), 10);
        let ran = place.commits(&["--json", "--workers", "3"]).json();
        assert_eq!(held(&ran).len(), 2, "{ran}");
        place.assert_cold();
    }
}

#[test]
fn parquet_files_are_held_too() {
    let parquet = |amounts: std::ops::Range<i64>| {
        let rows = amounts.end - amounts.start;
        let regions = StringArray::from_iter_values((0..rows).map(|_| "seoul"));
        let columns = [
            (
                "id",
                Arc::new(Int64Array::from_iter_values(0..rows)) as ArrayRef,
            ),
            ("region", Arc::new(regions)),
            ("amount", Arc::new(Int64Array::from_iter_values(amounts))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(100))
            .build();
        let mut bytes = Vec::new();
        let mut writer =
            ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        bytes
    };
    let sql = SQL
        .replace("${key:-}", "")
        .replacen("STORED AS CSV", "STORED AS PARQUET", 1);
    let place = Maintained::new(&sql);
    place.deliver("names/n.csv", "region,name\nseoul,Seoul\n", 0);
    place.deliver("t/a.parquet", parquet(1..500), 0);
    place.deliver("t/b.parquet", parquet(0..500), 0);
    let ran = place.commits(&["--json", "--workers", "3"]).json();
    assert_eq!(held(&ran), one("in/t/b.parquet", &["positive"], 1));
    assert_eq!(ran["files_held"][0]["assertions"][0]["broken"], 1);
    place.assert_cold();
    place.deliver("t/b.parquet", parquet(1..700), 10);
    place.deliver("t/a.parquet", parquet(-7..500), 10);
    let ran = place.commits(&["--json"]).json();
    assert_eq!(held(&ran), one("in/t/a.parquet", &["positive"], 2));
    place.assert_cold();
}

#[test]
fn follow_and_replay_hold_files_too() {
    let place = place("key=");
    place.deliver("t/it's b.csv", ABROAD, 10);
    let set = ["--set", "input=in", "--set", "output=out"];
    let mut follower = command(&["follow", "job.sql", "--state", "state", "--every", "50ms"]);
    follower
        .args(set)
        .args(["--json"])
        .current_dir(place.path(""));
    follower.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut follower = follower.spawn().unwrap();
    let output = follower.stdout.take().unwrap();
    let mut commits = BufReader::new(output).lines().map(|line| {
        let line = line.unwrap();
        serde_json::from_str::<Value>(&line).unwrap_or_else(|_| panic!("{line}"))
    });
    assert_eq!(
        held(&commits.next().unwrap()),
        one("in/t/it's b.csv", &["regions"], 1)
    );
    // A follower sees whole files.
    let deliver = |name: &str, content: &str| {
        fs::write(place.path("new"), content).unwrap();
        fs::rename(place.path("new"), place.path("in").join(name)).unwrap();
    };
    deliver("t/it's b.csv", GOOD);
    assert_eq!(held(&commits.next().unwrap()), []);
    deliver("t/a.csv", NEGATIVE);
    assert_eq!(
        held(&commits.next().unwrap()),
        one("in/t/a.csv", &["positive"], 3)
    );
    // Nothing would be left.
    deliver("t/it's b.csv", BOTH);
    assert!(commits.next().is_none());
    let ran = Ran::from(follower.wait_with_output().unwrap()).code(3);
    let _ = ran.says(&[
        r"--accept 'regions=in/t/it'\''s b.csv' --because",
        "source t would have no rows",
    ]);
    let replay = ["replay", "job.sql", "--step", "1 day", "--changes", "-"];
    let replay = |place: &Maintained| {
        let mut command = command(&replay);
        command.args(set).current_dir(place.path(""));
        let ran = Ran::from(command.output().unwrap()).code(0);
        let mut rows: Vec<String> = ran.stdout.lines().map(str::to_owned).collect();
        rows.sort();
        (ran, rows)
    };
    place.deliver("t/c.csv", GOOD, 0);
    let (ran, rows) = replay(&place);
    let _ = ran.says(&["in/t/a.csv is held: assertion positive: 1 of 2 rows breaks it"]);
    let alone = Maintained::new(&SQL.replace("${key:-}", ""));
    alone.deliver("names/n.csv", "region,name\nseoul,Seoul\njeju,Jeju\n", 0);
    alone.deliver("t/c.csv", GOOD, 0);
    assert_eq!(rows, replay(&alone).1);
}
