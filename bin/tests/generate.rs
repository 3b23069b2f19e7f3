//! `tidewater generate`, compared with the contract of the card job's input.

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_precision_loss)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use common::{snapshot, text, tidewater};
use tempfile::TempDir;

const HEADER: &str = "transaction_id,transaction_date,card_no,card_type,merchant,sub_category,category,amount,\
                      installment_months,approval_status,region";

const CATEGORIES: [(&str, f64); 8] = [
    ("식비", 35.0),
    ("교통", 15.0),
    ("쇼핑", 25.0),
    ("문화", 8.0),
    ("의료", 5.0),
    ("교육", 5.0),
    ("통신", 4.0),
    ("보험", 3.0),
];

/// Weights. They add up to 95, and shares are relative to that sum.
const REGIONS: [(&str, f64); 8] = [
    ("서울", 35.0),
    ("경기", 25.0),
    ("인천", 10.0),
    ("부산", 8.0),
    ("대구", 6.0),
    ("대전", 5.0),
    ("광주", 4.0),
    ("제주", 2.0),
];

const STATUSES: [(&str, f64); 3] = [("approved", 95.0), ("declined", 3.0), ("cancelled", 2.0)];

fn generate(out: &Path, more: &[&str]) {
    let mut arguments = vec!["generate", "--quiet", "--out", text(out)];
    arguments.extend(more);
    let ran = tidewater(&arguments).expect_code(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
}

/// Rows of all files in name order, each with its file's name. Headers are checked and left out.
fn rows(dir: &Path) -> Vec<(String, Vec<String>)> {
    let mut rows = Vec::new();
    for (name, bytes) in snapshot(dir) {
        let content = String::from_utf8(bytes).unwrap();
        assert!(content.ends_with('\n'), "{}", name.display());
        let mut lines = content.lines();
        assert_eq!(lines.next(), Some(HEADER));
        for line in lines {
            rows.push((
                name.display().to_string(),
                line.split(',').map(str::to_owned).collect(),
            ));
        }
    }
    rows
}

/// Asserts that the shares of a column's values, in percent, are those of the weights within `tolerance`.
fn assert_shares(
    rows: &[(String, Vec<String>)],
    column: usize,
    weights: &[(&str, f64)],
    tolerance: f64,
) {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for (_, row) in rows {
        *counts.entry(&row[column]).or_default() += 1;
    }
    let sum: f64 = weights.iter().map(|(_, weight)| weight).sum();
    assert_eq!(counts.len(), weights.len(), "{counts:?}");
    for (value, weight) in weights {
        let share = 100.0 * f64::from(counts[value]) / rows.len() as f64;
        let wanted = 100.0 * weight / sum;
        assert!(
            (share - wanted).abs() < tolerance,
            "{value}: {share:.2} % instead of {wanted:.2} %"
        );
    }
}

#[test]
fn a_year_keeps_the_contract() {
    let dir = TempDir::new().unwrap();
    generate(dir.path(), &["--records", "200000"]);
    let bytes: usize = snapshot(dir.path()).values().map(Vec::len).sum();
    assert!(
        (110..=118).contains(&(bytes / 200_000)),
        "{} bytes a row",
        bytes / 200_000
    );
    let rows = rows(dir.path());
    assert_eq!(rows.len(), 200_000);

    assert_shares(&rows, 6, &CATEGORIES, 0.5);
    assert_shares(&rows, 9, &STATUSES, 0.3);
    assert_shares(&rows, 10, &REGIONS, 0.5);

    let mut hours = [0u32; 24];
    let mut days: BTreeMap<&str, u32> = BTreeMap::new();
    let mut cards = BTreeSet::new();
    let mut instalments = 0u32;
    for (number, (file, row)) in (1u32..).zip(&rows) {
        let [id, time, card, card_type, _, _, _, amount, months, _, _] = row.as_slice() else {
            panic!("{row:?} is not eleven columns");
        };
        assert_eq!(id, &format!("TXN{number:010}"));
        let (date, clock) = time.split_once(' ').unwrap();
        assert_eq!(file, &format!("{date}.csv"));
        *days.entry(date).or_default() += 1;
        let clock: Vec<usize> = clock.split(':').map(|part| part.parse().unwrap()).collect();
        assert!(
            clock.len() == 3 && clock[0] < 24 && clock[1] < 60 && clock[2] < 60 && time.len() == 19,
            "{time}"
        );
        hours[clock[0]] += 1;
        let suffix: u32 = card
            .strip_prefix("****-****-****-")
            .unwrap()
            .parse()
            .unwrap();
        assert!((1_000..10_000).contains(&suffix), "{card}");
        cards.insert(suffix);
        assert!(card_type == "신용" || card_type == "체크", "{card_type}");
        let amount: u64 = amount.parse().unwrap();
        assert!(amount > 0 && amount.is_multiple_of(100), "{amount}");
        let months: u32 = months.parse().unwrap();
        if months > 0 {
            assert!(card_type == "신용" && amount >= 50_000, "{row:?}");
            instalments += 1;
        }
    }
    assert_eq!(cards.len(), 9_000);
    assert!(instalments > 5_000, "{instalments}");
    assert_eq!(days.len(), 366);
    assert!(
        days.values().all(|count| (380..720).contains(count)),
        "{days:?}"
    );
    for peak in [12, 19] {
        assert!(
            hours[peak] > hours[peak - 1] && hours[peak] > hours[peak + 1],
            "{hours:?}"
        );
        assert!(hours[peak] > 200_000 / 24, "{hours:?}");
    }
}

#[test]
fn merchants_and_amounts_belong_to_their_category() {
    let dir = TempDir::new().unwrap();
    generate(dir.path(), &["--records", "200000", "--files", "single"]);
    let rows = rows(dir.path());
    let mut merchants: BTreeMap<&str, BTreeSet<(&str, &str)>> = BTreeMap::new();
    let mut amounts: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (_, row) in &rows {
        merchants
            .entry(&row[4])
            .or_default()
            .insert((&row[5], &row[6]));
        amounts
            .entry(&row[6])
            .or_default()
            .push(row[7].parse().unwrap());
    }
    assert!(
        (55..=65).contains(&merchants.len()),
        "{} merchants",
        merchants.len()
    );
    assert!(
        merchants.values().all(|places| places.len() == 1),
        "{merchants:?}"
    );
    for (category, mut amounts) in amounts {
        amounts.sort_unstable();
        let (least, greatest) = (amounts[0] as f64, amounts[amounts.len() - 1] as f64);
        let median = amounts[amounts.len() / 2] as f64;
        // The sample's range ends below the category's upper end, so the ratio seems larger than a third.
        let place = (median - least) / (greatest - least);
        assert!(
            (0.28..0.48).contains(&place),
            "{category}: the median {median} is at {place:.2} of the range"
        );
    }
}

#[test]
fn same_seed_same_bytes_whatever_the_workers() {
    let range = [
        "--records",
        "60000",
        "--start",
        "2024-02-27",
        "--end",
        "2024-03-01",
        "--seed",
        "7",
    ];
    let mut versions = Vec::new();
    for workers in ["1", "2", "3", "7"] {
        let dir = TempDir::new().unwrap();
        generate(dir.path(), &[&range[..], &["--workers", workers]].concat());
        versions.push(snapshot(dir.path()));
    }
    assert_eq!(versions[0].len(), 4);
    assert!(versions.iter().all(|version| version == &versions[0]));

    let other = TempDir::new().unwrap();
    generate(other.path(), &[&range[..6], &["--seed", "8"]].concat());
    assert_ne!(snapshot(other.path()), versions[0]);
}

#[test]
fn one_file_is_the_daily_files_joined() {
    let range = [
        "--records",
        "50000",
        "--start",
        "2023-12-30",
        "--end",
        "2024-01-02",
    ];
    let (daily, single) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    generate(daily.path(), &range);
    generate(
        single.path(),
        &[&range[..], &["--files", "single", "--workers", "3"]].concat(),
    );
    let lines = |dir: &TempDir| {
        rows(dir.path())
            .into_iter()
            .map(|(_, row)| row)
            .collect::<Vec<_>>()
    };
    assert_eq!(lines(&daily), lines(&single));
    assert_eq!(
        snapshot(single.path()).into_keys().collect::<Vec<_>>(),
        [Path::new("transactions.csv")]
    );
}

#[test]
fn the_bytes_of_a_seed_never_change() {
    let dir = TempDir::new().unwrap();
    generate(
        dir.path(),
        &[
            "--records",
            "3",
            "--start",
            "2024-03-10",
            "--end",
            "2024-03-11",
        ],
    );
    let lines: Vec<String> = rows(dir.path())
        .into_iter()
        .map(|(_, row)| row.join(","))
        .collect();
    assert_eq!(lines, PINNED);
}

const PINNED: [&str; 3] = [
    "TXN0000000001,2024-03-11 19:33:11,****-****-****-7107,신용,롯데리아,패스트푸드,식비,15200,0,approved,서울",
    "TXN0000000002,2024-03-11 17:26:59,****-****-****-8544,체크,이마트,대형마트,쇼핑,211000,0,approved,서울",
    "TXN0000000003,2024-03-11 08:56:10,****-****-****-5353,신용,GS칼텍스,주유,교통,52500,12,approved,경기",
];

#[test]
fn anomalies_are_planted_beside_the_same_number_of_rows() {
    let options = [
        "--records",
        "5000",
        "--anomalies",
        "3",
        "--end",
        "2024-06-30",
    ];
    let mut versions = Vec::new();
    for more in [
        &["--workers", "1"][..],
        &["--workers", "3"],
        &["--files", "single"],
    ] {
        let dir = TempDir::new().unwrap();
        let out = dir.path().join("data");
        generate(&out, &[&options[..], more].concat());
        let rows: Vec<_> = rows(&out).into_iter().map(|(_, row)| row).collect();
        versions.push((
            rows,
            fs::read_to_string(dir.path().join("data-planted.csv")).unwrap(),
        ));
    }
    assert!(versions.iter().all(|version| version == &versions[0]));

    let (rows, planted) = &versions[0];
    let mut rules: BTreeMap<&str, u32> = BTreeMap::new();
    for line in planted.lines().skip(1) {
        *rules.entry(line.split(',').next().unwrap()).or_default() += 1;
    }
    assert_eq!(rules.len(), 9);
    assert!(rules.values().all(|cases| *cases == 3), "{rules:?}");
    // Ids ascend, and each duplicate has the id of the row before.
    let ids: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    assert!(ids.is_sorted());
    let repeated = ids.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert_eq!(repeated, 3);
    let last = format!("TXN{:010}", rows.len() - repeated);
    assert_eq!(ids.last(), Some(&last.as_str()));
    assert!((5_100..6_000).contains(&rows.len()), "{}", rows.len());
}

#[test]
fn cards_with_anomalies_have_one_home() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("data");
    generate(&out, &["--records", "100000", "--anomalies", "2"]);
    let mut regions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let rows = rows(&out);
    for (_, row) in &rows {
        let of_card = regions.entry(row[2].clone()).or_default();
        of_card.insert(row[10].clone());
    }
    assert!(
        (8_990..=9_000).contains(&regions.len()),
        "{}",
        regions.len()
    );
    let travelled = regions.values().filter(|regions| regions.len() > 1);
    assert_eq!(travelled.count(), 2);
    assert_shares(&rows, 10, &REGIONS, 1.5);
}

