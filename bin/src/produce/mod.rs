//! `tidewater produce`: the rows of files into a topic, to try jobs on.

mod rows;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidewater_engine::file::{ListedFile, list};
use tidewater_engine::kafka::Location;
use tidewater_engine::kafka::produce::Feed;

use self::rows::{Record, Rows};
use crate::args::ProduceArgs;
use crate::failure::Failure;
use crate::follow::stopping;
use crate::output;
use crate::progress::{self, Mode, Sample};
use crate::words::count;

/// Rows after which the clock is looked at, at most.
const AT_A_TIME: u64 = 100;

/// Runs the command.
pub fn run(args: &ProduceArgs) -> Result<(), Failure> {
    let location = Location::parse(&args.to).map_err(|wrong| {
        Failure::usage(format!(
            "--to '{}' {wrong}; write kafka://host:9092/topic",
            args.to
        ))
    })?;
    let files = list(&args.files).map_err(|error| Failure::failed(error.to_string()))?;
    let mut feed = Feed::open(&location, &BTreeMap::new(), args.partitions)?;
    let stopping = stopping()?;
    let rows = AtomicU64::new(0);
    let sample = || Sample {
        stage: "produce",
        rows: rows.load(Ordering::Relaxed),
        ..Sample::default()
    };
    let title = format!("feeding {} into {location}", count(length(&files), "file"));
    let began = Instant::now();
    progress::watch(Mode::choose(args.quiet, false), &title, sample, || {
        let mut pace = Pace::new(args.rate, &rows);
        for file in &files {
            if !send(args, &file.path, &mut feed, &mut pace, &stopping)? {
                break;
            }
        }
        Ok::<_, Failure>(())
    })?;
    let sent = feed.finish()?;
    let seconds = began.elapsed().as_secs_f64();
    output::print(&format!(
        "{} of {} into {location} in {seconds:.1} s.\n",
        count(sent, "row"),
        count(length(&files), "file")
    ))
}

fn length(files: &[ListedFile]) -> u64 {
    u64::try_from(files.len()).unwrap_or(u64::MAX)
}

/// Sends the rows of a file; `false` when it was stopped.
fn send(
    args: &ProduceArgs,
    path: &Path,
    feed: &mut Feed,
    pace: &mut Pace<'_>,
    stopping: &AtomicBool,
) -> Result<bool, Failure> {
    let file = File::open(path)
        .map_err(|error| Failure::failed(format!("cannot open {}: {error}", path.display())))?;
    let mut rows = Rows::open(path, file, args)?;
    let mut record = Record::default();
    while rows.next(&mut record)? {
        if stopping.load(Ordering::Relaxed) {
            return Ok(false);
        }
        feed.send(record.key.as_deref(), &record.value)?;
        pace.step();
    }
    Ok(true)
}

/// Rows a second.
struct Pace<'a> {
    rate: Option<u64>,
    began: Instant,
    rows: &'a AtomicU64,
}

impl<'a> Pace<'a> {
    fn new(rate: Option<u64>, rows: &'a AtomicU64) -> Self {
        Self {
            rate,
            began: Instant::now(),
            rows,
        }
    }

    /// Counts a row, and waits until it is due.
    fn step(&mut self) {
        let rows = self.rows.fetch_add(1, Ordering::Relaxed) + 1;
        let Some(rate) = self.rate else { return };
        if rows.is_multiple_of(AT_A_TIME.min(rate.div_ceil(20)).max(1)) {
            let due_us = u128::from(rows) * 1_000_000 / u128::from(rate);
            let due = Duration::from_micros(u64::try_from(due_us).unwrap_or(u64::MAX));
            std::thread::sleep(due.saturating_sub(self.began.elapsed()));
        }
    }
}
