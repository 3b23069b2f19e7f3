//! Commands that read a state while a follower commits, and runs that wait for each other.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tidewater_tests::binary;

const JOB: &str = "CREATE EXTERNAL TABLE t (k BIGINT, v BIGINT) STORED AS CSV LOCATION '${input}';
    CREATE MATERIALIZED VIEW sums AS SELECT k, sum(v) AS s FROM t GROUP BY k;
    COPY sums TO 'out/sums' PARTITIONED BY (k); COPY t TO 'out/all';";

fn command(place: &Path, arguments: &[&str]) -> Command {
    let mut command = binary::command(arguments);
    command.current_dir(place);
    command
}

fn deliver(place: &Path, number: usize) {
    let rows: Vec<String> = (0..50).map(|v| format!("{},{v}\n", v % 5)).collect();
    let hidden = place.join("in/_new");
    fs::write(&hidden, format!("k,v\n{}", rows.concat())).unwrap();
    fs::rename(hidden, place.join(format!("in/{number}.csv"))).unwrap();
}

fn json(place: &Path, arguments: &[&str]) -> Value {
    let ran = command(place, arguments).output().unwrap();
    assert!(ran.status.success(), "{arguments:?}: {ran:?}");
    serde_json::from_slice(&ran.stdout).unwrap()
}

fn kept() -> TempDir {
    let place = TempDir::new().unwrap();
    fs::create_dir(place.path().join("in")).unwrap();
    fs::write(place.path().join("job.sql"), JOB).unwrap();
    deliver(place.path(), 0);
    let run = ["run", "job.sql", "--set", "input=in", "--state", "state"];
    assert!(
        command(place.path(), &run)
            .output()
            .unwrap()
            .status
            .success()
    );
    place
}

fn follow(place: &Path) -> Child {
    let follow = [
        "follow", "job.sql", "--set", "input=in", "--state", "state", "--every", "20ms", "--quiet",
    ];
    let mut follow = command(place, &follow);
    follow
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_state_is_looked_at_while_it_is_followed() {
    let place = kept();
    let place = place.path();
    let mut follower = follow(place);
    let begun = Instant::now();
    let (mut last, mut looks) = (0, 0);
    let mut number = 0;
    while number < 60 || last < 10 {
        assert!(begun.elapsed() < Duration::from_mins(2), "epoch {last}");
        number += 1;
        deliver(place, number);
        let status = json(place, &["status", "--state", "state", "--json"]);
        let epoch = status["epoch"].as_u64().unwrap();
        assert!(epoch >= last, "{epoch} after {last}");
        last = epoch;
        looks += 1;
        // One commit, and not parts of two.
        assert_eq!(
            status["sources"]["t"]["rows"], status["tables"]["t"]["rows"],
            "{status:#}"
        );
        let history = json(place, &["history", "--state", "state", "--json"]);
        let epochs = history["epochs"].as_array().unwrap();
        for (at, epoch) in epochs.iter().enumerate() {
            assert_eq!(epoch["epoch"].as_u64().unwrap(), at as u64 + 1);
        }
        let changes = ["changes", "t", "--state", "state", "--format", "csv"];
        let changes = command(place, &changes).output().unwrap();
        assert!(changes.status.success(), "{changes:?}");
    }
    assert!(follower.try_wait().unwrap().is_none(), "the follower ended");
    let id = follower.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-s", "TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    assert!(follower.wait().unwrap().success());
    assert!(looks > 0);
}

#[test]
fn a_state_whose_follower_was_killed_is_looked_at() {
    let place = kept();
    let place = place.path();
    for number in 1..6 {
        let mut follower = follow(place);
        deliver(place, number);
        thread::sleep(Duration::from_millis(30 * number as u64));
        follower.kill().unwrap();
        follower.wait().unwrap();
        let status = json(place, &["status", "--state", "state", "--json"]);
        assert_eq!(
            status["sources"]["t"]["rows"],
            status["tables"]["t"]["rows"]
        );
        assert_eq!(status["in_use_by"], Value::Null);
    }
    let run = [
        "run", "job.sql", "--set", "input=in", "--state", "state", "--quiet",
    ];
    assert!(command(place, &run).output().unwrap().status.success());
    let status = json(place, &["status", "--state", "state", "--json"]);
    assert_eq!(status["tables"]["t"]["rows"], 300);
}

#[test]
fn runs_of_one_state_wait_for_each_other() {
    let place = kept();
    let place = place.path();
    for number in 1..4 {
        deliver(place, number);
        let runs: Vec<Child> = (0..4)
            .map(|_| {
                let run = [
                    "run", "job.sql", "--set", "input=in", "--state", "state", "--quiet",
                ];
                let mut run = command(place, &run);
                run.stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        for run in runs {
            let ran = run.wait_with_output().unwrap();
            assert!(ran.status.success(), "{ran:?}");
        }
    }
    let status = json(place, &["status", "--state", "state", "--json"]);
    assert_eq!(status["tables"]["t"]["rows"], 200);
    assert_eq!(status["epoch"], 4);
}
