//! `tidewater verify` is silent about right tables, and names the row or file that is wrong.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../tests/common/mod.rs"]
mod common;

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use common::kept::{JOB, Place, rewrite};
use common::{Ran, command, program, text, tidewater};
use serde_json::{Value, json};
use tempfile::TempDir;

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
            .expect_stdout("all rows match");
        let verdict = place.json("verify", &["--json", "--workers", "1"]);
        assert_eq!(
            (&verdict["ok"], &verdict["tables"][1]["table"]),
            (&json!(true), &json!("by_day"))
        );
        assert_eq!(place.everything(), before);
    }
    // The stored inputs count, and not the current deliveries.
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
        .expect_stderr("1 of 3 tables is not what the stored inputs give")
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

    // A file that was not published, in a partition that does not exist.
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

    // A missing partition.
    let place = Place::kept();
    fs::remove_dir_all(place.path("out/by_day/day=2024-03-01")).unwrap();
    place
        .tidewater("verify", &["by_day"])
        .expect_code(1)
        .expect_stdout(".parquet is missing\n")
        .expect_stdout("missing  2024-03-01  jeju        1     60");

    // A file that is not Parquet.
    let place = Place::kept();
    fs::write(place.data_file("by_day/day=2024-03-01"), "no parquet").unwrap();
    place
        .tidewater("verify", &["by_day"])
        .expect_code(1)
        .expect_stdout("has other bytes than were published, and cannot be read")
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

#[test]
fn what_is_set_aside_is_expected_in_the_quarantine_alone() {
    let sql = JOB
        .replace(
            "LOCATION '${input}'",
            "LOCATION '${input}' OPTIONS ('on_bad_file' 'quarantine', 'on_error' 'quarantine')",
        )
        .replace("sum(amount)", "sum(6000 / amount)");
    let place = Place::new(&sql);
    place.deliver(
        "a.csv",
        "1,2024-03-01,seoul,100,0.1\n2,2024-03-01,busan,0,0.2\n",
    );
    let write = |name: &str, content: &[u8]| {
        fs::write(place.path("data").join(name), content).unwrap();
    };
    write("b.csv", b"no,header\n1,2\n");
    write("c.csv", b"id,day,region,amount,rate\n1,someday,seoul,1,1\n");
    write("d.csv.gz", b"\x1f\x8b\x08\x00cut");
    place.run();
    let verified = || {
        let ran = place.tidewater("verify", &[]).expect_code(0);
        ran.expect_stdout("all rows match");
    };
    verified();
    place.deliver("c.csv", "1,2024-03-02,seoul,0,1\n2,2024-03-02,jeju,5,1\n");
    place.run();
    verified();
}

#[test]
fn held_files_are_left_out() {
    let held = "OPTIONS ('scope' 'delivery', 'delivery' 'file', 'on_failure' 'hold')";
    let sql = JOB
        .replacen("rate DOUBLE", "rate DOUBLE, file TEXT", 1)
        .replace(
            "LOCATION '${input}'",
            "LOCATION '${input}' OPTIONS ('column.file' 'path')",
        )
        + &format!("\nCREATE ASSERTION positive ON sales CHECK (amount > 0) {held};");
    let place = Place::new(&sql);
    place.deliver("a.csv", "1,2024-03-01,seoul,100,0.1\n");
    place.deliver(
        "b.csv",
        "2,2024-03-01,seoul,-1,0.1\n3,2024-03-01,seoul,1,0.1\n",
    );
    place.run();
    let verified = || {
        let ran = place.tidewater("verify", &[]).expect_code(0);
        ran.expect_stdout("all rows match");
    };
    verified();
    let status = place.json("status", &["--json"]);
    let held = &status["sources"]["sales"]["files_held"];
    assert_eq!(held.as_array().unwrap().len(), 1, "{status}");
    place.deliver(
        "b.csv",
        "2,2024-03-01,seoul,1,0.1\n3,2024-03-01,seoul,1,0.1\n",
    );
    place.run();
    verified();
}

