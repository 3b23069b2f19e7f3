//! Windows that stay open for a limited time: closed windows do not change, and late rows are kept separately.

use std::fs;

use crate::place::{Place, columns};

const JOB: &str = "
CREATE EXTERNAL TABLE s (ts TIMESTAMP, k TEXT, v BIGINT) STORED AS CSV LOCATION '${input}';
CREATE MATERIALIZED VIEW by_day AS
  SELECT k, CAST(ts AS DATE) AS day, count(*) AS n, count(DISTINCT v) AS d, max(v) AS best, sum(v) AS total
  FROM s GROUP BY k, CAST(ts AS DATE);
CREATE MATERIALIZED VIEW in_all AS SELECT k, sum(v) AS total FROM s GROUP BY k;
COPY by_day TO '${output}/by_day' STORED AS PARQUET PARTITIONED BY (day) OPTIONS ('retain' '10 days');
COPY in_all TO '${output}/in_all';
COPY LATE TO '${output}/late';
";

fn by_day(place: &Place) -> Vec<String> {
    let columns = columns(&[
        ("k", "text"),
        ("day", "date"),
        ("n", "bigint"),
        ("d", "bigint"),
        ("best", "bigint"),
        ("total", "bigint"),
    ]);
    place.rows("by_day", &columns)
}

fn run(place: &Place) -> String {
    run_job(place, JOB)
}

