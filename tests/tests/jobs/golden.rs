//! Small checked-in inputs and their expected tables, compared row by row in the published order.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tidewater_engine::Job;
use tidewater_tests::binary::repository;
use tidewater_tests::{csv, published};

use crate::place::{CARD_TABLES, Place, parsed};

#[test]
fn card() {
    let place = Place::new();
    let data = repository().join("tests/data/card");
    let ran = place
        .run_between(
            "card.sql",
            &data.join("input"),
            &place.path("out"),
            &["--json"],
        )
        .code(0);
    let summary = ran.json();
    assert_eq!(
        (&summary["rows_read"], &summary["rows_quarantined"]),
        (&38.into(), &1.into())
    );
    let expected = data.join("expected");
    let job = parsed("card.sql");
    for table in CARD_TABLES {
        compare(&job, table, &place.path("out"), &expected);
    }
    let quarantined = published::text(&place.quarantine());
    let records = csv::parse(&fs::read_to_string(expected.join("quarantine.csv")).unwrap());
    assert_eq!(quarantined.len(), records.len() - 1);
    for (row, record) in quarantined.iter().zip(&records[1..]) {
        let [file, line, byte_offset, column, reason, raw] = &row[..] else {
            panic!("{row:?}")
        };
        let file = Path::new(file).file_name().unwrap().to_str().unwrap();
        let row: Vec<Option<String>> = [file, line, byte_offset, column, raw]
            .map(|text| Some(text.to_owned()))
            .to_vec();
        assert_eq!(row, *record);
        assert!(reason.contains("구천") || !reason.is_empty(), "{reason}");
    }
}

#[test]
fn library() {
    small(
        "library",
        "samples/library",
        &["search_results", "book_demand", "tag_demand"],
    );
}

#[test]
fn employees() {
    small("employees", "samples/employees.csv", &["department_pay"]);
}

fn small(name: &str, input: &str, tables: &[&str]) {
    let place = Place::new();
    let job = format!("{name}.sql");
    let input = repository().join("jobs").join(input);
    let ran = place
        .run_between(&job, &input, &place.path("out"), &["--json"])
        .code(0);
    assert_eq!(ran.json()["rows_quarantined"], 0);
    let job = parsed(&job);
    for table in tables {
        compare(
            &job,
            table,
            &place.path("out"),
            &repository().join("tests/data").join(name).join("expected"),
        );
    }
}

/// Rows as text, by the directory of their file.
type Files = BTreeMap<PathBuf, Vec<Vec<String>>>;

/// Compares a published table with its expected rows: the same rows in each partition, in the same order.
fn compare(job: &Job, table: &str, output: &Path, expected: &Path) {
    let schema = &job.view(table).unwrap().schema;
    let mut published = Files::new();
    for (path, batch) in published::files(&output.join(table), schema) {
        published
            .entry(path.parent().unwrap().to_owned())
            .or_default()
            .extend(published::text(&batch));
    }
    let records =
        csv::parse(&fs::read_to_string(expected.join(table).with_extension("csv")).unwrap());
    let header: Vec<&str> = records[0].iter().flatten().map(String::as_str).collect();
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    assert_eq!(names, header, "columns of {table}");
    let sink = job.sinks.iter().find(|sink| sink.view == table).unwrap();
    let mut wanted = Files::new();
    for record in &records[1..] {
        let row: Vec<String> = record
            .iter()
            .map(|field| field.clone().unwrap_or_default())
            .collect();
        let partition = sink
            .directory()
            .unwrap()
            .partition_by
            .iter()
            .map(|column| format!("{}={}", names[*column], row[*column]));
        wanted.entry(partition.collect()).or_default().push(row);
    }
    assert_eq!(published, wanted, "{table}");
}
