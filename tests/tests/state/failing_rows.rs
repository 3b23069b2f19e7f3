//! Rows on which an expression of a view fails: the message gives their places, and `'on_error' 'quarantine'` sets
//! them aside, and removes them with their delivery, whatever the runs.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use serde_json::Value;
use tidewater_tests::binary::{Ran, command};
use tidewater_tests::maintained::Maintained;
use tidewater_tests::packed;

const SOURCE: &str =
    "CREATE EXTERNAL TABLE t (k TEXT, v BIGINT) STORED AS CSV LOCATION '${input}/t'
    OPTIONS ('on_error' '${on_error:-stop}');";

fn job(query: &str) -> String {
    format!(
        "{SOURCE} CREATE MATERIALIZED VIEW result AS {query}; COPY result TO '${{output}}/result' STORED AS CSV;"
    )
}

fn other(place: &Maintained, arguments: &[&str]) -> Ran {
    let mut command = command(arguments);
    command.current_dir(place.path(""));
    command.args(["--set", "input=in", "--set", "output=out"]);
    command.output().unwrap().into()
}

/// The content that the state records. A failed run may leave other content, which the next run removes.
fn records(place: &Maintained) -> Value {
    place.state()["records"].clone()
}

const GOOD: &str = "k,v\n1,1\n2,2\n";
/// Line 3 is a row of two lines, so the row that fails is on line 5.
const BAD: &str = "k,v\n7,1\n\"a\nb\",5\n8,0\n9,2\n";

/// Queries that fail on the row of line 5 alone, and what the message must say.
const FAILING: [(&str, &[&str]); 7] = [
    (
        "SELECT k, 10 / v AS q FROM t",
        &["divides by zero", "v = 0"],
    ),
    (
        "SELECT k, sum(10 / v) AS q FROM t GROUP BY k",
        &["divides by zero", "v = 0"],
    ),
    (
        "SELECT k FROM t WHERE 10 % v > 1",
        &["divides by zero", "v = 0"],
    ),
    (
        "WITH big AS (SELECT k, v - 1 AS w FROM t) SELECT k, 7 / (w + 1) AS q FROM big",
        &["divides by zero"],
    ),
    (
        "SELECT k, 10 / v AS q FROM t UNION ALL SELECT k, v AS q FROM t",
        &["divides by zero"],
    ),
    (
        "SELECT a.k, a.q, b.v FROM (SELECT k, 10 / v AS q FROM t) a JOIN t b ON a.k = b.k",
        &["divides by zero"],
    ),
    (
        "SELECT CAST(CASE WHEN v = 0 THEN 'none' ELSE '1' END AS BIGINT) AS n FROM t",
        &["'none'", "CAST"],
    ),
];

#[test]
fn a_failing_expression_names_file_and_line() {
    for (query, parts) in FAILING {
        let place = Maintained::new(&job(query));
        place.deliver("t/a.csv", GOOD, 0);
        let _ = place.commits(&["--quiet"]);
        let (tables, state) = (place.tables(), records(&place));
        place.deliver("t/b.csv", BAD, 10);
        let where_it_is = ["source t, in/t/b.csv line 5", "on_error"];
        for workers in ["1", "3"] {
            let ran = place.run(&["--workers", workers]).code(1).no_panic();
            let _ = ran.says(&where_it_is).says(parts);
        }
        let cold = other(&place, &["run", "job.sql", "--take-over"]).code(1);
        let _ = cold.says(&where_it_is).says(parts);
        let follow = ["follow", "job.sql", "--state", "state", "--every", "50ms"];
        let _ = other(&place, &follow)
            .code(1)
            .says(&where_it_is)
            .says(parts);
        let replay = other(&place, &["replay", "job.sql", "--step", "1 day", "--quiet"]);
        let _ = replay.code(1).says(&where_it_is).says(parts);
        assert_eq!(place.tables(), tables, "{query}");
        assert_eq!(records(&place), state, "{query}");
    }
}

