//! The anomaly job: its rules on known rows, on both sides of each threshold.

mod deliveries;
mod planted;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use tidewater_tests::published;

use crate::place::{Place, parsed};

const JOB: &str = "anomalies.sql";
const TABLES: [&str; 3] = ["anomalies", "duplicate_id", "volume_spike"];
const HEADER: &str = "transaction_id,transaction_date,card_no,card_type,merchant,sub_category,category,amount,installment_months,\
    approval_status,region\n";

/// An approved payment in 서울 on this day and at this time of 2024.
fn pay(id: &str, card: u32, at: &str, merchant: &str, amount: u64) -> String {
    let (sub, category) = match merchant {
        "눈높이" => ("학습지", "교육"),
        "CU" => ("편의점", "식비"),
        "쿠팡" => ("온라인", "쇼핑"),
        "이마트" => ("대형마트", "쇼핑"),
        "다이소" => ("생활용품", "쇼핑"),
        other => panic!("{other} has no category"),
    };
    format!(
        "{id},2024-{at},****-****-****-{card:04},신용,{merchant},{sub},{category},{amount},0,approved,서울\n"
    )
}

fn declined(row: &str) -> String {
    row.replace("approved", "declined")
}

fn within(row: &str, region: &str) -> String {
    row.replace("서울", region)
}

fn file(rows: &[String]) -> String {
    format!("{HEADER}{}", rows.concat())
}

/// `count` ordinary payments at one merchant and hour, each of another card.
fn ordinary(count: u64) -> Vec<String> {
    let row = |i: u64| {
        let day = format!("{:02}-{:02} 12:10:00", i / 20 + 1, i % 20 + 1);
        let card = 1000 + u32::try_from(i).unwrap();
        pay(&format!("A{i}"), card, &day, "눈높이", 10_000 + 100 * i)
    };
    (0..count).map(row).collect()
}

/// Cases on both sides of each rule's threshold.
fn fixture() -> Vec<String> {
    let mut rows = ordinary(40);
    rows.push(pay("A40", 1040, "03-05 12:10:00", "눈높이", 100_000));
    for (first, card, last) in [(1, 2001, "10:10:00"), (6, 2002, "10:10:01")] {
        let times = ["10:00:00", "10:02:00", "10:04:00", "10:06:00", last];
        rows.extend((first..).zip(times).map(|(n, time)| {
            let at = format!("03-01 {time}");
            pay(&format!("B{n}"), card, &at, "CU", 1_000 + 100 * n)
        }));
    }
    rows.extend([
        pay("C1", 2003, "03-02 10:00:00", "쿠팡", 1_600_000),
        pay("C2", 2003, "03-02 11:00:00", "쿠팡", 1_600_100),
        pay("C3", 2004, "03-02 10:00:00", "쿠팡", 1_600_000),
        pay("C4", 2004, "03-02 11:00:01", "쿠팡", 1_600_100),
        pay("D1", 2005, "03-03 10:00:00", "이마트", 20_100),
        within(&pay("D2", 2005, "03-03 11:04:59", "이마트", 20_200), "부산"),
        pay("D3", 2006, "03-03 10:00:00", "이마트", 20_300),
        within(&pay("D4", 2006, "03-03 11:05:00", "이마트", 20_400), "부산"),
        pay("D5", 2007, "03-03 10:00:00", "이마트", 20_500),
        within(&pay("D6", 2007, "03-03 10:00:00", "이마트", 20_600), "인천"),
        pay("E1", 2008, "03-04 10:00:00", "다이소", 3_000),
        pay("E2", 2008, "03-04 10:01:00", "다이소", 3_000),
        pay("E3", 2008, "03-04 10:02:01", "다이소", 3_000),
        pay("F1", 2009, "03-06 10:00:00", "쿠팡", 10_000_000),
        declined(&pay("F2", 2009, "03-07 10:00:00", "쿠팡", 10_000_100)),
        declined(&pay("G1", 2010, "03-08 10:00:00", "CU", 5_100)),
        declined(&pay("G2", 2010, "03-08 10:03:00", "CU", 5_200)),
        declined(&pay("G3", 2010, "03-08 10:06:00", "CU", 5_300)),
        pay("G4", 2010, "03-08 10:09:00", "CU", 5_400),
    ]);
    rows
}

