#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::drive::maintain::{MaintainOptions, Thresholds, maintain};
use crate::drive::{Progress, Publication, RunOptions};
use crate::plan::assemble::published_views;
use crate::state::directory::{Directory, LockWait};
use crate::state::{Store, TABLES, TableRecord, VIEWS, ViewRecord};

const JOB: &str = include_str!("golden.sql");

fn fingerprints(sql: &str) -> Fingerprints {
    let job = Job::parse("job.sql", sql, &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
    let views = published_views(&job).unwrap();
    Fingerprints::of(&job, &views, Path::new("/state/tables"))
}

fn lines(of: &BTreeMap<String, String>) -> Vec<String> {
    let lines = of.iter();
    lines
        .map(|(name, fingerprint)| format!("{name} {fingerprint}"))
        .collect()
}

/// Compares lines with a file beside this one. `TIDEWATER_BLESS=1` writes the file instead.
#[track_caller]
fn assert_golden(lines: &[String], name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/drive/maintain/fingerprints")
        .join(name);
    let found = lines.join("\n") + "\n";
    if std::env::var_os("TIDEWATER_BLESS").is_some() {
        std::fs::write(&path, found).unwrap();
        return;
    }
    assert_eq!(found, std::fs::read_to_string(&path).unwrap(), "{name}");
}

/// These lines change only with [`VERSION`]. Any change of them rebuilds the states of all users.
#[test]
fn fingerprints_are_those_of_every_build() {
    let of = fingerprints(JOB);
    let found = [lines(&of.relations), lines(&of.tables)].concat();
    assert_golden(&found, "golden.txt");
}

/// The fingerprints of format 1 for the same job.
#[test]
fn fingerprints_of_format_1_are_recognised() {
    let of = fingerprints(JOB);
    let legacy = [lines(&of.legacy.relations), lines(&of.legacy.tables)];
    assert_golden(&legacy.concat(), "golden-1.txt");
    for (name, recorded) in &of.legacy.relations {
        let comparison = of.compare_relation(name, recorded);
        assert_eq!(comparison, FingerprintMatch::SameInOldFormat, "{name}");
    }
    for (name, recorded) in &of.legacy.tables {
        let comparison = of.compare_table(name, recorded);
        assert_eq!(comparison, FingerprintMatch::SameInOldFormat, "{name}");
    }
}

#[test]
fn what_is_recorded_is_compared_by_format() {
    let of = fingerprints(JOB);
    let current = of.relation("by_region").unwrap().clone();
    let cases = [
        (current.as_str(), FingerprintMatch::Same),
        ("2-0000000000000000", FingerprintMatch::Different),
        ("0000000000000000", FingerprintMatch::OtherFormat),
        ("3-0000000000000000", FingerprintMatch::OtherFormat),
        ("", FingerprintMatch::OtherFormat),
    ];
    for (recorded, expected) in cases {
        assert_eq!(
            of.compare_relation("by_region", recorded),
            expected,
            "{recorded}"
        );
    }
    assert_ne!(
        of.compare_relation("by_day", &current),
        FingerprintMatch::Same
    );
}

/// Changes of a job that must rebuild a view or table, and changes that must not.
#[test]
fn a_change_of_the_job_changes_what_it_concerns() {
    let before = fingerprints(JOB);
    // The replaced text, its replacement, and the relations and tables that change.
    let cases: [(&str, &str, &[&str]); 9] = [
        ("'orders/'", "'elsewhere/'", &[]),
        (
            "amount > 10",
            "amount > 11",
            &["large", "by_region", "ranked", "late_days"],
        ),
        (
            "sum(amount) AS total",
            "avg(amount) AS total",
            &["by_region", "table by_region", "table by_region#2"],
        ),
        (
            "'delimiter' ';'",
            "'delimiter' '|'",
            &[
                "_quarantine",
                "orders",
                "by_day",
                "by_region",
                "large",
                "late_days",
                "ranked",
            ],
        ),
        ("'out/days'", "'out/other'", &["table by_day"]),
        ("'zstd'", "'gzip'", &["table by_region"]),
        ("2 PRECEDING", "3 PRECEDING", &["ranked"]),
        (
            "PRIMARY KEY (id)",
            "PRIMARY KEY (code)",
            &["_quarantine", "regions", "by_region"],
        ),
        (
            "'key' 'region'",
            "'mode' 'changelog'",
            &["table by_region#2"],
        ),
    ];
    for (old, new, expected) in cases {
        assert_eq!(JOB.matches(old).count(), 1, "{old}");
        let after = fingerprints(&JOB.replace(old, new));
        let relations = before.relations.iter();
        let relations =
            relations.filter(|(name, _)| before.relations.get(*name) != after.relations.get(*name));
        let tables = before.tables.iter();
        let tables = tables.filter(|(name, print)| after.tables.get(*name) != Some(print));
        let mut changed: Vec<String> = relations.map(|(name, _)| name.clone()).collect();
        changed.extend(tables.map(|(name, _)| format!("table {name}")));
        let mut expected: Vec<&str> = expected.to_vec();
        changed.sort();
        expected.sort_unstable();
        assert_eq!(changed, expected, "{old} by {new}");
    }
}

#[test]
fn options_of_a_topic_that_change_rows_change_its_views() {
    let job = |options: &str| {
        fingerprints(&format!(
            "CREATE EXTERNAL TABLE t (id BIGINT, k TEXT, PRIMARY KEY (id)) STORED AS JSON
             LOCATION 'kafka://broker:9092/t' OPTIONS ({options});
             CREATE MATERIALIZED VIEW v AS SELECT k, count(*) AS n FROM t GROUP BY k;
             COPY v TO 'out/v';"
        ))
    };
    let before = job("'start' 'earliest'");
    let recorded = before.relation("v").unwrap().clone();
    for (options, is_same) in [
        ("'start' 'latest', 'group' 'g', 'lost_offsets' 'skip'", true),
        ("'envelope' 'none', 'key_format' 'text'", true),
        ("'envelope' 'debezium'", false),
        ("'key_format' 'json'", false),
        ("'column.k' 'key'", false),
    ] {
        let after = job(options);
        for relation in ["v", "t", QUARANTINE_TABLE] {
            let recorded = before.relation(relation).unwrap();
            let found = after.compare_relation(relation, recorded);
            assert_eq!(found.is_same(), is_same, "{options}: {relation}");
        }
        // Earlier versions recorded fingerprints without these options. Their states continue.
        let earlier = after.without_rules["v"].clone();
        assert_ne!(earlier, recorded);
        let found = after.compare_relation("v", &earlier);
        assert_eq!(found, FingerprintMatch::SameInOldFormat, "{options}");
    }
    let header = job("'column.k' 'header:a'");
    let other = header.compare_relation("v", job("'column.k' 'header:b'").relation("v").unwrap());
    assert_eq!(other, FingerprintMatch::Different);
}

/// A job with a state, in a directory.
struct Place {
    root: tempfile::TempDir,
    notices: Mutex<Vec<String>>,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("in")).unwrap();
        std::fs::write(root.path().join("in/a.csv"), "k,v\na,1\nb,2\nx,y\n").unwrap();
        Self {
            root,
            notices: Mutex::default(),
        }
    }

    fn job(&self) -> Job {
        let root = self.root.path().display();
        let sql = format!(
            "CREATE EXTERNAL TABLE t (k TEXT, v BIGINT) STORED AS CSV LOCATION '{root}/in';\n\
             CREATE MATERIALIZED VIEW sums AS SELECT k, sum(v) AS s FROM t GROUP BY k;\n\
             COPY sums TO '{root}/out/sums' STORED AS CSV;\nCOPY t TO '{root}/out/t';"
        );
        Job::parse("job.sql", &sql, &|_| None).unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn state(&self) -> std::path::PathBuf {
        self.root.path().join("state")
    }

    /// Runs the job. Returns the views that were rebuilt, and the notices.
    fn run(&self) -> (Vec<String>, Vec<String>) {
        let options = MaintainOptions {
            run: RunOptions {
                workers: 1,
                preview_rows: 0,
                take_over: false,
            },
            state: self.state(),
            wait: LockWait::NONE,
            declared: None,
            rebuild: false,
            audit: false,
            candidate: None,
            rehash: false,
            settle: Duration::ZERO,
            thresholds: Thresholds::default(),
            now: &|| Duration::from_secs(1),
            notice: &|notice| self.notices.lock().unwrap().push(notice.to_owned()),
        };
        let report = maintain(&self.job(), &options, &Progress::default()).unwrap();
        let whole = report.tables.iter();
        let whole = whole.filter(|table| table.published == Publication::Whole);
        let names = whole.map(|table| table.name.clone()).collect();
        (names, std::mem::take(&mut self.notices.lock().unwrap()))
    }

    /// The state's records of views and tables.
    fn recorded(&self) -> (BTreeMap<String, ViewRecord>, BTreeMap<String, TableRecord>) {
        let directory = Directory::for_reading(&self.state()).unwrap();
        let store = Store::for_reading(&directory).unwrap();
        let snapshot = store.read().unwrap();
        (
            snapshot.records(VIEWS, "").unwrap(),
            snapshot.records(TABLES, "").unwrap(),
        )
    }

    /// Gives the records of views and tables other fingerprints.
    fn record(&self, relation: impl Fn(&str) -> String, table: impl Fn(&str) -> Option<String>) {
        let (views, tables) = self.recorded();
        let mut directory = Directory::open(&self.state(), LockWait::NONE, false).unwrap();
        let store = Store::open(&mut directory).unwrap();
        let transaction = store.write().unwrap();
        for (name, record) in views {
            let fingerprint = relation(&name);
            let record = ViewRecord {
                fingerprint,
                ..record
            };
            transaction.put(VIEWS, &name, &record).unwrap();
        }
        for (name, record) in tables {
            if let Some(fingerprint) = table(&name) {
                let record = TableRecord {
                    fingerprint,
                    ..record
                };
                transaction.put(TABLES, &name, &record).unwrap();
            }
        }
        transaction.commit().unwrap();
    }

    fn fingerprints(&self) -> Fingerprints {
        let job = self.job();
        let views = published_views(&job).unwrap();
        Fingerprints::of(
            &job,
            &views,
            &self.state().canonicalize().unwrap().join("tables"),
        )
    }
}

