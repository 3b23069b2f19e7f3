//! The command line of `tidewater`, as a library for two programs: `tidewater`, and `tidewater-verify`, which shares
//! its arguments, progress and failures.
//!
//! [`args`] is the parsed command line. Each command checks it, does the work, and returns nothing or a [`Failure`],
//! which [`exit_code`] turns into an exit code.

pub mod args;
mod assertion_notes;
mod changes;
mod clock;
pub mod command_line;
pub mod cores;
pub mod display;
pub mod failure;
mod follow;
mod generate;
mod history;
mod inspect;
pub mod job;
mod log;
mod memory;
pub mod output;
#[cfg(feature = "kafka")]
mod produce;
pub mod progress;
mod quality;
mod quarantine;
mod replay;
mod run;
mod signals;
mod staged;
mod status;
pub mod style;
mod summary;
pub mod table;
mod thresholds;

mod verify;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{PanicHookInfo, UnwindSafe};
use std::process::ExitCode;

use args::CliCommand;
use failure::Failure;
use style::Style;

/// Does the work of a program. A failure is printed on standard error, and so is a panic, as a bug.
pub fn exit_code(work: impl FnOnce() -> Result<(), Failure> + UnwindSafe) -> ExitCode {
    std::panic::set_hook(Box::new(report_panic));
    match std::panic::catch_unwind(work) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => {
            if !failure.message().is_empty() {
                output::tell(&failure.render(Style::stderr()));
            }
            failure.exit_code.into()
        }
        Err(_) => failure::FAILED.into(),
    }
}

/// Runs a command.
///
/// # Errors
/// When the command fails, with a message for the user.
pub fn dispatch(command: &CliCommand) -> Result<(), Failure> {
    match command {
        CliCommand::Run(args) => run::run(args),
        CliCommand::Audit(args) => run::audit(args),
        CliCommand::Follow(args) => follow::run(args),
        CliCommand::Status(args) => status::run(args),
        CliCommand::History(args) => history::run(args),
        CliCommand::Quality(args) => quality::run(args),
        CliCommand::Changes(args) => changes::run(args),
        CliCommand::Quarantine(args) => quarantine::run(args),
        CliCommand::Verify(_) => verify::run(),
        CliCommand::Replay(args) => replay::run(args),
        CliCommand::Check(args) => inspect::check(args),
        CliCommand::Explain(args) => inspect::explain(args),
        #[cfg(feature = "kafka")]
        CliCommand::Produce(args) => produce::run(args),
        CliCommand::Generate(args) => generate::run(args),
    }
}

/// Prints that a panic is a bug of this program, and where to report it.
fn report_panic(info: &PanicHookInfo<'_>) {
    if tidewater_engine::state::panic::is_damage(info) {
        return;
    }
    let place = info
        .location()
        .map(|location| format!(" at {location}"))
        .unwrap_or_default();
    let what = info.payload_as_str().unwrap_or("no message");
    output::tell(&format!(
        "tidewater {}: internal error{place}: {what}\n\
         This is a bug. Please report this message and the command at {}/issues\n",
        env!("CARGO_PKG_VERSION"),
        env!("CARGO_PKG_REPOSITORY"),
    ));
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        output::tell(&format!("{backtrace}\n"));
    } else {
        output::tell("With RUST_BACKTRACE=1 the message shows more.\n");
    }
}
