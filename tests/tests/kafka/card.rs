//! The card job over a topic: the tables of `run`, `follow` and `replay` equal those of the batch over the same rows
//! in files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rand::RngExt;
use serde_json::{Map, Value};
use tidewater_tests::binary::{self, repository, snapshot, tidewater};
use tidewater_tests::kafka::{Broker, Record, Topic};
use tidewater_tests::published::stored_rows;
use tidewater_tests::{csv, seed};

use crate::place::Place;

const RECORDS: u64 = 3000;

/// The rows of each partition of each table.
type Tables = BTreeMap<PathBuf, Vec<String>>;

/// Generated rows in files, the batch over them, and a topic to write them to.
struct Card {
    place: Place,
    topic: Topic<'static>,
    records: Vec<Record>,
    batch: Tables,
}

impl Card {
    fn new(seed: u64) -> Self {
        let sql = |job: &str| fs::read_to_string(repository().join("jobs").join(job)).unwrap();
        let place = Place::new(&sql("card-kafka.sql"));
        let input = place.path("in");
        let (records, seed) = (RECORDS.to_string(), seed.to_string());
        let generated = ["generate", "--records", &records, "--seed", &seed];
        let days = ["--start", "2024-03-22", "--end", "2024-04-10", "--quiet"];
        let rest = ["--cards", "900", "--out", input.to_str().unwrap()];
        let _ = tidewater(&[&generated[..], &days, &rest].concat()).code(0);
        fs::write(place.path("batch.sql"), sql("card.sql")).unwrap();
        let mut batch = binary::command(&["run", "batch.sql", "--quiet"]);
        let batch = batch.args(["--set", "input=in", "--set", "output=batch"]);
        let ran = batch.current_dir(place.path("")).output().unwrap();
        let _ = binary::Ran::from(ran).code(0);
        Self {
            topic: Broker::get().topic(3),
            records: records_of(&input),
            batch: tables(&place.path("batch")),
            place,
        }
    }

    fn send(&self, records: &[Record]) {
        let producer = Broker::get().producer();
        producer.send(self.topic.name(), records.iter().cloned());
        producer.flush();
    }

    /// The job's settings for its topic.
    fn settings(&self) -> [String; 4] {
        let brokers = format!("brokers=kafka://{}", Broker::get().bootstrap());
        let topic = format!("topic={}", self.topic.name());
        ["--set".into(), brokers, "--set".into(), topic]
    }

    /// The sum of the changes in a file: the count of each row of each table.
    fn folded(&self, changes: &str) -> BTreeMap<(String, String), i64> {
        let mut rows = BTreeMap::new();
        for line in fs::read_to_string(self.place.path(changes))
            .unwrap()
            .lines()
        {
            let change: Value = serde_json::from_str(line).unwrap();
            let row = (change["table"].to_string(), change["row"].to_string());
            let count = rows.entry(row).or_default();
            *count += if change["op"] == "insert" { 1 } else { -1 };
            assert!(*count >= 0, "{line}");
        }
        rows.retain(|_, count| *count != 0);
        rows
    }

    #[track_caller]
    fn assert_same(&self) {
        let found = tables(&self.place.path("out"));
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            self.batch.keys().collect::<Vec<_>>()
        );
        for (partition, rows) in &self.batch {
            assert_eq!(&found[partition], rows, "{}", partition.display());
        }
    }
}

#[test]
fn runs_equal_the_batch() {
    let card = Card::new(1);
    let settings = card.settings();
    let more = [&settings.each_ref().map(String::as_str)[..], &["--json"]].concat();
    let mut read = 0;
    for records in card.records.chunks(1200) {
        card.send(records);
        read += records.len();
        let summary = card.place.run(&more).code(0).json();
        assert_eq!(summary["rows_read"], records.len());
        assert_eq!(summary["rows_quarantined"], 0);
    }
    assert_eq!(read as u64, RECORDS);
    card.assert_same();
    let again = card.place.run(&more).code(0).json();
    assert_eq!(again["deliveries"].as_array().unwrap().len(), 0, "{again}");
    card.assert_same();
}

