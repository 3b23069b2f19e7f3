//! Failures between a job and its topic: the tables lose nothing, and a message tells the user what to do.

use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use tidewater_tests::binary::snapshot;
use tidewater_tests::kafka::{Broker, Record, Topic};

use crate::place::Place;

/// A count and a sum over a topic, with more options.
fn totals(brokers: &str, topic: &str, options: &str) -> Place {
    Place::new(&sql(brokers, topic, options))
}

fn sql(brokers: &str, topic: &str, options: &str) -> String {
    format!(
        "CREATE EXTERNAL TABLE events (id BIGINT NOT NULL, v TEXT)
           STORED AS JSON LOCATION 'kafka://{brokers}/{topic}' {options};
         CREATE MATERIALIZED VIEW totals AS
           SELECT count(*) AS n, sum(id) AS ids, max(character_length(v)) AS longest FROM events;
         COPY totals TO '${{output}}/totals' STORED AS JSON;"
    )
}

fn of(topic: &Topic<'_>, broker: &Broker) -> Place {
    totals(broker.bootstrap(), topic.name(), "")
}

/// Writes an event for each id to partition 0.
fn send(broker: &Broker, topic: &Topic<'_>, ids: std::ops::Range<u32>) {
    let record = |id| Record::keyless(format!("{{\"id\":{id}}}")).partition(0);
    let producer = broker.producer();
    producer.send(topic.name(), ids.map(record));
    producer.flush();
}

/// Asserts the only row of the table.
#[track_caller]
fn assert_totals(place: &Place, n: u32, ids: u32) {
    let row = format!("{{\"n\":{n},\"ids\":{ids},\"longest\":null}}");
    assert_eq!(place.rows("totals"), [row]);
}

#[test]
fn brokers_that_are_not_there() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let brokers = port.unwrap().to_string();
    let place = totals(&brokers, "events", "");
    let _ = place.run(&["--quiet"]).code(1).says(&[&brokers, "events"]);
    assert!(!place.path("out").exists(), "nothing is published");
}

#[test]
fn a_topic_that_is_not_there() {
    let broker = Broker::get();
    if !broker.real_or_skip("a topic that is not there") {
        return;
    }
    let _ = broker.create_topic("transactions", 1, &[]);
    for (name, hint) in [
        ("transaction", "did you mean 'transactions'?"),
        ("something-else", "was it deleted, or is it to be created?"),
    ] {
        let place = totals(broker.bootstrap(), name, "");
        let says = format!("there is no topic '{name}' at {}", broker.bootstrap());
        let _ = place.run(&["--quiet"]).code(1).says(&[&says, hint]);
        let _ = place.follow(&["--quiet"]).wait().code(1).says(&[&says]);
        assert!(!place.path("out").exists(), "nothing is published");
    }
}

#[test]
fn messages_that_cannot_be_decoded() {
    let broker = Broker::get();
    let topic = broker.topic(2);
    let payloads: [&[u8]; 7] = [
        b"{\"id\":1}",
        b"\xff\xfe\x00garbage",
        b"{\"id\":2,\"v\":\"trunca",
        b"{\"id\":\"three\"}",
        b"{\"v\":\"no id\"}",
        b"",
        b"{\"id\":4}",
    ];
    let producer = broker.producer();
    let records = payloads.map(|payload| Record::keyless(payload).partition(1));
    producer.send(topic.name(), records);
    producer.flush();
    let place = of(&topic, broker);
    let summary = place.run(&["--json"]).code(0).json();
    assert_eq!(summary["rows_read"], 7);
    assert_eq!(summary["rows_quarantined"], 5);
    assert_totals(&place, 2, 5);
    let rejected = place.quarantine();
    let place_of = |offset: u32| format!("\"{}/1\", \"NULL\", \"{offset}\"", topic.name());
    for offset in 1..=5 {
        let here = rejected
            .iter()
            .filter(|row| row.contains(&place_of(offset)));
        assert_eq!(here.count(), 1, "offset {offset} in {rejected:#?}");
    }

    // They are not read or reported again.
    send(broker, &topic, 5..6);
    let summary = place.run(&["--json"]).code(0).json();
    assert_eq!(summary["rows_read"], 1);
    assert_eq!(place.quarantine(), rejected);
    assert_totals(&place, 3, 10);
}