#[test]
fn behind_an_aggregation_the_view_and_its_values_are_named() {
    let place = Maintained::new(&job("SELECT k, 10 / sum(v) AS q FROM t GROUP BY k"));
    place.deliver("t/b.csv", BAD, 10);
    let ran = place
        .run(&[])
        .code(1)
        .says(&["result", "divides by zero", "= 0"]);
    assert!(!ran.stderr.contains("line 5"), "{}", ran.stderr);
}

#[test]
fn rows_that_fail_are_set_aside_and_go_with_their_file() {
    for (query, parts) in FAILING {
        for key in ["", ", PRIMARY KEY (k)"] {
            let sql = job(query)
                .replace("'${on_error:-stop}'", "'quarantine'")
                .replace("v BIGINT)", &format!("v BIGINT{key})"))
                .replace("k TEXT,", "k TEXT NOT NULL,");
            let place = Maintained::new(&sql);
            place.deliver("t/a.csv", GOOD, 0);
            let _ = place.commits(&["--quiet"]);
            let before = place.tables();
            place.deliver("t/b.csv", format!("{BAD}x,y\n"), 10);
            let ran = place.commits(&["--json", "--workers", "2"]).json();
            assert_eq!(ran["rows_read"], 5, "{query}: {ran}");
            assert_eq!(ran["rows_quarantined"], 2, "{query}: {ran}");
            place.assert_cold();
            let shown = quarantine(&place);
            let reason = shown.iter().find(|row| row.contains("|5|")).unwrap();
            for part in parts
                .iter()
                .chain(&["view result: ", "in/t/b.csv", "\"v\":0"])
            {
                assert!(reason.contains(part), "{query}: no {part:?} in {reason}");
            }
            // One more view, and one that fails on other rows: both are built from the same rows, or from fewer.
            let more = "CREATE MATERIALIZED VIEW more AS SELECT k, 10 / (v - 2) AS q FROM t; COPY more TO '${output}/more';";
            place.declare(&format!("{sql}{more}"));
            let _ = place.commits(&[]);
            place.assert_cold();
            place.declare(&sql);
            let _ = place.commits(&[]);
            std::fs::remove_dir_all(place.path("out/more")).unwrap();
            place.assert_cold();
            // The file is corrected, bad again, and removed.
            place.deliver("t/b.csv", GOOD, 20);
            let _ = place.commits(&[]);
            place.assert_cold();
            place.deliver("t/b.csv", BAD, 30);
            let _ = place.commits(&["--rebuild"]);
            place.assert_cold();
            place.withdraw("t/b.csv");
            let _ = place.commits(&[]);
            place.assert_cold();
            assert_eq!(place.tables(), before, "{query}");
        }
    }
}

/// The rows of the quarantine as a cold run publishes them, values between bars.
fn quarantine(place: &Maintained) -> Vec<String> {
    let rows =
        tidewater_tests::published::rows_by_partition(&place.path("state/tables/_quarantine"));
    let rows = rows.into_values().flatten();
    let values = |row: String| row.replace("\", \"", "|").replace("\\\"", "\"");
    rows.map(values).collect()
}

