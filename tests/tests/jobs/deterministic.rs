//! The same rows give the same bytes, for any number of workers and any division into files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tidewater_tests::binary::{snapshot, tidewater};
use tidewater_tests::packed;

use crate::place::Place;

type Files = BTreeMap<PathBuf, Vec<u8>>;

#[test]
fn card_tables_are_the_same_bytes_for_any_workers_and_files() {
    let place = Place::new();
    let generate = |layout: &str| {
        let out = place.path(layout);
        let arguments = [
            "generate",
            "--records",
            "6000",
            "--seed",
            "7",
            "--cards",
            "900",
            "--quiet",
            "--files",
            layout,
            "--out",
            out.to_str().unwrap(),
        ];
        assert_eq!(tidewater(&arguments).code(0).stdout, "");
        out
    };
    let (daily, single) = (generate("daily"), generate("single"));
    let (gz, zst) = (place.path("gz"), place.path("zst"));
    pack(&single, &gz, "gz", packed::gzip);
    pack(&daily, &zst, "zst", packed::zstd);

    let run = |input: &Path, workers: &str| {
        let out = place.path("out");
        let ran = place
            .run_between("card.sql", input, &out, &["--workers", workers, "--json"])
            .code(0);
        assert_eq!(ran.json()["rows_read"], 6000);
        tables(&out)
    };
    let first = run(&daily, "1");
    assert!(first.len() > 13);
    for (input, workers) in [
        (&daily, "2"),
        (&daily, "3"),
        (&single, "1"),
        (&single, "3"),
        (&gz, "2"),
        (&zst, "2"),
    ] {
        same(
            &first,
            &run(input, workers),
            &format!("{}, {workers} workers", input.display()),
        );
    }
}

#[test]
fn a_second_run_over_the_same_rows_changes_no_byte() {
    let place = Place::new();
    place.deliver("a.csv", "k,v\na,1\nb,2\n");
    let sql = "CREATE EXTERNAL TABLE t (k TEXT, v BIGINT) STORED AS CSV LOCATION '${input}';
      CREATE MATERIALIZED VIEW sums AS SELECT k, sum(v) AS s FROM t GROUP BY k;
      COPY sums TO '${output}/parquet' STORED AS PARQUET;
      COPY sums TO '${output}/csv' STORED AS CSV;
      COPY sums TO '${output}/json' STORED AS JSON;";
    let first = place.run(sql, &[]).code(0);
    let before = tables(&place.path("out"));
    assert_eq!(before.len(), 3, "{}", first.stdout);
    let _ = place.run(sql, &["--workers", "2"]).code(0);
    same(&before, &tables(&place.path("out")), "again");
}

#[test]
fn order_of_rows_and_names_of_files_do_not_matter() {
    let place = Place::new();
    let sql = "CREATE EXTERNAL TABLE t (k TEXT, v DOUBLE) STORED AS CSV LOCATION '${input}';
      CREATE MATERIALIZED VIEW sums AS SELECT k, sum(v) AS s, avg(v) AS a, count(DISTINCT v) AS d FROM t GROUP BY k ORDER BY s DESC;
      CREATE MATERIALIZED VIEW rows AS SELECT * FROM t;
      COPY sums TO '${output}/sums' STORED AS PARQUET;
      COPY rows TO '${output}/rows' STORED AS CSV PARTITIONED BY (k);";
    // Inexact sums of these would depend on the order of addition.
    let rows = [
        "a,1e16", "b,0.1", "a,1", "b,0.2", "a,-1e16", "b,0.3", "a,0.25", "b,1e-9",
    ];
    let mut versions = Vec::new();
    for rotation in 0..rows.len() {
        let mut turned = rows;
        turned.rotate_left(rotation);
        let (one, other) = turned.split_at(rotation);
        place.deliver("1.csv", format!("k,v\n{}\n", one.join("\n")));
        place.deliver("0.csv", format!("k,v\n{}\n", other.join("\n")));
        let _ = place
            .run(
                sql,
                &["--workers", if rotation % 2 == 0 { "1" } else { "3" }],
            )
            .code(0);
        versions.push(tables(&place.path("out")));
    }
    for version in &versions[1..] {
        same(&versions[0], version, "turned");
    }
}

/// The published files without the quarantine, which contains input paths.
fn tables(out: &Path) -> Files {
    snapshot(out)
        .into_iter()
        .filter(|(path, _)| !path.to_string_lossy().starts_with("_quarantine"))
        .collect()
}

#[track_caller]
fn same(a: &Files, b: &Files, what: &str) {
    assert_eq!(
        a.keys().collect::<Vec<_>>(),
        b.keys().collect::<Vec<_>>(),
        "files, {what}"
    );
    let differing: Vec<_> = a
        .iter()
        .filter(|(path, bytes)| b[*path] != **bytes)
        .map(|(path, _)| path)
        .collect();
    assert!(differing.is_empty(), "{what}: other bytes in {differing:?}");
}

/// Compresses a directory's files in two parts each, like concatenated logs: gzip members or zstd frames.
fn pack(from: &Path, to: &Path, extension: &str, part: fn(&[u8]) -> Vec<u8>) {
    fs::create_dir(to).unwrap();
    for (name, bytes) in snapshot(from) {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        let packed = [part(first), part(second)].concat();
        fs::write(to.join(format!("{}.{extension}", name.display())), packed).unwrap();
    }
}
