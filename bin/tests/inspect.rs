//! `tidewater status`, `history` and `changes` on a state with a late, a corrected and a withdrawn file.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::kept::{JOB, Place};
use common::{command, text, tidewater};
use serde_json::{Value, json};

#[test]
fn status_lists_deliveries_and_waiting_files() {
    let place = Place::kept();
    place.deliver("new.csv", "9,2024-03-09,seoul,1,0.1\n");
    place.deliver("late.csv", "4,2024-03-01,seoul,1000,0.7\n");
    fs::remove_file(place.path("data/a.csv")).unwrap();
    let before = place.everything();

    let status = place.json("status", &["--json", "--files"]);
    assert_eq!(status["job"], "sales");
    assert_eq!(status["epoch"], 4);
    assert_eq!(status["half_finished"], false);
    assert_eq!(status["outdated"], json!([]));
    let sales = &status["sources"]["sales"];
    assert_eq!(
        (&sales["deliveries"], &sales["rows"]),
        (&json!(2), &json!(3))
    );
    let waits = |kind: &str| {
        let paths = sales["pending"][kind].as_array().unwrap().iter();
        let names = paths.map(|path| {
            path.as_str()
                .unwrap()
                .rsplit('/')
                .next()
                .unwrap()
                .to_owned()
        });
        names.collect::<Vec<_>>()
    };
    assert_eq!(waits("new"), ["new.csv"]);
    assert_eq!(waits("changed"), ["late.csv"]);
    assert_eq!(waits("withdrawn"), ["a.csv"]);
    assert_eq!(sales["files"][0]["rows"], 2);
    assert_eq!(sales["files"][0]["hash"].as_str().unwrap().len(), 64);
    let table = &status["tables"]["by_day"];
    assert_eq!((&table["rows"], &table["files"]), (&json!(2), &json!(1)));
    assert_eq!(table["changed_at_epoch"], 4);
    assert_eq!(status["rows_quarantined"], 0);
    assert!(status["state"]["store_bytes"].as_u64().unwrap() > 0);
    assert!(status["state"]["views"]["by_day"].as_u64().unwrap() > 0);
    assert_eq!(status["state"]["inputs"]["parts"], 2);

    let ran = place.tidewater("status", &["--files"]).expect_code(0);
    for part in [
        "Job sales, state ",
        "Epoch 4, committed 20",
        " UTC in ",
        "sales            2     3            0  20",
        "Waiting for the next run, by size and time of files (their content was not read):\n  sales: 1 new\n",
        "No row is quarantined.",
        "stored inputs: 2 parts, ",
    ] {
        assert!(ran.stdout.contains(part), "no {part:?} in\n{}", ran.stdout);
    }
    assert_eq!(place.everything(), before);

    place.run();
    place
        .tidewater("status", &[])
        .expect_code(0)
        .expect_stdout("Nothing is waiting: no file has changed, by size and time.");
}

#[test]
fn a_state_that_is_in_use_is_looked_at_and_says_by_whom() {
    let place = Place::kept();
    let lock = File::options()
        .write(true)
        .open(place.path("state/lock"))
        .unwrap();
    fs::write(place.path("state/lock"), "process 4711").unwrap();
    lock.lock().unwrap();
    for (name, more) in [
        ("status", &[][..]),
        ("history", &[]),
        ("changes", &["by_day"]),
    ] {
        place.tidewater(name, more).expect_code(0);
    }
    place
        .tidewater("status", &[])
        .expect_stdout("A run is at work: process 4711.");
    place
        .tidewater("run", &["--wait=0s"])
        .expect_code(1)
        .expect_stderr("is in use by process 4711; run again when it has ended, or give --wait");
    // A run waits for its neighbour.
    let waiting = place.arguments("run", &[]);
    let mut run = command(&waiting.iter().map(String::as_str).collect::<Vec<_>>());
    let mut run = run
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(run.try_wait().unwrap(), None);
    lock.unlock().unwrap();
    assert!(run.wait().unwrap().success());
}