#[test]
fn rows_of_every_format_tell_their_place() {
    let columns: [(&str, ArrayRef); 2] = [
        ("k", Arc::new(StringArray::from(vec!["a", "b", "c"]))),
        ("v", Arc::new(Int64Array::from(vec![3, 0, 1]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut parquet = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut parquet, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let korean = [b"k,v\n\xbc\xad,1\n".as_slice(), b"\xb4\xeb,0\n"].concat();
    let utf16: Vec<u8> = "k,v\na,1\nb,0\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let json = "{\"k\":\"a\",\"v\":1}\n\n{\"k\":\"b\",\"v\":0}\n";
    let cases: [(&str, &str, &str, Vec<u8>, &str); 8] = [
        ("CSV", "", "a.csv", BAD.into(), "a.csv line 5"),
        (
            "CSV",
            "",
            "a.csv.gz",
            packed::gzip(BAD.as_bytes()),
            "a.csv.gz line 5",
        ),
        (
            "CSV",
            ", 'encoding' 'cp949'",
            "a.csv",
            korean,
            "a.csv line 3",
        ),
        (
            "CSV",
            ", 'encoding' 'utf-16le'",
            "a.csv",
            utf16,
            "a.csv line 3",
        ),
        (
            "CSV",
            ", 'line_end' 'any'",
            "a.csv",
            b"k,v\ra,1\rb,0\r".to_vec(),
            "a.csv line 3",
        ),
        (
            "CSV",
            ", 'skip_lines' '2'",
            "a.csv",
            format!("x\ny\n{BAD}").into(),
            "a.csv line 7",
        ),
        ("JSON", "", "a.json", json.into(), "a.json line 3"),
        ("PARQUET", "", "a.parquet", parquet, "a.parquet line 2"),
    ];
    for (stored_as, options, name, content, at) in cases {
        let sql = job("SELECT k, 10 / v AS q FROM t")
            .replace(
                "STORED AS CSV LOCATION",
                &format!("STORED AS {stored_as} LOCATION"),
            )
            .replace(
                "'${on_error:-stop}')",
                &format!("'${{on_error:-stop}}'{options})"),
            );
        let place = Maintained::new(&sql);
        place.deliver(&format!("t/{name}"), content, 0);
        let _ = place.run(&[]).code(1).says(&[at, "divides by zero"]);
        let aside = ["--set", "on_error=quarantine", "--json"];
        let ran = place.commits(&aside).json();
        assert_eq!(ran["rows_quarantined"], 1, "{at}: {ran}");
        let line = at.rsplit(' ').next().unwrap();
        let rows = quarantine(&place);
        assert!(rows[0].contains(&format!("|{line}|")), "{at}: {rows:?}");
    }
}

#[test]
fn replay_sets_rows_aside_too() {
    let sql = job("SELECT k, 10 / v AS q FROM t").replace("'${on_error:-stop}'", "'quarantine'");
    let place = Maintained::new(&sql);
    place.deliver("t/a.csv", GOOD, 0);
    place.deliver("t/b.csv", BAD, 0);
    let replay = ["replay", "job.sql", "--step", "1 day", "--json"];
    let ran = other(&place, &replay)
        .code(0)
        .says(&["1 row left out", "b.csv line 5"]);
    assert!(ran.stdout.contains("\"result\""), "{}", ran.stdout);
}

/// Rows that are set aside count as rejected, whichever run read them.
#[test]
fn rows_set_aside_are_counted_after_a_rebuild_too() {
    let place = Maintained::new(&job("SELECT k, 10 / v AS q FROM t"));
    place.deliver("t/a.csv", GOOD, 0);
    place.deliver("t/b.csv", BAD, 10);
    let aside = ["--set", "on_error=quarantine"];
    let run = |more: &[&str]| {
        place
            .commits(&[&aside[..], &["--json"], more].concat())
            .json()
    };
    let counts = || {
        let arguments = ["status", "job.sql", "--state", "state", "--json"];
        let status = other(&place, &[&arguments[..], &aside].concat()).code(0);
        let source = status.json()["sources"]["t"].clone();
        (source["rows"].clone(), source["rows_quarantined"].clone())
    };
    assert_eq!(run(&[])["rows_quarantined"], 1);
    let first = counts();
    assert_eq!(first.1, 1);
    // A rebuild reads no news. What it reads again is not counted as read.
    let rebuilt = run(&["--rebuild"]);
    assert_eq!(rebuilt["rows_read"], 0);
    assert_eq!(rebuilt["rows_quarantined"], 0);
    assert_eq!(rebuilt["rows_in_quarantine"], 1);
    assert_eq!(counts(), first);
    // A changed view rejects one row less.
    place.declare(&job("SELECT k, v AS q FROM t"));
    let _ = run(&[]);
    assert_eq!(counts().1, 0);
}
