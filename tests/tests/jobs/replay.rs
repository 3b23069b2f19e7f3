//! `replay`: the changes of all steps add up to the tables of a run over the same rows, for any steps and workers.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use serde_json::Value;
use tidewater_engine::drive::Step;
use tidewater_engine::{Job, Progress, Replay, ReplayOptions};
use tidewater_tests::binary::{Ran, repository, snapshot, tidewater};
use tidewater_tests::published;

use crate::place::{Place, sql};

/// The count of each row, as the text of its JSON object.
type Rows = BTreeMap<String, i64>;

/// Two sources: one with a key and an event time, one with neither. The source itself is published too.
const ORDERS: &str = "\
CREATE EXTERNAL TABLE orders (id INT PRIMARY KEY, noted DATE, at TIMESTAMP, shop TEXT, amount BIGINT)
  STORED AS CSV LOCATION '${input}/orders*.csv';
CREATE EXTERNAL TABLE shops (shop TEXT, region TEXT) STORED AS CSV LOCATION '${input}/shops.csv';
CREATE MATERIALIZED VIEW by_region AS
  SELECT region, count(*) AS orders, sum(amount) AS total FROM orders JOIN shops ON orders.shop = shops.shop
  GROUP BY region;
CREATE MATERIALIZED VIEW everything AS SELECT count(*) AS orders, max(amount) AS most FROM orders;
CREATE VIEW plain AS SELECT id, amount FROM orders WHERE amount > 10;
COPY by_region TO '${output}/by_region' STORED AS PARQUET;
COPY everything TO '${output}/everything' STORED AS PARQUET;
COPY plain TO '${output}/plain' STORED AS PARQUET;
COPY orders TO '${output}/orders' STORED AS PARQUET;
";

/// Orders 1 and 2 are corrected in later files, one of them with an earlier time. One order has no time.
fn orders() -> Place {
    let place = Place::new();
    let header = "id,noted,at,shop,amount\n";
    for (name, rows) in [
        (
            "orders-1.csv",
            "1,2024-03-01,2024-03-10T10:00:00,a,100\n2,2024-03-01,2024-03-11T23:59:59.999999,b,50\n",
        ),
        (
            "orders-2.csv",
            "1,2024-03-02,2024-03-12T00:00:00,a,70\n3,2024-03-02,,b,5\n4,2024-03-02,2024-03-12T08:00:00,,20\n",
        ),
        ("orders-3.csv", "2,2024-03-03,2024-03-09T12:00:00,a,60\n"),
    ] {
        place.deliver(name, format!("{header}{rows}"));
    }
    place.deliver("shops.csv", "shop,region\na,north\nb,south\n");
    place
}

#[test]
fn card_by_day_week_month_and_hours() {
    let place = generated();
    let _ = place.run("card.sql", &["--quiet"]).code(0);
    let tables = published_rows("card.sql", &place.path("out"));
    let before = snapshot(&place.path("out"));
    for (step, workers, at_least) in [
        ("1 day", "2", 90),
        ("1 week", "1", 13),
        ("1 month", "3", 4),
        ("8 hours", "2", 200),
        ("100 years", "2", 1),
    ] {
        let ran = place.replay("card.sql", &["--step", step, "--workers", workers]);
        let summary = ran.code(0).json();
        assert_same(&place.folded(), &tables, step);
        let steps = summary["steps"].as_array().unwrap();
        assert!(steps.len() >= at_least, "{step}: {}", steps.len());
        assert_eq!(summary["rows_in"], 6000, "{step}");
        for (table, rows) in &tables {
            let number: i64 = rows.values().sum();
            assert_eq!(summary["tables"][table]["rows"], number, "{step}: {table}");
        }
    }
    assert!(
        snapshot(&place.path("out")) == before,
        "nothing is published"
    );
}

#[test]
fn bounds_leave_out_what_a_filtered_input_does() {
    let place = generated();
    let (from, to) = ("2024-02-03T06:00:00", "2024-03-01");
    let ran = place.replay(
        "card.sql",
        &[
            "--step",
            "1 day",
            "--from",
            from,
            "--to",
            to,
            "--by",
            "transaction_date",
        ],
    );
    let summary = ran.code(0).json();
    let mut kept = 0;
    for (name, bytes) in snapshot(&place.path("in")) {
        let text = String::from_utf8(bytes).unwrap();
        let (header, rows) = text.split_once('\n').unwrap();
        let at = header
            .split(',')
            .position(|name| name == "transaction_date")
            .unwrap();
        let within = |row: &&str| {
            let time = row.split(',').nth(at).unwrap().replace(' ', "T");
            *time >= *from && *time < *to
        };
        let rows: Vec<&str> = rows.lines().filter(within).collect();
        kept += rows.len();
        place.deliver(
            name.to_str().unwrap(),
            format!("{header}\n{}\n", rows.join("\n")),
        );
    }
    assert!(kept > 500);
    assert_eq!(
        (&summary["rows_in"], &summary["rows_outside"]),
        (&kept.into(), &(6000 - kept).into())
    );
    assert_eq!(summary["steps"][0]["step"], "2024-02-03");
    let _ = place.run("card.sql", &["--quiet"]).code(0);
    assert_same(
        &place.folded(),
        &published_rows("card.sql", &place.path("out")),
        "bounded",
    );
}

