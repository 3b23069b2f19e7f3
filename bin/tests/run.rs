//! `tidewater run`, `check` and `explain` over a small job: exit codes, streams and resulting files.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Ran, snapshot, text, tidewater};
use serde_json::Value;
use tempfile::TempDir;

const JOB: &str = "\
CREATE EXTERNAL TABLE sales (id TEXT, region TEXT, amount BIGINT)
  STORED AS CSV LOCATION '${input}/*.csv' OPTIONS ('max_bad_rows' '${bad:-10}');
CREATE MATERIALIZED VIEW by_region AS
  SELECT region, count(*) AS sales, sum(amount) AS total FROM sales GROUP BY region;
COPY by_region TO '${output}/by_region' STORED AS PARQUET;
";

/// A job with two sales files, in a directory of its own.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new(sql: &str) -> Self {
        let place = Self {
            dir: TempDir::new().unwrap(),
        };
        fs::create_dir(place.path("data")).unwrap();
        fs::write(place.path("job.sql"), sql).unwrap();
        place.deliver("a.csv", "id,region,amount\n1,서울,100\n2,부산,50\n");
        place.deliver("b.csv", "amount,id,region\n7,3,서울\n");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn deliver(&self, name: &str, content: &str) {
        fs::write(self.path("data").join(name), content).unwrap();
    }

    /// `tidewater COMMAND job.sql` with `input` and `output` set.
    fn tidewater(&self, command: &str, more: &[&str]) -> Ran {
        let job = self.path("job.sql");
        let input = format!("input={}", text(&self.path("data")));
        let output = format!("output={}", text(&self.path("out")));
        let mut arguments = vec![command, text(&job), "--set", &input, "--set", &output];
        arguments.extend(more);
        tidewater(&arguments)
    }
}

#[test]
fn json_has_exactly_the_promised_keys() {
    let place = Place::new(JOB);
    let ran = place.tidewater("run", &["--json"]).expect_code(0);
    let summary: Value = serde_json::from_str(&ran.stdout).unwrap();
    let mut keys: Vec<&str> = summary
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "assertions",
            "deliveries",
            "epoch",
            "files_held",
            "files_set_aside",
            "outcome",
            "peak_memory_bytes",
            "rows_in_quarantine",
            "rows_late",
            "rows_quarantined",
            "rows_read",
            "seconds",
            "tables"
        ]
    );
    assert_eq!(summary["outcome"], "committed");
    assert_eq!(summary["rows_read"], 3);
    assert_eq!(summary["rows_quarantined"], 0);
    // Only a run that keeps a state compares deliveries.
    assert!(summary["deliveries"].is_null());
    assert!(summary["epoch"].is_u64());
    assert!(summary["seconds"]["total"].as_f64().unwrap() > 0.0);
    let table = summary["tables"]["by_region"].as_object().unwrap();
    let numbers: Vec<(&str, u64)> = table
        .iter()
        .map(|(key, number)| (key.as_str(), number.as_u64().unwrap()))
        .collect();
    assert_eq!(numbers.len(), 4, "{numbers:?}");
    for wanted in [
        ("rows", 2),
        ("rows_inserted", 2),
        ("rows_deleted", 0),
        ("files_written", 1),
    ] {
        assert!(numbers.contains(&wanted), "{numbers:?}");
    }
    #[cfg(target_os = "linux")]
    assert!(summary["peak_memory_bytes"].as_u64().unwrap() > 1_000_000);
}

#[test]
fn the_summary_shows_tables_and_rows() {
    let place = Place::new(JOB);
    let ran = place.tidewater("run", &["--workers", "2"]).expect_code(0);
    for part in [
        "by_region",
        "서울",
        "107",
        "Read 3 rows; none quarantined.",
        "Took ",
    ] {
        assert!(ran.stdout.contains(part), "no {part:?} in\n{}", ran.stdout);
    }
    assert!(!ran.stdout.contains('\x1b') && !ran.stderr.contains('\x1b'));
    assert!(ran.stderr.contains("with 2 workers"), "{}", ran.stderr);
    assert!(place.path("out/by_region").is_dir());
}