#[test]
fn anomalies_without_room_are_refused() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("data");
    for (more, message) in [
        (&["--anomalies", "0"][..], "0 is not in 1..=1000"),
        (
            &["--anomalies", "5", "--cards", "8996"],
            "give at most --cards 8995",
        ),
        (
            &["--anomalies", "5", "--cards", "50000"],
            "give at most --cards 8995",
        ),
        (
            &["--anomalies", "5", "--end", "2024-02-16"],
            "48 days of one quarter",
        ),
        (
            &["--anomalies", "500", "--end", "2024-03-31"],
            "more than the 210 cases",
        ),
        (
            &["--anomalies", "1", "--records", "9999999999"],
            "give fewer --records",
        ),
    ] {
        let records = ["generate", "--records", "10", "--out", text(&out)];
        let given = more.contains(&"--records");
        let records = if given {
            &[records[0], records[3], records[4]][..]
        } else {
            &records
        };
        let ran = tidewater(&[records, more].concat());
        ran.expect_code(2).expect_stderr(message);
        assert!(!out.exists());
    }
}

#[test]
fn days_without_rows_have_a_file_with_a_header() {
    let dir = TempDir::new().unwrap();
    generate(dir.path(), &["--records", "1", "--end", "2024-01-31"]);
    assert_eq!(snapshot(dir.path()).len(), 31);
    assert_eq!(rows(dir.path()).len(), 1);
}

