//! `tidewater run`: a job over everything its sources hold, once.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use tidewater_engine::{Job, MaintainOptions, Progress, RunError, RunOptions, RunReport};

use crate::args::RunArgs;
use crate::failure::Failure;
use crate::progress::{self, Mode, Sample};
use crate::summary;
use crate::{cores, follow, job, log, memory, output};

/// Rows of each table in the summary.
const PREVIEW_ROWS: usize = 3;

/// Runs the command.
pub fn run(args: &RunArgs) -> Result<(), Failure> {
    let logging = log::start(args.verbose)?;
    let job = job::load(&args.job)?;
    let options = RunOptions {
        workers: cores::or_all(args.workers),
        preview_rows: PREVIEW_ROWS,
    };
    tracing::info!(job = %args.job.job.display(), workers = options.workers, "planned");
    let progress = Progress::default();
    let title = format!(
        "running {} with {} worker{}",
        args.job.job.display(),
        options.workers,
        if options.workers == 1 { "" } else { "s" }
    );
    let report = progress::watch(
        Mode::choose(args.quiet, logging),
        &title,
        || sample(&progress),
        || match &args.state {
            None => tidewater_engine::run(&job, &options, &progress),
            Some(state) => maintain(&job, args, state, options, &progress),
        },
    )
    .map_err(|error| Failure::run(&error))?;

    tracing::info!(
        epoch = report.epoch,
        rows_read = report.rows_read,
        "published"
    );
    for warning in &report.warnings {
        output::warn(warning);
    }
    let peak_memory = memory::peak_bytes();
    if args.json {
        output::print(&format!("{}\n", summary::to_json(&report, peak_memory)))
    } else if args.quiet {
        if let Some(note) = summary::quarantine_note(&report) {
            output::warn(&note);
        }
        if let Some(note) = summary::late_note(&report) {
            output::warn(&note);
        }
        Ok(())
    } else {
        output::print(&summary::to_text(&report, peak_memory)?)
    }
}

fn maintain(
    job: &Job,
    args: &RunArgs,
    state: &Path,
    run: RunOptions,
    progress: &Progress,
) -> Result<RunReport, RunError> {
    let options = MaintainOptions {
        run,
        state: state.to_owned(),
        wait: args.wait,
        rebuild: args.rebuild,
        settle: args.settle,
        now: &follow::since_1970,
        notice: &|text| output::tell(&format!("{text}\n")),
    };
    tidewater_engine::maintain(job, &options, progress)
}

/// How far a run is.
pub fn sample(progress: &Progress) -> Sample {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (done, total) = (read(&progress.bytes_read), read(&progress.bytes_total));
    Sample {
        stage: progress.stage(),
        done,
        total,
        bytes: Some((done, total)),
        rows: read(&progress.rows_read),
        rejected: read(&progress.rows_rejected),
    }
}
