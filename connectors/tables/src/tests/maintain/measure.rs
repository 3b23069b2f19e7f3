//! Measurements of time.

use super::*;

/// 830,000 rows of 14 columns. 27,000 adjacent ones are replaced.
#[test]
#[ignore = "a measurement"]
fn measure_a_small_change_of_a_large_table() {
    let rows = 830_000_usize;
    let make = |numbers: std::ops::Range<usize>, version: usize| {
        let ints = |of: &dyn Fn(usize) -> usize| -> ArrayRef {
            Arc::new(
                numbers
                    .clone()
                    .map(|n| Some(of(n) as i64))
                    .collect::<Int64Array>(),
            )
        };
        let texts = |of: &dyn Fn(usize) -> String| -> ArrayRef {
            Arc::new(
                numbers
                    .clone()
                    .map(|n| Some(of(n)))
                    .collect::<StringArray>(),
            )
        };
        let hash = |n: usize| (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) as usize >> 20;
        batch(vec![
            ("day", ints(&|n| n / 1000)),
            ("merchant", texts(&|n| format!("M{:07}", n % 1000))),
            ("category", texts(&|n| format!("category {}", hash(n) % 20))),
            ("region", texts(&|n| format!("region {}", hash(n + 1) % 17))),
            ("count", ints(&|n| hash(n) % 1000 + version)),
            ("amount", ints(&|n| hash(n + 2) % 100_000_000)),
            ("min", ints(&|n| hash(n + 3) % 10_000)),
            ("max", ints(&|n| hash(n + 4) % 1_000_000)),
            ("cards", ints(&|n| hash(n + 5) % 500)),
            ("declined", ints(&|n| hash(n + 6) % 30)),
            ("refunds", ints(&|n| hash(n + 7) % 10)),
            ("fee", ints(&|n| hash(n + 8) % 100_000)),
            (
                "first",
                texts(&|n| format!("{:09}", hash(n + 9) % 1_000_000_000)),
            ),
            ("last", ints(&|n| hash(n + 10))),
        ])
    };
    for group_rows_max in [16 * 1024, 32 * 1024, 64 * 1024, 128 * 1024, 1024 * 1024] {
        let sizes = AmendSizes {
            group_rows_max,
            ..AmendSizes::default()
        };
        let root =
            tempfile::tempdir_in(std::env::var("MEASURE_IN").unwrap_or("/tmp".into())).unwrap();
        let all = make(0..rows, 0);
        let mut spec = spec(root.path().join("t"), &all, &[], "PARQUET");
        spec.name = "t".into();
        let spec = Arc::new(spec);
        let mut record = Record::default();
        for epoch in 0..4 {
            let mut staging = Staging::for_state([spec.path.as_path()], "o", epoch).unwrap();
            let mut shard = TableShard::new(Arc::clone(&spec), &staging, 1 << 30).unwrap();
            if epoch == 0 {
                shard.push(&all, 1).unwrap();
            } else {
                shard
                    .push(&make(400_000..427_000, epoch as usize - 1), -1)
                    .unwrap();
                shard
                    .push(&make(400_000..427_000, epoch as usize), 1)
                    .unwrap();
            }
            let change = TableChange {
                spec: Arc::clone(&spec),
                runs: shard.finish().unwrap(),
                replace: epoch == 0,
                shadow: None,
                owner: None,
            };
            let start = std::time::Instant::now();
            let staged = stage_changes(
                &staging,
                vec![change],
                &record,
                &WriteOptions::default(),
                sizes,
            )
            .unwrap();
            let took = start.elapsed();
            let start = std::time::Instant::now();
            staging.keep();
            apply_steps(&staged[0].steps).unwrap();
            let applied = start.elapsed();
            Staging::clean([spec.path.as_path()], "o").unwrap();
            record.commit(&staged[0]);
            let files = &record.tables["t"][""].files;
            let bytes: Vec<u64> = files.iter().map(|file| file.bytes).collect();
            eprintln!(
                "groups of {group_rows_max}, epoch {epoch}: staged {took:?}, applied {applied:?}, bytes {bytes:?}, groups {}",
                files[0].groups.len()
            );
        }
    }
}

/// A table of 732 days with 2,000 rows each. Rows of all days, or of one, are replaced.
#[test]
#[ignore = "a measurement"]
fn measure_changes_of_many_partitions() {
    for (format, threads) in [("PARQUET", 1), ("PARQUET", 2), ("CSV", 2)] {
        let root =
            tempfile::tempdir_in(std::env::var("MEASURE_IN").unwrap_or("/tmp".into())).unwrap();
        let make = |days: std::ops::Range<usize>, rows: usize, version: usize| {
            let numbers = days.flat_map(|day| (0..rows).map(move |row| (day, row)));
            let ints = |of: &dyn Fn((usize, usize)) -> usize| -> ArrayRef {
                Arc::new(
                    numbers
                        .clone()
                        .map(|n| Some(of(n) as i64))
                        .collect::<Int64Array>(),
                )
            };
            let text: StringArray = numbers
                .clone()
                .map(|(_, row)| Some(format!("merchant {row}")))
                .collect();
            batch(vec![
                ("day", ints(&|(day, _)| day)),
                ("merchant", Arc::new(text)),
                ("count", ints(&|(day, row)| day * row + version)),
                ("amount", ints(&|(day, row)| day * row * 7919 % 1_000_003)),
            ])
        };
        let mut spec = spec(root.path().join("t"), &make(0..1, 1, 0), &[0], format);
        spec.name = "t".into();
        let spec = Arc::new(spec);
        let shadow = root.path().join("state/t");
        let paths = [spec.path.as_path(), shadow.as_path()];
        let mut record = Record::default();
        let days = [0..732, 0..732, 5..6];
        for (epoch, days) in days.into_iter().enumerate() {
            let mut staging = Staging::for_state(paths, "o", epoch as u64).unwrap();
            let mut shard = TableShard::new(Arc::clone(&spec), &staging, 1 << 30).unwrap();
            if epoch == 0 {
                shard.push(&make(days.clone(), 2_000, 0), 1).unwrap();
            } else {
                shard.push(&make(days.clone(), 3, epoch - 1), -1).unwrap();
                shard.push(&make(days.clone(), 3, epoch), 1).unwrap();
            }
            let change = TableChange {
                spec: Arc::clone(&spec),
                runs: shard.finish().unwrap(),
                replace: epoch == 0,
                shadow: Some(shadow.clone()),
                owner: None,
            };
            let options = WriteOptions {
                threads,
                ..WriteOptions::default()
            };
            let start = std::time::Instant::now();
            let staged = stage_changes(
                &staging,
                vec![change],
                &record,
                &options,
                AmendSizes::default(),
            )
            .unwrap();
            let took = start.elapsed();
            staging.keep();
            let start = std::time::Instant::now();
            apply_steps(&staged[0].steps).unwrap();
            let applied = start.elapsed();
            Staging::clean(paths, "o").unwrap();
            record.commit(&staged[0]);
            eprintln!(
                "{format}, {threads} threads, {days:?}: staged {took:?}, applied {applied:?}, {} files",
                staged[0].files_written
            );
        }
    }
}
