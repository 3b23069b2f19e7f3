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
    let state = place.path("state");
    let ran = place.run(JOB, &["--state", state.to_str().unwrap(), "--workers", "2"]);
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

    // Two rows for final windows, one for an open one, one without a time, whose window is never final.
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
        rows[0].starts_with("by_day|2024-01-01|taken in|windows before 2024-01-10 are final|"),
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
    ] {
        let job = JOB.replace("'retain' '10 days'", option);
        let ran = place.run(&job, &[]);
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    }
}