#[test]
fn quiet_prints_nothing() {
    let ran = Place::new(JOB)
        .tidewater("run", &["--quiet"])
        .expect_code(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
}

#[test]
fn verbose_logs_to_standard_error_alone() {
    let ran = Place::new(JOB)
        .tidewater("run", &["--verbose", "--json"])
        .expect_code(0);
    assert!(
        ran.stderr.contains("INFO") || ran.stderr.contains("DEBUG"),
        "{}",
        ran.stderr
    );
    serde_json::from_str::<Value>(&ran.stdout).unwrap();
}

#[test]
fn bad_rows_are_counted_and_their_place_is_named() {
    let place = Place::new(JOB);
    place.deliver("c.csv", "id,region,amount\n4,서울,many\n5,제주,1\n");
    let ran = place.tidewater("run", &[]).expect_code(0);
    for part in [
        "Read 5 rows: 4 accepted, 1 quarantined in ",
        "_quarantine",
        "To see why",
    ] {
        assert!(ran.stdout.contains(part), "no {part:?} in\n{}", ran.stdout);
    }
    place
        .tidewater("run", &["--quiet"])
        .expect_code(0)
        .expect_stderr("1 row quarantined");
    let ran = place.tidewater("run", &["--json"]).expect_code(0);
    assert_eq!(
        serde_json::from_str::<Value>(&ran.stdout).unwrap()["rows_quarantined"],
        1
    );
}

#[test]
fn too_many_bad_rows_exit_with_3_and_publish_nothing() {
    let place = Place::new(JOB);
    place.deliver("c.csv", "id,region,amount\n4,서울,many\n5,서울,5\n");
    let ran = place
        .tidewater("run", &["--set", "bad=0"])
        .expect_code(3)
        .expect_stderr("max_bad_rows");
    assert_eq!(ran.stdout, "");
    assert!(!place.path("out/by_region").exists());
}

#[test]
fn a_failed_run_leaves_the_old_tables() {
    let place = Place::new(JOB);
    place.tidewater("run", &[]).expect_code(0);
    let tables = || snapshot(&place.path("out/by_region"));
    let before = tables();
    assert!(!before.is_empty());

    place.deliver("c.csv", "id,region,amount\n4,서울,many\n");
    place.tidewater("run", &["--set", "bad=0"]).expect_code(3);
    assert_eq!(tables(), before);

    place.deliver("c.csv", "id,region\n4,서울\n");
    place
        .tidewater("run", &["--json"])
        .expect_code(1)
        .expect_stderr("c.csv")
        .expect_stderr("amount");
    assert_eq!(tables(), before);

    place.deliver("c.csv", "id,region,amount\n4,서울,4\n");
    place.tidewater("run", &[]).expect_code(0);
    assert_ne!(tables(), before);
}

#[test]
fn workers_do_not_change_a_byte() {
    let place = Place::new(JOB);
    let mut versions = Vec::new();
    for workers in ["1", "2", "3"] {
        place
            .tidewater("run", &["--workers", workers])
            .expect_code(0);
        versions.push(snapshot(&place.path("out/by_region")));
    }
    assert!(versions.iter().all(|version| version == &versions[0]));
}

#[test]
fn a_source_without_files_fails_with_its_location() {
    let place = Place::new(JOB);
    fs::remove_dir_all(place.path("data")).unwrap();
    place
        .tidewater("run", &[])
        .expect_code(1)
        .expect_stderr("data");
}

#[test]
fn a_valid_job_checks_and_explains() {
    let place = Place::new(JOB);
    place
        .tidewater("check", &[])
        .expect_code(0)
        .expect_stdout("no errors");
    assert!(!place.path("out").exists());
    place
        .tidewater("explain", &[])
        .expect_code(0)
        .expect_stdout("by_region");
    place
        .tidewater("explain", &["--format", "dot"])
        .expect_code(0)
        .expect_stdout("digraph");
    let ran = place
        .tidewater("explain", &["--format", "mermaid"])
        .expect_code(0);
    assert!(
        ran.stdout.contains("flowchart") || ran.stdout.contains("graph"),
        "{}",
        ran.stdout
    );
}

#[test]
fn every_error_of_a_bad_job_is_shown_with_its_place() {
    let bad = JOB
        .replace("SELECT region,", "SELECT regio,")
        .replace("sum(amount)", "sum(amont)");
    let place = Place::new(&bad);
    for command in ["check", "run", "explain"] {
        let ran = place
            .tidewater(command, &[])
            .expect_code(2)
            .expect_stderr("regio")
            .expect_stderr("job.sql:4:");
        assert_eq!(ran.stdout, "", "{command}");
    }
    assert!(!place.path("out").exists());
}

#[test]
fn variables_that_are_missing_or_misspelt_are_named() {
    let place = Place::new(JOB);
    let job = place.path("job.sql");
    let output = format!("output={}", text(&place.path("out")));
    tidewater(&["check", text(&job), "--set", &output])
        .expect_code(2)
        .expect_stderr("input");
    place
        .tidewater("check", &["--set", "ouput=x"])
        .expect_code(2)
        .expect_stderr("${ouput}")
        .expect_stderr("${output}");
}

#[test]
fn the_environment_fills_what_is_not_set() {
    let place = Place::new(JOB);
    let job = place.path("job.sql");
    let mut check = common::command(&["check", text(&job)]);
    check
        .env("input", place.path("data"))
        .env("output", place.path("out"));
    Ran::new(check.output().unwrap()).expect_code(0);
}
