//! `tidewater`: the command line.
//!
//! [`args`] is what was typed; each command checks it, does the work and returns a [`Failure`] or nothing; here that
//! becomes an exit code.

mod args;
mod changes;
mod cores;
mod failure;
mod follow;
mod generate;
mod history;
mod inspect;
mod job;
mod log;
mod memory;
mod output;
mod produce;
mod progress;
mod replay;
mod run;
mod status;
mod style;
mod summary;
mod table;
mod verify;
mod words;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use failure::Failure;
use style::Style;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    std::panic::set_hook(Box::new(report_panic));
    match std::panic::catch_unwind(|| dispatch(&cli.command)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => {
            output::tell(&failure.render(Style::of(&std::io::stderr())));
            failure.exit_code.into()
        }
        Err(_) => failure::FAILED.into(),
    }
}

fn dispatch(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Run(args) => run::run(args),
        Command::Follow(args) => follow::run(args),
        Command::Status(args) => status::run(args),
        Command::History(args) => history::run(args),
        Command::Changes(args) => changes::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Check(args) => inspect::check(args),
        Command::Explain(args) => inspect::explain(args),
        Command::Produce(args) => produce::run(args),
        Command::Generate(args) => generate::run(args),
    }
}

/// Says that a panic is a bug of this program, and where to report it.
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
