//! Tests the contract of connectors by a toy source and a toy sink. Each is a file and a line of registration. They
//! run through the real engine: runs with a state, retractions, rebuilt views, crashes between a record and its
//! publishing.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod toy_sink;
mod toy_source;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tidewater_connectors::Registry;
use tidewater_engine::state::directory::LockWait;
use tidewater_engine::{
    Inspection, Job, MaintainOptions, Progress, RunError, RunOptions, RunReport, Thresholds,
    maintain, run,
};

use self::toy_sink::{Held, TOY_SINKS};
use self::toy_source::TOY_SOURCES;

/// The variable that passes the toys' directory to a process that a test starts.
const DIRECTORY: &str = "TIDEWATER_TOY_DIRECTORY";

const OPTIONS: RunOptions = RunOptions {
    workers: 2,
    preview_rows: 0,
    take_over: false,
};

fn registry() -> Registry {
    Registry::default()
        .with_source(&TOY_SOURCES)
        .with_sink(&TOY_SINKS)
}

/// Toys in a directory.
struct Toys {
    root: PathBuf,
    /// The expression that is summed.
    sum: &'static str,
}

impl Toys {
    fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            sum: "amount",
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn job(&self) -> Job {
        let root = self.root.display();
        let sql = format!(
            "CREATE EXTERNAL TABLE orders (id BIGINT NOT NULL, amount BIGINT NOT NULL) STORED AS CSV
               LOCATION 'toy://{root}/rows';
             CREATE MATERIALIZED VIEW totals AS
               SELECT id % 3 AS bucket, CAST(sum({}) AS BIGINT) AS total FROM orders GROUP BY id % 3;
             COPY totals TO 'toy://{root}/totals.json';",
            self.sum
        );
        Job::parse_with(&registry(), "toys.sql", &sql, &|_| None)
            .unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// Sets the rows of the source.
    fn put(&self, rows: &[(i64, i64)]) {
        let lines = rows.iter().map(|(id, amount)| format!("{id},{amount}\n"));
        fs::write(self.path("rows"), lines.collect::<String>()).unwrap();
    }

    fn run(&self) -> Result<RunReport, RunError> {
        let options = MaintainOptions {
            run: OPTIONS,
            state: self.path("state"),
            wait: LockWait::NONE,
            declared: None,
            rebuild: false,
            audit: false,
            candidate: None,
            rehash: false,
            settle: Duration::ZERO,
            thresholds: Thresholds::default(),
            now: &|| Duration::from_secs(1),
            notice: &|_| {},
        };
        maintain(&self.job(), &options, &Progress::default())
    }

    fn held(&self) -> (u64, Held) {
        toy_sink::read(&self.path("totals.json"))
    }
}

/// The expected totals of some rows, each with the count 1.
fn totals(rows: &[(i64, i64)]) -> Held {
    let mut sums: BTreeMap<i64, i64> = BTreeMap::new();
    for (id, amount) in rows {
        *sums.entry(id % 3).or_default() += amount;
    }
    sums.into_iter().map(|row| (row, 1)).collect()
}

fn toys() -> (TempDir, Toys) {
    let directory = tempfile::tempdir().unwrap();
    let toys = Toys::new(directory.path());
    (directory, toys)
}

const FIRST: &[(i64, i64)] = &[(1, 10), (2, 20), (3, 30), (4, 40)];
/// One row is removed, one has another amount, one is new.
const SECOND: &[(i64, i64)] = &[(1, 10), (3, 31), (4, 40), (5, 50)];

#[test]
fn rows_come_change_and_go() {
    let (_directory, toys) = toys();
    for (epoch, rows) in [(1, FIRST), (2, SECOND), (3, &[]), (4, FIRST)] {
        toys.put(rows);
        let report = toys.run().unwrap();
        assert_eq!(report.epoch, epoch);
        assert_eq!(toys.held(), (epoch, totals(rows)), "epoch {epoch}");
        assert_eq!(toys.run().unwrap().epoch, epoch, "nothing is new");
        assert_eq!(toys.held(), (epoch, totals(rows)));
    }
}

#[test]
fn a_commit_records_what_changed() {
    let (_directory, toys) = toys();
    toys.put(FIRST);
    toys.run().unwrap();
    toys.put(SECOND);
    let report = toys.run().unwrap();
    let deliveries = report.deliveries.unwrap();
    let [delivery] = &deliveries[..] else {
        panic!("{deliveries:?}");
    };
    assert_eq!((delivery.rows_in, delivery.rows_out), (2, 2));
    assert_eq!(delivery.change, "compared");

    let job = toys.job();
    let inspection = Inspection::open(&job, &toys.path("state")).unwrap();
    let source = &job.sources[0];
    assert_eq!(inspection.source_status(source, false).unwrap().rows, 4);
    let reader = inspection.kept(source).unwrap().open(&source.spec).unwrap();
    let dealt = reader.next_piece().unwrap().dealt().unwrap();
    let rows = dealt.piece.map(|decoded| decoded.unwrap().batch.num_rows());
    assert_eq!(rows.sum::<usize>(), 4);
}

#[test]
fn a_view_that_changed_is_rebuilt_from_stored_rows() {
    let (_directory, mut toys) = toys();
    toys.put(FIRST);
    toys.run().unwrap();
    toys.sum = "2 * amount";
    toys.put(SECOND);
    toys.run().unwrap();
    let doubled: Vec<(i64, i64)> = SECOND
        .iter()
        .map(|(id, amount)| (*id, 2 * amount))
        .collect();
    assert_eq!(toys.held(), (2, totals(&doubled)));
}

#[test]
fn an_epoch_that_was_not_published_is_published_by_the_next_run() {
    let (_directory, toys) = toys();
    toys.put(FIRST);
    toys.run().unwrap();
    fs::write(toys.path("refuse"), "").unwrap();
    toys.put(SECOND);
    let error = toys.run().unwrap_err();
    assert!(matches!(error, RunError::Sink(_)), "{error}");
    assert_eq!(toys.held(), (1, totals(FIRST)), "committed, not published");
    fs::remove_file(toys.path("refuse")).unwrap();
    assert_eq!(toys.run().unwrap().epoch, 2, "nothing is new");
    assert_eq!(toys.held(), (2, totals(SECOND)));
}

#[test]
fn a_crash_at_any_point_of_a_commit_loses_and_repeats_nothing() {
    for point in tidewater_engine::CRASH_POINTS {
        let (_directory, toys) = toys();
        toys.put(FIRST);
        toys.run().unwrap();
        toys.put(SECOND);
        let crashed = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "one_run", "--ignored"])
            .env(DIRECTORY, &toys.root)
            .env("TIDEWATER_INJECT", format!("abort:{point}"))
            .output()
            .unwrap();
        assert!(!crashed.status.success(), "{point}: {crashed:?}");
        assert_eq!(toys.held(), (1, totals(FIRST)), "{point}");
        toys.run().unwrap();
        assert_eq!(toys.held(), (2, totals(SECOND)), "{point}");
        toys.put(FIRST);
        toys.run().unwrap();
        assert_eq!(toys.held(), (3, totals(FIRST)), "{point}");
    }
}