/// A state knows its job, and where it was run.
#[test]
fn a_state_is_looked_at_without_its_job() {
    let place = Place::kept();
    let state = place.path("state").display().to_string();
    let away = tempfile::tempdir().unwrap();
    let look = |words: &[&str]| {
        let words = [words, &["--state", &state]].concat();
        let ran = command(&words).current_dir(away.path()).output().unwrap();
        let text = String::from_utf8(ran.stdout).unwrap();
        let errors = String::from_utf8(ran.stderr).unwrap();
        (ran.status.code(), text, errors)
    };
    for (words, says) in [
        (&["status"][..], "by_day"),
        (&["history"], "epoch 1"),
        (&["history", "by_day"], "epoch 1"),
        (&["changes", "by_day"], "epoch 4"),
    ] {
        let (code, text, errors) = look(words);
        assert_eq!(code, Some(0), "{words:?}: {errors}");
        assert!(text.to_lowercase().contains(says), "{words:?}: {text}");
    }
    for (words, says) in [
        (&["changes"][..], "give one table"),
        (&["history", "by_day", "by_day"], "give one table, or none"),
        (&["history", "nothing"], "the state has no table nothing"),
    ] {
        let (code, _, errors) = look(words);
        assert_eq!(code, Some(2), "{words:?}: {errors}");
        assert!(errors.contains(says), "{words:?}: {errors}");
    }
}

#[test]
fn an_interrupted_run_says_that_nothing_was_published() {
    let place = Place::kept();
    let before = place.everything();
    let lock = File::options()
        .write(true)
        .open(place.path("state/lock"))
        .unwrap();
    lock.lock().unwrap();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        // The run waits for the lock, so the signal always arrives before anything is done.
        let arguments = place.arguments("run", &["--wait"]);
        let mut run = command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let mut run = run
            .stderr(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut started = String::new();
        let mut stderr = BufReader::new(run.stderr.take().unwrap());
        stderr.read_line(&mut started).unwrap();
        assert!(started.starts_with("running "), "{started}");
        let id = run.id().to_string();
        let killed = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(killed.unwrap().success());
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).unwrap();
        assert!(
            rest.contains("interrupted: nothing was published\n"),
            "{rest}"
        );
        assert_eq!(run.wait().unwrap().code(), Some(code));
    }
    drop(lock);
    assert_eq!(place.everything(), before);
}

