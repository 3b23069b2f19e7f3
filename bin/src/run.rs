//! `tidewater run` runs a job once over everything that its sources hold. `tidewater audit` does the same and publishes
//! nothing.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use tidewater_engine::state::JobRecord;
use tidewater_engine::{
    Job, MaintainOptions, Progress, RunError, RunOptions, RunOutcome, RunReport,
};

use crate::args::{AuditArgs, CommonArgs, RunArgs, SkipArgs};
use crate::display::count;
use crate::failure::Failure;
use crate::job::LoadedJob;
use crate::progress::{self, ProgressMode, Sample, Unit};
use crate::summary::{self, Summary};
use crate::{
    assertion_notes, clock, command_line, cores, job, log, memory, output, signals, thresholds,
};

/// Rows of each table that the summary shows.
const PREVIEW_ROWS: usize = 3;

/// Stages in which a run may have staged files, and stops by itself when requested.
const STOPPABLE: [&str; 4] = ["plan", "compare", "compute", "write"];

/// Runs `tidewater run`.
pub fn run(args: &RunArgs) -> Result<(), Failure> {
    let request = RunRequest {
        common: &args.common,
        state: args.state.as_deref(),
        rebuild: args.rebuild,
        audit: false,
        skip: args.skip,
    };
    request.execute()
}

/// Runs `tidewater audit`.
pub fn audit(args: &AuditArgs) -> Result<(), Failure> {
    let request = RunRequest {
        common: &args.common,
        state: Some(&args.state),
        rebuild: false,
        audit: true,
        skip: args.skip,
    };
    request.execute()
}

/// A run, or an audit of what a run would publish.
struct RunRequest<'a> {
    common: &'a CommonArgs,
    state: Option<&'a Path>,
    rebuild: bool,
    audit: bool,
    skip: SkipArgs,
}

impl RunRequest<'_> {
    fn execute(&self) -> Result<(), Failure> {
        let logging = log::start(self.common.process.verbose)?;
        let LoadedJob { job, declared } = job::load_to_run(self.common)?;
        let options = RunOptions {
            workers: cores::or_all(self.common.process.workers),
            preview_rows: PREVIEW_ROWS,
            take_over: self.common.intake.take_over,
        };
        tracing::info!(job = %self.common.job.job.display(), workers = options.workers, "planned");
        let progress = Progress::default();
        self.stop_on_signals(&progress)?;
        let title = format!(
            "{} {} with {}",
            if self.audit { "auditing" } else { "running" },
            self.common.job.job.display(),
            count(options.workers as u64, "worker")
        );
        let ran = progress::watch(
            ProgressMode::choose(self.common.process.quiet, logging),
            &title,
            || sample(&progress),
            || match self.state {
                None => tidewater_engine::run(&job, &options, &progress),
                Some(state) => self.maintain(&job, declared.clone(), state, options, &progress),
            },
        );
        let report = ran.map_err(|error| self.failure(&error))?;
        tracing::info!(
            epoch = report.epoch,
            rows_read = report.rows_read,
            outcome = ?report.outcome,
            "done"
        );
        for warning in &report.warnings {
            output::warn(warning);
        }
        self.print(Summary {
            quarantine_command: &command_line::quarantine(&self.common.job, self.state),
            report: &report,
        })?;
        match self.skip.skip_code {
            Some(code) if report.outcome == RunOutcome::NothingNew => {
                Err(Failure::nothing_new(code))
            }
            _ => Ok(()),
        }
    }

    fn stop_on_signals(&self, progress: &Progress) -> Result<(), Failure> {
        let interrupted = progress.clone();
        let has_state = self.state.is_some();
        Ok(signals::end_with(move || {
            if STOPPABLE.contains(&interrupted.stage()) && interrupted.stop() {
                interrupted.discard_staged();
                return "interrupted: nothing was published";
            }
            interruption(interrupted.stage(), has_state)
        })?)
    }

    fn maintain(
        &self,
        job: &Job,
        declared: JobRecord,
        state: &Path,
        run: RunOptions,
        progress: &Progress,
    ) -> Result<RunReport, RunError> {
        let options = MaintainOptions {
            run,
            state: state.to_owned(),
            wait: self.common.intake.lock_wait(),
            declared: Some(declared),
            rebuild: self.rebuild,
            audit: self.audit,
            candidate: None,
            rehash: self.common.intake.rehash,
            settle: self.common.intake.settle,
            thresholds: thresholds::of_process(),
            now: &clock::since_1970,
            notice: &|text| output::tell(&format!("{text}\n")),
        };
        tidewater_engine::maintain(job, &options, progress)
    }

    /// The failure of a run. For programs, a refusal is printed as JSON too.
    fn failure(&self, error: &RunError) -> Failure {
        if matches!(error, RunError::Stopped) {
            // The thread that handles the signal ends the process.
            loop {
                std::thread::park();
            }
        }
        if self.common.process.json && error.is_refusal() {
            let refusal = summary::refusal_to_json(error);
            if let Err(failure) = output::print(&format!("{refusal}\n")) {
                return failure;
            }
        }
        Failure::run(error)
    }

    fn print(&self, summary: Summary<'_>) -> Result<(), Failure> {
        let report = summary.report;
        let peak_memory = memory::peak_bytes();
        if self.common.process.json {
            output::print(&format!("{}\n", summary::to_json(report, peak_memory)))
        } else if self.common.process.quiet {
            let notes = [
                summary::quarantine_note(summary),
                summary::set_aside_note(report),
                summary::late_note(report),
            ];
            let notes = notes.into_iter().flatten();
            for note in &notes
                .chain(assertion_notes::all(report))
                .collect::<Vec<_>>()
            {
                output::warn(note);
            }
            Ok(())
        } else {
            output::print(&match report.outcome {
                RunOutcome::Audited => summary::audit_to_text(report),
                _ => summary::to_text(summary, peak_memory)?,
            })
        }
    }
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