/// Not a test by itself: another test starts it as a process, to see it crash.
#[test]
#[ignore = "another test starts it"]
fn one_run() {
    let root = std::env::var_os(DIRECTORY).unwrap();
    Toys::new(root.as_ref()).run().unwrap();
}

#[test]
fn a_sink_needs_a_state_and_mistakes_have_their_place() {
    let (_directory, toys) = toys();
    toys.put(FIRST);
    let error = run(&toys.job(), &OPTIONS, &Progress::default()).unwrap_err();
    assert!(error.to_string().contains("goes to a toy"), "{error}");

    let wrong = "CREATE EXTERNAL TABLE t (id BIGINT) STORED AS CSV LOCATION 'toy://';\n\
                 CREATE EXTERNAL TABLE u (id BIGINT, v BIGINT) STORED AS CSV LOCATION 'toy://u';\n\
                 COPY u TO 'toy://a' PARTITIONED BY (id);\n\
                 COPY u TO 'toy://b'; COPY u TO 'toy://b';\n\
                 CREATE EXTERNAL TABLE w (id BIGINT) STORED AS CSV LOCATION 'ftp://w';";
    let errors = Job::parse_with(&registry(), "wrong.sql", wrong, &|_| None).unwrap_err();
    let text = errors.to_string();
    for expected in [
        "the location names no file",
        "a toy has no partitions",
        "a file for each table",
        "ftp:// is not supported by this version",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let explained = tidewater_engine::Explain::new(&toys.job())
        .unwrap()
        .to_string();
    assert!(explained.contains("toy at "), "{explained}");
}