#[test]
fn sample_jobs() {
    for (job, input, step, steps) in [
        ("library.sql", "library", "1 hour", 2),
        ("library.sql", "library", "1 year", 1),
        ("employees.sql", "employees.csv", "1 month", 2),
    ] {
        let place = Place::new();
        let input = repository().join("jobs/samples").join(input);
        let out = place.path("out");
        let _ = place.run_between(job, &input, &out, &["--quiet"]).code(0);
        let changes = place.path("changes.jsonl");
        let more = [
            "--step",
            step,
            "--json",
            "--changes",
            changes.to_str().unwrap(),
        ];
        let summary = place
            .command("replay", job, &input, &out, &more)
            .code(0)
            .json();
        assert!(summary["steps"].as_array().unwrap().len() >= steps, "{job}");
        assert_same(&place.folded(), &published_rows(job, &out), job);
    }
}

#[test]
fn keys_dimensions_and_published_sources_are_as_in_a_run() {
    let place = orders();
    let _ = place.run(ORDERS, &["--quiet"]).code(0);
    let tables = published_rows(ORDERS, &place.path("out"));
    assert_eq!(
        tables["by_region"].keys().collect::<Vec<_>>(),
        [
            r#"{"region":"north","orders":2,"total":130}"#,
            r#"{"region":"south","orders":1,"total":5}"#,
        ]
    );
    for (by, first, steps) in [
        (&["--by", "at"][..], "2024-03-09", 4),
        (&["--by", "orders.at"], "2024-03-09", 4),
        (&[], "2024-03-01", 3),
    ] {
        for workers in ["1", "2", "3"] {
            let ran = place.replay(
                ORDERS,
                &[by, &["--step", "1 day", "--workers", workers]].concat(),
            );
            let summary = ran.code(0).json();
            assert_same(&place.folded(), &tables, workers);
            let found = summary["steps"].as_array().unwrap();
            assert_eq!(
                (&found[0]["step"], found.len()),
                (&first.into(), steps),
                "{by:?}"
            );
        }
    }
}

#[test]
fn rows_that_wait_in_temporary_files_are_the_same() {
    let place = orders();
    let samples = repository().join("jobs/samples/library");
    for (text, input) in [
        (ORDERS.to_owned(), place.path("in")),
        (sql("library.sql"), samples),
    ] {
        let variable = |name: &str| (name == "input").then(|| input.display().to_string());
        let text = text.replace("${output}", "out");
        let job = Job::parse("job.sql", &text, &variable).unwrap_or_else(|e| panic!("{e}"));
        let replayed = |memory_bytes| {
            let options = ReplayOptions {
                workers: 2,
                step: Step::parse("1 hour").unwrap(),
                by: Vec::new(),
                from: None,
                to: None,
                messages_from: None,
                messages_to: None,
                memory_bytes,
                temporary: std::env::temp_dir(),
            };
            let replay = Replay::open(&job, &options, &Progress::default()).unwrap();
            let steps = replay.map(Result::unwrap);
            let steps = steps.map(|step| (step.start, step.rows, step.changes));
            steps.collect::<Vec<_>>()
        };
        let in_memory = replayed(usize::MAX);
        assert!(in_memory.len() > 2, "{in_memory:?}");
        assert_eq!(replayed(0), in_memory);
    }
}

#[test]
fn text_says_how_rows_were_dealt_and_what_changed() {
    let place = orders();
    place.deliver(
        "orders-4.csv",
        "id,noted,at,shop,amount\nfour,2024-03-04,2024-03-12T00:00:00,a,1\n",
    );
    let orders = ORDERS.replace("orders*.csv'", "orders*.csv' OPTIONS ('min_good_rows' '0')");
    let ran = place.command(
        "replay",
        &orders,
        &place.path("in"),
        &place.path("out"),
        &["--step", "1 day", "--by", "at", "--to", "2024-03-12"],
    );
    let ran = ran.code(0).says(&[
        "source orders: 1 row left out that cannot be read",
        "orders-4.csv line 2",
    ]);
    for part in [
        "orders: by at, 2 rows outside --from and --to left out, 1 row without a time with the first step\n",
        "shops: whole with the first step\n",
        "2024-03-09 ",
        "2024-03-10 ",
        "4 tables +",
        "rows in 3 steps",
        "p99",
        "2 left out, 1 bad",
    ] {
        assert!(ran.stdout.contains(part), "no {part:?} in\n{}", ran.stdout);
    }
    assert!(!place.path("out").exists(), "nothing is published");
}

