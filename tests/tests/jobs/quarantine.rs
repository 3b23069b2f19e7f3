//! Each job has its own quarantine: its location, how it moves, and how it is shown.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use tidewater_tests::binary::{self, Ran, snapshot};
use tidewater_tests::published::rows_by_partition;

const SALES: &str = "CREATE EXTERNAL TABLE sales (day DATE, n BIGINT) STORED AS CSV LOCATION 'in';
CREATE MATERIALIZED VIEW by_day AS SELECT day, sum(n) AS n FROM sales GROUP BY day;
";

const ROWS: &str = "day,n\n2024-01-01,1\n2024-01-02,many\n2024-01-03,few\nnever,4\n2024-01-04\n";

struct Job {
    dir: TempDir,
}

impl Job {
    fn new(copies: &str) -> Self {
        let job = Self {
            dir: TempDir::new().unwrap(),
        };
        fs::create_dir(job.path("in")).unwrap();
        fs::write(job.path("in/a.csv"), ROWS).unwrap();
        job.declare("job", copies);
        job
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn declare(&self, job: &str, copies: &str) {
        fs::write(self.path(&format!("{job}.sql")), format!("{SALES}{copies}")).unwrap();
    }

    fn tidewater(&self, arguments: &str) -> Ran {
        let mut command = binary::command(&arguments.split(' ').collect::<Vec<_>>());
        command.current_dir(self.dir.path());
        Ran::from(command.output().unwrap()).no_panic()
    }

    fn run(&self, arguments: &str) -> Ran {
        self.tidewater(&format!("run {arguments}")).code(0)
    }

    fn rows(&self, quarantine: &str) -> usize {
        rows_by_partition(&self.path(quarantine))
            .values()
            .map(Vec::len)
            .sum()
    }

    /// The files that a reader's glob matches.
    fn parquet_files(&self) -> Vec<PathBuf> {
        let files = snapshot(&self.path("out")).into_keys();
        files
            .filter(|path| path.extension().is_some_and(|end| end == "parquet"))
            .collect()
    }
}

#[test]
fn jobs_under_one_root_have_quarantines_of_their_own() {
    for with_state in [false, true] {
        let job = Job::new("COPY by_day TO 'out/t';");
        job.declare("other", "COPY by_day TO 'out/u';");
        let run = |name: &str| {
            let state = if with_state {
                format!(" --state s-{name}")
            } else {
                String::new()
            };
            job.run(&format!("{name}.sql -q{state}"))
        };
        let _ = run("job");
        fs::write(job.path("in/a.csv"), "day,n\n2024-01-01,1\n").unwrap();
        let _ = run("other");
        let own = if with_state {
            "s-job/tables/_quarantine"
        } else {
            "out/_quarantine-t"
        };
        assert_eq!(job.rows(own), 4);
        let _ = (run("job"), run("other"));
        assert_eq!(job.rows(own), 0);
        let tables = ["t/part-00000.parquet", "u/part-00000.parquet"].map(PathBuf::from);
        assert_eq!(job.parquet_files(), tables);
    }
}

#[test]
fn tables_in_unrelated_trees_have_no_quarantine_above_both() {
    let job = Job::new("COPY by_day TO 'a/x/t'; COPY by_day TO 'b/y/t';");
    let _ = job.run("job.sql -q");
    assert_eq!(job.rows("a/x/_quarantine-t"), 4);
    let mut names: Vec<_> = fs::read_dir(job.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["a", "b", "in", "job.sql"]);
}

#[test]
fn a_declared_quarantine_is_published_as_declared() {
    for with_state in [false, true] {
        let job = Job::new(
            "COPY by_day TO 'out/t'; COPY QUARANTINE TO 'bad/rows' STORED AS CSV PARTITIONED BY (source);",
        );
        let state = if with_state { " --state s" } else { "" };
        let _ = job.run(&format!("job.sql -q{state}"));
        let text = fs::read_to_string(job.path("bad/rows/source=sales/part-00000.csv")).unwrap();
        assert!(
            text.starts_with("file,line,byte_offset,column,reason,raw\n"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 5);
        assert!(job.path("bad/rows/_tidewater").is_dir());
    }
}

#[test]
fn a_quarantine_moves_with_its_rows() {
    // Older versions published it as `_quarantine` beside the tables.
    let declared = "COPY by_day TO 'out/t'; COPY QUARANTINE TO 'out/_quarantine';";
    let job = Job::new(declared);
    let _ = job.run("job.sql -q --state s");
    assert_eq!(job.rows("out/_quarantine"), 4);
    job.declare("job", "COPY by_day TO 'out/t';");
    let summary = job.run("job.sql --json --state s").json();
    assert_eq!(summary["rows_in_quarantine"], 4);
    assert_eq!(summary["rows_read"], 0);
    assert_eq!(job.rows("s/tables/_quarantine"), 4);
    assert!(!job.path("out/_quarantine").exists());
    // Another format with new rows, and a directory with a foreign file.
    job.declare(
        "job",
        "COPY by_day TO 'out/t'; COPY QUARANTINE TO 'bad' STORED AS JSON;",
    );
    fs::write(job.path("in/b.csv"), "day,n\nnow,1\n2024-03-01,1\n").unwrap();
    let _ = job.run("job.sql -q --state s");
    let lines = fs::read_to_string(job.path("bad/part-00000.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 5);
    fs::write(job.path("bad/notes.txt"), "mine").unwrap();
    job.declare("job", declared);
    let _ = job.run("job.sql -q --state s");
    assert_eq!(job.rows("out/_quarantine"), 5);
    assert!(job.path("bad/notes.txt").exists());
    // A lost directory is restored from the inputs.
    fs::remove_dir_all(job.path("out/_quarantine")).unwrap();
    job.declare("job", "COPY by_day TO 'out/t';");
    let _ = job.run("job.sql -q --state s");
    assert_eq!(job.rows("s/tables/_quarantine"), 5);
    fs::rename(job.path("s"), job.path("moved")).unwrap();
    let ran = job.run("job.sql --state moved");
    assert!(
        ran.stdout.contains("the tables are up to date"),
        "{}",
        ran.stdout
    );
}

#[test]
fn late_rows_move_with_their_table() {
    let retained = "COPY by_day TO 'out/t' OPTIONS ('retain' '1 day');";
    let job = Job::new(retained);
    let _ = job.run("job.sql -q --state s");
    fs::write(job.path("in/b.csv"), "day,n\n2023-01-01,1\n2022-01-01,1\n").unwrap();
    let _ = job.run("job.sql -q --state s");
    assert_eq!(job.rows("s/tables/_late"), 2);
    job.declare("job", &format!("{retained} COPY LATE TO 'out/late';"));
    fs::write(job.path("in/c.csv"), "day,n\n2021-01-01,1\n").unwrap();
    let _ = job.run("job.sql -q --state s");
    assert_eq!(job.rows("out/late"), 3);
    assert!(!job.path("s/tables/_late").exists());
    fs::remove_dir_all(job.path("out/late")).unwrap();
    let _ = job
        .run("job.sql -q --state s")
        .says(&["out/late is missing", "its earlier rows are lost"]);
    assert_eq!(job.rows("out/late"), 0);
}

#[test]
fn wrong_places_are_told() {
    for (copies, words) in [
        (
            "COPY QUARANTINE TO 'a'; COPY QUARANTINE TO 'b';",
            "QUARANTINE is published twice",
        ),
        (
            "COPY QUARANTINE TO 'a' OPTIONS ('retain' '1 day');",
            "retain",
        ),
        (
            "COPY QUARANTINE TO 'kafka://host:9092/t' OPTIONS ('mode' 'changelog');",
            "QUARANTINE is published as files",
        ),
        ("COPY QUARANTINE TO 'in/bad';", "overlap"),
        ("COPY QUARANTINE TO 'out/t/bad';", "overlap"),
        (
            "COPY QUARANTINE TO 'bad' PARTITIONED BY (reasons);",
            "reasons",
        ),
        ("COPY QUARANTINE TO 'bad' STORED AS ORC;", "ORC"),
        (
            "CREATE VIEW _quarantine AS SELECT * FROM sales;",
            "'_quarantine' is the name of a table that each job has",
        ),
        (
            "CREATE VIEW _late AS SELECT * FROM sales;",
            "'_late' is the name",
        ),
    ] {
        let job = Job::new(&format!("COPY by_day TO 'out/t'; {copies}"));
        let _ = job.tidewater("check job.sql").code(2).says(&[words]);
    }
    // A view of that name is the user's.
    let job =
        Job::new("CREATE VIEW quarantine AS SELECT * FROM sales; COPY quarantine TO 'out/q';");
    let _ = job.run("job.sql -q");
    assert_eq!((job.rows("out/q"), job.rows("out/_quarantine-q")), (1, 4));
}

#[test]
fn the_command_shows_the_most_common_reasons_first() {
    for with_state in [false, true] {
        let job = Job::new("COPY by_day TO 'out/t';");
        let state = if with_state { " --state s" } else { "" };
        let ran = job.run(&format!("job.sql{state}"));
        let command = format!("tidewater quarantine job.sql{state}");
        assert!(ran.stdout.contains(&command), "{}", ran.stdout);
        let shown = job.tidewater(&command["tidewater ".len()..]).code(0).stdout;
        assert!(shown.starts_with("4 rows are quarantined in "), "{shown}");
        let at = |text: &str| {
            shown
                .find(text)
                .unwrap_or_else(|| panic!("no {text:?} in\n{shown}"))
        };
        assert!(
            at("2 rows: cannot be read as BIGINT") < at("1 row: "),
            "{shown}"
        );
        assert!(
            at("'many' cannot be read") < at("'few' cannot be read"),
            "{shown}"
        );
        let limited = job
            .tidewater(&format!("quarantine job.sql --limit 1{state}"))
            .code(0)
            .stdout;
        assert!(
            limited.contains("… and 1 more") && !limited.contains("'few'"),
            "{limited}"
        );
        let counts = job
            .tidewater(&format!("quarantine job.sql --by column{state}"))
            .code(0)
            .stdout;
        let counts: Vec<Vec<&str>> = counts
            .lines()
            .skip(2)
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            counts,
            [
                &["rows", "column"][..],
                &["2", "n"],
                &["1", "(no", "column)"],
                &["1", "day"]
            ]
        );
        let json = job
            .tidewater(&format!("quarantine job.sql --json{state}"))
            .code(0)
            .json();
        assert_eq!(
            (&json["rows"], json["groups"].as_array().unwrap().len()),
            (&json!(4), 3)
        );
        let first = &json["groups"][0];
        assert_eq!(first["rows"], 2);
        let keys: BTreeMap<String, Value> =
            serde_json::from_value(first["examples"][0].clone()).unwrap();
        assert_eq!(keys["line"], 3);
        assert_eq!(keys["raw"], "2024-01-02,many");
        assert!(Path::new(keys["file"].as_str().unwrap()).ends_with("in/a.csv"));
        assert_eq!(keys.len(), 7);
    }
}

#[test]
fn the_command_tells_what_it_cannot_show() {
    let job = Job::new("COPY by_day TO 'out/t';");
    let _ = job
        .tidewater("quarantine job.sql")
        .code(1)
        .says(&["there is no quarantine in", "run the job first"]);
    job.declare(
        "job",
        "COPY by_day TO 'out/t'; COPY QUARANTINE TO 'bad' STORED AS CSV;",
    );
    let _ = job.run("job.sql -q");
    let _ = job
        .tidewater("quarantine job.sql")
        .code(2)
        .says(&["published as CSV in bad"]);
    let _ = job.run("job.sql -q --state s --take-over");
    let shown = job.tidewater("quarantine job.sql --state s").code(0).stdout;
    assert!(
        shown.starts_with("4 rows are quarantined in bad"),
        "{shown}"
    );
}