#[test]
fn a_state_of_format_1_goes_on_and_has_new_fingerprints_afterwards() {
    for delivers in [false, true] {
        let place = Place::new();
        assert_eq!(place.run().0.len(), 2, "the first run makes both tables");
        let recorded = place.recorded();
        let legacy = place.fingerprints().legacy;
        place.record(
            |name| legacy.relations[name].clone(),
            |name| legacy.tables.get(name).cloned(),
        );
        if delivers {
            std::fs::write(place.root.path().join("in/b.csv"), "k,v\na,5\n").unwrap();
        }
        assert_eq!(place.run(), (Vec::new(), Vec::new()));
        let upgraded = place.recorded();
        assert_eq!(upgraded.0, recorded.0, "views");
        let fingerprints = |tables: &BTreeMap<String, TableRecord>| {
            let tables = tables.iter();
            let of = tables.map(|(name, table)| (name.clone(), table.fingerprint.clone()));
            of.collect::<Vec<_>>()
        };
        assert_eq!(fingerprints(&upgraded.1), fingerprints(&recorded.1));
        if delivers {
            let sums = std::fs::read_to_string(place.root.path().join("out/sums/part-00000.csv"));
            assert_eq!(sums.unwrap(), "k,s\na,6\nb,2\n");
        }
    }
}

#[test]
fn a_state_of_another_format_is_rebuilt_and_says_so() {
    for other in ["0123456789abcdef", "7-0123456789abcdef"] {
        let place = Place::new();
        let _ = place.run();
        place.record(|_| other.to_owned(), |_| Some(other.to_owned()));
        let (whole, notices) = place.run();
        assert_eq!(whole, ["sums", "t"]);
        let [notice] = &notices[..] else {
            panic!("{notices:?}")
        };
        assert!(
            notice.contains("this version of Tidewater plans it differently")
                && notice.ends_with("rebuilt from the stored inputs: sums, t"),
            "{notice}"
        );
        let sums = std::fs::read_to_string(place.root.path().join("out/sums/part-00000.csv"));
        assert_eq!(sums.unwrap(), "k,s\na,1\nb,2\n");
        assert_eq!(place.run(), (Vec::new(), Vec::new()));
    }
}
