//! Files that change, or seem to: a correction is noticed even if size and time stay the same, and anything else
//! changes nothing.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use parquet::arrow::ArrowWriter;
use tidewater_tests::binary::Ran;
use tidewater_tests::maintained::{Maintained, modify};

/// A format: its name, the extension of its files, and a file with one amount.
struct Kind {
    stored_as: &'static str,
    name: &'static str,
    file: fn(i64) -> Vec<u8>,
}

const KINDS: [Kind; 3] = [
    Kind {
        stored_as: "CSV",
        name: "x.csv",
        file: |amount| format!("amount\n{amount}\n").into_bytes(),
    },
    Kind {
        stored_as: "JSON",
        name: "x.json",
        file: |amount| format!("{{\"amount\":{amount}}}\n").into_bytes(),
    },
    Kind {
        stored_as: "PARQUET",
        name: "x.parquet",
        file: parquet_file,
    },
];

fn parquet_file(amount: i64) -> Vec<u8> {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![amount]));
    let batch = RecordBatch::try_from_iter([("amount", column)]).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn job(kind: &Kind, key: &str) -> Maintained {
    let stored_as = kind.stored_as;
    let place = Maintained::new(&format!(
        "CREATE EXTERNAL TABLE s (amount BIGINT{key}) STORED AS {stored_as} LOCATION '${{input}}/*';
         CREATE MATERIALIZED VIEW total AS SELECT sum(amount) AS total FROM s;
         COPY total TO '${{output}}/total' STORED AS CSV;"
    ));
    place.deliver(kind.name, (kind.file)(100), 0);
    place.deliver(&format!("other-{}", kind.name), (kind.file)(250), 0);
    let _ = place.commits(&["--quiet"]);
    assert_eq!(total(&place), "350");
    place
}

fn total(place: &Maintained) -> String {
    let files = place.tables().into_values();
    let text = files.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text: String = text.filter(|text| text.starts_with("total")).collect();
    text.trim_start_matches("total").trim().to_owned()
}

fn epoch(ran: &Ran) -> u64 {
    ran.json()["epoch"].as_u64().unwrap()
}

/// Waits until the file system's clock has moved on.
fn tick() {
    sleep(Duration::from_millis(20));
}

/// Replaces a file as `rsync -t` and `cp -p` do: the new one is written beside it, gets its time, and is renamed.
fn move_over(path: &Path, content: &[u8]) {
    let aside = path.parent().unwrap().join(".aside");
    fs::write(&aside, content).unwrap();
    modify(&aside, 0);
    fs::rename(&aside, path).unwrap();
}

type Correct = fn(&Path, &[u8]);

#[test]
fn a_correction_of_the_same_size_and_time_counts() {
    let ways: [(&str, Correct); 4] = [
        ("in place, stamped again", |path, content| {
            fs::write(path, content).unwrap();
            modify(path, 0);
        }),
        ("moved over", move_over),
        ("removed and created again", |path, content| {
            fs::remove_file(path).unwrap();
            fs::write(path, content).unwrap();
            modify(path, 0);
        }),
        ("a link that leads elsewhere", |path, content| {
            let target = path.parent().unwrap().join(".target");
            fs::write(&target, content).unwrap();
            modify(&target, 0);
            fs::remove_file(path).unwrap();
            symlink(".target", path).unwrap();
        }),
    ];
    for kind in &KINDS {
        for key in ["", " NOT NULL PRIMARY KEY"] {
            for (way, correct) in ways {
                let context = format!("{}, {way}", kind.name);
                let place = job(kind, key);
                let path = place.path("in").join(kind.name);
                let before = fs::metadata(&path).unwrap();
                tick();
                correct(&path, &(kind.file)(900));
                let after = fs::metadata(&path).unwrap();
                assert_eq!(before.len(), after.len(), "{context}");
                assert_eq!(before.modified().unwrap(), after.modified().unwrap());
                let ran = place.commits(&["--json"]);
                assert_eq!(
                    ran.json()["deliveries"][0]["change"],
                    "replaced",
                    "{context}"
                );
                assert_eq!(total(&place), "1150", "{context}");
                place.assert_cold();
                assert_eq!(epoch(&place.commits(&["--json"])), 2, "{context}");
            }
        }
    }
}

#[test]
fn what_is_no_correction_changes_nothing() {
    type Touch = fn(&Path);
    let ways: [(&str, Touch); 5] = [
        ("rights", |path| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
        }),
        ("a second name", |path| {
            fs::hard_link(path, path.parent().unwrap().join(".link")).unwrap();
        }),
        ("moved away and back", |path| {
            let away = path.parent().unwrap().join(".away");
            fs::rename(path, &away).unwrap();
            fs::rename(&away, path).unwrap();
        }),
        ("touch -r", |path| modify(path, 0)),
        ("the same content moved over", |path| {
            let content = fs::read(path).unwrap();
            move_over(path, &content);
        }),
    ];
    for kind in &KINDS {
        for key in ["", " NOT NULL PRIMARY KEY"] {
            let place = job(kind, key);
            let footprint = place.footprint();
            for (way, touch) in ways {
                tick();
                touch(&place.path("in").join(kind.name));
                let context = format!("{}, {way}", kind.name);
                let ran = place.commits(&["--json"]);
                assert_eq!(epoch(&ran), 1, "{context}");
                assert_eq!(
                    ran.json()["deliveries"].as_array().unwrap().len(),
                    0,
                    "{context}"
                );
                assert_eq!(place.footprint(), footprint, "{context}");
            }
        }
    }
}

