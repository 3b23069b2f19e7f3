//! Single changes: the written files, and errors.

use super::*;

#[test]
fn a_change_in_one_place_encodes_that_place_alone() {
    let mut tables = filled(TINY);
    let before = tables.record.tables["plain"][""].clone();
    assert_eq!((before.files.len(), before.files[0].groups.len()), (1, 19));
    // Rows are ordered by `a` first: 3 and 6 are neighbours, and so is 9.
    let changes = only(&tables, "plain", vec![(0, -1), (0, 0), (6, -1), (66, 1)]);
    let (_staging, staged) = tables.stage(&changes).unwrap();
    let plain = &staged[1];
    assert!(
        matches!(
            plain.steps.as_slice(),
            [PublishStep::File { .. }, PublishStep::Mark { before, .. }] if before.parent().is_some_and(|mark| mark.ends_with("_tidewater"))
        ),
        "{:?}",
        plain.steps
    );
    let after = plain.partitions[0].1.as_ref().unwrap();
    assert_eq!(after.files[0].name, before.files[0].name);
    let same = after.files[0]
        .groups
        .iter()
        .filter(|g| before.files[0].groups.contains(g))
        .count();
    assert!(same >= 17, "{same}");
    assert_eq!((plain.rows_inserted, plain.rows_deleted), (1, 2));
    assert!(
        staged
            .iter()
            .enumerate()
            .all(|(at, s)| at == 1 || s.steps.is_empty())
    );
}

#[test]
fn rows_put_in_are_a_file_of_their_own() {
    let mut tables = filled(TINY);
    let before = tables.stamps();
    let changes = only(&tables, "plain", vec![(301, 1), (302, 1)]);
    tables.take(&changes, 5).unwrap();
    tables.check();
    let after = tables.stamps();
    assert_eq!(after.len(), before.len() + 1);
    assert!(before.iter().all(|(path, stamp)| after[path] == *stamp));
}

#[test]
fn rows_that_are_there_many_times() {
    let sizes = AmendSizes {
        group_rows_max: 30_000,
        ..TINY
    };
    let mut tables = filled(sizes);
    let many = only(
        &tables,
        "plain",
        vec![(3, 50_000), (12, 10_000), (15, 10_000)],
    );
    tables.take(&many, 1).unwrap();
    let fewer = only(&tables, "plain", vec![(3, -45_000), (12, -9_999), (14, 3)]);
    tables.take(&fewer, 2).unwrap();
    tables.check();
    let too_many = only(&tables, "plain", vec![(15, -10_003)]);
    let error = tables.stage(&too_many).err().unwrap();
    assert!(
        matches!(&error, SinkError::RetractedTooOften { total: -2, .. }),
        "{error}"
    );
}

#[test]
fn what_sums_up_to_nothing_changes_nothing() {
    let mut tables = filled(TINY);
    let nothing = [
        vec![(3, 1), (3, -1)],
        vec![(301, 2), (301, -1), (301, -1)],
        vec![],
    ];
    for changes in nothing {
        let all: Vec<_> = tables
            .specs
            .iter()
            .map(|_| (changes.clone(), false))
            .collect();
        let (_staging, staged) = tables.stage(&all).unwrap();
        for table in staged {
            assert!(
                table.steps.is_empty() && table.partitions.is_empty(),
                "{table:?}"
            );
            assert_eq!((table.rows_inserted, table.files_written), (0, 0));
        }
    }
}

#[test]
fn a_row_that_does_not_exist_cannot_be_retracted() {
    for sizes in [TINY, AmendSizes::default()] {
        let mut tables = filled(sizes);
        let before = content(&tables.root.path().join("out"));
        for name in ["nested", "plain", "csv", "json", "ordered"] {
            for changes in [vec![(1000, -1)], vec![(3, -2), (1000, 5)]] {
                let changes = only(&tables, name, changes);
                let error = tables.stage(&changes).err().unwrap();
                assert!(
                    matches!(&error, SinkError::RetractedTooOften { total: -1, .. }),
                    "{error}"
                );
            }
        }
        tables.clean();
        assert_eq!(before, content(&tables.root.path().join("out")));
    }
}