/// Zero divides no row that reaches the division.
#[test]
fn guarded_expressions_are_verified() {
    let views = [
        "SELECT id FROM sales WHERE amount <> 0 AND 100 / amount > 1",
        "SELECT id FROM sales WHERE amount = 0 OR 100 / amount > 1",
        "SELECT id, amount <> 0 AND 100 / amount > 1 AS x FROM sales",
        "SELECT id, CASE WHEN amount = 0 THEN 0 ELSE 100 / amount END AS x FROM sales",
        "SELECT id FROM sales WHERE CASE WHEN amount = 0 THEN false ELSE 100 / amount > 1 END",
        "SELECT id, x FROM (SELECT id, region, 100 / amount AS x FROM sales WHERE amount <> 0) AS q WHERE x > 1",
        "SELECT region, sum(100 / amount) FILTER (WHERE amount <> 0) AS x, count(100 / amount) FILTER (WHERE amount > 0) AS n FROM sales GROUP BY region",
        "SELECT region, 100 / sum(amount) AS x FROM sales GROUP BY region HAVING sum(amount) <> 0 AND 100 / sum(amount) < 5",
        "SELECT a.id, b.id AS other FROM sales AS a JOIN sales AS b ON a.region = b.region AND a.amount <> 0 AND b.amount / a.amount > 1",
        "SELECT id, coalesce(nullif(amount, 0), 100 / (amount + 1)) AS x FROM sales",
    ];
    let mut sql = JOB.to_owned();
    for (at, view) in views.iter().enumerate() {
        sql.push_str(&format!(
            "CREATE MATERIALIZED VIEW v{at} AS {view};\nCOPY v{at} TO '${{output}}/v{at}' STORED AS PARQUET;\n"
        ));
    }
    let place = Place::new(&sql);
    place.deliver(
        "a.csv",
        "1,2024-03-01,seoul,100,0.1\n2,2024-03-01,seoul,0,0.2\n3,2024-03-01,busan,0,0.2\n4,,busan,,0.2\n",
    );
    place.run();
    place.deliver("b.csv", "5,2024-03-01,seoul,7,0.3\n6,,jeju,30,0.3\n");
    place.run();
    let ran = place.tidewater("verify", &[]).expect_code(0);
    ran.expect_stdout("all rows match");
}

#[test]
fn dates_beside_timestamps_are_verified() {
    let sql = JOB.replace("region TEXT,", "region TIMESTAMP,").replace(
        "COPY by_region TO '${output}/by_region' STORED AS CSV;",
        "\
CREATE MATERIALIZED VIEW times AS SELECT id, day AS at FROM sales UNION ALL SELECT id, region FROM sales;
CREATE MATERIALIZED VIEW compared AS
  SELECT id, day < region AS before, day IN (region, TIMESTAMP '9999-12-31 00:00:00') AS among,
         CASE WHEN amount > 1 THEN day ELSE region END AS at, coalesce(day, region) AS known,
         greatest(day, region) AS last, date_part('epoch', region - day) AS seconds
  FROM sales;
CREATE MATERIALIZED VIEW joined AS SELECT a.id, b.id AS other FROM sales AS a JOIN sales AS b ON a.day = b.region;
COPY times TO '${output}/times' STORED AS CSV;
COPY compared TO '${output}/compared' STORED AS CSV;
COPY joined TO '${output}/joined' STORED AS CSV;",
    );
    let place = Place::new(&sql);
    place.deliver(
        "a.csv",
        "1,9999-12-31,0001-01-01 00:00:00,1,0\n2,0001-01-01,9999-12-31 00:00:00,2,0\n3,2024-03-01,,3,0\n",
    );
    place.run();
    place.deliver("b.csv", "4,,2024-03-01 00:00:00,1,0\n");
    place.run();
    let ran = place.tidewater("verify", &[]).expect_code(0);
    ran.expect_stdout("all rows match");
    let rows = |table: &str| {
        let file = place.data_file(table);
        let text = fs::read_to_string(file).unwrap();
        let mut rows: Vec<String> = text.lines().skip(1).map(str::to_owned).collect();
        rows.sort();
        rows
    };
    assert_eq!(
        rows("times")[..2],
        ["1,0001-01-01 00:00:00", "1,9999-12-31 00:00:00"]
    );
    assert_eq!(
        rows("compared"),
        [
            "1,false,true,0001-01-01 00:00:00,9999-12-31 00:00:00,9999-12-31 00:00:00,-315537811200.0",
            "2,true,false,0001-01-01 00:00:00,0001-01-01 00:00:00,9999-12-31 00:00:00,315537811200.0",
            "3,,,2024-03-01 00:00:00,2024-03-01 00:00:00,2024-03-01 00:00:00,",
            "4,,,2024-03-01 00:00:00,2024-03-01 00:00:00,2024-03-01 00:00:00,",
        ]
    );
    assert_eq!(rows("joined"), ["1,2", "2,1", "3,4"]);
}

