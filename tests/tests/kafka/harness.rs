//! Tests of the broker and its clients, on which the other tests depend.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, future};

use tidewater_tests::binary;
use tidewater_tests::kafka::{Broker, Received, Record, fold};

/// Keys and values of messages, as text.
fn texts(messages: &[Received]) -> Vec<(&str, &str)> {
    fn text(bytes: Option<&Vec<u8>>) -> &str {
        str::from_utf8(bytes.unwrap()).unwrap()
    }
    messages
        .iter()
        .map(|message| (text(message.key.as_ref()), text(message.value.as_ref())))
        .collect()
}

#[test]
fn messages_come_back_as_they_were_sent() {
    let broker = Broker::get();
    let topic = broker.topic(2);
    let producer = broker.producer();
    producer.send(
        topic.name(),
        [
            Record::new("a", "1").partition(1).timestamp_ms(1_000),
            Record::keyless([0, 255, b'\n'])
                .partition(1)
                .timestamp_ms(2_000)
                .header("trace", Some(b"7"))
                .header("trace", None),
            Record::new("", "").partition(0).timestamp_ms(3_000),
            Record::tombstone("a").partition(1).timestamp_ms(500),
        ],
    );
    producer.flush();

    let message =
        |partition, offset, key: Option<&[u8]>, value: Option<&[u8]>, timestamp_ms| Received {
            partition,
            offset,
            key: key.map(Into::into),
            value: value.map(Into::into),
            headers: Vec::new(),
            timestamp_ms: Some(timestamp_ms),
        };
    let mut expected = vec![
        message(0, 0, Some(b""), Some(b""), 3_000),
        message(1, 0, Some(b"a"), Some(b"1"), 1_000),
        message(1, 1, None, Some(&[0, 255, b'\n']), 2_000),
        message(1, 2, Some(b"a"), None, 500),
    ];
    if let Some(messages) = topic.kcat_read_committed() {
        assert_eq!(messages, expected);
    }
    expected[2].headers = vec![("trace".into(), Some(b"7".into())), ("trace".into(), None)];
    assert_eq!(topic.read_committed(), expected);
    assert_eq!(topic.offsets(), [0..1, 0..3]);
}

#[test]
fn the_last_value_of_a_key_counts() {
    let broker = Broker::get();
    let topic = broker.topic(1);
    let producer = broker.producer_with(&[("compression.type", "zstd")]);
    let history = [("a", "1"), ("b", "1"), ("a", "2"), ("c", "1")];
    producer.send(
        topic.name(),
        history.map(|(key, value)| Record::new(key, value)),
    );
    producer.send(topic.name(), ["b", "d"].map(Record::tombstone));
    producer.flush();
    let table = [("a", "2"), ("c", "1")].map(|(key, value)| (key.into(), value.into()));
    assert_eq!(fold(&topic.read_committed()), table.into());
}

#[test]
fn many_messages() {
    let broker = Broker::get();
    let topic = broker.topic(3);
    let producer = broker.producer();
    let count = 50_000;
    let records = (0..count).map(|i: i64| Record::new(i.to_le_bytes(), *b"a value"));
    producer.send(topic.name(), records);
    producer.flush();
    assert_eq!(fold(&topic.read_committed()).len(), 50_000);
    let written: i64 = topic.offsets().iter().map(|range| range.end).sum();
    assert_eq!(written, count);
}

#[test]
fn an_empty_topic_and_one_that_is_not_there() {
    let broker = Broker::get();
    assert_eq!(broker.topic(2).read_committed(), []);
    if broker.real_or_skip("a topic that is not there") {
        assert_eq!(broker.existing("nowhere").partitions(), 0);
    }
}

#[test]
fn transactions_are_seen_when_committed() {
    let broker = Broker::get();
    let topic = broker.topic(1);
    let producer = broker.transactional("committed");
    for value in ["1", "2"] {
        producer.begin();
        producer.send(topic.name(), [Record::new("a", value)]);
        producer.commit();
    }
    let messages = topic.read_committed();
    assert_eq!(texts(&messages), [("a", "1"), ("a", "2")]);
    if let Some(by_kcat) = topic.kcat_read_committed() {
        assert_eq!(by_kcat, messages);
    }
}