#[test]
fn following_equals_the_batch() {
    for seed in seed::seeds(1) {
        let mut rng = seed::generator(seed, "card over Kafka");
        let card = Card::new(seed);
        let settings = card.settings();
        let more = [
            &settings.each_ref().map(String::as_str)[..],
            &["--rows", "700"],
        ];
        let mut follower = card.place.follow(&more.concat());
        let (mut sent, mut commits) = (0, 0);
        while sent < card.records.len() {
            let end = (sent + rng.random_range(1..900)).min(card.records.len());
            card.send(&card.records[sent..end]);
            sent = end;
            // Waits for two commits before the end, however slow the machine is. After that, sometimes waits and
            // sometimes does not.
            if commits < 2 || rng.random_bool(0.3) {
                commits += follower.until(sent as u64);
            }
        }
        commits += follower.until(RECORDS);
        assert!(commits > 2, "seed {seed}: {commits} commits");
        let _ = follower.stop();
        card.assert_same();
    }
}

#[test]
fn the_changes_of_a_replay_add_up_to_the_batch() {
    let card = Card::new(2);
    card.send(&card.records);
    let settings = card.settings();
    let of_topic = settings.each_ref().map(String::as_str);
    let replay = ["--step", "500 messages", "--json", "--changes", "changes"];
    let mut replay = card
        .place
        .command("replay", &[&of_topic[..], &replay].concat());
    let summary = binary::Ran::from(replay.output().unwrap()).code(0).json();
    assert_eq!(summary["rows_in"], RECORDS);
    // Steps count messages in each partition.
    let longest = card.topic.offsets().iter().map(|range| range.end).max();
    let steps = summary["steps"].as_array().unwrap().len();
    assert_eq!(
        i64::try_from(steps).unwrap(),
        (longest.unwrap() + 499) / 500,
        "{summary}"
    );
    // The batch as changes: all rows are inserted at once.
    fs::rename(card.place.path("batch.sql"), card.place.path("job.sql")).unwrap();
    let once = [
        "--set",
        "input=in",
        "--step",
        "100 years",
        "--changes",
        "once",
    ];
    let mut once = card
        .place
        .command("replay", &[&once[..], &["--quiet"]].concat());
    let _ = binary::Ran::from(once.output().unwrap()).code(0);
    let (found, expected) = (card.folded("changes"), card.folded("once"));
    assert!(found == expected, "rows differ");
    assert!(expected.len() > 1000);
}

/// The rows of CSV files as objects. Their keys are cards, so that each partition gets rows of every file.
fn records_of(dir: &Path) -> Vec<Record> {
    let mut records = Vec::new();
    for text in snapshot(dir).into_values() {
        let mut rows = csv::parse(str::from_utf8(&text).unwrap()).into_iter();
        let header = rows.next().unwrap();
        for row in rows {
            let card = header
                .iter()
                .position(|name| name.as_deref() == Some("card_no"));
            let key = row[card.unwrap()].clone().unwrap();
            let members = header.iter().flatten().cloned().zip(row);
            let members = members.map(|(name, value)| {
                let value = value.map_or(Value::Null, |text| match name.as_str() {
                    "amount" | "installment_months" => text.parse::<i64>().unwrap().into(),
                    _ => text.into(),
                });
                (name, value)
            });
            let object = Value::Object(members.collect::<Map<_, _>>());
            records.push(Record::new(key, object.to_string()));
        }
    }
    records
}

/// The published tables without the quarantine, which contains other source names.
fn tables(dir: &Path) -> Tables {
    let mut tables = stored_rows(dir);
    tables.retain(|partition, _| !partition.starts_with("_quarantine"));
    tables
}
