//! Two jobs or two states with one directory: the second is refused, with the owner's name, and may take it over.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use tidewater_tests::binary::{self, Ran, snapshot};
use tidewater_tests::published::rows_by_partition;

const SOURCE: &str =
    "CREATE EXTERNAL TABLE sales (day DATE, region TEXT, n BIGINT) STORED AS CSV LOCATION 'in';";

struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            dir: TempDir::new().unwrap(),
        };
        fs::create_dir(place.dir.path().join("in")).unwrap();
        place.deliver("a.csv", "2024-01-01,north,1\n2024-01-02,south,2\n");
        for (job, view, by) in [("a", "by_day", "day"), ("b", "by_region", "region")] {
            let sql = format!(
                "{SOURCE} CREATE MATERIALIZED VIEW {view} AS SELECT {by}, sum(n) AS n FROM sales GROUP BY {by}; \
                 COPY {view} TO '${{output:-out/t}}' PARTITIONED BY ({by});"
            );
            fs::write(place.dir.path().join(format!("{job}.sql")), sql).unwrap();
        }
        place
    }

    fn deliver(&self, name: &str, rows: &str) {
        let path = self.dir.path().join("in").join(name);
        fs::write(path, format!("day,region,n\n{rows}")).unwrap();
    }

    fn run(&self, arguments: &str) -> Ran {
        let arguments: Vec<&str> = ["run"].into_iter().chain(arguments.split(' ')).collect();
        let mut command = binary::command(&arguments);
        command.current_dir(self.dir.path());
        Ran::from(command.output().unwrap()).no_panic()
    }

    fn commits(&self, arguments: &str) -> Ran {
        self.run(arguments).code(0)
    }

    /// The run must fail with these words, and leave the tables.
    #[track_caller]
    fn refused(&self, arguments: &str, words: &[&str]) {
        let before = snapshot(&self.dir.path().join("out"));
        let again = format!("tidewater run {arguments} --take-over");
        let words = [words, &["Nothing was published", &again]].concat();
        let _ = self.run(arguments).code(1).says(&words);
        assert_eq!(snapshot(&self.dir.path().join("out")), before);
    }

    fn partitions(&self, table: &str) -> Vec<String> {
        let rows = rows_by_partition(&self.dir.path().join(table));
        let mut names: Vec<String> = rows.keys().map(|path| path.display().to_string()).collect();
        names.sort();
        names
    }

    fn copy(&self, from: &str, to: &str) {
        copy(&self.dir.path().join(from), &self.dir.path().join(to));
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

const BY_DAY: [&str; 2] = ["day=2024-01-01", "day=2024-01-02"];
const BY_REGION: [&str; 2] = ["region=north", "region=south"];

#[test]
fn another_job_is_refused_with_and_without_a_state() {
    for owner in ["a.sql -q", "a.sql -q --state sa"] {
        for other in ["b.sql -q", "b.sql -q --state sb"] {
            let place = Place::new();
            let _ = place.commits(owner);
            place.refused(other, &["out/t was published by the job a"]);
            assert_eq!(place.partitions("out/t"), BY_DAY);
            let _ = place.commits(&format!("{other} --take-over"));
            assert_eq!(place.partitions("out/t"), BY_REGION);
            let _ = place.commits(other);
            // The former owner is refused, whether or not it has anything to publish.
            place.refused(owner, &["out/t was published by the job b"]);
            let _ = place.commits(&format!("{owner} --take-over"));
            assert_eq!(place.partitions("out/t"), BY_DAY);
            place.deliver("b.csv", "2024-01-03,east,1\n");
            let _ = place.commits(owner);
            assert_eq!(place.partitions("out/t").len(), 3);
        }
    }
}

#[test]
fn a_run_without_its_state_is_refused() {
    let place = Place::new();
    let _ = place.commits("a.sql -q --state sa");
    place.refused(
        "a.sql -q",
        &["the job a", "with a state of its own", "epoch 1"],
    );
    // The reverse: a job gets a state.
    let place = Place::new();
    let _ = place.commits("a.sql -q");
    let _ = place.commits("a.sql -q");
    let _ = place.commits("a.sql -q --state sa");
    let _ = place.commits("a.sql -q --state sa");
}

#[test]
fn another_state_of_the_job_is_refused() {
    let place = Place::new();
    let _ = place.commits("a.sql -q --state sa");
    place.refused("a.sql -q --state other", &["with a state of its own"]);
    let _ = place.commits("a.sql -q --state other --set output=elsewhere/t");
}

#[test]
fn after_a_state_was_deleted_a_new_one_takes_over() {
    let place = Place::new();
    let _ = place.commits("a.sql -q --state sa");
    fs::remove_dir_all(place.dir.path().join("sa")).unwrap();
    place.refused("a.sql -q --state sa", &["before it was deleted"]);
    let _ = place.commits("a.sql -q --state sa --take-over");
    let _ = place.commits("a.sql -q --state sa");
    fs::remove_dir_all(place.dir.path().join("sa")).unwrap();
    let _ = place.commits("a.sql -q --state sa --rebuild");
}

#[test]
fn a_state_may_be_moved_with_and_without_its_tables() {
    let place = Place::new();
    let _ = place.commits("a.sql -q --state sa");
    let path = |name: &str| place.dir.path().join(name);
    fs::rename(path("sa"), path("moved")).unwrap();
    let _ = place.commits("a.sql -q --state moved");
    place.deliver("b.csv", "2024-01-03,east,1\n");
    let _ = place.commits("a.sql -q --state moved");
    fs::rename(path("out"), path("out2")).unwrap();
    let ran = place.commits("a.sql --state moved --set output=out2/t");
    let _ = ran.says(&["table by_day is now published in out2/t", "out/t stays"]);
    assert_eq!(place.partitions("out2/t").len(), 3);
    let _ = place.commits("a.sql -q --state moved --rebuild --set output=out2/t");
}

#[test]
fn two_copies_of_a_state_do_not_overwrite_one_another() {
    let place = Place::new();
    let _ = place.commits("a.sql -q --state sa");
    place.copy("sa", "copy");
    // Nothing was committed since, so either may continue.
    let _ = place.commits("a.sql -q --state copy");
    place.deliver("b.csv", "2024-01-03,east,1\n");
    let _ = place.commits("a.sql -q --state copy");
    place.refused("a.sql -q --state sa", &["by a copy of the state"]);
    let _ = place.commits("a.sql -q --state copy");
    // A copy with its own tables is not refused.
    place.copy("out", "out3");
    let _ = place.commits("a.sql -q --state sa --set output=out3/t --take-over");
    let _ = place.commits("a.sql -q --state copy");
}

#[test]
fn tables_without_a_mark_go_on_and_get_one() {
    let place = Place::new();
    let mark = place.dir.path().join("out/t/_tidewater");
    let _ = place.commits("a.sql -q --state sa");
    fs::remove_dir_all(&mark).unwrap();
    let _ = place.commits("a.sql -q --state sa");
    assert!(mark.is_dir());
    fs::remove_dir_all(&mark).unwrap();
    place.refused("b.sql -q", &["holds another table"]);
    let _ = place.commits("a.sql -q");
    assert!(mark.is_dir());
}

#[test]
fn the_mark_holds_no_file() {
    let place = Place::new();
    let _ = place.commits("a.sql -q --state sa");
    place.deliver("b.csv", "2024-01-03,east,1\n");
    let _ = place.commits("a.sql -q --state sa");
    let files = snapshot(&place.dir.path().join("out/t"));
    assert!(
        files
            .keys()
            .all(|path| path.extension().is_some_and(|end| end == "parquet"))
    );
    let mark = fs::read_dir(place.dir.path().join("out/t/_tidewater")).unwrap();
    let mut names: Vec<String> = mark
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(
        names[0].starts_with("commit 2 at ") && names[1] == "job a" && names[3] == "view by_day",
        "{names:?}"
    );
}