#[test]
fn transactions_are_not_seen_when_aborted_or_open() {
    let broker = Broker::get();
    if !broker.real_or_skip("aborted and open transactions") {
        return;
    }
    let topic = broker.topic(1);
    let producer = broker.transactional("aborted");
    let write = |value| {
        producer.begin();
        producer.send(topic.name(), [Record::new("a", value)]);
        producer.flush();
    };
    write("aborted");
    producer.abort();
    write("committed");
    producer.commit();
    write("aborted, too");
    producer.abort();
    assert_eq!(texts(&topic.read_committed()), [("a", "committed")]);
    write("open");
    let messages = topic.read_committed();
    assert_eq!(texts(&messages), [("a", "committed")]);
    if let Some(by_kcat) = topic.kcat_read_committed() {
        assert_eq!(by_kcat, messages);
    }
    assert_eq!(topic.read_uncommitted().len(), 4);
    producer.abort();
}

#[test]
fn partitions_are_added() {
    let broker = Broker::get();
    if !broker.real_or_skip("partitions that are added") {
        return;
    }
    let topic = broker.topic(1);
    let producer = broker.producer();
    producer.send(topic.name(), [Record::new("a", "1")]);
    producer.flush();
    topic.add_partitions(3);
    let producer = broker.producer();
    producer.send(topic.name(), [Record::new("b", "2").partition(2)]);
    producer.flush();
    assert_eq!(topic.offsets(), [0..1, 0..0, 0..1]);
    assert_eq!(texts(&topic.read_committed()), [("a", "1"), ("b", "2")]);
}

#[test]
fn records_and_topics_are_deleted() {
    let broker = Broker::get();
    if !broker.real_or_skip("records and topics that are deleted") {
        return;
    }
    let topic = broker.topic(1);
    let producer = broker.producer();
    producer.send(
        topic.name(),
        ["1", "2", "3"].map(|value| Record::new("a", value)),
    );
    producer.flush();
    topic.delete_records(0, 2);
    assert_eq!(topic.offsets(), vec![2..3]);
    assert_eq!(texts(&topic.read_committed()), [("a", "3")]);
    topic.delete();
    assert_eq!(topic.partitions(), 0);
    let again = broker.create_topic(topic.name(), 2, &[("retention.ms", "1")]);
    assert_eq!(again.offsets(), [0..0, 0..0]);
}

#[test]
fn a_message_of_ten_megabytes() {
    let broker = Broker::get();
    if !broker.real_or_skip("a message of 10 MB") {
        return;
    }
    let topic = broker.topic(1);
    let producer = broker.producer();
    producer.send(
        topic.name(),
        [Record::keyless(vec![b'x'; 10_000_000]), Record::keyless("")],
    );
    producer.flush();
    let lengths = topic
        .read_committed()
        .iter()
        .map(|message| message.value.as_ref().unwrap().len())
        .collect::<Vec<_>>();
    assert_eq!(lengths, [10_000_000, 0]);
}

#[test]
fn messages_outlive_the_broker() {
    let broker = Broker::dedicated();
    let topic = broker.topic(1);
    let producer = broker.producer();
    let write = |value| producer.send(topic.name(), [Record::new("a", value)]);
    write("before");
    producer.flush();

    broker.stop();
    write("while it was stopped");
    broker.start();
    producer.flush();

    broker.kill();
    write("while it was dead");
    broker.start();
    producer.flush();
    assert_eq!(
        texts(&topic.read_committed()),
        ["before", "while it was stopped", "while it was dead"].map(|value| ("a", value))
    );
}

/// Not a test: `the_broker_ends_with_the_process` runs and kills it.
#[test]
#[ignore = "it waits to be killed"]
fn holds_a_broker() {
    println!("bootstrap={}", Broker::get().bootstrap());
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future::pending::<()>());
}

#[test]
fn the_broker_ends_with_the_process() {
    let mut holder = Command::new(env::current_exe().unwrap())
        .args(["harness::holds_a_broker", "--exact", "--ignored"])
        .arg("--nocapture")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let bootstrap = lines
        .find_map(|line| Some(line.unwrap().split_once("bootstrap=")?.1.to_owned()))
        .unwrap();
    assert!(TcpStream::connect(&bootstrap).is_ok());
    holder.kill().unwrap();
    holder.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(&bootstrap).is_ok() {
        assert!(Instant::now() < deadline, "{bootstrap} still listens");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_script_says_what_is_missing() {
    let nothing = tempfile::tempdir().unwrap();
    for command in ["check", "fetch", "serve"] {
        let ran = Command::new(binary::repository().join("tests/kafka/broker"))
            .arg(command)
            .env("JAVA_HOME", nothing.path())
            .output()
            .unwrap();
        let stderr = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(69), "{command}: {stderr}");
        assert!(stderr.contains("Java 17 or newer is missing"), "{stderr}");
    }
}
