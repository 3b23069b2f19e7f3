//! File system errors in a run without a state: every operation fails in turn. The run fails and says where, all
//! tables stay unchanged, and the next run publishes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Output;

use tidewater_tests::binary::{command, snapshot};

use crate::place::Place;

const JOB: &str = "CREATE EXTERNAL TABLE t (k TEXT, v BIGINT) STORED AS CSV LOCATION '${input}';
CREATE MATERIALIZED VIEW sums AS SELECT k, sum(v) AS s FROM t GROUP BY k;
COPY sums TO '${output}/sums' STORED AS CSV;
COPY t TO '${output}/rows' PARTITIONED BY (k);";

/// Two versions of the input; both have a row for the quarantine.
const VERSIONS: [&str; 2] = ["k,v\na,1\nb,2\nc,x\n", "k,v\na,3\nb,2\nd,4\ne,y\n"];

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A place with one version published and the other delivered, and the tables of both.
fn prepared() -> (Place, [Files; 2]) {
    let place = Place::new();
    let tables = VERSIONS.map(|version| {
        place.deliver("a.csv", version);
        let _ = run(&place, None);
        snapshot(&place.path("out"))
    });
    (place, tables)
}

/// Runs the job with an injected fault.
fn run(place: &Place, inject: Option<&str>) -> Output {
    let job = place.path("job.sql");
    std::fs::write(&job, JOB).unwrap();
    let (input, output) = (
        format!("input={}", place.path("in").display()),
        format!("output={}", place.path("out").display()),
    );
    let job = job.to_str().unwrap();
    let sets = ["--set", &input, "--set", &output];
    let mut command =
        command(&[&["run", job, "--quiet", "--workers", "1"][..], &sets[..]].concat());
    if let Some(inject) = inject {
        command.env("TIDEWATER_INJECT", inject);
    }
    command.output().unwrap()
}

/// How many operations of each name a run makes.
fn operations(name: &str) -> usize {
    let (place, _) = prepared();
    let traced = run(&place, Some("trace"));
    let text = String::from_utf8(traced.stderr).unwrap();
    text.matches(&format!("inject: {name} ")).count()
}

/// Lets each operation of this name fail in turn. Returns how many runs failed.
fn every(operation: &str, kinds: &[&str]) -> usize {
    let count = operations(operation);
    assert!(count > 0, "there is no {operation}");
    let (place, tables) = prepared();
    let (mut published, mut failures) = (1, 0);
    for number in 1..=count {
        for kind in kinds {
            let next = 1 - published;
            place.deliver("a.csv", VERSIONS[next]);
            let what = format!("fail:{operation}:{number}:{kind}");
            let output = run(&place, Some(&what));
            let message = String::from_utf8(output.stderr).unwrap();
            for word in ["panicked", "internal error", "bug in Tidewater"] {
                assert!(!message.contains(word), "{what}: {message}");
            }
            if output.status.success() {
                // The run did not depend on the operation that failed.
                published = next;
            } else {
                failures += 1;
                assert_eq!(output.status.code(), Some(1), "{what}: {message}");
                let here = place.path("").to_str().unwrap().to_owned();
                assert!(message.contains(&here), "{what} names no file: {message}");
            }
            let found: Files = snapshot(&place.path("out"))
                .into_iter()
                .filter(|(path, _)| !path.to_string_lossy().contains("_staging-"))
                .collect();
            assert_eq!(found, tables[published], "{what}: {message}");
        }
    }
    // The next run publishes, and removes the remains of the others.
    let next = 1 - published;
    place.deliver("a.csv", VERSIONS[next]);
    assert!(run(&place, None).status.success());
    assert_eq!(snapshot(&place.path("out")), tables[next]);
    failures
}

#[test]
fn nothing_can_be_made_written_or_synced() {
    assert!(every("create", &["EIO", "ENOSPC"]) > 0);
    assert!(every("write", &["EIO", "ENOSPC", "SHORT"]) > 0);
    assert!(every("sync", &["EIO"]) > 0);
}

#[test]
fn no_name_can_be_moved_or_taken() {
    assert!(every("rename", &["EIO", "ENOSPC"]) > 0);
    assert!(every("exchange", &["EIO", "ENOSPC"]) > 0);
    // Files that cannot be removed are left for the next run.
    let _ = every("remove", &["EIO"]);
}

#[test]
fn tables_are_published_where_names_cannot_be_exchanged() {
    assert_eq!(every("exchange", &["ENOTSUP"]), 0);
}
