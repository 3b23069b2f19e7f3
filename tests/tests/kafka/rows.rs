//! The rows of tables over messages: metadata columns, upserts, changes of databases, and each format.

use tidewater_tests::kafka::{Broker, Record, Topic};

use crate::place::Place;

/// A job that publishes all rows of a source.
fn copy(columns: &str, format: &str, options: &str, topic: &Topic<'_>) -> Place {
    let brokers = Broker::get().bootstrap();
    let topic = topic.name();
    Place::new(&format!(
        "CREATE EXTERNAL TABLE messages ({columns})
           STORED AS {format} LOCATION 'kafka://{brokers}/{topic}' {options};
         CREATE VIEW copied AS SELECT * FROM messages;
         COPY copied TO '${{output}}/copied' STORED AS JSON;"
    ))
}

fn send(topic: &Topic<'_>, records: impl IntoIterator<Item = Record>) {
    let producer = Broker::get().producer();
    producer.send(topic.name(), records);
    producer.flush();
}

/// Runs the job. Returns the rows of its table.
#[track_caller]
fn rows(place: &Place) -> Vec<String> {
    let summary = place.run(&["--json"]).code(0).json();
    assert_eq!(summary["rows_quarantined"], 0, "{:?}", place.quarantine());
    place.verify();
    place.rows("copied")
}

#[test]
fn what_messages_say_of_themselves() {
    let topic = Broker::get().topic(2);
    let place = copy(
        "v INT, k TEXT, at TIMESTAMP, p BIGINT, o BIGINT, t TEXT, trace TEXT, n BIGINT",
        "JSON",
        "OPTIONS ('column.k' 'key', 'column.at' 'timestamp', 'column.p' 'partition', 'column.o' 'offset',
           'column.t' 'topic', 'column.trace' 'header:trace')",
        &topic,
    );
    send(
        &topic,
        [
            Record::new("a", "{\"v\":1,\"n\":7}")
                .partition(0)
                .timestamp_ms(1_709_251_200_123)
                .header("trace", Some(b"x"))
                .header("trace", Some(b"y")),
            Record::keyless("{\"v\":2}")
                .partition(1)
                .timestamp_ms(1_000),
            Record::new("", "{\"v\":3}")
                .partition(1)
                .timestamp_ms(1)
                .header("trace", None),
        ],
    );
    let name = topic.name();
    assert_eq!(
        rows(&place),
        [
            format!(
                r#"{{"v":1,"k":"a","at":"2024-03-01T00:00:00.123","p":0,"o":0,"t":"{name}","trace":"y","n":7}}"#
            ),
            format!(
                r#"{{"v":2,"k":null,"at":"1970-01-01T00:00:01","p":1,"o":0,"t":"{name}","trace":null,"n":null}}"#
            ),
            format!(
                r#"{{"v":3,"k":"","at":"1970-01-01T00:00:00.001","p":1,"o":1,"t":"{name}","trace":null,"n":null}}"#
            ),
        ]
    );
}

#[test]
fn headers_are_a_list() {
    let topic = Broker::get().topic(1);
    let (brokers, name) = (Broker::get().bootstrap(), topic.name());
    let place = Place::new(&format!(
        "CREATE EXTERNAL TABLE messages (v INT, headers STRUCT<name TEXT, value TEXT>[])
           STORED AS JSON LOCATION 'kafka://{brokers}/{name}' OPTIONS ('column.headers' 'headers');
         CREATE VIEW each AS SELECT v, UNNEST(headers) AS header FROM messages;
         CREATE VIEW copied AS SELECT v, header['name'] AS name, header['value'] AS value FROM each;
         COPY copied TO '${{output}}/copied' STORED AS JSON;"
    ));
    send(
        &topic,
        [
            Record::keyless("{\"v\":1}")
                .header("a", Some(b"x"))
                .header("b", None),
            Record::keyless("{\"v\":2}"),
        ],
    );
    assert_eq!(
        rows(&place),
        [
            r#"{"v":1,"name":"a","value":"x"}"#,
            r#"{"v":1,"name":"b","value":null}"#
        ]
    );
}