/// The flags of [`fixture`]: rule, transaction, related transaction, score.
const FLAGS: [&str; 8] = [
    "amount_outlier A40  6.30",
    "burst B5 B1 600.00",
    "double_payment E2 E1 60.00",
    "impossible_travel D2 D1 3899.00",
    "large_amount F2  10000100.00",
    "spree C2  3200100.00",
    "spree F1  10000000.00",
    "tested_card G4 G1 540.00",
];

/// A row that comes after the others of [`fixture`].
fn late_stop() -> String {
    within(&pay("D9", 2005, "03-03 10:30:00", "이마트", 20_900), "대전")
}

fn schema(table: &str) -> SchemaRef {
    Arc::clone(&parsed(JOB).view(table).unwrap().schema)
}

/// The flags in a directory of tables, sorted.
fn flags(out: &Path) -> Vec<String> {
    let schema = schema("anomalies");
    let batch = published::table(&out.join("anomalies"), &schema);
    let names = ["rule", "transaction_id", "related_id", "score"];
    let places: Vec<usize> = names.map(|name| schema.index_of(name).unwrap()).to_vec();
    let rows = published::text(&batch.project(&places).unwrap());
    let mut rows: Vec<String> = rows.iter().map(|row| row.join(" ")).collect();
    rows.sort();
    rows
}

/// The flags after a run without a state over one file.
fn flags_of(rows: &[String], more: &[&str]) -> Vec<String> {
    let place = Place::new();
    place.deliver("rows.csv", file(rows));
    let _ = place.run(JOB, more).code(0);
    flags(&place.path("out"))
}

#[test]
fn fixture_has_exactly_its_flags() {
    let place = Place::new();
    place.deliver("rows.csv", file(&fixture()));
    let _ = place.run(JOB, &[]).code(0);
    assert_eq!(flags(&place.path("out")), FLAGS);
    let rules = fs::read_dir(place.path("out/anomalies")).unwrap();
    let rules = rules.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(rules.filter(|name| name.starts_with("rule=")).count(), 7);
}

#[test]
fn baselines_need_thirty_rows() {
    let outlier = |others: u64| {
        let mut rows = ordinary(others);
        rows.push(pay("X", 1999, "03-05 12:10:00", "눈높이", 100_000));
        rows
    };
    assert_eq!(flags_of(&outlier(28), &[]), [""; 0]);
    assert_eq!(flags_of(&outlier(29), &[]), ["amount_outlier X  5.38"]);
}

#[test]
fn deviations_are_compared_as_whole_numbers() {
    // One row among n - 1 equal ones is exactly the square root of n - 1 deviations above the mean.
    let rows = |n: u64| {
        let row = |i: u64| {
            let (card, at) = (
                1000 + u32::try_from(i).unwrap(),
                format!("02-{:02} 12:00:00", i + 1),
            );
            pay(
                &format!("A{i}"),
                card,
                &at,
                "CU",
                if i == 0 { 7_700 } else { 3_300 },
            )
        };
        (0..n).map(row).collect::<Vec<_>>()
    };
    let least = ["--set", "baseline_min=2"];
    assert_eq!(flags_of(&rows(25), &least), [""; 0]);
    assert_eq!(flags_of(&rows(26), &least), ["amount_outlier A0  5.00"]);
    // Equal amounts have no deviation.
    let equal: Vec<_> = rows(28).split_off(1);
    assert_eq!(
        flags_of(
            &equal,
            &["--set", "baseline_min=2", "--set", "amount_deviations=0"]
        ),
        [""; 0]
    );
}

