//! Runs that are requested to stop: they remove their staged files and say that nothing was published.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tidewater_tests::binary::{self, Ran, snapshot};

use crate::place::Place;

const JOB: &str = "
CREATE EXTERNAL TABLE s (id BIGINT, k BIGINT, v TEXT) STORED AS CSV LOCATION '${input}';
CREATE MATERIALIZED VIEW copies AS SELECT * FROM s;
COPY copies TO '${output}/copies' PARTITIONED BY (k);
";

fn place(rows: u32) -> Place {
    let place = Place::new();
    let rows = (0..rows).map(|id| format!("{id},{},row {id} of many\n", id % 40));
    place.deliver("a.csv", format!("id,k,v\n{}", rows.collect::<String>()));
    fs::write(place.path("job.sql"), JOB).unwrap();
    fs::create_dir(place.path("out")).unwrap();
    place
}

fn start(place: &Place, more: &[&str]) -> Child {
    let path = |name: &str| place.path(name).display().to_string();
    let (job, input, output) = (path("job.sql"), path("in"), path("out"));
    let settings = [format!("input={input}"), format!("output={output}")];
    let arguments = ["run", &job, "--set", &settings[0], "--set", &settings[1]];
    let mut command = binary::command(&[&arguments[..], more].concat());
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn staged(out: &Path) -> Vec<String> {
    let entries = fs::read_dir(out).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with('_')).collect()
}

#[test]
fn what_was_staged_goes_when_a_run_is_interrupted() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        for with_state in [false, true] {
            let place = place(120_000);
            let state = place.path("state").display().to_string();
            let more: &[&str] = if with_state {
                &["--state", &state]
            } else {
                &[]
            };
            let mut child = start(&place, more);
            let begun = Instant::now();
            while staged(&place.path("out")).is_empty() {
                assert!(
                    begun.elapsed() < Duration::from_mins(1) && child.try_wait().unwrap().is_none()
                );
                thread::sleep(Duration::from_millis(1));
            }
            let id = child.id().to_string();
            assert!(
                Command::new("kill")
                    .args(["-s", signal, &id])
                    .status()
                    .unwrap()
                    .success()
            );
            let ran = Ran::from(child.wait_with_output().unwrap())
                .code(code)
                .no_panic();
            let _ = ran.says(&["interrupted: nothing was published\n"]);
            assert_eq!(
                staged(&place.path("out")),
                [""; 0],
                "SIG{signal}, state: {with_state}"
            );
            assert!(snapshot(&place.path("out")).is_empty());
            // The next run continues.
            let ran = Ran::from(start(&place, more).wait_with_output().unwrap());
            let _ = ran.code(0).no_panic();
        }
    }
}