/// A state without versions continues without reading all files. `--rehash` finds changes that it cannot see.
#[test]
fn rehash_compares_what_looks_unchanged() {
    for kind in &KINDS {
        let place = job(kind, "");
        let path = place.path("in").join(kind.name);
        place.forget_versions();
        tick();
        move_over(&path, &(kind.file)(900));
        for _ in 0..2 {
            assert_eq!(epoch(&place.commits(&["--json"])), 1, "{}", kind.name);
        }
        let ran = place.commits(&["--rehash", "--json"]);
        assert_eq!(ran.json()["deliveries"].as_array().unwrap().len(), 1);
        assert_eq!(total(&place), "1150", "{}", kind.name);
        place.assert_cold();
        assert_eq!(epoch(&place.commits(&["--rehash", "--json"])), 2);
        // The versions are recorded from now on.
        tick();
        move_over(&path, &(kind.file)(500));
        let _ = place.commits(&[]);
        assert_eq!(total(&place), "750", "{}", kind.name);
    }
}

#[test]
fn status_and_follow_compare_what_looks_unchanged_on_request() {
    let place = job(&KINDS[0], "");
    place.forget_versions();
    tick();
    move_over(&place.path("in").join(KINDS[0].name), &(KINDS[0].file)(900));
    let pending = |more: &[&str]| {
        let arguments = ["status", "--state", "state", "--json"];
        let mut command = tidewater_tests::binary::command(&[&arguments, more].concat());
        let ran: Ran = command.current_dir(place.path("")).output().unwrap().into();
        ran.code(0).json()["sources"]["s"]["pending"].to_string()
    };
    assert!(!pending(&[]).contains("x.csv"));
    assert!(pending(&["--rehash"]).contains("x.csv"));
    let follow = [
        "follow", "job.sql", "--state", "state", "--rehash", "--every", "100ms",
    ];
    let settings = ["--set", "input=in", "--set", "output=out"];
    let mut command = tidewater_tests::binary::command(&[&follow[..], &settings].concat());
    let mut follower = command.current_dir(place.path("")).spawn().unwrap();
    for _ in 0..600 {
        sleep(Duration::from_millis(50));
        if place
            .tables()
            .values()
            .any(|bytes| bytes.windows(4).any(|part| part == b"1150"))
        {
            break;
        }
    }
    let id = follower.id().to_string();
    let stopped = Command::new("kill").args(["-TERM", &id]).status();
    assert!(stopped.unwrap().success());
    assert!(follower.wait().unwrap().success());
    assert_eq!(total(&place), "1150");
}

#[test]
fn a_state_without_versions_reads_no_file_that_looks_unchanged() {
    let place = job(&KINDS[0], "");
    place.forget_versions();
    let path = place.path("in").join(KINDS[0].name);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // The superuser reads all.
    if File::open(&path).is_err() {
        assert_eq!(epoch(&place.commits(&["--json"])), 1);
        let _ = place.run(&["--rehash"]).code(1).says(&["cannot open"]);
    }
}

#[test]
fn rehash_is_of_a_state() {
    let ran = tidewater_tests::binary::tidewater(&["run", "jobs/library.sql", "--rehash"]);
    let _ = ran.code(2).says(&["--state"]);
}

#[test]
fn status_tells_corrections_from_other_changes() {
    let place = job(&KINDS[0], "");
    let path = place.path("in").join(KINDS[0].name);
    let pending = || {
        let arguments = [
            "status",
            "job.sql",
            "--set",
            "input=in",
            "--set",
            "output=out",
            "--json",
        ];
        let mut command = tidewater_tests::binary::command(&arguments);
        command
            .args(["--state", "state"])
            .current_dir(place.path(""));
        let ran: Ran = command.output().unwrap().into();
        let ran = ran.code(0);
        ran.json()["sources"]["s"]["pending"].to_string()
    };
    let nothing = pending();
    tick();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(pending(), nothing);
    tick();
    move_over(&path, &(KINDS[0].file)(900));
    assert!(pending().contains("x.csv"), "{}", pending());
}

/// A warning is about the content that is read, and not about the content that it replaces.
#[test]
fn content_that_is_replaced_is_not_warned_about() {
    let place = Maintained::new(
        "CREATE EXTERNAL TABLE t (a BIGINT) STORED AS CSV LOCATION '${input}'; COPY t TO '${output}/t';",
    );
    place.deliver("x.csv", "", 0);
    let warned = |ran: Ran| ran.code(0).stderr.contains("x.csv: is empty");
    assert!(warned(place.run(&["--quiet"])));
    place.deliver("x.csv", "a\n1\n", 10);
    assert!(!warned(place.run(&["--quiet"])));
    place.deliver("x.csv", "", 20);
    assert!(warned(place.run(&["--quiet"])));
    fs::remove_file(place.path("in/x.csv")).unwrap();
    place.deliver("y.csv", "a\n2\n", 30);
    assert!(!warned(place.run(&["--quiet"])));
}
