//! `tidewater produce` sends the rows of files to a topic, as demo data.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tidewater_demo::produce::FileProducer;

use crate::args::ProduceArgs;
use crate::display::count;
use crate::failure::Failure;
use crate::output;
use crate::progress::{self, ProgressMode, Sample};
use crate::signals::stopping;

/// Runs the command.
pub fn run(args: &ProduceArgs) -> Result<(), Failure> {
    let producer = FileProducer::open(&args.options)?;
    let stopping = stopping()?;
    let rows = AtomicU64::new(0);
    let sample = || Sample {
        stage: "produce",
        rows: rows.load(Ordering::Relaxed),
        ..Sample::default()
    };
    let files = count(u64::try_from(producer.files()).unwrap_or(u64::MAX), "file");
    let location = producer.location().clone();
    let title = format!("feeding {files} into {location}");
    let began = Instant::now();
    let sent = progress::watch(
        ProgressMode::choose(args.quiet, false),
        &title,
        sample,
        || producer.send(&rows, &stopping),
    )?;
    output::print(&format!(
        "{} of {files} into {location} in {:.1} s.\n",
        count(sent, "row"),
        began.elapsed().as_secs_f64()
    ))
}