#[test]
fn changes_go_to_standard_output() {
    let place = orders();
    let ran = place.command(
        "replay",
        ORDERS,
        &place.path("in"),
        &place.path("out"),
        &["--step", "1 day", "--by", "at", "--changes", "-"],
    );
    let ran = ran.code(0).says(&["2024-03-09"]);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let everything: Vec<&&str> = lines
        .iter()
        .filter(|line| line.contains("everything"))
        .collect();
    assert_eq!(
        everything[..3],
        [
            &r#"{"step":"2024-03-09","epoch":0,"table":"everything","op":"insert","row":{"orders":2,"most":60}}"#,
            &r#"{"step":"2024-03-10","epoch":1,"table":"everything","op":"delete","row":{"orders":2,"most":60}}"#,
            &r#"{"step":"2024-03-10","epoch":1,"table":"everything","op":"insert","row":{"orders":3,"most":100}}"#,
        ]
    );
    for line in lines {
        let _: Value = serde_json::from_str(line).unwrap();
    }
}

#[test]
fn without_event_time_all_is_one_step() {
    let place = Place::new();
    place.deliver("a.csv", "region,amount\nx,1\ny,2\n");
    let job = "CREATE EXTERNAL TABLE sales (region TEXT, amount INT) STORED AS CSV LOCATION '${input}/*.csv';
        CREATE MATERIALIZED VIEW total AS SELECT count(*) AS n, sum(amount) AS amount FROM sales;
        COPY total TO '${output}/total' STORED AS PARQUET;";
    let summary = place.replay(job, &["--step", "1 day"]).code(0).json();
    let step = &summary["steps"].as_array().unwrap()[..];
    assert_eq!(
        (step.len(), &step[0]["step"], &step[0]["rows_in"]),
        (1, &Value::Null, &2.into())
    );
    // Without rows, there is still the total of no rows.
    place.deliver("a.csv", "region,amount\n");
    let _ = place.replay(job, &["--step", "1 day"]).code(0);
    let nothing = r#"{"n":0,"amount":null}"#.to_owned();
    assert_eq!(place.folded()["total"], Rows::from([(nothing, 1)]));
    let bounded = place.replay(job, &["--step", "1 day", "--to", "2024-01-01"]);
    let _ = bounded.code(2).says(&["no source has a TIMESTAMP or DATE"]);
}

#[test]
fn a_column_that_no_table_reads_deals_rows_to_steps() {
    let place = Place::new();
    let rows = "day,region,amount\n2024-01-02,x,1\n2024-01-01,y,2\n2024-01-02,x,4\n";
    place.deliver("a.csv", rows);
    let job = "CREATE EXTERNAL TABLE sales (region TEXT, day DATE, amount INT) STORED AS CSV LOCATION '${input}/*.csv';
        CREATE MATERIALIZED VIEW total AS SELECT region, sum(amount) AS amount FROM sales GROUP BY region;
        COPY total TO '${output}/total' STORED AS PARQUET;";
    let _ = place.run(job, &["--quiet"]).code(0);
    let summary = place.replay(job, &["--step", "1 day"]).code(0).json();
    assert_eq!(summary["notes"][0], "sales: by day");
    let rows: Vec<_> = (0..3).map(|at| &summary["steps"][at]["rows_in"]).collect();
    assert_eq!(rows, [&1.into(), &2.into(), &Value::Null]);
    assert_same(
        &place.folded(),
        &published_rows(job, &place.path("out")),
        "unread",
    );
}