#[test]
fn a_topic_without_a_good_message_stops_a_run() {
    let broker = Broker::get();
    let topic = broker.topic(1);
    let producer = broker.producer();
    producer.send(topic.name(), ["no JSON", "nor this"].map(Record::keyless));
    producer.flush();
    let place = of(&topic, broker);
    let says = ["none of its 2 messages", "offset 0: ", "--allow bad-files"];
    let _ = place.run(&["--quiet"]).code(3).says(&says);
    assert!(
        snapshot(&place.path("out")).is_empty(),
        "nothing is published"
    );
    let summary = place
        .run(&["--json", "--allow", "bad-files"])
        .code(0)
        .json();
    assert_eq!(summary["rows_quarantined"], 2);
    // With a good message beside them, bad messages are ordinary bad rows.
    send(broker, &topic, 5..6);
    let _ = place.run(&["--quiet"]).code(0);
    assert_totals(&place, 1, 5);
}

#[test]
fn a_failing_expression_names_partition_and_offset() {
    let broker = Broker::get();
    let topic = broker.topic(2);
    send(broker, &topic, 1..3);
    let producer = broker.producer();
    let records = ["{\"id\":5}", "{\"id\":0}", "{\"id\":6}"];
    producer.send(
        topic.name(),
        records.map(|payload| Record::keyless(payload).partition(1)),
    );
    producer.flush();
    let divided = |options| {
        let sql = sql(broker.bootstrap(), topic.name(), options);
        sql.replace("sum(id) AS ids", "sum(id * 60 / (60 * id) * id) AS ids")
    };
    let place = Place::new(&divided(""));
    let at = format!("source events, {}/1 offset 1: ", topic.name());
    let says = [&at, "id = 0", "divides by zero"];
    let _ = place.run(&["--quiet"]).code(1).says(&says);
    let follower = Place::new(&divided(""));
    let _ = follower.follow(&["--quiet"]).wait().code(1).says(&[&at]);
    assert!(
        snapshot(&place.path("out")).is_empty(),
        "nothing is published"
    );
    place.declare(&divided("OPTIONS ('on_error' 'quarantine')"));
    let summary = place.run(&["--json"]).code(0).json();
    assert_eq!(
        (&summary["rows_read"], &summary["rows_quarantined"]),
        (&5.into(), &1.into())
    );
    assert_totals(&place, 4, 14);
    let rejected = place.quarantine();
    let here = format!("\"{}/1\", \"NULL\", \"1\"", topic.name());
    assert!(rejected[0].contains(&here), "{rejected:?}");
    // The same rows are set aside when stored messages are read.
    let _ = place.run(&["--rebuild", "--quiet"]).code(0);
    assert_totals(&place, 4, 14);
    assert_eq!(place.quarantine(), rejected);
}

#[test]
fn too_many_bad_messages_publish_nothing() {
    let broker = Broker::get();
    let topic = broker.topic(1);
    send(broker, &topic, 0..3);
    let producer = broker.producer();
    producer.send(topic.name(), [Record::keyless("no JSON")]);
    producer.flush();
    let options = "OPTIONS ('max_bad_rows' '0')";
    let place = totals(broker.bootstrap(), topic.name(), options);
    let _ = place.run(&["--quiet"]).code(3).says(&["max_bad_rows"]);
    assert!(
        snapshot(&place.path("out")).is_empty(),
        "nothing is published"
    );
    place.declare(&sql(broker.bootstrap(), topic.name(), ""));
    let _ = place.run(&["--quiet"]).code(0);
    assert_totals(&place, 3, 3);
}

