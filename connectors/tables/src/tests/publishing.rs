//! A reader sees the old or the new table, and nothing else is touched.

use std::os::unix::fs::symlink;
use std::sync::Arc;

use arrow::array::Int64Array;

use super::*;

fn numbers(values: impl IntoIterator<Item = i64>) -> RecordBatch {
    batch(vec![("n", Arc::new(Int64Array::from_iter_values(values)))])
}

fn csv_spec(path: PathBuf) -> TableSpec {
    spec(path, &numbers([]), &[], "csv")
}

#[test]
fn the_new_table_replaces_the_old_one_whole() {
    let directory = tempfile::tempdir().unwrap();
    let table_spec = csv_spec(directory.path().join("deep/er/t"));
    let options = WriteOptions {
        file_rows_max: 2,
        ..WriteOptions::default()
    };
    run(
        &table_spec,
        &[vec![(numbers(0..5), 1)]],
        usize::MAX,
        options,
    )
    .unwrap();
    assert_eq!(names(&table_spec.path).len(), 3);
    run_plainly(&table_spec, vec![(numbers([1]), 1)]).unwrap();
    assert_eq!(names(directory.path()), ["deep/er/t/part-00000.csv"]);
    assert_eq!(
        fs::read_dir(directory.path().join("deep/er"))
            .unwrap()
            .count(),
        1
    );
}

#[test]
fn a_run_that_is_given_up_leaves_the_old_table_and_no_litter() {
    let directory = tempfile::tempdir().unwrap();
    let table_spec = csv_spec(directory.path().join("t"));
    run_plainly(&table_spec, vec![(numbers([1]), 1)]).unwrap();
    let before = content(directory.path());
    let (staging, staged) = stage(
        &table_spec,
        &[vec![(numbers(0..9), 1)]],
        usize::MAX,
        WriteOptions::default(),
    )
    .unwrap();
    assert!(content(directory.path()).len() > before.len());
    drop((staging, staged));
    assert_eq!(content(directory.path()), before);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn what_looks_like_a_table_may_be_replaced_and_nothing_else() {
    let cases: &[(&str, bool)] = &[
        ("part-00000.parquet", true),
        ("part-00000-c000.snappy.parquet", true),
        ("part-00001.csv", true),
        ("part-00000.jsonl", true),
        ("a=1/b=__HIVE_DEFAULT_PARTITION__/part-00000.parquet", true),
        ("_SUCCESS", true),
        ("_common_metadata", true),
        (".part-00000.parquet.crc", true),
        ("a=1/._SUCCESS.crc", true),
        ("notes.txt", false),
        ("part-00000.txt", false),
        ("part-00000", false),
        ("sales.parquet", false),
        (".bashrc", false),
        (".ssh/id", false),
        ("_staging/x", false),
        ("year/part-00000.parquet", false),
        ("a=1/notes.txt", false),
        ("a=1/b/part-00000.parquet", false),
    ];
    for (name, replaceable) in cases {
        let directory = tempfile::tempdir().unwrap();
        let table_spec = csv_spec(directory.path().join("t"));
        let path = table_spec.path.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "precious").unwrap();
        let outcome = run_plainly(&table_spec, vec![(numbers([1]), 1)]);
        if *replaceable {
            outcome.unwrap();
            assert_eq!(names(directory.path()), ["t/part-00000.csv"], "{name}");
        } else {
            let error = outcome.unwrap_err();
            let entry = match &error {
                SinkError::ForeignContent { entry, .. } => entry.clone(),
                other => panic!("{name}: {other}"),
            };
            assert!(path.canonicalize().unwrap().starts_with(&entry), "{error}");
            assert_eq!(
                content(directory.path()).into_values().collect::<Vec<_>>(),
                [b"precious"],
                "{name}"
            );
            assert_eq!(
                fs::read_dir(directory.path()).unwrap().count(),
                1,
                "{name}: no staging was made"
            );
        }
    }
}

