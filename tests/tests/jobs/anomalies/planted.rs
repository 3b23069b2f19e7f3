//! Every planted case of generated data is flagged, and nothing else is.

use std::collections::BTreeMap;
use std::fs;

use tidewater_tests::binary::tidewater;
use tidewater_tests::{csv, published};

use super::{JOB, schema};
use crate::place::Place;

const CASES: usize = 4;

/// The rules of the table `anomalies`.
const RULES: [&str; 7] = [
    "amount_outlier",
    "burst",
    "double_payment",
    "impossible_travel",
    "large_amount",
    "spree",
    "tested_card",
];

#[test]
fn recall_of_each_rule_is_one() {
    let place = Place::new();
    let input = place.path("in");
    let cases = CASES.to_string();
    let generate = [
        "generate",
        "--records",
        "20000",
        "--anomalies",
        &cases,
        "--quiet",
        "--out",
        input.to_str().unwrap(),
    ];
    let _ = tidewater(&generate).code(0);
    let _ = place.run(JOB, &[]).code(0);

    let planted = planted(&place);
    assert_eq!(planted.len(), RULES.len() + 2);
    let mut rest = 0;
    for rule in RULES {
        let found = found(
            &place,
            "anomalies",
            &["rule", "transaction_id", "related_id"],
        );
        let found: Vec<_> = found.into_iter().filter(|row| row[0] == rule).collect();
        let expected = planted[rule].iter().map(|case| [rule, &case[0], &case[1]]);
        rest += assert_found(rule, &found, expected);
    }
    let ids = planted["duplicate_id"].iter().map(|case| [&case[0]]);
    let found_ids = found(&place, "duplicate_id", &["transaction_id"]);
    assert_eq!(assert_found("duplicate_id", &found_ids, ids), 0);
    let hours = planted["volume_spike"]
        .iter()
        .map(|case| [&case[4], &case[3]]);
    let found_hours = found(&place, "volume_spike", &["merchant", "window_start"]);
    assert_eq!(assert_found("volume_spike", &found_hours, hours), 0);
    assert_eq!(rest, 0, "flags that were not planted");
}

/// The planted cases by rule: transaction, related transaction, card, time and merchant.
fn planted(place: &Place) -> BTreeMap<String, Vec<Vec<String>>> {
    let text = fs::read_to_string(place.path("in-planted.csv")).unwrap();
    let mut rules: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    for record in csv::parse(&text).into_iter().skip(1) {
        let mut fields = record.into_iter().map(Option::unwrap_or_default);
        let rule = fields.next().unwrap();
        rules.entry(rule).or_default().push(fields.collect());
    }
    rules
}

/// These columns of a table.
fn found(place: &Place, table: &str, columns: &[&str]) -> Vec<Vec<String>> {
    let schema = schema(table);
    let batch = published::table(&place.path("out").join(table), &schema);
    let columns = columns.iter().map(|name| schema.index_of(name).unwrap());
    let columns: Vec<usize> = columns.collect();
    published::text(&batch.project(&columns).unwrap())
}

/// Asserts that all cases are found. Returns how many other rows there are.
#[track_caller]
fn assert_found<const N: usize>(
    rule: &str,
    found: &[Vec<String>],
    cases: impl ExactSizeIterator<Item = [impl AsRef<str>; N]>,
) -> usize {
    assert_eq!(cases.len(), CASES, "{rule}");
    for case in cases {
        let case: Vec<_> = case.iter().map(|field| field.as_ref().to_owned()).collect();
        assert!(found.contains(&case), "{rule}: no {case:?} in {found:?}");
    }
    found.len() - CASES
}