#[test]
fn a_small_pool_has_as_many_cards() {
    let dir = TempDir::new().unwrap();
    generate(
        dir.path(),
        &["--records", "5000", "--cards", "25", "--files", "single"],
    );
    let cards: BTreeSet<String> = rows(dir.path())
        .into_iter()
        .map(|(_, row)| row[2].clone())
        .collect();
    assert_eq!(cards.len(), 25);
}

#[test]
fn the_closing_line_counts_rows_files_and_bytes() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("new/folder");
    let arguments = [
        "generate",
        "--records",
        "1_000",
        "--out",
        text(&out),
        "--end",
        "2024-01-02",
    ];
    let ran = tidewater(&arguments)
        .expect_code(0)
        .expect_stdout("1,000 rows in 2 files")
        .expect_stdout("kB");
    assert_eq!(ran.stdout.lines().count(), 1);
    // Without a terminal, there is a line at the start and one at the end.
    assert_eq!(ran.stderr.lines().count(), 2, "{}", ran.stderr);
}

#[test]
fn a_directory_with_other_csv_files_is_refused() {
    let dir = TempDir::new().unwrap();
    let arguments = [
        "generate",
        "--records",
        "100",
        "--out",
        text(dir.path()),
        "--end",
        "2024-01-03",
    ];
    fs::write(dir.path().join("notes.txt"), "kept").unwrap();
    tidewater(&arguments).expect_code(0);
    // Its own files are replaced.
    tidewater(&arguments).expect_code(0);

    let before = snapshot(dir.path());
    let shorter = [
        "generate",
        "--records",
        "100",
        "--out",
        text(dir.path()),
        "--end",
        "2024-01-02",
    ];
    tidewater(&shorter)
        .expect_code(1)
        .expect_stderr("2024-01-03.csv")
        .expect_stderr("--force");
    let single = [&arguments[..], &["--files", "single"]].concat();
    tidewater(&single)
        .expect_code(1)
        .expect_stderr("3 CSV files")
        .expect_stderr("remove them");
    assert_eq!(snapshot(dir.path()), before);

    tidewater(&[&single[..], &["--force"]].concat()).expect_code(0);
    let after = snapshot(dir.path());
    assert_eq!(after.len(), before.len() + 1);
    assert!(before.iter().all(|(name, bytes)| after[name] == *bytes));
}

#[test]
fn a_place_that_cannot_be_written_is_an_error() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    tidewater(&["generate", "--records", "1", "--out", text(&file)])
        .expect_code(1)
        .expect_stderr("--out");

    // A directory has the file's name. The temporary file must be removed.
    let blocked = dir.path().join("blocked");
    fs::create_dir_all(blocked.join("2024-01-01.csv/inner")).unwrap();
    tidewater(&[
        "generate",
        "--records",
        "1",
        "--out",
        text(&blocked),
        "--end",
        "2024-01-01",
    ])
    .expect_code(1)
    .expect_stderr("cannot rename");
    assert!(snapshot(&blocked).is_empty());
}