fn run_job(place: &Place, job: &str) -> String {
    let state = place.path("state");
    let ran = place.run(job, &["--state", state.to_str().unwrap(), "--workers", "2"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ran.stdout
}

#[test]
fn final_windows_stay_and_late_rows_are_kept_aside() {
    let place = Place::new();
    place.deliver(
        "1.csv",
        "ts,k,v\n2024-01-01 00:00:00,a,1\n2024-01-01 01:00:00,b,2\n2024-01-05 00:00:00,a,3\n,a,4\n",
    );
    place.deliver("2.csv", "ts,k,v\n2024-01-20 00:00:00,a,5\n");
    run(&place);
    let first = [
        "a|2024-01-01|1|1|1|1",
        "a|2024-01-05|1|1|3|3",
        "a|2024-01-20|1|1|5|5",
        "a||1|1|4|4",
        "b|2024-01-01|1|1|2|2",
    ];
    assert_eq!(by_day(&place), first);

    // Two rows for closed windows, one for an open one, one without a time, whose window never closes.
    place.deliver(
        "3.csv",
        "ts,k,v\n2024-01-01 00:00:00,a,9\n2024-01-02 00:00:00,z,7\n2024-01-15 00:00:00,a,9\n,a,4\n",
    );
    let told = run(&place);
    assert!(told.contains("2 rows late"), "{told}");
    let second = [
        "a|2024-01-01|1|1|1|1",
        "a|2024-01-05|1|1|3|3",
        "a|2024-01-15|1|1|9|9",
        "a|2024-01-20|1|1|5|5",
        "a||2|1|4|8",
        "b|2024-01-01|1|1|2|2",
    ];
    assert_eq!(by_day(&place), second);
    let late = columns(&[
        ("view", "text"),
        ("window", "text"),
        ("change", "text"),
        ("reason", "text"),
        ("row", "text"),
    ]);
    let rows = place.rows("late", &late);
    assert_eq!(rows.len(), 2);
    assert!(
        rows[0].starts_with("by_day|2024-01-01|inserted|windows before 2024-01-10 are closed|"),
        "{}",
        rows[0]
    );
    assert!(rows[1].contains("\"z\""), "{}", rows[1]);

    // A view without retention reads all rows. A withdrawal that affects closed windows is reported, and changes
    // nothing else.
    let all = columns(&[("k", "text"), ("total", "bigint")]);
    assert_eq!(place.rows("in_all", &all), ["a|35", "b|2", "z|7"]);
    fs::remove_file(place.path("in").join("1.csv")).unwrap();
    let told = run(&place);
    assert!(told.contains("3 rows late"), "{told}");
    assert_eq!(place.rows("in_all", &all), ["a|27", "z|7"]);
    let third = [
        "a|2024-01-01|1|1|1|1",
        "a|2024-01-05|1|1|3|3",
        "a|2024-01-15|1|1|9|9",
        "a|2024-01-20|1|1|5|5",
        "a||1|1|4|4",
        "b|2024-01-01|1|1|2|2",
    ];
    assert_eq!(by_day(&place), third);
    assert_eq!(place.rows("late", &late).len(), 5);
}

fn late(place: &Place) -> Vec<String> {
    let late = columns(&[
        ("view", "text"),
        ("window", "text"),
        ("change", "text"),
        ("reason", "text"),
        ("row", "text"),
    ]);
    place.rows("late", &late)
}

/// Days of January 2024, a row each.
fn days(days: impl IntoIterator<Item = u32>) -> String {
    let rows = days
        .into_iter()
        .map(|day| format!("2024-01-{day:02} 00:00:00,a,{day}\n"));
    format!("ts,k,v\n{}", rows.collect::<String>())
}

/// The rows of these days in the table by day.
fn rows_of(days: impl IntoIterator<Item = u32>) -> Vec<String> {
    let rows = days
        .into_iter()
        .map(|day| format!("a|2024-01-{day:02}|1|1|{day}|{day}"));
    rows.collect()
}

#[test]
fn rows_of_the_far_future_close_no_window() {
    let place = Place::new();
    place.deliver("1.csv", days(1..=5));
    run(&place);
    // Several adjacent windows ahead of the clock, and one in the past that stands alone.
    place.deliver(
        "wrong.csv",
        "ts,k,v\n2204-03-03 00:00:00,a,1\n2204-03-04 00:00:00,a,2\n2025-06-01 00:00:00,a,3\n",
    );
    run(&place);
    place.deliver("2.csv", days([2, 6, 7]));
    let told = run(&place);
    assert!(!told.contains(" late"), "{told}");
    // Two adjacent days do close others.
    place.deliver("3.csv", days([18, 19]));
    run(&place);
    place.deliver("4.csv", days([1]));
    let told = run(&place);
    assert!(told.contains("1 row late"), "{told}");
    fs::remove_file(place.path("in").join("wrong.csv")).unwrap();
    run(&place);
    let mut expected = rows_of([1, 2, 3, 4, 5, 6, 7, 18, 19]);
    expected[1] = "a|2024-01-02|2|1|2|4".to_owned();
    assert_eq!(by_day(&place), expected);
    assert_eq!(late(&place).len(), 1);
}

#[test]
fn how_far_ahead_of_the_clock_is_an_option() {
    let place = Place::new();
    let job = JOB.replace(
        "'retain' '10 days'",
        "'retain' '10 days', 'retain_ahead' '100000 days'",
    );
    let run = || {
        let state = place.path("state");
        let ran = place.run(&job, &["--state", state.to_str().unwrap()]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran.stdout
    };
    place.deliver("1.csv", days(1..=5));
    place.deliver(
        "2.csv",
        "ts,k,v\n2204-03-03 00:00:00,a,1\n2204-03-04 00:00:00,a,2\n",
    );
    run();
    place.deliver("3.csv", days([6]));
    let told = run();
    assert!(told.contains("1 row late"), "{told}");
}

/// Windows that wrong rows had closed open again when these rows are removed: the late rows are in the table, and no
/// longer in the table of late rows.
#[test]
fn what_was_closed_by_mistake_is_opened_again() {
    let place = Place::new();
    place.deliver("1.csv", days(1..=5));
    place.deliver(
        "wrong.csv",
        "ts,k,v\n2024-03-01 00:00:00,a,1\n2024-03-02 00:00:00,a,2\n",
    );
    run(&place);
    place.deliver("2.csv", days([3, 6]));
    let told = run(&place);
    assert!(told.contains("2 rows late"), "{told}");
    assert_eq!(late(&place).len(), 2);
    // The third late row comes with the run that opens the windows again.
    fs::remove_file(place.path("in").join("wrong.csv")).unwrap();
    place.deliver("4.csv", days([4]));
    let told = run(&place);
    assert!(!told.contains(" late"), "{told}");
    let mut expected = rows_of(1..=6);
    expected[2] = "a|2024-01-03|2|1|3|6".to_owned();
    expected[3] = "a|2024-01-04|2|1|4|8".to_owned();
    assert_eq!(by_day(&place), expected);
    assert_eq!(late(&place), Vec::<String>::new());
    // From here on runs continue as usual: a day is added, and nothing is rebuilt.
    place.deliver("3.csv", days([7]));
    run(&place);
    expected.extend(rows_of([7]));
    assert_eq!(by_day(&place), expected);
}

/// A table of late rows that is published as text is read from its copy in the state.
#[test]
fn late_rows_that_are_published_as_text_go_too_when_windows_open_again() {
    let job = JOB.replace("/late';", "/late' STORED AS CSV;");
    let place = Place::new();
    place.deliver("1.csv", days(1..=5));
    place.deliver(
        "wrong.csv",
        "ts,k,v\n2024-03-01 00:00:00,a,1\n2024-03-02 00:00:00,a,2\n",
    );
    run_job(&place, &job);
    place.deliver("2.csv", days([3, 6]));
    run_job(&place, &job);
    let published = || fs::read_to_string(place.path("out/late/part-00000.csv")).unwrap();
    assert_eq!(published().lines().count(), 3);
    fs::remove_file(place.path("in").join("wrong.csv")).unwrap();
    run_job(&place, &job);
    assert_eq!(published().lines().count(), 1);
    let mut expected = rows_of(1..=6);
    expected[2] = "a|2024-01-03|2|1|3|6".to_owned();
    assert_eq!(by_day(&place), expected);
}

/// If a view has an aggregation below the retained one, only the state of the retained one is dropped.
#[test]
fn the_state_below_a_retained_aggregation_stays() {
    let place = Place::new();
    let job = JOB.replace(
        "FROM s GROUP BY k, CAST(ts AS DATE)",
        "FROM (SELECT k, ts, max(v) AS v FROM s GROUP BY ts, k) GROUP BY k, CAST(ts AS DATE)",
    );
    let run = || {
        let state = place.path("state");
        let ran = place.run(&job, &["--state", state.to_str().unwrap()]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran.stdout
    };
    place.deliver("1.csv", days([1, 2, 15, 16]));
    run();
    place.deliver("2.csv", days([17]));
    run();
    // The rows of closed windows are retracted below the retained aggregation, which must still have them.
    place.deliver("1.csv", days([15, 16]));
    let told = run();
    assert!(told.contains("2 rows late"), "{told}");
    assert_eq!(by_day(&place), rows_of([1, 2, 15, 16, 17]));
}

#[test]
fn a_wrong_retention_is_told_with_its_place() {
    let place = Place::new();
    place.deliver("1.csv", "ts,k,v\n");
    for (option, expected) in [
        ("'retain' 'soon'", "'soon' is no length of time"),
        (
            "'retain' '3 days', 'retain_by' 'k'",
            "'k' is no DATE or TIMESTAMP column",
        ),
        ("'retain_by' 'day'", "'retain_by' without 'retain'"),
        ("'retain_ahead' '1 day'", "'retain_ahead' without 'retain'"),
        (
            "'retain' '3 days', 'retain_ahead' 'far'",
            "'far' is no length of time",
        ),
    ] {
        let job = JOB.replace("'retain' '10 days'", option);
        let ran = place.run(&job, &[]);
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    }
}
