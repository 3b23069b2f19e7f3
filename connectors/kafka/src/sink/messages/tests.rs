//! Exhaustive over two keys and two values: every change of every table that they allow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Float64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema};
use serde_json::Value;

use super::*;
use crate::Location;
use crate::sink::TopicOptions;

type Owned = (Option<String>, Option<String>);

/// Keys and values, as columns `k` and `v`.
const ROWS: [(&str, i64); 4] = [("a", 1), ("a", 2), ("b", 1), ("b", 2)];

fn topic(schema: &Schema, mode: Mode, key: &[usize]) -> TopicSpec {
    TopicSpec {
        table: "t".into(),
        location: Location::parse("kafka://localhost/t").unwrap(),
        schema: Arc::new(schema.clone()),
        options: TopicOptions {
            mode,
            key: key.to_vec(),
            client: BTreeMap::new(),
        },
    }
}

fn small(mode: Mode, key: &[usize]) -> TopicSpec {
    let k = Field::new("k", DataType::Utf8, true);
    let v = Field::new("v", DataType::Int64, true);
    topic(&Schema::new(vec![k, v]), mode, key)
}

/// The messages of changes that come in batches of `rows`.
fn messages(
    topic: &TopicSpec,
    changes: &RecordBatch,
    rows: usize,
) -> Result<Vec<Owned>, SinkError> {
    let cuts = (0..changes.num_rows()).step_by(rows.max(1));
    let batches = cuts.map(|at| Ok(changes.slice(at, rows.min(changes.num_rows() - at))));
    let mut all = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    each_message(topic, batches, &mut |message| {
        all.push((message.key.map(text), message.value.map(text)));
        Ok::<(), SinkError>(())
    })?;
    Ok(all)
}

