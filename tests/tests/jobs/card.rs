//! The card job over generated rows: compares the published tables with DataFusion's results for the same CSV rows.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use tidewater_tests::binary::{snapshot, tidewater};
use tidewater_tests::oracle::Oracle;
use tidewater_tests::rows::Table;
use tidewater_tests::{csv, published};

use crate::place::{CARD_TABLES, Place, parsed, sql};

const RECORDS: usize = 20_000;

#[test]
fn thirteen_tables_equal_the_oracles() {
    let place = Place::new();
    let input = place.path("in");
    let records = RECORDS.to_string();
    let generated = [
        "generate",
        "--records",
        &records,
        "--seed",
        "11",
        "--cards",
        "3000",
        "--quiet",
        "--out",
        input.to_str().unwrap(),
    ];
    let _ = tidewater(&generated).code(0);
    let summary = place
        .run("card.sql", &["--json", "--workers", "2"])
        .code(0)
        .json();
    assert_eq!(
        (&summary["rows_read"], &summary["rows_quarantined"]),
        (&RECORDS.into(), &0.into())
    );

    let job = parsed("card.sql");
    let rows = read(&input, &job.source("transactions").unwrap().spec.schema);
    assert_eq!(rows.num_rows(), RECORDS);
    let expected = Oracle::new(&sql("card.sql"))
        .unwrap()
        .run(&BTreeMap::from([("transactions".to_owned(), rows)]))
        .unwrap();
    for table in CARD_TABLES {
        let found = published::table(
            &place.path("out").join(table),
            &job.view(table).unwrap().schema,
        );
        let (found, expected) = (Table::of(&found), Table::of(&expected[table]));
        assert!(!expected.is_empty(), "{table}");
        if let Some(difference) = found.difference(&expected) {
            panic!("{table}: {difference}");
        }
        assert_eq!(summary["tables"][table]["rows"], found.len(), "{table}");
        assert_eq!(
            summary["tables"][table]["rows_inserted"],
            found.len(),
            "{table}"
        );
    }
}

/// The rows of a directory's CSV files, whose columns are in the order of `schema`.
fn read(dir: &Path, schema: &SchemaRef) -> RecordBatch {
    let mut columns: Vec<Vec<Option<String>>> = vec![Vec::new(); schema.fields().len()];
    for path in snapshot(dir).into_keys() {
        let mut records = csv::parse(&fs::read_to_string(dir.join(path)).unwrap()).into_iter();
        let header = records.next().unwrap();
        assert!(
            header
                .iter()
                .flatten()
                .eq(schema.fields().iter().map(|field| field.name())),
            "{header:?}"
        );
        for record in records {
            columns
                .iter_mut()
                .zip(record)
                .for_each(|(column, field)| column.push(field));
        }
    }
    let typed = columns
        .into_iter()
        .zip(schema.fields())
        .map(|(column, field)| {
            let texts: ArrayRef = Arc::new(StringArray::from(column));
            cast(&texts, field.data_type()).unwrap()
        });
    RecordBatch::try_new(Arc::clone(schema), typed.collect()).unwrap()
}
