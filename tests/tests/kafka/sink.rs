//! Tables in topics: each epoch is there once and completely, whatever was interrupted.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use rand::RngExt;
use tidewater_connectors::kafka::Location;
use tidewater_connectors::kafka::sink::{Changes, Mode, Publisher, TopicOptions, TopicSpec};
use tidewater_connectors::sink::SinkError;
use tidewater_tests::kafka::{Broker, Received, Topic, fold};
use tidewater_tests::seed;

/// A key, a value, and the change of the row's count.
type Change = (i64, String, i64);

/// A unique identifier.
fn id() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("sink-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

fn spec(broker: &Broker, topic: &str, mode: Mode, client: &[(&str, &str)]) -> Arc<TopicSpec> {
    let k = Field::new("k", DataType::Int64, true);
    let v = Field::new("v", DataType::Utf8, true);
    let client = client.iter();
    let client = client.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Arc::new(TopicSpec {
        table: format!("table of {topic}").into(),
        location: Location::parse(&format!("kafka://{}/{topic}", broker.bootstrap())).unwrap(),
        schema: Arc::new(Schema::new(vec![k, v])),
        options: TopicOptions {
            mode,
            key: if mode == Mode::Upsert {
                vec![0]
            } else {
                Vec::new()
            },
            client: client.collect(),
        },
    })
}

fn upserts(broker: &Broker, topic: &Topic<'_>) -> Arc<TopicSpec> {
    spec(broker, topic.name(), Mode::Upsert, &[])
}

fn batch(changes: &[Change]) -> RecordBatch {
    let k: Int64Array = changes.iter().map(|change| Some(change.0)).collect();
    let v: StringArray = changes.iter().map(|change| Some(&change.1)).collect();
    let count: Int64Array = changes.iter().map(|change| Some(change.2)).collect();
    let columns: [(&str, ArrayRef); 3] = [
        ("k", Arc::new(k)),
        ("v", Arc::new(v)),
        ("_count", Arc::new(count)),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Insertions of these keys with this value.
fn rows(keys: std::ops::Range<i64>, value: &str) -> Vec<Change> {
    keys.map(|key| (key, value.to_owned(), 1)).collect()
}

/// Keeps trying for a minute.
fn a_minute() -> impl FnMut(&str) -> bool {
    let end = Instant::now() + Duration::from_mins(1);
    move |_| Instant::now() < end
}

fn open(id: &str, topics: &[Arc<TopicSpec>]) -> Publisher {
    Publisher::open(id, topics, &mut a_minute()).unwrap()
}

/// Publishes the changes of each topic.
fn publish(publisher: &mut Publisher, epoch: u64, tables: &[Vec<Change>]) -> Result<(), SinkError> {
    let mut changes = |table: usize| {
        let changes = &tables[table];
        let batches = changes.chunks(1000).map(|chunk| Ok(batch(chunk)));
        let batches: Vec<_> = batches.collect();
        Ok((!changes.is_empty()).then(|| Box::new(batches.into_iter()) as Changes<'static>))
    };
    publisher.publish(epoch, &mut changes, &mut a_minute())
}

/// Publishes like a process that is killed: writes some messages and stops.
fn publish_and_die(mut publisher: Publisher, epoch: u64, changes: &[Change]) {
    let first = batch(changes);
    let mut changes = |_| {
        let first = std::iter::once(Ok(first.clone()));
        let dies = std::iter::once_with(|| {
            // Longer than messages wait before they are sent.
            thread::sleep(Duration::from_millis(500));
            panic_any("killed")
        });
        Ok(Some(Box::new(first.chain(dies)) as Changes<'static>))
    };
    let died = catch_unwind(AssertUnwindSafe(move || {
        publisher.publish(epoch, &mut changes, &mut a_minute())
    }));
    assert_eq!(died.unwrap_err().downcast_ref(), Some(&"killed"));
}

fn header<'a>(message: &'a Received, name: &str) -> &'a str {
    let mut headers = message.headers.iter().filter(|(key, _)| key == name);
    let (_, value) = headers.next().unwrap();
    assert!(headers.next().is_none());
    str::from_utf8(value.as_ref().unwrap()).unwrap()
}

/// The number of messages of each epoch.
fn epochs(messages: &[Received]) -> BTreeMap<u64, usize> {
    let mut epochs = BTreeMap::new();
    for message in messages {
        *epochs
            .entry(header(message, "tidewater-epoch").parse().unwrap())
            .or_default() += 1;
    }
    epochs
}

fn table(messages: &[Received]) -> Vec<String> {
    let rows = fold(messages).into_values();
    rows.map(|row| String::from_utf8(row).unwrap()).collect()
}

#[test]
fn messages_have_a_key_a_value_and_headers() {
    let broker = Broker::get();
    let (upsert, log) = (broker.topic(3), broker.topic(3));
    let id = id();
    let topics = [
        upserts(broker, &upsert),
        spec(broker, log.name(), Mode::Changelog, &[]),
    ];
    let mut publisher = open(&id, &topics);
    let change = |key, value: &str, count| (key, value.to_owned(), count);
    let first = vec![change(1, "a", 1), change(2, "b", 1)];
    publish(&mut publisher, 1, &[first.clone(), first]).unwrap();
    let second = vec![change(1, "a", -1), change(2, "b", -1), change(2, "c", 1)];
    publish(&mut publisher, 2, &[second.clone(), second]).unwrap();
    publish(&mut publisher, 3, &[vec![], vec![]]).unwrap();
    assert_eq!(publisher.held(), Some(2));

    let messages = upsert.read_committed();
    assert_eq!(epochs(&messages), [(1, 2), (2, 2)].into());
    assert_eq!(table(&messages), [r#"{"k":2,"v":"c"}"#]);
    for message in &messages {
        assert_eq!(header(message, "tidewater-id"), id);
        assert_eq!(header(message, "tidewater-table"), &*topics[0].table);
    }
    let keys: BTreeSet<_> = messages
        .iter()
        .filter_map(|message| message.key.clone())
        .collect();
    assert_eq!(
        keys,
        [br#"{"k":1}"#.to_vec(), br#"{"k":2}"#.to_vec()].into()
    );

    let messages = log.read_committed();
    assert_eq!(epochs(&messages), [(1, 2), (2, 3)].into());
    assert!(messages.iter().all(|message| message.key.is_none()));
    // Insertions and retractions of one row are in one partition, in order.
    let mut of_row: BTreeMap<&str, Vec<(i32, &str)>> = BTreeMap::new();
    for message in &messages {
        let value = str::from_utf8(message.value.as_ref().unwrap()).unwrap();
        let row = if value.contains(r#""v":"a""#) {
            "a"
        } else {
            "other"
        };
        of_row
            .entry(row)
            .or_default()
            .push((message.partition, &value[..8]));
    }
    let of_a = &of_row["a"];
    assert_eq!((of_a[0].1, of_a[1].1), (r#"{"op":"c"#, r#"{"op":"d"#));
    assert_eq!(of_a[0].0, of_a[1].0);
}

#[test]
fn an_epoch_that_is_held_is_not_written_again() {
    let broker = Broker::get();
    if !broker.real_or_skip("what a topic holds is known") {
        return;
    }
    let topic = broker.topic(2);
    let (id, topics) = (id(), [upserts(broker, &topic)]);
    let mut publisher = open(&id, &topics);
    assert_eq!(publisher.held(), None);
    for epoch in 1..=3 {
        publish(&mut publisher, epoch, &[rows(0..10, &epoch.to_string())]).unwrap();
    }
    publish(&mut publisher, 3, &[rows(0..10, "again")]).unwrap();
    drop(publisher);
    let mut publisher = open(&id, &topics);
    assert_eq!(publisher.held(), Some(3));
    publish(&mut publisher, 3, &[rows(0..10, "again")]).unwrap();
    publish(&mut publisher, 4, &[rows(0..10, "4")]).unwrap();
    let held = [(1, 10), (2, 10), (3, 10), (4, 10)];
    assert_eq!(epochs(&topic.read_uncommitted()), held.into());
    // Another state does not hold the epoch.
    assert_eq!(open(&self::id(), &topics).held(), None);
}

#[test]
fn what_a_dead_process_began_is_not_there() {
    let broker = Broker::get();
    if !broker.real_or_skip("transactions are aborted") {
        return;
    }
    let topic = broker.topic(2);
    let (id, topics) = (id(), [upserts(broker, &topic)]);
    let mut publisher = open(&id, &topics);
    publish(&mut publisher, 1, &[rows(0..10, "1")]).unwrap();
    publish_and_die(publisher, 2, &rows(0..10, "lost"));
    let begun = epochs(&topic.read_uncommitted());
    assert!(begun[&2] > 0, "{begun:?}");

    let mut publisher = open(&id, &topics);
    assert_eq!(publisher.held(), Some(1));
    publish(&mut publisher, 2, &[rows(0..5, "2")]).unwrap();
    let messages = topic.read_committed();
    assert_eq!(epochs(&messages), [(1, 10), (2, 5)].into());
    assert!(!table(&messages).concat().contains("lost"));
}

#[test]
fn topics_of_a_job_hold_the_same_epochs() {
    let broker = Broker::get();
    if !broker.real_or_skip("transactions are aborted") {
        return;
    }
    let all = [broker.topic(1), broker.topic(2)];
    let topics: Vec<_> = all.iter().map(|topic| upserts(broker, topic)).collect();
    let id = id();
    let mut publisher = open(&id, &topics);
    publish(&mut publisher, 1, &[rows(0..10, "1"), rows(0..20, "1")]).unwrap();
    // The second table fails after messages of the first were written.
    let twice = vec![(7, "a".to_owned(), 1), (7, "b".to_owned(), 1)];
    let error = publish(&mut publisher, 2, &[rows(0..10, "2"), twice]).unwrap_err();
    let says = format!(
        "table of {}: 2 rows have the key {{\"k\":7}}",
        all[1].name()
    );
    assert!(error.to_string().contains(&says), "{error}");
    assert_eq!(epochs(&all[0].read_committed()), [(1, 10)].into());
    // Both topics hold an epoch in which only one of them changed.
    publish(&mut publisher, 2, &[vec![], rows(0..1, "2")]).unwrap();
    assert_eq!(epochs(&all[0].read_committed()), [(1, 10)].into());
    for some in [&topics[..], &topics[..1], &topics[1..]] {
        assert_eq!(open(&id, some).held(), Some(2));
    }
}

#[test]
fn who_opens_later_shuts_out_who_was_there() {
    let broker = Broker::get();
    if !broker.real_or_skip("producers are fenced") {
        return;
    }
    let topic = broker.topic(1);
    let (id, topics) = (id(), [upserts(broker, &topic)]);
    let mut first = open(&id, &topics);
    publish(&mut first, 1, &[rows(0..10, "first")]).unwrap();
    let mut second = open(&id, &topics);
    for _ in 0..2 {
        let error = publish(&mut first, 2, &[rows(0..10, "first")]).unwrap_err();
        assert!(error.to_string().contains("another process"), "{error}");
    }
    publish(&mut second, 2, &[rows(0..10, "second")]).unwrap();
    let messages = topic.read_committed();
    assert_eq!(epochs(&messages), [(1, 10), (2, 10)].into());
    assert!(!table(&messages).concat().contains("first"));
}

#[test]
fn a_broker_that_comes_back_finds_each_epoch_once() {
    const EPOCHS: u64 = 30;
    const ROWS: i64 = 20_000;
    for seed in seed::seeds(1) {
        let broker = Broker::dedicated();
        if !broker.real_or_skip("transactions survive a broker") {
            return;
        }
        let topic = broker.topic(3);
        let topics = [upserts(&broker, &topic)];
        let done = AtomicU32::new(0);
        let mut waited = 0;
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut random = seed::generator(seed, "broker");
                while done.load(Ordering::Relaxed) == 0 {
                    thread::sleep(Duration::from_millis(random.random_range(200..4_000)));
                    if random.random() {
                        broker.kill();
                    } else {
                        broker.stop();
                    }
                    thread::sleep(Duration::from_millis(random.random_range(0..2_000)));
                    broker.start();
                }
            });
            let mut publisher = open("survivor", &topics);
            for epoch in 1..=EPOCHS {
                let rows = rows(0..ROWS, &epoch.to_string());
                let batches: Vec<_> = rows.chunks(1000).map(|rows| Ok(batch(rows))).collect();
                let batches = batches.into_iter().map(Result::<_, SinkError>::unwrap);
                let batches: Vec<RecordBatch> = batches.collect();
                let mut changes = |_| {
                    let batches = batches.clone().into_iter().map(Ok);
                    Ok(Some(Box::new(batches) as Changes<'static>))
                };
                let mut a_minute = a_minute();
                let mut keep_trying = |why: &str| {
                    waited += 1;
                    a_minute(why)
                };
                publisher
                    .publish(epoch, &mut changes, &mut keep_trying)
                    .unwrap();
            }
            done.store(1, Ordering::Relaxed);
        });
        eprintln!("seed {seed}: asked {waited} times whether to go on");
        let rows = usize::try_from(ROWS).unwrap();
        let expected = (1..=EPOCHS).map(|epoch| (epoch, rows)).collect();
        assert_eq!(epochs(&topic.read_committed()), expected, "seed {seed}");
        assert_eq!(open("survivor", &topics).held(), Some(EPOCHS));
    }
}

#[test]
fn brokers_and_topics_that_are_not_there() {
    let nobody = "kafka://127.0.0.1:1/orders";
    let broker = Broker::get();
    let topic = broker.topic(1);
    let mut spec = (*upserts(broker, &topic)).clone();
    spec.location = Location::parse(nobody).unwrap();
    let mut asked = Vec::new();
    let error = Publisher::open(&id(), &[Arc::new(spec)], &mut |why: &str| {
        asked.push(why.to_owned());
        asked.len() < 2
    });
    let error = error.err().unwrap().to_string();
    assert!(error.starts_with("Kafka at 127.0.0.1:1: "), "{error}");
    assert!(
        error.contains("127.0.0.1:1/bootstrap") && error.contains("Connect"),
        "{error}"
    );
    assert_eq!(asked.len(), 2, "{asked:?}");

    if !broker.real_or_skip("a topic that is not there") {
        return;
    }
    let nowhere = self::spec(broker, "nowhere", Mode::Upsert, &[]);
    let error = Publisher::open(&id(), &[nowhere], &mut a_minute());
    let error = error.err().unwrap().to_string();
    for says in [
        "there is no such topic",
        "--create --topic nowhere",
        "cleanup.policy=compact",
    ] {
        assert!(error.contains(says), "{error}");
    }
    let topics = [upserts(broker, &topic)];
    let mut publisher = open(&id(), &topics);
    publish(&mut publisher, 1, &[rows(0..10, "1")]).unwrap();
    topic.delete();
    let error = publish(&mut publisher, 2, &[rows(0..10, "2")]).unwrap_err();
    assert!(
        error.to_string().contains("there is no such topic"),
        "{error}"
    );
}

#[test]
fn what_a_broker_refuses_says_what_to_do() {
    let broker = Broker::get();
    if !broker.real_or_skip("topics have configurations") {
        return;
    }
    let small = broker.topic_with(1, &[("max.message.bytes", "2000")]);
    let compact = broker.topic_with(1, &[("cleanup.policy", "compact")]);
    let large = "x".repeat(5_000);
    let uncompressed = [("compression.type", "none")];
    let too_long = [("transaction.timeout.ms", "3600000")];
    let unknown = [("linger.mss", "7")];
    for (topic, mode, client, value, says) in [
        (
            &small,
            Mode::Upsert,
            &uncompressed[..],
            large.as_str(),
            "max.message.bytes",
        ),
        (
            &compact,
            Mode::Changelog,
            &[],
            "a",
            "accepts none without a key",
        ),
        (
            &compact,
            Mode::Upsert,
            &too_long,
            "a",
            "transaction.max.timeout.ms",
        ),
        (
            &compact,
            Mode::Upsert,
            &unknown,
            "a",
            "'kafka.linger.mss' cannot be '7'",
        ),
    ] {
        let topics = [spec(broker, topic.name(), mode, client)];
        let result = Publisher::open(&id(), &topics, &mut a_minute())
            .and_then(|mut publisher| publish(&mut publisher, 1, &[rows(0..1, value)]));
        let error = result.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        assert_eq!(topic.read_committed(), []);
    }
}

/// `cargo test --release --test kafka -- --ignored throughput --nocapture`
#[test]
#[ignore = "a measurement"]
fn throughput() {
    let broker = Broker::get();
    let topic = broker.topic(6);
    let mut publisher = open(&id(), &[upserts(broker, &topic)]);
    let rows = rows(0..1_000_000, "a value of some length, as rows have it");
    for epoch in 1..=3 {
        let start = Instant::now();
        publish(&mut publisher, epoch, std::slice::from_ref(&rows)).unwrap();
        let seconds = start.elapsed().as_secs_f64();
        eprintln!("{:.0} messages/s", 1e6 / seconds);
    }
}