/// Changes of [`ROWS`], in their order; `None` for those that are no change.
fn changes(counts: [i64; 4]) -> RecordBatch {
    let changed = ROWS.iter().zip(counts).filter(|(_, count)| *count != 0);
    let (rows, counts): (Vec<_>, Vec<i64>) = changed.unzip();
    let (k, v): (Vec<&str>, Vec<i64>) = rows.into_iter().copied().unzip();
    let columns: [(&str, ArrayRef); 3] = [
        ("k", Arc::new(StringArray::from(k))),
        ("v", Arc::new(Int64Array::from(v))),
        ("_count", Arc::new(Int64Array::from(counts))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// All ways to choose four numbers out of a range.
fn fours(range: std::ops::RangeInclusive<i64>) -> Vec<[i64; 4]> {
    let mut all = vec![[0; 4]];
    for at in 0..4 {
        let each = all.into_iter().flat_map(|four| {
            range.clone().map(move |count| {
                let mut four = four;
                four[at] = count;
                four
            })
        });
        all = each.collect();
    }
    all
}

fn difference(before: [i64; 4], after: [i64; 4]) -> [i64; 4] {
    std::array::from_fn(|at| after[at] - before[at])
}

fn row(at: usize) -> String {
    let (k, v) = ROWS[at];
    format!("{{\"k\":\"{k}\",\"v\":{v}}}")
}

#[test]
fn upserts_of_all_histories_fold_to_the_table() {
    let topic = small(Mode::Upsert, &[0]);
    let is_table = |rows: &[i64; 4]| rows[0] + rows[1] < 2 && rows[2] + rows[3] < 2;
    let tables: Vec<[i64; 4]> = fours(0..=1).into_iter().filter(is_table).collect();
    assert_eq!(tables.len(), 9);
    let histories = tables
        .iter()
        .flat_map(|first| tables.iter().map(move |second| (first, second)))
        .flat_map(|(first, second)| tables.iter().map(move |third| [first, second, third]));
    for history in histories {
        let mut folded: BTreeMap<String, String> = BTreeMap::new();
        let mut before = [0; 4];
        for &table in history {
            let epoch = messages(&topic, &changes(difference(before, table)), 8).unwrap();
            let keys: BTreeSet<&Option<String>> = epoch.iter().map(|(key, _)| key).collect();
            assert_eq!(keys.len(), epoch.len(), "a key has one message an epoch");
            for (key, value) in epoch {
                match value {
                    Some(value) => folded.insert(key.unwrap(), value),
                    None => folded.remove(&key.unwrap()),
                };
            }
            let rows = (0..4).filter(|&at| table[at] > 0).map(row);
            assert_eq!(
                folded.values().cloned().collect::<Vec<_>>(),
                rows.collect::<Vec<_>>(),
                "{history:?}"
            );
            before = table;
        }
    }
}

#[test]
fn upserts_of_all_changes_or_the_key_that_is_not_unique() {
    let topic = small(Mode::Upsert, &[0]);
    for counts in fours(-2..=2) {
        let found = messages(&topic, &changes(counts), 8);
        let cut = messages(&topic, &changes(counts), 1);
        let side = |sign: i64, key: usize| {
            let of_key = counts[2 * key..2 * key + 2].iter();
            of_key.map(|count| (count * sign).max(0)).sum::<i64>()
        };
        let fits = |key| side(1, key) < 2 && side(-1, key) < 2;
        if fits(0) && fits(1) {
            let expected = (0..2).filter(|&key| side(1, key) + side(-1, key) > 0);
            let expected = expected.map(|key| {
                let come = (2 * key..2 * key + 2).find(|&at| counts[at] > 0);
                (
                    Some(format!("{{\"k\":\"{}\"}}", ["a", "b"][key])),
                    come.map(row),
                )
            });
            let found = found.unwrap();
            assert_eq!(found, expected.collect::<Vec<_>>(), "{counts:?}");
            assert_eq!(found, cut.unwrap(), "{counts:?}");
        } else {
            let key = if fits(0) {
                "{\"k\":\"b\"}"
            } else {
                "{\"k\":\"a\"}"
            };
            for error in [found.unwrap_err(), cut.unwrap_err()] {
                assert!(matches!(&error, SinkError::KeyNotUnique { .. }), "{error}");
                assert!(error.to_string().contains(key), "{counts:?}: {error}");
            }
        }
    }
}

/// Applies a change log to a table.
fn apply(table: &mut [i64; 4], (key, value): &Owned) -> &'static str {
    let change: Value = serde_json::from_str(value.as_ref().unwrap()).unwrap();
    let mut at = |side: &str, count: i64| {
        let row = change.get(side).unwrap();
        if row.is_null() {
            return None;
        }
        let k = row.get("k").unwrap().as_str().unwrap();
        let place = (k, row.get("v").unwrap().as_i64().unwrap());
        let place = ROWS.iter().position(|row| *row == place).unwrap();
        table[place] += count;
        assert!(table[place] >= 0, "what goes was there");
        Some(k.to_owned())
    };
    let (before, after) = (at("before", -1), at("after", 1));
    let expected = before.as_ref().or(after.as_ref()).unwrap();
    if let Some(key) = key {
        assert_eq!(*key, format!("{{\"k\":\"{expected}\"}}"));
    }
    let op = change.get("op").unwrap().as_str().unwrap();
    match (before, after) {
        (None, Some(_)) if op == "c" => "c",
        (Some(_), None) if op == "d" => "d",
        (Some(before), Some(after)) if op == "u" && before == after => "u",
        other => panic!("{op}: {other:?}"),
    }
}

#[test]
fn change_logs_of_all_changes_lead_from_one_table_to_the_other() {
    let (keyed, keyless) = (small(Mode::Changelog, &[0]), small(Mode::Changelog, &[]));
    let tables = fours(0..=2);
    for before in &tables {
        for after in &tables {
            let counts = difference(*before, *after);
            for topic in [&keyed, &keyless] {
                let found = messages(topic, &changes(counts), 8).unwrap();
                assert_eq!(found, messages(topic, &changes(counts), 1).unwrap());
                let mut table = *before;
                let ops: Vec<&str> = found.iter().map(|one| apply(&mut table, one)).collect();
                assert_eq!(table, *after, "{before:?}");
                let paired = if topic.options.key.is_empty() {
                    assert!(found.iter().all(|(key, _)| key.is_none()));
                    0
                } else {
                    let of_key = |key: &[i64]| {
                        let side = |sign: i64| key.iter().map(|c| (c * sign).max(0)).sum::<i64>();
                        side(1).min(side(-1))
                    };
                    of_key(&counts[..2]) + of_key(&counts[2..])
                };
                let updates = ops.iter().filter(|op| **op == "u").count();
                assert_eq!(i64::try_from(updates).unwrap(), paired, "{counts:?}");
                let changed: i64 = counts.iter().map(|count| count.abs()).sum();
                assert_eq!(i64::try_from(ops.len()).unwrap(), changed - paired);
            }
        }
    }
}

#[test]
fn types_are_those_of_published_json() {
    let columns: [(&str, ArrayRef); 6] = [
        ("day", Arc::new(Date32Array::from(vec![None, Some(19_792)]))),
        (
            "at",
            Arc::new(TimestampMicrosecondArray::from(vec![
                Some(1_710_055_392_000_001),
                Some(0),
            ])),
        ),
        (
            "text",
            Arc::new(StringArray::from(vec![Some("a \"b\"\n"), Some("한")])),
        ),
        ("ratio", Arc::new(Float64Array::from(vec![0.5, f64::NAN]))),
        (
            "money",
            Arc::new(
                Decimal128Array::from(vec![-105, 20])
                    .with_precision_and_scale(10, 2)
                    .unwrap(),
            ),
        ),
        ("_count", Arc::new(Int64Array::from(vec![1, 1]))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.map(|(name, column)| (name, column, true)),
    )
    .unwrap();
    let schema = batch.schema().project(&[0, 1, 2, 3, 4]).unwrap();
    let found = messages(&topic(&schema, Mode::Upsert, &[0, 4]), &batch, 8).unwrap();
    let expected = [
        (
            r#"{"day":null,"money":-1.05}"#,
            r#"{"day":null,"at":"2024-03-10T07:23:12.000001","text":"a \"b\"\n","ratio":0.5,"money":-1.05}"#,
        ),
        (
            r#"{"day":"2024-03-10","money":0.20}"#,
            r#"{"day":"2024-03-10","at":"1970-01-01T00:00:00","text":"한","ratio":null,"money":0.20}"#,
        ),
    ];
    let expected = expected.map(|(key, value)| (Some(key.to_owned()), Some(value.to_owned())));
    assert_eq!(found, expected);
}

#[test]
fn what_cannot_be_written_says_why() {
    let upsert = small(Mode::Upsert, &[0]);
    let fails = |topic: &TopicSpec, batch: &RecordBatch, says: &str| {
        let error = messages(topic, batch, 8).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    };
    let wrong_order = changes([0, 0, 1, 0]);
    let both = [Ok(wrong_order), Ok(changes([1, 0, 0, 0]))];
    let error = each_message(&upsert, both.into_iter(), &mut |_| Ok::<(), SinkError>(()));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("not in the order of its key"), "{error}");

    let rows = changes([1, 0, 0, 0]);
    fails(&upsert, &rows.project(&[0, 1]).unwrap(), "no column");
    fails(&upsert, &rows.project(&[1, 0, 2]).unwrap(), "column k");

    let mut small = upsert.clone();
    let limit = ("message.max.bytes".to_owned(), "1000".to_owned());
    small.options.client.extend([limit]);
    let long = "x".repeat(480);
    let columns: [(&str, ArrayRef); 3] = [
        ("k", Arc::new(StringArray::from(vec![long.as_str()]))),
        ("v", Arc::new(Int64Array::from(vec![1]))),
        ("_count", Arc::new(Int64Array::from(vec![1]))),
    ];
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    assert!(messages(&upsert, &rows, 8).is_ok());
    fails(&small, &rows, "'kafka.message.max.bytes'");
}