#[test]
fn links_in_a_table_are_foreign() {
    let directory = tempfile::tempdir().unwrap();
    let table_spec = csv_spec(directory.path().join("t"));
    fs::create_dir_all(directory.path().join("elsewhere")).unwrap();
    fs::create_dir_all(&table_spec.path).unwrap();
    symlink(
        directory.path().join("elsewhere"),
        table_spec.path.join("a=1"),
    )
    .unwrap();
    assert!(matches!(
        run_plainly(&table_spec, vec![]).unwrap_err(),
        SinkError::ForeignContent { .. }
    ));
}

#[test]
fn a_table_behind_a_link_is_replaced_where_it_is() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("disk/real")).unwrap();
    let link = directory.path().join("t");
    symlink(directory.path().join("disk/real"), &link).unwrap();
    run_plainly(&csv_spec(link.clone()), vec![(numbers([1]), 1)]).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(
        names(&directory.path().join("disk")),
        ["real/part-00000.csv"]
    );
}

#[test]
fn paths_that_can_hold_no_table() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("file"), "precious").unwrap();
    symlink(path("nowhere"), path("dangling")).unwrap();
    for (path, expected) in [
        (path("file"), "it is a file"),
        (path("file/t"), "a part of the path is a file"),
        (path("dangling"), "does not exist"),
        (PathBuf::from("/"), "root of the file system"),
    ] {
        let error = run_plainly(&csv_spec(path.clone()), vec![])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(expected) && error.contains(path.to_str().unwrap()),
            "{error}"
        );
    }
}

#[test]
fn tables_may_not_overlap() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("t")).unwrap();
    for (first, second) in [("t", "t"), ("t", "t/u"), ("t/u", "t"), ("t", "x/../t")] {
        fs::create_dir_all(path("x")).unwrap();
        let error = Staging::open([path(first).as_path(), path(second).as_path()]).unwrap_err();
        assert!(
            matches!(error, SinkError::OverlappingTargets { .. }),
            "{first} {second}: {error}"
        );
    }
    Staging::open([path("t").as_path(), path("tt").as_path()]).unwrap();
}

#[test]
fn a_directory_that_may_not_be_written() {
    if rustix::process::geteuid().is_root() {
        return; // Root may write anywhere.
    }
    let directory = tempfile::tempdir().unwrap();
    let closed = directory.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o555)).unwrap();
    let error = run_plainly(&csv_spec(closed.join("t")), vec![])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("closed") && error.contains("write permission"),
        "{error}"
    );
}

#[test]
fn what_came_into_the_way_while_writing_stops_all_tables() {
    let directory = tempfile::tempdir().unwrap();
    let first = Arc::new(csv_spec(directory.path().join("a")));
    let second = Arc::new(csv_spec(directory.path().join("b")));
    run_plainly(&first, vec![(numbers([1]), 1)]).unwrap();
    let staging = Staging::open([first.path.as_path(), second.path.as_path()]).unwrap();
    let tables = [first, second].map(|spec| TableRuns {
        spec,
        runs: vec![],
        owner: None,
    });
    let staged = write_tables(&staging, tables.into(), &WriteOptions::default()).unwrap();
    fs::create_dir(directory.path().join("b")).unwrap();
    fs::write(directory.path().join("b/thesis.tex"), "precious").unwrap();
    assert!(matches!(
        publish(staging, staged).unwrap_err(),
        SinkError::ForeignContent { .. }
    ));
    assert_eq!(
        names(directory.path()),
        ["a/part-00000.csv", "b/thesis.tex"]
    );
    assert_eq!(
        fs::read(directory.path().join("a/part-00000.csv")).unwrap(),
        b"n\n1\n"
    );
}

#[test]
fn a_table_of_many_partitions() {
    let directory = tempfile::tempdir().unwrap();
    let day = |name| {
        (
            name,
            Arc::new(Int64Array::from_iter_values(0..100)) as ArrayRef,
        )
    };
    let table = batch(vec![day("day"), day("n")]);
    let table_spec = spec(directory.path().join("t"), &table, &[0], "csv");
    for _ in 0..2 {
        let written = run_plainly(&table_spec, vec![(table.clone(), 1)]).unwrap();
        assert_eq!((written.rows, written.files), (100, 100));
        assert_eq!(names(directory.path()).len(), 100);
    }
}
