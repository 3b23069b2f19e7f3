//! `tidewater generate`: a card company's transactions as CSV files.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use indicatif::DecimalBytes;
use tidewater_demo::generate::{DataSetPlan, prepare_directory, write_files};

use crate::args::GenerateArgs;
use crate::display::count;
use crate::failure::Failure;
use crate::progress::{self, ProgressMode, Sample};
use crate::{cores, output};

/// Runs the command.
pub fn run(args: &GenerateArgs) -> Result<(), Failure> {
    let plan = DataSetPlan::new(&args.options, cores::or_all(args.workers))?;
    prepare_directory(&plan)?;
    let start = Instant::now();
    let rows_written = AtomicU64::new(0);
    let title = format!(
        "generating {} in {}",
        count(plan.rows(), "row"),
        plan.out.display()
    );
    let sample = || {
        let rows = rows_written.load(Ordering::Relaxed);
        Sample {
            stage: "generate",
            done: rows,
            total: plan.rows(),
            rows,
            ..Sample::default()
        }
    };
    let mode = ProgressMode::choose(args.quiet, false);
    let written = progress::watch(mode, &title, sample, || write_files(&plan, &rows_written))?;
    if args.quiet {
        return Ok(());
    }
    output::print(&format!(
        "{} in {} in {}: {}, {:.1} s\n",
        count(plan.rows(), "row"),
        count(written.files, "file"),
        plan.out.display(),
        DecimalBytes(written.bytes),
        start.elapsed().as_secs_f64()
    ))?;
    let Some(list) = written.planted else {
        return Ok(());
    };
    let cases = count(plan.planting.cases().into(), "planted case");
    output::print(&format!(
        "{cases} of each rule, listed in {}\n",
        list.display()
    ))
}