#[test]
fn what_others_changed_is_told_and_nothing_is_published() {
    let cases: [(&str, &str, fn(&Path)); 7] = [
        ("plain", "has changed", |t| {
            append(&t.join("part-00000.parquet"));
        }),
        ("plain", "is missing", |t| {
            fs::remove_file(t.join("part-00000.parquet")).unwrap();
        }),
        ("plain", "notes.txt is not what", |t| {
            fs::write(t.join("notes.txt"), "x").unwrap();
        }),
        ("plain", "part-00009.parquet is not what", |t| {
            fs::write(t.join("part-00009.parquet"), "x").unwrap();
        }),
        ("plain", "is missing", |t| fs::remove_dir_all(t).unwrap()),
        ("nested", "is missing", |t| {
            fs::remove_dir_all(t.join("a=0/b=1")).unwrap();
        }),
        ("csv", "is missing", |t| {
            fs::remove_file(t.join("b=1/part-00000.csv")).unwrap();
        }),
    ];
    for (name, fault, harm) in cases {
        let mut tables = filled(TINY);
        harm(&tables.root.path().join("out").join(name));
        let before = content(&tables.root.path().join("out"));
        let changes = only(&tables, name, vec![(3, -1)]);
        let error = tables.stage(&changes).err().unwrap().to_string();
        assert!(
            error.contains(fault) && error.contains("--rebuild"),
            "{error}"
        );
        assert!(error.contains(&format!("table {name}")), "{error}");
        assert_eq!(before, content(&tables.root.path().join("out")));
    }
}

fn append(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_shadow_that_was_changed_is_told() {
    let mut tables = filled(TINY);
    append(&tables.root.path().join("state/json/part-00000.parquet"));
    let changes = only(&tables, "json", vec![(3, -1)]);
    let error = tables.stage(&changes).err().unwrap();
    assert!(matches!(&error, SinkError::Changed { .. }), "{error}");
}

#[test]
fn markers_of_others_go_with_the_old_content() {
    let mut tables = filled(TINY);
    let table = tables.root.path().join("out/plain");
    fs::write(table.join("_SUCCESS"), "").unwrap();
    fs::write(table.join(".part-00000.parquet.crc"), "x").unwrap();
    let changes = only(&tables, "plain", vec![(3, -1)]);
    tables.take(&changes, 2).unwrap();
    tables.check();
}

#[test]
fn a_table_is_not_put_in_the_place_of_something_else() {
    let mut tables = Tables::new(TINY);
    let table = tables.root.path().join("out/plain");
    fs::create_dir_all(&table).unwrap();
    fs::write(table.join("thesis.doc"), "x").unwrap();
    let all: Vec<_> = tables.specs.iter().map(|_| (vec![(1, 1)], true)).collect();
    let error = tables.stage(&all).err().unwrap();
    assert!(
        matches!(&error, SinkError::ForeignContent { .. }),
        "{error}"
    );
}

#[test]
fn what_is_staged_and_gone_is_told() {
    let mut tables = filled(TINY);
    let all: Vec<_> = tables
        .specs
        .iter()
        .map(|_| (vec![(301, 1)], true))
        .collect();
    let (staging, staged) = tables.stage(&all).unwrap();
    drop(staging);
    fs::remove_dir_all(&tables.specs[0].path).unwrap();
    let error = apply_steps(&staged[0].steps).unwrap_err();
    assert!(matches!(&error, SinkError::StagedGone { .. }), "{error}");
}

#[test]
fn staging_that_is_not_kept_leaves_nothing() {
    let mut tables = filled(TINY);
    let before = tables.stamps();
    let all: Vec<_> = tables
        .specs
        .iter()
        .map(|_| (vec![(301, 1), (3, -1)], false))
        .collect();
    drop(tables.stage(&all).unwrap());
    assert_eq!(before, tables.stamps());
    tables.check();
    // Staged files of another state must not be removed.
    let other = tables.root.path().join("out/_tidewater-other/1/new");
    fs::create_dir_all(&other).unwrap();
    tables.clean();
    assert!(other.exists());
}

#[test]
fn the_changes_of_an_epoch_are_a_file() {
    let mut tables = filled(TINY);
    let staging = tables.staging();
    let changes = [(3, -1), (5, 2), (5, -1), (8, 1), (8, -1), (400, 3)];
    for budget in [0, 1 << 20] {
        let runs = tables.runs(&staging, 0, &changes, budget);
        let path = tables.root.path().join("changes.parquet");
        assert_eq!(write_changes(&path, &tables.specs[0], &runs).unwrap(), 3);
        let file = fs::File::open(&path).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
        let counts: Vec<_> = batches[0]
            .column_by_name("_count")
            .unwrap()
            .as_primitive::<Int64Type>()
            .values()
            .to_vec();
        // By partition: a=0/b=1, a=1/b=0, a=2/b=1.
        assert_eq!(counts, [-1, 3, 1]);
        assert_eq!(
            batches[0].num_columns(),
            tables.specs[0].schema.fields().len() + 1
        );
    }
}