#[test]
fn what_is_no_state_of_the_job_is_refused() {
    let place = Place::kept();
    for name in ["status", "history"] {
        let job = place.path("sales.sql");
        let settings = ["--set", "input=data", "--set", "output=out"];
        let with = |more: &[&str]| tidewater(&[&[name, text(&job)], &settings[..], more].concat());
        with(&[]).expect_code(2).expect_stderr("--state <DIR>");
        let none = place.path("none");
        with(&["--state", text(&none)])
            .expect_code(1)
            .expect_stderr("there is no state in");
        assert!(!none.exists());
    }
    fs::write(place.path("other.sql"), JOB).unwrap();
    let mut arguments = place.arguments("status", &[]);
    arguments[1] = text(&place.path("other.sql")).to_owned();
    tidewater(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
        .expect_code(1)
        .expect_stderr("belongs to the job sales, not to other");
}

#[test]
fn history_tells_every_commit() {
    let place = Place::kept();
    let history = place.json("history", &["--json"]);
    let epochs = history["epochs"].as_array().unwrap();
    let of = |epoch: usize| {
        let epoch = &epochs[epoch - 1];
        (
            epoch["deliveries"].clone(),
            epoch["rows_in"].clone(),
            epoch["rows_out"].clone(),
        )
    };
    assert_eq!(of(1), (json!({"new": 2}), json!(4), json!(0)));
    assert_eq!(of(2), (json!({"new": 1}), json!(1), json!(0)));
    assert_eq!(of(3), (json!({"replaced": 1}), json!(2), json!(2)));
    assert_eq!(of(4), (json!({"withdrawn": 1}), json!(0), json!(2)));
    assert!(epochs[0]["committed_at"].as_str().unwrap().ends_with('Z'));

    let ran = place.tidewater("history", &[]).expect_code(0);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let told: Vec<&str> = lines
        .iter()
        .filter(|line| line.starts_with("  "))
        .copied()
        .collect();
    assert_eq!(
        told,
        [
            "  deliveries: 2 new; 4 rows in, 0 out",
            "  by_region    +2, rebuilt",
            "  by_day       +3, rebuilt",
            "  _quarantine  +1, rebuilt",
            "  deliveries: 1 new; 1 row in, 0 out",
            "  by_region  +1 -1",
            "  by_day     +1 -1",
            "  deliveries: 1 replaced; 2 rows in, 2 out",
            "  by_region  +1 -1",
            "  by_day     +1 -1",
            "  deliveries: 1 withdrawn; 0 rows in, 2 out",
            "  by_region    +1 -1",
            "  by_day       +0 -1",
            "  _quarantine  +0 -1",
        ]
    );
    let epochs: Vec<&str> = lines
        .into_iter()
        .filter(|line| line.starts_with("epoch "))
        .collect();
    assert_eq!(epochs.len(), 4);
    assert!(epochs[0].contains(" UTC  "), "{}", epochs[0]);

    let of_quarantine = place.json("history", &["_quarantine", "--last", "1", "--json"]);
    assert_eq!(of_quarantine["epochs"].as_array().unwrap().len(), 1);
    assert_eq!(of_quarantine["epochs"][0]["epoch"], 4);
    place
        .tidewater("history", &["by_year"])
        .expect_code(2)
        .expect_stderr("the state has no table by_year; it has _quarantine, by_day, by_region.");
}

#[test]
fn changes_are_the_rows_that_commits_moved() {
    let place = Place::kept();
    let csv = |more: &[&str]| {
        let arguments = [&["by_day", "--format", "csv"], more].concat();
        place.tidewater("changes", &arguments).expect_code(0)
    };
    assert_eq!(
        csv(&[]).stdout,
        "_epoch,_count,day,region,sales,total\n4,-1,2024-03-02,seoul,1,7\n"
    );
    let all = csv(&["--since", "0"]);
    assert_eq!(
        all.stdout,
        "_epoch,_count,day,region,sales,total\n\
         2,-1,2024-03-01,seoul,1,100\n2,1,2024-03-01,seoul,2,101\n\
         3,-1,2024-03-01,busan,1,50\n3,1,2024-03-01,jeju,1,60\n\
         4,-1,2024-03-02,seoul,1,7\n"
    );
    all.expect_stderr("epoch 1 rebuilt the table: its 3 rows");
    assert_eq!(
        csv(&["--since", "1", "--epoch", "3", "--net"]).stdout,
        "_count,day,region,sales,total\n-1,2024-03-01,busan,1,50\n1,2024-03-01,jeju,1,60\n\
         -1,2024-03-01,seoul,1,100\n1,2024-03-01,seoul,2,101\n"
    );
    csv(&["--since", "0", "--net"])
        .expect_stderr("epoch 1 rebuilt the table: its 3 rows")
        .expect_stdout("1,2024-03-01,jeju,1,60\n1,2024-03-01,seoul,2,101\n");
    csv(&["--epoch", "2", "--limit", "1"])
        .expect_stderr("… and more rows")
        .expect_stdout("total\n2,-1,2024-03-01,seoul,1,100\n");
    place
        .tidewater(
            "changes",
            &["by_day", "--since", "0", "--epoch", "3", "--net"],
        )
        .expect_code(1)
        .expect_stderr("give --since 1");

    let ran = place
        .tidewater("changes", &["by_day", "--json"])
        .expect_code(0);
    assert_eq!(
        serde_json::from_str::<Value>(&ran.stdout).unwrap(),
        json!({"_epoch": 4, "_count": -1, "day": "2024-03-02", "region": "seoul", "sales": 1, "total": 7})
    );
    let ran = place
        .tidewater("changes", &["by_day", "--epoch", "3"])
        .expect_code(0);
    let rows = "\
      day         region  sales  total
  -1  2024-03-01  busan       1     50
  +1  2024-03-01  jeju        1     60
";
    assert!(
        ran.stdout.starts_with("epoch 3, 20") && ran.stdout.ends_with(rows),
        "{}",
        ran.stdout
    );

    place
        .tidewater("changes", &["_quarantine", "--epoch", "3"])
        .expect_code(0)
        .expect_stdout("epoch 3 did not change _quarantine; before, epoch 1 did: --epoch 1");
    place
        .tidewater("changes", &["by_day", "--since", "9"])
        .expect_code(2);
    place
        .tidewater("changes", &["by_year"])
        .expect_code(2)
        .expect_stderr("no table by_year");
}

#[test]
fn a_half_finished_commit_is_reported() {
    let place = Place::kept();
    place.deliver("b.csv", "3,2024-03-02,seoul,7,0.3\n");
    let arguments = place.arguments("run", &["--quiet"]);
    let mut run = command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    run.env("TIDEWATER_INJECT", "abort:commit: after the record");
    assert_eq!(run.output().unwrap().status.code(), None);

    let before = place.everything();
    place
        .tidewater("status", &[])
        .expect_code(0)
        .expect_stdout("Epoch 5, ")
        .expect_stdout("The last commit is half finished");
    assert_eq!(place.json("status", &["--json"])["half_finished"], true);
    assert_eq!(place.everything(), before);
    place.run();
    assert_eq!(place.json("status", &["--json"])["half_finished"], false);
}

#[test]
fn a_changed_job_is_reported() {
    let place = Place::kept();
    fs::write(
        place.path("sales.sql"),
        JOB.replace("sum(amount) AS total", "max(amount) AS total"),
    )
    .unwrap();
    place
        .tidewater("status", &[])
        .expect_code(0)
        .expect_stdout("The job has changed: the next run rebuilds or drops by_day.");
}

#[test]
fn a_run_tells_its_own_bad_rows_from_those_of_earlier_runs() {
    let place = Place::new(JOB);
    place.deliver(
        "a.csv",
        "1,2024-03-01,seoul,100,0.1\nx,someday,seoul,7,0.3\n",
    );
    place.run();
    place.deliver("b.csv", "2,2024-03-01,busan,50,0.2\n");
    place
        .tidewater("run", &[])
        .expect_code(0)
        .expect_stdout("Read 1 row; none quarantined. 1 row of earlier runs in ");
    place.deliver(
        "c.csv",
        "3,2024-03-01,busan,50,0.2\nx,never,seoul,7,0.3\ny,never,seoul,7,0.3\n",
    );
    let ran = place.json("run", &["--json"]);
    assert_eq!(
        (
            &ran["rows_read"],
            &ran["rows_quarantined"],
            &ran["rows_in_quarantine"]
        ),
        (&json!(3), &json!(2), &json!(3))
    );
    place.deliver("d.csv", "x,never,seoul,7,0.3\n4,2024-03-01,busan,50,0.2\n");
    place
        .tidewater("run", &[])
        .expect_code(0)
        .expect_stdout("Read 2 rows: 1 accepted, 1 quarantined (4 in all in ");
    // A run without changes prints no warning if it is quiet, and a summary if it is not.
    let quiet = place.tidewater("run", &["--quiet"]).expect_code(0);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    place
        .tidewater("run", &[])
        .expect_code(0)
        .expect_stdout("4 rows of earlier runs in ");
}