#[test]
fn hours_with_a_spike_are_found_to_the_payment() {
    let spikes = |hours: u32, payments: u32, more: &[&str]| {
        let place = Place::new();
        let usual = (1..hours).map(|day| {
            let at = format!("{:02}-{:02} 12:10:00", day / 28 + 1, day % 28 + 1);
            pay(&format!("A{day}"), 4000 + day, &at, "CU", 3_000)
        });
        let spike = (0..payments).map(|n| {
            let at = format!("03-05 12:{:02}:00", 2 * n);
            pay(&format!("S{n}"), 5000 + n, &at, "CU", 3_000)
        });
        place.deliver("rows.csv", file(&usual.chain(spike).collect::<Vec<_>>()));
        let _ = place.run(JOB, more).code(0);
        assert_eq!(flags(&place.path("out")), [""; 0]);
        place.rows("volume_spike", &schema("volume_spike"))
    };
    // Ten payments among 36 hours with one are exactly six deviations above the mean.
    let spike = ["CU|2024-03-05 12:00:00|10|37|6.00"];
    assert_eq!(spikes(37, 10, &[]), spike);
    assert_eq!(spikes(36, 10, &[]), [""; 0]);
    assert_eq!(spikes(37, 9, &[]), [""; 0]);
    assert_eq!(
        spikes(37, 9, &["--set", "volume_min=9"]),
        ["CU|2024-03-05 12:00:00|9|37|6.00"]
    );
    assert_eq!(
        spikes(30, 10, &["--set", "volume_deviations=5"]),
        ["CU|2024-03-05 12:00:00|10|30|5.39"]
    );
    assert_eq!(spikes(29, 10, &["--set", "volume_deviations=5"]), [""; 0]);
}

#[test]
fn ids_break_ties_of_equal_seconds() {
    let at = "03-01 10:00:00";
    let same: Vec<_> = (1..=6)
        .rev()
        .map(|n| pay(&format!("B{n}"), 3001, at, "CU", 1_000 + n))
        .collect();
    assert_eq!(
        flags_of(&same, &[]),
        ["burst B5 B1 0.00", "burst B6 B2 0.00"]
    );

    let spree: Vec<_> = [1, 2, 3]
        .map(|n| pay(&format!("C{n}"), 3001, at, "쿠팡", 1_000_000 + n))
        .to_vec();
    let won = "3000006.00";
    assert_eq!(
        flags_of(&spree, &[]),
        [1, 2, 3].map(|n| format!("spree C{n}  {won}"))
    );

    let double = [
        pay("E2", 3001, at, "CU", 3_000),
        pay("E1", 3001, at, "CU", 3_000),
    ];
    assert_eq!(flags_of(&double, &[]), ["double_payment E2 E1 0.00"]);

    let tested = |last: &str| {
        let mut rows = ["G1", "G2", "G3"]
            .map(|id| declined(&pay(id, 3001, at, "CU", 3_000)))
            .to_vec();
        rows.push(pay(last, 3001, at, "CU", 3_100));
        flags_of(&rows, &[])
    };
    assert_eq!(tested("G4"), ["tested_card G4 G1 0.00"]);
    assert_eq!(tested("G25"), [""; 0]);
}

#[test]
fn thresholds_are_variables() {
    // A variable, its value, and the flags that come (+) or go (-) with it.
    for (variable, value, change) in [
        ("baseline_min", "41", ""),
        ("baseline_min", "42", "-amount_outlier A40  6.30"),
        ("amount_deviations", "6", ""),
        ("amount_deviations", "7", "-amount_outlier A40  6.30"),
        ("burst_seconds", "601", "+burst B10 B6 601.00"),
        ("burst_seconds", "599", "-burst B5 B1 600.00"),
        ("spree_won", "3200099", ""),
        ("spree_won", "3200100", "-spree C2  3200100.00"),
        (
            "double_payment_seconds",
            "61",
            "+double_payment E3 E2 61.00",
        ),
        (
            "double_payment_seconds",
            "59",
            "-double_payment E2 E1 60.00",
        ),
        (
            "large_amount_won",
            "9999999",
            "+large_amount F1  10000000.00",
        ),
        (
            "large_amount_won",
            "10000100",
            "-large_amount F2  10000100.00",
        ),
        ("tested_card_seconds", "539", "-tested_card G4 G1 540.00"),
    ] {
        let found = flags_of(&fixture(), &["--set", &format!("{variable}={value}")]);
        let mut expected = FLAGS.map(str::to_owned).to_vec();
        expected.extend(change.strip_prefix('+').map(str::to_owned));
        expected.retain(|flag| Some(flag.as_str()) != change.strip_prefix('-'));
        expected.sort();
        assert_eq!(found, expected, "{variable}={value}");
    }
}
