//! `tidewater status`, `history`, `changes` and `verify` on a state that took in a late file, a corrected and a withdrawn
//! one.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use common::{Ran, command, snapshot, text, tidewater};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use tempfile::TempDir;

const JOB: &str = "\
CREATE EXTERNAL TABLE sales (id TEXT NOT NULL, day DATE, region TEXT, amount BIGINT, rate DOUBLE)
  STORED AS CSV LOCATION '${input}';
CREATE VIEW kept AS SELECT * FROM sales WHERE amount >= 0;
CREATE MATERIALIZED VIEW by_region (region, sales, total, rate) AS
  SELECT region, count(*), sum(amount), avg(rate) FROM kept GROUP BY region;
CREATE MATERIALIZED VIEW by_day AS
  SELECT day, region, count(*) AS sales, sum(amount) AS total FROM kept GROUP BY day, region;
COPY by_region TO '${output}/by_region' STORED AS CSV;
COPY by_day TO '${output}/by_day' STORED AS PARQUET PARTITIONED BY (day);
";

/// A job, its files, tables and state, in a directory of its own.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new(sql: &str) -> Self {
        let place = Self {
            dir: TempDir::new().unwrap(),
        };
        fs::create_dir(place.path("data")).unwrap();
        fs::write(place.path("sales.sql"), sql).unwrap();
        place
    }

    /// Four commits: two files (with a bad row), a late one, a corrected one, a withdrawn one.
    fn kept() -> Self {
        let place = Self::new(JOB);
        place.deliver(
            "a.csv",
            "1,2024-03-01,seoul,100,0.1\n2,2024-03-01,busan,50,0.2\n",
        );
        place.deliver("b.csv", "3,2024-03-02,seoul,7,0.3\nx,someday,seoul,7,0.3\n");
        place.run();
        place.deliver("late.csv", "4,2024-03-01,seoul,1,0.7\n");
        place.run();
        place.deliver(
            "a.csv",
            "1,2024-03-01,seoul,100,0.1\n2,2024-03-01,jeju,60,0.2\n",
        );
        place.run();
        fs::remove_file(place.path("data/b.csv")).unwrap();
        place.run();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn deliver(&self, name: &str, rows: &str) {
        let content = format!("id,day,region,amount,rate\n{rows}");
        fs::write(self.path("data").join(name), content).unwrap();
    }

    fn arguments(&self, name: &str, more: &[&str]) -> Vec<String> {
        let of = |name: &str, path: &str| format!("{name}={}", text(&self.path(path)));
        let own = [
            name.to_owned(),
            text(&self.path("sales.sql")).to_owned(),
            "--set".to_owned(),
            of("input", "data"),
            "--set".to_owned(),
            of("output", "out"),
            "--state".to_owned(),
            text(&self.path("state")).to_owned(),
        ];
        own.into_iter()
            .chain(more.iter().map(|&more| more.to_owned()))
            .collect()
    }

    fn tidewater(&self, name: &str, more: &[&str]) -> Ran {
        let arguments = self.arguments(name, more);
        tidewater(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn run(&self) {
        self.tidewater("run", &["--quiet"]).expect_code(0);
    }

    fn json(&self, name: &str, more: &[&str]) -> Value {
        let ran = self.tidewater(name, more).expect_code(0);
        serde_json::from_str(&ran.stdout).unwrap()
    }

    /// Everything but the lock, which names its last holder.
    fn everything(&self) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
        let mut files = snapshot(self.dir.path());
        files.remove(Path::new("state/lock"));
        files
    }

    /// The one data file of a table's partition.
    fn data_file(&self, partition: &str) -> PathBuf {
        let mut files = fs::read_dir(self.path("out").join(partition)).unwrap();
        files.next().unwrap().unwrap().path()
    }
}

/// Reads a Parquet file, changes its rows and writes it again.
fn rewrite(path: &Path, change: impl FnOnce(RecordBatch) -> RecordBatch) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = Arc::clone(reader.schema());
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    let batch = change(concat_batches(&schema, &batches).unwrap());
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), schema, None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn status_tells_what_is_taken_in_and_what_waits() {
    let place = Place::kept();
    place.deliver("new.csv", "9,2024-03-09,seoul,1,0.1\n");
    place.deliver("late.csv", "4,2024-03-01,seoul,1000,0.7\n");
    fs::remove_file(place.path("data/a.csv")).unwrap();
    let before = place.everything();

    let status = place.json("status", &["--json", "--files"]);
    assert_eq!(status["job"], "sales");
    assert_eq!(status["epoch"], 4);
    assert_eq!(status["half_finished"], false);
    assert_eq!(status["outdated"], json!([]));
    let sales = &status["sources"]["sales"];
    assert_eq!(
        (&sales["deliveries"], &sales["rows"]),
        (&json!(2), &json!(3))
    );
    let waits = |kind: &str| {
        let paths = sales["pending"][kind].as_array().unwrap().iter();
        let names = paths.map(|path| {
            path.as_str()
                .unwrap()
                .rsplit('/')
                .next()
                .unwrap()
                .to_owned()
        });
        names.collect::<Vec<_>>()
    };
    assert_eq!(waits("new"), ["new.csv"]);
    assert_eq!(waits("changed"), ["late.csv"]);
    assert_eq!(waits("withdrawn"), ["a.csv"]);
    assert_eq!(sales["files"][0]["rows"], 2);
    assert_eq!(sales["files"][0]["hash"].as_str().unwrap().len(), 64);
    let table = &status["tables"]["by_day"];
    assert_eq!((&table["rows"], &table["files"]), (&json!(2), &json!(1)));
    assert_eq!(table["changed_at_epoch"], 4);
    assert_eq!(status["rows_quarantined"], 0);
    assert!(status["state"]["store_bytes"].as_u64().unwrap() > 0);
    assert!(status["state"]["views"]["by_day"].as_u64().unwrap() > 0);
    assert_eq!(status["state"]["inputs"]["parts"], 2);

    let ran = place.tidewater("status", &["--files"]).expect_code(0);
    for part in [
        "Job sales, state ",
        "Epoch 4, committed 20",
        " UTC in ",
        "sales            2     3            0  20",
        "Waits for the next run, by size and time of files (their content was not read):\n  sales: 1 new\n",
        "No row is quarantined.",
        "kept inputs: 2 parts, ",
    ] {
        assert!(ran.stdout.contains(part), "no {part:?} in\n{}", ran.stdout);
    }
    assert_eq!(place.everything(), before);

    place.run();
    place.tidewater("status", &[]).expect_code(0).expect_stdout(
        "Nothing waits: size and time of every file are those with which it was taken in.",
    );
}

