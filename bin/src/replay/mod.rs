//! `tidewater replay` runs a job's history step by step, and shows the changes and the cost of each step.

mod changes;
mod report;

use std::ffi::OsStr;

use tidewater_engine::drive::{OffsetBound, parse_time};
use tidewater_engine::{Progress, Replay, ReplayOptions};

use crate::args::ReplayArgs;
use crate::failure::Failure;
use crate::progress::{self, ProgressMode};
use crate::run::sample;
use crate::{cores, job, log, memory, output};

use changes::ChangesWriter;
use report::ReplayReport;

/// Memory for rows that wait for their step. More rows wait in temporary files.
const MEMORY_BYTES: usize = 256 << 20;

/// Runs the command.
pub fn run(args: &ReplayArgs) -> Result<(), Failure> {
    let to_stdout = args.changes.as_deref().map(AsRef::as_ref) == Some(OsStr::new("-"));
    if to_stdout && args.process.json {
        return Err(Failure::usage(
            "--json and --changes - both write to standard output: give --changes a file"
                .to_owned(),
        ));
    }
    let logging = log::start(args.process.verbose)?;
    let mut job = job::load(&args.job)?;
    args.allow.apply(&mut job);
    let bounds = ReplayBounds::of(args)?;
    let options = ReplayOptions {
        workers: cores::or_all(args.process.workers),
        step: args.step,
        by: args.by.clone(),
        from: args.from,
        to: bounds.to,
        messages_from: bounds.messages_from,
        messages_to: bounds.messages_to,
        memory_bytes: MEMORY_BYTES,
        temporary: std::env::temp_dir(),
    };
    let progress = Progress::default();
    let title = format!(
        "replaying {} in steps of {}",
        args.job.job.display(),
        args.step
    );
    let replay = progress::watch(
        ProgressMode::choose(args.process.quiet, logging),
        &title,
        || sample(&progress),
        || Replay::open(&job, &options, &progress),
    );
    let replay = replay.map_err(|error| Failure::run(&error))?;
    for warning in &replay.history().warnings {
        output::warn(warning);
    }
    let changes = match &args.changes {
        None => None,
        Some(_) if to_stdout => Some(ChangesWriter::to_stdout()),
        Some(path) => Some(ChangesWriter::to_file(path)?),
    };
    // Prints while steps run.
    let print = |text: &str| match (args.process.quiet || args.process.json, to_stdout) {
        (true, _) => Ok(()),
        (false, true) => {
            output::tell(text);
            Ok(())
        }
        (false, false) => output::print(text),
    };
    let Some(report) = steps(replay, changes, &print)? else {
        return Ok(());
    };
    let peak_memory = memory::peak_bytes();
    if args.process.json {
        output::print(&format!("{}\n", report.to_json(peak_memory)))
    } else {
        print(&report.to_text(peak_memory))
    }
}

/// Bounds of event time, and of messages.
#[derive(Default)]
struct ReplayBounds {
    to: Option<i64>,
    messages_from: Option<OffsetBound>,
    messages_to: Option<OffsetBound>,
}

impl ReplayBounds {
    /// `--to` is an offset, a message time or an event time, like the given `--from…`.
    fn of(args: &ReplayArgs) -> Result<Self, Failure> {
        let offset = |text: &str| {
            let wrong =
                |_| format!("--to {text}: with --from-offset it is an offset, a whole number");
            text.parse().map_err(wrong).map_err(Failure::usage)
        };
        let time =
            |text: &str| parse_time(text).map_err(|wrong| Failure::usage(format!("--to {wrong}")));
        // Message times are in milliseconds.
        let sent = |micros: i64| OffsetBound::Time(micros.div_euclid(1_000));
        let to = args.to.as_deref();
        match (args.from_offset, args.from_time) {
            (Some(from), _) => Ok(Self {
                messages_from: Some(OffsetBound::Offset(from)),
                messages_to: to.map(offset).transpose()?.map(OffsetBound::Offset),
                ..Self::default()
            }),
            (None, Some(from)) => Ok(Self {
                messages_from: Some(sent(from)),
                messages_to: to.map(time).transpose()?.map(sent),
                ..Self::default()
            }),
            (None, None) => Ok(Self {
                to: to.map(time).transpose()?,
                ..Self::default()
            }),
        }
    }
}

/// Replays all steps. `None` if the reader of the changes on standard output has gone.
fn steps(
    mut replay: Replay,
    mut changes: Option<ChangesWriter>,
    print: &dyn Fn(&str) -> Result<(), Failure>,
) -> Result<Option<ReplayReport>, Failure> {
    let mut report = ReplayReport::new(&replay);
    print(&report.heading())?;
    while let Some(step) = replay.next() {
        let step = step.map_err(|error| Failure::run(&error))?;
        print(&report.add(&step))?;
        if let Some(changes) = &mut changes
            && !changes.write(replay.tables(), &step)?
        {
            return Ok(None);
        }
    }
    let read_on = changes.map_or(Ok(true), ChangesWriter::finish)?;
    Ok(read_on.then_some(report))
}
