//! The source's declaration decides whether a row is bad, and not which columns are read. A declared type that a
//! format cannot hold is an error of the job.

use tidewater_tests::binary::snapshot;

use crate::place::Place;

const SOURCE: &str =
    "CREATE EXTERNAL TABLE tx (day DATE NOT NULL, store TEXT, amount BIGINT NOT NULL)
    STORED AS CSV LOCATION '${input}'";

const TOTAL: &str = "CREATE MATERIALIZED VIEW total AS SELECT sum(amount) AS total FROM tx;
    COPY total TO '${output}/total' STORED AS CSV;";

const BY_DAY: &str =
    "CREATE MATERIALIZED VIEW by_day AS SELECT day, count(*) AS n FROM tx GROUP BY day;
    COPY by_day TO '${output}/by_day' STORED AS CSV;";

const ROWS: &str = "day,store,amount\n2024-03-01,a,1\n,,600\nTOTAL,,600\n2024-03-02,b,2\n";

fn table(place: &Place, name: &str) -> String {
    let files = snapshot(&place.path("out").join(name)).into_values();
    files
        .map(|bytes| String::from_utf8(bytes).unwrap())
        .collect()
}

#[test]
fn a_view_that_is_added_changes_no_other() {
    let place = Place::new();
    place.deliver("a.csv", ROWS);
    let state = place.path("state").display().to_string();
    let state = ["--state", state.as_str(), "--json"];
    let first = format!("{SOURCE}; {TOTAL}");
    let summary = place.run(&first, &state).code(0).json();
    assert_eq!(summary["rows_quarantined"], 2, "{summary}");
    assert_eq!(table(&place, "total"), "total\n3\n");
    let files = snapshot(&place.path("out/total"));
    // `total` is not rebuilt, and not even its file is written.
    let both = format!("{SOURCE}; {TOTAL} {BY_DAY}");
    let ran = place.run(&both, &["--state", state[1]]).code(0);
    assert!(!ran.stderr.contains("total is"), "{}", ran.stderr);
    assert_eq!(snapshot(&place.path("out/total")), files);
    assert_eq!(
        table(&place, "by_day"),
        "day,n\n2024-03-01,1\n2024-03-02,1\n"
    );
    let _ = place.run(&first, &state).code(0);
    assert_eq!(snapshot(&place.path("out/total")), files);
}

#[test]
fn columns_that_no_view_reads_may_be_left_unchecked() {
    let place = Place::new();
    place.deliver("a.csv", ROWS);
    let job = format!("{SOURCE} OPTIONS ('check' 'read_columns'); {TOTAL}");
    let summary = place.run(&job, &["--json"]).code(0).json();
    assert_eq!(summary["rows_quarantined"], 0, "{summary}");
    assert_eq!(table(&place, "total"), "total\n1203\n");
}

#[test]
fn a_row_without_its_key_is_a_bad_row() {
    let place = Place::new();
    place.deliver("a.csv", "id,n\n,1\n,2\n7,3\n7,4\n");
    let job = "CREATE EXTERNAL TABLE t (id BIGINT, n BIGINT, PRIMARY KEY (id)) STORED AS CSV LOCATION '${input}';
        CREATE MATERIALIZED VIEW result AS SELECT n FROM t; COPY result TO '${output}/result' STORED AS CSV;";
    let summary = place.run(job, &["--json"]).code(0).json();
    assert_eq!(summary["rows_quarantined"], 2, "{summary}");
    assert_eq!(table(&place, "result"), "n\n4\n");
}

#[test]
fn types_that_a_format_cannot_hold_are_errors_of_the_job() {
    let place = Place::new();
    place.deliver("a.csv", "a\n1\n");
    for (column, format) in [("a INT[]", "CSV"), ("a INT", "TEXT")] {
        let job = format!(
            "CREATE EXTERNAL TABLE t ({column}) STORED AS {format} LOCATION '${{input}}/a.csv';
             CREATE MATERIALIZED VIEW result AS SELECT a FROM t; COPY result TO '${{output}}/result' STORED AS PARQUET;"
        );
        let (input, output) = (place.path("in"), place.path("out"));
        let ran = place.command("check", &job, &input, &output, &[]).code(2);
        assert!(ran.stderr.contains("column 'a'"), "{}", ran.stderr);
        assert!(ran.stderr.contains(":1:"), "{}", ran.stderr);
    }
}

const LATEST: &str = "CREATE EXTERNAL TABLE t (id BIGINT, at TIMESTAMP, n BIGINT, PRIMARY KEY (id))
   STORED AS CSV LOCATION '${input}' OPTIONS ('latest_by' 'at');
 CREATE MATERIALIZED VIEW result AS SELECT id, n FROM t ORDER BY id; COPY result TO '${output}/result' STORED AS CSV;";

#[test]
fn a_column_decides_which_row_of_a_key_counts() {
    let place = Place::new();
    let state = place.path("state");
    let commit = |expected: &str| {
        let expected = format!("id,n\n{expected}");
        for more in [&[][..], &["--rebuild"]] {
            let more = [&["--state", state.to_str().unwrap()], more].concat();
            let _ = place.run(LATEST, &more).code(0);
            assert_eq!(table(&place, "result"), expected, "{more:?}");
        }
        let cold = place.path("out/cold");
        let _ = place
            .run_between(LATEST, &place.path("in"), &cold, &[])
            .code(0);
        assert_eq!(table(&place, "cold/result"), expected);
    };
    place.deliver(
        "a.csv",
        "id,at,n\n1,2024-03-05 00:00:00,1\n1,2024-03-04 00:00:00,2\n2,,3\n2,,4\n",
    );
    commit("1,1\n2,4\n");
    // A later file with a smaller value, an equal one, and a value after NULL.
    place.deliver(
        "b.csv",
        "id,at,n\n1,2024-03-01 00:00:00,5\n2,2024-01-01 00:00:00,6\n3,,7\n",
    );
    commit("1,1\n2,6\n3,7\n");
    place.deliver("c.csv", "id,at,n\n1,2024-03-05 00:00:00,8\n");
    commit("1,8\n2,6\n3,7\n");
    // When files are corrected and withdrawn, earlier rows count again.
    place.deliver("c.csv", "id,at,n\n3,2024-03-05 00:00:00,9\n");
    commit("1,1\n2,6\n3,9\n");
    std::fs::remove_file(place.path("in").join("b.csv")).unwrap();
    commit("1,1\n2,4\n3,9\n");
}

#[test]
fn a_column_that_cannot_decide_is_an_error_of_the_job() {
    let place = Place::new();
    let (input, output) = (place.path("in"), place.path("out"));
    for (from, to, says) in [
        (
            "'latest_by' 'at'",
            "'latest_by' 'att'",
            "did you mean 'at'?",
        ),
        (", PRIMARY KEY (id)", "", "the source has none"),
        ("at TIMESTAMP", "at INT[]", "have no order"),
    ] {
        let job = LATEST.replace(from, to);
        let job = job.replacen("STORED AS CSV", "STORED AS JSON", 1);
        let ran = place.command("check", &job, &input, &output, &[]).code(2);
        assert!(ran.stderr.contains(says), "{to}: {}", ran.stderr);
    }
    let ran = place
        .command("explain", LATEST, &input, &output, &[])
        .code(0);
    assert!(ran.stdout.contains("greatest at"), "{}", ran.stdout);
}