#[test]
fn a_state_that_is_in_use_says_by_whom() {
    let place = Place::kept();
    let lock = File::options()
        .write(true)
        .open(place.path("state/lock"))
        .unwrap();
    fs::write(place.path("state/lock"), "process 4711").unwrap();
    lock.lock().unwrap();
    for (name, more) in [
        ("status", &[][..]),
        ("history", &[]),
        ("changes", &["by_day"]),
        ("verify", &[]),
    ] {
        place
            .tidewater(name, more)
            .expect_code(1)
            .expect_stderr("is in use by process 4711; wait for it to end, or give --wait");
    }
    lock.unlock().unwrap();
    // Those who only look do not keep each other out.
    lock.lock_shared().unwrap();
    place.tidewater("status", &[]).expect_code(0);
    place
        .tidewater("run", &[])
        .expect_code(1)
        .expect_stderr("is in use by process ");
}

#[test]
fn what_is_no_state_of_the_job_is_refused() {
    let place = Place::kept();
    for name in ["status", "history", "verify"] {
        let job = place.path("sales.sql");
        let settings = ["--set", "input=data", "--set", "output=out"];
        let with = |more: &[&str]| tidewater(&[&[name, text(&job)], &settings[..], more].concat());
        with(&[]).expect_code(2).expect_stderr("--state <DIR>");
        let none = place.path("none");
        with(&["--state", text(&none)])
            .expect_code(1)
            .expect_stderr("there is no state in");
        assert!(!none.exists());
    }
    fs::write(place.path("other.sql"), JOB).unwrap();
    let mut arguments = place.arguments("status", &[]);
    arguments[1] = text(&place.path("other.sql")).to_owned();
    tidewater(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
        .expect_code(1)
        .expect_stderr("belongs to the job sales, not to other");
}

#[test]
fn history_tells_every_commit() {
    let place = Place::kept();
    let history = place.json("history", &["--json"]);
    let epochs = history["epochs"].as_array().unwrap();
    let of = |epoch: usize| {
        let epoch = &epochs[epoch - 1];
        (
            epoch["deliveries"].clone(),
            epoch["rows_in"].clone(),
            epoch["rows_out"].clone(),
        )
    };
    assert_eq!(of(1), (json!({"new": 2}), json!(4), json!(0)));
    assert_eq!(of(2), (json!({"new": 1}), json!(1), json!(0)));
    assert_eq!(of(3), (json!({"replaced": 1}), json!(2), json!(2)));
    assert_eq!(of(4), (json!({"withdrawn": 1}), json!(0), json!(2)));
    assert!(epochs[0]["committed_at"].as_str().unwrap().ends_with('Z'));

    let ran = place.tidewater("history", &[]).expect_code(0);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let told: Vec<&str> = lines
        .iter()
        .filter(|line| line.starts_with("  "))
        .copied()
        .collect();
    assert_eq!(
        told,
        [
            "  deliveries: 2 new; 4 rows in, 0 out",
            "  by_region    +2, made anew",
            "  by_day       +3, made anew",
            "  _quarantine  +1, made anew",
            "  deliveries: 1 new; 1 row in, 0 out",
            "  by_region  +1 -1",
            "  by_day     +1 -1",
            "  deliveries: 1 replaced; 2 rows in, 2 out",
            "  by_region  +1 -1",
            "  by_day     +1 -1",
            "  deliveries: 1 withdrawn; 0 rows in, 2 out",
            "  by_region    +1 -1",
            "  by_day       +0 -1",
            "  _quarantine  +0 -1",
        ]
    );
    let epochs: Vec<&str> = lines
        .into_iter()
        .filter(|line| line.starts_with("epoch "))
        .collect();
    assert_eq!(epochs.len(), 4);
    assert!(epochs[0].contains(" UTC  "), "{}", epochs[0]);

    let of_quarantine = place.json("history", &["_quarantine", "--last", "1", "--json"]);
    assert_eq!(of_quarantine["epochs"].as_array().unwrap().len(), 1);
    assert_eq!(of_quarantine["epochs"][0]["epoch"], 4);
    place
        .tidewater("history", &["by_year"])
        .expect_code(2)
        .expect_stderr("the state has no table by_year; it has _quarantine, by_day, by_region.");
}

#[test]
fn changes_are_the_rows_that_commits_moved() {
    let place = Place::kept();
    let csv = |more: &[&str]| {
        let arguments = [&["by_day", "--format", "csv"], more].concat();
        place.tidewater("changes", &arguments).expect_code(0)
    };
    assert_eq!(
        csv(&[]).stdout,
        "_epoch,_count,day,region,sales,total\n4,-1,2024-03-02,seoul,1,7\n"
    );
    let all = csv(&["--since", "0"]);
    assert_eq!(
        all.stdout,
        "_epoch,_count,day,region,sales,total\n\
         2,-1,2024-03-01,seoul,1,100\n2,1,2024-03-01,seoul,2,101\n\
         3,-1,2024-03-01,busan,1,50\n3,1,2024-03-01,jeju,1,60\n\
         4,-1,2024-03-02,seoul,1,7\n"
    );
    all.expect_stderr("epoch 1 made the table anew: its 3 rows");
    assert_eq!(
        csv(&["--since", "1", "--epoch", "3", "--net"]).stdout,
        "_count,day,region,sales,total\n-1,2024-03-01,busan,1,50\n1,2024-03-01,jeju,1,60\n\
         -1,2024-03-01,seoul,1,100\n1,2024-03-01,seoul,2,101\n"
    );
    csv(&["--since", "0", "--net"])
        .expect_stderr("epoch 1 made the table anew: its 3 rows")
        .expect_stdout("1,2024-03-01,jeju,1,60\n1,2024-03-01,seoul,2,101\n");
    csv(&["--epoch", "2", "--limit", "1"])
        .expect_stderr("… and more rows")
        .expect_stdout("total\n2,-1,2024-03-01,seoul,1,100\n");
    place
        .tidewater(
            "changes",
            &["by_day", "--since", "0", "--epoch", "3", "--net"],
        )
        .expect_code(1)
        .expect_stderr("give --since 1");

    let ran = place
        .tidewater("changes", &["by_day", "--json"])
        .expect_code(0);
    assert_eq!(
        serde_json::from_str::<Value>(&ran.stdout).unwrap(),
        json!({"_epoch": 4, "_count": -1, "day": "2024-03-02", "region": "seoul", "sales": 1, "total": 7})
    );
    let ran = place
        .tidewater("changes", &["by_day", "--epoch", "3"])
        .expect_code(0);
    let rows = "\
      day         region  sales  total
  -1  2024-03-01  busan       1     50
  +1  2024-03-01  jeju        1     60
";
    assert!(
        ran.stdout.starts_with("epoch 3, 20") && ran.stdout.ends_with(rows),
        "{}",
        ran.stdout
    );

    place
        .tidewater("changes", &["_quarantine", "--epoch", "3"])
        .expect_code(0)
        .expect_stdout("epoch 3 did not change _quarantine; before, epoch 1 did: --epoch 1");
    place
        .tidewater("changes", &["by_day", "--since", "9"])
        .expect_code(2);
    place
        .tidewater("changes", &["by_year"])
        .expect_code(2)
        .expect_stderr("no table by_year");
}

#[test]
fn verify_finds_nothing_to_say_of_what_is_right() {
    let place = Place::new(JOB);
    place.deliver(
        "a.csv",
        "1,2024-03-01,seoul,100,0.1\n2,,busan,50,0.2\nx,someday,busan,50,0.2\n",
    );
    place.run();
    for (name, rows) in [
        (
            "late.csv",
            "3,2024-03-01,seoul,1,0.7\n4,2024-03-01,seoul,2,1e300\n",
        ),
        ("a.csv", "1,2024-03-01,seoul,100,0.1\n2,,jeju,60,-1e300\n"),
    ] {
        place.deliver(name, rows);
        place.run();
        let before = place.everything();
        place
            .tidewater("verify", &[])
            .expect_code(0)
            .expect_stdout("3 tables")
            .expect_stdout("every row is what the inputs give");
        let verdict = place.json("verify", &["--json", "--workers", "1"]);
        assert_eq!(
            (&verdict["ok"], &verdict["tables"][1]["table"]),
            (&json!(true), &json!("by_day"))
        );
        assert_eq!(place.everything(), before);
    }
    // What is kept counts, not what is delivered now.
    fs::remove_dir_all(place.path("data")).unwrap();
    let ran = place
        .tidewater("verify", &["--quiet", "by_day"])
        .expect_code(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    place
        .tidewater("verify", &["by_year"])
        .expect_code(2)
        .expect_stderr("no table by_year");
}

#[test]
fn verify_names_the_value_that_was_changed() {
    let place = Place::kept();
    rewrite(&place.data_file("by_day/day=2024-03-01"), |batch| {
        let total = batch.schema().index_of("total").unwrap();
        let mut columns = batch.columns().to_vec();
        columns[total] = Arc::new(Int64Array::from(vec![60, 111])) as ArrayRef;
        RecordBatch::try_new(batch.schema(), columns).unwrap()
    });
    let ran = place
        .tidewater("verify", &["--quiet"])
        .expect_code(1)
        .expect_stderr("1 of 3 tables are not what the inputs give")
        .expect_stdout("by_day: differs. Expected 2 rows, found 2; 1 row missing, 1 too many\n")
        .expect_stdout("has other bytes than were published\n");
    let rows = "
            day         region  sales  total
  expected  2024-03-01  seoul       2    101
  found     2024-03-01  seoul       2   *111
";
    assert!(ran.stdout.ends_with(rows), "{}", ran.stdout);
    let ran = place.tidewater("verify", &["--json"]).expect_code(1);
    let verdict: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        verdict["tables"][1]["differences"],
        json!([{
            "expected": {"day": "2024-03-01", "region": "seoul", "sales": 2, "total": 101},
            "found": {"day": "2024-03-01", "region": "seoul", "sales": 2, "total": 111},
            "times_missing": 1, "times_surplus": 1, "columns": ["total"],
        }])
    );
    place
        .tidewater("verify", &["by_region", "_quarantine"])
        .expect_code(0);
}

#[test]
fn verify_finds_files_and_rows_that_came_or_went() {
    let place = Place::kept();
    // A row twice, in a file of the table.
    rewrite(&place.data_file("by_day/day=2024-03-01"), |batch| {
        concat_batches(&batch.schema(), &[batch.clone(), batch.slice(0, 1)]).unwrap()
    });
    place
        .tidewater("verify", &["by_day"])
        .expect_code(1)
        .expect_stdout("Expected 2 rows, found 3; 0 rows missing, 1 too many")
        .expect_stdout("too many  2024-03-01  jeju        1     60");

    // A file that nobody published, in a partition that nobody has.
    let place = Place::kept();
    let foreign = place.path("out/by_day/day=2023-01-01");
    fs::create_dir(&foreign).unwrap();
    fs::copy(
        place.data_file("by_day/day=2024-03-01"),
        foreign.join("x.parquet"),
    )
    .unwrap();
    place
        .tidewater("verify", &["by_day"])
        .expect_code(1)
        .expect_stdout("day=2023-01-01/x.parquet was not published by this job\n")
        .expect_stdout("too many  2023-01-01  jeju        1     60")
        .expect_stdout("too many  2023-01-01  seoul       2    101");

    // A partition that is gone.
    let place = Place::kept();
    fs::remove_dir_all(place.path("out/by_day/day=2024-03-01")).unwrap();
    place
        .tidewater("verify", &["by_day"])
        .expect_code(1)
        .expect_stdout(".parquet is missing\n")
        .expect_stdout("missing  2024-03-01  jeju        1     60");

    // A file that is none.
    let place = Place::kept();
    fs::write(place.data_file("by_day/day=2024-03-01"), "no parquet").unwrap();
    place
        .tidewater("verify", &["by_day"])
        .expect_code(1)
        .expect_stdout("has other bytes than were published, and cannot be read: ")
        .expect_stdout("Expected 2 rows, found 0");

    // Text.
    let place = Place::kept();
    let file = place.data_file("by_region");
    let changed = fs::read_to_string(&file).unwrap().replace("101", "102");
    fs::write(&file, changed).unwrap();
    place
        .tidewater("verify", &["by_region"])
        .expect_code(1)
        .expect_stdout(".csv has other bytes than were published\n");
}

#[test]
fn a_half_finished_commit_is_told_and_not_verified() {
    let place = Place::kept();
    place.deliver("b.csv", "3,2024-03-02,seoul,7,0.3\n");
    let arguments = place.arguments("run", &["--quiet"]);
    let mut run = command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    run.env("TIDEWATER_INJECT", "abort:commit: after the record");
    assert_eq!(run.output().unwrap().status.code(), None);

    let before = place.everything();
    place
        .tidewater("status", &[])
        .expect_code(0)
        .expect_stdout("Epoch 5, ")
        .expect_stdout("The last commit is half finished");
    assert_eq!(place.json("status", &["--json"])["half_finished"], true);
    place
        .tidewater("verify", &[])
        .expect_code(1)
        .expect_stderr("the last commit is half finished");
    assert_eq!(place.everything(), before);
    place.run();
    place.tidewater("verify", &[]).expect_code(0);
}

#[test]
fn another_job_is_told_and_not_verified() {
    let place = Place::kept();
    fs::write(
        place.path("sales.sql"),
        JOB.replace("sum(amount) AS total", "max(amount) AS total"),
    )
    .unwrap();
    place
        .tidewater("status", &[])
        .expect_code(0)
        .expect_stdout("The job has changed since: the next run builds anew or drops by_day.");
    place
        .tidewater("verify", &[])
        .expect_code(1)
        .expect_stderr("is another one than at epoch 4: by_day");
    place.run();
    place.tidewater("verify", &[]).expect_code(0);
}

#[test]
fn keys_orders_and_lists_are_verified() {
    let sql = JOB
        .replace("rate DOUBLE)", "rate DOUBLE, PRIMARY KEY (id))")
        .replace(
            "COPY by_region TO '${output}/by_region' STORED AS CSV;",
            "\
CREATE MATERIALIZED VIEW ranked AS
  SELECT id, region, rank() OVER (PARTITION BY region ORDER BY amount DESC) AS place,
         sum(rate) OVER (PARTITION BY region ORDER BY id) AS running FROM sales;
CREATE MATERIALIZED VIEW listed AS SELECT id, make_array(amount, NULL) AS amounts FROM sales;
CREATE MATERIALIZED VIEW best AS SELECT id, amount FROM sales ORDER BY amount DESC, id LIMIT 2;
COPY ranked TO '${output}/ranked' STORED AS PARQUET;
COPY listed TO '${output}/listed' STORED AS JSON;
COPY best TO '${output}/best' STORED AS PARQUET;
COPY sales TO '${output}/sales' STORED AS PARQUET PARTITIONED BY (region);",
        );
    let place = Place::new(&sql);
    place.deliver(
        "a.csv",
        "1,2024-03-01,a/b,100,0.1\n2,2024-03-01,,50,0.2\n2,2024-03-02,seoul,51,0.3\n",
    );
    place.run();
    place.deliver(
        "b.csv",
        "1,2024-03-02,seoul,7,0.3\n5,2024-03-02,seoul,7,NaN\n",
    );
    place.run();
    place
        .tidewater("verify", &[])
        .expect_code(0)
        .expect_stdout("sales           3  ok");
    fs::remove_file(place.path("data/b.csv")).unwrap();
    place.run();
    place
        .tidewater("verify", &[])
        .expect_code(0)
        .expect_stdout("sales           2  ok");
}

/// DataFusion sees the rows in another order than the run that took them in.
#[test]
fn ties_are_no_difference() {
    let sql = JOB.replace(
        "COPY by_region TO '${output}/by_region' STORED AS CSV;",
        "\
CREATE MATERIALIZED VIEW latest AS SELECT id, region, amount FROM (
  SELECT *, row_number() OVER (PARTITION BY region ORDER BY day DESC) AS r FROM sales) WHERE r = 1;
CREATE MATERIALIZED VIEW beside AS
  SELECT amount, lag(id) OVER w AS before, rank() OVER w AS place, lead(rate, 2) OVER (ORDER BY region) AS after,
         count(*) OVER (PARTITION BY day ORDER BY region ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS two,
         sum(rate) OVER (ORDER BY day ROWS UNBOUNDED PRECEDING) AS running
  FROM sales WINDOW w AS (PARTITION BY day ORDER BY region);
CREATE MATERIALIZED VIEW best AS SELECT id, region, rate FROM sales ORDER BY region LIMIT 7;
COPY latest TO '${output}/latest' STORED AS PARQUET;
COPY beside TO '${output}/beside' STORED AS PARQUET;
COPY best TO '${output}/best' STORED AS PARQUET;",
    );
    let place = Place::new(&sql);
    let rows = |of: std::ops::Range<u32>| {
        let row = |at: u32| {
            let (id, rate) = (at * 7919 % 101, f64::from(at * 31 % 17) / 10.0);
            format!(
                "{id},2024-03-0{},r{},{},{rate}\n",
                1 + at % 3,
                at * 13 % 5,
                at * 5 % 11
            )
        };
        of.map(row).collect::<String>()
    };
    place.deliver("b.csv", &rows(0..40));
    place.run();
    place.deliver("a.csv", &rows(40..101));
    place.run();
    place.tidewater("verify", &[]).expect_code(0);
}

#[test]
fn final_windows_are_left_out() {
    let sql = JOB.replace(
        "PARTITIONED BY (day);",
        "PARTITIONED BY (day) OPTIONS ('retain' '10 days');",
    );
    let place = Place::new(&format!(
        "{sql}CREATE MATERIALIZED VIEW days AS SELECT region, count(*) AS days FROM by_day GROUP BY region;\n\
         COPY days TO '${{output}}/days' STORED AS PARQUET;"
    ));
    place.deliver(
        "a.csv",
        "1,2024-03-01,seoul,100,0.1\n2,2024-03-20,busan,50,0.2\n3,,busan,50,0.2\n",
    );
    place.run();
    place.deliver(
        "b.csv",
        "4,2024-03-01,seoul,7,0.3\n5,2024-03-15,jeju,7,0.3\n",
    );
    place.run();
    place
        .tidewater("verify", &[])
        .expect_code(0)
        .expect_stdout("by_day          3  ok")
        .expect_stdout(
            "The rows of days were not verified: it reads by_day, some of whose windows are final.",
        )
        .expect_stdout("The rows of _late were not verified: it tells in which order rows came.");
    fs::remove_dir_all(place.path("out/by_day/day=2024-03-01")).unwrap();
    place
        .tidewater("verify", &["by_day"])
        .expect_code(1)
        .expect_stdout(".parquet is missing");
}

#[test]
fn the_example_jobs_verify() {
    let jobs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../jobs");
    let place = TempDir::new().unwrap();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let generate = [
        "generate",
        "--records",
        "2000",
        "--end",
        "2024-01-20",
        "--out",
    ];
    tidewater(&[&generate[..], &[&path("card"), "--quiet"]].concat()).expect_code(0);
    fs::create_dir(path("library")).unwrap();
    for entry in fs::read_dir(jobs.join("samples/library")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(
            entry.path(),
            Path::new(&path("library")).join(entry.file_name()),
        )
        .unwrap();
    }
    for job in ["card", "library"] {
        let sql = jobs.join(format!("{job}.sql"));
        let settings = [
            format!("input={}", path(job)),
            format!("output={}", path("out")),
        ];
        let state = path(&format!("state-{job}"));
        let on_state = |name: &str| {
            tidewater(&[
                name,
                text(&sql),
                "--set",
                &settings[0],
                "--set",
                &settings[1],
                "--state",
                &state,
                "--quiet",
            ])
        };
        for _ in 0..2 {
            on_state("run").expect_code(0);
            on_state("verify").expect_code(0);
            let mut files = fs::read_dir(path(job)).unwrap();
            fs::remove_file(files.next().unwrap().unwrap().path()).unwrap();
        }
    }
}