#[test]
fn upserts_and_tombstones_over_several_runs() {
    let topic = Broker::get().topic(2);
    let place = copy("id INT, v TEXT, PRIMARY KEY (id)", "JSON", "", &topic);
    let put = |id: i32, v: &str| Record::new(id.to_string(), format!(r#"{{"id":{id},"v":"{v}"}}"#));
    let row = |id: i32, v: &str| format!(r#"{{"id":{id},"v":"{v}"}}"#);
    let gone = |id: i32| Record::tombstone(id.to_string());

    send(&topic, [put(1, "a"), put(2, "a"), put(1, "b"), put(3, "a")]);
    assert_eq!(rows(&place), [row(1, "b"), row(2, "a"), row(3, "a")]);
    // Deletions of an existing key, of a key inserted in the same run, and of an unknown key.
    send(
        &topic,
        [gone(2), put(4, "a"), gone(4), gone(5), put(3, "b")],
    );
    assert_eq!(rows(&place), [row(1, "b"), row(3, "b")]);
    // A key is inserted again, and all others are deleted.
    send(
        &topic,
        [put(2, "c"), gone(3), gone(1), put(1, "d"), gone(1)],
    );
    assert_eq!(rows(&place), [row(2, "c")]);
    send(&topic, [gone(2)]);
    assert_eq!(rows(&place), [""; 0]);
    let _ = place.run(&["--quiet", "--rebuild"]).code(0);
    assert_eq!(place.rows("copied"), [""; 0]);
}

#[test]
fn changes_of_a_database() {
    let row = |id: i32, v: &str| format!(r#"{{"id":{id},"v":"{v}"}}"#);
    let change = |op: &str, before: Option<String>, after: Option<String>| {
        let (before, after) = (
            before.unwrap_or("null".into()),
            after.unwrap_or("null".into()),
        );
        format!(r#"{{"op":"{op}","before":{before},"after":{after}}}"#)
    };
    for key in ["", ", PRIMARY KEY (id)"] {
        let topic = Broker::get().topic(1);
        let columns = format!("id INT, v TEXT{key}");
        let options = "OPTIONS ('envelope' 'debezium', 'key_format' 'json')";
        let place = copy(&columns, "JSON", options, &topic);
        let message = |id: i32, payload: String| Record::new(format!("{{\"id\":{id}}}"), payload);
        send(
            &topic,
            [
                message(1, change("r", None, Some(row(1, "a")))),
                message(2, change("c", None, Some(row(2, "a")))),
                message(3, change("c", None, Some(row(3, "a")))),
                message(1, change("u", Some(row(1, "a")), Some(row(1, "b")))),
            ],
        );
        assert_eq!(
            rows(&place),
            [row(1, "b"), row(2, "a"), row(3, "a")],
            "{key}"
        );
        let wrapped = format!(
            r#"{{"schema":{{}},"payload":{}}}"#,
            change("u", Some(row(2, "a")), Some(row(2, "c")))
        );
        send(
            &topic,
            [
                message(2, wrapped),
                message(3, change("d", Some(row(3, "a")), None)),
                Record::tombstone("{\"id\":3}"),
            ],
        );
        assert_eq!(rows(&place), [row(1, "b"), row(2, "c")], "{key}");
    }
}

#[test]
fn records_of_csv() {
    let topic = Broker::get().topic(1);
    let options = "OPTIONS ('delimiter' ';')";
    let place = copy("a INT, b TEXT, c DATE", "CSV", options, &topic);
    send(
        &topic,
        ["1;x;2024-03-01", "2;\"y;\"\"z\"\"\";", "3;;2024-02-29\n"].map(Record::keyless),
    );
    assert_eq!(
        rows(&place),
        [
            r#"{"a":1,"b":"x","c":"2024-03-01"}"#,
            r#"{"a":2,"b":"y;\"z\"","c":null}"#,
            r#"{"a":3,"b":null,"c":"2024-02-29"}"#,
        ]
    );
}

#[test]
fn payloads_as_text() {
    let topic = Broker::get().topic(1);
    let options = "OPTIONS ('column.k' 'key')";
    let place = copy("line TEXT, k TEXT", "TEXT", options, &topic);
    send(
        &topic,
        [
            Record::new("a", "{\"not\": read}"),
            Record::new("b", "two\nlines, \"quoted\""),
            Record::new("c", ""),
        ],
    );
    assert_eq!(
        rows(&place),
        [
            r#"{"line":"","k":"c"}"#,
            r#"{"line":"two\nlines, \"quoted\"","k":"b"}"#,
            r#"{"line":"{\"not\": read}","k":"a"}"#,
        ]
    );
}

#[test]
fn a_column_decides_between_upserts_of_a_key() {
    let topic = Broker::get().topic(1);
    let options = "OPTIONS ('latest_by' 'at')";
    let columns = "id INT, v TEXT, at BIGINT, PRIMARY KEY (id)";
    let place = copy(columns, "JSON", options, &topic);
    let put = |id: i32, v: &str, at: &str| {
        let row = format!(r#"{{"id":{id},"v":"{v}","at":{at}}}"#);
        Record::new(id.to_string(), row)
    };
    let row = |id: i32, v: &str, at: &str| format!(r#"{{"id":{id},"v":"{v}","at":{at}}}"#);
    let gone = |id: i32| Record::tombstone(id.to_string());
    send(
        &topic,
        [
            put(1, "a", "5"),
            put(1, "b", "3"),
            put(2, "a", "null"),
            put(2, "b", "null"),
        ],
    );
    assert_eq!(rows(&place), [row(1, "a", "5"), row(2, "b", "null")]);
    // A row with a smaller value, one with an equal value, and one with a value after NULL.
    send(&topic, [put(1, "c", "4"), put(2, "c", "1")]);
    assert_eq!(rows(&place), [row(1, "a", "5"), row(2, "c", "1")]);
    send(&topic, [put(1, "d", "5")]);
    assert_eq!(rows(&place), [row(1, "d", "5"), row(2, "c", "1")]);
    // A deletion deletes all rows before it, whatever their values.
    send(&topic, [gone(1), put(2, "late", "0")]);
    assert_eq!(rows(&place), [row(2, "c", "1")]);
    send(&topic, [put(1, "again", "1")]);
    assert_eq!(rows(&place), [row(1, "again", "1"), row(2, "c", "1")]);
    let _ = place.run(&["--quiet", "--rebuild"]).code(0);
    assert_eq!(
        place.rows("copied"),
        [row(1, "again", "1"), row(2, "c", "1")]
    );
}
