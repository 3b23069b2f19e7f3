#![allow(clippy::unwrap_used, clippy::panic)]

use super::Explain;
use crate::job::Job;

fn explain(sql: &str) -> Explain {
    let job = Job::parse("job.sql", sql, &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
    Explain::new(&job).unwrap()
}

const ORDERS: &str = "CREATE EXTERNAL TABLE orders (id BIGINT, region TEXT, at TIMESTAMP, amount BIGINT, \
    PRIMARY KEY (id)) STORED AS CSV LOCATION 'in';\n";
const EVENTS: &str = "CREATE EXTERNAL TABLE events (id BIGINT, region TEXT, at TIMESTAMP, amount BIGINT) \
    STORED AS CSV LOCATION 'in';\n";

fn section<'a>(text: &'a str, title: &str) -> &'a str {
    let sections = text.split("\n\n");
    let found = sections.into_iter().find(|one| one.starts_with(title));
    found.unwrap_or_else(|| panic!("no {title} in\n{text}"))
}

#[test]
fn a_table_in_kafka_shows_its_topic_and_key() {
    let cases = [
        ("'key' 'region, id'", "upsert by region, id"),
        ("'mode' 'changelog'", "changelog"),
        ("'mode' 'changelog', 'key' 'id'", "changelog by id"),
    ];
    for (options, described) in cases {
        let text = explain(&format!(
            "{EVENTS}COPY events TO 'kafka://host:9092/sums' OPTIONS ({options});"
        ))
        .to_string();
        let expected = format!("publish events\n  JSON to kafka://host:9092/sums\n  {described}");
        assert_eq!(section(&text, "publish events"), expected);
        assert!(!text.contains("PARQUET"), "{text}");
    }
}

#[test]
fn a_table_in_files_shows_its_directory_and_partitions() {
    let text = explain(&format!(
        "{EVENTS}COPY events TO 'out/t' STORED AS CSV PARTITIONED BY (region);"
    ))
    .to_string();
    let expected = "publish events\n  CSV in out/t\n  partitioned by region";
    assert_eq!(section(&text, "publish events"), expected);
}

#[test]
fn the_state_of_a_primary_key_is_drawn() {
    let explained = explain(&format!(
        "{ORDERS}CREATE MATERIALIZED VIEW v AS SELECT region, sum(amount) AS s FROM orders GROUP BY region;\n\
         COPY v TO 'out/v'; COPY orders TO 'out/orders';"
    ));
    let text = explained.to_string();
    let latest = section(&text, "latest rows of orders");
    let expected = [
        "  by id",
        "    top partition by id; order by modified desc, path desc, ordinal desc; limit 1",
        "      keeps all rows, in order",
        "      read source orders",
    ];
    for line in expected {
        assert!(
            latest.lines().any(|found| found == line),
            "{line} in\n{text}"
        );
    }
    // Every reader of the source reads its latest rows, and so does the table that publishes the source.
    let view = section(&text, "materialized view v");
    assert!(view.ends_with("read latest rows of orders"), "{view}");
    assert_eq!(
        arrows_to(&explained, "publish orders"),
        ["latest rows of orders"]
    );
    assert_eq!(arrows_to(&explained, "latest rows of orders"), ["project"]);
}

#[test]
fn the_latest_messages_are_drawn_with_their_partitions() {
    let text = explain(
        "CREATE EXTERNAL TABLE orders (id BIGINT, amount BIGINT, PRIMARY KEY (id)) STORED AS JSON \
         LOCATION 'kafka://host:9092/orders';\nCOPY orders TO 'out/orders';",
    )
    .to_string();
    assert!(
        text.contains("JSON Lines from kafka://host:9092/orders"),
        "{text}"
    );
    let latest = section(&text, "latest rows of orders");
    assert!(
        latest.contains("keeps the first rows of each partition"),
        "{latest}"
    );
    assert!(latest.contains("keeps all rows, in order"), "{latest}");
}

#[test]
fn windows_that_become_final_are_drawn() {
    let text = explain(&format!(
        "{EVENTS}CREATE MATERIALIZED VIEW days AS SELECT date_trunc('day', at) AS day, sum(amount) AS s FROM events \
         GROUP BY date_trunc('day', at);\nCOPY days TO 'out/days' OPTIONS ('retain' '7 days');"
    ))
    .to_string();
    let days = section(&text, "materialized view days");
    assert!(days.contains("retain open windows, by "), "{text}");
}

/// The titles of the vertices that a vertex reads.
fn arrows_to<'a>(explained: &'a Explain, title: &str) -> Vec<&'a str> {
    let vertices = &explained.vertices;
    let vertex = vertices.iter().find(|vertex| vertex.text.title == title);
    let vertex = vertex.unwrap_or_else(|| panic!("no {title}"));
    let inputs = vertex.inputs.iter();
    inputs
        .map(|&input| vertices[input].text.title.as_str())
        .collect()
}

#[test]
fn arrows_follow_names_with_blanks() {
    let explained = explain(
        "CREATE EXTERNAL TABLE first (id BIGINT) STORED AS CSV LOCATION 'a';\n\
         CREATE EXTERNAL TABLE \"my first\" (id BIGINT) STORED AS CSV LOCATION 'b';\n\
         CREATE MATERIALIZED VIEW \"all of my first\" AS SELECT id FROM \"my first\" WHERE id > 1;\n\
         CREATE MATERIALIZED VIEW plain AS SELECT id FROM first WHERE id > 1;\n\
         COPY \"all of my first\" TO 'out/a'; COPY plain TO 'out/b';",
    );
    let cases = [
        (
            "publish all of my first",
            "materialized view all of my first",
        ),
        ("publish plain", "materialized view plain"),
    ];
    for (to, from) in cases {
        assert_eq!(arrows_to(&explained, to), [from]);
    }
    let text = explained.to_string();
    for (view, source) in [("all of my first", "my first"), ("plain", "first")] {
        let view = section(&text, &format!("materialized view {view}"));
        assert!(view.ends_with(&format!("read source {source}")), "{view}");
    }
}
