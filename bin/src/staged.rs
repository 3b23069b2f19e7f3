//! `tidewater changes --staged`: what a run would change in a table now. It is an audit that looks at the rows.

use std::cell::RefCell;
use std::path::Path;
use std::time::Duration;

use tidewater_engine::file::sink;
use tidewater_engine::state::directory::LockWait;
use tidewater_engine::{Candidate, MaintainOptions, Progress, RunOptions, RunOutcome};

use crate::args::{ChangesArgs, WAIT};
use crate::changes::{Halt, Printer, counted_first};
use crate::failure::Failure;
use crate::job::LoadedState;
use crate::{clock, cores, output, thresholds};

/// Prints the rows that a run would insert and delete, and whether it would publish them.
pub fn print(args: &ChangesArgs, state: &LoadedState, table: &str) -> Result<(), Failure> {
    let job = &state.job.job;
    let mut names: Vec<&str> = job.sinks.iter().map(|sink| &*sink.name).collect();
    if !names.contains(&table) {
        names.sort_unstable();
        return Err(Failure::usage(format!(
            "the job has no table {table}; it has {}.",
            names.join(", ")
        )));
    }
    let printer = RefCell::new(Printer::new(args));
    let printed = RefCell::new(None);
    let look = |path: &Path| {
        *printed.borrow_mut() = Some(print_rows(table, path, &mut printer.borrow_mut()));
    };
    let options = MaintainOptions {
        run: RunOptions {
            workers: cores::or_all(None),
            preview_rows: 0,
            take_over: false,
        },
        state: state.path.clone(),
        wait: LockWait::AtMost(WAIT),
        declared: None,
        rebuild: false,
        audit: true,
        candidate: Some(Candidate { table, look: &look }),
        rehash: false,
        settle: Duration::ZERO,
        thresholds: thresholds::of_process(),
        now: &clock::since_1970,
        notice: &|text| output::tell(&format!("{text}\n")),
    };
    let audited = tidewater_engine::maintain(job, &options, &Progress::default());
    let mut printer = printer.into_inner();
    match printed.into_inner() {
        Some(Err(Halt::Failed(failure))) => return Err(failure),
        Some(Ok(()) | Err(Halt::Enough)) => {}
        None => {
            let is_new =
                !matches!(&audited, Ok(report) if report.outcome == RunOutcome::NothingNew);
            if audited.is_ok() {
                printer.say(&unchanged(table, is_new));
            }
        }
    }
    match audited {
        Ok(_) => printer.finish(),
        Err(error) if error.is_refusal() => {
            printer.finish()?;
            output::tell(&format!("A run would be refused.\n{error}\n"));
            Ok(())
        }
        Err(error) => Err(Failure::run(&error)),
    }
}

fn unchanged(table: &str, is_new: bool) -> String {
    if is_new {
        format!("A run would not change {table}.")
    } else {
        "Nothing is new: a run would change nothing.".to_owned()
    }
}

fn print_rows(table: &str, path: &Path, printer: &mut Printer) -> Result<(), Halt> {
    printer.begin(&format!("{table}, what a run would change:"))?;
    for batch in sink::changes(table, path)? {
        printer.print(&counted_first(None, &batch?)?)?;
    }
    Ok(())
}
