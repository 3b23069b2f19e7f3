//! A table has the same bytes with a state and without one.

use super::*;

/// Numbers of rows near the sizes at which dictionaries and row groups end.
const ROWS: [usize; 6] = [1, 8_192, 8_193, 12_000, 65_536, 65_537];

/// Distinct numbers, repeated numbers and texts, and texts that are too long for a dictionary.
fn table(rows: usize) -> RecordBatch {
    let numbers = |of: fn(usize) -> usize| -> ArrayRef {
        Arc::new(
            (0..rows)
                .map(|n| Some(of(n) as i64))
                .collect::<Int64Array>(),
        )
    };
    let texts = |of: fn(usize) -> String| -> ArrayRef {
        Arc::new((0..rows).map(|n| Some(of(n))).collect::<StringArray>())
    };
    batch(vec![
        ("id", numbers(|n| n * 7_919)),
        ("few", numbers(|n| n % 20)),
        ("region", texts(|n| format!("region {}", n % 17))),
        ("code", texts(|n| format!("{n:08}"))),
        ("note", texts(|n| format!("{:070}", n % 50))),
    ])
}

fn with_state(spec: &Arc<TableSpec>, epochs: &[RecordBatch]) -> Content {
    let mut record = Record::default();
    for (epoch, rows) in epochs.iter().enumerate() {
        let mut staging = Staging::for_state([spec.path.as_path()], "o", epoch as u64).unwrap();
        let mut shard = TableShard::new(Arc::clone(spec), &staging, 1 << 30).unwrap();
        shard.push(rows, 1).unwrap();
        let change = TableChange {
            spec: Arc::clone(spec),
            runs: shard.finish().unwrap(),
            replace: epoch == 0,
            shadow: None,
            owner: None,
        };
        let options = WriteOptions::default();
        let staged = stage_changes(
            &staging,
            vec![change],
            &record,
            &options,
            AmendSizes::default(),
        )
        .unwrap();
        staging.keep();
        apply_steps(&staged[0].steps).unwrap();
        Staging::clean([spec.path.as_path()], "o").unwrap();
        record.commit(&staged[0]);
    }
    content(&spec.path)
}

#[test]
fn bytes_depend_on_rows_and_declaration_alone() {
    for rows in ROWS {
        for (format, options) in [
            ("PARQUET", BTreeMap::new()),
            (
                "PARQUET",
                [("row_group_rows".to_owned(), "1000000".to_owned())].into(),
            ),
            (
                "PARQUET",
                [("row_group_rows".to_owned(), "9000".to_owned())].into(),
            ),
        ] {
            let root = tempfile::tempdir().unwrap();
            let all = table(rows);
            let spec = |name: &str| TableSpec {
                name: "t".into(),
                encoding: parse_encoding(format, &options).unwrap(),
                ..spec(root.path().join(name), &all, &[], format)
            };
            let cold = spec("cold");
            run_plainly(&cold, vec![(all.clone(), 1)]).unwrap();
            let cold = content(&cold.path);
            let at_once = with_state(&Arc::new(spec("at_once")), std::slice::from_ref(&all));
            assert!(cold == at_once, "{rows} rows, {options:?}: at once");
            let half = rows / 2;
            let halves = [all.slice(0, half), all.slice(half, rows - half)];
            let later = with_state(&Arc::new(spec("later")), &halves);
            assert!(cold == later, "{rows} rows, {options:?}: in two commits");
        }
    }
}
