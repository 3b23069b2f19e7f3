//! The files of a table, and the tables that are refused.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, DurationSecondArray, Float64Array, Int64Array, ListArray, NullArray, StringArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::Int64Type;

use super::super::{DEFAULT_SHARD_BYTES, quarantine_spec, rejected_to_batch};
use super::*;
use tidewater_contract::sink::SortKey;
use tidewater_contract::source::Rejected;

fn numbers(name: &str, values: impl IntoIterator<Item = i64>) -> RecordBatch {
    batch(vec![(name, Arc::new(Int64Array::from_iter_values(values)))])
}

fn sales(regions: &[Option<&str>]) -> RecordBatch {
    let amounts = Int64Array::from_iter_values(0..regions.len() as i64);
    batch(vec![
        ("region", Arc::new(StringArray::from(regions.to_vec()))),
        ("amount", Arc::new(amounts)),
    ])
}

#[test]
fn partitions_are_directories_and_leave_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let table = sales(&[Some("서울"), None, Some("a/b"), Some("서울")]);
    let table_spec = spec(directory.path().join("t"), &table, &[0], "csv");
    let written = run_plainly(&table_spec, vec![(table, 1)]).unwrap();
    assert_eq!((written.rows, written.files), (4, 3));
    assert_eq!(
        names(&table_spec.path),
        [
            "region=__HIVE_DEFAULT_PARTITION__/part-00000.csv",
            "region=a%2Fb/part-00000.csv",
            "region=서울/part-00000.csv"
        ]
    );
    assert_eq!(
        fs::read(table_spec.path.join("region=서울/part-00000.csv")).unwrap(),
        b"amount\n0\n3\n"
    );
    assert_eq!(
        rows(&written.preview),
        ["NULL|1", "a/b|2", "서울|0", "서울|3"]
    );
}

#[test]
fn a_table_without_rows() {
    let table = sales(&[Some("서울")]);
    for (format, expected) in [("csv", "region,amount\n"), ("json", "")] {
        let directory = tempfile::tempdir().unwrap();
        let table_spec = spec(directory.path().join("t"), &table, &[], format);
        let written =
            run_plainly(&table_spec, vec![(table.clone(), 1), (table.clone(), -1)]).unwrap();
        assert_eq!(
            (written.rows, written.files, written.preview.num_columns()),
            (0, 1, 2)
        );
        assert_eq!(
            content(&table_spec.path).into_values().collect::<Vec<_>>(),
            [expected.as_bytes()]
        );
    }
    let directory = tempfile::tempdir().unwrap();
    let table_spec = spec(directory.path().join("t"), &table, &[0], "parquet");
    let written = run_plainly(&table_spec, vec![(table.clone(), -1), (table, 1)]).unwrap();
    assert_eq!((written.rows, written.files), (0, 0));
    assert_eq!(
        fs::read_dir(&table_spec.path).unwrap().count(),
        0,
        "no directory of an empty partition"
    );

    let empty = spec(
        directory.path().join("u"),
        &numbers("n", []),
        &[],
        "parquet",
    );
    run(&empty, &[], 0, WriteOptions::default()).unwrap();
    assert_eq!(
        (names(&empty.path), read_parquet(&empty.path).len()),
        (vec!["part-00000.parquet".to_owned()], 0)
    );
}