#[test]
fn what_means_nothing_is_refused() {
    let place = orders();
    let day = ["--step", "1 day"];
    for (more, code, parts) in [
        (
            &["--step", "1 fortnight"][..],
            2,
            &["'1 day'", "15 minutes"][..],
        ),
        (&[], 2, &["--step"]),
        (
            &["--step", "1 day", "--from", "yesterday"],
            2,
            &["2024-01-31"],
        ),
        (
            &["--step", "1 day", "--by", "time"],
            2,
            &["no source has this column", "orders.at"],
        ),
        (
            &["--step", "1 day", "--by", "shops.at"],
            2,
            &["no source has this column"],
        ),
        (
            &["--step", "1 day", "--by", "amount"],
            2,
            &["'amount' of source orders is a Int64", "orders.noted"],
        ),
        (
            &["--step", "1 day", "--by", "at", "--by", "noted"],
            2,
            &["another column of event time"],
        ),
        (
            &[
                "--step",
                "1 day",
                "--from",
                "2024-03-11",
                "--to",
                "2024-03-11",
            ],
            2,
            &["is not before"],
        ),
        (
            &["--step", "1 day", "--by", "at", "--from", "2025-01-01"],
            1,
            &[
                "no row lies between",
                "2024-03-09T12:00:00",
                "2024-03-12T08:00:00",
            ],
        ),
        (
            &["--step", "1 day", "--json", "--changes", "-"],
            2,
            &["standard output"],
        ),
        (
            &["--step", "1 day", "--changes", "/no/such/directory/x"],
            1,
            &["cannot create"],
        ),
    ] {
        let (input, out) = (place.path("in"), place.path("out"));
        let _ = place
            .command("replay", ORDERS, &input, &out, more)
            .code(code)
            .says(parts);
    }
    place.deliver("orders-4.csv", "id,noted,at,shop,amount\nx,,,,\n");
    let options = "orders*.csv' OPTIONS ('max_bad_rows' '0', 'min_good_rows' '0')";
    let gated = ORDERS.replace("orders*.csv'", options);
    let _ = place.replay(&gated, &day).code(3).says(&["max_bad_rows"]);
}

impl Place {
    /// Replays a job, and writes its changes to a file.
    fn replay(&self, job: &str, more: &[&str]) -> Ran {
        let changes = self.path("changes.jsonl");
        let to = ["--json", "--changes", changes.to_str().unwrap()];
        let (input, out) = (self.path("in"), self.path("out"));
        self.command("replay", job, &input, &out, &[&to, more].concat())
    }

    /// The sum of the changes of the last replay. Asserts that no count is ever negative.
    fn folded(&self) -> BTreeMap<String, Rows> {
        let mut tables: BTreeMap<String, Rows> = BTreeMap::new();
        let mut last = (0, String::new());
        for line in fs::read_to_string(self.path("changes.jsonl"))
            .unwrap()
            .lines()
        {
            let change: Value = serde_json::from_str(line).unwrap();
            let here = (
                change["epoch"].as_u64().unwrap(),
                change["step"].as_str().unwrap_or_default().to_owned(),
            );
            assert!(here >= last, "{line}");
            last = here;
            let (_, row) = line.split_once(r#","row":"#).unwrap();
            let rows = tables
                .entry(change["table"].as_str().unwrap().to_owned())
                .or_default();
            let row = row.strip_suffix('}').unwrap().to_owned();
            let count = rows.entry(row.clone()).or_default();
            *count += if change["op"] == "insert" { 1 } else { -1 };
            assert!(*count >= 0, "{line}");
            if *count == 0 {
                rows.remove(&row);
            }
        }
        tables
    }
}

/// Card transactions of a hundred days.
fn generated() -> Place {
    let place = Place::new();
    let input = place.path("in");
    let out = input.to_str().unwrap();
    let range = ["--start", "2024-01-01", "--end", "2024-04-09", "--out", out];
    let rows = ["generate", "--records", "6000", "--cards", "900", "--quiet"];
    let _ = tidewater(&[&rows[..], &range].concat()).code(0);
    place
}

/// The rows of all tables that a run of the job published.
fn published_rows(job: &str, out: &Path) -> BTreeMap<String, Rows> {
    let text = if job.contains("CREATE") {
        job.to_owned()
    } else {
        sql(job)
    };
    let variable = |name: &str| Some(if name == "output" { "out" } else { "in" }.to_owned());
    let job = Job::parse("job.sql", &text, &variable).unwrap_or_else(|errors| panic!("{errors}"));
    let tables = job.sinks.iter().map(|sink| {
        let rows = published::table(&out.join(&sink.view), &sink.schema);
        (sink.view.clone(), rows_of(&rows))
    });
    tables.collect()
}

fn rows_of(batch: &RecordBatch) -> Rows {
    let builder = WriterBuilder::new().with_explicit_nulls(true);
    let mut writer = builder.build::<_, LineDelimited>(Vec::new());
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    let mut rows = Rows::new();
    for line in String::from_utf8(writer.into_inner()).unwrap().lines() {
        *rows.entry(line.to_owned()).or_default() += 1;
    }
    rows
}

fn assert_same(found: &BTreeMap<String, Rows>, expected: &BTreeMap<String, Rows>, context: &str) {
    for (table, expected) in expected {
        let none = Rows::new();
        let found = found.get(table).unwrap_or(&none);
        let other: Vec<_> = expected
            .iter()
            .filter(|(row, count)| found.get(*row) != Some(count))
            .collect();
        assert!(
            other.is_empty() && found.len() == expected.len(),
            "{context}: {table}: {other:?}"
        );
    }
}
