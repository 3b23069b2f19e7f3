//! Changes of a database without a primary key: the result does not depend on the runs, and changes of rows that were
//! never read are set aside.

use rand::RngExt;
use tidewater_tests::kafka::{Broker, Record, Topic};
use tidewater_tests::published::rows_by_partition;
use tidewater_tests::seed;

use crate::place::Place;

fn place(topic: &Topic<'_>, options: &str) -> Place {
    let brokers = Broker::get().bootstrap();
    let topic = topic.name();
    Place::new(&format!(
        "CREATE EXTERNAL TABLE sales (id INT NOT NULL, city TEXT, amount BIGINT) STORED AS JSON
           LOCATION 'kafka://{brokers}/{topic}' OPTIONS ('envelope' 'debezium'{options});
         CREATE MATERIALIZED VIEW by_city AS
           SELECT city, count(*) AS n, sum(amount) AS total, count(DISTINCT id) AS ids FROM sales GROUP BY city;
         COPY by_city TO '${{output}}/by_city' STORED AS JSON;
         COPY sales TO '${{output}}/sales' STORED AS JSON;
         COPY QUARANTINE TO '${{output}}/quarantine';"
    ))
}

fn row(id: i64, city: &str, amount: i64) -> String {
    format!(r#"{{"id":{id},"city":"{city}","amount":{amount}}}"#)
}

fn change(before: Option<&str>, after: Option<&str>) -> Record {
    let op = match (before, after) {
        (None, _) => "c",
        (_, None) => "d",
        _ => "u",
    };
    let (before, after) = (before.unwrap_or("null"), after.unwrap_or("null"));
    Record::keyless(format!(
        r#"{{"op":"{op}","before":{before},"after":{after}}}"#
    ))
}

fn send(topic: &Topic<'_>, records: impl IntoIterator<Item = Record>) {
    let producer = Broker::get().producer();
    producer.send(topic.name(), records);
    producer.flush();
}

/// The rows of the quarantine, in order.
fn quarantine(place: &Place) -> Vec<String> {
    let rows = rows_by_partition(&place.path("out/quarantine"));
    rows.into_values().flatten().collect()
}

/// The tables and the quarantine.
fn tables(place: &Place) -> [Vec<String>; 3] {
    [
        place.rows("by_city"),
        place.rows("sales"),
        quarantine(place),
    ]
}

/// The result of a run without a state that reads a topic from its beginning.
fn cold(topic: &Topic<'_>) -> [Vec<String>; 3] {
    let cold = place(topic, "");
    let ran = cold.command("run", &["--quiet"]).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    tables(&cold)
}

#[test]
fn changes_of_rows_that_were_never_read_are_set_aside() {
    let topic = Broker::get().topic(1);
    let place = place(&topic, "");
    let runs = [
        change(Some(&row(1, "seoul", 10)), Some(&row(1, "seoul", 11))),
        change(None, Some(&row(5, "seoul", 100))),
        // The group changes, and its row was never read.
        change(Some(&row(6, "daegu", 1)), Some(&row(6, "gwangju", 2))),
        change(Some(&row(7, "busan", 3)), None),
        // The first row becomes what it was before it was read.
        change(Some(&row(1, "seoul", 11)), Some(&row(1, "seoul", 10))),
    ];
    for (run, record) in runs.into_iter().enumerate() {
        send(&topic, [record]);
        let summary = place.run(&["--json"]).code(0).json();
        let unmatched = [1, 1, 2, 3, 3][run];
        assert_eq!(summary["rows_in_quarantine"], unmatched, "run {run}");
        assert_eq!(tables(&place), cold(&topic), "run {run}");
        place.verify();
    }
    let [by_city, sales, quarantine] = tables(&place);
    assert_eq!(
        by_city,
        [
            r#"{"city":"gwangju","n":1,"total":2,"ids":1}"#,
            r#"{"city":"seoul","n":2,"total":110,"ids":2}"#,
        ]
    );
    assert_eq!(
        sales,
        [
            row(1, "seoul", 10),
            row(5, "seoul", 100),
            row(6, "gwangju", 2)
        ]
    );
    for (line, (offset, city)) in quarantine
        .iter()
        .zip([(0, "seoul"), (2, "daegu"), (3, "busan")])
    {
        assert!(line.contains(&format!("{}/0", topic.name())), "{line}");
        assert!(line.contains(&format!("\"{offset}\"")), "{line}");
        assert!(
            line.contains(city) && line.contains("was never read"),
            "{line}"
        );
    }
    let _ = place.run(&["--quiet"]).code(0);
    let _ = place.run(&["--quiet", "--rebuild"]).code(0);
    assert_eq!(tables(&place), [by_city, sales, quarantine]);
    let replayed = place.command("replay", &["--step", "1 message"]).output();
    assert!(replayed.unwrap().status.success());
}

#[test]
fn a_follower_that_begins_late_sets_aside_what_it_must() {
    let topic = Broker::get().topic(1);
    let place = place(&topic, ", 'start' 'latest'");
    send(&topic, [change(None, Some(&row(1, "seoul", 10)))]);
    let _ = place.run(&["--quiet"]).code(0);
    let mut follower = place.follow(&[]);
    send(
        &topic,
        [
            change(Some(&row(1, "seoul", 10)), Some(&row(1, "seoul", 11))),
            change(Some(&row(1, "seoul", 11)), Some(&row(1, "busan", 12))),
        ],
    );
    follower.until(2);
    let _ = follower.stop();
    assert_eq!(place.rows("sales"), [row(1, "busan", 12)]);
    let quarantine = quarantine(&place);
    assert!(
        quarantine.len() == 1 && quarantine[0].contains("seoul"),
        "{quarantine:?}"
    );
}

/// Random changes, consistent and not, in one partition or several, read in random runs.
#[test]
fn random_runs_come_to_what_one_run_comes_to() {
    for seed in seed::seeds(3) {
        let mut random = seed::generator(seed, "changes");
        let partitions = random.random_range(1..=3);
        let topic = Broker::get().topic(partitions);
        let place = place(&topic, "");
        for run in 0..6 {
            let changes = random.random_range(0..12);
            let records: Vec<Record> = (0..changes)
                .map(|_| {
                    let mut some = || {
                        let city = ["seoul", "busan"][random.random_range(0..2)];
                        row(random.random_range(1..4), city, 1)
                    };
                    let (before, after) = (some(), some());
                    let record = match random.random_range(0..3) {
                        0 => change(None, Some(&after)),
                        1 => change(Some(&before), Some(&after)),
                        _ => change(Some(&before), None),
                    };
                    record.partition(random.random_range(0..partitions))
                })
                .collect();
            send(&topic, records);
            let _ = place.run(&["--quiet"]).code(0);
            assert_eq!(
                tables(&place),
                cold(&topic),
                "TIDEWATER_SEED={seed}, run {run}"
            );
            place.verify();
        }
        let [by_city, sales, quarantine] = tables(&place);
        let _ = place.run(&["--quiet", "--rebuild"]).code(0);
        assert_eq!(
            tables(&place),
            [by_city, sales, quarantine],
            "TIDEWATER_SEED={seed}"
        );
    }
}