#[test]
fn large_partitions_go_on_in_the_next_file() {
    let directory = tempfile::tempdir().unwrap();
    let table_spec = spec(directory.path().join("t"), &numbers("n", []), &[], "csv");
    for (rows, expected) in [(0, 1), (9, 1), (10, 1), (11, 2), (20_005, 2001)] {
        let options = WriteOptions {
            file_rows_max: 10,
            ..WriteOptions::default()
        };
        let written = run(&table_spec, &[vec![(numbers("n", 0..rows), 1)]], 1, options).unwrap();
        assert_eq!((written.rows, written.files), (rows as u64, expected));
        let text = content(&table_spec.path)
            .into_values()
            .map(|bytes| String::from_utf8(bytes).unwrap());
        let lines: Vec<i64> = text
            .flat_map(|text| {
                text.lines()
                    .skip(1)
                    .map(|l| l.parse().unwrap())
                    .collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(lines, (0..rows).collect::<Vec<_>>());
    }
}

#[test]
fn a_row_comes_as_often_as_its_diffs_sum_up_to() {
    let directory = tempfile::tempdir().unwrap();
    let table_spec = spec(directory.path().join("t"), &numbers("n", []), &[], "csv");
    let one = |value| numbers("n", [value]);
    let pushes = vec![
        (one(7), 20_000),
        (one(8), 3),
        (one(9), -4),
        (one(8), -3),
        (one(9), 5),
        (one(7), 0),
    ];
    for budget_bytes in [0, usize::MAX] {
        run(
            &table_spec,
            std::slice::from_ref(&pushes),
            budget_bytes,
            WriteOptions::default(),
        )
        .unwrap();
        let text = fs::read_to_string(table_spec.path.join("part-00000.csv")).unwrap();
        assert_eq!(text, format!("n\n{}9\n", "7\n".repeat(20_000)));
    }
}

#[test]
fn a_row_retracted_too_often_is_shown_and_nothing_changes() {
    let directory = tempfile::tempdir().unwrap();
    let table = sales(&[Some("서울"), Some("부산")]);
    let table_spec = spec(directory.path().join("t"), &table, &[0], "csv");
    run_plainly(&table_spec, vec![(table.clone(), 1)]).unwrap();
    let before = content(directory.path());
    for budget_bytes in [0, usize::MAX] {
        let pushes = vec![(table.clone(), 1), (table.slice(1, 1), -3)];
        let error = run(
            &table_spec,
            &[pushes],
            budget_bytes,
            WriteOptions::default(),
        )
        .unwrap_err()
        .to_string();
        assert!(
            error.contains("sales") && error.contains("amount=1") && error.contains("-2"),
            "{error}"
        );
        assert_eq!(content(directory.path()), before);
    }
}

#[test]
fn diffs_that_overflow_are_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let table_spec = spec(directory.path().join("t"), &numbers("n", []), &[], "csv");
    let pushes = vec![(numbers("n", [1]), i64::MAX), (numbers("n", [1]), 1)];
    for budget_bytes in [0, usize::MAX] {
        let error = run(
            &table_spec,
            std::slice::from_ref(&pushes),
            budget_bytes,
            WriteOptions::default(),
        )
        .unwrap_err();
        assert!(matches!(error, SinkError::Sort { .. }), "{error}");
    }
}

#[test]
fn tables_that_cannot_be_written_are_refused_before_any_row() {
    let text = || -> ArrayRef { Arc::new(StringArray::from(vec!["a"])) };
    let list = || -> ArrayRef {
        Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([Some([
            Some(1),
        ])]))
    };
    let cases: Vec<(Vec<(&str, ArrayRef)>, &[usize], &str, &str)> = vec![
        (
            vec![("a", text())],
            &[0],
            "parquet",
            "leave at least one out",
        ),
        (vec![("a", text())], &[1], "parquet", "does not have"),
        (
            vec![("a", text()), ("b", text())],
            &[0, 0],
            "parquet",
            "already names",
        ),
        (vec![("a", list())], &[], "csv", "PARQUET or JSON"),
        (
            vec![("a", list()), ("b", text())],
            &[0],
            "parquet",
            "PARTITIONED BY cannot hold column a",
        ),
        (
            vec![
                ("a", Arc::new(Float64Array::from(vec![1.0]))),
                ("b", text()),
            ],
            &[0],
            "csv",
            "PARTITIONED BY",
        ),
        (
            vec![("a", Arc::new(NullArray::new(1)))],
            &[],
            "parquet",
            "cast it",
        ),
        (
            vec![("a", Arc::new(DurationSecondArray::from(vec![1])))],
            &[],
            "parquet",
            "cast it",
        ),
    ];
    let directory = tempfile::tempdir().unwrap();
    for (columns, partition_by, format, expected) in cases {
        let table = batch(columns);
        let table_spec = spec(directory.path().join("t"), &table, partition_by, format);
        let error = run_plainly(&table_spec, vec![(table, 1)])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("sales") && error.contains(expected),
            "{error}"
        );
    }
    let mut table_spec = spec(directory.path().join("t"), &numbers("n", []), &[], "csv");
    table_spec.order_by = vec![SortKey {
        column: 3,
        descending: false,
        nulls_first: false,
    }];
    assert!(
        run_plainly(&table_spec, vec![])
            .unwrap_err()
            .to_string()
            .contains("ORDER BY")
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn batches_that_are_not_the_tables_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let table_spec = spec(directory.path().join("t"), &numbers("n", []), &[], "csv");
    let two = batch(vec![
        ("n", Arc::new(Int64Array::from(vec![1]))),
        ("m", Arc::new(Int64Array::from(vec![1]))),
    ]);
    let text = batch(vec![("n", Arc::new(StringArray::from(vec!["1"])))]);
    for (wrong, expected) in [
        (two, "number 2"),
        (text, "column n should be Int64 but a batch brought Utf8"),
    ] {
        let error = run_plainly(&table_spec, vec![(wrong, 1)])
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_value_that_the_format_cannot_hold_names_table_file_and_column() {
    let directory = tempfile::tempdir().unwrap();
    let table = batch(vec![(
        "at",
        Arc::new(TimestampNanosecondArray::from(vec![1])),
    )]);
    let table_spec = spec(directory.path().join("t"), &table, &[], "parquet");
    let error = run_plainly(&table_spec, vec![(table, 1)])
        .unwrap_err()
        .to_string();
    assert!(
        ["sales", "part-00000.parquet", "column at", "date_trunc"]
            .iter()
            .all(|w| error.contains(w)),
        "{error}"
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn several_tables_are_written_at_once_in_the_order_given() {
    let directory = tempfile::tempdir().unwrap();
    let specs: Vec<_> = (0..5)
        .map(|at| {
            Arc::new(spec(
                directory.path().join(format!("t{at}")),
                &numbers("n", []),
                &[],
                "csv",
            ))
        })
        .collect();
    let staging = Staging::open(specs.iter().map(|spec| spec.path.as_path())).unwrap();
    let mut tables = Vec::new();
    for (spec, rows) in specs.iter().zip(0..) {
        let mut shard = TableShard::new(Arc::clone(spec), &staging, DEFAULT_SHARD_BYTES).unwrap();
        shard.push(&numbers("n", 0..rows), 1).unwrap();
        tables.push(TableRuns {
            spec: Arc::clone(spec),
            runs: shard.finish().unwrap(),
            owner: None,
        });
    }
    let options = WriteOptions {
        threads: 3,
        preview_rows: 2,
        ..WriteOptions::default()
    };
    let staged = write_tables(&staging, tables, &options).unwrap();
    let written = publish(staging, staged).unwrap();
    let counts: Vec<_> = written
        .iter()
        .map(|table| (table.rows, table.preview.num_rows()))
        .collect();
    assert_eq!(counts, [(0, 0), (1, 1), (2, 2), (3, 2), (4, 2)]);
    assert_eq!(
        fs::read_dir(directory.path()).unwrap().count(),
        5,
        "the staging directory is gone"
    );
}

#[test]
fn the_quarantine_is_a_table_like_the_others() {
    let row = |file: &str, line, column: Option<&str>| Rejected {
        source: "transactions".into(),
        file: file.into(),
        line,
        byte_offset: line * 100,
        column: column.map(Into::into),
        reason: "'x' is not a whole number".to_owned(),
        raw: "a,x\u{fffd}".to_owned(),
    };
    let rejected = [
        row("b.csv", 2, Some("amount")),
        row("a.csv", 10, None),
        row("a.csv", 9, Some("amount")),
    ];
    let directory = tempfile::tempdir().unwrap();
    let table_spec = quarantine_spec(
        directory.path().join("_quarantine"),
        Vec::new(),
        tidewater_contract::sink::Encoding::default(),
    );
    let pushes = vec![
        (rejected_to_batch(&rejected).unwrap(), 1),
        (rejected_to_batch(&[]).unwrap(), 1),
    ];
    let written = run_plainly(&table_spec, pushes).unwrap();
    let expected = [
        "transactions|a.csv|9|900|amount|'x' is not a whole number|a,x\u{fffd}",
        "transactions|a.csv|10|1000|NULL|'x' is not a whole number|a,x\u{fffd}",
        "transactions|b.csv|2|200|amount|'x' is not a whole number|a,x\u{fffd}",
    ];
    assert_eq!(rows(&written.preview), expected);
    assert_eq!(read_parquet(&table_spec.path), expected);
}
