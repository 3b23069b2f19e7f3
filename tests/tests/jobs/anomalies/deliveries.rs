//! Flags follow deliveries that are late, corrected or withdrawn.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use tidewater_tests::binary::{snapshot, tidewater};
use tidewater_tests::maintained::Maintained;
use tidewater_tests::{csv, published, shapes};

use super::{FLAGS, JOB, TABLES, file, fixture, flags, late_stop, ordinary, pay, schema};
use crate::place::{parsed, sql};

/// The changes of a table in an epoch, as `count rule transaction related score`.
fn changes(place: &Maintained, epoch: &str) -> Vec<String> {
    let state = place.path("state");
    let arguments = ["changes", "anomalies", "--state", state.to_str().unwrap()];
    let ran = tidewater(&[&arguments[..], &["--epoch", epoch, "--format", "csv"]].concat()).code(0);
    let mut records = csv::parse(&ran.stdout).into_iter();
    let header: Vec<_> = records.next().into_iter().flatten().flatten().collect();
    let names = ["_count", "rule", "transaction_id", "related_id", "score"];
    let change = |record: csv::Record| {
        let of = |name: &str| header.iter().position(|column| column == name).unwrap();
        names
            .map(|name| record[of(name)].clone().unwrap_or_default())
            .join(" ")
    };
    records.map(change).collect()
}

#[test]
fn flags_of_others_follow_a_late_row() {
    let place = Maintained::new(&sql(JOB));
    let (first, others): (Vec<_>, Vec<_>) = fixture()
        .into_iter()
        .partition(|row| row.starts_with("D1,"));
    place.deliver("d1.csv", file(&first), 0);
    place.deliver("others.csv", file(&others), 0);
    let _ = place.commits(&[]);
    assert_eq!(flags(&place.path("out")), FLAGS);

    place.deliver("d9.csv", file(&[late_stop()]), 0);
    let _ = place.commits(&[]);
    let (old, new) = (
        "impossible_travel D2 D1 3899.00",
        "impossible_travel D2 D9 2099.00",
    );
    assert_eq!(
        changes(&place, "2"),
        [format!("-1 {old}"), format!("1 {new}")]
    );
    place.assert_cold();

    place.withdraw("d1.csv");
    let _ = place.commits(&[]);
    assert_eq!(changes(&place, "3"), [""; 0]);
    place.assert_cold();

    place.withdraw("d9.csv");
    let _ = place.commits(&[]);
    assert_eq!(changes(&place, "4"), [format!("-1 {new}")]);
    let left: Vec<_> = FLAGS.into_iter().filter(|flag| *flag != old).collect();
    assert_eq!(flags(&place.path("out")), left);
    place.assert_cold();
}

#[test]
fn a_correction_moves_a_row_between_cards() {
    let burst = |card: u32| -> Vec<String> {
        let row = |n: u32| {
            let at = format!("03-01 10:{:02}:00", 2 * n);
            pay(&format!("{card}-{n}"), card, &at, "CU", u64::from(card + n))
        };
        (1..=5).map(row).collect()
    };
    let place = Maintained::new(&sql(JOB));
    let (whole, mut part) = (burst(3001), burst(3002));
    let moved = part.remove(2);
    let wrong = moved.replace("-3002,", "-3001,");
    place.deliver("rows.csv", file(&[whole, part].concat()), 0);
    place.deliver("correct.csv", file(std::slice::from_ref(&wrong)), 0);
    let _ = place.commits(&[]);
    // 3002-3 is between 3001-3 and 3001-4 there, since ids break the tie at 10:06.
    assert_eq!(
        flags(&place.path("out")),
        ["burst 3001-4 3001-1 360.00", "burst 3001-5 3001-2 360.00"]
    );
    place.deliver("correct.csv", file(&[moved]), 1);
    let _ = place.commits(&[]);
    assert_eq!(
        flags(&place.path("out")),
        ["burst 3001-5 3001-1 480.00", "burst 3002-5 3002-1 480.00"]
    );
    assert_eq!(changes(&place, "2").len(), 4);
    place.assert_cold();
}

#[test]
fn flags_of_a_withdrawn_day_go_and_come_back() {
    let days = [
        ("-01-", "A40"),
        ("-02-", "A40"),
        ("-03-05", "A40"),
        ("-03-01", "B5"),
        ("-03-02", "C2"),
        ("-03-03", "D2"),
        ("-03-04", "E2"),
        ("-03-06", "F1"),
        ("-03-07", "F2"),
        ("-03-08", "G4"),
    ];
    let place = Maintained::new(&sql(JOB));
    let rows_of = |day: &str| {
        let rows = fixture().into_iter();
        let rows: Vec<_> = rows
            .filter(|row| row.contains(&format!("2024{day}")))
            .collect();
        file(&rows)
    };
    for (day, _) in days {
        place.deliver(&format!("{day}.csv"), rows_of(day), 0);
    }
    let _ = place.commits(&[]);
    assert_eq!(flags(&place.path("out")), FLAGS);
    for (day, flagged) in days {
        place.withdraw(&format!("{day}.csv"));
        let _ = place.commits(&[]);
        let left = FLAGS.into_iter();
        let left: Vec<_> = left
            .filter(|flag| !flag.contains(&format!(" {flagged} ")))
            .collect();
        assert_eq!(flags(&place.path("out")), left, "without {day}");
        assert_eq!(left.len(), FLAGS.len() - 1);
        place.assert_cold();
        place.deliver(&format!("{day}.csv"), rows_of(day), 0);
        let _ = place.commits(&[]);
        assert_eq!(flags(&place.path("out")), FLAGS, "{day} again");
    }
}

