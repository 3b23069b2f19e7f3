//! Runs that fail: the exit code, the reason, and unchanged tables.

use tidewater_tests::binary::{Ran, snapshot};

use crate::place::Place;

const SOURCE: &str =
    "CREATE EXTERNAL TABLE t (k TEXT, v BIGINT) STORED AS CSV LOCATION '${input}';";

/// A job of one table over `t`.
fn job(query: &str) -> String {
    format!(
        "{SOURCE} CREATE MATERIALIZED VIEW result AS {query}; COPY result TO '${{output}}/result' STORED AS PARQUET;"
    )
}

/// Runs `query` over good rows and then over `rows`. The second run must fail, and leave the tables of the first.
fn fails(query: &str, rows: &str, workers: &str) -> Ran {
    let place = Place::new();
    place.deliver("a.csv", "k,v\n1,1\n2,2\n");
    let _ = place.run(&job(query), &["--quiet"]).code(0);
    let before = snapshot(&place.path("out"));
    assert!(!before.is_empty());
    place.deliver("b.csv", format!("k,v\n{rows}\n"));
    let ran = place.run(&job(query), &["--workers", workers]);
    assert_eq!(
        snapshot(&place.path("out")).keys().collect::<Vec<_>>(),
        before.keys().collect::<Vec<_>>(),
        "{query}\n{}",
        ran.stderr
    );
    assert_eq!(
        snapshot(&place.path("out")),
        before,
        "{query}\n{}",
        ran.stderr
    );
    ran
}

#[test]
fn an_expression_that_fails_ends_the_run_with_1() {
    for (query, rows, parts) in [
        (
            "SELECT 10 / v AS q FROM t",
            "3,0",
            &["result", "divides by zero"][..],
        ),
        (
            "SELECT CAST(k AS INT) AS n FROM t",
            "x,3",
            &["result", "'x'"],
        ),
        (
            "SELECT k, sum(10 / v) AS s FROM t GROUP BY k",
            "3,0",
            &["result", "divides by zero"],
        ),
        (
            "SELECT k, 10 / (sum(v) - 3) AS s FROM t GROUP BY k",
            "3,3",
            &["result", "divides by zero"],
        ),
        (
            "SELECT a.k FROM t a JOIN t b ON a.v = CAST(b.k AS BIGINT)",
            "many,3",
            &["result", "'many'"],
        ),
    ] {
        for workers in ["1", "2"] {
            let ran = fails(query, rows, workers).code(1).says(parts);
            assert!(!ran.stderr.contains("panicked"), "{query}\n{}", ran.stderr);
            assert_eq!(ran.stdout, "", "{query}");
        }
    }
}

#[test]
fn exit_codes() {
    let good = job("SELECT k, v FROM t");
    let gated = good.replace("'${input}'", "'${input}' OPTIONS ('max_bad_rows' '0')");
    for (sql, code, parts) in [
        (good.clone(), 0, &[][..]),
        (good.replace("FROM t;", "FROM tt;"), 2, &["tt"]),
        (good.replace("SELECT k", "SELECT kk"), 2, &["kk", "k"]),
        (
            good.replace("SELECT k, v", "SELECT random() AS r"),
            2,
            &["random"],
        ),
        (good.replace("SELECT k, v FROM t", "SELEC k"), 2, &[]),
        (
            good.replace("${input}", "${input}/nowhere"),
            1,
            &["nowhere"],
        ),
        (gated, 3, &["max_bad_rows"]),
    ] {
        let place = Place::new();
        let bad = if code == 3 {
            "k,v\na,x\nb,2\n"
        } else {
            "k,v\na,1\n"
        };
        place.deliver("a.csv", bad);
        let ran = place.run(&sql, &[]).code(code).says(parts);
        assert_eq!(
            place.path("out/result").exists(),
            code == 0,
            "{sql}\n{}",
            ran.stderr
        );
    }
}

#[test]
fn a_table_that_cannot_be_written_leaves_the_others() {
    let place = Place::new();
    place.deliver("a.csv", "k,v\na,1\n");
    let sql = format!(
        "{SOURCE} CREATE MATERIALIZED VIEW one AS SELECT k FROM t; CREATE MATERIALIZED VIEW two AS SELECT v FROM t;
         COPY one TO '${{output}}/one' STORED AS PARQUET; COPY two TO '${{output}}/two' STORED AS PARQUET;"
    );
    let _ = place.run(&sql, &[]).code(0);
    let one = snapshot(&place.path("out/one"));
    // A file has the name of the second table's directory.
    std::fs::remove_dir_all(place.path("out/two")).unwrap();
    std::fs::write(place.path("out/two"), "in the way").unwrap();
    place.deliver("b.csv", "k,v\nb,2\n");
    let ran = place.run(&sql, &[]).code(1).says(&["two"]);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    assert_eq!(snapshot(&place.path("out/one")), one, "{}", ran.stderr);
    assert_eq!(
        std::fs::read_to_string(place.path("out/two")).unwrap(),
        "in the way"
    );
}