#[test]
fn a_message_of_ten_megabytes() {
    let broker = Broker::get();
    if !broker.real_or_skip("a message of 10 MB") {
        return;
    }
    let topic = broker.topic(1);
    let long = "x".repeat(10_000_000);
    let producer = broker.producer();
    let payload = format!("{{\"id\":1,\"v\":\"{long}\"}}");
    producer.send(topic.name(), [Record::keyless(payload)]);
    producer.flush();
    send(broker, &topic, 2..4);
    let place = of(&topic, broker);
    let _ = place.run(&["--quiet"]).code(0);
    let row = r#"{"n":3,"ids":6,"longest":10000000}"#;
    assert_eq!(place.rows("totals"), [row]);
}

#[test]
fn offsets_that_are_gone() {
    let broker = Broker::get();
    if !broker.real_or_skip("records that are deleted") {
        return;
    }
    let topic = broker.topic(1);
    let place = of(&topic, broker);
    send(broker, &topic, 0..10);
    let _ = place.run(&["--quiet"]).code(0);
    send(broker, &topic, 10..20);
    topic.delete_records(0, 15);
    let gone = "partition 0: 10 to 14 (5)";
    for ran in [place.run(&["--quiet"]), place.follow(&["--quiet"]).wait()] {
        let _ = ran.code(1).says(&[gone, "'lost_offsets' 'skip'"]);
    }
    assert_totals(&place, 10, 45);

    let skip = "OPTIONS ('lost_offsets' 'skip')";
    place.declare(&sql(broker.bootstrap(), topic.name(), skip));
    let _ = place.run(&["--quiet"]).code(0).says(&[gone, "skipped"]);
    assert_totals(&place, 15, 45 + 85);
    // Messages that were read are kept, even after the topic has deleted them.
    let _ = place.run(&["--quiet", "--rebuild"]).code(0);
    assert_totals(&place, 15, 45 + 85);
}

#[test]
fn a_topic_that_was_created_again() {
    let broker = Broker::get();
    if !broker.real_or_skip("topics that are deleted") {
        return;
    }
    let topic = broker.topic(1);
    let place = of(&topic, broker);
    send(broker, &topic, 0..10);
    let _ = place.run(&["--quiet"]).code(0);
    topic.delete();
    let topic = broker.create_topic(topic.name(), 1, &[]);
    send(broker, &topic, 0..3);
    let told = [
        "created again",
        "partition 0 was read up to offset 10",
        "new state",
    ];
    let _ = place.run(&["--quiet"]).code(1).says(&told);
    assert_totals(&place, 10, 45);
}

#[test]
fn partitions_that_are_added() {
    let broker = Broker::get();
    if !broker.real_or_skip("partitions that are added") {
        return;
    }
    let topic = broker.topic(1);
    let place = of(&topic, broker);
    send(broker, &topic, 0..3);
    let mut follower = place.follow(&["--quiet"]);
    follower.until(3);
    let to = |partition: i32, id| Record::keyless(format!("{{\"id\":{id}}}")).partition(partition);
    topic.add_partitions(2);
    let producer = broker.producer();
    producer.send(topic.name(), [to(1, 10), to(0, 20)]);
    producer.flush();
    follower.until(5);
    let _ = follower.stop();
    assert_totals(&place, 5, 33);

    topic.add_partitions(3);
    let producer = broker.producer();
    producer.send(topic.name(), [to(2, 100)]);
    producer.flush();
    let _ = place.run(&["--quiet"]).code(0);
    assert_totals(&place, 6, 133);
}

#[test]
fn a_broker_that_goes_and_comes_back() {
    let broker = Broker::dedicated();
    let topic = broker.topic(2);
    let place = of(&topic, &broker);
    let mut follower = place.follow(&[]);
    send(&broker, &topic, 0..10);
    follower.until(10);
    for (round, down) in [Broker::stop, Broker::kill].into_iter().enumerate() {
        down(&broker);
        thread::sleep(Duration::from_millis(1500));
        broker.start();
        let first = 10 + 5 * u32::try_from(round).unwrap();
        send(&broker, &topic, first..first + 5);
        follower.until(u64::from(first) + 5);
    }
    let _ = follower.stop();
    assert_totals(&place, 20, 190);
}
