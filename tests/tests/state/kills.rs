//! Runs that are killed at any time, by a signal that cannot be handled.

use std::thread;
use std::time::{Duration, Instant};

use rand::RngExt;
use tidewater_tests::seed;
use tidewater_tests::sources::Format;

use crate::histories::History;

#[test]
fn killed_runs_leave_what_the_next_one_finishes() {
    for seed in seed::seeds(4) {
        let mut rng = seed::generator(seed, "kills");
        let format = if seed % 2 == 0 {
            Format::Csv
        } else {
            Format::Parquet
        };
        let mut history = History::draw(&mut rng, format, false);
        history
            .log
            .push(format!("TIDEWATER_SEED={seed}\n{}", history.sql));
        let mut duration_us = 60_000;
        for _ in 0..6 {
            history.deliver(&mut rng);
            for _ in 0..rng.random_range(1..=2) {
                let delay = Duration::from_micros(rng.random_range(0..duration_us));
                history.log.push(format!("killed after {delay:?}"));
                let mut child = history.place.start(&["--quiet", "--workers", "2"]);
                thread::sleep(delay);
                child.kill().unwrap();
                child.wait().unwrap();
            }
            let begun = Instant::now();
            history.commit(&mut rng);
            duration_us = u64::try_from(begun.elapsed().as_micros())
                .unwrap()
                .min(200_000);
        }
    }
}