/// DataFusion gets the rows in another order than the run that read them.
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
        "1,2024-03-01,seoul,100,0.1\n2,2024-03-20,busan,50,0.2\n3,,busan,50,0.2\n6,2024-03-19,jeju,9,0.1\n",
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
        .expect_stdout("by_day          4  ok")
        .expect_stdout(
            "The rows of days were not verified: it reads by_day, some of whose windows are closed.",
        )
        .expect_stdout(
            "The rows of _late were not verified: it depends on the order in which rows arrived.",
        );
    fs::remove_dir_all(place.path("out/by_day/day=2024-03-01")).unwrap();
    place
        .tidewater("verify", &["by_day"])
        .expect_code(1)
        .expect_stdout(".parquet is missing");
}

#[test]
fn the_example_jobs_verify() {
    let jobs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../jobs");
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

#[test]
fn a_state_that_is_in_use_is_verified_and_one_that_is_missing_is_not() {
    let place = Place::kept();
    let lock = File::options()
        .write(true)
        .open(place.path("state/lock"))
        .unwrap();
    fs::write(place.path("state/lock"), "process 4711").unwrap();
    lock.lock().unwrap();
    place.tidewater("verify", &[]).expect_code(0);
    lock.unlock().unwrap();

    let job = place.path("sales.sql");
    let none = place.path("none");
    let arguments = ["verify", text(&job), "--set", "input=data"];
    let settings = ["--set", "output=out", "--state", text(&none)];
    tidewater(&[&arguments[..], &settings].concat())
        .expect_code(1)
        .expect_stderr("there is no state in");
    assert!(!none.exists());
}

#[test]
fn a_half_finished_commit_is_not_verified() {
    let place = Place::kept();
    place.deliver("b.csv", "3,2024-03-02,seoul,7,0.3\n");
    let arguments = place.arguments("run", &["--quiet"]);
    let mut run = command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    run.env("TIDEWATER_INJECT", "abort:commit: after the record");
    assert_eq!(run.output().unwrap().status.code(), None);

    let before = place.everything();
    place
        .tidewater("verify", &[])
        .expect_code(1)
        .expect_stderr("the last commit is half finished");
    assert_eq!(place.everything(), before);
    place.run();
    place.tidewater("verify", &[]).expect_code(0);
}

#[test]
fn another_job_is_not_verified() {
    let place = Place::kept();
    fs::write(
        place.path("sales.sql"),
        JOB.replace("sum(amount) AS total", "max(amount) AS total"),
    )
    .unwrap();
    place
        .tidewater("verify", &[])
        .expect_code(1)
        .expect_stderr("has changed since epoch 4: by_day");
    place.run();
    place.tidewater("verify", &[]).expect_code(0);
}

#[test]
fn both_programs_answer_alike() {
    let run = |name: &str, arguments: &[&str]| {
        let mut command = std::process::Command::new(program(name));
        Ran::new(command.args(arguments).output().unwrap())
    };
    for arguments in [
        &["--help"][..],
        &["job.sql"],
        &["no-such-job.sql", "--state", "none"],
    ] {
        let own = run("tidewater-verify", arguments);
        let through = run("tidewater", &[&["verify"], arguments].concat());
        assert_eq!(
            (own.code, own.stdout, own.stderr),
            (through.code, through.stdout, through.stderr),
            "{arguments:?}"
        );
    }
}