#[test]
fn a_baseline_falls_below_thirty_rows_again() {
    let place = Maintained::new(&sql(JOB));
    let mut rows = ordinary(29);
    place.deliver("late.csv", file(&[rows.remove(0)]), 0);
    rows.push(pay("X", 1999, "03-05 12:10:00", "눈높이", 100_000));
    place.deliver("others.csv", file(&rows), 0);
    let _ = place.commits(&[]);
    assert_eq!(flags(&place.path("out")), ["amount_outlier X  5.38"]);
    place.withdraw("late.csv");
    let _ = place.commits(&[]);
    assert_eq!(changes(&place, "2"), ["-1 amount_outlier X  5.38"]);
    place.assert_cold();
}

#[test]
fn copies_of_a_row_are_a_duplicate_and_no_double_payment() {
    let place = Maintained::new(&sql(JOB));
    let row = [pay("E1", 3001, "03-01 10:00:00", "CU", 3_000)];
    place.deliver("once.csv", file(&row), 0);
    place.deliver("again.csv", file(&row), 0);
    let _ = place.commits(&[]);
    assert_eq!(flags(&place.path("out")), [""; 0]);
    let schema = schema("duplicate_id");
    let copies = || published::text(&published::table(&place.path("out/duplicate_id"), &schema));
    assert_eq!(copies(), [["E1", "2"]]);
    place.withdraw("again.csv");
    let _ = place.commits(&[]);
    assert!(copies().is_empty());
    place.assert_cold();
}

/// Histories of deliveries end with the same files, in whatever order they come.
#[test]
fn any_order_of_deliveries_gives_the_bytes_of_a_cold_run() {
    let mut parts = [Vec::new(), Vec::new(), Vec::new()];
    for (at, row) in fixture().into_iter().enumerate() {
        parts[at % 3].push(row);
    }
    let [first, second, corrected] = parts.map(|rows| file(&rows));
    let wrong = corrected
        .replace("-20", "-30")
        .replace("approved", "declined");
    let deliveries: [&dyn Fn(&Maintained); 4] = [
        &|place| place.deliver("first.csv", &first, 0),
        &|place| place.deliver("second.csv", &second, 0),
        &|place| place.deliver("corrected.csv", &corrected, 1),
        &|place| place.withdraw("bogus.csv"),
    ];
    let bogus = file(&[late_stop(), fixture().remove(40)]);
    let mut cold = None;
    for order in orders(deliveries.len()) {
        let place = Maintained::new(&sql(JOB));
        place.deliver("bogus.csv", &bogus, 0);
        place.deliver("corrected.csv", &wrong, 0);
        let _ = place.commits(&["--quiet", "--workers", "1"]);
        for delivery in &order {
            deliveries[*delivery](&place);
            let _ = place.commits(&["--quiet", "--workers", "1"]);
        }
        let cold = cold.get_or_insert_with(|| files(&place.cold()));
        assert_eq!(&files(&place.path("out")), cold, "order {order:?}");
        assert_eq!(flags(&place.path("out")), FLAGS);
    }
}

/// All orders of the numbers below `count`.
fn orders(count: usize) -> Vec<Vec<usize>> {
    (0..count).fold(vec![Vec::new()], |orders, last| {
        let longer = orders.iter().flat_map(|order| {
            (0..=last).map(move |place| {
                let mut order = order.clone();
                order.insert(place, last);
                order
            })
        });
        longer.collect()
    })
}

/// The files of the tables with their bytes. The marks, which name the state and the time of the commit, are left out.
fn files(out: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = snapshot(out);
    files.retain(|path, _| TABLES.iter().any(|table| path.starts_with(table)));
    files
}

/// Random rows come and go, several times each. The baselines are small, so that few rows have one.
#[test]
fn random_histories_equal_the_oracle() {
    let values = [
        ("baseline_min", "3"),
        ("amount_deviations", "1"),
        ("volume_min", "2"),
        ("volume_deviations", "1"),
    ];
    let text = filled(&sql(JOB), &values);
    let mut rows = fixture().split_off(30);
    rows.push(late_stop());
    let mut records = csv::parse(&file(&rows));
    let header: Vec<String> = records.remove(0).into_iter().flatten().collect();
    let job = parsed(JOB);
    let schema = &job.source("transactions").unwrap().spec.schema;
    let typed = published::typed(&header, &records, schema);
    let typed = RecordBatch::try_new(Arc::clone(schema), typed.columns().to_vec()).unwrap();
    shapes::check_rows("anomalies", &text, &[("transactions".to_owned(), typed)]);
}

/// A job whose variables have these values, or else their defaults.
fn filled(sql: &str, values: &[(&str, &str)]) -> String {
    let mut parts = sql.split("${");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let (variable, rest) = part.split_once('}').unwrap();
        let (name, default) = variable.split_once(":-").unwrap();
        let value = values.iter().find(|(of, _)| *of == name);
        text + value.map_or(default, |(_, value)| value) + rest
    })
}
