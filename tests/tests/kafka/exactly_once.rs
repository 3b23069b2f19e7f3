//! Each message counts once and each commit is published once, whenever a follower is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::thread;
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tidewater_tests::binary::{self, Ran};
use tidewater_tests::kafka::{Broker, Received, Record, Topic, fold};
use tidewater_tests::published::rows_by_partition;
use tidewater_tests::seed;

use crate::place::Place;

const REGIONS: [&str; 5] = ["north", "south", "east", "west", "이천"];

/// How many followers are killed in sequence.
const FOLLOWERS: usize = 4;

/// An order. All messages with its id are equal.
type Order = (u32, usize, i64);

const VIEW: &str = "
CREATE MATERIALIZED VIEW by_region AS
  SELECT region, count(*) AS orders, sum(amount) AS total FROM orders GROUP BY region;
COPY by_region TO '${output}/by_region' STORED AS PARQUET;
";

fn streaming(broker: &Broker, orders: &Topic<'_>, tables: &Topic<'_>) -> String {
    let (brokers, orders, tables) = (broker.bootstrap(), orders.name(), tables.name());
    format!(
        "CREATE EXTERNAL TABLE orders (id BIGINT, region TEXT, amount BIGINT, PRIMARY KEY (id))
           STORED AS JSON LOCATION 'kafka://{brokers}/{orders}';
         {VIEW}
         CREATE VIEW messages AS SELECT * FROM by_region;
         COPY messages TO 'kafka://{brokers}/{tables}' STORED AS JSON OPTIONS ('key' 'region');"
    )
}

/// Orders in random sequence, each one or more times.
fn draw(rng: &mut ChaCha8Rng, ids: std::ops::Range<u32>) -> Vec<Order> {
    let mut orders: Vec<Order> = Vec::new();
    for id in ids {
        let order = (
            id,
            rng.random_range(0..REGIONS.len()),
            rng.random_range(0..1000),
        );
        for _ in 0..rng.random_range(1..=2) {
            orders.insert(rng.random_range(0..=orders.len()), order);
        }
    }
    orders
}

fn record(&(id, region, amount): &Order) -> Record {
    let value = json!({"id": id, "region": REGIONS[region], "amount": amount});
    Record::new(id.to_string(), value.to_string())
}

/// Sends them a few at a time.
fn send(broker: &Broker, topic: &Topic<'_>, orders: &[Order]) {
    let producer = broker.producer();
    for few in orders.chunks(25) {
        producer.send(topic.name(), few.iter().map(record));
        producer.flush();
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn killed_followers_lose_nothing_and_repeat_nothing() {
    for seed in seed::seeds(1) {
        println!("seed {seed}");
        let mut rng = seed::generator(seed, "exactly once");
        let broker = Broker::get();
        if !broker.real_or_skip("transactions that were cut short are hidden") {
            return;
        }
        let (orders, tables) = (broker.topic(3), broker.topic(2));
        let place = Place::new(&streaming(broker, &orders, &tables));
        let sent = draw(&mut rng, 0..1500);
        let mut shares = sent.chunks(sent.len().div_ceil(FOLLOWERS + 1));
        for (round, share) in shares.by_ref().take(FOLLOWERS).enumerate() {
            let mut follower = place.follow(&["--rows", "200"]);
            thread::scope(|scope| {
                scope.spawn(|| send(broker, &orders, share));
                // Every other follower is killed only after a commit, however slow the machine is.
                if round % 2 == 1 {
                    follower.until_some();
                }
                thread::sleep(Duration::from_millis(rng.random_range(100..1500)));
                let said = follower.killed();
                assert!(!said.contains("error"), "seed {seed}: {said}");
            });
        }
        send(broker, &orders, shares.next().unwrap());
        let _ = place.run(&["--quiet"]).code(0);
        assert_eq!(
            rows_by_partition(&place.path("out/by_region")),
            batch(&place, &sent),
            "seed {seed}"
        );
        assert_published(&tables.read_committed(), &sent, seed);
    }
}

/// The table of the batch over the sent orders, each once.
fn batch(place: &Place, sent: &[Order]) -> BTreeMap<std::path::PathBuf, Vec<String>> {
    let mut csv = "id,region,amount\n".to_owned();
    for (id, region, amount) in sent.iter().collect::<BTreeSet<_>>() {
        writeln!(csv, "{id},{},{amount}", REGIONS[*region]).unwrap();
    }
    fs::write(place.path("orders.csv"), csv).unwrap();
    let source = "CREATE EXTERNAL TABLE orders (id BIGINT, region TEXT, amount BIGINT)
        STORED AS CSV LOCATION 'orders.csv';";
    fs::write(place.path("batch.sql"), format!("{source}{VIEW}")).unwrap();
    let mut run = binary::command(&["run", "batch.sql", "--quiet", "--set", "output=batch"]);
    let ran = run.current_dir(place.path("")).output().unwrap();
    let _ = Ran::from(ran).code(0);
    rows_by_partition(&place.path("batch/by_region"))
}

/// Asserts that the messages add up to the table, and that no epoch has two messages of a key.
fn assert_published(messages: &[Received], sent: &[Order], seed: u64) {
    let mut expected: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for (_, region, amount) in sent.iter().collect::<BTreeSet<_>>() {
        let (orders, total) = expected.entry(REGIONS[*region]).or_default();
        *orders += 1;
        *total += amount;
    }
    let rows = expected.into_iter();
    let rows: BTreeSet<String> = rows
        .map(|(region, (orders, total))| {
            json!({"region": region, "orders": orders, "total": total}).to_string()
        })
        .collect();
    let folded = fold(messages).into_values();
    let folded: BTreeSet<String> = folded
        .map(|value| serde_json::from_slice::<Value>(&value).unwrap().to_string())
        .collect();
    assert_eq!(folded, rows, "seed {seed}");

    let mut epochs = BTreeSet::new();
    let mut told = BTreeSet::new();
    for message in messages {
        let mut headers = message.headers.iter();
        let epoch = headers.find(|(name, _)| name == "tidewater-epoch").unwrap();
        epochs.insert(&epoch.1);
        assert!(
            told.insert((&message.key, &epoch.1)),
            "seed {seed}: twice: {message:?}"
        );
    }
    // Epochs of the followers that were killed after a commit, and of the run after them.
    assert!(epochs.len() > FOLLOWERS / 2, "seed {seed}: {epochs:?}");
}
