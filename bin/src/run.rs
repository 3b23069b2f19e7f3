//! `tidewater run` runs a job once over everything that its sources hold.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use tidewater_engine::state::JobRecord;
use tidewater_engine::{Job, MaintainOptions, Progress, RunError, RunOptions, RunReport};

use crate::args::RunArgs;
use crate::display::count;
use crate::failure::Failure;
use crate::job::LoadedJob;
use crate::progress::{self, ProgressMode, Sample, Unit};
use crate::summary::{self, Summary};
use crate::{clock, command_line, cores, job, log, memory, output, signals, thresholds};

/// Rows of each table that the summary shows.
const PREVIEW_ROWS: usize = 3;

/// Stages in which a run may have staged files, and stops by itself when requested.
const STOPPABLE: [&str; 4] = ["plan", "compare", "compute", "write"];

/// Runs the command.
pub fn run(args: &RunArgs) -> Result<(), Failure> {
    let logging = log::start(args.process.verbose)?;
    let LoadedJob { mut job, declared } = job::load_declared(&args.job)?;
    args.allow.apply(&mut job);
    args.accept.apply(&mut job)?;
    let options = RunOptions {
        workers: cores::or_all(args.process.workers),
        preview_rows: PREVIEW_ROWS,
        take_over: args.intake.take_over,
    };
    tracing::info!(job = %args.job.job.display(), workers = options.workers, "planned");
    let progress = Progress::default();
    let interrupted = progress.clone();
    let has_state = args.state.is_some();
    signals::end_with(move || {
        if STOPPABLE.contains(&interrupted.stage()) && interrupted.stop() {
            interrupted.discard_staged();
            return "interrupted: nothing was published";
        }
        interruption(interrupted.stage(), has_state)
    })?;
    let title = format!(
        "running {} with {}",
        args.job.job.display(),
        count(options.workers as u64, "worker")
    );
    let report = progress::watch(
        ProgressMode::choose(args.process.quiet, logging),
        &title,
        || sample(&progress),
        || match &args.state {
            None => tidewater_engine::run(&job, &options, &progress),
            Some(state) => maintain(&job, declared.clone(), args, state, options, &progress),
        },
    )
    .map_err(|error| match error {
        // The thread that handles the signal ends the process.
        RunError::Stopped => loop {
            std::thread::park();
        },
        error => Failure::run(&error),
    })?;

    tracing::info!(
        epoch = report.epoch,
        rows_read = report.rows_read,
        "published"
    );
    for warning in &report.warnings {
        output::warn(warning);
    }
    print_summary(
        args,
        Summary {
            quarantine_command: &command_line::quarantine(&args.job, args.state.as_deref()),
            report: &report,
        },
    )
}

/// The message when a run is interrupted in a stage.
fn interruption(stage: &str, has_state: bool) -> &'static str {
    match (stage, has_state) {
        ("commit" | "done", true) => {
            "interrupted during the commit: the next run finishes or undoes it"
        }
        ("publish" | "done", _) => {
            "interrupted while tables were published: some may be new, others as before; run again"
        }
        _ => "interrupted: nothing was published",
    }
}

fn print_summary(args: &RunArgs, summary: Summary<'_>) -> Result<(), Failure> {
    let report = summary.report;
    let peak_memory = memory::peak_bytes();
    if args.process.json {
        output::print(&format!("{}\n", summary::to_json(report, peak_memory)))
    } else if args.process.quiet {
        let notes = [
            summary::quarantine_note(summary),
            summary::set_aside_note(report),
            summary::assertions_note(report),
            summary::late_note(report),
        ];
        for note in notes.iter().flatten() {
            output::warn(note);
        }
        Ok(())
    } else {
        output::print(&summary::to_text(summary, peak_memory)?)
    }
}

fn maintain(
    job: &Job,
    declared: JobRecord,
    args: &RunArgs,
    state: &Path,
    run: RunOptions,
    progress: &Progress,
) -> Result<RunReport, RunError> {
    let options = MaintainOptions {
        run,
        state: state.to_owned(),
        wait: args.intake.lock_wait(),
        declared: Some(declared),
        rebuild: args.rebuild,
        rehash: args.intake.rehash,
        settle: args.intake.settle,
        thresholds: thresholds::of_process(),
        now: &clock::since_1970,
        notice: &|text| output::tell(&format!("{text}\n")),
    };
    tidewater_engine::maintain(job, &options, progress)
}

/// The progress of a run.
pub fn sample(progress: &Progress) -> Sample {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (done, total) = (read(&progress.bytes_read), read(&progress.bytes_total));
    Sample {
        stage: progress.stage(),
        done,
        total,
        unit: Unit::Bytes,
        rows: read(&progress.rows_read),
        rejected: read(&progress.rows_rejected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_run_says_what_was_published() {
        for (stage, has_state, message) in [
            ("", false, "nothing was published"),
            ("compute", false, "nothing was published"),
            ("write", true, "nothing was published"),
            ("commit", true, "the next run finishes or undoes it"),
            ("publish", false, "some may be new"),
        ] {
            let printed = interruption(stage, has_state);
            assert!(printed.contains(message), "{stage}: {printed}");
        }
    }
}
