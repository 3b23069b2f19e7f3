//! Staging directories of living processes stay; those of dead ones are removed.

use super::*;

/// No process has this id, since Linux ends at 2^22.
const DEAD: u32 = 2_000_000_000;

#[test]
fn what_dead_runs_left_is_removed_and_what_lives_is_not() {
    let own = std::process::id();
    let cases: &[(String, &[&str], bool)] = &[
        (
            format!("_staging-{DEAD}-0"),
            &["lock", "new/t/part-00000.csv", "old/t/part-00000.csv"],
            true,
        ),
        // Process ids in a container may repeat. The lock decides, not the id.
        (
            format!("_staging-{own}-77"),
            &["lock", "new/t/part-00000.csv"],
            true,
        ),
        (format!("_staging-{DEAD}-1"), &["lock.new"], true),
        (format!("_staging-{own}-78"), &["lock.new"], false),
        (format!("_staging-{DEAD}-2"), &["lock", "thesis.tex"], false),
        ("_staging-x-1".to_owned(), &["lock"], false),
        (format!("_staging-{DEAD}"), &["lock"], false),
        (format!("staging-{DEAD}-0"), &["lock"], false),
    ];
    for (name, files, removed) in cases {
        let directory = tempfile::tempdir().unwrap();
        for file in *files {
            let path = directory.path().join(name).join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        drop(Staging::open([directory.path().join("t").as_path()]).unwrap());
        assert_eq!(
            !directory.path().join(name).exists(),
            *removed,
            "{name} {files:?}"
        );
    }
}

#[test]
fn two_runs_beside_each_other_do_not_disturb_one_another() {
    let directory = tempfile::tempdir().unwrap();
    let table = directory.path().join("t");
    let first = Staging::open([table.as_path()]).unwrap();
    let second = Staging::open([table.as_path()]).unwrap();
    let (one, two) = (
        first.staged(&table).unwrap(),
        second.staged(&table).unwrap(),
    );
    assert_ne!(one, two);
    assert!(one.parent().unwrap().exists() && two.parent().unwrap().exists());
    drop(first);
    assert!(!one.parent().unwrap().exists() && two.parent().unwrap().exists());
    drop(second);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn tables_in_several_places_are_staged_beside_each() {
    let directory = tempfile::tempdir().unwrap();
    let tables = ["x/a", "x/b", "y/c"].map(|name| directory.path().join(name));
    let staging = Staging::open(tables.iter().map(PathBuf::as_path)).unwrap();
    for table in &tables {
        let staged = staging.staged(table).unwrap().canonicalize();
        assert!(staged.is_err(), "not made before it is written");
        assert!(
            staging
                .staged(table)
                .unwrap()
                .starts_with(table.parent().unwrap().canonicalize().unwrap())
        );
    }
    assert_eq!(fs::read_dir(directory.path().join("x")).unwrap().count(), 1);
    let error = staging
        .staged(&directory.path().join("z"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("announced"), "{error}");
}
